"""Seeded generator of short stories and the prompts that ask for them.

`corpus(seed, count)` gives distinct documents, `split` a held-out part of them.  The same seed gives the same
documents with every Python from 3.9 on (only `random.Random` with `choice`, `random` and `sample` is used).
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import grammar, lexicon

PLOT_FOLDER = Path(__file__).parent / "plots"
ALL_GROUPS = ("child", "animal", "tiny", "big", "magic", "noble", "robot", "giant")
# No story goes beyond this many characters, so that with its prompt it stays below 256 tokens.
MAX_CHARACTERS = 720
_OTHER = {"f": "m", "m": "f", "": ""}


@dataclass(frozen=True)
class Character:
    """Somebody in a story: kind, name and gender ("f" or "m")."""

    kind: lexicon.Kind
    name: str
    gender: str


@dataclass(frozen=True)
class Document:
    """One training document: the prompt (may be empty), the story and what it is about."""

    prompt: str
    story: str
    plot: str

    @property
    def text(self) -> str:
        """Prompt and story as the model reads them."""
        return f"{self.prompt}\n{self.story}" if self.prompt else self.story


class Generator:
    """Tells stories.  All randomness comes from the `random.Random` given to `document`."""

    def __init__(self, folder: Path = PLOT_FOLDER) -> None:
        self.macros = grammar.read_macros(folder / "common.txt")
        self.plots = [plot for path in sorted(folder.glob("*.txt")) if path.name != "common.txt"
                      for plot in grammar.read_plots(path)]
        self.kinds = {plot.name: (self._matching(plot, "hero"), self._matching(plot, "friend"))
                      for plot in self.plots}
        self.weights = [float(plot.fields.get("weight", "1")) for plot in self.plots]

    @staticmethod
    def _matching(plot: grammar.Plot, field: str) -> list[lexicon.Kind]:
        """The kinds a plot allows: named by group, by noun, or with `all`."""
        wanted = set(plot.words(field))
        if "all" in wanted:
            wanted |= set(ALL_GROUPS)
        known = {kind.noun for kind in lexicon.KINDS} | {kind.group for kind in lexicon.KINDS} | {"all", "none"}
        if not wanted <= known:
            raise ValueError(f"plot {plot.name}: {field} names {sorted(wanted - known)}; add them to lexicon.KINDS")
        return [kind for kind in lexicon.KINDS if kind.noun in wanted or kind.group in wanted]

    def _pick_kind(self, kinds: list[lexicon.Kind], rng: random.Random) -> lexicon.Kind:
        """A kind, children a little more often than one kind among many."""
        children = [kind for kind in kinds if kind.group == "child"]
        if children and len(children) < len(kinds) and rng.random() < 0.12:
            return rng.choice(children)
        return rng.choice(kinds)

    def _character(self, kinds: list[lexicon.Kind], rng: random.Random, gender: str = "") -> Character:
        fitting = [kind for kind in kinds if not gender or kind.gender in ("", gender)]
        kind = self._pick_kind(fitting, rng)
        gender = gender or kind.gender or rng.choice("fm")
        return Character(kind, rng.choice(lexicon.NAMES[gender]), gender)

    def document(self, rng: random.Random) -> Document:
        """One document of at most MAX_CHARACTERS, the plot drawn first so that long plots are not rarer."""
        plot = rng.choices(self.plots, self.weights)[0]
        while True:
            document = self._tell(plot, rng)
            if len(document.text) <= MAX_CHARACTERS:
                return document

    def _tell(self, plot: grammar.Plot, rng: random.Random) -> Document:
        """One document of a plot, of any length."""
        hero_kinds, friend_kinds = self.kinds[plot.name]
        only = {kind.gender for kind in friend_kinds}
        hero = self._character(hero_kinds, rng, _OTHER[only.pop()] if len(only) == 1 else "")
        friend = None
        if friend_kinds:
            # A friend of the other gender keeps every "he" and "she" of a story unambiguous.
            fitting = [kind for kind in friend_kinds if kind.noun != hero.kind.noun]
            friend = self._character(fitting, rng, _OTHER[hero.gender])
        values = self._values(plot, hero, friend, rng)
        lines = list(plot.lines)
        if plot.fields.get("open") != "own":
            no_trait = plot.fields.get("trait") == "none" or rng.random() < 0.7
            lines[0] = ("{@open} " if no_trait else "{@open} {@trait} ") + lines[0]
        if plot.fields.get("close") != "none" and rng.random() < 0.6:
            lines.append("{@close2}" if friend and rng.random() < 0.75 else "{@close1}")
        if rng.random() < 0.15:
            lines.append("The end.")
        story = grammar.render(tuple(lines), values, self.macros, rng)
        return Document(self._prompt(plot, hero, friend, values, rng), story, plot.name)

    @staticmethod
    def _values(plot: grammar.Plot, hero: Character, friend: "Character | None",
                rng: random.Random) -> dict[str, str]:
        """Every slot of a story."""
        hobbies = rng.sample(lexicon.HOBBIES[hero.kind.group], 2)
        foods = rng.sample(lexicon.FOODS, 2)
        place = rng.choice(list(lexicon.PLACES))
        color = rng.choice(lexicon.COLORS)
        thing = plot.fields.get("kind-thing") or rng.choice(
            lexicon.TOYS if plot.fields.get("things") == "toys" else lexicon.THINGS)
        values = {
            "H": hero.name, "kind": hero.kind.noun, "adj": rng.choice(hero.kind.adjectives),
            "home": rng.choice(lexicon.HOMES[hero.kind.group]), "hobby": hobbies[0], "hobby2": hobbies[1],
            "place": f"the {place}", "at place": f"{lexicon.PLACES[place]} the {place}", "placenoun": place,
            "color": color, "thing": thing, "toy": f"{rng.choice(lexicon.THING_ADJECTIVES)} {thing}",
            "food": foods[0], "food2": foods[1], "bake": rng.choice(lexicon.BAKES),
            **lexicon.PRONOUNS[hero.gender],
        }
        if friend:
            values |= {"F": friend.name, "fkind": friend.kind.noun, "fadj": rng.choice(friend.kind.adjectives)}
            values["Fthe"] = (f"{friend.name} from next door" if friend.kind.group == "child"
                              else f"{friend.name} the {friend.kind.noun}")
            values |= {f"f{key}": word for key, word in lexicon.PRONOUNS[friend.gender].items()}
        reserved = {"theme", "hero", "friend", "open", "close", "trait", "weight", "kind-thing", "things", "topic"}
        for keys, options in plot.fields.items():
            if keys not in reserved:
                names = keys.split("/")
                chosen = rng.choice(options.split("|")).split("/")
                if len(chosen) != len(names):
                    raise ValueError(f"plot {plot.name}: {keys}: {chosen} has {len(chosen)} parts, need {len(names)}")
                values |= {name.strip(): part.strip() for name, part in zip(names, chosen)}
        return values

    def _prompt(self, plot: grammar.Plot, hero: Character, friend: "Character | None", values: dict[str, str],
                rng: random.Random) -> str:
        """A request that the story answers, or "" for one document in five."""
        if rng.random() < 0.2:
            return ""
        kind = f"a {hero.kind.noun}"
        topics = [kind] * 6 + [f"a {hero.kind.noun} named {hero.name}", f"a {values['adj']} {hero.kind.noun}"]
        topics += [hero.name] if rng.random() < 0.5 else []
        # A theme says more about the story than anything else does, and is asked for by one plot alone or by few.
        topics += [theme.strip() for theme in plot.fields.get("theme", "").split(";") if theme.strip()] * 3
        if friend:
            topics += [f"{kind} and a {friend.kind.noun}"] * 2 + ["friends"]
            topics += [f"a {friend.kind.noun}"] if friend.kind.group != "child" and rng.random() < 0.3 else []
        if "topic" in plot.fields:
            topics += [f"a {values[plot.fields['topic']]}"] * 2
        if plot.uses("toy") or plot.fields.get("kind-thing"):
            topics += [f"a {values['thing']}", f"{kind} and a {values['thing']}"] * 2
        if plot.uses("food"):
            topics.append(f"{kind} and some {values['food']}")
        if plot.uses("bake"):
            topics += [f"a {values['bake']}", f"{kind} and a {values['bake']}"]
        if plot.uses("place") or plot.uses("at place"):
            topics += [values["place"], f"{kind} {values['at place']}"]
        topic = rng.choice(topics)
        asked = rng.choice(("Tell me a story about {}.",) * 8 + (
            "Tell me a story about {}", "tell me a story about {}", "Please tell me a story about {}.",
            "A story about {}.", "a story about {}", "A story about {}", "Tell me about {}.", "Tell me a story."))
        return grammar.articles(asked.format(topic))


def corpus(seed: int, count: int, generator: "Generator | None" = None) -> Iterator[Document]:
    """`count` documents whose stories are all distinct.

    Raises ValueError when the templates give too few distinct stories (twenty misses in a row per story wanted).
    """
    generator = generator or Generator()
    rng = random.Random(seed)
    seen: set[str] = set()
    misses = 0
    while len(seen) < count:
        document = generator.document(rng)
        if document.story in seen:
            misses += 1
            if misses > 20 * count + 1000:
                raise ValueError(f"corpus: found {len(seen)} distinct stories, need {count}; "
                                 "add plots or ask for fewer")
            continue
        seen.add(document.story)
        yield document


def held_out(document: Document) -> bool:
    """Whether a document belongs to the held-out part: about one in fifty, decided by its story alone."""
    checksum = sum(ord(letter) * (index % 97 + 1) for index, letter in enumerate(document.story))
    return checksum % 50 == 0


def topics(generator: "Generator | None" = None) -> list[str]:
    """Everything a prompt can ask for by name: kinds, things, bakes, places and the themes of the plots."""
    generator = generator or Generator()
    used = {kind for heroes, friends in generator.kinds.values() for kind in heroes + friends}
    found = [f"a {kind.noun}" for kind in lexicon.KINDS if kind in used]
    found += [f"a {noun}" for noun in lexicon.THINGS + lexicon.BAKES]
    found += [f"the {noun}" for noun in lexicon.PLACES]
    for plot in generator.plots:
        found += [theme.strip() for theme in plot.fields.get("theme", "").split(";") if theme.strip()]
    return list(dict.fromkeys(grammar.articles(re.sub(r" +", " ", topic)) for topic in found))
