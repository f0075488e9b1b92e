"""Makes token arrays of stories, and does everything about a training run that needs no PyTorch.

Stories are told while they are needed, by (seed, index): no corpus is stored, and no story comes twice.  A document is
BOS, its tokens, BOS (the mark at which llama2.c stops).  The prompt's own tokens are not learned, so that without a
prompt the model begins a story instead of asking for one.
"""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.trainer.tokenizer import BOS, Tokenizer
from storyteller.words import WORD

# Counts the batches of a window inside which stories are sorted by length, which keeps padding below two percent.
WINDOW = 20
# Counts those of them that are drills: many short documents instead of few long ones, cut some tokens behind what is given.
DRILLS = 4
DRILL_DOCUMENTS = 3  # is how many times as many there are in a batch
DRILL_LENGTH = 72
DRILL_ODD_SHARE = 0.6
# Seeds the stories that a run is judged by, apart from those it learns.
HELD_OUT_SEED = 1_000_000
# Counts the documents whose text tells one source of stories from another.
SAMPLE = 64
# Is the share of the documents whose names and asked nouns are split into unusual pieces.
ODD_SHARE = 0.35
# Count the documents that tell which words are common, and say the share that a common word is in.
OWN_SAMPLE = 1000
OWN_SHARE = 0.03
ODD_DROPPED = 0.5
# Count the documents whose words the model is said to know, and those that have to tell a word.
KNOWN_SAMPLE = 12_000
KNOWN_FROM = 3
_NAMES = re.compile(r"(?<=[^.!?:\"“”\n] )[^\W\d_a-z][^\W\d_]+")
_WORDS = re.compile(r"[^\W\d_]{3,}")


class Document(Protocol):
    """Says what a source of stories gives."""

    @property
    def prompt(self) -> str:
        """Returns what was asked for; may be empty."""

    @property
    def text(self) -> str:
        """Returns prompt and story as the model reads them."""


Source = Callable[[int, int], Document]


@dataclass(frozen=True)
class Run:
    """Defines a training run; a run may be resumed only with the same values, but `steps` and `decay` may change.

    `batch` counts stories; `warmup` and `decay` count steps; `weight_decay` is AdamW's, of matrices.  Until the decay of the
    rate, what binds a document together counts `binding` times, see Example, and less and less in it: which name, which thing,
    which plot is a fifth of the tokens, and what is learned last.
    """

    seed: int = 1
    batch: int = 16
    steps: int = 24_000
    warmup: int = 200
    decay: int = 6_000
    peak: float = 3e-3
    binding: float = 4.0
    weight_decay: float = 0.05


@dataclass(frozen=True)
class Example:
    """Holds one document: `tokens` from BOS to BOS, `learn_from` the index of the first target that counts, and which tokens
    bind it together: a word of its own that comes again, a name, what somebody with a name is, and what a document says its prompt
    decides."""

    tokens: NDArray[np.int32]
    learn_from: int
    binds: NDArray[np.bool_]


class Own:
    """Tells which words are a document's own: few other documents have them.  Names, things and kinds are."""

    def __init__(self, source: Source, seed: int) -> None:
        """Counts the words of the first documents, whose texts it keeps."""
        self.texts = [source(seed, index).text for index in range(OWN_SAMPLE)]
        count: Counter[str] = Counter()
        for text in self.texts:
            count.update(set(_WORDS.findall(text)))
        self.common = frozenset(word for word, number in count.items() if number > OWN_SHARE * OWN_SAMPLE)

    def words(self, text: str) -> set[str]:
        """Finds words of a text that are its own and come more than once."""
        return {word for word, number in Counter(_WORDS.findall(text)).items() if number > 1} - self.common


def _given(document: Document) -> str:
    """Returns what a document is given: its prompt, else the part of the text that somebody else began it with."""
    return document.prompt or document.text[: getattr(document, "given", 0)]


def known_words(source: Source, seed: int, count: int) -> list[str]:
    """Lists the words, in small letters, that several of the first `count` documents tell of themselves: names and nouns that come
    from the prompt or from a beginning are not among them."""
    found: Counter[str] = Counter()
    for index in range(min(count, KNOWN_SAMPLE)):
        document = source(seed, index)
        told = set(WORD.findall(document.text[max(len(document.prompt), getattr(document, "given", 0)) :].lower()))
        copied = {word.lower() for word in getattr(document, "copied", ())} if document.prompt else set[str]()
        found.update(word for word in told if not {word, word.removesuffix("'s"), word.removesuffix("s")} & copied)
    return sorted(word for word, number in found.items() if number >= KNOWN_FROM)


