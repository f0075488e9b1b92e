"""Makes documents: a prompt and the story told for it, a function of (seed, index) alone."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon, prompts, tense
from .casting import Cast, Focus, fitting_plots, stand_in
from .forms import own_words, slots
from .planner import Call, Impossible, Plot, library, perform
from .realiser import Realiser
from .world import Happening, Reference, World

# Bound the words of a story; what falls outside is told anew.
SHORTEST, LONGEST = 85, 210
_TRIES = 60
_TOLD_BY_THE_HERO = 0.1
# Names families of beginnings that tell a plot's first event, which is then left out.
# Lists words with which no story begins that is told in the present.
_LONG_PAST = frozenset("once ago before summer had long years remember happened born last".split())
_TELLS = {"thing": Call("owns", ("A", "x")), "two": Call("friend", ("A", "B")), "out": Call("outing", ("A", "p"))}
_NAMES_THE_HERO = re.compile(r"\{A\.(?:n|k|t|intro)\}")
_BEGIN_WITH_THE_PLOT = 0.35  # says how often a story begins with its own first event
_BEGIN_WITH_THE_THEME = 0.75  # says the same where a theme was asked for
_PATIENCE = 6  # counts the tries with one plot, so that plots with long stories are not rarer


@dataclass(frozen=True)
class Story:
    """Holds a told story: its text, plot, world, and where which event and person stands in the text."""

    text: str
    plot: str
    world: World
    log: tuple[Happening, ...]
    references: tuple[Reference, ...]
    narrator: str = ""
    present: bool = False


@dataclass(frozen=True)
class Document:
    """Holds one training document: the prompt (may be empty) and the story that answers it.

    `asked`, `about` and `lead` are those of prompts.Wording; the lead stands between the two.
    """

    prompt: str
    told: Story
    asked: tuple[str, ...] = ()
    about: str = ""
    lead: str = ""

    @property
    def story(self) -> str:
        """Returns the story alone."""
        return self.told.text

    @property
    def plot(self) -> str:
        """Returns the plot's name."""
        return self.told.plot

    @property
    def log(self) -> tuple[Happening, ...]:
        """Returns the events of the story."""
        return self.told.log

    @property
    def copied(self) -> tuple[str, ...]:
        """Returns the words that come from elsewhere in the text: names, and the nouns that the prompt asks for."""
        world = self.told.world
        names = [person.name for person in world.persons.values() if person.name and person.name in self.text]
        nouns = [word for role in self.asked if role in world.things for word in world.things[role].noun.word.split()]
        nouns += [word for role in self.asked if role in world.places for word in world.places[role].noun.split()]
        return tuple(dict.fromkeys(names + nouns))

    @property
    def decided(self) -> tuple[int, int]:
        """Finds the characters of `text` in which a prompt shows that isn't told of by name: the first sentences.

        Which plot answers a theme, or that no story fulfils a wish that none may, shows nowhere else.
        """
        if self.about not in ("theme", "where", prompts.BAD):
            return 0, 0
        start = len(self.prompt) + 1
        return start, len(self.text) - len(self.story) + self.log[min(2, len(self.log) - 1)].end

    @property
    def text(self) -> str:
        """Returns prompt, lead and story as the model reads them."""
        told = f"{self.lead} {self.story}" if self.lead else self.story
        return f"{self.prompt}\n{told}" if self.prompt else told


@lru_cache(maxsize=None)
def _openings() -> dict[str, tuple[str, ...]]:
    return {title: tuple(lines) for title, lines in lexicon.sections(lexicon.FOLDER / "openings.txt").items()}


@lru_cache(maxsize=None)
def _closings() -> dict[str, tuple[str, ...]]:
    return {title: tuple(lines) for title, lines in lexicon.sections(lexicon.FOLDER / "closings.txt").items()}


def _told_of(form: str, world: World) -> bool:
    """Tells whether the story has everything a form names."""
    known = world.persons.keys() | world.things.keys() | world.places.keys() | world.values.keys()
    return all(key in known or key.startswith("@") for key in slots(form))


