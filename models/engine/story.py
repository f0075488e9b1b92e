"""Makes documents: a prompt and the story told for it, a function of (seed, index) alone."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon, prompts, tense
from .casting import Cast, Focus, fitting_plots, stand_in
from .forms import own_words, remembered, slots
from .planner import Call, Impossible, Plot, library, perform
from .realiser import Realiser
from .world import Happening, Reference, World

# Bound the words of a story; what falls outside is told anew.
SHORTEST, LONGEST = 85, 235
_TRIES = 60
_TOLD_BY_THE_HERO = 0.1
# Lists words with which no story begins that is told in the present.
_LONG_PAST = frozenset("once ago before summer had long years remember happened born last".split())
BACK = "back"  # names, in a log, what comes back to the beginning
# Names families of beginnings that tell a plot's first event, which is then left out; somebody's own have some, too.
_TELLS = {"thing": Call("owns", ("A", "x")), "two": Call("friend", ("A", "B")), "out": Call("outing", ("A", "p"))}
_TELLS |= {f"own {title}": call for title, call in _TELLS.items()} | {"own wonder": _TELLS["thing"]}
_APART = ("teller", "near", "wished", "pair")  # names families of beginnings for some stories only
_FRAME = " >> "  # stands in a beginning before each of the sentences that may come back to it at the end
_COMES_BACK = 0.6  # says how often a story's end comes back to a home or a hobby that its beginning tells of; it does to an asked trait
_NAMES_THE_HERO = re.compile(r"\{A\.(?:n|k|t|intro)\}")
_NAMES_THE_HERO_AT_ONCE = re.compile(r"[^.!?]*\{A\.(?:n|intro|some)\}")
_OWN_OF_THE_PLOT = 0.4  # says how often somebody's own beginning is what the plot begins with, so that it goes on from there
# Says how often such a beginning tells of a thing, and what follows is about that; how often what follows is about the beginning,
# whatever that is; and how often it is about something else.
_FOLLOWED = (0.45, 0.2, 0.35)
_ABOUT_THE_TRAIT = 0.75  # says how often a story is about the trait that was asked for
_BEGIN_WITH_THE_PLOT = 0.5  # says how often a story begins with its own first event
_BEGIN_WITH_THE_THEME = 0.95  # says the same where a theme was asked for
# Says how often what was asked for, a thing, a place or two kinds, is told of in the first sentence: a model forgets what it
# has not told of by then.
_BEGIN_WITH_WHAT_IS_ASKED = 0.85
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
        things = [*self.asked, *(world.things if self.about == prompts.OWN and library().plots[self.plot].follows else ())]
        nouns = [word for role in things if role in world.things for word in world.things[role].noun.word.split()]
        nouns += [word for role in self.asked if role in world.places for word in world.places[role].noun.split()]
        nouns += [word for role in self.asked if role in world.persons for word in world.persons[role].kind.noun.split()]
        return tuple(dict.fromkeys(names + nouns))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Returns the words for what those are who have a name: they have to fit it, and the prompt, wherever they stand."""
        persons = self.told.world.persons.values()
        return tuple(dict.fromkeys(word for person in persons if person.name for word in person.kind.noun.split()))

    @property
    def decided(self) -> tuple[int, int]:
        """Finds the characters of `text` in which a prompt shows that isn't told of by name, or is soon forgotten: the first
        sentences; of somebody's own beginning those that come back to it.

        Which plot answers a theme, or that no story fulfils a wish that none may, shows nowhere else.
        """
        if self.about == prompts.OWN and self.log[-1].event == BACK:
            return self.log[-1].start - 1, self.log[-1].end
        if self.about not in ("kind", "theme", "where", "deed", "thing", "place", "two", prompts.BAD):
            return 0, 0
        start, told = len(self.prompt) + 1, len(self.text) - len(self.story)
        if self.about == prompts.BAD:
            return start, told
        return start, told + self.log[min(2, len(self.log) - 1) if self.about in ("theme", "where", "deed") else 0].end

    @property
    def given(self) -> int:
        """Counts the characters of `text` that somebody else began it with, which are not to be learned."""
        if self.about != prompts.OWN:
            return 0
        end = self.log[0].end
        named = self.told.world.persons["A"].name in self.text[:end].split(". ")[0]
        return end if named else self.text.index(". ") + 1  # the name that the next sentence gives is to be learned

    @property
    def text(self) -> str:
        """Returns prompt, lead and story as the model reads them."""
        told = f"{self.lead} {self.story}" if self.lead else self.story
        return f"{self.prompt}\n{told}" if self.prompt else told


