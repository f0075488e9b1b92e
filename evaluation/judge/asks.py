"""Asks a program for its stories: says for what, and runs one process a story, so that nothing joins them."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from codegen.errors import BakeError

FOLDER = Path(__file__).parent
# Say of 1,000 stories how many ask for what; the rest ask for nothing.
SHARES = (("kind", 150), ("thing", 150), ("place", 100), ("theme", 150), ("two kinds", 100), ("unknown name", 75),
          ("unknown noun", 75))  # fmt: skip
# List names and nouns that training has not; tests hold them against the engine's lexicon and stories.
UNKNOWN_NAMES = tuple("""Zebulon Wilhelmina Quentin Oswin Thessaly Bertrand Ysolde Kasimir Ludmila Torvald Ximena Fenwick
    Petronella Gawain Ottoline Barnaby Jorunn Mungo Tamsin Ambrose Zuzanna Horatio Calliope Dragomir Ondine Leander Perpetua
    Rosalba Solveig Thaddeus""".split())  # fmt: skip
UNKNOWN_NOUNS = tuple("""saxophone trampoline zeppelin sitar wheelchair croissant surfboard typewriter avocado stapler
    bassoon periscope samovar spaghetti bulldozer gramophone microscope marimba hovercraft broccoli saddle thermos freezer sofa
 wigwam dungarees catapult igloo gondola vacuum""".split())  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """Holds a prompt, what it asks for ("kind", "thing", ..., "" for nothing, "free" for a beginning), and its words."""

    prompt: str
    about: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """Holds a story as a program told it: `text` without the line of the prompt, but with a beginning that was given."""

    ask: Ask
    text: str
    tokens: int
    ended: bool


@dataclass(frozen=True)
class Topics:
    """Holds the topics of a model by what they are, without article: kinds of heroes, things, places; themes whole."""

    kinds: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[str, ...]
    themes: tuple[str, ...]

    @staticmethod
    def of(lines: Sequence[str], kinds: frozenset[str], things: frozenset[str], places: frozenset[str]) -> Topics:
        """Tells topics apart by the words that are known as kinds, things and places; all else is a theme."""
        found: dict[str, list[str]] = {"kinds": [], "things": [], "places": [], "themes": []}
        for line in lines:
            noun = re.sub(r"^(an?|the) ", "", line)
            if line.startswith("the ") and noun in places:
                found["places"].append(noun)
            elif noun in kinds:
                found["kinds"].append(noun)
            elif noun in things:
                found["things"].append(noun)
            else:
                found["themes"].append(line)
        return Topics(*(tuple(found[key]) for key in ("kinds", "things", "places", "themes")))


def article(noun: str) -> str:
    """Puts "a" or "an" before a noun."""
    return f"an {noun}" if noun[0] in "aeiou" and not re.match("uni|eu|use|uku", noun) else f"a {noun}"


def about(topic: str) -> str:
    """Asks in the plainest way for a topic."""
    return f"Tell me a story about {topic}."


def asks(topics: Topics, count: int, seed: int) -> list[Ask]:
    """Chooses what `count` stories are asked for, topics evenly; a function of the arguments alone."""
    rng = random.Random(seed)

    def rounds(words: Sequence[str]) -> Iterator[str]:
        while words:
            yield from rng.sample(list(words), len(words))

    kinds, things, places, themes, second = (rounds(words) for words in (topics.kinds, topics.things, topics.places,
                                                                         topics.themes, topics.kinds))  # fmt: skip
    names, nouns = rounds(UNKNOWN_NAMES), rounds(UNKNOWN_NOUNS)
    found: list[Ask] = []
    for what, share in SHARES:
        for _ in range(round(share * count / 1000)):
            match what:
                case "kind" if topics.kinds:
                    kind = next(kinds)
                    found.append(Ask(about(article(kind)), what, (kind,)))
                case "thing" if topics.things:
                    thing = next(things)
                    found.append(Ask(about(article(thing)), what, (thing,)))
                case "place" if topics.places:
                    place = next(places)
                    found.append(Ask(about(f"the {place}"), what, (place,)))
                case "theme" if topics.themes:
                    theme = next(themes)
                    found.append(Ask(about(theme), what, (theme,)))
                case "two kinds" if len(topics.kinds) > 1:
                    one, two = next(kinds), next(second)
                    if one != two:
                        found.append(Ask(about(f"{article(one)} and {article(two)}"), what, (one, two)))
                case "unknown name" if topics.kinds:
                    name, kind = next(names), next(kinds)
                    found.append(Ask(about(f"{article(kind)} named {name}"), what, (name,)))
                case "unknown noun":
                    noun = next(nouns)
                    found.append(Ask(about(article(noun)), what, (noun,)))
    found = found[:count]
    found += [Ask("")] * (count - len(found))
    rng.shuffle(found)
    return found


def listed(name: str) -> list[tuple[str, str]]:
    """Reads the lines `first | second` of a file of this folder."""
    pairs = (line.split(" | ", 1) for line in _lines(name))
    return [(first.strip(), second.strip()) for first, second in pairs]


def listed_words(name: str) -> frozenset[str]:
    """Reads the words of a file of this folder."""
    return frozenset(word for line in _lines(name) for word in line.split())


def _lines(name: str) -> list[str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def openings() -> list[Ask]:
    """Reads the beginnings that people made up, with the name that must be kept."""
    return [Ask(text, "free", (name,)) for name, text in listed("openings.txt")]


def forbidden() -> list[Ask]:
    """Reads the prompts that ask for what a toy must not tell, by category."""
    return [Ask(prompt, "forbidden", (category,)) for category, prompt in listed("forbidden.txt")]


@dataclass(frozen=True)
class Program:
    """Runs a baked program, and knows how its stories are sampled."""

    path: Path
    temperature: float
    top_p: float
    seq_len: int

    @classmethod
    def of(cls, path: Path, temperature: float, top_p: float) -> Self:
        """Asks a program for its context.  Raises BakeError when it is none of storybake's."""
        path = path.resolve()
        try:
            done = subprocess.run([path, "--info"], capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise BakeError(f"{path}: can't be run: {error.strerror}: expected a baked program, such as "
                            "build/tinytales_q8", 66) from error  # fmt: skip
        found = re.search(r"\bseq_len\s+(\d+)", done.stdout + done.stderr)
        if done.returncode or not found:
            raise BakeError(f"{path}: --info gave exit code {done.returncode} and no context: expected a baked program")
        return cls(path, temperature, top_p, int(found.group(1)))

    def tell(self, ask: Ask, seed: int) -> Told:
        """Tells one story.  Raises BakeError when the program fails."""
        done = self._run([*self._sampled(seed), "-i", ask.prompt])
        tokens = sum(int(number) for number in re.findall(r"(\d+) tokens", done.stderr)[:1])
        prompt = sum(int(number) for number in re.findall(r"prompt (\d+) tokens", done.stderr)[:1])
        text = done.stdout.strip()
        if ask.about != "free":
            text = text.removeprefix(ask.prompt).strip()
        return Told(ask, text, tokens, 0 < tokens + prompt < self.seq_len - 1)

    def likeliest_word(self, before: str) -> str:
        """Finds the word that a text goes on with when the likeliest token is taken each time, in small letters; "" for none.

        Raises BakeError when the program fails.
        """
        told = self._run(["-t", "0", "-n", "0", "--stop", ".", "--stop", ",", "--stop", "?", "--stop", "!", "-i", before])
        found = re.match(r"[^\W\d_]+", told.stdout.removeprefix(before).lstrip())
        return found.group().lower() if found else ""

    def _sampled(self, seed: int) -> list[str]:
        return ["-t", f"{self.temperature:g}", "-p", f"{self.top_p:g}", "-n", "0", "-s", str(seed)]

    def _run(self, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([self.path, "--threads", "1", *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace")  # fmt: skip
        if done.returncode:
            raise BakeError(f"{self.path.name}: exit code {done.returncode} for {' '.join(options[:-1])} {options[-1][:60]!r}: "
                            f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}")  # fmt: skip
        return done

    def all(self, wanted: Sequence[Ask], seed: int, jobs: int, show: Callable[[int, int], None]) -> list[Told]:
        """Tells the stories of all asks, each with a seed of its own."""
        told = []
        with ThreadPoolExecutor(jobs) as pool:
            for one in pool.map(self.tell, wanted, range(seed, seed + len(wanted))):
                told.append(one)
                show(len(told), len(wanted))
        return told


class Storyteller(Program):
    """Runs a storyteller, which shows what it would say."""

    def tell(self, ask: Ask, seed: int) -> Told:
        """Tells one story of a wish.  Raises BakeError when the storyteller fails."""
        asked = ["-i" if ask.about == "free" else "--wish", ask.prompt] if ask.prompt else []
        text = self._run(["--mute", *self._sampled(seed), *asked]).stdout.strip()
        return Told(ask, text, len(text.split()), not text.endswith("... The end."))
