"""What goes wrong around a story robot: microphones, players, recordings, disks, and an interruption at any moment."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import wave
from pathlib import Path

import pytest

import hearing
from programs import FRIEND, HERO, SHORT, Running, command, evening, on_this_machine, record, run, said, tell, until

ACOUSTIC_MODEL = Path("/usr/share/pocketsphinx/model/en-us/en-us")  # Debian's


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stderr.splitlines()[-1]


# ---- The command line


@pytest.mark.parametrize(
    "words, message",
    [
        ("--wish x -i y", "two beginnings of one story"),
        ("dragon", 'a story about it is asked for with --wish "dragon"'),
        (f"--mute --wish {'x' * 500}", "--wish: too long for this model (500 bytes): say it in fewer words"),
        (f"--mute --wish {'x' * 300}", "--wish: too long for this model (300 bytes)"),
        ("--sleep 5x", '--sleep "5x": expected minutes, 1 to 1440, or 90s, 20m, 2h'),
        ("--loop --wish x", "--loop asks for each wish"),
        ("--loop -i x", "--loop asks for each wish"),
        ("--listen --wish x", "a wish that is said and one that is written"),
        ("--language fr", 'language "fr": expected en or zh'),
        ("--wav ''", '--wav "": expected a name'),
        ("--voice nobody --wish x", '--voice "nobody": expected one of slt'),
        ("--speed 49", "--speed"), ("--pitch 201", "--pitch"), ("--volume 9", "--volume"), ("--volume 401", "--volume"),
        ("--max-sentences 0", "--max-sentences"), ("--snd-command \"aplay 'x\"", "the quote ' is not closed"),
        ("--on-listen ' '", "expected a command"), ("-m chat", "the model's own program's"), ("--profile", "the model's own program's"),
        ("--shout", "--shout"),
    ],
)  # fmt: skip
def test_usage(words: str, message: str) -> None:
    result = run(*shlex.split(words))
    assert result.returncode == 2 and message in result.stderr and result.stdout == "", result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_wish_from_standard_input() -> None:
    plain = run("--wish", "a dragon", "--mute", *SHORT)
    piped = tell(on_this_machine(), "--wish", "-", "--mute", *SHORT, input="a dragon\nand more\n")
    assert piped.returncode == plain.returncode == 0 and piped.stdout == plain.stdout
    for words in (("--wish", "-"), ("--wish", "12!")):
        nothing = run(*words, "--mute", *SHORT)
        assert nothing.returncode == 2 and "expected a topic: a dragon" in last_line(nothing)


# ---- Recordings


def test_a_broken_recording_is_refused(tmp_path: Path) -> None:
    good = record(tmp_path / "good.wav", 1.0).read_bytes()
    bad = {
        "says 1000000000 bytes": good[:40] + (10**9).to_bytes(4, "little") + good[44:],
        "says 32002 bytes, 32000 are there": good[:40] + (32002).to_bytes(4, "little") + good[44:],
        "says 2000 bytes of samples, and 30000 follow that are no chunk": good[:40] + (2000).to_bytes(4, "little") + good[44:],
        "says 2000 bytes of samples, and 40 follow": good[:40] + (2000).to_bytes(4, "little") + good[44:2044] + bytes(40),
        "0 bytes of samples": good[:40] + bytes(4),
        "0 channels": good[:22] + bytes(2) + good[24:],
        "0 samples a second": good[:24] + bytes(4) + good[28:],
        "with 24 bits": good[:34] + b"\x18\x00" + good[36:],
        "fmt chunk has 0 bytes": good[:16] + bytes(4) + good[20:],
        "not a WAV file": b"RIFX" + good[4:],
        "was the file cut": good[:2000],
    }
    for message, content in bad.items():
        (tmp_path / "bad.wav").write_bytes(content)
        result = run("--mic-wav", tmp_path / "bad.wav", "--mute")
        assert result.returncode == 65 and message in result.stderr, (message, result.stderr)
        assert len(result.stderr.splitlines()) == 1
    assert run("--mic-wav", tmp_path / "none.wav", "--mute").returncode == 66


def test_chunks_behind_the_samples_are_no_lie(tmp_path: Path) -> None:
    recording = record(tmp_path / "wish.wav", 0.5, said(f"a story about {FRIEND}", "slt", tmp_path), 1.0)
    recording.write_bytes(recording.read_bytes() + b"LIST\x05\0\0\0INFO1\0")
    result = run("--mic-wav", recording, "--mute", *SHORT)
    assert result.returncode == 0 and f"heard: a story about {FRIEND}" in result.stderr


def test_a_recording_at_another_rate_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "cd.wav"), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes(bytes(4 * 44100))
    result = run("--mic-wav", tmp_path / "cd.wav", "--mute")
    assert result.returncode == 65
    assert last_line(result).endswith("2 channels of 44100 Hz, expected 1 of 16000: convert it: sox in.wav -r 16000 -c 1 out.wav")


# ---- Microphones


@pytest.mark.parametrize(
    "words, message",
    [
        ("/nonexistent/arecord", "\"/nonexistent/arecord\" can't be started: No such file or directory"),
        ("false", 'no microphone: "--mic-command" ended (1)'),
        ("true", 'no microphone: "--mic-command" ended (0)'),
        ("head -c 100000 /dev/zero", 'no microphone: "--mic-command" ended (0)'),
    ],
)
@pytest.mark.parametrize("mode", [(), ("--loop",)])
def test_no_microphone(words: str, message: str, mode: tuple[str, ...]) -> None:
    result = run(*mode, "--mic-command", words, "--mute")
    assert result.returncode == 69 and result.stdout == "" and message in last_line(result), result.stderr


def test_no_recorder_is_installed() -> None:
    result = run("--listen", "--mute", env={"PATH": "/nonexistent"})
    assert result.returncode == 69 and "no microphone: neither arecord nor tinycap in PATH" in last_line(result)


def test_a_microphone_that_stalls_while_somebody_speaks(tmp_path: Path) -> None:
    """What was said until then is a wish; without that the robot would wait for ever."""
    sound = tmp_path / "wish.raw"
    sound.write_bytes(record(tmp_path / "wish.wav", 0.5, said(f"a story about {FRIEND}", "slt", tmp_path)).read_bytes()[44:])
    result = run("--mic-command", command(tmp_path / "mic", f"cat {sound}\nexec sleep 60"), "--mute", *SHORT)
    assert result.returncode == 0 and f"heard: a story about {FRIEND}" in result.stderr, result.stderr


def test_an_acoustic_model_that_is_none(tmp_path: Path) -> None:
    recording = record(tmp_path / "silence.wav", 1.0)
    result = run("--mic-wav", recording, "--acoustic-model", tmp_path, "--mute")
    assert result.returncode == 69 and f"no acoustic model in {tmp_path}" in last_line(result)
    assert f"no acoustic model in {tmp_path}" in run("--info", "--acoustic-model", tmp_path).stdout
    (tmp_path / "mdef").write_text("not a model\n")
    refused = f"storyteller: acoustic model {tmp_path}: PocketSphinx can't read it: is it complete?\n"
    result = run("--mic-wav", recording, "--acoustic-model", tmp_path, "--mute")
    assert (result.returncode, result.stderr) == (65, refused)
    for file in ACOUSTIC_MODEL.iterdir():
        shutil.copy(file, tmp_path)
    for name in ("mdef", "means", "transition_matrices"):  # as a copy to a card that was broken off; PocketSphinx crashes at the first
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        result = run("--mic-wav", recording, "--acoustic-model", tmp_path, "--mute")
        assert (result.returncode, result.stderr) == (65, refused)
        (tmp_path / name).write_bytes(whole)


def test_an_acoustic_model_that_is_gone_when_noise_has_it_read_again(tmp_path: Path) -> None:
    """PocketSphinx would end the process; without the transform the robot still hears."""
    model = tmp_path / "model"
    shutil.copytree(ACOUSTIC_MODEL, model)
    sound = hearing.recording(["tell me a story"], "slt", hearing.CONDITIONS["noise 20 dB"], tmp_path).read_bytes()[44:]
    (tmp_path / "wish.raw").write_bytes(sound)
    microphone = command(tmp_path / "mic", f"rm {model}/means\ncat {tmp_path}/wish.raw\nexec sleep 60")
    result = run("--mic-command", microphone, "--acoustic-model", model, "--mute", *SHORT)
    assert result.returncode == 0 and "heard: tell me a story" in result.stderr, result.stderr


def test_with_little_memory_the_recogniser_is_loaded_for_each_wish(tmp_path: Path) -> None:
    """The program sees a /proc/meminfo of its own."""
    (tmp_path / "meminfo").write_text("MemTotal: 60000 kB\nMemAvailable: 1000 kB\n")
    other_memory = ["unshare", "-m", "sh", "-c", f'mount --bind {tmp_path}/meminfo /proc/meminfo && exec "$@"', "sh"]
    if subprocess.run([*other_memory, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a /proc/meminfo of its own is root's")
    wishes = [said(f"a story about {topic}", "slt", tmp_path) for topic in (FRIEND, HERO)]
    recording = record(tmp_path / "wishes.wav", 0.5, wishes[0], 1.0, wishes[1], 1.0)
    words = [*other_memory, on_this_machine(), "--loop", "--mute", *SHORT, "--mic-wav", recording]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    assert re.findall("heard: (.*)", result.stderr) == [f"a story about {FRIEND}", f"a story about {HERO}"]
    info = subprocess.run([*words, "--info"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "one after the other" in info


# ---- Players


def test_no_player_is_installed(tmp_path: Path) -> None:
    result = run("--wish", "a dragon", env={"PATH": "/nonexistent"})
    assert result.returncode == 69 and "no speaker: neither aplay nor tinyplay in PATH" in last_line(result)
    result = run("--wish", "a dragon", "--snd-command", "/nonexistent/aplay", *SHORT)
    assert result.returncode == 69 and last_line(result) == (
        "storyteller: no speaker: --snd-command: \"/nonexistent/aplay\" can't be started: No such file or directory"
    ) and len(result.stderr.splitlines()) <= 2, "it is tried once"


def test_a_player_that_dies_leaves_the_text(tmp_path: Path) -> None:
    """It plays the first sentences, and never again: that is said when it happens, and by the exit code."""
    player = command(tmp_path / "player", f"[ -e {tmp_path}/dead ] && exit 1\nhead -c 200000 >/dev/null\ntouch {tmp_path}/dead")
    result = run("--wish", "a dragon", "--snd-command", player, "-s", "3")
    assert result.returncode == 69
    assert result.stdout == run("--wish", "a dragon", "--mute", "-s", "3").stdout
    assert result.stderr.count("the story goes on as text") == 1
    assert "the end was not heard" in last_line(result)


def test_a_player_that_comes_back_is_heard_again(tmp_path: Path) -> None:
    """Unplugged in one story, plugged in for the next: the robot goes on."""
    player = command(
        tmp_path / "player",
        f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0)\necho $((n + 1)) >{tmp_path}/n\n"
        '[ "$n" -lt 2 ] || [ "$n" -gt 4 ] || exit 1\n[ "$n" = 1 ] && exec head -c 100000 >/dev/null\nexec cat >/dev/null',
    )
    words = ("--loop", "--wish", "-", "--snd-command", player, "-s", "3")
    _, complaints = evening(tmp_path, "louder", "a dragon", "softer", words=words)
    assert complaints.count("the story goes on as text") == 1 and "good night" in complaints, complaints


def test_a_player_that_ends_badly(tmp_path: Path) -> None:
    player = command(tmp_path / "player", "cat >/dev/null\nexit 5")
    result = run("--wish", "a dragon", "--snd-command", player, *SHORT)
    assert result.returncode == 69 and 'ended with 5, expected 0: see what it said above' in last_line(result)


def test_two_at_once() -> None:
    device = "/dev/snd" if os.path.exists("/dev/snd") else on_this_machine()
    with open(os.open(device, os.O_RDONLY)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = run("--wish", "a dragon", "--snd-command", "cat")
    assert result.returncode == 69 and "another storyteller" in result.stderr


# ---- Disks


def test_threads_that_can_not_be_started(tmp_path: Path) -> None:
    """The memory for a story's voice, and not for the threads that say it: one line, and no part of a file."""
    codes = set()
    for megabytes in range(24, 800, 4):
        limit = megabytes << 20
        result = tell(
            on_this_machine(), "--wish", "a dragon", "--max-sentences", "1", "--wav", tmp_path / "said.wav", "-s", "1",
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        codes.add(result.returncode)
        if result.returncode == 71:
            assert result.stderr.splitlines()[-1].startswith(("storyteller: no thread can be started: ", "storyteller: out of memory"))
        if result.returncode == 0:
            break
        assert result.returncode < 0 or not list(tmp_path.iterdir())
    assert {0, 71} <= codes <= {0, 71, 255, -signal.SIGSEGV, -signal.SIGKILL}, codes  # killed is what can't be loaded; 255 is Flite's


def test_a_full_disk(tmp_path: Path) -> None:
    result = run("--wish", "a dragon", "--wav", "/dev/full")
    assert result.returncode == 74 and "No space left on device" in result.stderr
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [on_this_machine(), "--wish", "a dragon", "--mute"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert result.returncode == 74 and "standard output: writing failed: No space left on device" in result.stderr


@pytest.mark.parametrize("limit", [20, 50_000])
def test_a_file_that_may_not_grow(limit: int, tmp_path: Path) -> None:
    """In the header, and in the middle of the story; nothing is left that looks whole."""
    result = run(
        "--wish", "a dragon", "--wav", tmp_path / "story.wav", *SHORT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert result.returncode == 74 and "story.wav: writing failed: File too large" in result.stderr, result.stderr
    assert list(tmp_path.iterdir()) == []


# ---- Interruptions


def interrupted(state: str, folder: Path) -> Running:
    """A storyteller in that state."""
    children = folder / "children"
    sleeps = command(folder / "sleeps", f"echo $$ >>{children}\nexec sleep 60")
    words: tuple[str | Path, ...]
    options: dict[str, object] = {}
    if state == "asking":
        words = ("--loop", "--wish", "-")
    elif state == "waiting for a push":
        words = ("--loop", "--push", "--mic-command", sleeps)
    elif state == "listening":
        words = ("--mic-command", sleeps)
    elif state == "hearing":
        sound = folder / "speech.raw"
        sound.write_bytes(record(folder / "wish.wav", 0.5, said("tell me a story", "slt", folder)).read_bytes()[44:])
        words = ("--mic-command", command(folder / "mic", f"cat {sound}\necho $$ >>{children}\nexec sleep 60"))
    elif state == "thinking":  # the voice has not spoken yet
        command(folder / "espeak-ng", f"echo $$ >>{children}\nexec sleep 60")
        words, options = ("--wish", "a dragon", "--voice", "espeak"), {"env": os.environ | {"PATH": f"{folder}:/usr/bin:/bin"}}
    elif state == "speaking":
        words = ("--wish", "a dragon", "--snd-command", sleeps)
    elif state == "waiting for the player":
        player = command(folder / "player", f"cat >/dev/null\necho $$ >>{children}\nexec sleep 60")
        words = ("--wish", "a dragon", "--snd-command", player)
    else:  # a hook runs
        words = ("--loop", "--wish", "-", "--on-listen", sleeps)
    running = Running(folder, *SHORT, *words, "--wav", folder / "story.wav", **options)
    if state in ("asking", "waiting for a push"):
        running.wait_for("type a wish" if state == "asking" else "press Enter")
    else:
        until(lambda: children.exists() and children.read_text().endswith("\n"), lambda: f"not {state}: {running.text()}")
    return running


STATES = ("asking", "waiting for a push", "listening", "hearing", "thinking", "speaking", "waiting for the player", "running a hook")


@pytest.mark.parametrize("state", STATES)
def test_an_interruption_leaves_no_child_and_a_whole_file(state: str, tmp_path: Path) -> None:
    """Its children are its session, and none of them is left (Running.end)."""
    running = interrupted(state, tmp_path)
    assert running.end(signal.SIGINT) == 130
    assert not list(tmp_path.glob("story.wav?*"))
    assert (tmp_path / "story.wav").exists() == (state in ("speaking", "waiting for the player")), "not before the first sample"
    if (tmp_path / "story.wav").exists():
        with wave.open(str(tmp_path / "story.wav")) as file:
            assert 44 + 2 * file.getnframes() == (tmp_path / "story.wav").stat().st_size > 44
    assert not re.search("warning|no speaker|no microphone", running.text()), running.text()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_well(sign: signal.Signals, tmp_path: Path) -> None:
    assert interrupted("speaking", tmp_path).end(sign) == 128 + sign


def test_an_interruption_while_the_model_thinks(tmp_path: Path) -> None:
    """Somewhere in a long text without a voice; whatever is shown then is the beginning of the text."""
    whole = run("--wish", "a dragon", "--mute", "-n", "0", "-s", "5").stdout
    for delay in ("0.01", "0.02", "0.04"):
        result = subprocess.run(
            ["timeout", "--preserve-status", "-s", "INT", delay, on_this_machine(), "--wish", "a dragon", "--mute", "-n", "0", "-s", "5"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert result.returncode in (0, 130), result.stderr
        assert whole.startswith(result.stdout.strip().removesuffix("... The end."))
