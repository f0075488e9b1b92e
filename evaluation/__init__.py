"""Tells what a weight type costs: `tools/evaluate`."""