@lru_cache(maxsize=None)
def _openings() -> dict[str, tuple[str, ...]]:
    """Reads the beginnings by family: those of stories, and those of somebody's own, whose titles begin with "own"."""
    return {title: tuple(lines) for name in ("openings.txt", "beginnings.txt")
            for title, lines in lexicon.sections(lexicon.FOLDER / name).items()}


@lru_cache(maxsize=None)
def _closings() -> dict[str, tuple[str, ...]]:
    return {title: tuple(lines) for title, lines in lexicon.sections(lexicon.FOLDER / "closings.txt").items()}


def _suits(form: str, realiser: Realiser, focus: Focus) -> bool:
    """Tells whether a story may begin with a form: in the tense it is told in, and with the hero first where a kind is asked
    for, as whoever asked for a yak takes the first one for it."""
    hero_first = focus.two or not realiser.needs_kind or _NAMES_THE_HERO_AT_ONCE.match(form) is not None
    return hero_first and not (realiser.present and own_words(form) & _LONG_PAST)


def _told_of(form: str, world: World, asked: str) -> bool:
    """Tells whether the story has everything a form names, and nothing under a name it remembers something by; what is asked
    for is "x" or "p"."""
    if remembered(form) & world.values.keys():
        return False
    known = {"x" if asked in world.things else "p"} if asked else set()
    known |= world.persons.keys() | world.things.keys() | world.places.keys() | world.values.keys()
    return all(key in known or key.startswith("@") for key in slots(form))


def _follows(focus: Focus, rng: random.Random) -> tuple[str, ...]:
    """Draws what the plot shall answer, of what Plot.follows may be."""
    if focus.trait and rng.random() < _ABOUT_THE_TRAIT:
        return ("passing",) if focus.trait in lexicon.load().traits_passing else ("trait",)
    if focus.own:
        follows = rng.choices(("thing", "any", ""), _FOLLOWED)[0]
        return (follows if focus.name or follows != "thing" else "any",)
    return "", "thing"


def tell(focus: Focus, rng: random.Random) -> Story:
    """Tells one story that has what the focus asks.

    Raises Impossible when no plot can have it.
    """
    follows = _follows(focus, rng)
    plots = ([library().plots[focus.plot]] if focus.plot
             else [plot for plot in fitting_plots(*stand_in(focus)) if plot.follows in follows])
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
    opened, skip, ends = _open(plot, world, realiser, rng, focus)
    if focus.own and ends:  # says that it will come back to what somebody else began with
        realiser.gap()
        realiser.tell("{@meanwhile}", {})
    calls = perform(plot, world, realiser, rng, skip)
    if ends:
        calls.append((BACK, ("A",)))
        realiser.gap()
        realiser.mark()
        realiser.tell(rng.choice(ends), {})
        realiser.mark()
    if rng.random() < 0.12:
        realiser.gap()
        realiser.tell(rng.choice(_closings()["end"]), {})
    text, references, marks = realiser.finish()
    spans = list(zip(marks[::2], marks[1::2]))
    log = tuple(Happening(event, roles, *spans[0]) for event, roles in opened)
    log += tuple(Happening(event, roles, *span) for (event, roles), span in zip(calls, spans[1:]))
    return Story(text, name, world, log, tuple(references), narrator, focus.present)


def _open(plot: Plot, world: World, realiser: Realiser, rng: random.Random,
          focus: Focus) -> tuple[list[tuple[str, tuple[str, ...]]], int, list[str]]:
    """Tells the first sentences.

    Returns the log of what they tell, how many steps of the plan are told with them, and the forms of which one comes back to
    them at the end.
    """
    skip, form = _beginning(plot, world, realiser, rng, focus)
    form, *ends = form.split(_FRAME)
    if plot.follows and focus.own:
        ends = []  # it comes back to them itself
    elif focus.trait:
        ends = list(_closings()["passing trait" if focus.trait in lexicon.load().traits_passing else "trait"])
    elif not ends and rng.random() < _COMES_BACK:
        ends = [end for value in ("home", "hobby") if value in slots(form) for end in _closings()[value]]
    asked = _asked(world, focus)
    realiser.mark()
    realiser.tell(form, {"x": asked} if asked in world.things else {"p": asked} if asked else {})
    realiser.mark()
    log = [("opening", tuple(sorted(realiser.known)))]
    for step in plot.steps[:skip]:
        if step is not None:
            log.append((step.calls[0].event, step.calls[0].roles))
            event = library().events[step.calls[0].event]
            world.apply(event.effects, dict(zip(event.letters, step.calls[0].roles)))
    return log, skip, ends


