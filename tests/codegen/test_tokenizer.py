"""The tokenizer's reader and baker, and that the runtime bakes the same bytes."""

from __future__ import annotations

import math
import os
import shutil
import struct
import subprocess
from pathlib import Path

import at_hand
import model_files as files
import pytest
from conftest import RuntimeTokens

from codegen.__main__ import main as build
from codegen.errors import BakeError
from codegen.tokenizer import BYTE_TOKENS, bake, bake_words, find_tokenizer, parse, read_tokenizer

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = [b"<unk>", b"\n<s>\n", b"\n</s>\n"]

BAKE_MAIN = """
#include <cstdio>
#include "tokenizer.hpp"
#include "vocabulary.hpp"

int main(int, char** argv) {
    const std::string file = storybake::file_bytes(argv[1]);
    auto blob = storybake::bake_tokenizer(storybake::as_bytes(file), std::atoi(argv[2]), argv[3]);
    if (!blob) {
        std::fputs(blob.failure().message.c_str(), stderr);
        return blob.failure().exit_code;
    }
    return std::fwrite(blob->data(), 1, blob->size(), stdout) == blob->size() ? 0 : 1;
}
"""


def file_of(pieces: list[bytes], scores: list[float] | None = None, longest: int | None = None) -> bytes:
    """The bytes of a tokenizer.bin."""
    scores = scores or [0.0] * len(pieces)
    header = struct.pack("<I", max(map(len, pieces)) if longest is None else longest)
    return header + b"".join(struct.pack("<fi", s, len(p)) + p for p, s in zip(pieces, scores, strict=True))


@pytest.fixture(scope="session")
def runtime_bake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that bakes with the runtime's own code: arguments are a path, the number of pieces, and a name for messages."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    assert compiler, "these tests need a C++ compiler"
    folder = tmp_path_factory.mktemp("bake")
    source = folder / "bake.cpp"
    source.write_text(BAKE_MAIN)
    program = folder / "bake"
    includes = [f"-I{ROOT}/runtime", f"-I{ROOT}/tests/runtime"]
    command = [*compiler.split(), "-std=c++20", *includes, str(source), f"{ROOT}/runtime/llama_bpe.cpp"]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def runtime_blob(program: Path, path: Path, vocab_size: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, path, str(vocab_size), path.name], capture_output=True, check=False)


@pytest.mark.parametrize(("path", "vocab_size"), [*at_hand.vocabularies(), (at_hand.tokenizer("odd"), 301)])
def test_python_and_runtime_bake_the_same_bytes(runtime_bake: Path, path: Path, vocab_size: int) -> None:
    result = runtime_blob(runtime_bake, path, vocab_size)
    assert result.returncode == 0, result.stderr
    assert result.stdout == bake_words(read_tokenizer(path, vocab_size))


def test_odd_vocabularies_bake_the_same(runtime_bake: Path, tmp_path: Path) -> None:
    cases = [
        [*SPECIAL, b" ", b"a", b"a", b"\xff", b'"\\*/%s{{ }}??/\n\x1b', b"\xe2\x80\xae"],
        [*SPECIAL, *BYTE_TOKENS, b" ", b"<0x41>", b"<0xZZ>"],
        [*SPECIAL, *BYTE_TOKENS[:-1], b" "],
        [*SPECIAL, b"a"],
        [*SPECIAL, b" ", b"\0"],
    ]
    for index, pieces in enumerate(cases):
        path = tmp_path / f"case{index}.bin"
        path.write_bytes(file_of(pieces, [-0.5 * i for i in range(len(pieces))]))
        result = runtime_blob(runtime_bake, path, len(pieces))
        try:
            expected = bake_words(read_tokenizer(path, len(pieces)))
        except BakeError as error:
            assert (result.returncode, result.stderr.decode()) == (error.exit_code, str(error))
        else:
            assert (result.returncode, result.stdout) == (0, expected)


def test_every_truncation_is_refused() -> None:
    data = file_of([*SPECIAL, b" ", b"longer"])
    for size in range(len(data)):
        with pytest.raises(BakeError):
            parse(data[:size], 5, "x")
    assert parse(data, 5, "x").pieces[-1] == b"longer"


PIECES = [*SPECIAL, *BYTE_TOKENS, b" ", b"longer"]
GOOD = file_of(PIECES)
LAST = len(GOOD) - len(b"longer")  # where the text of the last piece begins


def with_length(length: int) -> bytes:
    """The good file with another length of its last piece."""
    return GOOD[: LAST - 4] + struct.pack("<i", length) + GOOD[LAST:]


