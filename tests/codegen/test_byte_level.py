"""Byte-level BPE: the runtime's ids are those of a plain reference, and on request those of Hugging Face's own code."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import byte_level_files as given
import model_files as files
import pytest
from byte_level_files import ByteLevel, Reference
from conftest import RuntimeTokens, with_tokenizers

from codegen.byte_level import ByteLevelData, char_kinds
from codegen.formats import open_tokenizer
from codegen.tokenizer import bake

STRINGS = int(os.environ.get("STORYBAKE_STRINGS", "100000"))
ADDED = {"<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<|im|>": False, "<|im_end|>!": False}
pytestmark = pytest.mark.filterwarnings("error")


@functools.cache
def trained(rule: str) -> ByteLevel:
    """700 merges of the repository's own text; the Llama 3 kind has BOS and takes words whole."""
    llama3 = rule == "llama3"
    text = given.repository_text(files.ROOT)
    tokenizer = given.train(text, rule, 700, ADDED, add_bos=llama3, ignore_merges=llama3)
    if llama3:  # pieces that no merge makes: only a whole word finds them
        tokenizer.pieces.extend([b"zqzqzq", b" zqx", "\u65e5\u672c\u8a9e".encode()])
    return tokenizer


def opened(folder: Path, tokenizer: ByteLevel, form: str = "json") -> ByteLevelData:
    path = folder / f"tokenizer.{form}"
    if form == "json":
        path.write_text(json.dumps(given.tokenizer_json(tokenizer)))
    else:
        path.write_bytes(given.gguf(tokenizer))
    data = open_tokenizer(path, tokenizer.size)
    assert isinstance(data, ByteLevelData)
    return data


HAND_PICKED = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\t", "\r\n", "\r", "a", " a", "a ", "a  b", "a   b", "a\n b",
    "a \n\n  b", "a\n\n", "  \n  \n  x", "Once upon a time", "Once upon a time,\n", "don't", "DON'T", "we'll've", "'",
    "''", "'s", "'S", "'sabc", "'ll", "'Ll", "'l", "'r", "'re", "'v", "it's 's", "I'm", "x'd", "'\u017f", "'\u017fabc",
    "1", "12", "123", "1234", "12345678", " 1", "  12", "1 2", "3.14159", "a1b2", "\u0661\u0662\u0663\u0664", "\u00bd",
    "\u2167", "\u3007", "\u5341", "x\u00b2", "!", "!!", " !", "!?\n", "...\r\n\r\n", " ...\n", "!a", "!1", "_a", "-a",
    "\u00e9", "e\u0301", "na\u00efve", "\u65e5\u672c\u8a9e", "\u0645\u0631\u062d\u0628\u0627", "\u0e2a\u0e27\u0e31",
    "\U0001f999", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U00020000", "\U000e0001", "\U0010ffff", "\ufeff",
    "\u202eabc", "\ufffd", "\u00a0a", "a\u00a0b", "\u3000a", "\u2028", "\x85", "\x0b\x0c", "\x1c\x1d", "\u180e", "\u200b",
    "\0", "\x7f", "<|endoftext|>", "a<|endoftext|>b", "<|im_start|>user\nhi<|im_end|>\n", "<|im_end|>!", "<|im|>",
    "<|im_end|", "<|im_start", "<<|im|>>", "<|im|><|im|>", " <|im|> ", "'<|im|>'s", "1<|im|>2", "{{ x }}", '"\\', "%s",
    "x" * 300, " " * 300, "\n" * 50, "9" * 100, "'" * 50, "the the the", "ab" * 100, "zqzqzq", " zqx", "zqx",
    "\u65e5\u672c\u8a9e\u65e5", "<0x41>", "<0x-1>", "<0xZZ>",
]  # fmt: skip
BROKEN = [b"\xff", b"\xc3", b"\xe2\x82", b"\xe2\x82a", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\x80 a",
          b"a\xf0\x9f\xa6", b" \xc3(", b"\xf5\x80\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"]  # fmt: skip


def random_texts(tokenizer: ByteLevel, count: int) -> list[str]:
    source = random.Random(tokenizer.rule)
    pieces = [piece.decode("utf-8", "ignore") for piece in tokenizer.pieces] + list(tokenizer.added)
    lines = given.repository_text(files.ROOT).splitlines()
    mixed = "aA1'\u0661 \n\r\t!.s\u00e9\u65e5\U0001f999\u00a0\u2167lm_"
    makers = (
        lambda: "".join(source.choices("abcdefghijklmnopqrstuvwxyz ETAOIN,.'\n0123456789", k=source.randrange(40))),
        lambda: "".join(source.choices(pieces, k=source.randrange(12))),
        lambda: "".join(source.choices(mixed, k=source.randrange(24))),
        lambda: "".join(chr(source.randrange(0xD800)) for _ in range(source.randrange(10))),
        lambda: "".join(chr(source.randrange(0xE000, 0x110000)) for _ in range(source.randrange(6))),
        lambda: "".join(source.choices(" \n\r\t'", k=source.randrange(20))),
        lambda: source.choice(lines)[source.randrange(20) :][: source.randrange(60)],
    )
    return [source.choice(makers)() for _ in range(count)]