def _asked(world: World, focus: Focus) -> str:
    """Finds the role of the thing or place that is asked for; "" for none."""
    found = [role for role, thing in world.things.items() if thing.noun.word == focus.thing]
    return next(iter(found + [role for role, place in world.places.items() if place.noun == focus.place]), "")


def _beginning(plot: Plot, world: World, realiser: Realiser, rng: random.Random, focus: Focus) -> tuple[int, str]:
    """Chooses the first sentences, and counts the steps of the plan that they tell: the plot's own first event, what is asked
    for, or somebody with a name."""
    first = plot.steps[0].calls[0] if plot.steps[0] else None
    asked = _asked(world, focus)
    begins = [(count, form) for count, form in plot.begins
              if not (realiser.narrator and _NAMES_THE_HERO.search(form)) and _suits(form, realiser, focus)]
    anywhere = [title for title in _openings() if title not in _APART and not title.startswith("own")]
    families = [title for title in anywhere if _TELLS.get(title, first) == first
                and (title != "named" or not realiser.needs_kind)]
    two = focus.two and "B" in world.persons and world.persons["B"].name != ""
    if focus.own:
        begins, families = _own(plot, world, focus, first, begins)
        if begins and rng.random() < _OWN_OF_THE_PLOT:
            return rng.choice(begins)
    elif (asked or two) and not realiser.narrator and rng.random() < _BEGIN_WITH_WHAT_IS_ASKED:
        slot = {"B"} if two else {asked}
        begins = [(count, form) for count, form in begins if slot <= slots(form)]
        families = [title for title in ("thing", "out", "two") if title in families and _TELLS[title].roles[-1] in slot]
        rival = two and world.persons["A"].gender == world.persons["B"].gender
        families += ["pair"] if two and not rival else [] if two else ["near"] if asked in world.places else ["wished"]
        if begins and (not families or rng.random() < 0.4):
            return rng.choice(begins)
        families = families or [title for title in anywhere if title not in (*_TELLS, "named")]
    elif begins and rng.random() < (_BEGIN_WITH_THE_THEME if focus.plot else _BEGIN_WITH_THE_PLOT):
        return rng.choice(begins)
    elif realiser.narrator:
        return 0, rng.choice(_openings()["teller"])
    form = "{@none}"
    for _ in range(_TRIES):
        title = rng.choice(families)
        form = rng.choice(_openings()[title])
        if _told_of(form.split(_FRAME)[0], world, asked) and not own_words(form) & world.reserved() and _suits(form, realiser, focus):
            return int(title in _TELLS), form
    raise Impossible(f"{plot.name}: no beginning of {', '.join(families)} fits; write one")


def _own(plot: Plot, world: World, focus: Focus, first: "Call | None",
         begins: list[tuple[int, str]]) -> tuple[list[tuple[int, str]], list[str]]:
    """Lists the beginnings of the plot's own that somebody else may have made up, and the families of others: of what the plot
    begins with, where there are such, or of anything; whoever names nobody leaves the next sentence to say the name."""
    if not focus.name:
        deeds = [deed for deed in plot.deeds if slots(deed) <= {"A", *world.values}]
        return [(0, f"{who} who {deed}. {{A.his}} name was {{A.n}}.") for who in _openings()["own deed"] for deed in deeds], ["own kind"]
    if plot.follows == "thing":
        return [], ["own wonder"]
    families = [title for title, call in _TELLS.items() if title.startswith("own") and call == first]
    return [(count, form) for count, form in begins if _NAMES_THE_HERO_AT_ONCE.match(form)], [*families, "own"]


def document(seed: int, index: int, held_out: bool = False) -> Document:
    """Makes the document with this index.  With `held_out`, its names and things are those that training never sees."""
    rng = random.Random((seed << 42) + index * 2 + held_out)
    return _made(rng, lambda: prompts.draw(rng, held_out))


def copying(seed: int, index: int) -> Document:
    """Makes the document with this index of those that are given a name or a noun which nobody has heard of."""
    rng = random.Random(f"copying {seed} {index}")
    return _made(rng, lambda: prompts.draw_unheard(rng))


def _made(rng: random.Random, draw: Callable[[], prompts.Wish]) -> Document:
    """Makes a document that answers the first of the wishes drawn that can be."""
    while True:
        wish = draw()
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
