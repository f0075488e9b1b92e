"""What the storyteller can hear: the topics of a file, and the pronunciations that are baked instead of a dictionary."""

from __future__ import annotations

import json
import re
import subprocess
from functools import partial
from pathlib import Path

import at_hand
import programs
import pytest

from codegen.model import Model
from codegen.plan import make_plan
from codegen.targets import TARGETS
from storyteller import phrases
from storyteller.__main__ import main
from storyteller.forbidden import DEFAULT_FORBIDDEN
from storyteller.memory import memory_text
from storyteller.wishes import (
    DEFAULT_TOPICS, MAX_DICTIONARY_BYTES, OWN_WORDS, find_topics, read_dictionary, read_topics, wishes_for, write_wishes,
)  # fmt: skip
from storyteller.words import read_words

OWN = "".join(f"{word} AH\n" for word in OWN_WORDS if word != "a")
DICTIONARY = ";;; no word\na AH\na(2) EY\n" + OWN + "dragon D R AE G AH N\nhorse HH AO R S\nsea S IY\nunicorn Y UW N\n"
MODEL = "models/none.bin"  # only its folder and name count


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A topics file and a dictionary."""
    topics, dictionary = tmp_path / "my.topics.txt", tmp_path / "my.dict"
    topics.write_text("a dragon\n# no topic\n \na seahorse\na dragon\n")
    dictionary.write_text(DICTIONARY)
    return topics, dictionary


def run(command: str, topics: Path, dictionary: Path, folder: Path) -> int:
    return main([command, MODEL, "--topics", str(topics), "--dictionary", str(dictionary), "--output", str(folder)])


def test_the_words_of_the_grammar_are_baked_and_no_others(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("wishes", *files, tmp_path) == 0
    text = (tmp_path / "wishes.cpp").read_text()
    for line in ('{"a", "AH"}', '{"a(2)", "EY"}', '{"dragon", "D R AE G AH N"}', '{"seahorse", "S IY HH AO R S"}', '{"please", "AH"}'):
        assert text.count(f"    {line},\n") == 1, line
    assert "unicorn" not in text and '"horse"' not in text
    assert ".pronunciations = kPronunciations," in text


def test_the_build_is_told_of_the_files_and_of_words_that_are_lacking(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics, dictionary = files
    assert run("topics", topics, dictionary, tmp_path) == 0
    assert capsys.readouterr() == ("", "")
    topics.write_text("a dragon\nthe old zorblax\na zorblax\na quuxel\n")
    assert run("topics", topics, dictionary, tmp_path) == 0
    words = 'old ("the old zorblax"), quuxel ("a quuxel"), zorblax ("the old zorblax")'
    assert capsys.readouterr().err == f"topics with words that the dictionary lacks, heard as Flite would say them: {words}\n"
    assert run("wishes", topics, dictionary, tmp_path) == 0
    assert '    {"zorblax", ""},\n' in (tmp_path / "wishes.cpp").read_text()


def test_the_parser_knows_the_phrases_of_the_grammar(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Both are made of the same tables; a topic stands in the grammar once, since a board pays for each of its words, and somebody
    once more, as a friend."""
    assert run("wishes", *files, tmp_path) == 0
    text = (tmp_path / "wishes.cpp").read_text()
    for phrase in (*phrases.ASKS, *phrases.STORIES, *phrases.OTHERS, *phrases.NAMES, *(words for words, _ in phrases.COMMANDS)):
        assert f'"{phrase}"' in text, phrase
    grammar = phrases.grammar(("a dragon", "the sea", "a tall tree"))
    assert [len(re.findall(f"/ {noun}[ )]", "\n".join(grammar))) for noun in ("sea", "tall tree", "dragon")] == [1, 1, 2]
    assert {"a fox", "a bear", "a wolf", "a zebra"} <= set(phrases.friends(programs.TOPICS)), "the end of the alphabet too"
    for rule in re.findall(r"<(\w+)>", "\n".join(grammar)):
        assert rule in ("name", "NULL") or f"<{rule}> =" in "\n".join(grammar).replace("public ", ""), f"<{rule}> is no rule"
    assert all(re.fullmatch(r"[a-z' ]+", word) for word in (*phrases.own_words(), *phrases.NAMES, *phrases.POLITE))


