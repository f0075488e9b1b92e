"""Reads words and what they allow: names, kinds of persons, things in classes with affordances, places.

All of it is read from text files beside this one.  A tenth of the things and names is never used in training: the
CRC-32 of the word decides (but for the commonest things), so the same words are held out everywhere and always.
"""

import random
import re
import zlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent
_HELD_OUT_PART = 10
# Matches what can be said: no three vowels and no four consonants in a row, nor three of a letter, and a vowel in it.
_SAID_EASILY = re.compile(r"(?!.*[aeiouy]{3})(?!.*[^aeiouy]{4})(?!.*(.)\1\1)(?=.*[aeiouy])(?!([^aeiouyst])[^aeiouyrlhw])[a-z]+")


@lru_cache(maxsize=None)
def _common() -> frozenset[str]:
    return frozenset(_commas(sections(FOLDER / "things.txt")["common"]))


@lru_cache(maxsize=65536)
def held_out(word: str) -> bool:
    """Tells whether training never sees a noun or name: one in ten, by its CRC-32, of what is not common."""
    return zlib.crc32(word.encode("utf-8")) % _HELD_OUT_PART == 3 and word not in _common()


@dataclass(frozen=True)
class Kind:
    """Describes a kind of person: its noun, group, gender ("f", "m" or "" for either), traits, and what it can by nature."""

    noun: str
    group: str
    gender: str
    adjectives: tuple[str, ...]
    gifts: frozenset[str]


@dataclass(frozen=True)
class Class:
    """Describes a class of things: what its things allow, by affordance ("use", "detail", "break", "mend", ...)."""

    name: str
    allows: dict[str, tuple[str, ...]] = field(hash=False)
    adjectives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noun:
    """Describes a thing: its noun, class, and "one" (a kite), "some" (some soup) or "many" (some plums)."""

    word: str
    kind: Class
    number: str


@dataclass(frozen=True)
class Place:
    """Describes a place with "the": its noun, its preposition, its groups and what is there."""

    noun: str
    at: str
    groups: frozenset[str]
    there: tuple[str, ...]


OTHER = {"f": "m", "m": "f"}


@dataclass(frozen=True)
class Lexicon:
    """Holds everything the engine can name."""

    names: dict[str, tuple[str, ...]]
    syllables: dict[str, tuple[str, ...]]
    kinds: dict[str, Kind]
    homes: dict[str, tuple[str, ...]]
    hobbies: dict[str, tuple[str, ...]]
    nouns: dict[str, Noun]
    by_class: dict[str, tuple[Noun, ...]]
    places: dict[str, Place]
    common: frozenset[str]
    unheard: tuple[str, ...]
    wonders: tuple[str, ...]
    sights: tuple[str, ...]
    traits_asked: tuple[str, ...]
    traits_passing: tuple[str, ...]
    bad_names: tuple[str, ...]

    def coined(self, rng: random.Random) -> str:
        """Makes up a word out of pieces of any words, in small letters: what follows one of its letters can't be guessed, so that
        a model has to copy it."""
        while True:
            word = "".join(_piece(rng.choice(self._words), rng) for _ in range(rng.choice((2, 2, 3, 3, 4))))
            said = 3 < len(word) < 12 and _SAID_EASILY.fullmatch(word)
            if said and word not in self._words and not any(bad in word for bad in self.bad_names):
                return word

    @cached_property
    def _words(self) -> tuple[str, ...]:
        """Lists names, nouns, kinds and traits in small letters, those of training only."""
        found = {word for names in self.names.values() for word in names if not held_out(word)} | set(self.kinds)
        found |= {noun for noun in self.nouns if not held_out(noun)} | set(self.unheard)
        return tuple(sorted({part.lower() for word in found for part in word.split() if len(part) > 2 and part.isalpha()}))

    def made_up_name(self, gender: str, rng: random.Random) -> str:
        """Makes up a name out of syllables, two or three of them; it is no thing's, and none of the other gender's."""
        first, middle, last = (self.syllables[key] for key in ("first", "middle", f"last {gender}"))
        while True:
            name = rng.choice(first) + (rng.choice(middle) if rng.random() < 0.4 else "") + rng.choice(last)
            proper = name[:1].upper() + name[1:]
            if name not in self.nouns and proper not in self.names[OTHER[gender]] and not any(bad in name for bad in self.bad_names):
                return proper


