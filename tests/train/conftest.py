"""Makes the repository's own packages importable and shares stories of the engine between the tests."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from models import engine  # noqa: E402


@pytest.fixture(scope="session")
def documents() -> list[engine.Document]:
    """Eight hundred documents with their prompts."""
    return [engine.document(5, index) for index in range(800)]
