"""Tells a story of the past in the present: verbs outside quotations, each with its subject's number.

Refuses a story in which it can't be sure of a word; such a story stays in the past.
"""

import re
from functools import lru_cache

from .lexicon import FOLDER, sections

_TOKEN = re.compile("\x01\\w+\x02[^\x04]+\x04|[^\\W\\d_]+(?:'[^\\W\\d_]+)?|[^\\w\\s\x01-\x04]|\\s+|[\x01-\x04]")
_PLURAL = set("they we you both all people two three some many those these others children teeth feet mice geese".split())
_SINGULAR = set("it he she nobody everybody everyone somebody someone something nothing that this there who what one".split())
_WHO = frozenset("they we you he she it".split())
_SKIPPED = set("never only just almost nearly even still always also quickly slowly not suddenly really quite then soon now "
               "already ever again once softly quietly carefully all each simply at last hardly".split())
_HELPERS = set("was were is are am be been being had has have get gets got became felt feel feels looked looks seemed seems "
               "to could can would will did do does might may not a an the his her my its their your too so very".split())
_PREPOSITIONS = set("in on under over behind beside out at from with near next up down along there here then not around "
                    "between into through".split())
_FIXED = {"was": "is", "were": "are", "could": "can", "would": "will", "might": "may"}
_ENDING_IN_S = set("always perhaps across besides towards less this his its yes us was is has as ss plus upwards sideways "
                   "backwards upstairs afterwards outdoors".split())


class Unsure(Exception):
    """Says that a word may be a verb or not, or that nobody knows of whom it is said."""


@lru_cache(maxsize=None)
def verbs() -> tuple[dict[str, str], frozenset[str]]:
    """Reads bases by past form, and words that look like a past and are none."""
    found = {title: ", ".join(lines).split(", ") for title, lines in sections(FOLDER / "verbs.txt").items()}
    bases = {}
    for entry in found["regular"]:
        base, _, doubled = entry.partition("/")
        ending = "d" if base.endswith("e") else "ed"
        past = base[:-1] + "ied" if re.search("[^aeiou]y$", base) else (base[:-1] + doubled if doubled else base) + ending
        bases[past] = base
    for entry in found["irregular"]:
        base, past = entry.split()
        bases[past] = base
    return bases | {base: base for base in found["same"]}, frozenset(found["adjectives"])


def third_person(base: str) -> str:
    """Makes "goes" of "go"."""
    if re.search("(?:s|x|z|ch|sh|o)$", base):
        return base + "es"
    return base[:-1] + "ies" if re.search("[^aeiou]y$", base) else base + "s"


def present(text: str) -> str:
    """Puts the text with its telling in the present; marks of references stay.  Raises Unsure."""
    paragraphs = []
    for paragraph in text.split("\n"):
        pieces = paragraph.split('"')
        pieces[::2] = [_piece(piece) for piece in pieces[::2]]
        paragraphs.append('"'.join(pieces))
    return "\n".join(paragraphs).replace(" can not ", " cannot ")


def _piece(text: str) -> str:
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        raise Unsure(text)
    words = [i for i, token in enumerate(tokens) if token[0] not in " \t\x02\x03\x04" or token[0] == "\x01"]
    subject = ""
    bases, adjectives = verbs()
    for at, i in enumerate(words):
        token = tokens[i]
        low = token.lower()
        before = [tokens[j].lower() for j in words[:at]]
        if token in ".!?;":
            subject = ""
        if low in _FIXED:
            tokens[i] = _like(token, _FIXED[low])
            continue
        if low not in bases and low not in ("had", "did") or low in adjectives and low not in ("lost", "stuck"):
            continue
        if low != "did" and _is_no_verb(low, before):
            continue
        number = _number(before) or subject
        clause = before[max((j + 1 for j, word in enumerate(before) if word in ".,!?;"), default=0):]
        # Pass over what comes after "Then they", which says who.
        begins = clause and clause[0] in _PREPOSITIONS and not any(word.startswith("\x01") or word in _WHO for word in clause)
        if not number or begins or before and before[-1] in (",", "and", "but", "then", "so"):
            number = subject or _number_after([tokens[j].lower() for j in words[at + 1:]]) or number
        if not number:
            raise Unsure(token)
        subject = number
        base = {"had": "have", "did": "do"}.get(low, bases.get(low, ""))
        form = base if number == "many" else {"have": "has", "do": "does"}.get(base, third_person(base))
        tokens[i] = _like(token, form)
    return "".join(tokens)


def _like(token: str, word: str) -> str:
    return word[:1].upper() + word[1:] if token[:1].isupper() else word


def _is_no_verb(low: str, before: list[str]) -> bool:
    """Tells whether the words before make a past form a participle or an adjective."""
    back = [word for word in before if word not in _SKIPPED]
    last = back[-1] if back else ""
    if last in _HELPERS or last.startswith("\x01") and last.strip("\x04").endswith(("'s", "\x02his", "\x02her", "\x02my")):
        return True
    somebody = last in _SINGULAR | _PLURAL or last.startswith("\x01")
    if low in ("left", "set"):  # to the left; the sun has set
        return not somebody and last not in ("and", ",")
    if low in ("hurt", "shut", "cut", "read", "hit", "burst", "spread", "light", "rose") and not somebody \
            or low == "saw" and not somebody and last not in ("and", ",", "then", "but", "who"):
        raise Unsure(low)
    return False


def _number(before: list[str]) -> str:
    """Finds the number of the words right before a verb, if they can be its subject: "one", "many" or ""."""
    back = [word for word in before if word not in _SKIPPED]
    if not back or not (back[-1][0].isalpha() or back[-1][0] == "\x01"):
        return ""
    last = back[-1]
    if last in ("and", "but", "so", "then", "or", "when", "while", "because", "until", "as", "if", "where", "up", "down", "away",
                "out", "in", "on", "off", "along", "over", "by", "behind", "there", "here"):
        return ""
    if last in _PLURAL:
        return "many"
    joined = len(back) > 2 and back[-2] == "and" and back[-3].startswith("\x01") and last.startswith("\x01")
    if joined or re.search("\x02(?:they|we|i)\x04$", last):
        return "many"
    if last.startswith("\x01") or last in _SINGULAR:
        return "one"
    return "many" if last.endswith("s") and not last.endswith(("ss", "us", "'s")) and last not in _ENDING_IN_S else "one"


def _number_after(after: list[str]) -> str:
    """Finds the number of a subject that follows its verb."""
    for word in after[:4]:
        if not (word[0].isalpha() or word[0] == "\x01"):
            return ""
        if word in _PLURAL:
            return "many"
        if word.startswith("\x01") and not word.strip("\x04").endswith(("'s", "\x02his", "\x02her", "\x02my")) \
                or word in _SINGULAR or word in ("a", "an", "the"):
            return "one"
    return ""
