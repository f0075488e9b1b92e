"""tools/card with images made here, as Milk-V's are: a table of partitions, one that any computer can write, and Linux'."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "tools/card"
FIRST, SECOND = (2048, 64 * 2048), (66 * 2048, 32 * 2048)  # where the partitions begin, and their sizes; sectors of 512 bytes
PROGRAM = '#!/bin/sh\necho "started in $PWD with: $*"\nls en-us/mdef\n'


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build duo"
    folder.mkdir()
    (folder / "storyteller").write_text(PROGRAM)
    (folder / "storyteller").chmod(0o755)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Of 98 MB, with an older start script."""
    path = tmp_path / "duo's.img"
    table = bytearray(512)
    for n, ((begin, size), kind) in enumerate(((FIRST, 0x0C), (SECOND, 0x83))):
        struct.pack_into("<4xB3xII", table, 446 + 16 * n, kind, begin, size)
    table[510:] = b"\x55\xaa"
    with path.open("wb") as file:
        file.write(table)
        file.truncate((SECOND[0] + SECOND[1]) * 512)
    system = tmp_path / "system/etc/init.d"
    system.mkdir(parents=True)
    (system / "S99storyteller").write_text("an older one\n")
    usb = tmp_path / "system/mnt/system"
    usb.mkdir(parents=True)
    (usb / "usb-host.sh").write_text("echo host\n")
    (usb / "usb.sh").symlink_to("usb-rndis.sh")
    run("mformat", "-i", f"{path}@@{FIRST[0] * 512}", "-T", FIRST[1], "-h", 16, "-s", 63, "-F", "::")
    run("mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "system", "-E", f"offset={SECOND[0] * 512}", path, f"{SECOND[1] // 2}k")
    return path


def run(*words: object) -> str:
    """What a tool of the system says; skips the test where it is not installed."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    if shutil.which(str(words[0]), path=environment["PATH"]) is None:
        pytest.skip(f"no {words[0]}; run: tools/setup speech")
    return subprocess.run([str(word) for word in words], env=environment, text=True, capture_output=True, check=True).stdout


def card(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CARD, *words], env={**os.environ, **variables}, text=True, capture_output=True, check=False)


def in_first(image: Path, folder: Path) -> Path:
    """The files of an image's first partition, as the board sees them at /boot."""
    folder.mkdir(exist_ok=True)
    run("mcopy", "-n", "-o", "-i", f"{image}@@{FIRST[0] * 512}", "::*", folder)
    return folder


def in_second(image: Path, command: str) -> str:
    return run("debugfs", "-R", command, f"{image}?offset={SECOND[0] * 512}")


class Board:
    """A board whose card is a folder, with the start script that the image has."""

    def __init__(self, folder: Path, script: str, boot: Path, sound: bool = True) -> None:
        """Without sound nothing is started: the script unpacks, and says that no card can play."""
        self.folder = folder
        self.script, self.boot, self.root = folder / "S99storyteller", boot, folder / "root"
        for path in (folder, self.root, folder / "snd"):
            path.mkdir(exist_ok=True)
        if sound:
            (folder / "snd/pcmC1D0p").touch()
        self.script.write_text(script)

    def start(self, path: str = "/usr/bin:/bin") -> tuple[str, str]:
        """What the script says, and the program on the console."""
        words = {"FOLDER": self.root / "storyteller", "SOUND": self.folder / "snd", "LOG": self.folder / "console", "BOOT": self.boot,
                 "PIDFILE": self.folder / "pid", "CARD": "/nonexistent", "WAIT": 0, "WATCHDOG": 0}  # fmt: skip
        (self.folder / "defaults").write_text("".join(f"{name}='{value}'\n" for name, value in words.items()))
        environment = {"PATH": path, "STORYTELLER_DEFAULTS": str(self.folder / "defaults")}
        result = subprocess.run(
            ["busybox", "sh", "-c", '. "$0" start; wait', self.script],
            env=environment, text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        console = self.folder / "console"
        text = console.read_text() if console.exists() else ""
        console.unlink(missing_ok=True)
        return result.stderr, text


def board_of(image: Path, folder: Path, sound: bool = True) -> Board:
    return Board(folder, in_second(image, "cat /etc/init.d/S99storyteller"), in_first(image, folder.with_suffix(".boot")), sound)


def test_a_board_unpacks_what_the_image_has_and_starts_it(image: Path, build: Path, tmp_path: Path) -> None:
    result = card(image, build)
    assert (result.returncode, result.stderr) == (0, ""), result
    assert "Mode:  0755" in in_second(image, "stat /etc/init.d/S99storyteller")
    assert 'Fast link dest: "/mnt/system/usb-host.sh"' in in_second(image, "stat /mnt/system/usb.sh")
    run("e2fsck", "-fn", f"{image}?offset={SECOND[0] * 512}")
    board = board_of(image, tmp_path / "board")
    assert board.script.read_text() == (ROOT / "storyteller/S99storyteller").read_text()
    rules = (board.boot / "storyteller.txt").read_bytes()
    assert all(line.startswith(b"#") and line.endswith(b"\r") for line in rules.split(b"\n")[:-1])
    started = f"started in {board.root}/storyteller with: --loop --memory memory\nen-us/mdef\n"
    assert board.start() == ("", started)
    before = (board.root / "storyteller/storyteller").stat().st_ino
    assert board.start() == ("", started) and (board.root / "storyteller/storyteller").stat().st_ino == before, "unpacked once"


def test_a_new_program_comes_by_a_computer_and_the_rest_stays(image: Path, build: Path, tmp_path: Path) -> None:
    assert card(image, build).returncode == 0
    board = board_of(image, tmp_path / "board")
    board.start()
    (board.root / "storyteller/memory").write_text("what it remembers\n")
    (board.boot / "storyteller.txt").write_text("volume = 60\n")
    (build / "storyteller").write_text(PROGRAM.replace("started", "a new one"))
    assert card(board.boot, build).returncode == 0
    assert board.start()[1].startswith("a new one")
    assert (board.root / "storyteller/memory").read_text() == "what it remembers\n"
    assert (board.boot / "storyteller.txt").read_text() == "volume = 60\n"
    assert sorted(path.name for path in board.root.iterdir()) == ["storyteller"]
    assert card(image, build).returncode == 0 and in_first(image, board.boot).is_dir(), "and an image that has one"


def test_what_is_not_whole_is_not_unpacked(build: Path, tmp_path: Path) -> None:
    """A copy to the card that was broken off, and a board that loses its power, or has no room, at every step."""
    boot = tmp_path / "boot"
    boot.mkdir()
    assert card(boot, build).returncode == 0
    board = Board(tmp_path / "board", (ROOT / "storyteller/S99storyteller").read_text(), boot)
    whole = (boot / "storyteller.tar").read_bytes()
    (boot / "storyteller.tar").write_bytes(whole[:5000])
    said, console = board.start()
    assert "storyteller.tar is not whole: copy it again, with tools/card" in said and "no program in" in said and console == ""
    (boot / "storyteller.tar").write_bytes(whole)
    board.start()
    (build / "storyteller").write_text(PROGRAM.replace("started", "a new one"))
    assert card(boot, build).returncode == 0
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("tar", "cp", "mv", "mkdir"):  # the step that fails, as on a card that is full; or takes the power with it
        for text in ("exit 1", "kill -9 $PPID; exit 1"):
            (board.root / "storyteller/memory").write_text("kept")
            (tools / name).write_text(f"#!/bin/sh\n{text}\n")
            (tools / name).chmod(0o755)
            said, console = board.start(f"{tools}:/usr/bin:/bin")
            assert "kill" in text or "could not unpack" in said and console.startswith("started in"), (name, said, console)
            (tools / name).unlink()
            (board.root / "storyteller/unpacked").write_text("older\n")
            (board.root / "storyteller/storyteller").write_text(PROGRAM)
            assert (board.root / "storyteller/memory").read_text() == "kept"
    # The power fails between the two folders.
    (board.root / "storyteller").rename(board.root / "storyteller.old")
    said, console = board.start()
    assert said == "" and console.startswith("a new one") and (board.root / "storyteller/memory").read_text() == "kept"


def test_a_root_that_cannot_be_written_goes_on_with_its_program(build: Path, tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    assert card(boot, build).returncode == 0
    board = Board(tmp_path / "board", (ROOT / "storyteller/S99storyteller").read_text(), boot)
    board.start()
    (build / "storyteller").write_text(PROGRAM.replace("started", "a new one"))
    assert card(boot, build).returncode == 0
    mount = f"mount --bind {board.root} {board.root} && mount -o remount,bind,ro {board.root}"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("a read-only mount of its own is root's")
    board.script.write_text(f"{mount}\n{board.script.read_text()}")
    result = subprocess.run(
        ["unshare", "-m", "busybox", "sh", "-c", '. "$0" start; wait', board.script], text=True, capture_output=True, check=False,
        env={"PATH": "/usr/bin:/bin", "STORYTELLER_DEFAULTS": str(board.folder / "defaults")},
    )  # fmt: skip
    assert "could not unpack" in result.stderr and (board.folder / "console").read_text().startswith("started in"), result


@pytest.mark.parametrize(("variable", "runner"), [("STORYBAKE_STORYTELLER", []), ("STORYBAKE_STORYTELLER_DUO", [ROOT / "tools/run-riscv"])])
def test_the_program_of_the_image_tells(variable: str, runner: list[Path], image: Path, tmp_path: Path) -> None:
    """This machine's, and the board's in the emulator of user programs, which is as far as an image can be started here."""
    program = Path(os.environ.get(variable, "/nonexistent"))
    if not program.is_file():
        pytest.skip(f"no storyteller in {variable}; build one with -Dstoryteller=enabled")
    result = card(image, program.parent)
    assert (result.returncode, bool(runner)) == (0, "is not for a RISC-V board" not in result.stderr), result
    # Leave a foreign program unstarted: where the system can't, a shell would read its bytes as a script.
    board = board_of(image, tmp_path / "board", sound=not runner)
    said, console = board.start()
    assert console == "" if runner else said == "", (said, console)
    unpacked = board.root / "storyteller/storyteller"
    assert unpacked.read_bytes() == program.read_bytes()
    words = [*runner, unpacked, "--wish", "a dragon", "--mute", "--max-sentences", "1", "-s", "7"]
    result = subprocess.run(words, text=True, capture_output=True, cwd=unpacked.parent, check=False, stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and result.stdout.strip().endswith((".", "!", "?", '"')), result
    info = subprocess.run([*runner, unpacked, "--info"], text=True, capture_output=True, check=False, cwd=unpacked.parent)
    assert "no acoustic model" not in info.stdout and info.returncode == 0, "it has its ears beside it"


def test_names_that_begin_with_a_dash(build: Path, tmp_path: Path) -> None:
    build.rename(tmp_path / "-b")
    (tmp_path / "-card").mkdir()
    made = subprocess.run([CARD, "-card", "-b"], cwd=tmp_path, text=True, capture_output=True, check=False)
    assert made.returncode == 0 and "./-card: has the storyteller" in made.stdout, made
    assert {path.name for path in (tmp_path / "-card").iterdir()} == {"storyteller.sum", "storyteller.tar", "storyteller.txt"}


def test_a_program_of_another_machine_is_named(build: Path, tmp_path: Path) -> None:
    """It would not start, or a shell would read it as a script; one that is a script, or a RISC-V program, is for the board."""
    boot = tmp_path / "boot"
    boot.mkdir()
    for machine, name in ((62, "x86-64"), (183, "aarch64"), (40, "ELF machine 40"), (243, "")):
        (build / "storyteller").write_bytes(struct.pack("<4s14xB45x", b"\x7fELF", machine))
        result = card(boot, build)
        expected = f"tools/card: {build}/storyteller is not for a RISC-V board: expected riscv64, it is for {name}; "
        assert result.returncode == 0, result
        assert result.stderr.startswith(expected) and result.stderr.count("\n") == 1 if name else result.stderr == "", (machine, result)


def test_what_is_no_card_is_refused(image: Path, build: Path, tmp_path: Path) -> None:
    table = image.read_bytes()[:512]
    cases = {
        "no image of a card": table[:510] + b"\0\0", "its first partition is of type 131": table[:450] + b"\x83" + table[451:],
        "its second partition is of type 0": table[:466] + b"\0" + table[467:],
        "its first partition has no FAT": table,
    }  # fmt: skip
    for message, content in cases.items():
        (tmp_path / "bad.img").write_bytes(content + bytes(100_000))
        result = card(tmp_path / "bad.img", build)
        assert result.returncode == 65 and message in result.stderr and result.stderr.count("\n") == 1, (message, result)
    with image.open("r+b") as file:  # no second file system
        file.seek(SECOND[0] * 512)
        file.write(bytes(4096))
    result = card(image, build)
    assert result.returncode == 74 and "could not write /etc/init.d/S99storyteller to its second partition" in result.stderr, result


def test_what_is_missing_is_said(image: Path, build: Path, tmp_path: Path) -> None:
    for words, code, message in (
        ((), 2, "expected an image or a folder"), ((tmp_path / "none", build), 66, "no such image or folder"),
        ((image, tmp_path), 66, "no storyteller yet; build it with: meson setup"),
    ):  # fmt: skip
        result = card(*words)
        assert (result.returncode, message in result.stderr) == (code, True), result
    (build / "storyteller").write_bytes(os.urandom(70_000_000))
    result = card(image, build)
    assert result.returncode == 74 and "could not write storyteller.tar to its first partition" in result.stderr, result
    assert card("--help", PATH="/nonexistent").stdout.startswith("Puts the storyteller onto a card")
