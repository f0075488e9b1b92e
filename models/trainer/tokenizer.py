"""Trains, reads, writes and applies byte-fallback BPE in llama2.c's `tokenizer.bin` format.

Ids: 0 `<unk>`, 1 and 2 the sentence marks, 3..258 the bytes as `<0xNN>`, then merges in the order they were learned
(score -0, -1, ...), then single characters.  `encode` gives the ids that llama2.c's `encode` gives without BOS.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from codegen.tokenizer import FIRST_BYTE, TokenizerData, read_tokenizer, to_bytes

BOS = 1
FIRST_PIECE = FIRST_BYTE + 256
# Cuts a text: merges stay inside a word with the space before it, or inside a run of punctuation; a newline is a byte.
_WORD = re.compile(r" ?[^\W\d_]+| ?(?:[^\w \n]|[\d_])+| |\n")
# Bounds a text's words for each piece: from fewer, pieces would be learned by chance.
WORDS_A_PIECE = 20


@dataclass(frozen=True)
class Tokenizer:
    """Holds pieces by id and their scores."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Returns the id by piece text, ordinary pieces only."""
        return {piece: FIRST_PIECE + i for i, piece in enumerate(self.pieces[FIRST_PIECE:])}

    @cached_property
    def _cache(self) -> dict[str, list[int]]:
        return {}

    def encode(self, text: str, instead: Mapping[str, Sequence[int]] = MappingProxyType({})) -> list[int]:
        """Finds the ids of a text without BOS: a space in front unless it is empty, then the best-scoring merge, repeatedly.

        Works word by word, which gives the same ids as `encode_plainly` because no piece that was learned here crosses a word
        boundary; those of another's file that do are not used.
        Words that `instead` has, with the space before them if there is one, take the ids it has for them.
        """
        return [one for _, pieces in self.encode_words(text, instead) for one in pieces]

    def encode_words(self, text: str, instead: Mapping[str, Sequence[int]] = MappingProxyType({}),
                     ) -> list[tuple[str, Sequence[int]]]:  # fmt: skip
        """Finds the words of a text, with the space before them, and their ids."""
        found: list[tuple[str, Sequence[int]]] = []
        for word in _WORD.findall(" " + text) if text else []:
            if word not in self._cache:
                self._cache[word] = self.encode_word(word)
            found.append((word, instead.get(word, self._cache[word])))
        return found

    def encode_word(self, word: str, dropped: Callable[[], bool] = lambda: False) -> list[int]:
        """Finds the ids of one word; each merge that could be done next is passed over when `dropped` says so (BPE dropout)."""
        return self._merge(self._characters(word), dropped)

    def encode_plainly(self, text: str) -> list[int]:
        """Finds the same ids by llama2.c's algorithm on the whole text at once (quadratic)."""
        return self._merge(self._characters(" " + text)) if text else []

    def _characters(self, text: str) -> list[int]:
        ids = []
        for letter in text:
            known = self.ids.get(letter)
            ids += [byte + FIRST_BYTE for byte in letter.encode("utf-8")] if known is None else [known]
        return ids

    def _merge(self, ids: list[int], dropped: Callable[[], bool] = lambda: False) -> list[int]:
        while True:
            best, best_score, best_id = -1, -1e10, -1
            for i in range(len(ids) - 1):
                merged = self.ids.get(self.pieces[ids[i]] + self.pieces[ids[i + 1]], -1)
                if merged >= 0 and self.scores[merged] > best_score and not dropped():
                    best, best_score, best_id = i, self.scores[merged], merged
            if best < 0:
                return ids
            ids = ids[:best] + [best_id] + ids[best + 2:]

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of ids that follow BOS (one leading space is dropped)."""
        data = b""
        for i, token in enumerate(ids):
            if FIRST_BYTE <= token < FIRST_PIECE:
                data += bytes([token - FIRST_BYTE])
            else:
                piece = self.pieces[token]
                data += (piece[1:] if i == 0 and piece.startswith(" ") else piece).encode("utf-8")
        return data.decode("utf-8", "replace")

    def write(self, path: Path) -> None:
        """Writes llama2.c's `tokenizer.bin`."""
        path.write_bytes(to_bytes(TokenizerData(tuple(piece.encode("utf-8") for piece in self.pieces), self.scores)))


def read(path: Path, vocab_size: int) -> Tokenizer:
    """Reads a `tokenizer.bin`.

    Raises BakeError as `codegen.tokenizer.read_tokenizer` does, ValueError for pieces that no story can be cut into here.
    """
    data = read_tokenizer(path, vocab_size)
    if data.first_byte != FIRST_BYTE:
        raise ValueError(f"{path.name}: found no byte tokens at ids 3 to 258, expected <0x00> to <0xFF>: give a tokenizer that has them")
    try:
        return Tokenizer(tuple(piece.decode("utf-8") for piece in data.pieces), data.scores)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: found the piece {error.object!r}, expected UTF-8: export the tokenizer again") from error


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learns `vocab_size` pieces from texts.

    Raises ValueError when the texts are too small: fewer than WORDS_A_PIECE words a piece, or no pair of pieces
    left that occurs twice.
    """
    words: Counter[str] = Counter()
    for text in texts:
        words.update(_WORD.findall(" " + text))
    total = sum(words.values())
    if total < WORDS_A_PIECE * vocab_size:
        raise ValueError(f"corpus: found {total} words, need {WORDS_A_PIECE * vocab_size} for a vocabulary of "
                         f"{vocab_size}; generate more stories or ask for a smaller vocabulary")
    characters = sorted({letter for word in words for letter in word} - {"\n"})
    wanted = vocab_size - FIRST_PIECE - len(characters)
    if wanted < 0:
        raise ValueError(f"vocabulary: found {vocab_size}, need at least {vocab_size - wanted} for the bytes and "
                         f"{len(characters)} characters; ask for a larger one")
    split = {word: tuple(word) for word in words if word != "\n"}
    merges: list[str] = []
    pairs: Counter[tuple[str, str]] = Counter()
    holders: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for word, parts in split.items():
        for pair in zip(parts, parts[1:]):
            pairs[pair] += words[word]
            holders[pair].add(word)
    while len(merges) < wanted:
        (left, right), count = max(pairs.items(), key=lambda item: (item[1], item[0]), default=(("", ""), 0))
        if count < 2:
            raise ValueError(f"corpus: found {len(merges)} merges, need {wanted} for a vocabulary of {vocab_size}; "
                             "generate more stories or ask for a smaller vocabulary")
        merges.append(left + right)
        for word in holders[left, right].copy():
            for pair in zip(split[word], split[word][1:]):
                pairs[pair] -= words[word]
                holders[pair].discard(word)
            split[word] = _replace(split[word], left, right)
            for pair in zip(split[word], split[word][1:]):
                pairs[pair] += words[word]
                holders[pair].add(word)
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{byte:02X}>" for byte in range(256)] + merges + characters
    scores = [0.0] * FIRST_PIECE + [-float(rank) for rank in range(len(merges) + len(characters))]
    return Tokenizer(tuple(pieces), tuple(scores))


def _replace(parts: tuple[str, ...], left: str, right: str) -> tuple[str, ...]:
    """Returns `parts` with every adjacent (left, right) joined, leftmost first."""
    joined: list[str] = []
    i = 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] == left and parts[i + 1] == right:
            joined.append(left + right)
            i += 2
        else:
            joined.append(parts[i])
            i += 1
    return tuple(joined)
