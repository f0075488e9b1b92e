"""Draws what is asked for first, so that topics come evenly; words it last, from what the story really tells of."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from . import forbidden, lexicon, tense
from .casting import Focus, allowed_kinds, allowed_nouns, allowed_places
from .planner import Plot, library
from .realiser import PRONOUNS
from .wording import ASKS, ASKS_AS_A_CHILD, ASKS_WHERE, VOWEL, WHO, article
from .world import World

NOTHING, OWN, WISH, UNKNOWN, CHILD, ODD, BAD = "nothing", "own", "wish", "unknown", "child", "odd", "bad"
_DEEDS = 0.3  # is the share of the wishes for somebody that say what is done: "a cat who lost her hat"
_NAMELESS = 0.15  # is the share of the beginnings that name nobody: "Once there was a snail who wanted to win a race."
_MINE = 0.25  # is the share of a child's wishes for somebody that say whose: "my cat"
_ANY_TRAIT = 0.6  # is the share of the wishes for a kind that say a trait which may be none of that kind: "a purple bear"
_AND_A_THEME = 0.3  # is the share of the other wishes, those that ask for a theme as well
_PRESENT = 0.06  # is the share of the stories that nothing is asked of, and a quarter as many of the others
_SHARES = ((NOTHING, 0.08), (OWN, 0.20), (WISH, 0.25), (UNKNOWN, 0.19), (CHILD, 0.14), (ODD, 0.02), (BAD, 0.12))
# Say how many of the names asked for are made up, and of those how many out of pieces of any words, the others of syllables.
_MADE_UP = {WISH: 0.3, CHILD: 0.3, UNKNOWN: 0.85, OWN: 0.8}
_COINED = 0.6


@dataclass(frozen=True)
class Wish:
    """Says how it is asked, what about ("kind", "thing", "place", "theme", "two", "name", "mixed"), and the focus."""

    manner: str
    about: str
    focus: Focus
    theme: str = ""


@dataclass(frozen=True)
class Wording:
    """Holds a wish in words: the prompt, the roles that it names, what it asks for, and the sentence that answers it.

    `about` is the wish's own, "theme" with whatever else, "where" something happens, "deed" that somebody does, BAD for what is
    not told, or OWN for somebody's own beginning, which stands in the story and not in the prompt.
    """

    prompt: str = ""
    asked: tuple[str, ...] = ()
    about: str = ""
    lead: str = ""


@lru_cache(maxsize=None)
def _catalogue() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Lists kinds of heroes, nouns and places that some plot has a role for, and the themes with their plots."""
    kinds: set[str] = set()
    nouns: set[str] = set()
    places: set[str] = set()
    themes = []
    for plot in (plot for plot in library().plots.values() if not plot.follows):
        kinds |= {kind.noun for kind in allowed_kinds(plot.cast["A"])}
        for words in plot.things.values():
            nouns |= {noun.word for noun in allowed_nouns(words)}
        for words in plot.places.values():
            places |= {place.noun for place in allowed_places(words) if "sea" not in place.groups}
        themes += [(theme, plot.name) for theme in _themes(plot)]
    return tuple(sorted(kinds)), tuple(sorted(nouns)), tuple(sorted(places)), tuple(sorted(themes))


def topics() -> list[str]:
    """Lists everything a prompt asks for by name: kinds, common things, places and themes."""
    kinds, nouns, places, themes = _catalogue()
    lex = lexicon.load()
    found = [article(kind) for kind in kinds]
    found += [article(noun) if lex.nouns[noun].number == "one" else noun for noun in nouns if noun in lex.common]
    found += [f"the {place}" for place in places]
    return list(dict.fromkeys(found + [theme for theme, _ in themes]))


def draw(rng: random.Random, held_out: bool) -> Wish:
    """Draws a wish; its focus says what the story must have."""
    wish = _drawn(rng.choices([name for name, _ in _SHARES], [share for _, share in _SHARES])[0], rng, held_out)
    if wish.about == OWN and rng.random() < _NAMELESS:
        return replace(wish, focus=replace(wish.focus, name="", gender=""))
    return wish


def draw_unheard(rng: random.Random) -> Wish:
    """Draws a wish, or a beginning, that gives a name or a noun which nobody has heard of."""
    return _drawn(rng.choice((UNKNOWN, UNKNOWN, OWN)), rng, False)