def example(document: Document, tokenizer: Tokenizer, odd: Mapping[str, Sequence[int]] | None = None,
            own: Own | None = None) -> Example:  # fmt: skip
    """Makes the tokens of a document; `odd` holds the pieces of words that are to be split in another way than usual."""
    odd = odd or {}
    words = tokenizer.encode_words(document.text, odd)
    ids = [BOS, *(one for _, pieces in words for one in pieces), BOS]
    binds = np.zeros(len(ids), np.bool_)
    if own is not None:
        wanted, kinds = own.words(document.text) | set(getattr(document, "copied", ())), getattr(document, "kinds", ())
        seen, at, character = set[str](), 1, -1  # a space is put before the text
        start, end = getattr(document, "decided", (0, 0))
        for word, pieces in words:
            plain = word.strip()
            binds[at : at + len(pieces)] = (start <= character < end or plain in kinds
                                            or plain in wanted and (plain in seen or plain.istitle()))
            seen.add(plain)
            at, character = at + len(pieces), character + len(word)
    # The newline after the prompt is still part of what is given; the first learned target follows it.
    given = _given(document)
    prompt = 1 + len(tokenizer.encode(given, odd)) if given else 1
    return Example(np.array(ids, np.int32), prompt, binds)


def starts(tokenizer: Tokenizer, own: Own) -> tuple[list[int], list[int]]:
    """Lists the pieces that mostly begin a document's own words: those with a capital letter, as names have, and the others."""
    every: Counter[int] = Counter()
    found: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    for text in own.texts:
        wanted = own.words(text)
        for word, pieces in tokenizer.encode_words(text):
            every.update(pieces)
            plain = word.strip()
            if plain in wanted:
                found[plain[0].islower()].update(pieces[:1])
    names, others = ([piece for piece, number in sorted(counter.items()) if number > 0.5 * every[piece]] for counter in found)
    return names, others


