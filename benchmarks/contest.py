"""Runs `tools/board-report --contest`: a program's stories against llama2.c's own, and what it takes to tell them.

The stories are kept in contest.toml as fingerprints, made by an oracle that shares no line with the kernels or the runtime:
`python3 -m benchmarks.contest MODEL` computes docs/arithmetic.md in NumPy (codegen/golden_run.py), draws with llama2.c's
sampler, and adds those of a model.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import shlex
import statistics
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from codegen import golden_run as golden
from codegen.__main__ import tokenizer_of
from codegen.command import run_command
from codegen.errors import USAGE, BakeError
from codegen.fingerprint import fingerprint_file
from codegen.formats import open_model
from codegen.rope import rope_table
from codegen.source import TensorSource
from codegen.tensor import FloatArray, Tensor
from codegen.tokenizer import BYTE_TOKENS, FIRST_BYTE, TokenizerData

TABLE = Path(__file__).resolve().parent / "contest.toml"
SEEDS = range(1, 31)
STEPS = 256
TOPP = np.float32(0.9)
PROMPT = "Once upon a time"
STORIES = tuple(("-t", "1.0", "-p", "0.9", "-n", str(STEPS), "-s", str(seed)) for seed in SEEDS)
COMMAND = ("-t", "1.0", "-p", "0.9", "-n", str(STEPS), "-s", "123", "-i", PROMPT)
RUNS = 30
PIECE = 64  # counts the bytes of a story that have a digest of their own
BOS, EOS = 1, 2

Run = Callable[..., str]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:6]


def prints_of(story: bytes) -> str:
    """Computes the digests of a story's first piece, its first two, ..., and of all of it."""
    return " ".join(digest(story[:end]) for end in (*range(PIECE, len(story), PIECE), len(story)))


def first_difference(story: bytes, kept: str) -> int | None:
    """Finds the first byte of the first piece that differs from the story of these digests; None when it is the same."""
    mine = prints_of(story)
    if mine == kept:
        return None
    pairs = list(zip(mine.split(), kept.split()))
    return PIECE * next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))


# ---- The page


def page(run: Run, system: Sequence[tuple[str, str]], timed: bool, program: Path, peak: Callable[[Sequence[str]], str],
         table: Callable[[Sequence[tuple[str, ...]]], str], path: Path = TABLE) -> str:
    """Writes the page of a program: stories, times, memory, sizes. `run` gives what it prints, `peak` the most memory and swap that
    it had with some arguments; without `timed`, times are an emulator's and left out."""
    info = run("--info")
    found = re.search(r"^checkpoint had +fingerprint (0x[0-9a-f]+)", info, re.M)
    kept = tomllib.loads(path.read_text()).get(found[1] if found else "", {})
    failures: list[str] = []
    told: Sequence[tuple[str, ...]] = (*STORIES, COMMAND) if kept else ()
    for arguments, prints in zip(told, kept.get("stories", ())):
        at = first_difference(run("-q", *arguments).encode(errors="surrogateescape"), prints)
        if at is not None:
            failures.append(f"- `{' '.join(arguments)}` first differs in the bytes {at} to {at + PIECE - 1}\n")
    passed = len(told) - len(failures)
    regression = f"{passed} of {len(told)} stories are llama2.c's, {100 * passed / len(told):.1f} %" if told else (
        "no stories are kept of this checkpoint: /usr/bin/python3 -m benchmarks.contest MODEL makes them")  # fmt: skip
    rows = [
        ("what", "found"),
        ("model", " ".join(re.findall(r"^(?:model|target) +(.+)", info, re.M))),
        *system,
        ("regression", regression),
        *([("speed", speed(run))] if timed else []),
        *([("memory at its peak", peak(COMMAND))] if timed else []),
        ("program", f"{program.stat().st_size:,} bytes, weights inside it" if "inside" in info else f"{program.stat().st_size:,} bytes"),
    ]
    again = "".join(f"    ./{program.name} {shlex.join(arguments)}\n" for arguments in (STORIES[0], COMMAND))
    return table(rows) + "\n" + "".join(failures) + ("\n" if failures else "") + "Again:\n\n" + again