def test_a_storyteller_without_ears_needs_no_dictionary(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert main(["wishes", MODEL, "--topics", str(files[0]), "--output", str(tmp_path)]) == 0
    assert ".pronunciations = {}," in (tmp_path / "wishes.cpp").read_text()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 66, "no such file; install pocketsphinx-en-us"),
        (b"\xff\xfe\x00", 65, "not UTF-8 at byte 0"),
        (b"", 65, "lacks a, about, again, and, another, expected the CMU dictionary's lines"),
        (DICTIONARY.replace("story ", "storey ").encode(), 65, "lacks story, expected"),
    ],
)
def test_what_is_no_dictionary_is_refused(
    text: bytes | None, code: int, words: str, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics, dictionary = files
    dictionary.unlink() if text is None else dictionary.write_bytes(text)
    for command in ("topics", "wishes"):
        assert run(command, topics, dictionary, tmp_path) == code
        message = capsys.readouterr().err
        assert words in message and str(dictionary) in message and message.count("\n") == 1


def test_a_topic_that_cannot_be_said_is_named_by_its_line(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, words in (("a dragon\nA Dragon\n", "line 2: found"), ("", "0 topics, expected 1 to 5000"), ("a  b\n", "line 1: found")):
        files[0].write_text(text)
        assert run("topics", *files, tmp_path) == 65
        assert words in capsys.readouterr().err


def test_the_models_own_topics_are_all_in_debians_dictionary() -> None:
    path = Path("/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict")
    if not path.is_file():
        pytest.skip(f"no {path}; run: tools/setup speech")
    words = sorted(OWN_WORDS.union(phrases.NAMES, *(topic.split() for topic in read_topics(DEFAULT_TOPICS))))
    assert read_dictionary(path, words).keys() == set(words)


def test_what_is_no_topics_file_is_refused(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files[0].write_bytes(b"a dragon\n\xff\n")
    assert run("topics", *files, tmp_path) == 65
    assert f"{files[0]}: topics: not UTF-8 at byte 9" in capsys.readouterr().err
    files[0].unlink()
    assert run("topics", *files, tmp_path) == 66
    assert f"topics: {files[0]}: no such file; name a file with -Dtopics=PATH" in capsys.readouterr().err


def test_a_topic_is_not_long(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for length, code in ((80, 0), (81, 65)):
        files[0].write_text("a " + "x" * (length - 2) + "\n")
        assert run("topics", *files, tmp_path) == code
    assert "my.topics.txt: line 1: found 'a xxx" in capsys.readouterr().err.splitlines()[-1]


def test_ears_without_a_word_of_their_own(tmp_path: Path) -> None:
    """Flite says how what no dictionary has is said; a storyteller without ears has no words to hear."""
    wishes = wishes_for(DEFAULT_TOPICS, True, False)
    for dictionary, line in (({}, '    {"dragon", ""},\n'), (None, "")):
        write_wishes(wishes, dictionary, {}, (), tmp_path)
        text = (tmp_path / "wishes.cpp").read_text()
        assert line in text and ('"dragon"' in text) == bool(line)


def test_a_dictionary_that_is_none_by_its_size_is_not_read(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with files[1].open("wb") as file:
        file.truncate(MAX_DICTIONARY_BYTES + 1)
    assert run("wishes", *files, tmp_path) == 65
    assert f"dictionary: my.dict: expected at most {MAX_DICTIONARY_BYTES} bytes, found more" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--topics", "--dictionary"])
def test_what_is_no_file_is_not_read(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (at_hand.silent_pipe(tmp_path / "fifo"), Path("/dev/zero"), tmp_path):
        assert main(["topics", MODEL, option, str(path)]) == 66
        assert f"{option[2:]}: {path}: is not a regular file; " in capsys.readouterr().err


def test_a_model_that_chats_is_asked_in_a_users_words(files: tuple[Path, Path], tmp_path: Path) -> None:
    """One that has topics of its own is one that knows them: its template asks for these."""
    for words, before in (([], "Tell me a story about "), (["--chat"], "Tell me a short story about ")):
        assert main(["wishes", MODEL, "--topics", str(files[0]), *words, "--output", str(tmp_path)]) == 0
        text = (tmp_path / "wishes.cpp").read_text()
        assert f'.prompt_before = "{before}"' in text and f".asks_by_chat = {str(bool(words)).lower()}," in text
        assert f'.prompt_for_any = "{"Tell me a short story." if words else ""}"' in text
    assert main(["wishes", MODEL, "--chat", "--output", str(tmp_path)]) == 0
    other = next(topic for topic in read_topics(DEFAULT_TOPICS) if not topic.startswith(("a ", "an ")))
    assert f'    "{other}",\n' in (tmp_path / "wishes.cpp").read_text(), "other topics than creatures, too"


def test_topics_are_those_that_were_named_or_lie_beside_the_model(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert find_topics(tmp_path / "other.bin", "") == (DEFAULT_TOPICS, False)
    assert find_topics(tmp_path / "my.bin", "") == (files[0], True)
    assert find_topics(tmp_path / "my.bin", "their.txt") == (Path("their.txt"), True)


def test_the_arguments_are_kept_with_what_to_watch(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, kept = tmp_path / "@OUTDIR@" / "my.bin", tmp_path / "topics.json"
    assert main(["topics", str(model), "--dictionary", str(files[1]), "--save", str(kept)]) == 0
    saved = json.loads(kept.read_text())
    beside = [model.with_name(f"my.{what}.txt") for what in ("topics", "forbidden", "words")]
    assert set(saved["files"]) == {str(path) for path in (DEFAULT_TOPICS, DEFAULT_FORBIDDEN, files[1], *beside)} and saved["folders"] == []
    assert main(["wishes", "--bake", str(kept), "--output", str(tmp_path)]) == 0
    assert '"dragon", "D R AE G AH N"' in (tmp_path / "wishes.cpp").read_text()
    words = tmp_path / "words.dict"
    words.write_text("a AH\n")
    capsys.readouterr()
    assert main(["topics", MODEL, "--dictionary", str(words)]) == 65
    assert capsys.readouterr().err.count("\n") == 1


def test_it_is_said_whether_hearing_and_telling_fit_the_board() -> None:
    """The shape of stories15M in int8, and a small one, each with as many topics as have been measured; 24 MB is a stock image."""
    topics = ("a dragon",) * 278
    small = make_plan(Model("small", 64, 172, 5, 8, 4, 512, 512, 8, True), TARGETS["duo"])
    assert "of 24 MB: one after the other" in memory_text(small, topics)
    assert "of 30 MB: one after the other" in memory_text(small, topics, 30)
    assert "of 33 MB: both fit" in memory_text(small, topics[:10], 33)
    assert "of 18 MB: no room for hearing" in memory_text(small, topics, 18)
    large = {"dim": 288, "hidden_dim": 768, "n_layers": 6, "n_heads": 6, "n_kv_heads": 6, "vocab_size": 32000, "seq_len": 256}
    stories15m = Model(name="stories15M_q8", head_size=48, shared_classifier=True, weight_type="q8", group_size=32, **large)
    plan = make_plan(stories15m, TARGETS["duo"])
    assert "of 22 MB: no room for telling nor hearing\n" in memory_text(plan, topics, 22)
    assert "of 30 MB: no room for telling\n" in memory_text(plan, topics, 30)
    assert "of 40 MB: one after the other" in memory_text(plan, topics, 40)
    assert "of 60 MB: both fit" in memory_text(plan, topics, 60)
    assert "of 20 MB: no room for telling nor hearing" in memory_text(plan, topics, 20)


def test_the_core_does_not_know_the_storyteller() -> None:
    root = Path(__file__).resolve().parents[2]
    for folder in ("codegen", "runtime", "templates"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".py", ".cpp", ".hpp", ".jinja"):
                for line in path.read_text().splitlines():
                    assert not line.lstrip().startswith(("import storyteller", "from storyteller", '#include "storyteller/')), path


@pytest.mark.parametrize(("content", "message"), [
    (b"\xff\xfe", "list of words: not UTF-8 at byte 0"),
    (b"kite\nTom\n", "my.words.txt: line 2: found 'Tom', expected a word of at most 40 small letters"),
    (b"a kite\n", "line 1: found 'a kite'"),
    (b"x" * 41, "line 1: found 'xxx"),
    (b"-\n", "line 1: found '-'"),
    ("".join(f"{'abcdefghij'[i % 10]}{'x' * (i // 2500)}{chr(97 + i // 10 % 10)}{chr(97 + i // 100 % 25)}\n"
             for i in range(60_000)).encode(), "words, expected at most 50000"),
    (b"kite\n" * 300_000, "my.words.txt: expected at most 1048576 bytes"),
], ids=["binary", "a name", "two words", "too long", "no letter", "too many", "too large"])  # fmt: skip
def test_what_is_no_list_of_words_is_refused(content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.words.txt").write_bytes(content)
    for step in ("topics", "wishes"):
        assert main([step, str(tmp_path / "my.bin"), "--output", str(tmp_path)]) == 65
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1


def test_words_beside_the_model_are_baked(tmp_path: Path) -> None:
    assert main(["wishes", str(tmp_path / "my_q8.bin"), "--output", str(tmp_path)]) == 0
    assert "    .words = {},\n" in (tmp_path / "wishes.cpp").read_text()
    mine = tmp_path / "my.words.txt"
    mine.write_bytes("\ufeff# mine\r\nzebra\r\n\r\nit's\r\ngh\u00f6st\r\nzebra\r\nwell-known\r\n".encode())
    assert read_words(mine) == ("gh\u00f6st", "it's", "well-known", "zebra")
    saved = tmp_path / "topics.json"
    assert main(["topics", str(tmp_path / "my_q8.bin"), "--save", str(saved)]) == 0
    assert {str(mine), str(tmp_path / "my_q8.words.txt")} <= set(json.loads(saved.read_text())["files"])
    assert main(["wishes", "--bake", str(saved), "--output", str(tmp_path)]) == 0
    text = (tmp_path / "wishes.cpp").read_text()
    assert '    "gh\u00f6st",\n    "it\'s",\n    "well-known",\n    "zebra",\n' in text and "    .words = kWords,\n" in text


def test_a_story_that_lacks_what_was_wished_for_is_not_told(tmp_path: Path) -> None:
    """Told is that of the first seed whose story has it all, or lacks least; the same again, and after another start."""
    wish = "a fox with a violin in the market"
    wanted = ("fox", "violin", "market")
    tell = partial(programs.tell, programs.on_this_machine(), "--mute")
    first, stories = 100, {}
    for seed in range(first, first + 30):
        stories[seed] = tell("--wish", wish, "-s", seed, "--rehearsals", "0", stdin=subprocess.DEVNULL).stdout
    lacking = {seed: sum(word not in story.partition(".")[2] for word in wanted) for seed, story in stories.items()}
    seed = next(seed for seed in range(first, first + 20) if lacking[seed] and not all(lacking[seed + i] for i in range(1, 6)))
    best = min(range(seed, seed + 6), key=lambda one: lacking[one])
    assert not lacking[best] and best != seed
    memory = ("--memory", tmp_path / "memory")
    typed = ("--wish", "-", "--loop", *memory)
    assert tell("--wish", wish, "-s", seed, stdin=subprocess.DEVNULL).stdout == stories[best]
    # Type each line when the one before is answered: one that comes while it rehearses cuts that.
    typed_in_turn = partial(programs.evening, tmp_path, words=("--mute", *typed, "-s", str(seed)))
    assert typed_in_turn(wish, "that one again")[0] == 2 * stories[best]
    assert tell(*typed, input="that one again\n").stdout == stories[best]
    other = tell("--wish", wish, "-s", best + 1, stdin=subprocess.DEVNULL).stdout
    assert typed_in_turn(wish, "another one")[0] == stories[best] + other
    assert tell("--wish", wish, "--rehearsals", "21").returncode == 2
