"""Prompts and beginnings: of every kind, answered by what is told, and never by what no story may tell."""

import random
import re
from collections import Counter

import pytest
from models import engine
from models.engine import casting, forbidden, lexicon, planner, prompts, story, wording
from models.engine.world import Person, Thing


def test_shares_of_prompts(documents: list[engine.Document]) -> None:
    none = sum(not document.prompt and not document.given for document in documents) / len(documents)
    assert 0.07 < none < 0.2
    small = sum(document.prompt != "" and document.prompt.islower() and not re.search(r"[.!?]$", document.prompt)
                for document in documents) / len(documents)
    assert 0.1 < small < 0.3
    about = Counter(document.about for document in documents)
    assert about["theme"] > 0.1 * len(documents) and about["bad"] > 0.1 * len(documents), about
    assert about["place"] > 0.05 * len(documents) and about["own"] > 0.15 * len(documents), about


def test_nobody_is_refused_for_a_name(documents: list[engine.Document]) -> None:
    """A model that learns to refuse "a fox named Pikachu" refuses a gnome named Gawain."""
    refused = [one.prompt for one in documents if one.about == prompts.BAD]
    assert len(refused) > 50 and not [prompt for prompt in refused if re.search(r"\b(?:named|called)\b", prompt)]


def test_nothing_is_told_of_what_no_story_tells() -> None:
    """A wish that no story fulfils names no role, and is told a story of something else."""
    bad = [document for document in (engine.document(3, index) for index in range(600)) if document.about == "bad"]
    assert len(bad) > 30
    for document in bad:
        assert document.asked == ()
        assert not re.search(r"\b(?:gun|knife|kill\w*|dead|beer|disney|pokemon|stranger)\b", document.story, re.I), document.text


def test_wishes_that_none_may_fulfil_are_of_many_kinds_and_some_are_kept_for_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, kinds = random.Random(1), prompts._catalogue()[0]
    drawn = [forbidden.draw(rng, kinds) for _ in range(3000)]
    assert len(set(drawn)) > 2500 and not any("{" in prompt or "[" in prompt for prompt in drawn)
    assert any(prompt.endswith(" the movie.") for prompt in drawn) and any("how to make" in prompt for prompt in drawn)
    assert not any(map(forbidden.kept_for_judging, drawn))
    monkeypatch.setattr(forbidden, "kept_for_judging", lambda prompt: prompt == drawn[0])
    again = random.Random(1)
    assert [forbidden.draw(again, kinds) for _ in range(2)] == drawn[1:3]


def test_what_a_prompt_decides_is_at_the_beginning(documents: list[engine.Document]) -> None:
    for document in documents[:500]:
        start, end = document.decided
        back = document.about == "own" and document.log[-1].event == story.BACK
        assert (end > start) == (back or document.about in ("kind", "theme", "where", "deed", "thing", "place", "two", "bad"))
        if back:
            assert document.text[start] == " " and document.text[end - 1] in '.!?"'
            assert start > document.given and document.text[start:end].strip() in document.story[-240:]
        elif document.about == "bad":
            assert document.text[start:end].strip() == document.lead  # what is told instead is any story
        elif end:
            first = document.text[start:end].removeprefix(document.lead).lstrip()
            assert first and document.story.startswith(first) and end < len(document.text)


def test_what_was_asked_for_is_said_before_it_is_told(documents: list[engine.Document]) -> None:
    """As the prompt says it, but for themes: one name a plot.  Another sentence answers what can't be told."""
    themes: dict[str, set[str]] = {}
    for document in documents:
        assert bool(document.lead) == (document.about not in ("", "where", "own")), document.text
        if document.about in ("", "where", "bad", "own"):
            continue
        said = document.lead.removeprefix("This is a story about ").removesuffix(".")
        assert document.text.startswith(f"{document.prompt}\n{document.lead} ") and document.lead.endswith(f" {said}.")
        if document.about != "theme":
            said, prompt = (re.sub(r"\b(?:an?|my) ", "", text.lower()) for text in (said, document.prompt))  # my cat: a cat
            assert said in prompt, document.text
        elif not document.asked:
            themes.setdefault(document.plot, set()).add(said)
        assert engine.prompts.without_lead(f"{document.lead} {document.story}").strip() == document.story
    assert len(themes) > 35 and all(len(found) == 1 for found in themes.values())
    assert len(set.union(*themes.values())) == len(themes)


