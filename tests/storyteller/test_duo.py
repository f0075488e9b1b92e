"""The storyteller for the Milk-V Duo, in the emulator: the same story as here, spoken and heard; what is in the binary."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from programs import EMULATOR, HERO, ROOT, on_the_duo, on_this_machine, peak_memory, samples, tell

sys.path.insert(0, str(ROOT / "tests"))

from symbols import NETWORK, SHELL, asked_names, read_elf  # noqa: E402

SHORT = ("-s", "7", "--max-sentences", "3", "--voice", "kal16")
ACOUSTIC_MODEL = ROOT / ".toolchain/speech/usr/share/pocketsphinx/model/en-us/en-us"
MB = 1_000_000
LONGEST = (
    "Once upon a time there was a little girl who lived in a small house by the sea, and every morning she walked down to the "
    "beach, because she loved to look at the waves and at the big ships there."
)


def disassembly(path: Path) -> dict[str, set[str]]:
    """The functions of a program, by the names of the linker, and the instructions and registers in them."""
    text = subprocess.run(
        [ROOT / "tools/riscv64", "objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    ).stdout
    functions: dict[str, set[str]] = {}
    words: set[str] = set()
    for line in text.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            words = functions.setdefault(header[1], set())
        else:
            words.update(re.split(r"[\s,()]+", line.split(":", 1)[-1].split("#")[0]))
    return functions


def test_tells_the_story_that_is_told_here(tmp_path: Path) -> None:
    duo, here = on_the_duo(), on_this_machine()
    for path, name in ((duo, "duo.wav"), (here, "here.wav")):
        result = tell(path, "--wish", "a dragon", *SHORT, "--wav", tmp_path / name)
        assert result.returncode == 0, result.stderr
        (tmp_path / name).with_suffix(".txt").write_text(result.stdout)
    text = (tmp_path / "duo.txt").read_text()
    assert text == (tmp_path / "here.txt").read_text()
    assert re.fullmatch(r"[A-Z].*[.!?][\"”]?\n", text) and "dragon" in text
    # Flite's releases of the two systems may differ in the last bit, not in what is heard.
    spoken, expected = samples(tmp_path / "duo.wav"), samples(tmp_path / "here.wav")
    assert 0.04 * len(text) < len(spoken) / 16000 < 0.12 * len(text), "seconds a letter"
    assert len(spoken) == len(expected) and np.abs(expected).max() > 0.1
    assert np.sqrt(np.mean((spoken - expected) ** 2)) < 0.01 * np.sqrt(np.mean(expected**2))


def test_the_binary_is_one_file_of_instructions_that_the_board_has() -> None:
    duo = on_the_duo()
    assert "INTERP" not in read_elf("-l", duo) and "NEEDED" not in read_elf("-d", duo)
    functions = disassembly(duo)
    assert len(functions) > 1000
    for name, words in functions.items():
        ours = "9storybake" in name  # what the linker calls storybake::
        # GCC's unwinder saves what a spilled vector needs; nothing here throws.
        assert "vlenb" not in words or (not ours and re.match(r"_Unwind|uw_|execute_stack_op", name)), name
        assert "e64" not in words, name
        vectors = {word for word in words if re.match(r"(th\.)?v(set|l[bhw1-8]|s[bhw1-8]|[wnf]?mul|f?mv|w?add)\w*\.?", word)}
        assert ours or not vectors, f"{name}: {vectors}"
        assert not {word for word in words if word.startswith((".insn", "unimp", ".4byte"))} or not ours, name


@pytest.mark.parametrize("storyteller", [on_this_machine, on_the_duo])
def test_our_own_objects_ask_for_no_network(storyteller: Callable[[], Path]) -> None:
    """Nor for a shell: by what the storyteller's objects want from the C library. One has a socket of the machine's own, for the
    signs of life that systemd wants; test_watchdog.py looks at what it sends, and that it sends nothing else."""
    folder = storyteller().parent
    objects = [*folder.glob("storyteller.linked.p/*.o"), *folder.glob("libspeech.a.p/*.o")]
    others = [path for path in objects if "watchdog" not in path.name]
    asked = asked_names(*others)
    assert {"write", "poll", "posix_spawnp"} <= asked, "objects that ask for nothing prove nothing"
    assert not asked & (NETWORK | (SHELL - {"posix_spawnp"}))  # which starts players and hooks
    watchdog = asked_names(*(set(objects) - set(others)))
    assert watchdog & (NETWORK | SHELL) == {"socket", "sendto"}, "neither connect nor recv: nothing is asked of anybody"


def test_there_is_no_network_code(tmp_path: Path) -> None:
    """No function that reaches another machine is in the program, and a run asks the system for no socket.

    (The C library brings bind() along for the clean-up of its resolver at the end of threads; nothing calls it. A socket is for
    systemd, which is not on the board.)
    """
    duo = on_the_duo()
    functions = {line.split()[-1].split("@")[0] for line in read_elf("-s", duo).splitlines() if " FUNC " in line}
    assert {"write", "posix_spawnp"} <= functions
    assert not functions & (NETWORK - {"socket", "bind", "sendto", "sendmsg"})
    # What the program and its libraries define for Flite's client and server ends the process when it is called.
    assert {"cst_socket_open", "cst_socket_server"} <= functions
    command = [*EMULATOR, "-strace", duo, "--wish", "a dragon", *SHORT, "--wav", tmp_path / "story.wav"]
    traced = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stderr
    calls = set(re.findall(r"^\d+ (\w+)\(", traced, re.MULTILINE))
    assert {"openat", "write", "exit_group"} <= calls, "not a trace of system calls"
    assert not calls & NETWORK


def say_wish(path: Path) -> None:
    """A recording of a wish, said by the Duo's own voice."""
    wish = f"Tell me a story about {HERO}."
    result = tell(on_the_duo(), "-i", wish, "--max-sentences", "1", "--voice", "slt", "--wav", path)
    assert (result.returncode, result.stdout.strip()) == (0, wish), result.stderr


