"""The tokenizer's reader and baker, and that the runtime bakes the same bytes."""

from __future__ import annotations

import math
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from codegen.errors import BakeError
from codegen.tokenizer import BYTE_TOKENS, bake, find_tokenizer, parse, read_tokenizer

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("STORYBAKE_MODELS", ROOT.parent / "shared" / "models"))
SPECIAL = [b"<unk>", b"\n<s>\n", b"\n</s>\n"]

BAKE_MAIN = """
#include <cstdio>
#include "tokenizer.hpp"
#include "vocabulary.hpp"

int main(int, char** argv) {
    const std::string file = storybake::model_file(argv[1]);
    auto blob = storybake::bake_tokenizer(storybake::as_bytes(file), std::atoi(argv[2]), argv[1]);
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
    """A program that bakes with the runtime's own code: folder by STORYBAKE_MODELS, arguments name and count."""
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
    env = {**os.environ, "STORYBAKE_MODELS": str(path.parent)}
    return subprocess.run([program, path.name, str(vocab_size)], env=env, capture_output=True, check=False)


@pytest.mark.parametrize(("name", "vocab_size"), [("tok512.bin", 512), ("tokenizer.bin", 32000)])
def test_python_and_runtime_bake_the_same_bytes(runtime_bake: Path, name: str, vocab_size: int) -> None:
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"no {path}: set STORYBAKE_MODELS to the folder of the test models")
    result = runtime_blob(runtime_bake, path, vocab_size)
    assert result.returncode == 0, result.stderr
    assert result.stdout == bake(read_tokenizer(path, vocab_size))


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
            expected = bake(read_tokenizer(path, len(pieces)))
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


@pytest.mark.parametrize(
    ("data", "vocab_size", "message"),
    [
        (b"", 4, "0 bytes"),
        (file_of([*SPECIAL, b" "]), 512, "found 4 pieces, the model has 512"),
        (file_of([*SPECIAL, b" "]) + b"x", 4, "piece 4: found 1 bytes"),
        (file_of([*SPECIAL, b" "], longest=5), 4, "max_token_length: found 5, the longest piece has 6"),
        (file_of([*SPECIAL, b" "], longest=2**32 - 1), 4, "max_token_length"),
        (file_of([*SPECIAL, b"a"]), 4, "single space"),
        (file_of([*SPECIAL, b" "], [0, 0, 0, math.nan]), 4, "piece 3: its score is not finite"),
        (file_of([*SPECIAL, b" "], [0, 0, 0, -math.inf]), 4, "piece 3: its score is not finite"),
        (file_of([*SPECIAL, b" ", b""]), 5, "piece 4: found a length of 0"),
        (file_of([*SPECIAL, b" ", b"\0"]), 5, "piece 4: found a zero byte"),
        (file_of([*SPECIAL, b"<0x00>", b" "]), 5, "found 1 of the byte tokens"),
    ],
)
def test_bad_files_are_refused(data: bytes, vocab_size: int, message: str) -> None:
    with pytest.raises(BakeError) as caught:
        parse(data, vocab_size, "x.bin")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 65


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
