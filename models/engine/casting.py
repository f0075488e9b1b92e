"""Casts a story: kinds, names, things and places that a plot allows, drawn evenly or as a wish asks."""

import random
from dataclasses import dataclass, field, replace
from functools import lru_cache

from . import lexicon
from .forms import own_words
from .lexicon import Class, Kind, Lexicon, Noun, Place
from .planner import Impossible, Plot, library
from .world import Person, Thing, World

LAND = ("animal", "tiny", "big", "magic", "noble", "child", "robot")
STAND_IN = "fox"  # says what a person of an unknown kind may do: what a fox may
# Say of the names that nobody asks for how many are made up, and how many are of the first ones of their list: a small
# model learns whose names those are.
_MADE_UP = 0.06
_COMMON, _FIRST = 0.8, 24
_GENDERED = 0.4  # is the share of the persons whom nobody asks for that are a girl, a king, whoever has a gender of its own


@dataclass(frozen=True)
class Focus:
    """Says what a story must have: a plot, kinds (the hero's first), a thing's noun, a place, a hero's name and trait.

    `held_out` draws names and things from those that training never sees, and from no others.
    """

    plot: str = ""
    kinds: tuple[str, ...] = ()
    thing: str = ""
    place: str = ""
    name: str = ""
    gender: str = ""
    trait: str = ""
    held_out: bool = False
    present: bool = False  # tells whether it is told in the present
    teller: bool = False  # tells whether the hero may tell the story
    thing_class: str = ""  # names that of a thing that no lexicon has
    two: bool = False  # tells whether it is about the hero and the friend
    own: bool = False  # tells whether it begins as somebody else began it


@lru_cache(maxsize=None)
def allowed_kinds(words: tuple[str, ...]) -> tuple[Kind, ...]:
    """Lists the kinds named by group, gift, noun or `any`; a word with "-" takes its kinds away."""
    lex, found = lexicon.load(), dict[str, Kind]()
    for word in words:
        name = word.lstrip("-")
        for kind in lex.kinds.values():
            if kind.noun == name or name in kind.gifts or name == "any" and kind.group in LAND:
                if word.startswith("-"):
                    found.pop(kind.noun, None)
                else:
                    found[kind.noun] = kind
    return tuple(found.values())


@lru_cache(maxsize=None)
def allowed_nouns(words: tuple[str, ...], held_out: "bool | None" = None) -> tuple[Noun, ...]:
    """Lists the nouns of the classes, `any` of them, or the nouns themselves; `some` and `many` let in what is not counted, "-" takes
    away."""
    lex, found = lexicon.load(), dict[str, Noun]()
    for word in words:
        if word.startswith("-"):
            found.pop(word[1:], None)
        elif word == "any":
            found |= lex.nouns
        elif word in lex.by_class:
            found |= {noun.word: noun for noun in lex.by_class[word]}
        elif word in lex.nouns:
            found[word] = lex.nouns[word]
    return tuple(noun for noun in found.values()
                 if noun.number in ("one", *words) and held_out in (None, lexicon.held_out(noun.word)))


@lru_cache(maxsize=None)
def allowed_places(words: tuple[str, ...]) -> tuple[Place, ...]:
    """Lists the places of the groups, or the places themselves."""
    return tuple(place for place in lexicon.load().places.values()
                 if any(word == place.noun or word in place.groups for word in words))