def test_hears_a_wish_and_tells_its_story(tmp_path: Path) -> None:
    if not ACOUSTIC_MODEL.is_dir():
        pytest.skip(f"no {ACOUSTIC_MODEL}; run: tools/toolchain speech")
    say_wish(tmp_path / "wish.wav")
    hearing = ("--mic-wav", tmp_path / "wish.wav", "--acoustic-model", ACOUSTIC_MODEL)
    heard = tell(on_the_duo(), *hearing, *SHORT, "--wav", tmp_path / "heard.wav")
    typed = tell(on_the_duo(), "--wish", HERO, *SHORT, "--mute")
    assert (heard.returncode, typed.returncode) == (0, 0), heard.stderr
    assert HERO in heard.stderr, "what was heard is shown"
    assert heard.stdout == typed.stdout != ""
    assert len(samples(tmp_path / "heard.wav")) > 16000


def test_the_robot_hears_tells_and_says_good_night_as_it_does_here(tmp_path: Path) -> None:
    if not ACOUSTIC_MODEL.is_dir():
        pytest.skip(f"no {ACOUSTIC_MODEL}; run: tools/toolchain speech")
    say_wish(tmp_path / "wish.wav")
    told = []
    for path, name in ((on_the_duo(), "duo.wav"), (on_this_machine(), "here.wav")):
        robot = ("--loop", "--mic-wav", tmp_path / "wish.wav", "--acoustic-model", ACOUSTIC_MODEL, "--language", "en")
        result = tell(path, *robot, *SHORT, "--wav", tmp_path / name)
        assert result.returncode == 0, result.stderr
        assert re.findall("^heard: .*|^good night", result.stderr, re.MULTILINE) == [f"heard: tell me a story about {HERO}", "good night"]
        told.append((result.stdout, len(samples(tmp_path / name))))
    assert told[0] == told[1] and HERO.split()[-1] in told[0][0]
    assert told[0][1] > 5 * 16000, "what it says before and after the story is heard too"


def test_it_tests_itself_and_names_the_checkpoint_that_is_named_here() -> None:
    result = tell(on_the_duo(), "--selftest")
    assert result.returncode == 0 and "self-test passed" in result.stdout + result.stderr, result.stderr
    prints = [re.findall(r"^checkpoint had +(.*)", tell(path, "--info").stdout, re.MULTILINE) for path in (on_the_duo(), on_this_machine())]
    assert prints[0] == prints[1] and len(prints[0]) == 1


def needed(words: tuple[str | Path, ...], phase: str) -> float:
    """The bytes that --info names for a phase."""
    info = tell(on_the_duo(), *words, "--info")
    match = re.search(rf"^{phase} +([0-9.]+) MB", info.stdout, re.MULTILINE)
    assert match, info.stdout + info.stderr
    return float(match[1]) * MB


@pytest.mark.parametrize("voice", ["kal16", "slt"])
def test_telling_takes_the_memory_that_is_said(voice: str, tmp_path: Path) -> None:
    """With the longest sentence: no more than --info says, and not less than three quarters of it."""
    assert 190 < len(LONGEST) < 200
    run = ("-i", LONGEST, "-s", "7", "--max-sentences", "1", "--voice", voice, "--wav", tmp_path / "story.wav")
    peak = peak_memory(on_the_duo(), *run)
    assert peak["anonymous"] > 100_000 and any(kind.startswith("storyteller") for kind in peak), peak
    said = needed(("--voice", voice), "telling takes")
    print(voice, said, sum(peak.values()))
    assert sum(peak.values()) <= said <= 1.3 * sum(peak.values()), peak


def test_hearing_takes_the_memory_that_is_said(tmp_path: Path) -> None:
    """Alone, and while a story is told, with the model's own topics."""
    if not ACOUSTIC_MODEL.is_dir():
        pytest.skip(f"no {ACOUSTIC_MODEL}; run: tools/toolchain speech")
    say_wish(tmp_path / "wish.wav")
    hearing = ("--acoustic-model", ACOUSTIC_MODEL)
    for phase, words, least in (("hearing takes", ("--mute",), 1 / 1.3), ("both at once", ("--voice", "slt"), 0.5)):
        run = ("--mic-wav", tmp_path / "wish.wav", *hearing, *words, "-s", "7", "--max-sentences", "1", "--wav", tmp_path / "story.wav")
        peak = peak_memory(on_the_duo(), *run)
        assert peak.get("mdef", 0) > MB, f"the acoustic model was not mapped: {peak}"
        said = needed((*hearing, *words), phase)
        print(phase, said, sum(peak.values()))
        assert least * said <= sum(peak.values()) <= said, peak
