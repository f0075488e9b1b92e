"""Makes the table by which the runtime composes characters as Unicode's NFC does (runtime/nfc.hpp), from this Python's
unicodedata. Hangul is computed, not listed."""

from __future__ import annotations

import itertools
import unicodedata

HANGUL = range(0xAC00, 0xAC00 + 11172)


def decompositions() -> dict[int, tuple[int, int]]:
    """Returns what each character is canonically taken apart into, one step: two characters, or one and 0."""
    found = {}
    for code in range(0x110000):
        text = unicodedata.decomposition(chr(code))
        if text and not text.startswith("<") and code not in HANGUL:
            first, *second = (int(part, 16) for part in text.split())
            found[code] = (first, second[0] if second else 0)
    return found


def classes() -> list[tuple[int, int]]:
    """Returns (first code point, combining class) of every run of characters of one class."""
    return [(next(codes), found) for found, codes in
            itertools.groupby(range(0x110000), lambda code: unicodedata.combining(chr(code)))]  # fmt: skip


def table() -> list[int]:
    """Makes the table, u32 words: the numbers of rows of the three parts, then

    decompositions (code, first, second), by code; compositions (first, second, code), by first and second: those that NFC
    makes; classes (first code << 8 | class), by code.
    """
    apart = decompositions()
    together = sorted(
        (first, second, code)
        for code, (first, second) in apart.items()
        if second and unicodedata.normalize("NFC", chr(first) + chr(second)) == chr(code)
    )
    runs = classes()
    return [
        len(apart), len(together), len(runs),
        *itertools.chain.from_iterable((code, *parts) for code, parts in sorted(apart.items())),
        *itertools.chain.from_iterable(together),
        *(first << 8 | found for first, found in runs),
    ]  # fmt: skip
