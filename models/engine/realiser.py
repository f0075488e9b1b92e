"""Makes words of slots: names, pronouns and articles that can't refer to the wrong one.

A person is "he" or "she" only where nobody else could be meant: nobody else of that gender has been told of, or
nobody else of that gender stands in the same sentence.  "The X" is said only of what has been told of; before that
the same slot says "a X".
"""

import random
import re
from collections.abc import Mapping

from . import tense
from .forms import Slot, expand
from .world import Person, Reference, Thing, World

PRONOUNS = {"f": ("she", "her", "her", "herself"), "m": ("he", "him", "his", "himself"),
            "i": ("I", "me", "my", "myself")}
_CASES = {"": 0, "he": 0, "n": 0, "the": 0, "intro": 0, "some": 0, "kind": 0, "o": 1, "him": 1, "s": 2, "his": 2, "self": 3}
_FORCED = {"he", "him", "his", "self"}
_MARK = "(?:\x01\\w+\x02)?"
_ARTICLE = re.compile(rf"\b([Aa]) ({_MARK})(?=[aeiouAEIOU])(?!\x01|uni|use|one\b|once\b|uku|Uni)|\b([Aa]) ({_MARK})(?=hour|honest)")
_ENDS = re.compile(r'"|[.!?]+(?=[\s"]|$)')
_SPEECH = ("said|asked|called|cried|shouted|whispered|laughed|answered|wondered|thought|sang|giggled|sighed|squeaked|"
           "mumbled|yelled|replied|begged|went|sobbed|explained|announced|murmured|grumbled|puffed|gasped|added|"
           "told|nodded|admitted|agreed|promised|muttered|sniffed|declared|yawned|hummed|suggested|boomed|warned|"
           "insisted|repeated|counted|guessed|exclaimed|says|asks|calls|shouts|cries|say|cry|shout|panted|answers")
# Matches who has just said something, where a gesture may follow: "Oh," said Mia | and rubbed her nose.
_SAID = re.compile('[,!?]" (?:(?:said|asked) \x01(\\w)\x02[^\x04]*\x04|\x01(\\w)\x02[^\x04]*\x04 (?:said|asked))$')
_GESTURES = 0.1
_CONTROL = re.compile("\x01\\w+\x02|[\x03\x04]")
_TAG = re.compile(rf"^ (?:(?:{_SPEECH}|roared|came)\b|(?:the )?[\w' -]+? (?:{_SPEECH})\b)")


_WE = {"They": "We", "they": "we", "Their": "Our", "their": "our"}
_BASE = {verb: verb for verb in "want say show know sing keep wave stop call tell look ask like play".split()} | {"go": "go"}
_CLAUSES = set("and that when while because but so then as if until before after what where once than how why whenever "
               "since or suddenly again still there now here today maybe soon first later next "
               "sometimes once only also never".split())
_PREPOSITIONS = set("to from with for of at beside behind near about around on under past by over".split())


