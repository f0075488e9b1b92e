"""Reads a told story again and compares it with its event log; knows nothing of the forms it was told with.

Works on the text alone wherever the text says enough: it finds the persons, pronouns, quotations, articles and things
itself, resolves every pronoun by its own rule, and then asks the log whether that is who was meant.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from . import lexicon
from .planner import library
from .prompts import OWN
from .story import Document, words_of
from .world import Person, bound

_GENDER = {"he": "m", "him": "m", "his": "m", "himself": "m", "she": "f", "her": "f", "hers": "f", "herself": "f"}
_CAPITALS = set("I Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Tuesdays Sundays Fridays "
                "Saturdays Wednesdays Thursdays January February March April May June July August September October November "
                "December South North Pole Grandma Grandpa Mom Dad Captain Doctor Little Young Poor".split())
_SENTENCE = re.compile(r'(?<=[.!?])(?:"?)\s+')
_PRONOUN = re.compile(r"\b(?:he|him|his|himself|she|her|hers|herself)\b", re.I)
# Counts the words from which on a sentence must not come twice in a story.
_LONG = 5


@lru_cache(maxsize=None)
def _ambient() -> tuple[frozenset[str], dict[str, str]]:
    """Lists nouns that need no introduction, and bystanders with their gender."""
    found = lexicon.sections(lexicon.FOLDER / "ambient.txt")
    ambient = frozenset(word.strip() for line in found["ambient"] for word in line.split(","))
    return ambient, {word.strip(): gender for gender in "fm" for line in found[f"bystanders {gender}"]
                     for word in line.split(",")}


def check(document: Document) -> list[str]:
    """Lists everything that is wrong with a document, a line each; empty when nothing is."""
    return [fault for test in (_form, _articles, _capitals, _names, _pronouns, _definites, _possession, _repetition, _tense, _asked)
            for fault in test(document)]


def _narration(text: str) -> str:
    """Returns the text with every letter inside quotation marks blanked, so that positions stay."""
    def blank(match: "re.Match[str]") -> str:
        return '"' + re.sub(r"\w", "_", match.group()[1:-1]) + '"'
    return re.sub(r'"[^"\n]*"', blank, text)


def _form(document: Document) -> Iterator[str]:
    for paragraph in document.story.split("\n"):
        if paragraph.count('"') % 2:
            yield f"quotes: not balanced in {paragraph[:60]!r}"
        if not paragraph or paragraph.rstrip('"')[-1:] not in (".", "!", "?"):
            yield f"end: {paragraph[-30:]!r} does not end a sentence"
    for pattern in (r"  |\n | \n|^ | $", r" [.,!?]", r"\.\.", r"[{}\[\]|~<>+_\x00-\x09]", r"\?[^\W\d_]", r",[.!?]", r"[.!?],",
                    r"\b(\w+) \1\b(?<!had had)"):
        match = re.search(pattern, document.story)
        if match:
            yield f"form: {document.story[max(0, match.start() - 30):match.end() + 20]!r} has {pattern}"


def _articles(document: Document) -> Iterator[str]:
    for match in re.finditer(r"\b(an?) (\w+)", document.story, re.I):
        vowel = match.group(2)[0] in "aeiouAEIOU" and not re.match(r"(?i)uni|use|one\b|once\b|uku", match.group(2))
        vowel = vowel or re.match(r"hour|honest", match.group(2)) is not None
        if (len(match.group(1)) == 2) != vowel:
            yield f"article: {match.group()!r}"


def _capitals(document: Document) -> Iterator[str]:
    story = document.story
    if not story[0].isupper() and story[0] != '"' and story[0].isalpha():
        yield f"capital: the story begins {story[:20]!r}"
    for match in re.finditer(r"[.!?] ([^\W\d_])", story):
        if match.group(1).islower():
            yield f"capital: {story[max(0, match.start() - 20):match.end() + 20]!r}"


def _names(document: Document) -> Iterator[str]:
    """Checks that no capitals stand inside a sentence but the story's names, and that every person of the log with a name is
    named."""
    known = {word for person in document.told.world.persons.values() for word in words_of(person.name)} | _CAPITALS
    for match in re.finditer(r"(?<=[^\W\d_,;] )([A-Z]\w+)", document.story):
        if match.group(1) not in known:
            yield f"name: {match.group(1)!r} is nobody of this story"
    for person in document.told.world.persons.values():
        happened = any(person.role in event.roles for event in document.log)
        named = happened and person.role != document.told.narrator and person.name
        if named and not re.search(rf"\b{re.escape(person.name)}\b", document.story):
            yield f"name: {person.name} is never named"


def _introduced(person: Person, before: str) -> bool:
    named = person.name and re.search(rf"\b{re.escape(person.name)}\b", before)
    return bool(named or re.search(rf"\b{re.escape(person.kind.noun)}\b", before))


def _sentence_start(narration: str, at: int) -> int:
    ends = [match.end() for match in re.finditer(r'[.!?]"?\s', narration[:at])]
    return ends[-1] if ends else 0


def _pronouns(document: Document) -> Iterator[str]:
    """Checks that every pronoun of the narration means one person, and it is the one that the log says."""
    story, narration = document.story, _narration(document.story)
    persons = [person for person in document.told.world.persons.values() if person.name
               and person.role != document.told.narrator]
    logged = {reference.start: reference.role for reference in document.told.references}
    bystanders = _ambient()[1]
    for match in _PRONOUN.finditer(narration):
        gender = _GENDER[match.group().lower()]
        start = _sentence_start(narration, match.start())
        role = logged.get(match.start())
        if role is None:
            near = story[max(0, start - 120):match.start()].lower()
            if not any(re.search(rf"\b{word}\b", near) for word, one in bystanders.items() if one == gender):
                yield f"pronoun: {story[max(0, match.start() - 40):match.end() + 10]!r} means nobody"
            continue
        person = document.told.world.persons[role]
        if person.gender != gender:
            yield f"gender: {match.group()!r} for {person.name}"
        rivals = [one for one in persons if one.gender == gender and one.role != role
                  and _introduced(one, story[:match.start()])]
        if not rivals:
            continue
        # Look at the sentence where another of this gender is there: this one must be named in the sentence, and the other not.
        inside = narration[start:match.start()]
        if any(re.search(rf"\b(?:{re.escape(one.name)}|{re.escape(one.kind.noun)})\b", inside) for one in rivals):
            yield f"pronoun: {story[start:match.end()]!r} may mean {rivals[0].name} or {person.name}"
        elif not re.search(rf"\b(?:{re.escape(person.name)}|{re.escape(person.kind.noun)})\b", inside):
            yield f"pronoun: {story[start:match.end()]!r} names nobody"


def _definites(document: Document) -> Iterator[str]:
    """Checks that "the X" of a noun of the lexicon stands only after an X, unless an X is always there."""
    story = document.story
    lex = lexicon.load()
    nouns = lex.nouns.keys() | lex.kinds.keys()
    ambient = _ambient()[0]
    hero = document.told.world.persons["A"].kind.noun.split()
    for match in re.finditer(r"\b[Tt]he ((?:\w+ )?)(\w+)\b", _narration(story)):
        both = (match.group(1) + match.group(2)).lower()
        if re.search(r"\b[A-Z]\w* $", story[:match.start()]) and not re.search(r"\b(?:And|But|Then|So) $", story[:match.start()]):
            continue  # Mia the fox
        noun = both if both in nouns else match.group(2).lower()
        if match.group(2) not in nouns and match.group(1).strip() in nouns:
            noun = match.group(1).strip()
        if noun not in nouns or noun in ambient or both in ambient:
            continue
        if match.start() < document.log[0].end and (document.about == OWN or noun.split()[-1] in hero):
            continue  # a story may begin with "The little robot", and a beginning of somebody's own with anything
        if match.group(2)[0].isupper():
            continue  # the morning Lily woke up
        if not re.search(rf"\b{re.escape(noun)}\b", story[:match.start()], re.I):
            yield f"definite: {match.group()!r} before any {noun}"


def _possession(document: Document) -> Iterator[str]:
    """Checks that a thing is somebody's only once the log has given it to them."""
    events = library().events
    world = document.told.world
    had: set[tuple[str, str]] = set()
    narration = _narration(document.story)
    for happening in document.log:
        if happening.event in events:
            event = events[happening.event]
            bind = dict(zip(event.letters, happening.roles))
            for effect in event.effects:
                fact = bound(effect, bind)
                if fact[0] == "has" and len(fact) == 3:
                    had.add((fact[1], fact[2]))
        elif happening.event == "opening":
            had |= {("A", role) for role in happening.roles if role in world.things}
        for reference in document.told.references:
            if not happening.start <= reference.start < happening.end:
                continue
            if not any(reference.role in one.roles for one in document.log if one.start <= reference.start < one.end):
                yield f"role: {reference.words!r} has no part in {happening.event}"
            after = narration[reference.start + len(reference.words):][:40]
            owner = reference.words.lower() in ("his", "her", "my") or reference.words.endswith("'s")
            for role, thing in world.things.items():
                if owner and re.match(rf" (?:(?!an? |the |some |his |her |my )\w+ )?{re.escape(thing.noun.word)}\b", after):
                    if (reference.role, role) not in had:
                        yield f"possession: {reference.words} {thing.noun.word} in {happening.event}"


