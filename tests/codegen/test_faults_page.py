"""docs/faults.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted(set(re.findall(r"`([a-z]+/[a-z_]+\.(?:py|cpp))::([^`]+)`", (ROOT / "docs" / "faults.md").read_text())))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_the_page_names_is_there(file: str, name: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    definitions = (f"def {name}(", f", {name}) {{", f'"{name}": ', f'("{name}", ')  # a test, a GoogleTest, a case
    assert any(definition in text for definition in definitions)


def test_the_page_names_many() -> None:
    assert len(NAMED) > 70
