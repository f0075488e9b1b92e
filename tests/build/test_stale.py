"""No program is of an older model than its files: whatever the clock says, and whatever the compiler's cache holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import seeded
from test_build import TOGETHER, built

from codegen import draft
from codegen.tokenizer import TokenizerData, parse, to_bytes

DAY = 86_400 * 10**9  # nanoseconds


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return seeded.write(tmp_path / "models", "odd_q8")


def flip_a_scale(model: Path) -> None:
    data = bytearray(model.read_bytes())
    data[-5] ^= 1
    model.write_bytes(data)


def set_clock_back(build: Path) -> None:
    """Leaves a build as one that was made while the clock was a day ahead: its files, and what Ninja keeps of their dates."""
    for path in build.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + DAY))
    log = build / ".ninja_log"
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    assert any(len(words) == 5 for words in lines), "Ninja's log has another form: teach it to set_clock_back"
    later = ["\t".join([*words[:2], str(int(words[2]) + DAY), *words[3:]]) if len(words) == 5 else words[0] for words in lines]
    log.write_text("\n".join(later) + "\n")


def test_a_clock_that_was_set_back_and_files_from_the_past(model: Path, tmp_path: Path) -> None:
    """The model that takes the place of another is far older than all that was made of that one, which is from the future."""
    build, program = tmp_path / "b", tmp_path / "b" / "odd_q8"

    def fingerprint() -> str:
        info = subprocess.run([program, "--info"], capture_output=True, text=True, check=True).stdout
        assert subprocess.run([program, "--selftest"], capture_output=True, check=False).returncode == 0
        return next(line for line in info.splitlines() if "checkpoint" in line and "fingerprint" in line)

    built(build, "setup", build, f"-Dmodel={model}", "-Dstoryteller=disabled", "-Doptimization=1", *TOGETHER)
    built(build, "compile", "-C", build, "program")
    first, original = fingerprint(), model.read_bytes()
    set_clock_back(build)
    flip_a_scale(model)
    os.utime(model, (10**9, 10**9))
    built(build, "compile", "-C", build, "program")
    other = fingerprint()
    set_clock_back(build)
    model.write_bytes(original)
    os.utime(model, (10**9 - 1, 10**9 - 1))
    built(build, "compile", "-C", build, "program")
    assert other != first and fingerprint() == first


@pytest.fixture
def cached_build(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A build by a compiler with a cache of its own, which is empty, of a model with a table of guesses."""
    if not shutil.which("ccache"):
        pytest.skip("ccache is not here; run: tools/setup check")
    monkeypatch.setenv("CXX", "ccache g++")
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CCACHE_DISABLE", raising=False)
    write_guesses(model, 1)
    build = tmp_path / "b"
    built(build, "setup", build, f"-Dmodel={model}", "-Dstoryteller=disabled", "-Doptimization=1")
    yield build


def write_guesses(model: Path, guess: int) -> None:
    path = model.with_name("odd_q8.tokenizer.bin")
    slots = np.full(draft.SLOTS * 4, guess, np.uint32)
    model.with_suffix(draft.SUFFIX).write_bytes(draft.table_of(slots, parse(path.read_bytes(), 301, path.name), 301))


def swap_scores(model: Path) -> None:
    """Of two pieces; the table of guesses, which is of the vocabulary, stays what it is or is left out."""
    path = model.with_name("odd_q8.tokenizer.bin")
    data = parse(path.read_bytes(), 301, path.name)
    path.write_bytes(to_bytes(TokenizerData(data.pieces, (*data.scores[:-2], data.scores[-1], data.scores[-2]))))


CHANGES = {
    "weights.bin": flip_a_scale,
    "draft.baked": lambda model: write_guesses(model, 2),
    "tokenizer.baked": swap_scores,
}


@pytest.mark.parametrize("embedded", CHANGES)
def test_the_compilers_cache_gives_nothing_old_back(embedded: str, model: Path, cached_build: Path) -> None:
    """It knows a source by its text, of which the files that .incbin brings along are no part."""
    held = "libbaked.a.p/meson-generated_.._packed_data.cpp.o"
    files = [path for path in model.parent.iterdir() if path.is_file()]
    originals = {path: path.read_bytes() for path in files}
    seen = []
    for change in (lambda _: None, CHANGES[embedded], lambda _: [path.write_bytes(data) for path, data in originals.items()]):
        change(model)
        subprocess.run(["ninja", "-C", cached_build, held], capture_output=True, check=True)
        seen.append((cached_build / embedded).read_bytes())
        for name in CHANGES:
            assert (cached_build / name).read_bytes() in (cached_build / held).read_bytes(), f"the object holds another {name}"
    assert seen[0] == seen[2] != seen[1]
