"""Every command of Python's that a build runs, when its surroundings fail: descriptors that are closed, readers that leave, disks that
are full, folders that may not be written, processes that are killed, pipes in place of files, locales that lie."""

from __future__ import annotations

import itertools
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import seeded  # noqa: E402
from locales import locale  # noqa: E402

from codegen.seal import FIELDS, HEADER, MARK  # noqa: E402
from storyteller.wishes import OWN_WORDS  # noqa: E402

CLOSED = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]
SURROUNDINGS = {
    "plain C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "Turkish": {"TZ": "Europe/Istanbul"},
    "nowhere": {"HOME": "/no/such/folder", "TMPDIR": "/no/such/folder", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "0"},
}
# Runs a command as Python's own -m or a file's name would, and ends it, as SIGKILL does, where a finished file would take its name
# for the Nth time.
KILLED = """
import os, runpy, signal, sys
left = [int(sys.argv.pop(1))]
def replace(source, target, replace=os.replace):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, target)
os.replace = replace
del sys.argv[0]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Inputs:
    """The files that the commands of a build read."""

    model: Path
    tokenizer: Path
    topics: Path
    dictionary: Path
    linked: Path
    watched: Path
    table: Path

    @staticmethod
    def make(folder: Path) -> Inputs:
        model = seeded.write(folder, "odd_q8")
        program = b"\x7fELF\x02\x01" + bytes(26) + struct.pack("<2Q", HEADER, 0) + bytes(6) + struct.pack("<2H", 56, 1) + bytes(6)
        program += struct.pack("<2I6Q", 1, 4, 0, 0, 0, 4096, 4096, 4096) + MARK + bytes(FIELDS.size)
        texts = {
            "odd_q8.topics.txt": b"a dragon\nthe sea\n",
            "dictionary": "".join(f"{word} AH\n" for word in (*OWN_WORDS, "dragon", "sea")).encode(),
            "linked": program.ljust(4096, b"\xaa"),
            "bake.json": json.dumps({"arguments": [], "files": [str(model)], "folders": []}).encode(),
            "options.inc": (ROOT / "runtime" / "options.inc").read_bytes(),
        }
        for name, text in texts.items():
            (folder / name).write_bytes(text)
        topics, *others = (folder / name for name in texts)
        return Inputs(model, model.with_name("odd_q8.tokenizer.bin"), topics, *others)


# What a build calls each, its words, and the files among them that it reads.
COMMANDS: dict[str, Callable[[Inputs, Path], list[object]]] = {
    "codegen facts": lambda files, out: [
        "-m", "codegen", "facts", files.model, "--tokenizer", files.tokenizer, "--save", out / "bake.json",
    ],
    "codegen code": lambda files, out: ["-m", "codegen", "code", files.model, "--output", out],
    "codegen data": lambda files, out: ["-m", "codegen", "data", files.model, "--tokenizer", files.tokenizer, "--output", out],
    "codegen values": lambda files, out: ["-m", "codegen", "values", files.model, "--output", out / "values"],
    "codegen sbom": lambda files, out: ["-m", "codegen", "sbom", files.model, "--compiler", "gcc=1", "--output", out / "sbom.cpp"],
    "codegen.seal": lambda files, out: ["-m", "codegen.seal", files.linked, out / "program"],
    "codegen/stamp.py": lambda files, out: ["-I", "-S", ROOT / "codegen" / "stamp.py", files.watched, out / "model.stamp"],
    "storyteller topics": lambda files, out: [
        "-m", "storyteller", "topics", files.model, "--topics", files.topics, "--dictionary", files.dictionary,
        "--save", out / "topics.json",
    ],
    "storyteller wishes": lambda files, out: [
        "-m", "storyteller", "wishes", files.model, "--topics", files.topics, "--dictionary", files.dictionary, "--output", out,
    ],
    "manual": lambda files, out: ["-m", "manual", "tale", "--version", "1", "--table", files.table, "--output", out],
}  # fmt: skip
# Says more than the files that it writes: the build reads facts from its standard output.
PRINTS = "codegen facts"


def ran(
    name: str, files: Inputs, out: Path, closing: str = "", killed: int = 0, file_size: int = 0, before: tuple[str, ...] = (),
    stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **env: str,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Runs a command of the build with descriptors as a shell's words say; killed at its Nth file; with a limit to files."""

    def limit() -> None:
        if file_size:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    words = [str(word) for word in COMMANDS[name](files, out)]
    if killed:
        words = ["-c", KILLED, str(killed), *(word for word in words if word not in ("-I", "-S"))]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | env
    if file_size:
        environment.pop("COVERAGE_PROCESS_START", None)  # which has a file of its own to write
    script = ["sh", "-c", f'exec "$@" {closing}', "sh", *before, sys.executable, *words]
    return subprocess.run(
        script, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, preexec_fn=limit,
        check=False, timeout=60,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, wherever it lies, but for the times that codegen/stamp.py keeps, which are of the run."""
    return {path.name: path.read_bytes().replace(bytes(folder), b"") for path in folder.iterdir() if not path.name.endswith(".seen")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale in which the small letter of I has no dot, and numbers have commas."""
    return locale("tr_TR", tmp_path_factory.mktemp("locales"))


@pytest.fixture(scope="module")
def expected(files: Inputs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, dict[str, bytes]]]:
    """What each command prints and writes, undisturbed."""
    written = {}
    for name in COMMANDS:
        folder = tmp_path_factory.mktemp("whole")
        done = ran(name, files, folder)
        assert (done.returncode, done.stderr) == (0, ""), done
        written[name] = done.stdout, contents(folder)
        assert written[name][1] and bool(done.stdout) == (name == PRINTS)
    return written


Expected = dict[str, tuple[str, dict[str, bytes]]]