class Realiser:
    """Tells clause forms one after another.  `rng` decides everything that may vary."""

    def __init__(self, world: World, passages: Mapping[str, tuple[str, ...]], rng: random.Random,
                 narrator: str = "") -> None:
        self.world = world
        self.passages = passages
        self.rng = rng
        self.present = False  # tells whether it is told in the present; `finish` raises tense.Unsure where it can't be
        self.needs_kind = True  # tells whether the hero's kind has to be told
        self.narrator = narrator  # names the role that says "I", if one does
        self.raw = ""
        self.known: set[str] = set()
        self.touched: set[str] = set()  # holds the things and places that the present event tells of
        self._quoted = False
        self._after_comma = False
        self._sentence = 0
        self._seen: dict[str, int] = {}
        self._here: set[str] = set()
        self._run: dict[str, int] = {}
        self._named: set[str] = set()
        self._kinded: set[str] = set()
        self._fixed: dict[tuple[str, str], str] = {}

    def tell(self, form: str, bind: Mapping[str, str]) -> None:
        """Adds one form, its letters standing for the roles in `bind`."""
        for part in expand(form, self.passages, self.rng, self.world.values):
            if isinstance(part, Slot):
                self._slot(bind.get(part.key, part.key), part.case)
            else:
                if part.startswith(".") and self.rng.random() < _GESTURES:
                    self._gesture()
                self._literal(self._as_teller(part) if self.narrator else part)
        self.raw = self.raw.rstrip(" ")

    def _gesture(self) -> None:
        """Tells what somebody does who has just spoken, where it is clear whose nose that is; nothing that was told before."""
        said = _SAID.search(self.raw[-80:])
        role = (said.group(1) or said.group(2)) if said else ""
        if role and role != self.narrator and self.world.persons[role].name and self._clear(self.world.persons[role]):
            before = self.raw
            self.raw += " "
            self.tell("{@gesture}", {"A": role})
            if self.raw[len(before):] in before:
                self.raw = before

    def _as_teller(self, text: str) -> str:
        """Puts a form's own words as the hero says them: "they" are the hero and the friend, so "we"."""
        pieces = text.split('"')
        for i in range(int(self._quoted), len(pieces), 2):
            pieces[i] = re.sub(r"\b(They|they|Their|their)\b", lambda match: _WE[str(match.group())], pieces[i])
        return '"'.join(pieces)

    def gap(self) -> None:
        """Puts a space before what comes next, unless a paragraph begins with it."""
        if self.raw and not self.raw.rstrip("\x03").endswith("\n"):
            self.raw += " "

    def paragraph(self) -> None:
        """Begins a paragraph, in which everybody is named anew."""
        if self.raw and not self.raw.endswith("\n"):
            self.raw += "\n"
            self._sentence += 2
            self._here.clear()

    def _literal(self, text: str) -> None:
        if self.raw.rstrip("\x03")[-1:] in ("", " ", "\n"):
            text = text.lstrip(" ")  # what was to stand before it said nothing
        start = len(self.raw)
        self.raw += text
        for match in _ENDS.finditer(text):
            if match.group() == '"':
                self._quoted = not self._quoted
                before = self.raw[:start + match.start()].rstrip(" ")[-1:]
                if self._quoted:
                    self._after_comma = before == ","
                elif before != "." and not (self._after_comma and before in "!?"):
                    continue  # the sentence goes on: "Why?" she asked.
            if not self._quoted:
                self._sentence += 1
                self._here.clear()

    def _slot(self, key: str, case: str) -> None:
        if key in self.world.persons:
            self._person(self.world.persons[key], case)
        elif key in self.world.things:
            self._literal(self._thing(self.world.things[key], case))
        elif key in self.world.places:
            self._literal(self._place(key, case))
        elif key in self.world.values:
            # A value may hold slots of its own.
            for part in expand(self.world.values[key], self.passages, self.rng):
                if isinstance(part, Slot):
                    self._slot(part.key, part.case)
                else:
                    self._literal(part)
        else:
            raise ValueError(f"slot {{{key}}} names nothing in this story; bind it or let the plot have it")

    def _person(self, person: Person, case: str) -> None:
        if case == "k":
            self._literal(person.kind.noun)
            self._mention(person.role)
            self._kinded.add(person.role)
            return
        if case in ("t", "any"):
            self._literal(person.trait if case == "t" else f"a {person.kind.noun}")
            return
        if person.role == self.narrator and not self._quoted:
            words = self._mine(case)
        else:
            words = self._words(person, self._position() if case == "" else case)
        self._mention(person.role)
        if person.name in words:
            self._named.add(person.role)
        if re.search(rf"\b{re.escape(person.kind.noun)}\b", words):
            self._kinded.add(person.role)
        self.raw += f"\x01{person.role}\x02{words}\x04"

    def _mention(self, role: str) -> None:
        self.known.add(role)
        if not self._quoted:
            self._seen[role] = self._sentence
            self._here.add(role)

    def _mine(self, case: str) -> str:
        """Says how the hero who tells the story speaks of itself; "said Mia" becomes "I said"."""
        if verb := re.search(rf"\b({_SPEECH}) $", self.raw) if case in ("n", "some") else None:
            self.raw = self.raw[:verb.start()]
            return f"I {verb.group(1)}"
        if case in ("", "n", "some"):
            return PRONOUNS["i"][0 if self._position() == "" else 1]
        return PRONOUNS["i"][_CASES[case]]

    def _position(self) -> str:
        """Finds the case of a slot that says none: subject at the beginning of a clause, object after a preposition."""
        before = _CONTROL.sub("", self.raw[-40:]).rstrip(" ")
        if not before or before[-1] in '.!?",\n':
            return ""
        word = re.split(r"[\s\"]", before)[-1].lower()
        return "" if word in _CLAUSES else "o" if word in _PREPOSITIONS else "n"

    def _words(self, person: Person, case: str) -> str:
        role, column = person.role, _CASES[case]
        tail = "'s" if column == 2 else ""
        kind = f"the {person.kind.noun}"
        if not person.name:
            first = role not in self.known
            return (f"a {person.trait} {person.kind.noun}" if first else kind) + tail
        if role not in self.known or case in ("the", "intro", "some"):
            return self._introduction(person, case) + tail
        if not self._quoted and case != "n" and self._clear(person):
            near = role in self._here
            chance = 1.0 if case in _FORCED or column == 2 or near and column else 0.9 if near else 0.45
            if (self._run.get(role, 0) < 3 or near and column) and self.rng.random() < chance:
                self._run[role] = self._run.get(role, 0) + 1
                return PRONOUNS[person.gender][column]
        self._run[role] = 0
        if not self._quoted and case in ("", "o", "kind", "n") and role in self._named & self._kinded and self._only_kind(person):
            if self.rng.random() < (1.0 if case == "kind" else 0.12):
                return kind
        return person.name + tail

    def _introduction(self, person: Person, case: str) -> str:
        if case == "some" and not self._quoted:
            return self._somehow(person)
        child = person.kind.group == "child"
        if self._quoted or case == "n" and (person.role == "A" or person.role in self.known):
            return person.name
        if case == "intro" or child and person.role not in self.known:
            return f"a {person.trait} {person.kind.noun} named {person.name}"
        return person.name if child else f"{person.name} the {person.kind.noun}"

    def _somehow(self, person: Person) -> str:
        """Makes an introduction, of one of many kinds; where the kind need not be told, often the name alone."""
        if not self.needs_kind and self.rng.random() < 0.3:
            return person.name
        kind, trait = person.kind.noun, person.trait
        return self.rng.choice((f"a {trait} {kind} named {person.name}", f"a {kind} named {person.name}",
                                f"{person.name} the {kind}",
                                f"a {trait} {kind} called {person.name}"))

    def _clear(self, person: Person) -> bool:
        """Tells whether a pronoun here could mean nobody but this person."""
        far = self._sentence - self._seen.get(person.role, -9)
        rivals = {other.role for other in self.world.persons.values()
                  if other.role != person.role and other.gender == person.gender and other.name
                  and other.role in self.known and other.role != self.narrator}
        return not rivals and far <= 2 or (person.role in self._here and not rivals & self._here)

    def _only_kind(self, person: Person) -> bool:
        others = (other for other in self.world.persons.values() if other is not person)
        return ("plain", person.role) not in self.world.facts and all(other.kind.noun != person.kind.noun for other in others)

    def _thing(self, thing: Thing, case: str) -> str:
        plural = thing.noun.number == "many"
        if case in ("it", "is", "was", "has", "them"):
            return {"it": "them" if plural else "it", "is": "are" if plural else "is", "them": "them",
                    "was": "were" if plural else "was", "has": "have" if plural else "has"}[case]
        if case == "subj":
            return "they" if plural else "it"
        if case == "any":  # any such thing, not the one of the story
            return thing.noun.word if plural else f"a {thing.noun.word}" if thing.noun.number == "one" else f"some {thing.noun.word}"
        if case in ("n", "an", "the", "a", ""):
            return self._noun_phrase(thing, case)
        if case == "adj":
            return thing.adjective
        return self._affordance(thing, case)

    def _noun_phrase(self, thing: Thing, case: str) -> str:
        word = thing.noun.word
        before = thing.role in self.known
        self.known.add(thing.role)
        self.touched.add(thing.role)
        if case == "n":
            return word
        one = "a" if thing.noun.number == "one" else "some"
        if case == "an":
            return f"{one} {word}"
        if case == "a" or not before and case == "":
            return f"{one} {thing.adjective} {word}" if thing.adjective and self.rng.random() < 0.75 else f"{one} {word}"
        if not self._quoted and case == "":
            for owner in self.world.persons.values():
                if ("has", owner.role, thing.role) in self.world.facts and owner.role in self.known and owner.name:
                    if (owner.role == self.narrator or owner.role in self._here and self._clear(owner)):
                        if self.rng.random() < 0.4:
                            own = PRONOUNS["i" if owner.role == self.narrator else owner.gender][2]
                            return f"\x01{owner.role}\x02{own}\x04 {word}"
        if thing.adjective and self.rng.random() < 0.12:
            return f"the {thing.adjective} {word}"
        return f"the {word}"

    def _affordance(self, thing: Thing, case: str) -> str:
        """Finds what the thing's class allows, the same each time it is asked in one story."""
        if (thing.role, case) not in self._fixed:
            found = thing.noun.kind.allows.get(case)
            if not found:
                raise ValueError(f"class {thing.noun.kind.name} has no {case!r}; write it in things.txt")
            chosen = self.rng.choice([option.strip() for line in found for option in line.split(";")])
            if thing.noun.number == "many":
                chosen = re.sub(r"\bit\b", "them", chosen)
            self._fixed[thing.role, case] = chosen
        return self._fixed[thing.role, case]

    def _place(self, key: str, case: str) -> str:
        place = self.world.places[key]
        self.known.add(key)
        self.touched.add(key)
        if case == "there":
            if (key, case) not in self._fixed:
                self._fixed[key, case] = self.rng.choice(place.there)
            return self._fixed[key, case]
        return {"at": f"{place.at} the {place.noun}", "n": place.noun, "": f"the {place.noun}"}[case]

    def finish(self) -> tuple[str, list[Reference], list[int]]:
        """Returns the story as read, its references, and where each `\\x03` of the raw text fell."""
        if self.narrator:
            self.raw = re.sub("(\x01\\w+\x02I\x04) and (\x01\\w+\x02[^\x04]+\x04)", r"\2 and \1", self.raw)
            self.raw = re.sub("(\x02I\x04 )(\\w+?)(?:es|s)\\b", lambda m: m.group(1) + _BASE.get(m.group(2), m.group()[3:]), self.raw)
        spaced = re.sub(" +(?=[ .,!?])", "", self.raw.strip())
        capitals = _capitals(re.sub(r",(?=\x04?[.,!?])", "", spaced))
        text = _ARTICLE.sub(lambda m: f"{m.group(1) or m.group(3)}n {m.group(2) or m.group(4) or ''}", capitals)
        if self.present:
            text = tense.present(text)
        references, marks, clean = [], [], ""
        for piece in re.split("(\x01\\w+\x02[^\x04]+\x04|\x03)", text):
            if piece.startswith("\x01"):
                role, _, words = piece[1:].partition("\x02")
                references.append(Reference(role, words[:-1], len(clean)))
                clean += words[:-1]
            elif piece == "\x03":
                marks.append(len(clean))
            else:
                clean += piece
        return clean, references, marks

    def mark(self) -> None:
        """Remembers this point; `finish` says where it fell."""
        self.raw += "\x03"