BAD_FILES = {
    "an empty tokenizer": (b"", "0 bytes"),
    "a tokenizer of two bytes": (GOOD[:2], "2 bytes, a tokenizer.bin has at least 4"),
    "a tokenizer cut in a text": (GOOD[:-1], "piece 260: found a length of 6, need 1 to 5"),
    "a tokenizer cut in a head": (GOOD[: LAST - 1], "piece 260: found 7 bytes, need 8"),
    "a tokenizer cut in half": (GOOD[: len(GOOD) // 2], "the model has 261 pieces: is the file cut short"),
    "bytes after a tokenizer": (GOOD + b"x", "piece 261: found 1 bytes"),
    "max_token_length 0": (file_of(PIECES, longest=0), "max_token_length: found 0, the longest piece has 6"),
    "max_token_length 1": (file_of(PIECES, longest=1), "max_token_length: found 1, the longest piece has 6"),
    "max_token_length INT_MAX": (file_of(PIECES, longest=2**31 - 1), "max_token_length: found 2147483647"),
    "max_token_length 2^32 - 1": (file_of(PIECES, longest=2**32 - 1), "max_token_length: found 4294967295"),
    "a length of -1": (with_length(-1), "piece 260: found a length of -1"),
    "a length of INT_MIN": (with_length(-(2**31)), "piece 260: found a length of -2147483648"),
    "a length of 0": (with_length(0), "piece 260: found a length of 0"),
    "a length of 10^9": (with_length(10**9), "piece 260: found a length of 1000000000"),
    "a tokenizer of 4 pieces": (file_of([*SPECIAL, b" "]), "found 4 pieces, the model has 261"),
    "a piece too many": (file_of([*PIECES, b"x"]), "found 262 pieces, the model has 261: give the tokenizer of this"),
    "no single space": (file_of([*PIECES[:-2], b"a", b"b"]), "found no piece for a single space"),
    "some byte tokens": (file_of([*SPECIAL, b"<0x00>", *(b"%d" % i for i in range(256)), b" "]), "found 1 of the byte"),
    "a lower-case byte token": (file_of([*SPECIAL, *BYTE_TOKENS[:-1], b"<0xff>", b" ", b"a"]), "found 255 of the byte"),
    "a byte token <0x-1>": (file_of([*SPECIAL, b"<0x-1>", *BYTE_TOKENS[1:], b" ", b"a"]), "found 255 of the byte"),
    "a score that is NaN": (file_of(PIECES, [0.0] * 260 + [math.nan]), "piece 260: its score is not finite"),
    "a score of -infinity": (file_of(PIECES, [-math.inf] + [0.0] * 260), "piece 0: its score is not finite"),
    "a zero byte in a piece": (file_of([*PIECES[:-1], b"a\0b"]), "piece 260: found a zero byte"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_are_refused(
    what: str, runtime_bake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The build and the program's -z say the same in one line, with the code of bad data."""
    data, words = BAD_FILES[what]
    path, model = tmp_path / "bad.bin", files.hf_folder(tmp_path / "model", *files.tiny(vocab_size=len(PIECES)))
    path.write_bytes(data)
    for arguments in (["facts", str(model)], ["data", str(model), "--output", str(tmp_path / "out")]):
        assert build([*arguments, "--tokenizer", str(path)]) == 65
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.startswith("storybake: bad.bin: ") and words in printed.err
        assert printed.err.count("\n") == 1 and printed.err[:-1].isprintable()
    assert not (tmp_path / "out").exists()
    result = runtime_blob(runtime_bake, path, len(PIECES))
    assert (result.returncode, f"storybake: {result.stderr.decode()}\n") == (65, printed.err)


def test_pieces_too_many_are_counted_only_so_far() -> None:
    """Where a C++ loop counts all that a file of the largest size has, Python would take seconds."""
    with pytest.raises(BakeError, match="x: found more than 65798 pieces, the model has 261: give the tokenizer of this model"):
        parse(file_of([*PIECES, *(b"%d" % at for at in range(70_000))]), 261, "x")


def test_vocabularies_that_are_odd_but_defined(runtime_tokens: RuntimeTokens) -> None:
    """No byte tokens, equal pieces, and what only looks like a byte token: by the rules, not by chance."""

    def ids(pieces: list[bytes], text: bytes) -> tuple[list[int], bytes]:
        blob = bake(parse(file_of(pieces, [-float(at) for at in range(len(pieces))]), len(pieces), "x"))
        return runtime_tokens(blob, len(pieces), [text])[0]

    assert ids([*SPECIAL, b" ", b"a"], "a\u00e9z".encode())[0] == [1, 3, 4, 0, 0], "unk for what has no piece"
    assert ids([*SPECIAL, b" ", b"a", b"a", b"aa", b"aa"], b"aa")[0] == [1, 3, 6], "the lowest id of equal pieces"
    texts = [b"<0x41>", b"<0x-1>", b"<0xZZ>"]
    letters = [bytes([letter]) for letter in sorted(set(b"".join(texts)))]
    pieces = [*SPECIAL, *BYTE_TOKENS, b" ", *letters, *texts]
    for text in texts:
        tokens, decoded = ids(pieces, text)
        assert decoded == text and len(tokens) > 2, "characters; no byte"
    blob = bake(parse(file_of(pieces), len(pieces), "x"))
    assert runtime_tokens(blob, len(pieces), [b"\xffA"])[0] == ([1, 259, 3 + 0xFF, 3 + 0x41], b"\xffA")


def test_a_missing_file_is_66(tmp_path: Path) -> None:
    with pytest.raises(BakeError) as caught:
        read_tokenizer(tmp_path / "none.bin", 4)
    assert caught.value.exit_code == 66


def test_the_tokenizer_beside_a_model(tmp_path: Path) -> None:
    model = tmp_path / "tiny.bin"
    assert find_tokenizer(model, 4) is None
    fits, other = file_of([*SPECIAL, b" "]), file_of([*SPECIAL, b" ", b"a"])
    (tmp_path / "tokenizer.bin").write_bytes(other)
    with pytest.raises(BakeError, match=r"tokenizer\.bin: found 5 pieces, the model has 4"):
        find_tokenizer(model, 4)
    (tmp_path / "tok4.bin").write_bytes(fits)
    assert find_tokenizer(model, 4) == tmp_path / "tok4.bin"
    (tmp_path / "tiny.tokenizer.bin").write_bytes(fits)
    assert find_tokenizer(model, 4) == tmp_path / "tiny.tokenizer.bin"
    assert find_tokenizer(tmp_path / "tiny_q8.bin", 4) == tmp_path / "tiny.tokenizer.bin"
    (tmp_path / "tiny.tokenizer.bin").write_bytes(fits[:-1])
    assert find_tokenizer(model, 4) == tmp_path / "tok4.bin"
    assert find_tokenizer(model, 5) == tmp_path / "tokenizer.bin"
