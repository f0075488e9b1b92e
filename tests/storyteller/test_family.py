"""A family's robot: its rules file, what it remembers from one start to the next, and what becomes of mistakes in either."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from programs import TYPED, TYPE_A_WISH, Running, evening, on_this_machine, samples, tell


def test_rules_are_kept(tmp_path: Path) -> None:
    rules = """# what our robot may do
    Child = Mia
    topics = a dragon, the sea     # no others
    stories a day = 2
    max sentences = 3
    volume ceiling = 120 %
    language = en
    """
    told, said = evening(tmp_path, "a rabbit", "louder", "a story about me and a dragon", "the sea", "another one", rules=rules)
    assert "line" not in said, said
    assert 'the rules have no topic "a rabbit"' in said and "volume 120 %" in said
    assert re.findall(r"^a story about (.*)$", said, re.MULTILINE) == ["Mia and a dragon", "the sea"]
    assert "2 stories today: no more" in said and len(told.strip().splitlines()) >= 2


def test_a_story_of_its_own_choice_is_one_of_those_allowed(tmp_path: Path) -> None:
    told, _ = evening(tmp_path, "tell me a story", rules="topics = a dragon\n")
    asked = ("--wish", "a dragon", "--mute", "-s", "5", "--rehearsals", "0")  # its own choice nobody has asked for: it isn't rehearsed
    assert told == tell(on_this_machine(), *asked).stdout and told


def test_quiet_hours(tmp_path: Path) -> None:
    """Now, and not now, by this machine's clock; it may pass the limit of an hour meanwhile."""
    hour = int(subprocess.run(["date", "+%H"], capture_output=True, text=True, check=True).stdout)
    now, later = f"{(hour - 1) % 24}:00-{(hour + 2) % 24}:00", f"{(hour + 3) % 24}:00-{(hour + 5) % 24}:00"
    told, said = evening(tmp_path, "a dragon", rules=f"quiet hours = {now}\n")
    assert told == "" and "quiet hours: no stories now" in said
    for rules in (f"quiet hours = {later}\n", f"quiet hours = {now}\nnight volume = 20\n"):
        told, said = evening(tmp_path, "a dragon", rules=rules + "max sentences = 1\n")
        assert told and "quiet" not in said


def loudness(path: Path) -> float:
    return float((samples(path) ** 2).mean() ** 0.5)