def _drawn(manner: str, rng: random.Random, held_out: bool) -> Wish:
    kinds, nouns, places, themes = _catalogue()
    lex = lexicon.load()
    if manner in (NOTHING, ODD, BAD):
        return Wish(manner, "", Focus(held_out=held_out, teller=True, present=rng.random() < _PRESENT))
    if manner == OWN:
        gender = rng.choice("fm")
        return Wish(manner, OWN, Focus(name=_name(gender, manner, rng, held_out), gender=gender, held_out=held_out,
                                       present=rng.random() < _PRESENT, own=True))
    about = rng.choices(("kind", "thing", "place", "theme", "two", "name", "mixed"), (18, 16, 28, 26, 15, 11, 10))[0]
    if manner == UNKNOWN:
        about = rng.choice(("name", "thing", "thing", "kind"))
        if about != "name" and rng.random() < 0.7:
            return _never_heard_of(about, rng, held_out)
    kind, thing, name, place, plot, theme = "", "", "", "", "", ""
    if about in ("kind", "two", "mixed") or about == "name" and rng.random() < 0.6:
        kind = rng.choice(kinds)
    if about == "thing" or about == "mixed" and rng.random() < 0.6:
        nouns = tuple(noun for noun in nouns if lexicon.held_out(noun) == held_out)
        common = [noun for noun in nouns if noun in lex.common]
        thing = rng.choice(common if common and manner != UNKNOWN and rng.random() < 0.4 else nouns)
    if about == "place" or about == "mixed" and not thing:
        place = rng.choice(places)
    gender = rng.choice("fm")
    if about == "theme":
        theme, plot = rng.choice(themes)
    if kind and lex.kinds[kind].gender:
        gender = lex.kinds[kind].gender
    if about == "name":
        name = _name(gender, manner, rng, held_out)
    present = rng.random() < _PRESENT / 4
    trait = rng.choice(lex.traits_asked + 2 * lex.traits_passing) if about == "kind" and rng.random() < _ANY_TRAIT else ""
    focus = Focus(plot, (kind,) if kind else (), thing, place, name, gender, trait, held_out, present, about in ("theme", "thing", "place"),
                  two=about == "two")
    return Wish(manner, about, focus, theme)


def _name(gender: str, manner: str, rng: random.Random, held_out: bool) -> str:
    """Draws a name that a wish gives its hero."""
    lex = lexicon.load()
    while True:
        if rng.random() >= _MADE_UP[manner]:
            name = rng.choice(lex.names[gender])
        else:
            name = lex.coined(rng).capitalize() if rng.random() < _COINED else lex.made_up_name(gender, rng)
        if lexicon.held_out(name) == held_out and name not in lex.names[lexicon.OTHER[gender]]:
            return name


def _never_heard_of(about: str, rng: random.Random, held_out: bool) -> Wish:
    """Draws a wish for a thing or a kind that no plot knows: made up of syllables, of two words, or a thing's name that is
    heard nowhere else."""
    lex = lexicon.load()
    while True:
        draw = rng.random()
        if about == "thing" and draw < 0.35:
            word = rng.choice(lex.unheard)
        elif draw < 0.8:
            word = lex.coined(rng) if rng.random() < _COINED else lex.made_up_name(rng.choice("fm"), rng).lower()
        else:
            first = rng.choice(tuple(lex.nouns))
            second = rng.choice(tuple(lex.nouns) if about == "thing" else tuple(lex.kinds))
            word = f"{first.split()[-1]} {second.split()[-1]}"
        known = word in lex.nouns or word in lex.kinds
        if lexicon.held_out(word) == held_out and not known and len(set(word.split())) == len(word.split()):
            break
    if about == "kind":
        return Wish(UNKNOWN, about, Focus(kinds=(word,), held_out=held_out))
    return Wish(UNKNOWN, about, Focus(thing=word, thing_class=rng.choice(("toy", "shiny", "house", "box", "tool")), held_out=held_out))


