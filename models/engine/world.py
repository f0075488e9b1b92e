"""Keeps the state of a story: persons, things, places, and facts about them that events need and change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .lexicon import Kind, Noun, Place

Fact = tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """Describes somebody: `role` is a capital letter; `name` is "" for a bystander, who is "the owl" and never "he" or "she"."""

    role: str
    name: str
    kind: Kind
    gender: str
    trait: str


@dataclass(frozen=True)
class Thing:
    """Describes something: `role` is a small letter; the adjective is the one it is told with."""

    role: str
    noun: Noun
    adjective: str


@dataclass(frozen=True)
class Happening:
    """Describes one event of the log: its type, who and what took part, and where in the story it is told."""

    event: str
    roles: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Reference:
    """Describes one mention of a person: role, the words used, and where in the story they stand."""

    role: str
    words: str
    start: int


@dataclass
class World:
    """Holds who and what there is, and every fact that holds now."""

    persons: dict[str, Person] = field(default_factory=dict)
    things: dict[str, Thing] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    facts: set[Fact] = field(default_factory=set)
    told: set[str] = field(default_factory=set)  # holds details that an ending may refer back to

    def reserved(self) -> frozenset[str]:
        """Returns the nouns of the persons and things of the story: no form may use them for anybody or anything else."""
        nouns = [person.kind.noun for person in self.persons.values()] + [thing.noun.word for thing in self.things.values()]
        return frozenset(noun.split()[-1] for noun in nouns)

    def holds(self, conditions: Iterable[Fact], bind: Mapping[str, str]) -> bool:
        """Tells whether all conditions hold; one that begins with "!" must not hold."""
        for condition in conditions:
            fact = bound(condition, bind)
            if fact[0].startswith("!"):
                if (fact[0][1:],) + fact[1:] in self.facts:
                    return False
            elif fact not in self.facts:
                return False
        return True

    def apply(self, effects: Iterable[Fact], bind: Mapping[str, str]) -> None:
        """Makes effects true; one that begins with "-" stops being true."""
        for effect in effects:
            fact = bound(effect, bind)
            if fact[0].startswith("-"):
                self.facts.discard((fact[0][1:],) + fact[1:])
            else:
                self.facts.add(fact)


def bound(fact: Fact, bind: Mapping[str, str]) -> Fact:
    """Returns a fact with an event's own letters replaced by the story's."""
    return fact[:1] + tuple(bind.get(word, word) for word in fact[1:])
