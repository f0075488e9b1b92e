"""The storyteller's part of the generator. It uses codegen; nothing of codegen knows it."""
