"""Talking to the robot: typed and said commands, push to talk, the button, the sleep timer, and when text and sound come."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from programs import FRIEND, HERO, RATE, SHORT, TYPE_A_WISH, Running, command, on_this_machine, record, said, samples, tell, until


@pytest.fixture
def robot(tmp_path: Path, request: pytest.FixtureRequest) -> Robots:
    robots = Robots(tmp_path)
    request.addfinalizer(robots.end)
    return robots


class Robots:
    """Starts a storyteller, which is ended with the test if it still runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[Running] = []

    def __call__(self, *words: str | Path, **options: object) -> Running:
        self.running.append(Running(self.folder, *words, **options))
        return self.running[-1]

    def end(self) -> None:
        for running in self.running:
            if running.process.poll() is None:
                running.process.kill()


def waiting_player(folder: Path) -> str:
    """Plays half a second, then waits until there is a file `go`."""
    return command(folder / "player", f"head -c {RATE} >/dev/null\nwhile [ ! -e {folder}/go ]; do sleep 0.02; done\nexec cat >/dev/null")


def sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?]+[.!?]+[\"”]?", text.strip())


def wish(folder: Path, *wishes: str, voice: str = "slt") -> Path:
    """A recording of wishes, one after the other."""
    return record(folder / "wishes.wav", 0.5, *[part for text in wishes for part in (said(text, voice, folder), 1.0)])


def test_text_appears_when_it_is_spoken(robot: Robots, tmp_path: Path) -> None:
    running = robot("--wish", "a dragon", "--snd-command", waiting_player(tmp_path), "--max-sentences", "3", "-s", "5", "--voice", "kal16")
    until(lambda: running.text("stdout") != "", lambda: "no text")
    whole = tell(on_this_machine(), "--wish", "a dragon", "--mute", "--max-sentences", "3", "-s", "5").stdout
    assert len(sentences(whole)) == 3
    assert running.text("stdout").strip() == sentences(whole)[0], "the second sentence is not heard yet"
    (tmp_path / "go").touch()
    assert running.end() == 0
    assert running.text("stdout") == whole


@pytest.mark.parametrize("tokens", [8, 30, 47, 90])
def test_a_story_ends_with_a_sentence(tokens: int) -> None:
    result = tell(on_this_machine(), "--wish", "a rabbit", "--mute", "-n", str(tokens), "-s", "3")
    assert result.returncode == 0 and re.search(r"[.!?][\"”]?\n$", result.stdout), result.stdout
    assert len(result.stdout.split()) <= tokens + 48 + 2


def test_stories_are_told_to_the_end_at_a_listeners_temperature() -> None:
    def told(*words: str) -> str:
        return tell(on_this_machine(), "--wish", "a rabbit", "--mute", "-s", "3", *words).stdout

    assert told() == told("-t", "0.8", "-n", "0") != told("-t", "1")
    assert told().rstrip().endswith((".", "!", "?", '"'))


def test_a_story_that_breaks_off_is_given_an_end() -> None:
    """The context is at its end before a sentence is."""
    least, most = 1, 4096  # words that fit, and that do not
    while most - least > 1:
        count = (least + most) // 2
        result = tell(on_this_machine(), "-i", "the fox and " * count, "--mute", "-n", "0")
        assert result.returncode in (0, 2), result.stderr
        least, most = (count, most) if result.returncode == 0 else (least, count)
    ends = [tell(on_this_machine(), "-i", "the fox and " * (least - room), "--mute", "-n", "0", "-s", "5", "--rehearsals", "0").stdout[-20:]
            for room in range(20)]  # fmt: skip
    assert any(end.endswith("... The end.\n") for end in ends), ends


def test_again_is_the_same_story_and_next_another(robot: Robots) -> None:
    running = robot("--loop", "--wish", "-", "--mute", *SHORT)
    stories = []
    for n, line in enumerate(("a dragon", "again", "next"), 1):
        running.wait_for(TYPE_A_WISH, times=n)
        before = running.text("stdout")
        running.type(line)
        running.wait_for(TYPE_A_WISH, times=n + 1)
        stories.append(running.text("stdout")[len(before) :])
    running.type("stop")
    running.wait_for("good night")
    assert running.end() == 0
    assert stories[0] == stories[1] != stories[2]
    assert running.text().count("a story about a dragon") == 3