def speed(run: Run) -> str:
    """Computes the mean of the runs, without those that lie more than one and a half interquartile ranges beside the quartiles."""
    rates = [float(found) for _ in range(RUNS) for found in re.findall(r"^achieved tok/s: ([0-9.]+)", run(*COMMAND), re.M)]
    if len(rates) < RUNS:
        return f"{len(rates)} of {RUNS} runs told their speed"
    low, _, high = statistics.quantiles(rates, n=4)
    reach = 1.5 * (high - low)
    steady = [rate for rate in rates if low - reach <= rate <= high + reach]
    return (
        f"{statistics.mean(steady):.2f} tok/s, standard deviation {statistics.stdev(steady):.2f}, {min(steady):.2f} to "
        f"{max(steady):.2f}; {RUNS} runs, {RUNS - len(steady)} of them left out as outliers"
    )


# ---- The oracle


@dataclasses.dataclass
class Draws:
    """Draws llama2.c's random numbers (xorshift64*), and samples by its top-p at temperature 1."""

    state: int

    def coin(self) -> np.float32:
        mask = (1 << 64) - 1
        self.state ^= self.state >> 12
        self.state ^= self.state << 25 & mask
        self.state ^= self.state >> 27
        return np.float32((self.state * 0x2545F4914F6CDD1D & mask) >> 40) / np.float32(16777216)

    def token(self, logits: FloatArray) -> int:
        e = golden.exp(logits - logits.max())
        p = e / np.add.accumulate(e)[-1]
        coin = self.coin()
        cutoff = (np.float32(1) - TOPP) / np.float32(len(p) - 1)
        candidates = np.flatnonzero(p >= cutoff)
        order = candidates[np.argsort(-p[candidates], kind="stable")]
        sums = np.add.accumulate(p[order])
        last = int(np.argmax(sums > TOPP)) if (sums > TOPP).any() else len(order) - 1
        drawn = np.flatnonzero(coin * sums[last] < sums[: last + 1])
        return int(order[drawn[0] if drawn.size else last])


def encode(text: str, vocabulary: TokenizerData) -> list[int]:
    """Finds the tokens of a text without a byte beyond ASCII, as llama2.c's encoder finds them, with BOS."""
    ids = {piece: at for at, piece in reversed(list(enumerate(vocabulary.pieces)))}
    tokens = [ids[b" "], *(ids.get(bytes([c]), FIRST_BYTE + c) for c in text.encode("ascii"))]
    while True:
        pairs = [(vocabulary.scores[ids[merged]], -at) for at in range(len(tokens) - 1)
                 if (merged := vocabulary.pieces[tokens[at]] + vocabulary.pieces[tokens[at + 1]]) in ids]  # fmt: skip
        if not pairs:
            return [BOS, *tokens]
        at = -max(pairs)[1]
        tokens[at : at + 2] = [ids[vocabulary.pieces[tokens[at]] + vocabulary.pieces[tokens[at + 1]]]]


def text_of(tokens: Sequence[int], vocabulary: TokenizerData) -> bytes:
    """Returns what llama2.c prints of a story, and the newline after it."""
    text = b""
    for before, token in zip(tokens, tokens[1:]):
        piece = vocabulary.pieces[token]
        piece = piece[1:] if before == BOS and piece.startswith(b" ") else piece
        piece = bytes([BYTE_TOKENS.index(piece)]) if piece in BYTE_TOKENS else piece
        text += b"" if len(piece) == 1 and not (32 <= piece[0] < 127 or piece.isspace()) else piece
    return text + b"\n"


def stories(source: TensorSource, vocabulary: TokenizerData, seeds: Sequence[int], prompts: Sequence[str]) -> list[bytes]:
    """Tells the stories of seeds, each with its prompt, told side by side."""
    model = source.model
    tensor = functools.cache(source.tensor)
    steps, n = min(STEPS, model.seq_len), len(seeds)
    table = rope_table(dataclasses.replace(model, seq_len=steps))
    told = [encode(prompt, vocabulary) if prompt else [BOS] for prompt in prompts]
    given = [len(tokens) for tokens in told]
    draws = [Draws(seed) for seed in seeds]
    ended = [False] * n
    keys, values = (np.zeros((model.n_layers, n, steps, model.n_heads, model.head_size), np.float32) for _ in range(2))
    for pos in range(steps):
        if all(ended):
            break
        logits = position(tensor, source, [tokens[pos] if pos < len(tokens) else EOS for tokens in told], pos, table, keys, values)
        for i in range(n):
            if pos + 1 < given[i] or ended[i]:
                continue
            token = draws[i].token(logits[i])
            ended[i] = token in (BOS, EOS)
            told[i] += [] if ended[i] else [token]
    return [text_of(tokens[: steps + 1], vocabulary) for tokens in told]


