"""Generates the storyteller's part. It uses codegen; nothing of codegen knows it."""
