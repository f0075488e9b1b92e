"""Bakes what every kind of tokenizer has around its words: what begins and ends a text, what is found in it as a whole, what is
never said, how a chat is written down. The blob that the runtime views: runtime/tokenizer.hpp."""

from __future__ import annotations

import dataclasses
import itertools
import struct
import unicodedata
from dataclasses import dataclass

from codegen import nfc
from codegen.chat import ChatFormat
from codegen.chat_template import Template
from codegen.errors import BakeError, shown

MAGIC = 0x46544253  # "SBTF"
MOST_ADDED = 8192  # limits the added tokens, of which Gemma 3 has 6415
MOST_ENDS = 64
MOST_AROUND = 16  # limits the tokens before or after a text
# Lists how a text, or each part of it between tokens that are found whole, gets a space in front, by the runtime's numbers:
# not at all; each part; each that does not begin with one; the first part, if it does not; the first part.
SPACES = ("none", "each", "each without", "first without", "first")
# Names special tokens that end a text or a turn wherever they are found, by their role: files often leave them to the chat
# template. llama.cpp ends a text at the same (llama-vocab.cpp).
END_NAMES = (
    "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>",
    "<end_of_turn>", "<end_of_utterance>", "<|end_of_turn|>", "<|endofturn|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "</s>",
    "<eos>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
)  # fmt: skip


@dataclass(frozen=True)
class Added:
    """Holds a token that is found in a text as a whole, the longest of those that begin at a place.

    `text` is what is looked for: in the text as it is, or, where `normalized`, after it was normalised. One that is
    `special` has no text of its own: it is not printed. `lstrip` and `rstrip` take the white space beside it along.
    """

    text: bytes
    special: bool
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True)
class Frame:
    """Holds what is around the words of a tokenizer.

    `bos` is what an empty text is; `before` and `after` are the ids around every text; `ends` those that end one; `never`
    those that are no piece, and may not be sampled. `strip` drops a space at the beginning of what is printed. `template` is
    what the files say of a chat, `chat` what is baked of it.
    """

    bos: int
    ends: tuple[int, ...]
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    added: dict[int, Added] = dataclasses.field(default_factory=dict)
    never: tuple[int, ...] = ()
    spaces: str = "none"
    strip: bool = False
    nfc: bool = False
    template: Template | None = None
    chat: ChatFormat | None = None

    def with_spaces(self, spaces: str, *, strip: bool) -> Frame:
        """Returns the frame with another rule for spaces."""
        return dataclasses.replace(self, spaces=spaces, strip=strip)


LLAMA2C = Frame(bos=1, ends=(1, 2), before=(1,), spaces="first", strip=True)  # llama2.c has it built in


def make_frame(frame: Frame, pieces: int, rows: int, source: str) -> Frame:
    """Makes the frame for a model of so many rows, of which some may have no piece and some pieces no row: what can't be sampled
    ends nothing. Raises BakeError for ids that are no piece's and for a beginning that has no row."""
    for name, ids in (("eos", frame.ends), ("bos", (frame.bos,)), ("post_processor", frame.before + frame.after)):
        for at in ids:
            if not 0 <= at < pieces:
                raise BakeError(f"{source}: {name}: expected an id below {pieces}, found {shown(at)}")
    for at in (frame.bos, *frame.before, *frame.after):
        if at >= rows:
            raise BakeError(f"{source}: id {at} begins or ends a text, but the model has {rows} rows; give its own tokenizer")
    for at in (part for stretch in (frame.chat.stretches if frame.chat else ()) for part in stretch if isinstance(part, int)):
        if at >= rows:
            raise BakeError(f"{source}: the chat template has the token {at}, but the model has {rows} rows; bake with -Dchat=none")
    for what, found, most in (("added tokens", len(frame.added), MOST_ADDED), ("eos ids", len(frame.ends), MOST_ENDS),
                              ("tokens around a text", len(frame.before + frame.after), MOST_AROUND)):  # fmt: skip
        if found > most:
            raise BakeError(f"{source}: expected at most {most} {what}, found {found}; is it the right file?")
    ends = tuple(dict.fromkeys(at for at in (*frame.ends, frame.bos) if at < rows))
    return dataclasses.replace(frame, ends=ends, never=tuple(sorted({at for at in frame.never if at < rows})))


def bake_frame(frame: Frame, pieces: int, rows: int, words: bytes) -> bytes:
    """Makes the blob of a tokenizer: the frame around the kind's own blob `words`."""
    found = {at: looked_for(token, frame) for at, token in frame.added.items()}
    added = sorted(frame.added.items(), key=lambda item: (-len(found[item[0]]), item[0]))
    texts = [found[at] for at, _ in added]
    starts = itertools.accumulate(map(len, texts), initial=0)
    flags = int(frame.nfc) | int(frame.strip) << 1 | SPACES.index(frame.spaces) << 2
    table = nfc.table() if frame.nfc else []
    chat = frame.chat.bake() if frame.chat else b""
    text = padded(b"".join(texts))
    parts = [
        MAGIC, len(words), pieces, rows, frame.bos, flags, len(frame.before), len(frame.after), len(frame.ends),
        len(frame.never), len(added), len(text), len(table), len(chat),
        *frame.before, *frame.after, *frame.ends, *frame.never,
        *itertools.chain.from_iterable(
            (at, token.special | token.normalized << 1 | token.lstrip << 2 | token.rstrip << 3, start, len(found[at]))
            for (at, token), start in zip(added, starts)
        ),
        *table,
    ]  # fmt: skip
    return struct.pack(f"<{len(parts)}I", *parts) + text + chat + words


def looked_for(token: Added, frame: Frame) -> bytes:
    """Returns the text of an added token as it is looked for: where that is in a normalised text, Hugging Face's code
    normalises the token as well, which puts a space in front."""
    if not token.normalized:
        return token.text
    text = unicodedata.normalize("NFC", token.text.decode()).encode() if frame.nfc else token.text
    return b" " + text if frame.spaces == "each" else text


def padded(data: bytes) -> bytes:
    """Pads bytes with zeros up to a multiple of 4."""
    return data + bytes(-len(data) % 4)
