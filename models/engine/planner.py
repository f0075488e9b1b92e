"""Carries out plots as plans: steps that name events, events with preconditions, effects and clause forms.

A plan says what is wanted and what stands in the way; which attempts are made, which of them fail and who helps in
the end follows from what the persons and things are, since an event happens only where its preconditions hold.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from .forms import own_words
from .lexicon import FOLDER
from .realiser import Realiser
from .world import Fact, World


@dataclass(frozen=True)
class Form:
    """Describes one way to tell an event, and the details it tells of (`+word`) or refers back to (`?word`)."""

    text: str
    needs: frozenset[str]
    tells: frozenset[str]


@dataclass(frozen=True)
class EventType:
    """Describes a kind of event: its own letters, what it needs, what it changes, and the forms in which it is told."""

    name: str
    letters: tuple[str, ...]
    needs: tuple[Fact, ...]
    effects: tuple[Fact, ...]
    forms: tuple[Form, ...]


@dataclass(frozen=True)
class Call:
    """Describes an event with the roles of a story."""

    event: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """Describes one step of a plan: the calls to choose from, how many of them, and whether it may be left out."""

    calls: tuple[Call, ...]
    at_least: int
    at_most: int
    optional: bool


@dataclass(frozen=True)
class Plot:
    """Describes a plan for stories: who and what it needs, what it is about, and its steps (None: a new paragraph)."""

    name: str
    cast: dict[str, tuple[str, ...]]
    things: dict[str, tuple[str, ...]]
    places: dict[str, tuple[str, ...]]
    minor: frozenset[str]  # names the things that nobody asks for in this plot, as little is told of them
    themes: tuple[str, ...]
    lets: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    wants: tuple[str, ...]
    deeds: tuple[str, ...]  # say what its hero did, after "who", in the past
    shared: tuple[str, ...]  # say the same of hero and friend
    opening: str
    teller: bool  # tells whether the hero may tell it; then "they" of the forms is always the hero and the friend
    follows: str  # says what it answers: "any" beginning of somebody's own, one of a "thing", or that a "trait" was asked for, which may be
    # "passing"; only those of a thing are told elsewhere, too
    begins: "tuple[tuple[int, str], ...]"
    weight: float
    steps: "tuple[Step | None, ...]"


class Impossible(Exception):
    """Says that no event of a step has its preconditions fulfilled: this cast can't have this story."""


def _facts(text: str) -> tuple[Fact, ...]:
    return tuple(tuple(fact.split()) for fact in text.split(";") if fact.strip())


def _form(line: str) -> Form:
    needs: set[str] = set()
    tells: set[str] = set()
    while mark := re.match(r"([+?])(\w+) ", line):
        (tells if mark.group(1) == "+" else needs).add(mark.group(2))
        line = line[mark.end():]
    return Form(line, frozenset(needs), frozenset(tells))


def _event(block: str) -> EventType:
    head, *lines = [line for line in block.strip().split("\n") if line.strip() and not line.startswith("//")]
    name, *letters = head.split()
    needs: tuple[Fact, ...] = ()
    effects: tuple[Fact, ...] = ()
    forms = []
    for line in lines:
        if line.startswith("pre:"):
            needs = _facts(line[4:])
        elif line.startswith("eff:"):
            effects = _facts(line[4:])
        else:
            forms.append(_form(line.strip()))
    if not forms:
        raise ValueError(f"event {name}: found no form; write at least one line")
    return EventType(name, tuple(letters), needs, effects, tuple(forms))


def _step(line: str) -> "Step | None":
    if line == "/":
        return None
    optional = line.startswith("?")
    line = line.lstrip("? ")
    count = re.match(r"(\d)(\d)? ", line)
    low = int(count.group(1)) if count else 1
    high = int(count.group(2) or low) if count else 1
    calls = []
    for option in line[count.end() if count else 0:].split("|"):
        event, *roles = option.split()
        calls.append(Call(event, tuple(roles)))
    return Step(tuple(calls), low, high, optional)


