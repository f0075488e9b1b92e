"""The guard: what must not be told is no wish, and no sentence of a story; a family's own words, and a list that is none."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from programs import HERO, TOPICS, Running, command, on_this_machine, record, said, samples, tell

from codegen.errors import BakeError
from models import engine
from storyteller.__main__ import main
from storyteller.forbidden import DEFAULT_FORBIDDEN, MAX_BYTES, MAX_WORDS, find_forbidden, pattern, read_forbidden

REFUSED = "I don't know stories about that. Here is another one.\n"
LEFT_OUT = re.compile(r'warning: left out a sentence with "(.*)"')
SEED = "5"
UNREHEARSED = ("--rehearsals", "0")  # a story that loses a sentence is told all the same
SOME = ("--mute", "-s", SEED)
ALL = pattern(tuple(word for words in read_forbidden(DEFAULT_FORBIDDEN).values() for word in words))


def story(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = tell(on_this_machine(), *SOME, *words, stdin=subprocess.DEVNULL)
    assert result.returncode == code, result.stderr
    return result


def sentences(text: str) -> list[str]:
    """The sentences of a story that have no quotes, which is where those of the storyteller end too."""
    return [one for one in re.split(r"(?<=[.!?])\s+", text.strip()) if '"' not in one]


@pytest.fixture(scope="module")
def own_choice() -> str:
    return story(*UNREHEARSED).stdout


# ---- Wishes


@pytest.mark.parametrize(
    "wish",
    [
        "a gun", "Tell me a story about a GUN!",
        "a boy and a big g\u00fcn", "a g-u-n", "a g u n", "a g\u200bu\u200bn",
        "\uff27\uff55\uff4e, please", "a toy-gun", "Spider Man", "spider-man", "McDonald's",
        "a story about star wars", "two pistols", "a dragon and a bottle of beer",
    ],
)  # fmt: skip
def test_a_wish_for_what_must_not_be_told_gets_another_story(wish: str, own_choice: str) -> None:
    result = story("--wish", wish)
    assert result.stdout == own_choice and result.stderr == REFUSED


@pytest.mark.parametrize("wish", [HERO, "Gunnar who had begun to bake in Sussex", "shells", "a stable", "a demonstration", "an assistant"])
def test_a_word_within_a_word_is_none(wish: str, own_choice: str) -> None:
    result = story("--wish", wish)
    assert result.stdout != own_choice and result.stderr == f"a story about {wish}\n"


def test_a_beginning_that_must_not_be_told_begins_nothing(own_choice: str) -> None:
    result = story("-i", "Once there was a fox. He had a gun and")
    assert result.stdout == own_choice and result.stderr == REFUSED
    assert story("-i", "Once there was a fox", "--max-sentences", "1").stdout.startswith("Once there was a fox")


def test_a_wish_that_was_said(own_choice: str, tmp_path: Path) -> None:
    recording = record(tmp_path / "wish.wav", 0.5, said(f"tell me a story about {HERO}", "slt", tmp_path), 1.5)
    words = ("--mic-wav", recording, "--forbidden-words", HERO.split()[-1])
    result = story(*words)
    assert result.stdout == own_choice and result.stderr.endswith(REFUSED), result.stderr


def test_it_is_said_aloud(tmp_path: Path) -> None:
    """Kindly, before the story, in both languages of messages."""
    lengths = []
    for wish in ("a gun", "tell me a story"):
        words = ("--wav", tmp_path / "said.wav", "-s", SEED, "--max-sentences", "1")
        tell(on_this_machine(), "--wish", wish, *words, stdin=subprocess.DEVNULL)
        lengths.append(len(samples(tmp_path / "said.wav")) / 16000)
    assert 2 < lengths[0] - lengths[1] < 6, lengths
    assert "这样的故事我不会讲。" in story("--wish", "a gun", "--language", "zh", "--max-sentences", "1").stderr


def test_nothing_of_it_is_remembered_or_told_to_hooks(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    hook = command(tmp_path / "hook", f'echo "$STORYTELLER_EVENT $STORYTELLER_TEXT" >> {tmp_path}/events')
    words = ("--loop", "--wish", "-", *SOME, "--memory", memory, "--max-sentences", "2", "--on-think", hook)
    running = Running(tmp_path, *words)
    for n, line in enumerate(("a pistol", "again", "what happens next?", "next"), 1):
        running.wait_for("type a wish", times=n)
        running.type(line)
    running.wait_for("type a wish", times=5)
    assert running.end() == 0
    assert running.text().count(REFUSED) == 1 and "pistol" not in running.text()
    assert "\ntopic \n" in memory.read_text() and set((tmp_path / "events").read_text().split()) == {"think"}


def test_a_memory_of_before_is_not_told_again(own_choice: str, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("storyteller 1\ntopic a pistol\nseed 3\nlength 0\nday 0\nstories 1\nend\n")
    running = Running(tmp_path, "--loop", "--wish", "-", *SOME, "--memory", tmp_path / "memory")
    running.type("that one again")
    running.wait_for("type a wish", times=2)
    assert running.end() == 0
    assert running.text("stdout") == own_choice and "pistol" not in running.text()


# ---- Stories


def rare(text: str) -> list[str]:
    """Words that one sentence of a story has, which has no quotes, by the order of these."""
    everywhere = re.findall(r"[a-z]+", text.lower())
    words = [re.findall(r"\b[a-z]{4,}\b", one) for one in sentences(text)]
    once = [[word for word in some if everywhere.count(word) == 1] for some in words]
    return [some[0] for some in once if some]


def test_a_sentence_is_left_out_and_two_end_the_story(own_choice: str) -> None:
    first, second, *_ = rare(own_choice)
    result = story("--forbidden-words", first, *UNREHEARSED)
    assert LEFT_OUT.findall(result.stderr) == [first]
    lost = [one for one in sentences(own_choice) if one not in result.stdout]
    assert len(lost) == 1 and first in lost[0] and result.stdout == own_choice.replace(" " + lost[0], "", 1)
    result = story("--forbidden-words", f"{first}, {second}", *UNREHEARSED)
    assert LEFT_OUT.findall(result.stderr) == [first, second] and result.stdout.endswith(" The end.\n")
    kept = result.stdout.removesuffix(" The end.\n")
    assert own_choice.replace(" " + lost[0], "", 1).startswith(kept) and second not in kept


def test_a_sentence_that_is_left_out_is_not_heard(tmp_path: Path, own_choice: str) -> None:
    first, *_ = rare(own_choice)
    lengths = []
    for words in ((), ("--forbidden-words", first)):
        path = tmp_path / "said.wav"
        result = tell(on_this_machine(), "--wav", path, "-s", SEED, "--voice", "kal", *words, *UNREHEARSED, stdin=subprocess.DEVNULL)
        lengths.append((len(samples(path)), len(result.stdout)))
    assert 0.5 < (lengths[1][0] / lengths[0][0]) / (lengths[1][1] / lengths[0][1]) < 1.5 and lengths[1][0] < lengths[0][0]


def test_a_story_without_it_is_rehearsed() -> None:
    """Rather than one that would lose a sentence."""
    told = story("--wish", HERO).stdout
    word = next(word for word in reversed(rare(told)) if word not in HERO)
    result = story("--wish", HERO, "--forbidden-words", word)
    assert not LEFT_OUT.search(result.stderr) and result.stdout not in ("", told) and not re.search(rf"\b{word}\b", result.stdout)
    result = story("--wish", HERO, "--forbidden-words", word, "--rehearsals", "0", "-s", SEED)
    assert not re.search(rf"\b{word}\b", result.stdout)


def test_what_happens_next_knows_nothing_of_it(own_choice: str, tmp_path: Path) -> None:
    """Of a story that is told anew for it, too, after a power cut."""
    word = rare(own_choice)[-1]
    (tmp_path / "rules.txt").write_text(f"forbidden words = {word}\n")
    parts = []
    first, then = "tell me a story", "what happens next"
    for memory, seed, lines in (("one", SEED, (first, then)), ("two", SEED, (first,)), ("two", "6", (then,))):
        words = ("--memory", tmp_path / memory, "--rules", tmp_path / "rules.txt", "-s", seed, *UNREHEARSED)
        running = Running(tmp_path, "--loop", "--wish", "-", "--mute", *words)
        for n, line in enumerate(lines, 1):
            running.wait_for("type a wish", times=n)
            running.type(line)
        running.wait_for("type a wish", times=len(lines) + 1)
        assert running.end() == 0
        parts.append(running.text("stdout"))
    assert parts[0] == parts[1] + parts[2] and not re.search(rf"\b{word}\b", "".join(parts))


def test_a_choice_is_not_offered_with_it() -> None:
    """Ways that are offered have none of the words that were forbidden, however common."""
    result = story("--wish", HERO, "--choices", "--forbidden-words", "said, asked", "--length", "long")
    assert not re.search(r"\b(said|asked)\b", result.stdout + result.stderr.replace("with \"said\"", "").replace("with \"asked\"", ""))


# ---- A family's rules


@pytest.mark.parametrize(
    ("rules", "wish", "refused"),
    [
        ("guard = off", "a gun", False), ("guard = on", "a gun", True), ("guard = off\nforbidden words = dragon", "a dragon", False),
        ("forbidden words = spider, ghost*", "a SPIDER", True), ("forbidden words = spider, ghost*", "two spiders", True),
        ("forbidden words = spider, ghost*", "a ghostly house", True),
        ("Forbidden_Words = \u9b3c\uff0c\u6253\u67b6", "a \u6211\u4eec\u6253\u67b6", True),
        ("forbidden words = the dark,", "being scared of the dark", True), ("forbidden words = the dark", "a dark night", False),
        ("child = Elsa", "a story about me and a dog", False), ("child = Elsa", "Elsa and Batman", True),
        ("topics = a soldier, a dog", "a soldier", False), ("topics = a soldier, a dog", "a gun", True),
    ],
)  # fmt: skip
def test_parents_have_the_last_word(rules: str, wish: str, refused: bool, tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text(rules + "\n")
    result = story("--wish", wish, "--rules", tmp_path / "rules.txt", "--max-sentences", "1")
    assert (REFUSED in result.stderr) == refused and ("a story about" in result.stderr) != refused, result.stderr


def test_topics_that_are_forbidden_are_not_named(tmp_path: Path) -> None:
    few = " ".join(f"{topic.split()[-1]}," for topic in TOPICS[8:])
    result = story("--wish", "what can you tell", "--forbidden-words", few)
    named = result.stderr.removeprefix("topics: ").strip().replace(" or ", ", ").split(", ")
    assert named != [""] and set(named) <= set(TOPICS[:8])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("guard = maybe", 'guard: "maybe": expected on or off'), ("forbidden words = ", "forbidden-words: "),
        ("forbidden words = a*", 'forbidden-words: "a*": expected words with commas between them'),
        ("forbidden words = *", "forbidden-words: "),
        ("forbidden words = gho*st", "forbidden-words: "), ("forbidden words = spider,,ghost", "forbidden-words: "),
        ("forbidden words = <b>", "forbidden-words: "), ("forbidden words = " + "x" * 41, "forbidden-words: "),
        ("guard = off\nguard = on", '"guard" stands in line 1 already'),
    ],
)  # fmt: skip
def test_mistakes_leave_the_guard_as_it_is(rule: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text(rule + "\n")
    words = ("--loop", "--wish", "-", *SOME, "--rules", tmp_path / "rules.txt")
    result = tell(on_this_machine(), *words, input="a gun\n")
    assert result.returncode == 0 and message in result.stderr and (REFUSED in result.stderr) == ("off" not in rule), result.stderr


# ---- The list


def test_the_models_own_list_catches_none_of_what_it_tells() -> None:
    """None of its topics, and nothing of the stories that it learned from."""
    assert [topic for topic in TOPICS if ALL.search(topic)] == []
    stories = (engine.document(7_000_000, index).story for index in range(300))
    assert [found[0] for text in stories if (found := ALL.search(text))] == []


def test_most_of_what_training_refuses_is_on_the_list() -> None:
    """The rest are wishes of harmless words: "a trial", "the police and a thief"."""
    text = Path(engine.__file__).with_name("forbidden.txt").read_text()
    sections = dict(re.findall(r"^== (\w+)\n((?:(?!==).*\n)+)", text, re.MULTILINE))
    asked = [one.strip() for name in ("things", "brands") for line in sections[name].splitlines() for one in line.split(",")]
    assert len(asked) > 500 and sum(bool(ALL.search(one)) for one in asked) > 0.55 * len(asked)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 words that must not be told, expected 1 to 5000"), (b"# none\r\n\r\n", "0 words"),
        (b"\x7fELF\x00\x01 | \x02\x03", "my.forbidden.txt: line 1: found"), (b"weapons | g\xfcn", "not UTF-8 at byte 11"),
        (b"gun pistol\n", "line 1: found"), (b"weapons |\n", "line 1: found"), (b"| gun\n", "line 1: found"),
        (b"weapons | a*\n", "line 1: found 'a*'"),
        (b"\nweapons | gu*n", "line 2: found"), (b"w | " + b"x" * 41, "expected at most 40 letters"), (b'w | a"b', "line 1: found"),
        (b"w |" + b" abc" * (MAX_WORDS + 1), f"{MAX_WORDS + 1} words"), (b"#" * (MAX_BYTES + 1), "found more"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever bakes hears of it: a robot without a guard would look like one that has one."""
    (tmp_path / "my.forbidden.txt").write_bytes(content)
    for step in ("topics", "wishes"):
        assert main([step, str(tmp_path / "my.bin"), "--output", str(tmp_path)]) == 65
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    assert not (tmp_path / "wishes.cpp").exists()