def _up(text: str) -> str:
    """Returns the text with its first letter large, marks passed over."""
    match = re.match(r"((?:[\s\x03]|\x01\w+\x02)*)(\w)", text)
    return match.group(1) + match.group(2).upper() + text[match.end():] if match else text


def _capitals(text: str) -> str:
    """Puts large letters at the beginnings of sentences and quotations; "he asked" after a question stays small."""
    paragraphs = []
    for paragraph in text.split("\n"):
        pieces = paragraph.split('"')
        for i, piece in enumerate(pieces):
            if i % 2:
                # A quotation that goes on after "said Mia, " goes on small.
                goes_on = i > 1 and pieces[i - 2].endswith(",") and re.fullmatch(r" [^.!?]*, ", pieces[i - 1])
                pieces[i] = _sentences(piece) if goes_on else _up(_sentences(piece))
                continue
            before = pieces[i - 1][-1:] if i else "."
            follows = _TAG.match(_CONTROL.sub("", piece)) if i else None
            pieces[i] = _sentences(piece)
            spoken_of = i > 1 and pieces[i - 2].endswith(", ")  # Mia said, "Stop!"
            if before == "." or before in "!?" and (spoken_of or not follows):
                pieces[i] = _up(pieces[i])
        paragraphs.append('"'.join(pieces))
    return "\n".join(paragraphs)


def _sentences(text: str) -> str:
    return re.sub(rf"([.!?][\x03]? [\x03]?)({_MARK}\w)", lambda m: m.group(1) + _up(m.group(2)), text)