@lru_cache(maxsize=None)
def _scope(plot: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Lists the heroes, things and places that somebody may ask for in a plot."""
    found = library().plots[plot]
    return (frozenset(kind.noun for kind in allowed_kinds(found.cast["A"])),
            frozenset(noun.word for role, words in found.things.items() if role not in found.minor for noun in allowed_nouns(words)),
            frozenset(place.noun for words in found.places.values() for place in allowed_places(words)))


@lru_cache(maxsize=65536)
def fitting_plots(kind: str, thing: str, place: str) -> tuple[Plot, ...]:
    """Lists the plots with a role for a hero's kind, a thing and a place, each of which may be ""."""
    lex = lexicon.load()
    sea = bool(kind) and lex.kinds[kind].group == "sea"
    found = []
    for plot in library().plots.values():
        kinds, nouns, places = _scope(plot.name)
        if kind and kind not in kinds or thing and thing not in nouns or place and place not in places:
            continue
        if place and kind and sea != ("sea" in lex.places[place].groups):
            continue
        found.append(plot)
    return tuple(found)


def unknown_kind(noun: str, lex: Lexicon) -> Kind:
    """Makes a kind that no lexicon has: as the stand-in, with its own noun."""
    return replace(lex.kinds[STAND_IN], noun=noun, gifts=frozenset({"animal"}))


def stand_in(focus: Focus) -> tuple[str, str, str]:
    """Returns the hero's kind, thing and place of a focus, unknown ones replaced by known ones that may do the same."""
    lex = lexicon.load()
    kind = focus.kinds[0] if focus.kinds else ""
    thing = lex.by_class[focus.thing_class][0].word if focus.thing_class else focus.thing
    return STAND_IN if kind and kind not in lex.kinds else kind, thing, focus.place


@dataclass
class Cast:
    """Draws the roles of one story."""

    plot: Plot
    focus: Focus
    rng: random.Random
    world: World = field(default_factory=World)

    def draw(self) -> World:
        """Draws a world with every role of the plot.  Raises Impossible when the plot can't have what the focus asks."""
        lex = lexicon.load()
        self._persons(lex)
        self._things(lex)
        self._places(lex)
        self._values(lex)
        return self.world

    def _persons(self, lex: Lexicon) -> None:
        taken: set[str] = set()
        wanted = list(self.focus.kinds)
        for role, words in self.plot.cast.items():
            bare, plain = role.endswith("*"), role.endswith("!")
            kinds = [kind for kind in allowed_kinds(words) if kind.noun.split()[-1] not in taken]
            first = self.world.persons.get("A")
            if first:
                sea = first.kind.group == "sea"
                kinds = [kind for kind in kinds if ("swim" in kind.gifts if sea else kind.group != "sea")]
                if sea:
                    kinds = [kind for kind in kinds if kind.group == "sea"] or kinds
            if not first and self.focus.name:
                kinds = [kind for kind in kinds if kind.gender in ("", self.focus.gender)]
            asked = wanted.pop(0) if wanted and not bare else ""
            if asked and asked not in lex.kinds:
                kinds = [unknown_kind(asked, lex)] if any(kind.noun == STAND_IN for kind in kinds) else []
            elif asked:
                kinds = [kind for kind in kinds if kind.noun == asked]
            if not kinds:
                raise Impossible(f"{self.plot.name}: nobody for {role}")
            self._person(role[0], self._pick(kinds, not asked), bare, lex, taken)
            if plain:  # nobody may call this person by its kind, as there are others of it
                self.world.facts.add(("plain", role[0]))

    def _pick(self, kinds: list[Kind], freely: bool) -> Kind:
        """Draws one of the kinds; freely, those come more often that only some names fit, which else are hardly ever learned."""
        gendered = [kind for kind in kinds if kind.gender]
        if freely and gendered and self.rng.random() < _GENDERED:
            return self.rng.choices(gendered, [3 if kind.group == "child" else 1 for kind in gendered])[0]
        return self.rng.choice(kinds)

    def _person(self, role: str, kind: Kind, bare: bool, lex: Lexicon, taken: set[str]) -> None:
        rng, first = self.rng, self.world.persons.get("A")
        gender = kind.gender or rng.choice("fm")
        if not first and self.focus.gender and not kind.gender:
            gender = self.focus.gender
        if first and not kind.gender and not bare and rng.random() < 0.93:
            gender = lexicon.OTHER[first.gender]
        name = "" if bare else self.focus.name if not first and self.focus.name else self._name(gender, lex, not kind.gender)
        traits = [trait for trait in kind.adjectives if not first or trait != first.trait]
        trait = self.focus.trait if self.focus.trait and not first else rng.choice(traits)
        self.world.persons[role] = Person(role, name, kind, gender, trait)
        taken.add(kind.noun.split()[-1])
        self.world.facts |= {(gift, role) for gift in kind.gifts} | {(gender, role)}

    def _name(self, gender: str, lex: Lexicon, made_up: bool) -> str:
        taken = {person.name for person in self.world.persons.values()}
        while True:
            if made_up and self.rng.random() < _MADE_UP:
                name = lex.made_up_name(gender, self.rng)
            else:
                common = not self.focus.held_out and (not made_up or self.rng.random() < _COMMON)
                name = self.rng.choice(lex.names[gender][:_FIRST] if common else lex.names[gender])
            near = any(other[:2] == name[:2] or other[-3:] == name[-3:] for other in taken if other)
            if not near and lexicon.held_out(name) == self.focus.held_out:
                return name

    def _things(self, lex: Lexicon) -> None:
        asked = self.focus.thing
        taken: set[str] = set()
        persons = {word for person in self.world.persons.values() for word in (person.kind.noun, person.name.lower())}
        for role, words in self.plot.things.items():
            nouns = [noun for noun in allowed_nouns(words) if noun.word.split()[-1] not in taken
                     and not persons & set(noun.word.split())]
            if asked and self.focus.thing_class and not {self.focus.thing_class, "any"}.isdisjoint(words):
                noun, asked = Noun(asked, lex.by_class[self.focus.thing_class][0].kind, "one"), ""
            elif asked and any(noun.word == asked for noun in nouns):
                noun, asked = lex.nouns[asked], ""
            elif self.plot.follows and self.focus.own:
                noun = self._wonder(lex)
            else:
                nouns = [noun for noun in nouns if lexicon.held_out(noun.word) == self.focus.held_out] or nouns
                common = [noun for noun in nouns if noun.word in lex.common]
                noun = self.rng.choice(common if common and self.rng.random() < 0.3 else nouns)
            adjectives = [word for word in noun.kind.adjectives if word not in noun.word.split() and f"{word} {noun.word}" not in lex.nouns]
            self.world.things[role] = Thing(role, noun, self.rng.choice(adjectives))
            self.world.facts.add((noun.kind.name, role))
            taken.update(noun.word.split())
        if asked:
            raise Impossible(f"{self.plot.name}: no role for {asked}")

    def _places(self, lex: Lexicon) -> None:
        asked = self.focus.place
        sea = self.world.persons["A"].kind.group == "sea"
        for role, words in self.plot.places.items():
            places = [place for place in allowed_places(words) if ("sea" in place.groups) == sea
                      and place not in self.world.places.values()]
            if asked and any(place.noun == asked for place in places):
                places, asked = [lex.places[asked]], ""
            if not places:
                raise Impossible(f"{self.plot.name}: nowhere for {role}")
            self.world.places[role] = self.rng.choice(places)
            self.world.facts |= {(group, role) for group in self.world.places[role].groups}
        if asked:
            raise Impossible(f"{self.plot.name}: no role for {asked}")

    def _values(self, lex: Lexicon) -> None:
        rng, group = self.rng, self.world.persons["A"].kind.group
        hobbies = lex.hobbies.get(group, lex.hobbies["all"])
        first, second = rng.sample(hobbies, 2)
        self.world.values |= {"home": rng.choice(lex.homes[group]), "hobby": first, "hobby2": second}
        for names, options in self.plot.lets:
            free = [option for option in options if not own_words(option) & self.world.reserved()]
            chosen = rng.choice(free or options).split("/")
            if len(chosen) != len(names):
                raise ValueError(f"plot {self.plot.name}: let {names}: {chosen} has {len(chosen)} parts")
            self.world.values |= {name.strip(): part.strip() for name, part in zip(names, chosen)}

    def _wonder(self, lex: Lexicon) -> Noun:
        """Draws the thing that somebody's own beginning tells of: one out of the world, of the plots, one that nobody has heard
        of, or one that is made up."""
        plain = [noun.word for noun in allowed_nouns(("any",))]
        taken = {word for person in self.world.persons.values() for word in (*person.kind.noun.split(), person.name.lower())}
        while True:
            words = self.rng.choices((lex.wonders, plain, lex.unheard, ()), (50, 20, 15, 15))[0]
            word = self.rng.choice(words) if words else lex.coined(self.rng)
            if lexicon.held_out(word) == self.focus.held_out and not taken & set(word.split()):
                return Noun(word, Class("wonder", {}, lex.sights), "one")
