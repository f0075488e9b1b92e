"""Judges the stories that a baked program tells: `tools/judge-stories`."""
