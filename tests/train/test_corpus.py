"""The corpus: seeded, distinct, short enough, and grammatical where a program can check it."""

import re

import pytest
from models.corpus import generate, grammar, lexicon

NAMES = set(lexicon.NAMES["f"] + lexicon.NAMES["m"])


def test_same_seed_gives_the_same_corpus() -> None:
    first = [document.text for document in generate.corpus(9, 50)]
    assert first == [document.text for document in generate.corpus(9, 50)]
    assert first != [document.text for document in generate.corpus(10, 50)]


def test_stories_are_distinct_and_short(documents: list[generate.Document]) -> None:
    assert len({document.story for document in documents}) == len(documents)
    assert max(len(document.text) for document in documents) <= generate.MAX_CHARACTERS
    assert min(len(document.story) for document in documents) > 300


def test_every_plot_and_every_kind_occurs(documents: list[generate.Document]) -> None:
    plots = {plot.name for plot in generate.Generator().plots}
    assert len(plots) >= 60
    assert {document.plot for document in documents} == plots
    text = "\n".join(document.text for document in documents)
    for kind in lexicon.KINDS:
        assert f" {kind.noun}" in text, kind


@pytest.mark.parametrize("wrong", [
    r"\b[Aa] [aeioAEIO]", r"\b[Aa]n [^aeiouAEIOU]", r"\ban uni", r"[{}\[\]|~]", r"  ", r" [.,!?]", r"\.\.", r"[a-z]\n",
    r"\n\n", r"\b(\w+) \1\b(?<!very very)", r"[.!?] (?!went )[a-z]", r"^[a-z]"],
    ids=lambda pattern: pattern)
def test_no_story_holds(documents: list[generate.Document], wrong: str) -> None:
    for document in documents:
        # After a question or a call the sentence goes on: "Who is there?" he asked.
        story = re.sub(r'[!?]" ', '," ', document.story)
        match = re.search(wrong, story, re.M)
        assert match is None, f"{document.plot}: ...{story[max(0, match.start() - 40):match.end() + 20]}..."


def test_quotes_are_closed_and_text_is_plain(documents: list[generate.Document]) -> None:
    for document in documents:
        for paragraph in document.story.split("\n"):
            assert paragraph.count('"') % 2 == 0, paragraph
            assert paragraph[-1] in '.!?"', paragraph
        assert re.fullmatch(r"[A-Za-z ,.!?\"'\n-]+", document.text), document.text


def test_only_the_two_names_of_a_story_are_in_it(documents: list[generate.Document]) -> None:
    for document in documents:
        named = {word for word in re.findall(r"[A-Z][a-z]+", document.story) if word in NAMES}
        assert 1 <= len(named) <= 2, document.story


def test_pronouns_follow_the_names(documents: list[generate.Document]) -> None:
    alone = [document for document in documents if document.plot == "train-hill"]
    assert len(alone) > 20
    for document in alone:
        name = next(word for word in re.findall(r"[A-Z][a-z]+", document.story) if word in NAMES)
        other = r"\b(he|his|him)\b" if name in lexicon.NAMES["f"] else r"\b(she|her)\b"
        assert not re.search(other, document.story, re.I), document.story


def test_a_prompt_names_something_of_its_story(documents: list[generate.Document]) -> None:
    for document in documents:
        match = re.search(r"about an? ([a-z]+)[.]?$", document.prompt)
        if match and any(kind.noun == match.group(1) for kind in lexicon.KINDS):
            assert match.group(1) in document.story, document.text
    assert 0.1 < sum(not document.prompt for document in documents) / len(documents) < 0.3


def test_held_out_part_is_small_and_fixed(documents: list[generate.Document]) -> None:
    share = sum(map(generate.held_out, documents)) / len(documents)
    assert 0.01 < share < 0.03


def test_articles() -> None:
    assert grammar.articles("a apple, A owl, a unicorn, a one, a dog") == "an apple, An owl, a unicorn, a one, a dog"


def test_topics_are_the_shipped_list() -> None:
    shipped = (generate.PLOT_FOLDER.parents[1] / "tinytales.topics.txt").read_text(encoding="utf-8").splitlines()
    assert shipped == generate.topics()
    assert "a dragon" in shipped and "sharing" in shipped


def test_too_many_stories_are_refused() -> None:
    generator = generate.Generator()
    generator.plots = generator.plots[:1]
    generator.weights = generator.weights[:1]
    fixed = grammar.Plot("fixed", {"open": "own", "close": "none"}, ("One day it rained.",))
    generator.plots[0] = fixed
    generator.kinds = {"fixed": ([lexicon.KINDS[0]], [])}
    with pytest.raises(ValueError, match="found 2 distinct stories, need 50"):
        list(generate.corpus(1, 50, generator))


def test_plot_files_are_checked(tmp_path: "object") -> None:
    path = generate.PLOT_FOLDER.__class__(str(tmp_path)) / "bad.txt"
    path.write_text("# one\nhero dog\n---\ntext\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no colon"):
        grammar.read_plots(path)
    path.write_text("# one\nhero: dog\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no body"):
        grammar.read_plots(path)