def write(wish: Wish, world: World, story: str, plot: Plot, rng: random.Random) -> Wording:
    """Writes the prompt of a wish for a story that has been told, and the sentence with which the answer begins."""
    if wish.manner in (NOTHING, OWN):
        return Wording(about=OWN if wish.manner == OWN else "")
    if wish.manner == ODD:
        return Wording(_odd(rng))
    if wish.manner == BAD:
        return Wording(forbidden.draw(rng, _catalogue()[0]), (), BAD, rng.choice(forbidden.INSTEAD))
    if wish.manner == CHILD and wish.about != "name" and rng.random() < 0.35:
        where, roles = _where(world, plot, story, rng)
        if where:
            return Wording(rng.choice(ASKS_WHERE).format(where), roles, "where")
    topic, asked = _topic(wish, world, story, plot, rng)
    theme, about = wish.theme, wish.about
    deed, roles = _deed(wish, world, plot, story, rng) if rng.random() < _DEEDS else ("", ())
    if deed:
        named = topic == world.persons["A"].name
        topic, asked = deed if theme else f"{topic}{',' * named} who {deed}", (() if theme else asked) + roles
        theme, about = "", "deed"
    elif wish.about not in ("theme", "mixed") and wish.manner in (WISH, CHILD) and plot.themes and rng.random() < _AND_A_THEME:
        theme = rng.choice(_themes(plot))
        topic += f" and {theme}"
    told_of = topic[: len(topic) - len(theme)] + _themes(plot)[0] if theme else topic
    form, words = (ASKS_AS_A_CHILD, topic.lower()) if wish.manner == CHILD else (ASKS, topic)
    if wish.manner == CHILD and wish.about == "kind" and rng.random() < _MINE:
        words = re.sub("^an? ", "my ", words)
    return Wording(rng.choice(form).format(words), asked, "theme" if theme else about, _SAYS_WHAT_OF.format(told_of))


_DONE_TO_IT = (("lost {A.his} {%s.n}", "lost"), ("broke a {%s.n}", "broken"))
_SAYS_WHAT_OF = "This is a story about {}."


def without_lead(text: str) -> str:
    """Takes away the sentence that says what a story is about, which is not telling of it.

    A model learns to say again what it was asked for long before it learns to tell of it, and then tells of what it said:
    a theme by the name its plot is best known by.
    """
    return re.sub("^" + re.escape(_SAYS_WHAT_OF).replace(r"\{\}", "[^.]*"), "", text)


def _themes(plot: Plot) -> tuple[str, ...]:
    """Lists the themes of a plot that can be asked for, the one it is best known by first."""
    return tuple(theme for theme in plot.themes if "{" not in theme)


@lru_cache(maxsize=None)
def _odd_prompts() -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(lines) for lines in lexicon.sections(lexicon.FOLDER / "prompts.txt").values())


def _odd(rng: random.Random) -> str:
    """Draws a question, another language, or something that is no wish at all; any story answers it."""
    lex = lexicon.load()

    def word(match: "re.Match[str]") -> str:
        return {"d": str(rng.randrange(1, 100)), "noun": rng.choice(tuple(lex.nouns)), "kind": rng.choice(tuple(lex.kinds)),
                "junk": "".join(rng.choice("abcdefghijklmnopqrstuvwxyzäöüéß?!.,;:-0123456789 ") for _ in range(rng.randrange(3, 16))),
                "name": rng.choice(lex.names[rng.choice("fm")])}[match.group(1)]

    return re.sub(r"\{(\w+)\}", word, rng.choice(rng.choice(_odd_prompts()))).strip() or "?"


def answered(wish: Wish, story: str) -> bool:
    """Tells whether the story names every kind, trait, thing and place that the wish is about."""
    words = (*wish.focus.kinds, wish.focus.thing, wish.focus.place, wish.focus.name, wish.focus.trait)
    return all(re.search(rf"\b{re.escape(word)}\b", story, re.I) for word in words if word)


def fill(text: str, world: World) -> tuple[str, tuple[str, ...]]:
    """Returns a theme with its slots filled from the world, and the roles they name."""
    roles = []

    def word(match: "re.Match[str]") -> str:
        key, _, case = match.group(1).partition(".")
        if case != "his":
            roles.append(key)
        if key in world.persons:
            person = world.persons[key]
            noun = f"{person.trait} {person.kind.noun}" if case == "tk" else person.kind.noun
            return person.name if case == "n" else PRONOUNS[person.gender][2] if case == "his" else noun
        if key in world.things:
            return world.things[key].noun.word
        if key in world.places:
            place = world.places[key]
            return f"{place.at} the {place.noun}" if case == "at" else f"the {place.noun}"
        return world.values[key]

    filled = re.sub(r"\{([^{}]+)\}", word, text)
    return re.sub(rf"\ba (?={VOWEL})", "an ", filled), tuple(roles)


