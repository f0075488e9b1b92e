"""tools/deploy with a board that is a folder: its ssh and scp are scripts in PATH."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Logs in where no connection is open, which is a line in $BOARD.logins; with NO_KEY, not without a password.
SSH = """#!/bin/sh
control='' master='' batch=''
while :; do
    case $1 in
        -n) exec </dev/null ;;
        -fN) : ;;
        -o) shift; case $1 in
            ControlPath=*) control=${1#*=} ;;
            ControlMaster=yes) master=yes ;;
            BatchMode=yes) batch=yes ;;
        esac ;;
        -O) [ -e "$control" ] || exit 255
            [ "$2" != exit ] || rm "$control"
            exit 0 ;;
        *) break ;;
    esac
    shift
done
[ "$1" = me@board ] || { echo "ssh: Could not resolve hostname ${1#*@}" >&2; exit 255; }
if [ ! -e "$control" ]; then
    [ ! "$batch" ] || [ ! "$NO_KEY" ] || { echo "$1: Permission denied (publickey,password)." >&2; exit 255; }
    echo "$1" >>"$BOARD.logins"
    [ ! "$master" ] || { : >"$control"; exit 0; }
fi
shift
cd "$BOARD" && exec sh -c "$(printf %s "$*" | sed "s| /etc/| $BOARD/etc/|g; s|^/etc/|$BOARD/etc/|; s| /run/| $BOARD/run/|")"
"""
SCP = """#!/bin/sh
[ "$1 $3 $4 $5" = "-o -O -q -r" ] && [ -e "${2#ControlPath=}" ] || exit 2
shift 5
for last; do :; done
[ "${last%%:*}" = me@board ] || exit 1
while [ $# -gt 1 ]; do echo "${1##*/}" >>"$BOARD.copied"; cp -r "$1" "$BOARD/${last#*:}" || exit 1; shift; done
"""


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder whose program prints its arguments, a line each, and exits with 3."""
    folder = tmp_path / "build duo"
    (folder / "meson-info").mkdir(parents=True)
    program = folder / "tale"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\ncat tale.weights 2>/dev/null\nexit 3\n')
    program.chmod(0o755)
    storyteller = folder / "storyteller"
    storyteller.write_text('#!/bin/sh\ncat "${0%/*}/tale.weights" 2>/dev/null\nprintf "%s\\n" "$@"\n')
    storyteller.chmod(0o755)
    targets = [{"name": Path(n).name, "type": "custom", "filename": [str(folder / n)]} for n in ("tests/model_test", "tale")]
    (folder / "meson-info" / "intro-targets.json").write_text(json.dumps(targets))
    return folder


def deploy(tmp_path: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    board, tools = tmp_path / "board", tmp_path / "bin"
    for folder in (board, tools):
        folder.mkdir(exist_ok=True)
    for name, text in (("ssh", SSH), ("scp", SCP)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "BOARD": str(board), **variables}
    return subprocess.run([ROOT / "tools/deploy", *arguments], env=environment, text=True, capture_output=True)


def test_the_program_runs_on_the_board_with_its_arguments(tmp_path: Path, build: Path) -> None:
    words = ["-i", "It's \"1\" $HOME", "-t", "0"]
    ran = deploy(tmp_path, "me@board", build, *words)
    assert (ran.returncode, ran.stdout.splitlines(), ran.stderr) == (3, words, "")
    assert (tmp_path / "board" / "tale").is_file()


def test_a_model_may_begin_as_the_storyteller_does(tmp_path: Path, build: Path) -> None:
    (build / "tale").rename(build / "storyteller15M")
    targets = [{"name": n, "type": "custom", "filename": [str(build.resolve() / n)]} for n in ("storyteller", "storyteller15M")]
    (build / "meson-info" / "intro-targets.json").write_text(json.dumps(targets))
    assert deploy(tmp_path, "me@board", build, "a").stdout == "a\n" and (tmp_path / "board" / "storyteller15M").is_file()


def test_a_weights_file_goes_with_it(tmp_path: Path, build: Path) -> None:
    (build / "tale.weights").write_text("weights")
    assert deploy(tmp_path, "me@board", build).stdout.endswith("weights")


def test_a_board_that_is_not_there(tmp_path: Path, build: Path) -> None:
    ran = deploy(tmp_path, "me@elsewhere", build)
    assert ran.returncode == 69 and ran.stderr.count("\n") == 1
    assert "tools/deploy: could not reach me@elsewhere: ssh: Could not resolve hostname elsewhere" in ran.stderr


@pytest.mark.parametrize("options", [[], ["--storyteller"]])
def test_one_login_is_enough(tmp_path: Path, build: Path, options: list[str]) -> None:
    if options:
        acoustic_model()
    logins = tmp_path / "board.logins"
    places = tmp_path / "tmp"
    places.mkdir()
    deploy(tmp_path, *options, "me@board", build, TMPDIR=str(places))
    assert logins.read_text() == "me@board\n" and not list(places.iterdir()), "and nothing is left of it here"
    ran = deploy(tmp_path, *options, "me@board", build, NO_KEY="yes", TMPDIR=str(places))
    assert logins.read_text() == "me@board\n" * 2 and not list(places.iterdir())
    assert ran.stderr == "tools/deploy: me@board asks for a password; to be asked no more: ssh-copy-id me@board\n"


def test_a_connection_that_is_handed_on_stays_open(tmp_path: Path, build: Path) -> None:
    control = tmp_path / "ssh"
    for _ in range(2):
        assert deploy(tmp_path, "me@board", build, DEPLOY_CONTROL=str(control)).returncode == 3
    assert control.exists() and (tmp_path / "board.logins").read_text() == "me@board\n"


def copied(tmp_path: Path) -> list[str]:
    """What was copied since the last call."""
    notes = tmp_path / "board.copied"
    lines = notes.read_text().splitlines()
    notes.unlink()
    return lines


def acoustic_model() -> Path:
    for folder in (ROOT / ".toolchain/speech/usr", Path("/usr")):
        if (found := folder / "share/pocketsphinx/model/en-us/en-us").is_dir():
            return found
    pytest.skip("no acoustic model; run: tools/toolchain speech")


def test_the_storyteller_goes_with_its_acoustic_model(tmp_path: Path, build: Path) -> None:
    """Which is copied once, and again when it is not the same."""
    model = acoustic_model()
    (build / "tale.weights").write_text("weights\n")
    words = ["--wish", "a \"big\" dragon's", "--mute"]
    ran = deploy(tmp_path, "--storyteller", "me@board", build, *words)
    assert (ran.returncode, ran.stdout.splitlines(), ran.stderr) == (0, ["weights", *words], "")
    folder = tmp_path / "board/storyteller"
    assert sorted(path.name for path in folder.iterdir()) == ["en-us", "storyteller", "tale.weights"]
    for name in ("mdef", "means", "sendump", "feat.params"):
        assert (folder / "en-us" / name).read_bytes() == (model / name).read_bytes()
    assert copied(tmp_path) == ["storyteller", "tale.weights", "en-us"]
    assert deploy(tmp_path, "--storyteller", "me@board", build).returncode == 0
    assert copied(tmp_path) == ["storyteller", "tale.weights"]
    (folder / "en-us/sendump").write_bytes(b"half")
    assert deploy(tmp_path, "--storyteller", "me@board", build).returncode == 0
    assert copied(tmp_path) == ["storyteller", "tale.weights", "en-us"]
    assert (folder / "en-us/sendump").read_bytes() == (model / "sendump").read_bytes()


def test_the_service_starts_it_with_the_power(tmp_path: Path, build: Path) -> None:
    """The board's own script, which finds no sound card in the folder that plays the board, and says so."""
    acoustic_model()
    board = tmp_path / "board"
    (board / "etc/init.d").mkdir(parents=True)
    (board / "storyteller.conf").write_text(f"FOLDER={board}/storyteller\nSOUND={board}\nWAIT=0\nPIDFILE={board}/pid\n")
    ran = deploy(tmp_path, "--service", "me@board", build, STORYTELLER_DEFAULTS=str(board / "storyteller.conf"))
    assert ran.returncode == 1 and "no sound card" in ran.stderr
    script = board / "etc/init.d/S99storyteller"
    assert script.read_bytes() == (ROOT / "storyteller/S99storyteller").read_bytes() and os.access(script, os.X_OK)
    assert not [path.name for path in (board / "storyteller").glob("[Ss]*ry*") if path.suffix or path.name[0] == "S"]


def test_the_service_is_systemds_where_that_runs(tmp_path: Path, build: Path) -> None:
    """As on a Raspberry Pi: for a user that is not root, started now and with the power."""
    acoustic_model()
    board, bin = tmp_path / "board", tmp_path / "bin"
    (board / "run/systemd/system").mkdir(parents=True)
    bin.mkdir()
    for name in ("systemctl", "loginctl"):
        (bin / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"$BOARD.said"\n')
        (bin / name).chmod(0o755)
    ran = deploy(tmp_path, "--service", "me@board", build, HOME=str(board))
    assert (ran.returncode, ran.stderr) == (0, "")
    unit = board / ".config/systemd/user/storyteller.service"
    assert unit.read_bytes() == (ROOT / "storyteller/storyteller.service").read_bytes()
    assert sorted(path.name for path in (board / "storyteller").iterdir()) == ["en-us", "storyteller"]
    said = (tmp_path / "board.said").read_text().splitlines()
    assert said == [
        "loginctl enable-linger", "systemctl --user daemon-reload", "systemctl --user enable storyteller",
        "systemctl --user restart storyteller",
    ]  # fmt: skip
    if not shutil.which("systemd-analyze"):
        pytest.skip("the unit's words are checked by systemd-analyze, which is not here")
    verify = ["systemd-analyze", "--user", "verify", str(unit)]
    there = os.environ | {"HOME": str(board), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert subprocess.run(verify, capture_output=True, text=True, env=there).stderr == ""
    unit.write_text(unit.read_text().replace("Restart=", "Restrat="))
    assert "Unknown key" in subprocess.run(verify, capture_output=True, text=True, env=there).stderr, "it looks at nothing"


def test_a_dry_run_shows_what_would_be_done(tmp_path: Path, build: Path) -> None:
    acoustic_model()
    (tmp_path / "board").mkdir()
    ran = deploy(tmp_path, "--dry-run", "--service", "me@elsewhere", build)
    assert (ran.returncode, ran.stderr, list((tmp_path / "board").iterdir())) == (0, "", [])
    lines = [shlex.split(line) for line in ran.stdout.splitlines()]
    assert [line[0] for line in lines] == ["ssh", "scp", "ssh", "ssh", "ssh", "ssh"]
    assert str(build / "storyteller") in lines[1] and lines[1][-1] == "me@elsewhere:storyteller/new"
    assert lines[-1][:2] == ["ssh", "me@elsewhere"] and "/etc/init.d/S99storyteller restart" in lines[-1][2]
    ran = deploy(tmp_path, "--dry-run", "me@elsewhere", build, "-i", "It's")
    assert shlex.split(shlex.split(ran.stdout.splitlines()[-1])[2]) == ["./tale", "-i", "It's"]


def test_usage_and_missing_builds(tmp_path: Path, build: Path) -> None:
    assert deploy(tmp_path, "me@board").returncode == 2
    assert deploy(tmp_path, "me@board", tmp_path).returncode == 66
    for words in (("--service", "me@board", build, "--loop"), ("--all", "me@board", build)):
        assert deploy(tmp_path, *words).returncode == 2
    for name, options in (("tale", ()), ("storyteller", ("--storyteller",))):
        (build / name).unlink()
        ran = deploy(tmp_path, *options, "me@board", build)
        assert ran.returncode == 66 and "yet; build it with: meson compile -C" in ran.stderr