def position(tensor: Callable[..., Tensor], source: TensorSource, tokens: list[int], pos: int, table: FloatArray,
             keys: FloatArray, values: FloatArray) -> FloatArray:
    """Computes the logits (n, vocab_size) of one position of n texts, whose keys and values so far are (layers, n, steps, heads,
    head_size)."""
    model, norm_eps = source.model, np.float32(source.model.norm_eps)
    embedding = tensor("token_embedding_table")
    one = golden.ONE
    x = golden._rows(embedding, tuple(tokens))
    heads = (len(tokens), -1, model.head_size)

    def rotated(vectors: FloatArray) -> FloatArray:
        here = table[:, pos : pos + 1].repeat(len(tokens), axis=1)
        return golden.rope(vectors.reshape(heads), here)

    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for layer in range(model.n_layers):
            xb = golden.rmsnorm(x, tensor("rms_att_weight", layer), norm_eps)
            q = rotated(golden.matmul(tensor("wq", layer), xb))
            keys[layer][:, pos] = rotated(golden.matmul(tensor("wk", layer), xb)).repeat(model.kv_mul, axis=1)
            values[layer][:, pos] = golden.matmul(tensor("wv", layer), xb).reshape(heads).repeat(model.kv_mul, axis=1)
            score = np.zeros((len(tokens), pos + 1, model.n_heads), np.float32)
            for i in range(model.head_size):
                score += q[:, None, :, i] * keys[layer][:, : pos + 1, :, i]
            score /= np.sqrt(np.float32(model.head_size))
            e = golden.exp(score - score.max(axis=1, keepdims=True))
            att = e / np.add.accumulate(e, axis=1)[:, -1:]
            out = np.zeros(q.shape, np.float32)
            for t in range(pos + 1):
                out += att[:, t, :, None] * values[layer][:, t]
            x = x + golden.matmul(tensor("wo", layer), out.reshape(len(tokens), -1))
            xb = golden.rmsnorm(x, tensor("rms_ffn_weight", layer), norm_eps)
            h = golden.matmul(tensor("w1", layer), xb)
            h = h * (one / (one + golden.exp(-h))) * golden.matmul(tensor("w3", layer), xb)
            x = x + golden.matmul(tensor("w2", layer), h)
        x = golden.rmsnorm(x, tensor("rms_final_weight"), norm_eps)
        return golden.matmul(embedding if model.shared_classifier else tensor("wcls"), x)


def entry(model: Path) -> str:
    """Writes the lines of a model in contest.toml."""
    source = open_model(model)
    _, vocabulary = tokenizer_of(source, "")
    assert isinstance(vocabulary, TokenizerData), "llama2.c knows no other tokenizer"
    told = stories(source, vocabulary, [*SEEDS, 123], ["" for _ in SEEDS] + [PROMPT])
    lines = "".join(f'    "{prints_of(story)}",\n' for story in told)
    return f'\n["0x{fingerprint_file(model):016x}"]\nname = "{model.stem}"\nstories = [\n{lines}]\n'


def main(arguments: list[str]) -> int:
    """Adds a model's lines to contest.toml, in place of those that it had; errors as one line."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print("python3 -m benchmarks.contest MODEL     adds what llama2.c tells with a checkpoint to benchmarks/contest.toml")
        return 0 if arguments in (["-h"], ["--help"]) else USAGE
    try:
        made = entry(Path(arguments[0]))
    except BakeError as error:
        print(f"benchmarks.contest: {error}", file=sys.stderr)
        return error.exit_code
    others = TABLE.read_text(encoding="utf-8").split('\n["')
    kept = [part for part in others if not made.startswith('\n["' + part[:18])]
    TABLE.write_text('\n["'.join(kept) + made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_command("benchmarks.contest", main)