def test_what_happens_next_and_how_long(robot: Robots) -> None:
    """Each answer is whole before the next line is typed. The persons of a story are those of the one before."""
    running = robot("--loop", "--wish", "-", "--mute", "-s", "5")
    parts = []
    for n, line in enumerate(("a short story about a dragon", "what happens next?", "longer", "next", "shorter", "shorter", "next"), 1):
        running.wait_for(TYPE_A_WISH, times=n)
        before = running.text("stdout")
        running.type(line)
        running.wait_for(TYPE_A_WISH, times=n + 1)
        parts.append(running.text("stdout")[len(before) :])
    assert running.end() == 0
    short, sequel, _, longer, _, _, shorter = parts
    whole = tell(on_this_machine(), "--wish", "a dragon", "--mute", "-s", "5").stdout
    assert whole.startswith(short.strip()) and len(short) < len(whole)
    assert max(len(shorter), len(short)) < len(longer), "the same topic"
    often = {word for word in re.findall(r"[A-Z][a-z]+", short) if short.count(word) > 1}
    assert often & set(re.findall(r"[A-Z][a-z]+", sequel.split(".")[0])), (short, sequel)
    assert re.search(r"^(One sunny day|The next day|One morning),", longer, re.MULTILINE), "its second part"
    said_so = re.findall("(longer stories|stories of the usual length|shorter stories) from now on", running.text())
    assert said_so == ["longer stories", "stories of the usual length", "shorter stories"]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Tell me a story, please!", ""), ("another one", ""), ("what can you tell?", "topics: "), ("help", "say or type: tell me a story"),
        ("Can you tell me a story about a dog and a cat?", "a story about a dog and a cat"),
        ("a boy named tom", "a story about a boy named Tom"),
        ("hello", "not understood"), ("x" * 300, "too long for this model (300 bytes)"), ("x" * 9000, "too long for this model"),
        ("a " * 190, "too long for this model (379 bytes)"), ("Stop it, please, robot!", "good night"),
    ],
)  # fmt: skip
def test_typed_wishes(line: str, answer: str, robot: Robots) -> None:
    """A line that is none, or too long, is answered, and the robot goes on."""
    running = robot("--loop", "--wish", "-", "--mute", *SHORT)
    running.wait_for(TYPE_A_WISH)
    running.type(line)
    if "good night" not in answer:
        running.wait_for(TYPE_A_WISH, times=2)
        running.type("good night")
    assert running.end() == 0
    assert f"\n{answer}" in running.text() and running.text().endswith("good night\n"), running.text()
    assert bool(running.text("stdout")) == (answer == "" or answer.startswith("a story")), running.text("stdout")


def test_five_topics_are_named() -> None:
    named = [tell(on_this_machine(), "--wish", "what can you tell", "--mute", "-s", str(seed)).stderr for seed in (1, 2)]
    assert named[0] != named[1]
    for text in named:
        assert len(re.split(", | or ", text.removeprefix("topics: "))) == 5, text


def test_commands_while_a_story_is_told(robot: Robots, tmp_path: Path) -> None:
    """The player takes half a second and waits, so that each command comes in the middle of the story."""
    running = robot("--loop", "--wish", "-", "--snd-command", waiting_player(tmp_path), *SHORT)
    running.wait_for(TYPE_A_WISH)
    running.type("a dragon")
    running.wait_for("a story about a dragon")
    for line, volumes in (("louder", "140 196 274 383 400 400"), ("softer", "285 203 145 103 73 52 37 26 18 12 10 10")):
        for times, volume in enumerate(volumes.split(), 1):
            running.type(line)
            running.wait_for(f"volume {volume} %\n", times=volumes.split()[:times].count(volume))
    assert running.text().count(TYPE_A_WISH) == 1, "it went on all the time"
    running.type("next")
    running.wait_for("a story about a dragon", times=2)
    running.type("again")
    running.wait_for("a story about a dragon", times=3)
    running.type("a rabbit")
    running.wait_for("a story about a rabbit")
    asked = running.text().count(TYPE_A_WISH)
    running.type("stop")
    running.wait_for(TYPE_A_WISH, times=asked + 1)  # the story is over, the robot is not
    assert "good night" not in running.text()
    (tmp_path / "go").touch()
    running.type("stop")
    assert running.end() == 0 and "good night" in running.text()


def test_louder_is_heard(robot: Robots, tmp_path: Path) -> None:
    running = robot("--loop", "--wish", "-", "--wav", tmp_path / "all.wav", *SHORT)
    running.wait_for(TYPE_A_WISH)
    for n, line in enumerate(("softer", "louder", "louder"), 2):
        running.type(line)
        running.wait_for(TYPE_A_WISH, times=n)
    running.type("stop")
    assert running.end() == 0
    sound = samples(tmp_path / "all.wav")  # "Like this." three times, then "Good night."
    said_once = tell(on_this_machine(), "-i", "Like this.", "--max-sentences", "1", "--voice", "kal16", "--wav", tmp_path / "once.wav")
    assert said_once.returncode == 0
    once = samples(tmp_path / "once.wav")
    loud = [float(np.abs(sound[len(once) * n : len(once) * (n + 1)]).mean() / np.abs(once).mean()) for n in range(3)]
    assert np.allclose(loud, [0.71, 0.99, 1.38], atol=0.05), loud