def _piece(word: str, rng: random.Random) -> str:
    """Cuts one to four letters out of a word."""
    length = min(rng.choice((1, 2, 2, 3, 3, 4)), len(word))
    start = rng.randrange(len(word) - length + 1)
    return word[start : start + length]


def sections(path: Path) -> dict[str, list[str]]:
    """Splits the `== title` sections of a file, their lines without comments (`//`) and blanks."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        elif line.strip() and not line.startswith("//"):
            lines.append(line.strip())
    return found


def _commas(lines: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for line in lines for word in line.split(",") if word.strip()))


def _read_kinds() -> tuple[dict[str, Kind], dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Reads lines `noun m: gift, gift` in sections by group; `home`, `hobby` and `traits` sections beside them."""
    kinds: dict[str, Kind] = {}
    found = sections(FOLDER / "kinds.txt")
    traits = {title[7:]: _commas(lines) for title, lines in found.items() if title.startswith("traits ")}
    homes = {title[6:]: tuple(lines) for title, lines in found.items() if title.startswith("homes ")}
    hobbies = {title[8:]: tuple(lines) for title, lines in found.items() if title.startswith("hobbies ")}
    for title, lines in found.items():
        if not title.startswith("kinds "):
            continue
        group = title[6:]
        for line in lines:
            head, _, gifts = line.partition(":")
            noun, _, gender = head.strip().partition("/")
            kinds[noun] = Kind(noun, group, gender, traits.get(group, ()) + traits["all"],
                               frozenset(gifts.split()) | {group})
    return kinds, homes, hobbies, traits


def _read_nouns() -> tuple[dict[str, Noun], dict[str, tuple[Noun, ...]]]:
    """Reads sections `class`, with lines `one: a, b`, `many: ...`, `some: ...`, `like: adjectives`, `use: ...`."""
    nouns: dict[str, Noun] = {}
    by_class: dict[str, list[Noun]] = {}
    found = sections(FOLDER / "things.txt")
    del found["common"], found["unheard"], found["wonders"], found["sights"]
    for name, lines in found.items():
        allows: dict[str, list[str]] = {}
        words: list[tuple[str, str]] = []
        adjectives: list[str] = []
        for line in lines:
            key, _, rest = line.partition(":")
            if key in ("one", "many", "some"):
                words += [(word, key) for word in _commas([rest])]
            elif key == "like":
                adjectives += _commas([rest])
            else:
                allows.setdefault(key, []).append(rest.strip())
        kind = Class(name, {key: tuple(forms) for key, forms in allows.items()}, tuple(adjectives))
        for word, number in words:
            if word not in nouns:
                nouns[word] = Noun(word, kind, number)
                by_class.setdefault(name, []).append(nouns[word])
    return nouns, {name: tuple(members) for name, members in by_class.items()}


def _read_places() -> dict[str, Place]:
    """Reads lines `at noun: group group; feature, feature`."""
    places = {}
    for line in sections(FOLDER / "places.txt")["places"]:
        head, _, rest = line.partition(":")
        at, _, noun = head.strip().partition(" ")
        groups, _, there = rest.partition(";")
        places[noun] = Place(noun, at, frozenset(groups.split()), _commas([there]))
    return places


@lru_cache(maxsize=None)
def load() -> Lexicon:
    """Reads the lexicon, once."""
    names, things = sections(FOLDER / "names.txt"), sections(FOLDER / "things.txt")
    kinds, homes, hobbies, traits = _read_kinds()
    nouns, by_class = _read_nouns()
    return Lexicon(
        names={gender: _commas(names[f"names {gender}"]) for gender in "fm"},
        syllables={title[10:]: _commas(lines) for title, lines in names.items() if title.startswith("syllables ")},
        kinds=kinds, homes=homes, hobbies=hobbies, nouns=nouns, by_class=by_class, places=_read_places(),
        common=_common(), unheard=_commas(things["unheard"]), wonders=_commas(things["wonders"]), sights=_commas(things["sights"]),
        traits_asked=traits["asked"], traits_passing=traits["passing"],
        bad_names=_commas(sections(FOLDER / "forbidden.txt")["names"]))
