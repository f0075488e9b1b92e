"""Makes the repository's own packages importable and shares documents between the tests."""

import itertools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from models import engine  # noqa: E402


@pytest.fixture(scope="session")
def documents() -> list[engine.Document]:
    """Two thousand documents: every plot about fifty times."""
    return list(itertools.islice(engine.documents(5), 2000))
