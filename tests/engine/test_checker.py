"""The checker finds what is put in wrong: a story with one fault each."""

from dataclasses import replace

import pytest
from models import engine
from models.engine import checker
from models.engine.lexicon import load
from models.engine.story import Document, Story
from models.engine.world import Happening, Person, Reference, Thing, World


def told(text: str, references: str = "", things: bool = True) -> Document:
    """A document about Mia the fox (A), Tom the owl (B) and a kite (x) whose log has one event with all of them.

    `references` names the roles of the pronouns and possessives of the text, in order: "A:her A:she".
    """
    lex = load()
    persons = {"A": Person("A", "Mia", lex.kinds["fox"], "f", "shy"), "B": Person("B", "Tom", lex.kinds["owl"], "m", "old")}
    world = World(persons=persons, things={"x": Thing("x", lex.nouns["kite"], "red")} if things else {})
    found, at = [], 0
    for reference in references.split():
        role, _, words = reference.partition(":")
        at = text.index(words, at)
        found.append(Reference(role, words, at))
        at += len(words)
    log = (Happening("meet", ("A", "B", "x"), 0, len(text) + 1),)
    return Document("", Story(text, "none", world, log, tuple(found)))


GOOD = 'Mia the fox met Tom the owl. She had a kite. "Is it yours?" he asked. Mia nodded, and she smiled.'


def test_a_good_story_passes() -> None:
    assert checker.check(told(GOOD, "A:She B:he A:she")) == []


@pytest.mark.parametrize("text,references,fault", [
    (GOOD.replace("She had", "He had"), "A:He B:he A:she", "gender: 'He' for Mia"),
    (GOOD.replace("She had", "She lost"), "B:She B:he A:she", "gender: 'She' for Tom"),
    (GOOD, "A:She A:she", "means nobody"),
    (GOOD.replace("Mia nodded", "Lisa nodded"), "A:She B:he A:she", ""),
    (GOOD.replace("had a kite", "had the kite"), "A:She B:he A:she", "definite: 'the kite'"),
    (GOOD.replace("a kite", "an kite"), "A:She B:he A:she", "article: 'an kite'"),
    (GOOD.replace('yours?"', "yours?"), "A:She B:he A:she", "quotes: not balanced"),
    (GOOD + " Mia nodded, and she smiled.", "A:She B:he A:she A:she", "repeated"),
    (GOOD[:-1], "A:She B:he A:she", "does not end a sentence"),
    (GOOD.replace("She had", "she had"), "A:she B:he A:she", "capital"),
    (GOOD.replace("nodded, and", "nodded,  and"), "A:She B:he A:she", "form"),
    (GOOD.replace("Mia nodded", "Then Ben nodded"), "A:She B:he A:she", "name: 'Ben'"),
    (GOOD.replace("Mia nodded, and she smiled", "Mia took her kite"), "A:She B:he A:her", "possession: her kite"),
    (GOOD.replace("Tom", "Him"), "A:She B:he A:she", "name: Tom is never named"),
])
def test_a_fault_is_found(text: str, references: str, fault: str) -> None:
    if fault:
        assert any(fault in line for line in checker.check(told(text, references))), checker.check(told(text, references))


def test_two_of_one_gender_need_names() -> None:
    document = told("Mia the fox met Tess the owl. She smiled.", "A:She", things=False)
    world = document.told.world
    world.persons["B"] = replace(world.persons["B"], name="Tess", gender="f")
    assert any("names nobody" in line for line in checker.check(document))


def test_what_is_asked_must_be_told() -> None:
    document = told("Mia the fox met Tom the owl.")
    assert any("asked: kite is not told of" in line for line in checker.check(replace(document, asked=("x",))))
    assert checker.check(replace(document, prompt="a fox and an owl", asked=("A", "B"))) == []


def test_an_event_tells_only_of_those_who_take_part() -> None:
    for index in range(200):
        document = engine.document(4, index)
        happening = next((one for one in document.log if "B" in one.roles and one.event != "opening"
                          and any(ref.role == "B" and one.start <= ref.start < one.end for ref in document.told.references)
                          and sum(other.start <= one.start < other.end for other in document.log) == 1), None)
        if happening:
            log = tuple(replace(one, roles=("A",)) if one == happening else one for one in document.log)
            broken = replace(document, told=replace(document.told, log=log))
            assert any("has no part in" in line for line in checker.check(broken))
            return
    raise AssertionError("no document of two hundred has a friend")
