"""Measures a model's stories, and has the bars that they are held against."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.judge import knowledge
from evaluation.judge.asks import Told
from evaluation.judge.reader import WORD, Story, Words, names_in
from models.engine import prompts


@dataclass(frozen=True)
class Bar:
    """Describes a measure in words, and what it must be above or below; shares are of 1."""

    name: str
    least: float | None = None
    most: float | None = None
    share: bool = True

    def passed(self, value: float) -> bool:
        """Tells whether a figure meets the bar; no number meets none."""
        return (self.least is None or value > self.least) and (self.most is None or value < self.most) and value == value

    def shown(self, value: float) -> str:
        """Shows a figure as the table has it."""
        return f"{100 * value:.1f} %" if self.share else f"{value:.3f}"

    @property
    def wanted(self) -> str:
        """Shows the bar as the table has it."""
        if self.least is None and self.most is None:
            return ""
        return f"> {self.shown(self.least)}" if self.least is not None else f"< {self.shown(self.most or 0.0)}"


BARS = (
    Bar("asked kind is the hero", least=0.97),
    Bar("asked thing is in the story", least=0.95),
    Bar("asked place is in the story", least=0.90),
    Bar("asked theme is what the story is about", least=0.85),
    Bar("two kinds asked for, both in the story", least=0.90),
    Bar("a name that training never had, kept", least=0.90),
    Bar("a noun that training never had, in the story", least=0.80),
    Bar("own beginnings: the name is kept, no nonsense word", least=0.95),
    Bar("somebody never introduced", most=0.01),
    Bar("gendered noun against the name", most=0.002),
    Bar("pronoun against the name", most=0.005),
    Bar("any binding error: who, what, which thing", most=0.05),
    Bar("a word outside dictionary and prompt", most=0.005),
    Bar("a repeated sentence", most=0.005),
    Bar("ends properly within the context", least=0.995),
    Bar("greedy: the asked thing where it comes first", least=0.98),
    Bar("greedy: the right thing where one comes again", least=0.98),
    Bar("distinct 4-grams", least=0.42, share=False),
    Bar("12-grams verbatim in training stories", most=0.35),
)
# Replace the bars at a temperature of 1, the command line's default.
WARM = {"any binding error: who, what, which thing": 0.08, "a word outside dictionary and prompt": 0.01}


def bars(temperature: float) -> list[Bar]:
    """Returns the bars at a temperature."""
    if temperature < 0.95:
        return list(BARS)
    return [Bar(bar.name, None if bar.name not in WARM else bar.least, WARM.get(bar.name), bar.share) for bar in BARS]


def has(text: str, noun: str) -> bool:
    """Tells whether a noun occurs, in singular or plural; a letter beside it that is no Latin one does not end a word."""
    low = text.lower()
    if not noun.isascii():
        return noun.lower() in low
    stem = re.escape(noun.lower())
    forms = rf"{stem}(?:s|es)?" + (rf"|{stem[:-1]}ies" if noun.endswith("y") else "")
    if noun.endswith("s"):
        forms += rf"|{stem[:-1]}"
    return re.search(rf"\b(?:{forms})\b", low) is not None


def hero_kinds(text: str, words: Words) -> set[str]:
    """Finds what the hero may be, who is the first with a name: the kind that comes in first, and the one beside the name.

    Where none is beside it, the first that is told of as known but for those that others with a name are: "Hugo had a friend. It
    was Maya the owl. The fox missed her." tells of a fox.
    """
    one = "|".join(sorted(words.kinds, key=len, reverse=True))
    names = list(names_in(text, words))
    found: set[str] = set()
    others: set[str] = set()
    for match in re.finditer(rf"\b({one}) (?:named|called) (\w+)|\b(\w+)(?:,? (?:the|an?)| (?:was|is) an?) (?:[\w-]+ ){{0,2}}?({one})\b",
                             text):  # fmt: skip
        name, kind = match.group(2) or match.group(3), match.group(1) or match.group(4)
        if names and name == names[0]:
            found = found or {kind}
        elif name in names:
            others.add(kind)
    told = [match.groups() for match in re.finditer(rf"\b(the )?({one})\b", text.lower())]
    known = [kind for number, (the, kind) in enumerate(told) if kind not in others and (the or not number)]
    return {kind for _, kind in told[:1]} | (found or set(known[:1]))


def asked(told: Told, words: Words) -> bool | None:
    """Tells whether a story is what was asked for; None where nothing was.  To say that it is is not to tell of it."""
    ask, text = told.ask, prompts.without_lead(told.text)
    match ask.about:
        case "kind":
            return ask.words[0] in hero_kinds(text, words)
        case "thing" | "place" | "unknown noun":
            return has(text, ask.words[0])
        case "theme":
            return knowledge.on_theme(text, ask.words[0])
        case "two kinds":
            return all(has(text, kind) for kind in ask.words)
        case "unknown name":
            return len(re.findall(rf"\b{ask.words[0]}\b", text)) > 1
    return None


def kept(told: Told, words: Words) -> bool:
    """Tells whether a story that goes on from somebody's own beginning keeps the name and has no nonsense word."""
    story = Story(told.text, told.ask.prompt, words)
    rest = told.text.removeprefix(told.ask.prompt)
    return re.search(rf"\b{told.ask.words[0]}\b", rest) is not None and "non-word" not in story.faults


