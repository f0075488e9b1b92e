"""tools/story with a Meson that only notes what it is asked for: options, progress, and when it configures again."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MESON = r"""#!/bin/sh
echo "$*" >>"$NOTES"
case $1 in
    setup)
        case "$*" in *-Dtarget=none*)
            echo 65 >"$STORYBAKE_EXIT_CODE"
            echo 'meson.build:1:0: ERROR: Problem encountered: storybake: tale_q8.bin: no target'; exit 1 ;;
        esac
        case "$*" in *-Dweights=q9*)
            echo 'meson.build:1:0: ERROR: Value "q9" for option "weights" is not one of the choices'; exit 1 ;;
        esac
        mkdir "$2" 2>/dev/null || [ -e "$2/build.ninja" ] || { echo "KeyError: 'options'"; exit 1; }
        [ ! -e cut ] || {
            printf "OSError: [Errno 28] No space left on device\n\nERROR: Unhandled python OSError. This is no Meson bug\n"; exit 1; }
        mkdir -p "$2/meson-info" && : >"$2/build.ninja"
        printf '#!/bin/sh\necho "told: $*"\n' >"$2/odd name" && chmod +x "$2/odd name"
        cat >"$2/meson-info/intro-targets.json" <<END
[{"name": "other", "type": "executable", "defined_in": "tests/meson.build", "filename": ["/no"]},
 {"name": "a", "type": "static library", "defined_in": "meson.build", "filename": ["/no"]},
 {"name": "odd name", "type": "custom", "defined_in": "meson.build", "filename": ["$PWD/$2/odd name"]},
 {"name": "program", "type": "alias", "defined_in": "meson.build", "filename": []}]
END
        ;;
    compile)
        [ ! -e slip ] || { printf 'FAILED: a.o\na.cpp:1:1: error: expected ;\nninja: build stopped\n'; exit 1; }
        [ ! -e full ] || {
            echo 74 >"$STORYBAKE_EXIT_CODE"
            printf 'FAILED: weights.bin\nstorybake: no room for weights.bin\nninja: build stopped\n'; exit 1; }
        printf 'ninja: Entering directory\n[1/2] Compiling a\n[2/2] Linking b\n' ;;
esac
"""
Tell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with spaces in its path, of which there is what tools/story needs."""
    folder = tmp_path / "a checkout, f\u00fcr mich"
    (folder / "tools").mkdir(parents=True)
    for name in ("story", "help.sh"):
        shutil.copy(ROOT / "tools" / name, folder / "tools" / name)
    (folder / "models").mkdir()
    for name in ("tale_q8.bin", "tale.tokenizer.bin", "my other.model.bin"):
        (folder / "models" / name).write_bytes(b"")
    (folder / "bin").mkdir()
    for path, text in (("bin/meson", MESON), ("tools/setup", '#!/bin/sh\necho "tools/setup $*" >>"$NOTES"\n')):
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    return folder


@pytest.fixture
def environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", "NOTES": str(checkout / "notes"), "TERM": "xterm"}


@pytest.fixture
def tell(checkout: Path, environment: dict[str, str]) -> Tell:
    def told(*words: str) -> subprocess.CompletedProcess[str]:
        (checkout / "notes").write_text("")
        return subprocess.run([checkout / "tools/story", *words], env=environment, capture_output=True, text=True, check=False)

    return told


def notes(checkout: Path) -> list[str]:
    return (checkout / "notes").read_text().splitlines()


def test_it_builds_its_program_alone_and_installs_what_a_story_needs(tell: Tell, checkout: Path) -> None:
    result = tell("-i", "Once upon", "-s", "42")
    assert (result.returncode, result.stdout) == (0, "told: -t 0.8 -n 0 -i Once upon -s 42\n"), result.stderr
    setup, configure, compiling = notes(checkout)
    assert setup == "tools/setup story"
    assert configure.startswith("setup build-story/tale_q8 -Dstoryteller=disabled -Dunity=on -Dunity_size=100 ")
    assert str(checkout / "models/tale_q8.bin") in configure
    assert compiling == "compile -C build-story/tale_q8 program"
    assert result.stderr.splitlines()[1:] == ["tools/story: [1/2]", "tools/story: [2/2]"], "plain lines"


def test_a_standard_error_that_takes_nothing_stops_no_build(checkout: Path, environment: dict[str, str]) -> None:
    """Full, or without a reader."""
    gone, into = os.pipe()
    os.close(gone)
    for closing, stderr in (("2>/dev/full", subprocess.PIPE), ("", into)):
        shutil.rmtree(checkout / "build-story", ignore_errors=True)
        script = ["sh", "-c", f'exec "$0" -s 42 {closing}', checkout / "tools/story"]
        done = subprocess.run(script, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "told: -t 0.8 -n 0 -s 42\n")
    os.close(into)