def test_the_ceiling_is_one_for_every_voice_and_command(tmp_path: Path) -> None:
    levels = []
    for rules in ("", "volume ceiling = 50\n", "volume ceiling = -6dB\n"):
        path = tmp_path / "said.wav"
        words = ("--loop", "--wish", "-", "-s", "5", "--volume", "200", "--max-sentences", "1", "--wav", path, "--voice", "kal16")
        evening(tmp_path, "a dragon", words=words, rules=rules)
        levels.append(loudness(path))
    assert 0.2 < levels[1] / levels[0] < 0.35 and abs(levels[2] / levels[1] - 1) < 0.02, levels


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("volume = loud", 'line 1: volume: "loud": expected 10 to 400 percent, or -20dB to 12dB'),
        ("\n\nvolume = 99999999999999999999", "line 3: volume: "),
        ("volume = 60\nvolume = 70", 'line 2: "volume" stands in line 1 already, which counts'),
        ("snd-command = rm -rf /", "line 1: snd-command: no rule: they are volume, "),
        ("on-listen = touch hacked", "line 1: on-listen: no rule"), ("wav = /etc/passwd", "line 1: wav: no rule"),
        ("memory = /etc/passwd", "line 1: memory: no rule"), ("rules = other", "line 1: rules: no rule"),
        ("voice = nobody", "line 1: voice: expected one of slt"), ("voice = $(touch hacked)", "line 1: voice: expected one of slt"),
        ("language = fr", 'line 1: language: "fr": expected en or zh'), ("length = very long", "line 1: length: "),
        ("sleep = soon", 'line 1: sleep: "soon": expected minutes'), ("quiet hours = 25:00-6:00", "line 1: quiet-hours: "),
        ("topics = ,", "line 1: topics: "), ("child = <b>", "line 1: child: "), ("attention = never", "line 1: attention: "),
        ("hello", 'line 1: "hello": expected a rule: volume = 60'), (b"\x00\x01\x02", ": not a text"),
        (b"\x7fELF" + bytes(10_000_000), ": more than 65536 bytes"), (b"child = Zo\xeb", 'line 1: "child": not UTF-8'),
        ("child = Zoë".encode("utf-16"), None), ("child = Zoë".encode("utf-8-sig"), None), ("volume = 60\r\nchild = Mia\r\n", None),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_mistakes_are_told_and_nothing_comes_of_them(rules: str | bytes, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "rules.txt"
    path.write_bytes(rules if isinstance(rules, bytes) else rules.encode())
    result = tell(on_this_machine(), *TYPED, "--rules", path, input="", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert message is None and "rules.txt" not in result.stderr or message and f"{path}" in result.stderr and message in result.stderr
    assert {entry.name for entry in tmp_path.iterdir()} == {"rules.txt"}


@pytest.mark.parametrize("words", [TYPED, ("--wish", "a dog", "--mute", "--max-sentences", "1"), ("-i", "A dog", "--mute")], ids=str)
def test_mistakes_are_told_however_a_story_is_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("forbidden words = spider, --\n")
    for rules, message in (("rules.txt", "rules.txt, line 1: forbidden-words: "), ("none.txt", "none.txt: cannot be read: No such file"),
                           (".", ": cannot be read: not a file: expected a rules file")):
        result = tell(on_this_machine(), *words, "--rules", tmp_path / rules, input="")
        assert result.returncode == 0 and result.stderr.count(message) == 1, result.stderr


def test_topics_are_those_that_are_meant(tmp_path: Path) -> None:
    """However they are written; what nobody can ask for is a mistake."""
    for rules, message in (("topics = Dragon, the sea", "a story about a dragon"), ("topics = A DRAGON", "a story about a dragon"),
                           ("topics = the sea", 'the rules have no topic "a dragon"'), ("topics = \u9f99", "line 1: topics: "),
                           ("topics = a cat, --", "line 1: topics: "), ("child = -", "line 1: child: ")):
        (tmp_path / "rules.txt").write_text(rules + "\n")
        result = tell(on_this_machine(), "--wish", "A Dragon", "--mute", "--max-sentences", "1", "--rules", tmp_path / "rules.txt")
        assert result.returncode == 0 and message in result.stderr, result.stderr


def test_what_is_typed_steers_no_terminal_and_no_memory(tmp_path: Path) -> None:
    words = ("--mute", "--max-sentences", "1", "--memory", tmp_path / "memory", "-s", "5", "--rehearsals", "0")
    result = tell(on_this_machine(), *words, "--wish", "a \x1b[31m\u202edragon\nstories 9")
    assert result.returncode == 0 and result.stderr == "a story about a [31mdragon stories 9\n"
    assert "topic a [31mdragon stories 9\nseed 5\n" in (tmp_path / "memory").read_text()
    (tmp_path / "memory").write_text("storyteller 1\ntopic a \x1b[2Jcat\nseed 5\nlength 0\nday 0\nstories 0\nend\n")
    assert "\x1b" not in tell(on_this_machine(), *words, "--wish", "again").stderr


def test_mistakes_are_said(tmp_path: Path) -> None:
    """By voice too: longer than good night alone by a sentence."""
    lengths = []
    for rules in ("volume = 100\n", "volume = 100\n\n\nvolume = 0\n"):
        (tmp_path / "rules.txt").write_text(rules)
        words = ("--loop", "--wish", "-", "--wav", tmp_path / "said.wav", "--rules", tmp_path / "rules.txt")
        assert tell(on_this_machine(), *words, input="").returncode == 0
        lengths.append(len(samples(tmp_path / "said.wav")))
    assert lengths[1] > lengths[0] + 16000


def test_the_command_line_comes_over_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("language = zh\n")
    for words, expected in (((), "输入愿望"), (("--language", "en"), TYPE_A_WISH)):
        assert expected in tell(on_this_machine(), *TYPED, "--rules", tmp_path / "rules.txt", *words, input="").stderr


# ---- What is remembered


def test_the_last_story_is_told_again_after_a_new_start(tmp_path: Path) -> None:
    words = (*TYPED[:-2], "--memory", tmp_path / "memory")
    first, _ = evening(tmp_path, "a dragon and a cat", words=words)
    again, said = evening(tmp_path, "that one again", words=words)
    assert first == again != "" and "a story about a dragon and a cat" in said
    sequel, _ = evening(tmp_path, "what happens next?", words=words)
    names = set(re.findall(r"[a-z,] ([A-Z][a-z]+)", first))
    assert sequel != first and names & set(re.findall(r"[A-Z][a-z]+", sequel.split(".")[0])), (first, sequel)


def test_nothing_is_remembered_unless_it_is_wanted(tmp_path: Path) -> None:
    evening(tmp_path, "a dragon", words=(*TYPED, "--memory", tmp_path / "memory"), rules="remember = off\n")
    assert not (tmp_path / "memory").exists()


@pytest.mark.parametrize("content", [b"", b"\x00" * 5000, b"storyteller 1\ntopic a dr", b"storyteller 1\n" + b"x" * 100_000])
def test_a_memory_that_is_none_is_begun_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "memory").write_bytes(content)
    told, _ = evening(tmp_path, "again", words=(*TYPED, "--memory", tmp_path / "memory"))
    assert told and (tmp_path / "memory").read_text().endswith("end\n")


def test_a_card_that_takes_nothing_is_told_of_once(tmp_path: Path) -> None:
    """Read-only, or full, or not there: the robot goes on."""
    told, said = evening(tmp_path, "a dragon", "again", "next", words=(*TYPED, "--memory", "/proc/none/memory"))
    assert said.count("it goes on without a memory") == 1 and said.count("a story about a dragon") == 3 and told


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    """A mount of its own that is read-only, with an old memory on it: it is read, and told of once that it can't be written."""
    (tmp_path / "card").mkdir()
    words = (*TYPED, "--memory", tmp_path / "card/memory")
    first, _ = evening(tmp_path, "a dragon", words=words)
    old = (tmp_path / "card/memory").read_bytes()
    mount = f"mount --bind {tmp_path}/card {tmp_path}/card && mount -o remount,bind,ro {tmp_path}/card"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("a read-only mount of its own is root's")
    command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *map(str, (on_this_machine(), *words))]
    result = subprocess.run(command, input="again\n", capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, first) and first, result.stderr
    assert result.stderr.count("it goes on without a memory") == 1 and (tmp_path / "card/memory").read_bytes() == old