def test_said_commands(tmp_path: Path) -> None:
    recording = wish(tmp_path, f"a story about {FRIEND}", "again", "louder", "stop")
    result = tell(on_this_machine(), "--loop", "--mic-wav", recording, "--mute", *SHORT, stdin=subprocess.DEVNULL)
    assert result.returncode == 0
    assert re.findall(r"^(?:heard: (.*)|(volume .*|good night))$", result.stderr, re.MULTILINE) == [
        (f"a story about {FRIEND}", ""), ("again", ""), ("louder", ""), ("", "volume 140 %"), ("stop", ""), ("", "good night"),
    ]  # fmt: skip
    told = result.stdout.splitlines()
    assert len(told) == 2 and told[0] == told[1]


def test_it_does_not_listen_while_it_speaks(tmp_path: Path) -> None:
    """The microphone's command runs and the player's does not, or the other way round."""
    recording = wish(tmp_path, f"a story about {FRIEND}")
    sound = tmp_path / "wish.raw"
    sound.write_bytes(recording.read_bytes()[44:])
    microphone = command(tmp_path / "mic", f"echo $$ >{tmp_path}/mic.pid\necho mic >>{tmp_path}/log\ncat {sound}\nexec sleep 60")
    player = command(
        tmp_path / "player",
        f"kill -0 $(cat {tmp_path}/mic.pid) 2>/dev/null && echo both >>{tmp_path}/log\necho player >>{tmp_path}/log\ncat >/dev/null",
    )
    result = tell(on_this_machine(), "--mic-command", microphone, "--snd-command", player, *SHORT)
    assert result.returncode == 0 and f"heard: a story about {FRIEND}" in result.stderr, result.stderr
    assert (tmp_path / "log").read_text().split() == ["mic", "player"]


def test_say_wish_says_what_was_heard(tmp_path: Path) -> None:
    words = ("--mic-wav", wish(tmp_path, f"tell me a story about {HERO}"), "--max-sentences", "1", "-s", "5", "--voice", "slt")
    plain = tell(on_this_machine(), *words, "--wav", tmp_path / "plain.wav")
    with_wish = tell(on_this_machine(), *words, "--say-wish", "--wav", tmp_path / "said.wav")
    assert plain.returncode == with_wish.returncode == 0 and plain.stdout == with_wish.stdout, "it is no part of the story"
    story = len(samples(tmp_path / "plain.wav"))
    announcement = samples(tmp_path / "said.wav")[:-story]
    heard = record(tmp_path / "heard.wav", 0.5, (announcement * 32768).astype(np.int16), 1.0)
    result = tell(on_this_machine(), "--mic-wav", heard, "--mute", "--max-sentences", "1")
    assert f"heard: a story about {HERO}" in result.stderr


def test_push_to_talk(robot: Robots, tmp_path: Path) -> None:
    recording = wish(tmp_path, f"a story about {FRIEND}", f"a story about {HERO}")
    running = robot("--loop", "--push", "--mic-wav", recording, "--mute", *SHORT)
    running.wait_for("press Enter, then speak")
    assert "listening" not in running.text()
    running.type("")
    running.wait_for(f"heard: a story about {FRIEND}")
    running.wait_for("press Enter", times=2)
    assert running.text().count("listening") == 1, "each wish has its own press"
    running.type("the sea")  # a line with text is a wish
    running.wait_for("a story about the sea")
    running.wait_for("press Enter", times=3)
    running.type("")
    running.wait_for(f"heard: a story about {HERO}")
    running.wait_for("press Enter", times=4)
    assert running.end() == 0 and running.text().count("listening") == 2


