"""The program that is tested: STORYBAKE_BIN, baked from STORYBAKE_CHECKPOINT (and STORYBAKE_TOKENIZER)."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import run, variable


@pytest.fixture(scope="session")
def binary() -> str:
    return variable("STORYBAKE_BIN")


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return Path(variable("STORYBAKE_CHECKPOINT"))


@pytest.fixture(scope="session")
def tokenizer() -> Path:
    return Path(variable("STORYBAKE_TOKENIZER"))


@pytest.fixture(scope="session")
def info(binary: str) -> dict[str, str]:
    """The lines of --info: name and value."""
    lines = run(binary, "--info").stdout.decode().splitlines()
    return {line[:18].strip(): line[19:].strip() for line in lines}


@pytest.fixture
def not_sanitized(binary: str) -> None:
    """Skips a test that a program under a sanitizer can't take."""
    if b"__asan_init" in Path(binary).read_bytes():
        pytest.skip("AddressSanitizer needs terabytes of address space, a CPU of this kind, and keeps what is freed")