def test_stories_of_the_day_are_counted_over_a_power_cut(tmp_path: Path) -> None:
    words = (*TYPED, "--memory", tmp_path / "memory", "--max-sentences", "1")
    rules = "stories a day = 2\n"
    evening(tmp_path, "a dragon", words=words, rules=rules)
    running = Running(tmp_path, *words, "--rules", tmp_path / "rules.txt")
    running.wait_for(TYPE_A_WISH)
    running.type("a cat")
    running.wait_for(TYPE_A_WISH, times=2)
    running.process.kill()
    running.process.wait()
    _, said = evening(tmp_path, "a dog", words=words, rules=rules)
    assert "2 stories today: no more" in said


def test_memory_and_descriptors_do_not_grow(tmp_path: Path) -> None:
    """STORYBAKE_WISHES says how many wishes; the others are measured against the first tenth."""
    count = int(os.environ.get("STORYBAKE_WISHES", "100"))
    running = Running(tmp_path, *TYPED, "--memory", tmp_path / "memory", "-n", "8")
    sizes = []
    for n in range(1, count + 1):
        running.wait_for(TYPE_A_WISH, times=n)
        running.type(("a dragon", "again", "what happens next", "tell me a story", "louder", "help", "x" * 3000)[n % 7])
        if n in (count // 10 + 1, count):
            running.wait_for(TYPE_A_WISH, times=n + 1)
            status = Path(f"/proc/{running.process.pid}/status").read_text()
            anonymous = re.search(r"RssAnon:\s+(\d+)", status)
            assert anonymous
            counts = [len(os.listdir(f"/proc/{running.process.pid}/{what}")) for what in ("fd", "task")]
            sizes.append((int(anonymous[1]), *counts))
    assert running.end() == 0
    assert sizes[1][0] <= sizes[0][0] + 512 and sizes[1][1:] == sizes[0][1:], sizes