def test_no_command_of_a_build_is_left_out() -> None:
    """Whatever Meson's files run of Python's is here."""
    text = "\n".join(path.read_text() for path in ROOT.glob("*/meson.build")) + (ROOT / "meson.build").read_text()
    called = {f"codegen {word}" for word in re.findall(r"(?:\[codegen|run_command\(codegen), '(\w+)'", text)}
    called |= {f"storyteller {word}" for word in re.findall(r"\bwishes_generator, '(\w+)'", text)}
    called |= {f"codegen/{file}" for file in re.findall(r"python, '-I', '-S', files\('codegen/([\w.]+)'\)", text)}
    tests = {"pytest", "codegen.goldens", "benchmarks"}
    modules = set(re.findall(r"'-m', '([\w.]+)'", text)) - tests - {"codegen", "storyteller"}
    assert called | modules == set(COMMANDS)


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.parametrize("command", ["codegen code", "codegen data"])
def test_surroundings_change_no_byte(
    command: str, name: str, files: Inputs, expected: Expected, tmp_path: Path, turkish: dict[str, str]
) -> None:
    result = ran(command, files, tmp_path, **SURROUNDINGS[name], **(turkish if name == "Turkish" else {}))
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(tmp_path) == expected[command][1]


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_descriptors(command: str, files: Inputs, expected: Expected, tmp_path: Path) -> None:
    """No file gets the number of one that was closed: what is written is whole, and no text is lost without a word."""
    told, whole = expected[command]
    for closed in CLOSED:
        out = tmp_path / "".join(map(str, closed))
        out.mkdir()
        done = ran(command, files, out, " ".join(f"{number}>&-" for number in closed))
        missed = command == PRINTS and 1 in closed
        assert (done.returncode, done.stdout) == (74 if missed else 0, "" if missed else told), (closed, done)
        assert done.stderr.count("\n") == (missed and 2 not in closed) and ("writing failed" in done.stderr) == bool(done.stderr)
        assert contents(out) == whole, closed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_standard_error_that_takes_nothing(command: str, files: Inputs, expected: Expected, tmp_path: Path) -> None:
    """Full, or without a reader, alone or with standard output: what is done and its exit code stay; what can't be said is lost."""
    told, whole = expected[command]
    (tmp_path / "file").write_bytes(b"")
    gone, into = os.pipe()
    os.close(gone)
    both_full = ">/dev/full 2>&1"
    for number, (closing, place) in enumerate([("2>/dev/full", subprocess.PIPE), ("", into), *[(both_full, into)] * (command == PRINTS)]):
        out = tmp_path / str(number)
        out.mkdir()
        done = ran(command, files, out, closing, stdout=place, stderr=place)
        assert done.returncode == (74 if closing == both_full else 0), done
        assert not done.stderr and (done.stdout or "") == (told if place == subprocess.PIPE else "")
        assert contents(out) == whole
        refused = ran(command, files, tmp_path / "file", closing, stdout=place, stderr=place)
        assert refused.returncode == 74 and not refused.stdout, refused
    os.close(into)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_74_and_leaves_whole_files_only(command: str, files: Inputs, expected: Expected, tmp_path: Path) -> None:
    _, whole = expected[command]
    result = ran(command, files, tmp_path, file_size=min(1000, max(map(len, whole.values())) - 1))
    assert (result.returncode, result.stdout) == (74, "")
    assert result.stderr.count("\n") == 1 and "can't be written: File too large; check the folder and free space" in result.stderr
    assert contents(tmp_path).items() <= whole.items()
    assert ran(command, files, tmp_path).returncode == 0
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_may_not_be_written_or_is_none_is_74(command: str, files: Inputs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "closed").mkdir(mode=0o555)
    as_others = ("setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override") if os.geteuid() == 0 else ()
    for folder, before in (("file", ()), ("closed", as_others)):
        result = ran(command, files, tmp_path / folder, before=before)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (74, "", 1), result
        assert "can't be written: " in result.stderr and "; check the folder and free space" in result.stderr
    assert not list((tmp_path / "closed").iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_half_way_the_next_run_repairs(command: str, files: Inputs, expected: Expected, tmp_path: Path) -> None:
    _, whole = expected[command]
    for file in range(1, min(len(whole), 3) + 1):
        out = tmp_path / str(file)
        out.mkdir()
        assert ran(command, files, out, killed=file).returncode == -signal.SIGKILL
        left = contents(out)
        (part,) = (name for name in left if name.endswith(".part"))  # what it was about to rename
        del left[part]
        assert len(left) == file - 1 and left.items() <= whole.items()
        assert ran(command, files, out).returncode == 0
        assert contents(out) == whole, "and nothing of what was left"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_in_place_of_a_file_is_none(command: str, tmp_path: Path) -> None:
    """What is read is looked at first: a pipe that nobody writes to would stop a build for good."""
    inputs = Inputs.make(tmp_path)
    (tmp_path / "out").mkdir()
    named = {word for word in COMMANDS[command](inputs, tmp_path / "out") if isinstance(word, Path)} & set(vars(inputs).values())
    if command.startswith("storyteller"):
        named -= {inputs.model}  # of which its name counts
    if command == "codegen/stamp.py":
        named = {inputs.model}  # which is watched, by a list of the build's own
    assert named
    for path in named:
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        done = ran(command, inputs, tmp_path / "out")
        path.unlink()
        path.write_bytes(content)
        if command == "codegen/stamp.py":  # another state of the files; the command that reads them refuses it
            assert (done.returncode, done.stderr) == (0, "") and contents(tmp_path / "out"), done
        else:
            assert (done.returncode, done.stdout) == (66, "") and done.stderr.count("\n") == 1 and path.name in done.stderr, done
