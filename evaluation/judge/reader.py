"""Reads a story as a listener does: who is who, which things there are, what each says, and what does not fit.

Nothing here knows how the stories were made.  The words (`Words`) are lists: names with their gender, kinds of persons,
things, and a dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# List the gendered nouns and pronouns of English.
FEMALE = frozenset("she her hers herself girl woman mother mom mommy mama grandma grandmother aunt sister queen princess "
                   "daughter lady witch mermaid niece wife".split())  # fmt: skip
MALE = frozenset("he him his himself boy man father dad daddy papa grandpa grandfather uncle brother king prince son nephew "
                 "wizard husband".split())  # fmt: skip
PRONOUNS = {"f": frozenset({"she", "her", "hers", "herself"}), "m": frozenset({"he", "him", "his", "himself"})}
NOUNS = {"f": FEMALE - PRONOUNS["f"], "m": MALE - PRONOUNS["m"]}
OTHER = {"f": "m", "m": "f"}
SAYING = ("said|asked|called|cried|shouted|whispered|answered|replied|sighed|laughed|squeaked|yelled|added|thought|told|sang|"
          "begged|explained|giggled|murmured|mumbled|wondered|growled|chirped")  # fmt: skip
# Lists words with capital letters that name nobody in particular.
NO_NAMES = frozenset("I Mr Mrs Miss Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May "
                     "June July August September October November December Christmas Easter Grandma Grandpa Mom Dad Mama Papa "
                     "Mother Father Grandmother Grandfather Aunt Uncle Mommy Daddy English Earth Mars God North South East West "
                     "Sundays Mondays Tuesdays Wednesdays Thursdays Fridays Saturdays Christmas".split())  # fmt: skip
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE = re.compile(r"[^.!?。！？]*(?:[.!?。！？]+[\"”’]*|$)")
# Matches words that stand by themselves between marks; every word ends in one way only, or a "Pooooh" without end takes for ever.
_ONE = r"[^\W\d_]+(?:-[^\W\d_]+)*"
_ALONE = re.compile(rf"(?:^|[.!?\"“:] ?|\n)({_ONE}(?:(?:, and |, ?|! ?|\.\.\. ?| and ){_ONE}){{0,5}}[!?.,]+)")
# Matches strangers who all say the same, each by what everybody knows of: "Shh!" said the cook. "Shh!" said the teacher.
_CHORUS = re.compile(r'("[^"]*") said the [\w-]+[.,](?: \1 said the [\w-]+[.,])+')
# Matches what makes of "Tom a robot" a gift.
_GIVING = re.compile(r"\b(?:g[ai]ves?|show(?:s|ed)|brings?|brought|hand(?:s|ed)|lends?|lent|sends?|sent|ma[dk]es?|bought) $")
_NAME = r"[A-Z][^\W\d_]+(?![-\w])"
# Say how somebody is introduced, around the name {0}.
_INTRODUCED = (
    r"\b(?:named|called|was|is|of|name|meet|met|friend|sister|brother|cousin|neighbor|Mr\.|Mrs\.|Miss|Aunt|Uncle|am|be|"
    r"like|Old|Little|Captain|Doctor|Professor|King|Queen|Prince|Princess|Sir|Lady) {0}\b",
    r"\b{0}(?:,)? the (?:[\w-]+ ){{0,2}}[\w-]+",
    r"\b{0}, (?:a|an|the|her|his|their|who) ",
    r"\b{0} (?:was a|was an|was the|lived)\b",
    r"\b[\w-]+, {0},",
    r"\"(?:[^\"]* )?{0}[,!?.]",
)


@dataclass(frozen=True)
class Words:
    """Holds what the reader knows: gender by name ("f", "m"), kinds, things that matter, and a dictionary in small letters."""

    names: Mapping[str, str]
    kinds: frozenset[str]
    things: frozenset[str]
    dictionary: frozenset[str]


@dataclass
class Story:
    """Reads a story once.  `faults` maps what does not fit ("stranger", "gender", "pronoun", ...) to where."""

    text: str
    prompt: str
    words: Words
    names: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sentences = sentences(self.text)
        self.names = list(names_in(self.text, self.words))
        self._strangers()
        genders = self._genders()
        self._pronouns(genders)
        self._kinds()
        self._things()
        self._speakers()
        self._repeated()
        self._nonsense()

    def _fault(self, what: str, where: str) -> None:
        self.faults.setdefault(what, []).append(where)

    def _strangers(self) -> None:
        """Finds a name that nobody introduces: it is there once or twice, as if everyone knew who that is."""
        for name in self.names:
            if name in self.prompt or name == self.names[0] or name in self.sentences[0]:
                continue
            first = next(sentence for sentence in self.sentences if re.search(rf"\b{name}\b", sentence))
            if not any(re.search(pattern.format(name), first) for pattern in _INTRODUCED):
                self._fault("stranger", f"{name}: {first}")

    def _genders(self) -> dict[str, str]:
        """Finds the gender of each name: that of the name where it is known, else of the noun it is introduced with."""
        found = {}
        for name in self.names:
            known = self.words.names.get(name, "")
            noun = ""
            for gender, nouns in NOUNS.items():
                one = "|".join(sorted(nouns))
                if re.search(rf"\b(?:{one}) (?:named|called) {name}\b|\b{name},? (?:the|a|an) (?:[\w-]+ )?(?:{one})\b",
                             self.text):  # fmt: skip
                    noun = gender
            if known and noun and known != noun:
                self._fault("gender", f"{name} is a name of gender {known}, told of with a noun of gender {noun}")
            found[name] = noun or known
        return found

    def _pronouns(self, genders: Mapping[str, str]) -> None:
        """Finds a pronoun of a gender that nobody so far has, or one that turns on its own subject."""
        so_far: set[str] = set()
        unknown = False
        for sentence in self.sentences:
            low = [word.lower() for word in WORD.findall(sentence)]
            named = [name for name in self.names if re.search(rf"\b{name}\b", sentence)]
            so_far |= {genders[name] for name in named if genders[name]}
            unknown |= any(not genders[name] for name in named)
            for gender, nouns in NOUNS.items():
                if nouns.intersection(low) or nouns.intersection(word.removesuffix("s") for word in low):
                    so_far.add(gender)
            # Leave out what is said: somebody without a name may be either.
            told = re.sub(r"[\"“][^\"”]*[\"”]?", " ", sentence)
            unknown |= any(re.search(rf"\b(?:an?|old|the|another) (?:[\w-]+ ){{0,3}}(?:{kind})\b", told)
                           and not re.search(rf"\b{kind} (?:named|called)\b", told) for kind in self.words.kinds
                           if kind in low)  # fmt: skip
            for gender, pronouns in PRONOUNS.items():
                wrong = pronouns.intersection(word.lower() for word in WORD.findall(told))
                if wrong and so_far and gender not in so_far and not unknown:
                    self._fault("pronoun", f"{sorted(wrong)[0]}: {sentence}")
            if len(named) == 1 and genders[named[0]]:
                wrong_self = {"f": "himself", "m": "herself"}[genders[named[0]]]
                if re.search(rf"\b{named[0]} (?:[\w-]+ ){{1,4}}{wrong_self}\b", told):
                    self._fault("pronoun", f"{wrong_self}: {sentence}")

    def _kinds(self) -> None:
        """Finds somebody whose kind changes, or "the fox" where no fox has come in."""
        kind_of: dict[str, str] = {}
        one = "|".join(sorted(self.words.kinds, key=len, reverse=True))
        for match in re.finditer(rf"\b({one}) (?:named|called) ({_NAME})|\b({_NAME}),? (?:the|a|an) (?:[\w-]+ ){{0,2}}?({one})\b",
                                 self.text):  # fmt: skip
            kind, name = (match.group(1), match.group(2)) if match.group(1) else (match.group(4), match.group(3))
            if name not in self.names or match.group(3) and _GIVING.search(self.text[: match.start()]):
                continue
            if kind_of.setdefault(name, kind) != kind and not {kind_of[name], kind} & {"friend", "hero"}:
                self._fault("kind", f"{name} is a {kind_of[name]} and a {kind}")
        low = " ".join(f"{self.prompt} {self.text}".lower().split())
        speaking = SAYING.replace("called|", "")
        does = rf"(?:{speaking}|was|felt|smiled|nodded|looked)"
        choruses = [found.span() for found in _CHORUS.finditer(low)]
        for match in re.finditer(rf"\b(?:{speaking}) the (?:[a-z-]+ )?({one})\b(?!['’-])|\bthe (?:[a-z-]+ )?({one}) {does}\b", low):
            if match.start() < len(self.prompt) or any(start < match.start() < end for start, end in choruses):
                continue
            kind = match.group(1) or match.group(2)
            before = low[: match.start()]
            # A polar bear is a bear, and "Dora the hen" brings the hen in.
            named = re.search(rf"\b(?:{'|'.join(name.lower() for name in self.names) or '-'}),?$", before.rstrip())
            head = kind.split()[-1]
            if not named and not re.search(rf"\b{head}(?:s|es)?\b|\b{head[:-1]}ies\b", before):
                after = low[match.end() : match.end() + 30]
                if not re.match(rf"\s(?:who|that|named|called|of|in|on|from|with|{'|'.join(sorted(self.words.kinds))})\b", after):
                    self._fault("kind", f"the {kind}, who never came in: {low[max(0, match.start() - 40):match.end() + 20]}")

    def _things(self) -> None:
        """Finds "the kite" or "his kite" where there is no kite yet."""
        low = " ".join(f"{self.prompt} {self.text}".lower().split())
        one = "|".join(sorted(self.words.things, key=len, reverse=True))
        if not one:
            return
        for match in re.finditer(rf"\b(?:the|that|this) ((?:[a-z-]+ )??)({one})\b(?!['’-])", low):
            thing = match.group(2)
            head = thing.split()[-1]
            after = WORD.match(low[match.end() :].lstrip())
            if after and after.group(0) in self.words.things | {"tree", "pot", "box", "shop"}:
                continue
            if not re.search(rf"\b{head}(?:s|es)?\b", low[: match.start()]):
                self._fault("thing", f"{thing}: {low[max(0, match.start() - 40):match.end() + 20]}")

    def _speakers(self) -> None:
        """Finds somebody who speaks to somebody of the same name."""
        for name in self.names:
            told = rf"(?:{name} (?:{SAYING})|(?:{SAYING}) {name})\b"
            around = rf"[\"“]([^\"”]*)[\"”],? {told}(?!['’])|\b{name} (?:{SAYING}),? [\"“]([^\"”]*)[\"”]"
            for match in re.finditer(around, self.text):
                quote = match.group(1) or match.group(2) or ""
                spoken_to = re.search(rf"(?:\w.*, {name}[,!?.]|^{name}, \w)", quote)
                if spoken_to and not re.search(rf"\b(?:I am|I'm|name is|me,) {name}\b", quote):
                    self._fault("speaker", match.group(0))
            if re.search(rf"\b(?:asked|told|met|saw|visited|hugged|thanked|helped|found) {name}\b", self.text):
                for match in re.finditer(rf"\b{name} (?:asked|told|met|saw|visited|hugged|thanked|helped) {name}\b", self.text):
                    self._fault("speaker", match.group(0))

    def _repeated(self) -> None:
        """Finds a sentence that comes twice in a row, or three times: less is a refrain, which children love, as are sounds."""
        sounds = sounds_of(self.text, self.words)
        plain = [" ".join(WORD.findall(sentence.lower())) for sentence in self.sentences]
        for at, one in enumerate(plain):
            if len(one.split()) >= 4 and not sounds.intersection(one.split()) and (plain[at - 1 : at] == [one] or plain.count(one) > 2):
                self._fault("repeated", self.sentences[at])

    def _nonsense(self) -> None:
        for word in nonsense(self.text, self.prompt, self.names, self.words):
            self._fault("non-word", word)

    @property
    def bound(self) -> bool:
        """Tells whether who, what and which thing fit throughout."""
        return not self.faults.keys() & {"stranger", "gender", "pronoun", "kind", "thing", "speaker"}


def sentences(text: str) -> list[str]:
    """Splits a text into its sentences, what is said included in the sentence around it."""
    found: list[str] = []
    for paragraph in text.split("\n"):
        begun = ""
        for match in _SENTENCE.finditer(paragraph):
            begun += match.group(0)
            rest = paragraph[match.end() :].lstrip()
            goes_on = rest[:1].islower() or begun.count('"') % 2 == 1 and bool(rest)
            if begun.strip() and not goes_on:
                found.append(begun.strip())
                begun = ""
        if begun.strip():
            found.append(begun.strip())
    return found or [""]


def _inside(text: str) -> set[str]:
    """Finds words with a capital letter where only a name has one."""
    return set(re.findall(rf"(?<=[a-z,;] )({_NAME})\b", text)) | set(re.findall(rf"\b({_NAME}),? (?:the|an?) [a-z]", text))


def names_in(text: str, words: Words) -> Iterator[str]:
    """Finds names in the order they come in: words with a capital letter inside a sentence, or known as names."""
    inside = _inside(text)
    every = re.findall(rf"\b{_NAME}\b", text)
    seen = set(NO_NAMES) | {sound.capitalize() for sound in sounds_of(text, words)}
    for name in every:
        strange = name.lower() not in words.dictionary
        if name not in seen and (name in words.names and (strange or name in inside)
                                 or strange and (name in inside or every.count(name) > 1)):  # fmt: skip
            yield name
        seen.add(name)


def sounds_of(text: str, words: Words) -> set[str]:
    """Finds words in no dictionary that stand by themselves, as sounds do: "Splosh!" or "Tap, tap, tap!" """
    sounds: set[str] = set()
    names = _inside(text) | words.names.keys()
    for run in _ALONE.findall(text):
        parts = [part.lower() for part in WORD.findall(run)]
        unknown = {part for part in parts if part not in words.dictionary}
        if len(unknown) == 1:
            unknown -= {name.lower() for name in names}
        if unknown and len(set(parts) - unknown - {"and"}) == 0:
            sounds |= unknown
    return sounds


def nonsense(text: str, prompt: str, names: list[str], words: Words) -> list[str]:
    """Finds words that are in no dictionary, nor in the prompt, nor somebody's name, nor the sound of something."""
    low_prompt = {word.lower() for word in WORD.findall(prompt)}
    sounds = sounds_of(text, words)
    lower = set()
    for name in names:
        lower |= {name.lower(), name.lower() + "s"}
    found = []
    for word in WORD.findall(text.replace("’", "'")):
        low = word.lower().removesuffix("'s").removesuffix("s'").removesuffix("'")
        if word.rstrip("s") in NO_NAMES or word in NO_NAMES:
            continue
        if any(one in words.dictionary or one in low_prompt or one in lower or one in sounds for one in (low, word.lower())):
            continue
        parts = low.split("-")
        if len(parts) > 1 and all(part in words.dictionary or part in sounds or part in lower for part in parts):
            continue
        found.append(word)
    return found
