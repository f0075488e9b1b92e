"""docs/faults.md and docs/soundness.md name tests that are there; of soundness, each promise has one or is said to have none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text() for name in ("faults.md", "soundness.md")}
TEST = r"`([a-z]+/[a-z_]+\.(?:py|cpp))::([^`]+)`"
NAMED = sorted({found for page in PAGES.values() for found in re.findall(TEST, page)})


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_the_page_names_is_there(file: str, name: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    definitions = (f"def {name}(", f", {name}) {{", f'"{name}": ', f'("{name}", ')  # a test, a GoogleTest, a case
    assert any(definition in text for definition in definitions)


def test_the_page_names_many() -> None:
    assert len(NAMED) > 70


@pytest.mark.parametrize("row", [line for line in PAGES["soundness.md"].splitlines() if line.startswith("| ")])
def test_each_promise_has_a_test_or_is_not_covered(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5, row
    if cells[0] not in ("promise", "---"):
        assert re.search(TEST, row) or "not covered" in row