def _repetition(document: Document) -> Iterator[str]:
    seen = set()
    for sentence in re.split(r'(?<=[.!?])"?\s+', document.story):
        words = tuple(words_of(sentence.lower()))
        if len(words) >= _LONG and words in seen:
            yield f"repeated: {sentence!r}"
        seen.add(words)


def _tense(document: Document) -> Iterator[str]:
    """Checks that a story of the present has nothing of the past in its telling but what "has" and "have" tell."""
    past = r"(?<!has )(?<!have )(?<!never )(?<!ever )\b(was|were|had|did|said|asked|went|came|wanted|took|saw|could|would)\b"
    if document.told.present and (match := re.search(past, _narration(document.story), re.I)):
        yield f"tense: {match.group()!r} in a story of the present"
    elif not document.told.present and re.search(r"\b(says|asks|goes)\b", " ".join(
            document.story[one.start:one.end] for one in document.log[1:-2])) and not document.told.narrator:
        narration = _narration(" ".join(document.story[one.start:one.end] for one in document.log[1:-2]))
        if len(re.findall(r"\b(?:says|asks|goes|walks|runs|takes|looks)\b", narration)) > 2:
            yield "tense: the present in a story of the past"


def _asked(document: Document) -> Iterator[str]:
    """Checks that what the prompt names is told of and takes part in an event."""
    world, low = document.told.world, document.story.lower()
    for role in document.asked:
        if role in world.persons:
            person = world.persons[role]
            word = person.kind.noun if re.search(rf"\b{re.escape(person.kind.noun)}\b", document.prompt) else person.name.lower()
        elif role in world.things:
            word = world.things[role].noun.word
        elif role in world.places:
            word = world.places[role].noun
        else:
            continue
        if not re.search(rf"\b{re.escape(word)}\b", low):
            yield f"asked: {word} is not told of"
        if not any(role in happening.roles for happening in document.log):
            yield f"asked: {word} has no part in any event"
