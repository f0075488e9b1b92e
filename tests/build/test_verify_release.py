"""tools/verify-release: a program is what a tarball makes, or it is said where it differs and what it was made of."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import seeded  # noqa: E402


def run(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)


def refused(result: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (code, "", 1), result.stderr
    assert all(part in result.stderr for part in ("tools/verify-release: ", *parts)), result.stderr


def tarball(path: Path, *names: str) -> Path:
    """The working tree's files as a release has them, and others."""
    listed = run("git", "ls-files", "-co", "--exclude-standard").stdout.split("\n")
    with tarfile.open(path, "w") as archive:
        for name in filter(None, listed):
            if (ROOT / name).is_file() and not name.startswith(("tests/golden", "models/engine", "docs/")):
                archive.add(ROOT / name, f"storybake-1/{name}")
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def test_a_program_is_what_its_sources_make(tmp_path: Path) -> None:
    model = seeded.write(tmp_path, "one_q8")
    options = (f"-Dmodel={model}", "-Dtarget=portable", "-Doptimization=1", "-Dopenmp=disabled")
    build = tmp_path / "build"
    assert run("meson", "setup", build, *options, "-Dstoryteller=disabled").returncode == 0
    assert run("meson", "compile", "-C", build, "one_q8").returncode == 0
    archive, program = tarball(tmp_path / "s.tar"), build / "one_q8"
    verified = run(ROOT / "tools/verify-release", archive, program, *options, cwd=tmp_path)
    assert (verified.returncode, verified.stderr) == (0, ""), verified.stderr
    assert verified.stdout == f"{program}: byte for byte what s.tar makes: {program.stat().st_size} bytes\n"
    damaged = bytearray(program.read_bytes())
    damaged[20000] ^= 1
    other = tmp_path / "one_q8"
    other.write_bytes(damaged.replace(b'"version": "12.', b'"version": "11.'))
    words = "made of gcc 11." if b'"version": "12.' in damaged else "libraries and model are the same"
    size = len(damaged)
    refused(run(ROOT / "tools/verify-release", archive, other, *options), 65, f"{size} bytes, rebuilt {size}, from byte 20000 on", words)


@pytest.mark.parametrize(("name", "words"), [("../x", "'../x': expected files and folders"), ("/x", "'/x': expected files")])
def test_a_tarball_that_leaves_its_folder(name: str, words: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    refused(run(ROOT / "tools/verify-release", tmp_path / "s.tar", "/bin/sh"), 65, words)


def test_what_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(b"no tarball" * 100)
    refused(run(ROOT / "tools/verify-release", tmp_path / "s.tar", "/bin/sh"), 65, "is no tarball that can be unpacked")
    refused(run(ROOT / "tools/verify-release", tmp_path / "t.tar", "/bin/sh"), 66, "t.tar: no such file")
    refused(run(ROOT / "tools/verify-release", tmp_path / "s.tar", tmp_path / "p"), 66, "p: can't be read: No such file")
    for files in (("/dev/zero", "/bin/sh"), (tmp_path, "/bin/sh"), (tmp_path / "s.tar", "/dev/zero"), (tmp_path / "s.tar", tmp_path)):
        refused(run(ROOT / "tools/verify-release", *files), 66, "can't be read: is not a regular file")
    with tarfile.open(tmp_path / "s.tar", "w"):
        pass
    refused(run(ROOT / "tools/verify-release", tmp_path / "s.tar", "/bin/sh"), 65, "expected one folder with a meson.build, found 0")


def test_sources_that_can_not_be_set_up(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        text = b"project('x', 'cpp')\nerror('no')\n"
        member = tarfile.TarInfo("x/meson.build")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    result = run(ROOT / "tools/verify-release", tmp_path / "s.tar", "/bin/sh")
    refused(result, 69, "meson setup build -Dstoryteller=disabled: failed: ", "ERROR: ", "give the release's own options")