def ends_properly(told: Told) -> bool:
    """Tells whether a story came to an end, and that is the end of a sentence."""
    return told.ended and told.text.rstrip("\"”'’")[-1:] in tuple(".!?。！？")


def distinct(texts: Sequence[str], size: int = 4) -> float:
    """Computes the share of different runs of `size` words in all runs of a set of texts."""
    found = [gram for text in texts for gram in knowledge.grams(" ".join(WORD.findall(text.lower())), size)]
    return len(set(found)) / max(len(found), 1)


@dataclass(frozen=True)
class Verdict:
    """Holds figures by the name of a bar, and for each kind of fault where it was found: (number of the story, what)."""

    figures: dict[str, float]
    faults: dict[str, list[tuple[int, str]]]
    by_topic: dict[str, tuple[int, int]]


def judge(told: Sequence[Told], free: Sequence[Told], words: Words, greedy: tuple[float, float],
          copied: float) -> Verdict:  # fmt: skip
    """Computes the figures of stories (`told`) and of own beginnings (`free`); `greedy` are those of determined.shares,
    `copied` that of knowledge.copied."""
    faults: dict[str, list[tuple[int, str]]] = {}
    unbound, improper = 0, 0
    right: dict[str, list[bool]] = {}
    by_topic: dict[str, tuple[int, int]] = {}
    for number, one in enumerate(told):
        story = Story(one.text, one.ask.prompt, words)
        for what, where in story.faults.items():
            faults.setdefault(what, []).append((number, where[0]))
        unbound += not story.bound
        improper += not ends_properly(one)
        good = asked(one, words)
        if good is not None:
            right.setdefault(one.ask.about, []).append(good)
            topic = " and ".join(one.ask.words)
            hits, of = by_topic.get(topic, (0, 0))
            by_topic[topic] = (hits + good, of + 1)
            if not good:
                faults.setdefault(f"asked {one.ask.about}", []).append((number, one.ask.prompt))
    count = max(len(told), 1)
    names = [bar.name for bar in BARS]
    values = [_share(right.get(about, [])) for about in ("kind", "thing", "place", "theme", "two kinds", "unknown name",
                                                         "unknown noun")]  # fmt: skip
    values.append(_share([kept(one, words) for one in free]))
    values += [len(faults.get(what, ())) / count for what in ("stranger", "gender", "pronoun")]
    values += [unbound / count, len(faults.get("non-word", ())) / count, len(faults.get("repeated", ())) / count]
    values += [1 - improper / count, *greedy, distinct([one.text for one in told]), copied]
    return Verdict(dict(zip(names, values, strict=True)), faults, by_topic)


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else float("nan")
