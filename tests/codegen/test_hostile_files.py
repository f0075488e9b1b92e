"""Files that were made to harm: wrong types wherever a value is expected, sizes that nobody bounded, values that float32 has
not. One line, 65, little time and little memory, and no traceback."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import at_hand
import byte_level_files
import model_files as files
import pytest
import vocabulary_files as given
from conftest import Refused
from model_files import ARRAY, STRING

from codegen.errors import BakeError, shown
from codegen.formats import open_tokenizer
from codegen.formats.beside import read_beside

TINY = given.tiny_pieces()
BYTE_LEVEL = byte_level_files.ByteLevel("llama3", [bytes([byte]) for byte in range(256)] + [b"th"], [(b"t", b"h")],
                                        {"<|endoftext|>": True}, add_bos=True)  # fmt: skip
VALUES: tuple[Any, ...] = (
    [], {}, "x", 7, -1, 1.5, True, None, [None], [{}], [1, [2]], {"type": []}, {"type": "Sequence"}, "\ud800", 1 << 70,
)  # fmt: skip


def places(value: Any, depth: int = 5) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a JSON document, of a list the first two."""
    yield ()
    if depth and isinstance(value, (dict, list)):
        keys = list(value)[:12] if isinstance(value, dict) else range(min(2, len(value)))
        for key in keys:
            for path in places(value[key], depth - 1):
                yield (key, *path)


def put(root: Any, path: tuple[Any, ...], value: Any) -> Any:
    root = json.loads(json.dumps(root))
    at = root
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return root


DOCUMENTS = {"llama": given.tokenizer_json(TINY), "byte level": byte_level_files.tokenizer_json(BYTE_LEVEL)}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_type_in_every_place_of_a_tokenizer_json(kind: str, tmp_path: Path) -> None:
    """It is read, or refused in one line that is not too long."""
    refused = 0
    for path in places(DOCUMENTS[kind]):
        for value in VALUES if path else ():
            (tmp_path / "tokenizer.json").write_text(json.dumps(put(DOCUMENTS[kind], path, value)))
            try:
                open_tokenizer(tmp_path / "tokenizer.json")
            except BakeError as error:
                refused += 1
                message = str(error)
                assert error.exit_code == 65 and message.isprintable() and len(message) <= 200, message
                assert not any(literal in message for literal in ("None", "True", "False", "b'", "Traceback")), message
    assert refused > 400


BESIDE = {
    "tokenizer_config.json": {"bos_token": {"content": "<s>"}, "added_tokens_decoder": {"5": {"content": "x", "special": True}},
                              "chat_template": [{"name": "default", "template": "x"}], "add_bos_token": True},
    "generation_config.json": {"eos_token_id": [1, 2], "bos_token_id": 1},
    "special_tokens_map.json": {"eos_token": {"content": "x"}, "additional_special_tokens": ["x"]},
}  # fmt: skip


def test_every_type_in_every_place_beside_it(tmp_path: Path) -> None:
    for name, document in BESIDE.items():
        for path in places(document):
            for value in VALUES if path else ():
                (tmp_path / name).write_text(json.dumps(put(document, path, value)))
                try:
                    read_beside(tmp_path)
                except BakeError as error:
                    assert error.exit_code == 65 and str(error).isprintable() and len(str(error)) <= 200, str(error)
        (tmp_path / name).unlink()


def config(**changes: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return files.hf_folder(folder / "m", *files.tiny(), **changes)

    return make


def file(data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "hostile").write_bytes(data)
        return folder / "hostile"

    return make


def sparse(folder: Path) -> Path:
    """A checkpoint with thirty gigabytes of zeros beside it that are meant as its tokenizer."""
    model, tensors = files.tiny(vocab_size=512)
    path = files.hf_folder(folder / "m", model, tensors)
    with (path / "tokenizer.json").open("wb") as out:
        out.write(b"{")
        out.truncate(30 << 30)
    return path


def long_pieces() -> bytes:
    root = given.tokenizer_json(TINY)
    root["model"]["vocab"] |= {f"{at:06}" + "x" * 150: len(TINY) + at for at in range(60000)}
    return json.dumps(root).encode()


def many_strings() -> bytes:
    names = [(f"tokenizer.ggml.tokens{at}", ARRAY) for at in range(5)]
    parts = [b"GGUF", struct.pack("<IQQ", 3, 0, len(names))]
    for name, kind in names:
        parts += [files.gguf_string(name), struct.pack("<IIQ", kind, STRING, 1 << 18), bytes(8 << 18)]
    return b"".join(parts)


def many_merges(root: Any, merge: Any) -> bytes:
    """As many pieces and merges as a file of five megabytes has, the last one wrong."""
    root["model"]["vocab"] |= {f"{at:x}": 300 + at for at in range(180_000)}
    root["model"]["merges"] = [merge] * 330_000
    return json.dumps(root, separators=(",", ":")).encode()


def far(root: Any) -> bytes:
    """A piece whose id is a million from the others', with no piece between."""
    vocab = root["model"]["vocab"]
    vocab[next(reversed(vocab))] = 1_000_000
    return json.dumps(root).encode()


def many_tensors(folder: Path) -> Path:
    path = config()(folder)
    entries = {f"t{at}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * at, 4 * at + 4]} for at in range(90_000)}
    header = json.dumps(entries, separators=(",", ":")).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * len(entries)))
    return path