def test_the_options_of_the_build_are_passed_on_and_configure_again_when_they_change(tell: Tell, checkout: Path) -> None:
    model, tokenizer = str(checkout / "models/my other.model.bin"), str(checkout / "models/tale.tokenizer.bin")
    words = ["--model", model, f"--tokenizer={tokenizer}", "--weights", "q4", "--target=portable"]
    assert tell(*words, "-n", "3").stdout == "told: -t 0.8 -n 0 -n 3\n"
    always = "-Dstoryteller=disabled -Dunity=on -Dunity_size=100"
    expected = f"-Dmodel={model} -Dtokenizer={tokenizer} -Dweights=q4 -Dtarget=portable"
    assert notes(checkout)[1] == f"setup build-story/my other.model {always} {expected}"
    assert tell(*words).returncode == 0
    assert [note.split()[0] for note in notes(checkout)] == ["tools/setup", "compile"], "as it was"
    assert tell(*words[:-1]).returncode == 0
    again = f"setup build-story/my other.model {always} {expected.replace('portable', 'auto')} --reconfigure"
    assert notes(checkout)[1] == again
    elsewhere = checkout / "my other.model.bin"
    elsewhere.write_bytes(b"")
    assert tell("--model", str(elsewhere)).returncode == 0
    assert f"-Dmodel={elsewhere} -Dtokenizer= -Dweights=auto" in notes(checkout)[1], "another model of the same name"


def test_what_can_not_be_baked_is_one_line(tell: Tell, checkout: Path) -> None:
    for _ in range(2):  # nothing half-done is left that the second would take
        result = tell("--weights=q9")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.splitlines()[-1].startswith("tools/story: ") and 'Value "q9"' in result.stderr
        assert notes(checkout)[1].startswith("setup ")
    assert tell().returncode == 0


def test_the_exit_code_of_a_bake_that_failed_is_the_generators(tell: Tell, checkout: Path) -> None:
    result = tell("--target=none")
    assert (result.returncode, result.stdout) == (65, "")
    assert "tale_q8.bin could not be baked: tale_q8.bin: no target (all of it: " in result.stderr.splitlines()[-1]
    (checkout / "full").touch()
    result = tell()
    assert (result.returncode, result.stdout) == (74, "")
    assert "could not be baked: no room for weights.bin (all" in result.stderr.splitlines()[-1]
    (checkout / "full").unlink()
    (checkout / "slip").touch()
    result = tell()
    assert (result.returncode, result.stdout) == (1, ""), "the generator ended with none"
    assert "could not be baked: a.cpp:1:1: error: expected ; (all" in result.stderr.splitlines()[-1]
    (checkout / "slip").unlink()
    assert tell().returncode == 0


def test_a_full_disk_leaves_nothing_that_the_next_setup_would_stumble_over(tell: Tell, checkout: Path) -> None:
    (checkout / "cut").touch()
    for _ in range(2):
        result = tell()
        assert (result.returncode, result.stdout) == (74, "")
        assert "could not be baked: No space left on device; make room and run this again (all" in result.stderr.splitlines()[-1]
        assert not (checkout / "build-story/tale_q8").exists()
    (checkout / "cut").unlink()
    (checkout / "build-story/tale_q8").mkdir()  # as a setup that was killed leaves it
    assert tell().returncode == 0
    (checkout / "cut").touch()
    assert tell("--weights=q4").returncode == 74
    (checkout / "cut").unlink()
    assert tell("--weights=q4").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--model"], 2, "--model: expected a value"),
        (["--weights", ""], 2, "--weights: expected a value"),
        (["--model", "/no/such.bin"], 66, "--model: /no/such.bin: no such file"),
        (["--tokenizer=/no/such.bin"], 66, "--tokenizer: /no/such.bin: no such file"),
    ],
)
def test_wrong_words(tell: Tell, words: list[str], code: int, told: str) -> None:
    result = tell(*words)
    assert (result.returncode, result.stdout) == (code, "") and told in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["a\nb.bin", "a|b.bin"])
def test_a_name_that_no_build_can_hold(name: str, tell: Tell, checkout: Path) -> None:
    (checkout / name).write_bytes(b"")
    result = tell("--model", str(checkout / name))
    assert (result.returncode, result.stdout) == (65, "") and result.stderr.count("\n") == 1 and "rename it" in result.stderr


def test_nowhere_to_build(tell: Tell, checkout: Path) -> None:
    (checkout / "build-story").write_text("a file in the way, as a read-only checkout would be")
    result = tell()
    assert result.returncode == 74 and result.stderr.count("\n") == 1 and "can't write to" in result.stderr


def test_on_a_terminal_one_line_renews_itself(checkout: Path, environment: dict[str, str]) -> None:
    reader, writer = pty.openpty()
    with subprocess.Popen([checkout / "tools/story"], env=environment, stderr=writer, stdout=subprocess.PIPE, text=True) as process:
        os.close(writer)
        assert process.stdout and process.stdout.read() == "told: -t 0.8 -n 0\n"
    shown = b""
    try:
        while block := os.read(reader, 4096):
            shown += block
    except OSError:  # EIO: the other end is closed
        pass
    os.close(reader)
    assert process.returncode == 0
    assert shown.endswith(b"\r[1/2] Compiling a\x1b[K\r[2/2] Linking b\x1b[K\r\x1b[K")
