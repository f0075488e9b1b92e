"""What the tests of the generator share."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen.export import main

Refused = Callable[..., None]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Asserts that tools/export refuses a file with a code and these words on one line, in bounded time, and leaves
    nothing behind."""

    def check(path: Path, words: str, code: int = 65, form: str = "v0") -> None:
        out = tmp_path / "out" / "out.bin"
        out.parent.mkdir()
        begin = time.process_time()
        assert main([str(path), str(out), "--format", form]) == code
        assert time.process_time() - begin < 5
        message = capsys.readouterr().err
        assert words in message
        assert message.startswith("tools/export: ") and message.endswith("\n") and len(message) < 700
        assert message[:-1].isprintable()
        assert not list(out.parent.iterdir())

    return check
