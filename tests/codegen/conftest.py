"""What the tests of the generator share."""
from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen.export import main

Refused = Callable[..., None]
SOURCES = ("tokenizer", "chat_format", "nfc", "llama_bpe", "byte_level_bpe", "words")  # of the runtime's tokenizers


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Asserts that tools/export refuses a file with a code and these words on one line, in bounded time, and leaves
    nothing behind."""

    def check(path: Path, words: str, code: int = 65, form: str = "v0") -> None:
        out = tmp_path / "out" / "out.bin"
        out.parent.mkdir()
        begin = time.process_time()
        assert main([str(path), str(out), "--format", form]) == code
        assert time.process_time() - begin < 5
        message = capsys.readouterr().err
        assert words in message
        assert message.startswith("tools/export: ") and message.endswith("\n") and len(message) < 700
        assert message[:-1].isprintable()
        assert not list(out.parent.iterdir())

    return check


ENCODE_MAIN = """
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include "tokenizer.hpp"

// Reads a baked vocabulary, then texts, each with its u32 length; prints on a line the ids of each, and in hexadecimal
// what a program prints of them.
int main(int, char** argv) {
    std::vector<char> blob(std::strtoul(argv[1], nullptr, 10));
    if (std::fread(blob.data(), 1, blob.size(), stdin) != blob.size()) return 1;
    auto tokenizer = storybake::Tokenizer::view(std::as_bytes(std::span(blob)), std::atoi(argv[2]));
    if (!tokenizer) return 2;
    unsigned length = 0;
    while (std::fread(&length, 4, 1, stdin) == 1) {
        std::string text(length, 0);
        if (std::fread(text.data(), 1, length, stdin) != length) return 1;
        int previous = -1;
        std::string decoded;
        for (int id : tokenizer->encode(text)) {
            std::printf("%d ", id);
            if (!tokenizer->ends_text(id)) decoded += tokenizer->decode(previous, id);
            previous = id;
        }
        std::putchar('|');
        for (unsigned char c : decoded) std::printf("%02x", static_cast<unsigned>(c));
        std::putchar(10);
    }
    return 0;
}
"""
# (ids, decoded bytes) of each text, of a baked vocabulary and its size.
RuntimeTokens = Callable[[bytes, int, list[bytes]], list[tuple[list[int], bytes]]]


def with_tokenizers(folder: Path, main_text: str, *options: str) -> Path:
    """A program with the runtime's tokenizers, which are compiled together: headers are read once."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    assert compiler, "these tests need a C++ compiler"
    source, program = folder / "program.cpp", folder / "program"
    source.write_text(main_text + "".join(f'#include "{name}.cpp"\n' for name in SOURCES))
    runtime = Path(__file__).resolve().parents[2] / "runtime"
    subprocess.run([*compiler.split(), "-std=c++20", "-O1", *options, f"-I{runtime}", str(source), "-o", str(program)], check=True)
    return program


@pytest.fixture(scope="session")
def runtime_tokens(tmp_path_factory: pytest.TempPathFactory) -> RuntimeTokens:
    """The runtime's own encoder and decoder, as a function."""
    program = with_tokenizers(tmp_path_factory.mktemp("encode"), ENCODE_MAIN)

    def tokens(blob: bytes, count: int, texts: list[bytes]) -> list[tuple[list[int], bytes]]:
        given = blob + b"".join(struct.pack("<I", len(text)) + text for text in texts)
        done = subprocess.run(
            [program, str(len(blob)), str(count)], input=given, capture_output=True, check=True
        )
        lines = (line.split("|") for line in done.stdout.decode().splitlines())
        return [([int(token) for token in ids.split()], bytes.fromhex(text)) for ids, text in lines]

    return tokens
