"""An independent judge: llama.cpp finds the same token ids and the same ends in the tokenizers of seeded GGUF files."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import byte_level_files
import model_files as files
import pytest
import vocabulary_files as given
from conftest import RuntimeTokens
from model_files import BOOL, STRING, U32

from codegen.formats import open_tokenizer
from codegen.tokenizer import bake

TOOLS = files.ROOT / ".toolchain" / "llama" / "usr"
PROGRAM = TOOLS / "bin" / "llama-completion"
TOKEN = re.compile(rb" I +(\d+) -> '")
COUNT = re.compile(rb"number of tokens in prompt = (\d+)")
END = re.compile(rb"EOG token += (\d+) ")
# a space, words, and what is found whole, glued together
TEXTS = ["a", " a", "ab b", "a<|im_start|>ab b<|im_end|>\n", "<b>a <b>", "<|im_end|><|im_start|>", "\u00e9 \U0001f999", "a  b   ab",
         "the them\n\nthen 12 345's", "[PAD0]x"]  # fmt: skip
SPECIAL = {"<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<b>": False}


def llama_pieces() -> given.Pieces:
    return [*given.tiny_pieces(), ("<|im_start|>", 0.0, 3), ("<|im_end|>", 0.0, 3), ("<b>", 0.0, 4), ("<|eom_id|>", 0.0, 3),
            ("[PAD0]", 0.0, 5)]  # fmt: skip


def llama(folder: Path, **changes: Any) -> Path:
    return gguf(folder, given.gguf_keys(llama_pieces(), **changes), len(llama_pieces()))


def byte_level(folder: Path, rule: str, **changes: Any) -> Path:
    text = "the them then there their they the 12 123 1234 ab abab ababab baba é éa" * 3
    tokenizer = byte_level_files.train(text, rule, 12, SPECIAL, ignore_merges=rule == "llama3")
    return gguf(folder, byte_level_files.gguf_keys(tokenizer, **changes), tokenizer.size)


def gguf(folder: Path, keys: files.KV, size: int) -> Path:
    """A whole model of random weights with a tokenizer."""
    model, tensors = files.tiny(vocab_size=size, seq_len=256)
    (folder / "m.gguf").write_bytes(files.gguf(files.gguf_kv(model) | keys, files.gguf_tensors(tensors)))
    return folder / "m.gguf"


CASES: dict[str, Any] = {
    "llama": lambda folder: llama(folder),
    "no BOS": lambda folder: llama(folder, add_bos_token=(BOOL, 0)),
    "no space": lambda folder: llama(folder, add_space_prefix=(BOOL, 0)),
    "another BOS and EOS": lambda folder: llama(folder, bos_token_id=(U32, 265), eos_token_id=(U32, 266)),
    "eot": lambda folder: llama(folder, eot_token_id=(U32, 264), eom_token_id=(U32, 263)),
    "gpt-2": lambda folder: byte_level(folder, "gpt2"),
    "gpt-2 with BOS": lambda folder: byte_level(folder, "gpt2", add_bos_token=(BOOL, 1)),
    "smollm": lambda folder: byte_level(folder, "gpt2 with single digits"),
    "llama 3": lambda folder: byte_level(folder, "llama3", add_bos_token=None),
    "qwen 2": lambda folder: byte_level(folder, "qwen2", pre=(STRING, "qwen2")),
}


@pytest.mark.parametrize("case", CASES)
def test_ids_and_ends_are_llama_cpps(case: str, tmp_path: Path, runtime_tokens: RuntimeTokens) -> None:
    if not PROGRAM.exists():
        pytest.skip("no llama.cpp; run: tools/toolchain llama")
    path = CASES[case](tmp_path)
    backend = next(TOOLS.glob("lib/*/ggml/*/libggml-cpu-x64.so"), None) or next(TOOLS.glob("lib/*/ggml/*/libggml-cpu*.so"))
    data = open_tokenizer(path)
    found = runtime_tokens(bake(data), len(data.pieces), [text.encode() for text in TEXTS])
    for text, (ids, _) in zip(TEXTS, found, strict=True):
        (tmp_path / "text").write_bytes(text.encode() + b"\n")  # one line feed at the end is taken off
        command = [PROGRAM, "-m", path, "-f", tmp_path / "text", "-c", "256", "-n", "1", "-t", "1", "--temp", "0", "-no-cnv",
                   "--verbose-prompt", "-lv", "5"]  # fmt: skip
        for _ in range(30):
            # It writes its log in a thread that does not always come to its end.
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                                  check=True, env=os.environ | {"GGML_BACKEND_PATH": str(backend)})  # fmt: skip
            count = COUNT.search(done.stdout)
            theirs = [int(at) for at in TOKEN.findall(done.stdout)]
            if count and int(count[1]) == len(theirs):
                break
        assert ids == theirs, text
    ends = {int(at) for at in END.findall(done.stdout)}
    assert ends and set(data.frame.ends) == ends | {data.frame.bos}