def test_what_was_asked_for_is_told_of_first(documents: list[engine.Document]) -> None:
    """A model forgets by the third sentence what the first did not tell of."""
    hits: dict[str, list[bool]] = {}
    for document in documents:
        world, first = document.told.world, document.story[: document.log[0].end].lower()
        found = [(world.things.get(role) or world.places.get(role) or world.persons.get(role)) for role in document.asked]
        nouns = [one.kind.noun if isinstance(one, Person) else one.noun.word if isinstance(one, Thing) else one.noun
                 for one in found if one]
        if document.about in ("thing", "place", "two") and document.prompt and not document.told.narrator:
            named = [noun for noun in nouns if noun in document.prompt]
            hits.setdefault(document.about, []).append(all(noun in first for noun in named))
    assert all(sum(found) > least * len(found) > 20 for found, least in ((hits["thing"], 0.75), (hits["place"], 0.75), (hits["two"], 0.6)))


def test_a_beginning_of_somebodys_own_is_given_and_gone_on_with(documents: list[engine.Document]) -> None:
    own = [document for document in documents if document.about == "own"]
    names, listed, nameless = Counter[str](), engine.lexicon.load().names, 0
    for document in own:
        name = document.told.world.persons["A"].name
        given, rest = document.text[: document.given], document.text[document.given :]
        assert not document.prompt and not document.lead, document.text
        assert given[-1] in '.!?"' and rest[0] in " \n" and document.text == document.story
        if not re.search(rf"\b{name}\b", given):  # nobody was named: the next sentence does, and the name is to be learned
            nameless += 1
            assert re.match(rf" (?:His|Her|It) (?:name )?(?:was|is) {name}\.", rest), document.text
        names[name] += bool(re.search(rf"\b{name}\b", rest))
    assert 0.08 * len(own) < nameless < 0.2 * len(own)
    assert sum(names.values()) > 0.97 * len(own), own
    unknown = sum(number for name, number in names.items() if name not in (*listed["f"], *listed["m"]))
    assert unknown > 0.6 * len(own)


def test_what_a_beginning_tells_of_is_in_the_story(documents: list[engine.Document]) -> None:
    """A model goes on with what it was given only if it has read stories that do."""
    things = [(document, thing.noun.word) for document in documents if document.about == "own"
              for role, thing in document.told.world.things.items() if thing.noun.word in document.text[: document.given]]
    kept = sum(thing in document.text[document.given :] for document, thing in things)
    assert len(things) > 25 and kept > 0.8 * len(things), things


def test_any_beginning_may_be_what_the_story_is_about(documents: list[engine.Document]) -> None:
    plots = planner.library().plots
    own = Counter(plots[document.plot].follows for document in documents if document.about == "own")
    assert 0.15 * own.total() < own["any"] < 0.35 * own.total(), own
    for document in (document for document in documents if plots[document.plot].follows == "any"):
        assert document.about == "own" and document.log[-1].event != story.BACK, document.text
        assert re.search(r"\b(?:it|that|everything|story)\b", document.text[document.given : document.given + 250], re.I), document.text


def test_a_thing_that_a_beginning_tells_of_is_what_the_story_is_about(documents: list[engine.Document]) -> None:
    """Of Mina, who found a small door behind the stove, a listener wants to hear about the door."""
    plots, lex = planner.library().plots, lexicon.load()
    own = [document for document in documents if document.about == "own"]
    about = [(document, document.told.world.things["x"].noun.word) for document in own if plots[document.plot].follows == "thing"]
    assert 0.3 * len(own) < len(about) < 0.5 * len(own)
    for document, thing in about:
        assert thing in document.text[: document.given] and thing.split()[0] in document.copied, document.text
        assert document.text[document.given :].count(thing) > 2, document.text
        assert document.log[-1].event != story.BACK, document.text
    things = {thing for _, thing in about}
    assert things & set(lex.wonders) and things & set(lex.nouns) and things & set(lex.unheard)
    assert things - {*lex.wonders, *lex.nouns, *lex.unheard}  # made up


def test_a_trait_that_was_asked_for_is_what_the_story_is_about(documents: list[engine.Document]) -> None:
    plots = planner.library().plots
    about = [document for document in documents if plots[document.plot].follows in ("passing", "trait")]
    assert len(about) > 30 and {document.plot for document in about} >= {"trait-cure", "trait-sign", "trait-too", "trait-letter"}
    for document in about:
        trait = document.told.world.persons["A"].trait
        assert trait in document.prompt and document.story.lower().count(trait) > 4, document.text
        assert (trait in lexicon.load().traits_passing) == (plots[document.plot].follows == "passing")


