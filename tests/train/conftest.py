"""Makes the repository's own packages importable and shares a small corpus between the tests."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from models.corpus import generate  # noqa: E402


@pytest.fixture(scope="session")
def documents() -> list[generate.Document]:
    """Four thousand documents: every plot about sixty times."""
    return list(generate.corpus(5, 4000))
