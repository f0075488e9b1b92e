"""Holds what the judge knows besides a story: lists of words, and what stories of a theme are like."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from codegen.errors import BakeError
from evaluation.judge import asks
from evaluation.judge.reader import WORD, Words
from models import engine
from models.engine import lexicon

DICTIONARY = Path("/usr/share/dict/words")
UNAVAILABLE = 69
# Seeds the stories that the judge reads to know the themes; no training sees them.
SEED = 7_000_000
STORIES = 4000


def dictionary(path: Path = DICTIONARY) -> frozenset[str]:
    """Reads the words of a system's word list and of `words.txt`, in small letters.  BakeError 69 when there is no list."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BakeError(f"{path}: {error.strerror}: a word list is needed: run tools/setup train", UNAVAILABLE) from error
    # Keep small letters: names are in it with a capital letter; a small letter where one belongs is no word.
    small = frozenset(word.removesuffix("'s") for word in lines if word[:1].islower())
    return small | asks.listed_words("words.txt") | {"i", "a"}


@lru_cache(maxsize=1)
def scenery() -> frozenset[str]:
    """Lists the things that may be there without being brought in, as the door is."""
    return asks.listed_words("scenery.txt")


def words(path: Path = DICTIONARY) -> Words:
    """Reads the lists of the reader."""
    known = lexicon.load()
    names = {name: gender for gender in "fm" for name in known.names[gender]}
    for name in set(known.names["f"]) & set(known.names["m"]):
        names[name] = ""
    things = frozenset(noun for noun in known.nouns if not scenery() & {noun, noun.split()[-1]})
    return Words(names, frozenset(known.kinds), things, dictionary(path))


class Themes:
    """Tells which theme a story is of by its words: naive Bayes over the plots of stories read before."""

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        """Learns from `documents`: (plot, story)."""
        self.count: Counter[str] = Counter()
        held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for plot, story in documents:
            self.count[plot] += 1
            held[plot].update(features(story))
        everywhere: Counter[str] = Counter()
        for counter in held.values():
            everywhere.update(counter)
        total = sum(self.count.values())
        # Leave out words that all plots share alike: they say nothing.
        self.words = {word for word, number in everywhere.items() if 5 <= number <= total // 2}
        self.log = {plot: {word: math.log((held[plot][word] + 0.1) / (self.count[plot] + 0.2)) for word in self.words}
                    for plot in self.count}  # fmt: skip

    def plots(self, story: str, most: int = 2) -> list[str]:
        """Finds the likeliest plots, the best first."""
        present = features(story) & self.words
        scores = {plot: sum(table[word] for word in present) for plot, table in self.log.items()}
        return sorted(scores, key=lambda plot: -scores[plot])[:most]


def features(story: str) -> set[str]:
    """Returns the words of a story and its pairs of words, each once."""
    low = [word.lower() for word in WORD.findall(story)]
    return set(low) | {f"{a} {b}" for a, b in zip(low, low[1:])}


@lru_cache(maxsize=1)
def themes() -> Themes:
    """Learns the themes of the engine's plots, out of stories that no training sees."""
    told = (engine.document(SEED, index) for index in range(STORIES))
    return Themes((one.plot, one.story) for one in told)


@lru_cache(maxsize=1)
def plots_of() -> dict[str, frozenset[str]]:
    """Lists the plots that tell of a theme."""
    from models.engine.planner import library

    found: defaultdict[str, set[str]] = defaultdict(set)
    for plot in library().plots.values():
        for theme in plot.themes:
            found[theme].add(plot.name)
    return {theme: frozenset(plots) for theme, plots in found.items()}


def on_theme(story: str, theme: str) -> bool:
    """Tells whether a story is like those of a theme."""
    return bool(plots_of().get(theme, frozenset()).intersection(themes().plots(story, 1)))


def copied(sets: Sequence[Sequence[str]], seed: int, count: int, size: int = 12,
           show: Callable[[int, int], None] = lambda done, of: None) -> list[float]:  # fmt: skip
    """Computes for each set of texts which share of its runs of `size` words stands in `count` training stories of a seed too.

    `show` is told how many of these have been read.
    """
    wanted = [[gram for text in texts for gram in grams(text, size)] for texts in sets]
    missing = {gram for runs in wanted for gram in runs}
    for index in range(count):
        missing.difference_update(grams(engine.document(seed, index).story, size))
        show(index + 1, count)
    return [sum(gram not in missing for gram in runs) / max(len(runs), 1) for runs in wanted]


def grams(text: str, size: int) -> list[tuple[str, ...]]:
    """Yields all runs of `size` words of a text."""
    found = text.split()
    return [tuple(found[i : i + size]) for i in range(len(found) - size + 1)]