@pytest.mark.parametrize("rule", given.RULES)
def test_ids_are_those_of_the_reference(rule: str, runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    tokenizer = trained(rule)
    reference = Reference(tokenizer)
    texts = [text.encode() for text in HAND_PICKED + random_texts(tokenizer, STRINGS // 4)] + BROKEN
    source = random.Random(rule)
    texts += [bytes(source.choices(b"\xc3\xa9\xe2\x82\xac a\xf0\x9f'1", k=source.randrange(20))) for _ in range(STRINGS // 40)]
    found = runtime_tokens(bake(opened(tmp_path, tokenizer)), tokenizer.size, texts)
    assert len(found) == len(texts)
    different = [text for text, (ids, _) in zip(texts, found, strict=True) if ids != reference.encode(text)]
    assert not different, f"{len(different)} of {len(texts)} differ, such as {different[0]!r}"
    for text, (_, decoded) in zip(texts, found, strict=True):
        for special in ("<|endoftext|>", "<|im_start|>"):
            text = text.replace(special.encode(), b"")
        if b"<|im_end|>" not in text:  # as a part of another token it has text
            assert decoded == text


@pytest.mark.parametrize("rule", given.RULES)
def test_gguf_and_older_json_are_the_same_tokenizer(rule: str, tmp_path: Path) -> None:
    tokenizer = trained(rule)
    data = opened(tmp_path, tokenizer)
    assert opened(tmp_path, tokenizer, "gguf") == data
    (tmp_path / "old.json").write_text(json.dumps(given.tokenizer_json(tokenizer, pairs=False)))
    assert open_tokenizer(tmp_path / "old.json", tokenizer.size) == data


def test_kinds_of_characters() -> None:
    """Each code point by itself; the runs are few enough to be carried along."""
    runs = char_kinds()
    assert runs[0] == (0, 0) and len(runs) < 2000
    kinds = [kind for (first, kind), (end, _) in zip(runs, [*runs[1:], (0x110000, 0)]) for _ in range(end - first)]
    assert len(kinds) == 0x110000
    for code, kind in enumerate(kinds):
        category = unicodedata.category(chr(code))
        # Python's white space and Unicode's differ in four separators of ASCII.
        space = chr(code).isspace() and code not in (0x1C, 0x1D, 0x1E, 0x1F)
        assert kind == (3 if space else {"L": 1, "N": 2}.get(category[0], 0)), hex(code)


def test_a_long_text_takes_no_square(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    """A quarter of a megabyte as one word, of spaces, of apostrophes and of half-begun special tokens."""
    for rule in ("gpt2 with single digits", "llama3"):
        tokenizer = trained(rule)
        blob = bake(opened(tmp_path, tokenizer))
        for part in (b"ab", b" ", b"\n ", b"'", b"<|im_", b"1"):
            text = part * ((1 << 18) // len(part))
            ((ids, decoded),) = runtime_tokens(blob, tokenizer.size, [text])
            assert decoded == text and len(ids) > 1000


DAMAGE_MAIN = """
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <vector>
#include "tokenizer.hpp"

// Reads a baked vocabulary and damages each of its bytes in turn. Prints how many were refused.
int main(int, char** argv) {
    std::vector<char> blob(std::strtoul(argv[1], nullptr, 10));
    if (std::fread(blob.data(), 1, blob.size(), stdin) != blob.size()) return 1;
    const int vocab_size = std::atoi(argv[2]);
    int refused = 0;
    for (std::size_t at = 4; at < blob.size(); ++at) {
        for (int flip : {1, 0x80, 0xff}) {
            std::vector<char> damaged = blob;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            auto view = storybake::Tokenizer::view(std::as_bytes(std::span(damaged)), vocab_size);
            if (!view) {
                ++refused;
                if (view.failure().exit_code != 65) return 2;
                continue;
            }
            std::size_t bytes = 0;
            for (int id : view->encode("the a  b 12\\n<|im|>'s \\xff")) {
                if (id < 0 || id >= vocab_size) return 3;
                for (char c : view->decode(view->bos(), id)) bytes += static_cast<unsigned char>(c) + 1U;
                bytes += view->ends_text(id);
            }
            if (bytes == 0) return 4;
        }
    }
    std::printf("%d", refused);
    return 0;
}
"""


def test_a_damaged_blob_is_refused_or_read_in_bounds(tmp_path: Path) -> None:
    program = with_tokenizers(tmp_path, DAMAGE_MAIN, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    pieces = [bytes([byte]) for byte in range(256)] + [b"th", b"the"]
    for rule, whole in (("gpt2 with single digits", False), ("llama3", True)):
        small = ByteLevel(rule, pieces, [(b"t", b"h"), (b"th", b"e")], ADDED, ignore_merges=whole)
        blob = bake(opened(tmp_path, small))
        command = [str(program), str(len(blob)), str(small.size)]
        done = subprocess.run(command, input=blob, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert int(done.stdout) > 3 * 256


# --- which tokens begin and end a text ---


def special_of(folder: Path, tokenizer: ByteLevel, **beside: Any) -> tuple[int, tuple[int, ...], bool]:
    for name in ("tokenizer_config", "generation_config", "config"):
        (folder / f"{name}.json").unlink(missing_ok=True)
    for name, value in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    data = opened(folder, tokenizer)
    return data.frame.bos, data.frame.ends, bool(data.frame.before)


def test_bos_and_eos_come_from_the_files_beside(tmp_path: Path) -> None:
    plain = trained("gpt2")
    # Without any, "<|endoftext|>" and "<|im_end|>" are known by name.
    assert special_of(tmp_path, plain) == (0, (0, 2), False)
    config = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "special": True}}
    assert special_of(tmp_path, plain, tokenizer_config=config) == (1, (2, 0, 1), False)
    assert special_of(tmp_path, plain, tokenizer_config=config | {"add_bos_token": True})[2]
    assert special_of(tmp_path, plain, config={"bos_token_id": 1, "eos_token_id": 7}) == (1, (7, 0, 2, 1), False)
    ends = {"bos_token_id": None, "eos_token_id": [9, 8]}
    assert special_of(tmp_path, plain, generation_config=ends, config={"bos_token_id": 5}) == (5, (9, 8, 0, 2, 5), False)
    # A template that puts a token first says both.
    assert special_of(tmp_path, trained("llama3"), config={"bos_token_id": 1}) == (0, (0, 2), True)


def test_without_bos_a_text_begins_with_itself(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    for rule, bos in (("gpt2", []), ("llama3", [0])):
        tokenizer = trained(rule)
        a = tokenizer.ids()[b"a"]
        blob = bake(opened(tmp_path, tokenizer))
        found = runtime_tokens(blob, tokenizer.size, [b"a", b"", b"<|im|>", b"<|im_start|>"])
        assert found == [([*bos, a], b"a"), ([0], b""), ([*bos, 3], b"<|im|>"), ([*bos, 1], b"")]


def test_a_byte_without_a_piece(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    """SmolLM2's vocabulary lacks bytes that are in no text: unk where there is one, otherwise nothing, as in Hugging
    Face's code."""
    full = trained("gpt2")
    lacking = ByteLevel("gpt2", [piece for piece in full.pieces if piece != b"\xff"], full.merges, full.added)
    for unk, expected in ((None, []), ("<|endoftext|>", [0, 0])):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(given.tokenizer_json(lacking, unk_token=unk)))
        blob = bake(open_tokenizer(path, lacking.size))
        a = lacking.ids()[b"a"]
        ((ids, _),) = runtime_tokens(blob, lacking.size, [b"a\xff\xffa"])
        assert ids == [a, *expected, a]


# --- against Hugging Face's own code ---

ENCODE = """
import { Tokenizer } from "@huggingface/tokenizers";
import { readFileSync } from "node:fs";
const [tokenizer, texts] = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, "utf8")));
const made = new Tokenizer(tokenizer, { clean_up_tokenization_spaces: false });
console.log(JSON.stringify(texts.map((text) => made.encode(text).ids)));
"""
# Where that code is not the image of the Rust one: JavaScript's white space, case without "\u017f"; and its Digits knows
# those of ASCII only.
UNLIKE = {"\x85", "\ufeff", "\u180e", "\u017f"}


def same_in_javascript(text: str, rule: str) -> bool:
    """Whether the text has no character that JavaScript's code treats otherwise, or that is younger than Python's
    Unicode."""
    kinds = {"N"} if rule == "gpt2 with single digits" else set()
    return not any(
        letter in UNLIKE or unicodedata.category(letter) == "Cn" or (letter > "\x7f" and unicodedata.category(letter)[0] in kinds)
        for letter in text
    )


@pytest.mark.skipif("STORYBAKE_NPM" not in os.environ, reason="set STORYBAKE_NPM=1 to install @huggingface/tokenizers")
def test_ids_are_those_of_hugging_face(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    assert shutil.which("npm"), "STORYBAKE_NPM=1 needs node and npm"
    subprocess.run(["npm", "install", "--silent", "@huggingface/tokenizers@0.2"], cwd=tmp_path, check=True)
    (tmp_path / "encode.mjs").write_text(ENCODE)
    for rule in given.RULES:
        tokenizer = trained(rule)
        blob = bake(opened(tmp_path, tokenizer))
        texts = [
            text
            for text in HAND_PICKED + random_texts(tokenizer, STRINGS // 4)
            if text and same_in_javascript(text, rule)
        ]
        (tmp_path / "texts.json").write_text(json.dumps(texts))
        done = subprocess.run(
            ["node", "encode.mjs", "tokenizer.json", "texts.json"], cwd=tmp_path, check=True, capture_output=True
        )
        found = runtime_tokens(blob, tokenizer.size, [text.encode() for text in texts])
        expected = json.loads(done.stdout)
        assert len(expected) == len(texts) > STRINGS // 8
        different = [text for text, ids, (ours, _) in zip(texts, expected, found, strict=True) if ids != ours]
        assert not different, f"{rule}: {len(different)} of {len(texts)} differ, such as {different[0]!r}"