def test_a_button_on_a_gpio_line(robot: Robots, tmp_path: Path) -> None:
    """A file as the kernel's: it is looked at, 1 while the button is down."""
    value = tmp_path / "value"

    def set_to(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(value)

    set_to("1\n")  # held, or stuck, from the start: no press
    recording = wish(tmp_path, f"a story about {FRIEND}", f"a story about {HERO}")
    running = robot("--loop", "--button", value, "--mic-wav", recording, "--mute", "--sleep", "1h", *SHORT)
    running.process.stdin.close()
    running.wait_for("press Enter, then speak")
    set_to("0\n")
    set_to("0\n")
    subprocess.run(["sleep", "0.5"], check=True)  # ten times the time between two looks
    assert "listening" not in running.text()
    set_to("1\n")
    running.wait_for(f"heard: a story about {FRIEND}")
    running.wait_for("press Enter", times=2)
    subprocess.run(["sleep", "0.5"], check=True)
    assert running.text().count("listening") == 1, "a button that is held is pressed once"
    value.unlink()
    running.wait_for("the button can't be read any more")
    set_to("0\n")
    subprocess.run(["sleep", "0.5"], check=True)
    set_to("1\n")
    running.wait_for(f"heard: a story about {HERO}")
    running.wait_for("press Enter", times=3)
    assert running.end(15) == 128 + 15


@pytest.mark.parametrize(
    "name, code, message",
    [
        ("/nonexistent/value", 66, "--button /nonexistent/value: can't be read: No such file or directory"),
        ("/tmp", 66, "--button /tmp: can't be read: Is a directory"),
        ("/dev/null:28", 69, "--button /dev/null:28: not a GPIO chip: Inappropriate ioctl for device: gpiodetect lists them"),
        ("/dev/gpiochip99:4", 66, "--button /dev/gpiochip99:4: can't be read: No such file or directory"),
        ("/dev/gpiochip0", 2, "--button /dev/gpiochip0: expected a line behind it: /dev/gpiochip0:28"),
        ("/dev/gpiochip0:x", 2, 'CHIP:LINE "x": expected a whole number'),
        ("/dev/gpiochip0:-1", 2, "-1"),
    ],
)
def test_a_button_that_is_not_there(name: str, code: int, message: str, tmp_path: Path) -> None:
    result = tell(on_this_machine(), "--loop", "--button", name, "--mic-wav", record(tmp_path / "silence.wav", 1.0), "--mute")
    assert result.returncode == code and len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr


def test_the_sleep_timer(robot: Robots, tmp_path: Path) -> None:
    """It ends what it does: listening to a microphone, or waiting for a wish; and says good night."""
    microphone = command(tmp_path / "mic", "while :; do head -c 3200 /dev/zero; sleep 0.1; done")
    for words in (("--mic-command", microphone), ("--wish", "-"), ("--push", "--mic-command", microphone)):
        running = robot("--loop", "--sleep", "1s", "--wav", tmp_path / "night.wav", *words, *SHORT)
        running.wait_for("good night")
        assert running.end() == 0 and running.text("stdout") == ""
        assert 0.3 < len(samples(tmp_path / "night.wav")) / RATE < 2, "it is said"


def test_bedtime_before_a_single_wish(tmp_path: Path) -> None:
    """No story is told to somebody who said nothing; with a recording that ends one is, as after silence."""
    microphone = command(tmp_path / "mic", "exec sleep 60")
    result = tell(on_this_machine(), "--mic-command", microphone, "--sleep", "1s", "--mute", *SHORT)
    assert (result.returncode, result.stdout) == (0, "")
    result = tell(on_this_machine(), "--mic-wav", record(tmp_path / "short.wav", 1.0), "--sleep", "1h", "--mute", *SHORT)
    assert result.returncode == 0 and len(sentences(result.stdout)) >= 2


def test_a_story_is_told_to_its_end_before_sleep(robot: Robots, tmp_path: Path) -> None:
    running = robot("--loop", "--sleep", "2s", "--wish", "-", "--snd-command", waiting_player(tmp_path), *SHORT)
    running.wait_for(TYPE_A_WISH)
    running.type("a dragon")
    running.wait_for("a story about a dragon")
    subprocess.run(["sleep", "2.2"], check=True)
    assert "good night" not in running.text()
    (tmp_path / "go").touch()
    running.wait_for("good night")
    assert running.end() == 0 and len(sentences(running.text("stdout"))) == 2


@pytest.mark.parametrize("time", ["0", "0s", "x", "", "s", "1d", "1441", "25h", "-5"])
def test_a_sleep_timer_that_is_none(time: str) -> None:
    result = tell(on_this_machine(), "--loop", "--wish", "-", "--sleep", time)
    assert result.returncode == 2 and "--sleep" in result.stderr, result.stderr


def test_the_report_is_the_programs_own() -> None:
    """The same story, so that the last logits have the same fingerprint."""
    words = ("-i", "Once upon a time", "-s", "7")
    program = next(path for path in on_this_machine().parent.glob("tinytales*") if path.is_file())
    plain = subprocess.run([program, "-t", "0.8", "-n", "0", *words], capture_output=True, text=True, check=True)
    told = tell(on_this_machine(), *words, "--mute", "--report")
    assert told.returncode == 0 and told.stdout.strip() == plain.stdout.strip()
    fingerprints = [re.findall(r"seed 7, .*logits (0x[0-9a-f]{16})", text) for text in (plain.stderr, told.stderr)]
    assert fingerprints[0] == fingerprints[1] and len(fingerprints[0]) == 1, (plain.stderr, told.stderr)
    assert "logits" not in tell(on_this_machine(), *words, "--mute").stderr