def tell(focus: Focus, rng: random.Random) -> Story:
    """Tells one story that has what the focus asks.

    Raises Impossible when no plot can have it.
    """
    plots = ([library().plots[focus.plot]] if focus.plot
             else list(fitting_plots(*stand_in(focus))))
    if not plots:
        raise Impossible(f"no plot has the roles for {focus}; write one")
    weights = [plot.weight for plot in plots]
    plot = plots[0]
    for attempt in range(_TRIES):
        if attempt % _PATIENCE == 0:
            plot = rng.choices(plots, weights)[0]
        try:
            world = Cast(plot, focus, rng).draw()
            story = _perform(plot.name, world, rng, focus)
        except (Impossible, tense.Unsure):
            continue
        if SHORTEST <= len(story.text.split()) <= LONGEST:
            return story
    raise Impossible(f"no plot tells of {focus}; give a plot the roles for it")


def _perform(name: str, world: World, rng: random.Random, focus: Focus) -> Story:
    plot = library().plots[name]
    narrator = "A" if plot.teller and focus.teller and not focus.present and rng.random() < _TOLD_BY_THE_HERO else ""
    realiser = Realiser(world, library().passages, rng, narrator)
    world.values["name"] = world.persons["A"].name
    realiser.needs_kind = bool(focus.kinds)
    realiser.present = focus.present
    opened, skip = _open(plot, world, realiser, rng, _BEGIN_WITH_THE_THEME if focus.plot else _BEGIN_WITH_THE_PLOT)
    calls = perform(plot, world, realiser, rng, skip)
    if rng.random() < 0.12:
        realiser.gap()
        realiser.tell(rng.choice(_closings()["end"]), {})
    text, references, marks = realiser.finish()
    spans = list(zip(marks[::2], marks[1::2]))
    log = tuple(Happening(event, roles, *spans[0]) for event, roles in opened)
    log += tuple(Happening(event, roles, *span) for (event, roles), span in zip(calls, spans[1:]))
    return Story(text, name, world, log, tuple(references), narrator, focus.present)


def _open(plot: Plot, world: World, realiser: Realiser, rng: random.Random,
          with_plot: float) -> tuple[list[tuple[str, tuple[str, ...]]], int]:
    """Tells the first sentences, `with_plot` of the time with the plot's first event.

    Returns the log of what they tell, and how many steps of the plan are told with them.
    """
    first = plot.steps[0].calls[0] if plot.steps[0] else None
    skip = 0
    begins = [(count, form) for count, form in plot.begins
              if not (realiser.narrator and _NAMES_THE_HERO.search(form))
              and not (realiser.present and own_words(form) & _LONG_PAST)]
    if begins and rng.random() < with_plot:
        skip, form = rng.choice(begins)
    elif realiser.narrator:
        form = rng.choice(_openings()["teller"])
    else:
        families = [title for title in _openings() if title != "teller" and _TELLS.get(title, first) == first
                    and (title != "named" or not realiser.needs_kind)]
        form = "{@none}"
        while (form == "{@none}" or not _told_of(form, world) or own_words(form) & world.reserved()
               or realiser.present and own_words(form) & _LONG_PAST):
            title = rng.choice(families)
            form = rng.choice(_openings()[title])
        skip = int(title in _TELLS)
    realiser.mark()
    realiser.tell(form, {})
    realiser.mark()
    log = [("opening", tuple(sorted(realiser.known)))]
    for step in plot.steps[:skip]:
        if step is not None:
            log.append((step.calls[0].event, step.calls[0].roles))
            event = library().events[step.calls[0].event]
            world.apply(event.effects, dict(zip(event.letters, step.calls[0].roles)))
    return log, skip


def document(seed: int, index: int, held_out: bool = False) -> Document:
    """Makes the document with this index.  With `held_out`, its names and things are those that training never sees."""
    rng = random.Random((seed << 42) + index * 2 + held_out)
    while True:
        wish = prompts.draw(rng, held_out)
        try:
            story = tell(wish.focus, rng)
            if prompts.answered(wish, story.text):
                break
        except Impossible:
            continue  # no story fulfils such a wish: a whale in the attic
    plot = library().plots[story.plot]
    words = prompts.write(wish, story.world, story.text, plot, rng)
    return Document(words.prompt, story, words.asked, words.about, words.lead)


def documents(seed: int, start: int = 0, held_out: bool = False) -> Iterator[Document]:
    """Yields all documents from an index on, without end."""
    index = start
    while True:
        yield document(seed, index, held_out)
        index += 1


def words_of(text: str) -> list[str]:
    """Returns the words of a text in any script: runs of letters and apostrophes."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text)