def _where(world: World, plot: Plot, story: str, rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """Says what happens in the story, as a clause: "a dragon loses a kite"."""
    if not plot.wants:
        return "", ()
    text, roles = fill(rng.choice(plot.wants), world)
    return (text.lower(), roles) if _all_told(roles, world, story) else ("", ())


def _deed(wish: Wish, world: World, plot: Plot, story: str, rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """Says what somebody does in the story, as it stands after "who": "lost her hat"; of a theme's plot with who it is.

    Returns it and the roles that it names, or "" where the wish is for nobody.
    """
    friends = wish.about == "two" or wish.about == "theme" and plot.shared and rng.random() < 0.4
    deeds = plot.shared if friends else plot.deeds
    if wish.about not in ("kind", "name", "two", "theme") or not deeds:
        return "", ()
    text, roles = fill(rng.choice(deeds), world)
    if not _all_told(roles, world, story):
        return "", ()
    if rng.random() < 0.3:
        subject = "They " if friends else "Somebody "
        try:
            text = tense.present(subject + text + ".")[len(subject):-1]
        except tense.Unsure:
            return "", ()
    if wish.about != "theme":
        return text, roles
    who = "two friends" if friends else rng.choice(("somebody", "someone", article(world.persons["A"].kind.noun)))
    roles = roles if who.startswith(("two", "some")) else ("A", *roles)
    return (f"{who} {rng.choice(('who', 'who', 'that'))} {text}", roles) if _all_told(roles, world, story) else ("", ())


def _all_told(roles: tuple[str, ...], world: World, story: str) -> bool:
    words = [world.persons[role].kind.noun for role in roles if role in world.persons]
    words += [world.things[role].noun.word for role in roles if role in world.things]
    words += [world.places[role].noun for role in roles if role in world.places]
    return all(re.search(rf"\b{re.escape(word)}\b", story, re.I) for word in words)


def _thing(world: World, role: str, rng: random.Random) -> str:
    noun = world.things[role].noun
    return article(noun.word) if noun.number == "one" else rng.choice((f"some {noun.word}", noun.word))


def _hows(plot: Plot, thing: str) -> list[str]:
    """Lists what a plot makes of a thing: "lost", where its hero loses it."""
    return [how for did, how in _DONE_TO_IT if any(deed.startswith(did % thing) for deed in plot.deeds)]


def _topic(wish: Wish, world: World, story: str, plot: Plot, rng: random.Random) -> tuple[str, tuple[str, ...]]:
    hero = world.persons["A"]
    kind = article(hero.kind.noun)
    thing = next((role for role, one in world.things.items() if one.noun.word == wish.focus.thing), "")
    place = next((role for role, one in world.places.items() if one.noun == wish.focus.place), "")
    options: Sequence[tuple[str, tuple[str, ...]]] = []
    if wish.about == "theme":
        options = [(wish.theme, ())] * 3 + [(f"{kind} and {wish.theme}", ("A",))]
    elif wish.about == "thing" and thing:
        what = _thing(world, thing, rng)
        options = [(what, (thing,))] * 4 + [(f"{kind} and {what}", ("A", thing)), (f"{kind} with {what}", ("A", thing))]
        options += [(f"a {how} {wish.focus.thing}", (thing,)) for how in _hows(plot, thing)]
    elif wish.about == "place" and place:
        at = f"{world.places[place].at} the {wish.focus.place}"
        options = [(f"the {wish.focus.place}", (place,))] * 2 + [(f"{kind} {at}", ("A", place))]
    elif wish.about == "mixed":
        other = _thing(world, thing, rng) if thing else f"the {wish.focus.place}"
        options = [(f"{kind} and {other}", ("A", thing or place)),
                   (f"{article(hero.trait)} {hero.kind.noun} and {other}", ("A", thing or place)),
                   (f"{kind} named {hero.name} and {other}", ("A", thing or place)),
                   (f"{hero.name} and {other}", ("A", thing or place))]
    elif wish.about == "name":
        options = [(f"{kind} named {hero.name}", ("A",)), (f"{kind} called {hero.name}", ("A",)),
                   (f"{hero.name} the {hero.kind.noun}", ("A",)), (hero.name, ("A",)),
                   (f"{article(hero.trait)} {hero.kind.noun} named {hero.name}", ("A",))]
    elif wish.about == "two" and "B" in world.persons and world.persons["B"].name:
        friend = world.persons["B"]
        options = [(f"{kind} and {article(friend.kind.noun)}", ("A", "B"))] * 3 + [
            (f"{hero.name} and {friend.name}", ("A", "B")),
            (f"{kind} named {hero.name} and {article(friend.kind.noun)} named {friend.name}", ("A", "B"))]
    else:
        options = [(f"{article(hero.trait)} {hero.kind.noun}", ("A",)), (f"{kind} {rng.choice(WHO)} is {hero.trait}", ("A",))]
        options = options if wish.focus.trait else [(kind, ("A",))] * 3 + options[:1]
    fitting = [option for option in options if _all_told(option[1], world, story)]
    trait = [option for option in fitting if hero.trait in story or hero.trait not in option[0]]
    return rng.choice(trait or fitting or [(hero.name, ("A",))])