def odd_pieces(document: Document, tokenizer: Tokenizer, rng: random.Random) -> dict[str, list[int]]:
    """Splits names and asked words that a document is given into pieces that merging would not give, the same throughout it.

    A model that meets them learns to copy any word piece by piece, be it one that no story of its training had.  Words that nobody
    gives are left whole: a model that spells its own names out garbles some.
    """
    given, copied = _given(document), getattr(document, "copied", None)
    words = set(_NAMES.findall(given)) | set(_WORDS.findall(document.prompt)) if copied is None else set(copied)
    found = {}
    for word in sorted(word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", given)):
        for form in (word, " " + word):
            found[form] = tokenizer.encode_word(form, lambda: rng.random() < ODD_DROPPED)
    return found


def window(source: Source, tokenizer: Tokenizer, run: Run, number: int, longest: int, own: Own | None = None,
           drills: Source | None = None) -> list[list[Example]]:  # fmt: skip
    """Makes the batches of the window `number`, a function of the arguments alone; DRILLS of them of the source `drills`.

    Raises ValueError when a document has more than `longest` tokens.
    """
    rng = random.Random(f"{run.seed} {number}")
    found = []
    stories = run.batch * (WINDOW - (DRILLS if drills else 0))
    for index in range(number * stories, (number + 1) * stories):
        document = source(run.seed, index)
        one = spelt(document, tokenizer, ODD_SHARE, own, rng)
        if len(one.tokens) > longest:
            one = example(document, tokenizer, None, own)
        found.append(fitting(one, longest, run.seed, index))
    batches = by_length(found, run.batch)
    batches += drilled(drills, tokenizer, run, number, longest, own, rng) if drills else []
    rng.shuffle(batches)
    return batches


def spelt(document: Document, tokenizer: Tokenizer, odd_share: float, own: Own | None, rng: random.Random) -> Example:
    """Makes the example of a document, so often with its given words in odd pieces."""
    return example(document, tokenizer, odd_pieces(document, tokenizer, rng) if rng.random() < odd_share else {}, own)


def by_length(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Makes batches of examples that are about equally long."""
    ordered = sorted(examples, key=lambda one: len(one.tokens))
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def drilled(source: Source, tokenizer: Tokenizer, run: Run, number: int, longest: int, own: Own | None,
            rng: random.Random) -> list[list[Example]]:  # fmt: skip
    """Makes the drills of a window: beginnings of documents that are given a word which they have to copy.

    A word that no story had is garbled, if it is, where it is said again for the first time, and copied as it stands from
    there on: for the tokens of one story, a drill says five words for the first time.
    """
    size = run.batch * DRILL_DOCUMENTS
    found = []
    for index in range(number * size * DRILLS, (number + 1) * size * DRILLS):
        one = spelt(source(run.seed, index), tokenizer, DRILL_ODD_SHARE, own, rng)
        end = min(one.learn_from + DRILL_LENGTH, longest)
        found.append(Example(one.tokens[:end], one.learn_from, one.binds[:end]))
    return by_length(found, size)


def fitting(one: Example, longest: int, seed: int, index: int) -> Example:
    """Returns the example itself.  Raises ValueError when it has more than `longest` tokens."""
    if len(one.tokens) > longest:
        raise ValueError(f"story {index} of seed {seed}: found {len(one.tokens)} tokens, expected at most {longest}, the "
                         "context: tell shorter stories, or train a model with a larger --context")  # fmt: skip
    return one


def batches(source: Source, tokenizer: Tokenizer, run: Run, longest: int, step: int = 0, own: Own | None = None,
            drills: Source | None = None) -> Iterator[list[Example]]:  # fmt: skip
    """Yields the batches from `step` on, without end."""
    number, skipped = divmod(step, WINDOW)
    while True:
        yield from window(source, tokenizer, run, number, longest, own, drills)[skipped:]
        number, skipped = number + 1, 0


def held_out(source: Source, tokenizer: Tokenizer, run: Run, count: int, longest: int) -> list[Example]:
    """Makes stories that no run with this seed learns."""
    seed = run.seed + HELD_OUT_SEED
    return [fitting(example(source(seed, index), tokenizer), longest, seed, index) for index in range(count)]


def pad(examples: Sequence[Example], binding: float = 1.0,
        ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """Pads to (inputs, targets, weights), each [len(examples), longest - 1]; weight 0 where nothing is to be learned, `binding`
    where a token binds its document together, else 1."""
    width = max(len(one.tokens) for one in examples) - 1
    inputs = np.full((len(examples), width), BOS, np.int64)
    targets = np.full((len(examples), width), BOS, np.int64)
    weights = np.zeros((len(examples), width), np.float32)
    for row, one in enumerate(examples):
        n = len(one.tokens) - 1
        inputs[row, :n], targets[row, :n] = one.tokens[:-1], one.tokens[1:]
        weights[row, :n] = np.where(one.binds[1:], binding, 1.0)
        weights[row, : one.learn_from - 1] = 0
    return inputs, targets, weights


def learning_rate(step: int, run: Run) -> float:
    """Computes the rate: warm-up, plateau, and a straight line down to zero over the last `decay` steps.

    The plateau makes the end movable: a run that is resumed with more steps is the run that had them from the start.
    """
    if step < run.warmup:
        return run.peak * (step + 1) / run.warmup
    return run.peak * min(1.0, (run.steps - step) / max(run.decay, 1))


def binding(step: int, run: Run) -> float:
    """Computes how often a token counts that binds its document: `run.binding` times, and ever less while the rate falls.

    Names of unknown pieces are learned last and forgotten first, so that their weight doesn't go at once.
    """
    return 1.0 + (run.binding - 1.0) * min(1.0, (run.steps - step) / max(run.decay, 1))


def fingerprint(source: Source, tokenizer: Tokenizer, seed: int) -> int:
    """Computes the CRC-32 of the first stories and of the vocabulary."""
    crc = zlib.crc32("\n".join(tokenizer.pieces).encode())
    for index in range(SAMPLE):
        crc = zlib.crc32(source(seed, index).text.encode(), crc)
    return crc


def check_resume(saved: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raises ValueError naming the first value in which an interrupted run differs from the one asked for.

    A value that a state lacks, as it was saved before there was a choice, is the default.
    """
    saved = {**asdict(Run()), **saved}
    for key, value in wanted.items():
        if key not in ("steps", "decay") and saved.get(key) != value:
            raise ValueError(f"resume: {key}: the interrupted run has {saved.get(key)}, this one {value}; "
                             "use the same value, or another --work folder for a new run")  # fmt: skip


def identity(run: Run, dims: Mapping[str, int], crc: int, start: str) -> dict[str, object]:
    """Says what two runs must share for one to continue the other; `start` names the weights it began with."""
    return {**asdict(run), **dims, "corpus_crc": crc, "start": start}