def large(beginning: bytes, size: int) -> Callable[[Path], Path]:
    """A file of zeros but for its beginning, which takes no room on a disk."""

    def make(folder: Path) -> Path:
        with (folder / "hostile").open("wb") as out:
            out.write(beginning)
            out.truncate(size)
        return folder / "hostile"

    return make


GGUF_STRINGS = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + files.gguf_string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1 << 20)
FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "ten megabytes of objects": (file(b'{"a":[' + b"{}," * 3_400_000 + b"{}]}"), "expected at most"),
    "ten megabytes of lists": (file(b'{"a":[' + b"[]," * 3_400_000 + b"[]]}"), "expected at most"),
    "ten megabytes of numbers": (file(b'{"a":[' + b"1," * 5_000_000 + b"1]}"), "expected at most"),
    "ten megabytes of keys": (file(b"{" + b",".join(b'"%d":1' % at for at in range(900_000)) + b"}"), "expected at most"),
    "a hundred thousand brackets": (file(b'{"a":' + b"[" * 100_000), "expected JSON"),
    "sixty thousand long pieces": (file(long_pieces()), "much longer ones"),
    "a million empty pieces": (file(b"\n\2\n\0" * 1_000_000), "pieces at most, found more"),
    "half a million pieces": (file(b"".join(given.message((1, given.message((1, f"p{at}")))) for at in range(300_000))), "pieces at most"),
    "arrays of empty strings": (file(many_strings()), "expected at most 1048576 strings in all"),
    "a config of objects": (config(junk=[{}] * 200_000), "expected at most"),
    "denormal constants": (config(rope_theta=5e-324), "rope_theta: expected a number above 0"),
    "merges of the llama kind": (file(many_merges(given.tokenizer_json(TINY), ["a", "b"])), "not made from a SentencePiece model"),
    "merges of the byte-level kind": (file(many_merges(byte_level_files.tokenizer_json(BYTE_LEVEL), "t h")), "found it twice"),
    "a far piece of the llama kind": (file(far(given.tokenizer_json(TINY))), "512 pieces, found 1000001"),
    "a far piece of the byte-level kind": (file(far(byte_level_files.tokenizer_json(BYTE_LEVEL))), "512 pieces, found 1000001"),
    "ninety thousand tensors": (many_tensors, "token_embedding_table), found none"),
    "a hundred megabytes of JSON": (large(b'{"a":', 100 << 20), "expected at most 33554432 bytes, found more"),
    "a hundred megabytes of a tokenizer.model": (large(b"\n\2\n\0" * 9, 100 << 20), "expected at most 33554432 bytes, found more"),
    "a hundred megabytes of empty strings": (large(GGUF_STRINGS, 100 << 20), "the file at 104857600; download it again"),
    "a tokenizer of thirty gigabytes": (sparse, "expected at most 67108864 bytes, found more"),
}
MEMORY = 200 << 20  # bytes, of which Python and NumPy take 40 million
SECONDS = 2.0  # of the processor; 0.9 at most on one of 3 GHz
MEASURED = """
import gc, resource, sys
gc.disable()
from codegen.__main__ import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], used.ru_utime + used.ru_stime)
sys.exit(code)
"""


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_takes_little_memory_and_time(name: str, tmp_path: Path) -> None:
    make, words = FILES[name]
    path = make(tmp_path)
    model = path if path.is_dir() else files.hf_folder(tmp_path / "model", *files.tiny(vocab_size=512))
    command = [sys.executable, "-c", MEASURED, "facts", str(model)] + ([] if path.is_dir() else ["--tokenizer", str(path)])
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(files.ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 65 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr[-500:]
    kilobytes, seconds = done.stdout.split()
    assert int(kilobytes) << 10 < MEMORY
    assert float(seconds) < SECONDS


def test_values_are_shown_in_plain_words() -> None:
    assert shown(None) == "none" and shown(True) == "true" and shown(b"linear") == "'linear'"
    assert shown({"a": [None, False], "b": "x"}) == "{a: [none, false], b: 'x'}"
    assert shown(1 << 5000) == "a number of 5001 bits"
    assert len(shown("x" * 5000)) < 80 and len(shown([["x" * 50] * 9] * 9)) < 80
    assert shown("a\n\x1b[2J\u202e") == "'a\\n\\x1b[2J\\u202e'"


def test_a_fifo_and_a_device_are_no_files(tmp_path: Path, refused: Refused) -> None:
    for path in (at_hand.silent_pipe(tmp_path / "fifo"), Path("/dev/zero")):
        with pytest.raises(BakeError, match="is not a regular file"):
            open_tokenizer(path)