def test_a_thing_that_gets_lost_may_be_asked_for_as_lost(documents: list[engine.Document]) -> None:
    hows = {name: prompts._hows(plot, role) for name, plot in planner.library().plots.items() for role in plot.things}
    assert hows["lost-thing"] == ["lost"] and hows["broken-loan"] == ["broken"] and hows["share"] == []
    assert any(re.search(r"\ba (?:lost|broken) ", document.prompt) for document in documents)


def test_whoever_is_asked_for_by_kind_comes_first() -> None:
    """Of a sick boy and the yak who helps him, a listener takes the boy for the hero."""
    for name, plot in planner.library().plots.items():
        for index, kind in enumerate(("yak", "pirate", "robot", "taxi", "seahorse") * 3):
            if kind in {one.noun for one in casting.allowed_kinds(plot.cast["A"])}:
                story = engine.tell(engine.Focus(plot=name, kinds=(kind,)), random.Random(index))
                assert story.references[0].role == "A", story.text
                assert story.world.persons["A"].name in " ".join(re.split("[.!?]", story.text)[:4]), story.text


def test_no_theme_is_a_kind_of_hero() -> None:
    """Whoever asks for a train wants it to be the hero."""
    kinds, _, _, themes = prompts._catalogue()
    assert kinds and not {theme for theme, _ in themes} & set(map(wording.article, kinds))


def test_a_wish_may_say_what_somebody_does(documents: list[engine.Document]) -> None:
    """A model that reads "who" only in wishes that none may fulfil refuses a cat who lost her hat."""
    deeds = [document for document in documents if document.about == "deed"]
    assert len(deeds) > 0.06 * len(documents) and len({document.plot for document in deeds}) > 38
    assert all(plot.deeds or plot.follows for plot in planner.library().plots.values())
    for document in deeds:
        assert re.search(r"\b(?:who|that) [a-z]+", document.prompt) and document.lead and "{" not in document.prompt, document.prompt
    prompts_of = " ".join(document.prompt for document in deeds)
    for phrase in ("two friends who", "somebody who", ", who"):
        assert phrase in prompts_of, phrase


def test_a_kind_may_be_asked_for_with_any_trait(documents: list[engine.Document]) -> None:
    any_trait = "|".join(lexicon.load().traits_asked + lexicon.load().traits_passing)
    asked = [(document, found[0]) for document in documents if document.about == "kind"
             and (found := re.findall(rf"\b(?:an? |is )({any_trait})\b(?! story)", document.prompt))]
    assert len(asked) > 10 and all(trait in document.story for document, trait in asked)
    assert any(re.search(r"\bmy [a-z]+", document.prompt) for document in documents if document.about == "kind")


def test_a_name_that_is_asked_for_fits_its_noun(documents: list[engine.Document]) -> None:
    """A tin man isn't told of as Nora, whoever asked for Nora."""
    heroes = [document.told.world.persons["A"] for document in documents if document.about == "name"]
    names = engine.lexicon.load().names
    known = [person for person in heroes if person.name in (*names["f"], *names["m"])]
    assert len(known) > 30 and len(known) < len(heroes)
    assert all(person.name in names[person.gender] for person in known)


def test_an_end_comes_back_to_a_beginning_of_somebodys_own(documents: list[engine.Document]) -> None:
    """What was given is not forgotten: in its words, as children's stories come back to where they began."""
    plots = planner.library().plots
    own = [document for document in documents if document.about == "own" and not plots[document.plot].follows]
    back = [(document, document.story[end.start : end.end]) for document in own for end in document.log if end.event == story.BACK]
    assert len(back) > 0.3 * len(own)
    again = 0
    for document, end in back:
        assert document.log[-1].event == story.BACK and end and "{" not in end, document.text
        known = {document.told.world.persons["A"].name.lower(), "that", "then", "what"}
        given = set(story.words_of(document.text[: document.given].lower())) - known
        again += any(len(word) > 3 and word in given for word in story.words_of(end.lower()))
    assert again > 0.8 * len(back), again


def test_a_trait_that_was_asked_for_is_told_of_at_the_end(documents: list[engine.Document]) -> None:
    """A tired bear who jumps out of bed and is never tired again is not the one that was asked for."""
    traits = {True: lexicon.load().traits_passing, False: lexicon.load().traits_asked}
    for passing, words in traits.items():
        told = [engine.tell(engine.Focus(kinds=("bear",), trait=words[index % len(words)]), random.Random(index)) for index in range(40)]
        ends = [(one, one.text[one.log[-1].start : one.log[-1].end]) for one in told]
        assert all(one.log[-1].event == story.BACK and one.world.persons["A"].trait in end for one, end in ends)
        assert any(" any more" in end for _, end in ends) == passing
