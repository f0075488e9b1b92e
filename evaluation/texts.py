"""Reads the texts that a model is judged by."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from codegen.errors import BakeError
from codegen.input import read_small

SEPARATOR = "<|endoftext|>"  # stands between the stories of TinyStories' files
LARGEST = 1 << 28


def read_texts(path: Path) -> list[str]:
    """Reads the texts of a file in UTF-8: what stands between lines of `<|endoftext|>`, or, where there is none of these,
    between blank lines. White space around a text is dropped.

    Raises BakeError: 66 when the file can't be read, 65 when it is not UTF-8 or has no text.
    """
    try:
        content = read_small(path, LARGEST).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BakeError(f"{path.name}: expected text in UTF-8, found byte {error.object[error.start]:#04x} at "
                        f"{error.start}: convert it, or give the right file") from error  # fmt: skip
    parts = content.split(SEPARATOR) if SEPARATOR in content else re.split(r"\n[ \t]*\n", content)
    texts = [part.strip() for part in parts]
    texts = [text for text in texts if text]
    if not texts:
        raise BakeError(f"{path.name}: expected stories with blank lines or {SEPARATOR} between them, found no text")
    return texts


def framed(texts: list[str]) -> bytes:
    """Frames the texts as evaluation/logits.cpp reads them: each a u32 length and its bytes."""
    raw = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in raw)