def _plot(block: str) -> Plot:
    head, _, body = block.partition("\n---\n")
    name, *headers = [line for line in head.strip().split("\n") if line.strip() and not line.startswith("//")]
    fields: dict[str, str] = {}
    lets = []
    begins = []
    for header in headers:
        key, colon, value = header.partition(":")
        if not colon:
            raise ValueError(f"plot {name}: header {header!r} has no colon; write key: value")
        if key.startswith("begin "):
            begins.append((int(key[6:]), value.strip()))
        elif key.startswith("let "):
            lets.append((tuple(key[4:].strip().split("/")), tuple(option.strip() for option in value.split("|"))))
        else:
            fields[key.strip()] = value.strip()
    steps = tuple(_step(line.strip()) for line in body.split("\n") if line.strip() and not line.startswith("//"))
    if not steps:
        raise ValueError(f"plot {name}: found no steps after '---'; write at least one")

    def roles(key: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for part in fields.get(key, "").split(";"):
            if part.strip():
                role, *allowed = part.split()
                found[role] = tuple(word.replace("_", " ") for word in " ".join(allowed).split("|"))
        return found

    def listed(key: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in fields.get(key, "").split(";") if part.strip())

    return Plot(name, roles("cast"), roles("things"), roles("places"), frozenset(fields.get("minor", "").split()), listed("theme"),
                tuple(lets), listed("want"), listed("who"), listed("both"), fields.get("open", ""), fields.get("teller") == "yes",
                fields.get("follows", ""), tuple(begins), float(fields.get("weight", "1")), steps)


@dataclass(frozen=True)
class Library:
    """Holds every plot, event and shared passage."""

    plots: dict[str, Plot]
    events: dict[str, EventType]
    passages: dict[str, tuple[str, ...]]


@lru_cache(maxsize=None)
def library() -> Library:
    """Reads all of it, once, from `passages.txt`, `events*.txt` and `plots/`.  Raises ValueError for a fault in them."""
    plots: dict[str, Plot] = {}
    events: dict[str, EventType] = {}
    for path in sorted([*FOLDER.glob("events*.txt"), *(FOLDER / "plots").glob("*.txt")]):
        for block in re.split(r"^(?=##? )", path.read_text(encoding="utf-8"), flags=re.M):
            if block.startswith("## "):
                event = _event(block[3:])
                if event.name in events:
                    raise ValueError(f"{path.name}: event {event.name} is written twice; give one another name")
                events[event.name] = event
            elif block.startswith("# "):
                plot = _plot(block[2:])
                plots[plot.name] = plot
    passages: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (FOLDER / "passages.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            lines = passages.setdefault(line[2:].strip(), [])
        elif line.strip() and not line.startswith("//"):
            lines.append(line.strip())
    for plot in plots.values():
        for call in (call for step in plot.steps if step for call in step.calls):
            if call.event not in events:
                raise ValueError(f"plot {plot.name}: event {call.event} is not written; write ## {call.event}")
            if len(call.roles) != len(events[call.event].letters):
                raise ValueError(f"plot {plot.name}: {call.event} has {len(call.roles)} roles, "
                                 f"expected {len(events[call.event].letters)}")
    return Library(plots, events, {name: tuple(found) for name, found in passages.items()})


def happen(call: Call, world: World, realiser: Realiser, rng: random.Random, used: set[str],
           log: list[tuple[str, tuple[str, ...]]]) -> None:
    """Tells one event and applies its effects."""
    event = library().events[call.event]
    bind = dict(zip(event.letters, call.roles))
    told = [form for form in event.forms if form.needs <= world.told]
    told = [form for form in told if not own_words(form.text) & world.reserved()] or told
    fresh = [form for form in told if form.text not in used] or told
    if not fresh:
        raise Impossible(f"{call.event}: no form fits what was told")
    form = rng.choice([one for one in fresh if one.needs] if any(one.needs for one in fresh) and rng.random() < 0.6
                      else fresh)
    used.add(form.text)
    world.told |= form.tells
    realiser.gap()
    realiser.touched.clear()
    realiser.mark()
    realiser.tell(form.text, bind)
    realiser.mark()
    world.apply(event.effects, bind)
    log.append((call.event, call.roles + tuple(sorted(realiser.touched - set(call.roles)))))


def possible(calls: Iterable[Call], world: World) -> list[Call]:
    """Returns the calls whose preconditions hold."""
    events = library().events
    return [call for call in calls
            if world.holds(events[call.event].needs, dict(zip(events[call.event].letters, call.roles)))]


def perform(plot: Plot, world: World, realiser: Realiser, rng: random.Random,
            skip: int = 0) -> list[tuple[str, tuple[str, ...]]]:
    """Carries out a plan but for its first `skip` steps.  Raises Impossible when a step has no event that can happen."""
    log: list[tuple[str, tuple[str, ...]]] = []
    used: set[str] = set()
    for step in plot.steps[skip:]:
        if step is None:
            realiser.paragraph()
            continue
        if step.optional and rng.random() < 0.5:
            continue
        wanted = rng.randint(step.at_least, step.at_most)
        done: set[Call] = set()
        while len(done) < wanted:
            calls = [call for call in possible(step.calls, world) if call not in done]
            if not calls:
                if len(done) < step.at_least and not step.optional:
                    raise Impossible(f"{plot.name}: {step.calls[0].event}")
                break
            call = rng.choice(calls)
            happen(call, world, realiser, rng, used, log)
            done.add(call)
    return log
