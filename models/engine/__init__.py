"""Streams stories with their prompts and event logs by (seed, index): the story engine."""

from .casting import Focus
from .lexicon import held_out
from .prompts import topics
from .story import Document, Story, copying, document, documents, tell

__all__ = ["Document", "Focus", "Story", "copying", "document", "documents", "held_out", "tell", "topics"]
