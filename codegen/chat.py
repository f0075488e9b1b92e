"""Bakes how a conversation is written down for the model: what stands between the messages, as the ids of special tokens
and the text between them (runtime/chat_format.hpp). codegen.chat_template reads it out of a model's template."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from codegen.errors import BakeError, shown

TEXT = 0xFFFFFFFF
# Stand in the formats below for the tokens that begin and end a text, whatever they are called.
BOS, EOS = "\0bos\0", "\0eos\0"


@dataclass(frozen=True)
class Between:
    """Holds what stands between the messages, as text; `has_system` is false where there can be no system prompt, and `trim` says
    of what the user, and the system prompt, say whether white space around it is dropped."""

    user_first: str
    answer: str
    answered: str
    next_user: str
    system_first: str = ""
    after_system: str = ""
    has_system: bool = True
    trim: tuple[bool, bool] = (False, False)

    @property
    def stretches(self) -> tuple[str, ...]:
        """Returns the texts in the order of the runtime's numbers."""
        return self.user_first, self.system_first, self.after_system, self.answer, self.answered, self.next_user


def _marked(system: str, user: str, answer: str, end: str, begin: str = "") -> Between:
    """Makes a format that marks who speaks before each message, and the end of each."""
    return Between(begin + user, end + answer, end + answer, end + user, begin + system, end + user)


# Lists what -Dchat= may name.
FORMATS = {
    "llama2": Between(
        BOS + "[INST] ", " [/INST]", " [/INST]", EOS + BOS + "[INST] ", BOS + "[INST] <<SYS>>\n", "\n<</SYS>>\n\n"
    ),
    "chatml": _marked(
        "<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n"
    ),
    "llama3": _marked(
        "<|start_header_id|>system<|end_header_id|>\n\n", "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", BOS,
    ),
    "zephyr": _marked("<|system|>\n", "<|user|>\n", "<|assistant|>\n", EOS + "\n"),
    "gemma": Between(
        BOS + "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>\n<start_of_turn>model\n",
        "<end_of_turn>\n<start_of_turn>user\n", has_system=False, trim=(True, False),
    ),
}  # fmt: skip
# Lists the tokens without which a format makes no sense.
NEEDED = {"chatml": ("<|im_start|>", "<|im_end|>"), "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
          "gemma": ("<start_of_turn>", "<end_of_turn>")}  # fmt: skip
CHOICES = ("auto", "none", *FORMATS)

Part = int | str


@dataclass(frozen=True)
class ChatFormat:
    """Holds what the runtime is told: each of Between's stretches as ids of tokens and texts between them."""

    name: str
    stretches: tuple[tuple[Part, ...], ...]
    has_system: bool
    trim: tuple[bool, bool]

    def bake(self) -> bytes:
        """Makes the blob that the runtime views."""
        text = self.name.encode()
        name_size, rows = len(text), []
        for part in itertools.chain.from_iterable(self.stretches):
            if isinstance(part, int):
                rows += [part, 0, 0]
            else:
                raw = part.encode("utf-8", "surrogatepass")
                rows += [TEXT, len(text), len(raw)]
                text += raw
        flags = int(self.has_system) | int(self.trim[0]) << 1 | int(self.trim[1]) << 2
        words = [flags, name_size, len(text), *map(len, self.stretches), *rows]
        return struct.pack(f"<{len(words)}I", *words) + text + bytes(-len(text) % 4)


def split(text: str, special: Mapping[str, tuple[int, bool, bool]]) -> tuple[Part, ...]:
    """Splits a text into ids of the special tokens in it, the longest of those that begin at a place, and texts between them.

    special: id, and whether it takes the white space before and after it along, by text.
    """
    parts: list[Part] = []
    by_length = sorted(special, key=lambda token: -len(token))
    at = begin = 0
    while at < len(text):
        token = next((token for token in by_length if text.startswith(token, at)), None)
        if token is None:
            at += 1
            continue
        number, left, right = special[token]
        before = text[begin:at].rstrip() if left else text[begin:at]
        at += len(token)
        while right and at < len(text) and text[at].isspace():
            at += 1
        parts += [*([before] if before else []), number]
        begin = at
    return tuple(parts + ([text[begin:]] if begin < len(text) else []))


def bake_between(name: str, between: Between, special: Mapping[str, tuple[int, bool, bool]]) -> ChatFormat:
    """Returns the format as the runtime has it, special tokens by their ids."""
    return ChatFormat(name, tuple(split(text, special) for text in between.stretches), between.has_system, between.trim)


def named_format(
    name: str, special: Mapping[str, tuple[int, bool, bool]], bos: int, eos: int | None, source: str
) -> ChatFormat:
    """Returns one of FORMATS for a tokenizer. Raises BakeError when it lacks a token that the format is made of."""
    for token in NEEDED.get(name, ()):
        if token not in special:
            raise BakeError(f"{source}: -Dchat={name} needs the special token {shown(token)}, found none; choose another -Dchat=")
    ends = {mark: (at, False, False) for mark, at in ((BOS, bos), (EOS, eos)) if at is not None}
    between = FORMATS[name]
    if EOS not in ends and any(EOS in text for text in between.stretches):
        raise BakeError(f"{source}: -Dchat={name} needs a token that ends a text, found none; choose another -Dchat=")
    return bake_between(name, between, {**special, **ends})
