"""The generator's own command lines: `python3 -m codegen COMMAND MODEL` and `python3 -m codegen.goldens`."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import seeded  # noqa: E402

from codegen import __main__ as generator  # noqa: E402
from codegen import goldens  # noqa: E402
from codegen.emit import OUTPUTS  # noqa: E402
from codegen.errors import BakeError, reason  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded.write(tmp_path_factory.mktemp("model"), "odd_q8")


def test_facts_are_what_the_build_needs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = model.with_name("odd_q8.tokenizer.bin")
    for named in ([], ["--tokenizer", str(tokenizer)]):
        assert generator.main(["facts", str(model), "--target", "portable", *named]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[:5] == ["name=odd_q8", "weight_types=q8", f"tokenizer={tokenizer}", "chat=", "target=portable"]
        assert [line.split("=")[0] for line in lines[5:]] == ["target_args", "target_header", "over_read"]


def test_the_arguments_are_kept_with_what_to_watch(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "bake.json"
    assert generator.main(["facts", str(model), "--name", "other", "--save", str(saved)]) == 0
    kept = json.loads(saved.read_text())
    beside = {model.name, "odd_q8.tokenizer.bin", "odd.tokenizer.bin", "tok301.bin", "tokenizer.bin", "odd_q8.draft", "odd.draft"}
    beside |= {"generation_config.json", "added_tokens.json", "chat_template.jinja", "chat_template.json"}  # as may yet appear
    assert {Path(file).name for file in kept["files"]} >= beside and kept["folders"] == []
    assert generator.main(["code", "--bake", str(saved), "--output", str(tmp_path / "code")]) == 0
    assert '"other"' in (tmp_path / "code" / "baked_model.hpp").read_text() + (tmp_path / "code" / "forward.cpp").read_text()
    capsys.readouterr()


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x1b[2Jb", "a\udcffb", "a|b"])
def test_a_name_that_no_build_can_hold_is_one_line(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert generator.main(["facts", str(folder / "m.bin")]) == 66
    for file in (model, model.with_name("odd_q8.tokenizer.bin")):
        (folder / file.name).write_bytes(file.read_bytes())
    assert generator.main(["facts", str(folder / model.name), "--save", str(tmp_path / "bake.json")]) == 65
    first, second = capsys.readouterr().err.splitlines()
    assert first.isprintable() and "no such file" in first
    assert second.isprintable() and "in a name, which a build can't hold; rename the file or its folder" in second


def test_a_machine_that_lacks_the_target_is_warned_of(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codegen.targets.cpu_extensions", lambda: frozenset({"sse2"}))
    assert generator.main(["facts", str(model), "--target", "x86-64-v3"]) == 0
    assert "target x86-64-v3: this machine's CPU lacks avx2" in capsys.readouterr().err.replace("avx avx2", "avx2")


def test_what_each_command_writes(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, written in (
        ("code", set(OUTPUTS)),
        ("data", {"weights.bin", "tokenizer.baked", "draft.baked", "packed_data.cpp"}),
    ):
        folder = tmp_path / command
        assert generator.main([command, str(model), "--output", str(folder)]) == 0
        assert {path.name for path in folder.iterdir()} == written
    assert generator.main(["values", str(model), "--output", str(tmp_path / "values")]) == 0
    assert (tmp_path / "values").read_bytes().startswith(b"storybake values 1\ndim 36\n")
    assert generator.main(["explain", str(model)]) == 0
    assert "odd_q8" in capsys.readouterr().out


def test_errors_are_one_line_and_a_code(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone.bin"
    shutil.copy(model, alone)
    for arguments, code, words in (
        (["facts", str(tmp_path / "none.bin")], 66, "no such file"),
        (["facts", str(alone)], 66, "no tokenizer beside it"),
        (["facts", str(model), "--target", "sse9"], 2, "found 'sse9'"),
    ):
        assert generator.main(arguments) == code
        error = capsys.readouterr().err
        assert words in error.lower() and error.count("\n") == 1, error
    told = tmp_path / "told"
    for name, text in ((told, "66\n"), (tmp_path / "no" / "folder", "")):
        monkeypatch.setenv("STORYBAKE_EXIT_CODE", str(name))
        assert generator.main(["facts", str(alone)]) == 66, "wherever the code is told as well"
        assert (name.read_text() if text else "") == text and capsys.readouterr().err.count("\n") == 1


# ---- as processes: their descriptors

CLOSED = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]


def as_process(module: str, *words: str, closing: str = "") -> subprocess.CompletedProcess[bytes]:
    """Runs a command of the generator with descriptors as a shell's words say."""
    script = ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-m", module, *words]
    return subprocess.run(script, capture_output=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


@pytest.mark.parametrize("closed", CLOSED, ids=lambda closed: "".join(map(str, closed)))
def test_closed_descriptors(closed: tuple[int, ...], model: Path, tmp_path: Path) -> None:
    """No file gets the number of one that was closed: what is written is whole, and no text is lost without a word."""
    closing = " ".join(f"{number}>&-" for number in closed)
    whole, path = tmp_path / "whole", tmp_path / "file"
    assert as_process("codegen.export", str(model), str(whole)).returncode == 0
    exported = as_process("codegen.export", str(model), str(path), closing=closing)
    assert (exported.returncode, exported.stdout) == (0, b"") and path.read_bytes() == whole.read_bytes()
    assert exported.stderr.count(b"\n") == (2 not in closed)


def test_text_that_can_not_be_written_and_a_reader_that_leaves(model: Path) -> None:
    for words in (["explain", str(model)], ["--help"]):
        full = as_process("codegen", *words, closing=">/dev/full")
        assert full.returncode == 74 and full.stderr.endswith(b": standard output: writing failed: No space left on device\n"), full
        assert full.stderr.count(b"\n") == 1
        gone, into = os.pipe()
        os.close(gone)
        with os.fdopen(into, "wb") as nobody:
            left = subprocess.run([sys.executable, "-m", "codegen", *words], stdout=nobody, stderr=subprocess.PIPE, check=False, cwd=ROOT)
        assert (left.returncode, left.stderr) == (0, b"")


@pytest.mark.parametrize(("said", "why", "code"), [
    ("[1/2] c++ a\nFAILED: a.o\na.cpp:1:1: error: expected ;\nninja: build stopped\n", "a.cpp:1:1: error: expected ;", 65),
    ("The Meson build system\nmeson.build:9:0: ERROR: no such target\n\nA full log is in b\n", "no such target", 65),
    ("storybake: m.bin: truncated\n", "m.bin: truncated", 65),
    ("", "it said nothing", 65),
    ("Traceback:\nOSError: [Errno 28] No space left on device\n\nERROR: Unhandled python OSError.\n", "No space left on device", 74),
    ("OSError: [Errno 30] Read-only file system: '/b'\n", "Read-only file system: '/b'", 74),
    ("a.cpp:1:1: fatal error: error writing to /tmp/a.s: No space left on device\n", "a.s: No space left on device", 74),
    ("storybake: weights.bin: can't be written: Disk quota exceeded; check\n", "weights.bin: can't be written: Disk quota", 74),
], ids=range(8))  # fmt: skip
def test_what_a_failed_build_says_of_why(said: str, why: str, code: int) -> None:
    found, exit_code = reason(said)
    assert why in found and "\n" not in found and exit_code == code and not found.startswith(("storybake", "OSError"))


def test_an_edit_that_no_plan_can_be_made_with_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BakeError("duo: expected registers of 128 bits, found 7")

    monkeypatch.setattr(goldens, "make_plan", refuse)
    for arguments in ([], ["--check"]):
        assert goldens.main(arguments) == 65
        assert capsys.readouterr() == ("", "tools/regen: duo: expected registers of 128 bits, found 7\n")


def test_goldens_are_compared_written_and_tidied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "generated"
    folder.mkdir()
    table = (goldens.FOLDER / "models.toml").read_text()
    (folder / "models.toml").write_text(table)
    monkeypatch.setattr(goldens, "FOLDER", folder)
    monkeypatch.setattr(goldens.differences, "__defaults__", (folder,))
    monkeypatch.setattr(goldens.golden_sources, "__defaults__", (folder,))
    monkeypatch.setattr(goldens, "golden_sources", functools.cache(goldens.golden_sources))  # rendered once: it takes seconds
    assert goldens.main([]) == 0
    written = capsys.readouterr().out.splitlines()
    assert len(written) == len(goldens.golden_sources()) > 20
    assert goldens.main(["--check"]) == 0 and goldens.main([]) == 0
    assert capsys.readouterr().out == "", "nothing is written twice"
    (tmp_path / written[0]).write_text("by hand\n")
    (folder / "orphan.cpp").write_text("")
    assert goldens.main(["--check"]) == 1
    said = capsys.readouterr()
    assert "-by hand" in said.out and "orphan.cpp: nothing emits this file" in said.out and "tools/regen" in said.err
    assert goldens.main([]) == 0
    assert capsys.readouterr().out.splitlines() == [written[0], "generated/orphan.cpp removed"]
    for arguments in (["--chekc"], ["--diff"], ["--check", "a.bin"], ["a.bin"], ["--target", "duo"]):
        with pytest.raises(SystemExit) as stopped:
            goldens.main(arguments)
        assert stopped.value.code == 2 and "tools/regen: error: " in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(tmp_path: Path) -> None:
    """Of any command, also of one that looks for none itself."""
    main = "def main(words):\n    print('half')\n    raise KeyboardInterrupt\n"
    script = f"from codegen.command import run_command\n{main}run_command('x', main)"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, "")
