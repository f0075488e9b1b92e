"""README.zh.md says what README.md says: the same headings, commands, options, links and figures, section by section."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("README.md", "README.zh.md")

SECTION = re.compile(r"^#+ ", re.MULTILINE)
CODE_LINE = re.compile(r"^ {4,}\S.*$", re.MULTILINE)
SPAN = re.compile(r"`[^`]+`")
LINK = re.compile(r"\]\(([^)]+)\)")
# 2.8 is a figure; the 15 of stories15M, or the 12 of an address, is part of a name.
FIGURE = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w.]*[A-Za-z])")


def commands(section: str) -> list[str]:
    """The section's lines of code without comments; of a picture of arrows only the paths."""
    lines = []
    for line in CODE_LINE.findall(section):
        if "▶" in line or "─" in line:
            lines += re.findall(r"[\w.<>*/-]+/[\w.<>*/-]*", line)
        else:
            lines.append(re.sub(r"\s+# .*", "", line).strip())
    return lines


def facts(section: str) -> dict[str, object]:
    """What a translation leaves as it is."""
    prose = CODE_LINE.sub("", section)
    links = Counter(LINK.findall(prose)) - Counter(LANGUAGES)  # each names the other
    plain = LINK.sub("]", SPAN.sub("", prose))
    return {
        "commands": commands(section),
        "names in code style": Counter(SPAN.findall(prose)),
        "links": links,
        "figures": Counter(FIGURE.findall(plain)),
        "rows of tables": len(re.findall(r"^\|", prose, re.MULTILINE)),
    }


def sections(name: str) -> list[str]:
    """A README cut at its headings; the first piece, before any, is empty."""
    text = (ROOT / name).read_text(encoding="utf-8")
    starts = [match.start() for match in SECTION.finditer(text)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)])]


def level(section: str) -> int:
    return len(section) - len(section.lstrip("#"))


def test_headings_are_the_same() -> None:
    english, chinese = (sections(name) for name in LANGUAGES)
    assert [level(s) for s in english] == [level(s) for s in chinese]


@pytest.mark.parametrize("number", range(len(sections(LANGUAGES[0]))))
def test_section_says_the_same(number: int) -> None:
    english, chinese = (sections(name)[number] for name in LANGUAGES)
    wanted, found = facts(english), facts(chinese)
    for kind in wanted:
        assert found[kind] == wanted[kind], f"{kind} under {english.splitlines()[0]!r}: bring README.zh.md in step"


def test_a_missing_option_and_a_stale_figure_are_noticed() -> None:
    """The comparison itself: a README of which one thing was changed is not the same."""
    text = "\n".join(sections(LANGUAGES[0]))
    assert facts(text) == facts(text.replace("storybake", "烤故事"))
    for old, new in (("`--info`", ""), ("17.2 MB", "17.3 MB"), ("tools/story ", "tools/tale "), ("(docs/riscv.md)", "(docs/risc.md)")):
        assert old in text and facts(text) != facts(text.replace(old, new, 1)), old