def test_a_list_beside_the_model_is_baked_in_place_of_the_default(tmp_path: Path) -> None:
    assert find_forbidden(tmp_path / "my_q8.bin") == DEFAULT_FORBIDDEN
    assert main(["wishes", str(tmp_path / "my_q8.bin"), "--output", str(tmp_path)]) == 0
    assert '"spider-man",' in (tmp_path / "wishes.cpp").read_text()
    mine = tmp_path / "my.forbidden.txt"
    mine.write_bytes("\ufeff# mine\r\nfrightening | Wolf* gh\u00f6st\r\nfrightening | wolf* the-dark\r\n".encode())
    assert read_forbidden(mine) == {"frightening": ("wolf*", "gh\u00f6st", "the-dark")}
    saved = tmp_path / "topics.json"
    assert main(["topics", str(tmp_path / "my_q8.bin"), "--save", str(saved)]) == 0
    assert {str(mine), str(tmp_path / "my_q8.forbidden.txt")} <= set(json.loads(saved.read_text())["files"])
    assert main(["wishes", "--bake", str(saved), "--output", str(tmp_path)]) == 0
    text = (tmp_path / "wishes.cpp").read_text()
    assert text.count('"wolf*",') == 1 and '"gh\u00f6st",' in text and "spider-man" not in text
    with pytest.raises(BakeError) as caught:
        read_forbidden(tmp_path)
    assert caught.value.exit_code == 66
