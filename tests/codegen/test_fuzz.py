"""Whatever a file holds, the readers give a model or one line of error, in bounded time: nothing else may escape."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import byte_level_files as byte_level
import model_files as files
import pytest
import vocabulary_files as vocabularies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen.errors import BakeError
from codegen.export import main
from codegen.frame import LLAMA2C
from codegen.formats import is_tokenizer, open_model, open_tokenizer
from codegen.formats.pickled import load
from codegen.formats.vocabulary import Piece, to_llama2c
from codegen.tokenizer import bake, to_bytes

EXAMPLES = int(os.environ.get("STORYBAKE_FUZZ", "50"))  # a target
pytestmark = pytest.mark.filterwarnings("error")

MODEL, TENSORS = files.tiny(dim=32, hidden_dim=32, n_layers=1, n_heads=2, n_kv_heads=1, head_size=16, vocab_size=4)
SAVED, DATA = files.pt_saved(MODEL, TENSORS)
TINY = vocabularies.tiny_pieces()
BYTES = byte_level.train("a cat, a hat 12 it's a cat", "llama3", 6, {"<s>": True, "<b>": False}, add_bos=True)
BYTE_LEVEL = {"byte_level.json": json.dumps(byte_level.tokenizer_json(BYTES)).encode(), "byte_level.gguf": byte_level.gguf(BYTES)}
TOKENIZERS = ["tokenizer.bin", *(f"tokenizer.{form}" for form in vocabularies.WRITERS), *BYTE_LEVEL]


def llama2c(form: str, folder: Path) -> bytes:
    source = files.hf_folder(folder / "source", MODEL, TENSORS)
    assert main([str(source), str(folder / form), "--format", form]) == 0
    return (folder / form).read_bytes()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A valid file of each format."""
    folder = tmp_path_factory.mktemp("seeds")
    return {
        **{form: llama2c(form, folder) for form in ("v0", "v1", "v2")},
        "pt": files.pt_zip(SAVED, DATA),
        "gguf": files.gguf(files.gguf_kv(MODEL), files.gguf_tensors(TENSORS)),
        "gguf_q8": files.gguf(files.gguf_kv(MODEL), files.gguf_tensors(TENSORS, "Q8_0")),
        "safetensors": files.safetensors(files.hf_entries(MODEL, TENSORS)),
        "config": json.dumps(files.hf_config(MODEL)).encode(),
        "index": json.dumps({"weight_map": dict.fromkeys(files.hf_entries(MODEL, TENSORS), "a.safetensors")}).encode(),
        "tokenizer.bin": to_bytes(to_llama2c([Piece(*piece) for piece in TINY], LLAMA2C, "tiny")),
        **{f"tokenizer.{form}": write(TINY) for form, write in vocabularies.WRITERS.items()},
        **BYTE_LEVEL,
        "pickle": b"\x80\x02" + files.pickled(SAVED) + b".",
    }


def only_bake_errors(action: Callable[[], Any]) -> None:
    begin = time.process_time()
    try:
        action()
    except BakeError as error:
        assert str(error).isprintable() and len(str(error)) < 800
        assert error.exit_code in (65, 66)
    assert time.process_time() - begin < 2


def read_model(path: Path) -> None:
    source = open_model(path)
    for key in files.keys(source.model):
        source.tensor(*key)


def read_tokenizer(path: Path, vocab_size: int = 265) -> None:
    is_tokenizer(path)
    bake(open_tokenizer(path, vocab_size))


INTERESTING = [
    0,
    1,
    2,
    4,
    31,
    32,
    33,
    127,
    128,
    255,
    256,
    65535,
    1 << 31,
    (1 << 32) - 1,
    1 << 62,
    1 << 63,
    (1 << 64) - 1,
]


def mutated(seed: bytes, number: int) -> bytes:
    """A file with one to four edits, all of which follow from the number: drawn by Hypothesis one by one, the edits would
    take ten times the time of reading the file."""
    draw, data = random.Random(number), bytearray(seed)
    for _ in range(draw.randint(1, 4)):
        at = int(draw.random() ** draw.choice((1, 4)) * len(data))  # mostly early
        edit = draw.choice(("byte", "u32", "u64", "insert", "delete", "repeat", "cut"))
        if edit == "byte":
            data[at : at + 1] = draw.randbytes(1)
        elif edit in ("u32", "u64"):
            size = 4 if edit == "u32" else 8
            data[at : at + size] = (draw.choice(INTERESTING) % (1 << 8 * size)).to_bytes(size, "little")
        elif edit == "insert":
            data[at:at] = draw.randbytes(draw.randint(1, 9))
        elif edit == "delete":
            del data[at : at + draw.randint(1, 40)]
        elif edit == "repeat":
            data[at:at] = data[at : at + draw.randint(1, 40)]
        else:
            del data[at:]
    return bytes(data)


NUMBERS = st.integers(0, (1 << 64) - 1)

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("form", ["v0", "v1", "v2", "pt", "gguf", "gguf_q8"])
@fuzzed
@given(number=NUMBERS)
def test_mutated_models(form: str, number: int, seeds: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(mutated(seeds[form], number))
    only_bake_errors(lambda: read_model(path))


@pytest.mark.parametrize("form", ["safetensors", "config", "index"])
@fuzzed
@given(number=NUMBERS)
def test_mutated_folders(form: str, number: int, seeds: dict[str, bytes], tmp_path: Path) -> None:
    names = {"safetensors": "model.safetensors", "config": "config.json", "index": "model.safetensors.index.json"}
    weights = "a.safetensors" if form == "index" else "model.safetensors"
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(seeds["config"])
    (folder / weights).write_bytes(seeds["safetensors"])
    (folder / names[form]).write_bytes(mutated(seeds[form], number))
    only_bake_errors(lambda: read_model(folder))


@pytest.mark.parametrize("form", TOKENIZERS)
@fuzzed
@given(number=NUMBERS)
def test_mutated_tokenizers(form: str, number: int, seeds: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer"
    path.write_bytes(mutated(seeds[form], number))
    only_bake_errors(lambda: read_tokenizer(path, BYTES.size if form in BYTE_LEVEL else 265))


@fuzzed
@given(number=NUMBERS)
def test_mutated_pickles(number: int, seeds: dict[str, bytes]) -> None:
    data = mutated(seeds["pickle"], number)
    only_bake_errors(lambda: load(data, "x"))


@fuzzed
@given(st.lists(st.sampled_from(list(b"\x80\x02.()[]{}NRQbtuse0q\0\1hJKX\x85\x86\x87\x88\x89cos\n")), max_size=40))
def test_random_pickles(opcodes: list[int]) -> None:
    only_bake_errors(lambda: load(bytes(opcodes), "x"))


BEGINNINGS = [
    b"",
    b"GGUF\3\0\0\0",
    b"PK\3\4",
    b'\x20\0\0\0\0\0\0\0{"',
    b"24ka\1\0\0\0",
    b"24ka\2\0\0\0",
    b"{",
    b"\n\7\n",
    b"\x80\2",
]


@fuzzed
@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=300))
def test_random_bytes(beginning: bytes, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(beginning + rest)
    only_bake_errors(lambda: read_model(path))
    only_bake_errors(lambda: read_tokenizer(path))


def test_the_seeds_are_valid(seeds: dict[str, bytes], tmp_path: Path) -> None:
    """Otherwise the mutations would all die at the door."""
    for form in ("v0", "v1", "v2", "pt", "gguf", "gguf_q8"):
        (tmp_path / form).write_bytes(seeds[form])
        read_model(tmp_path / form)
    llama2c("v0", tmp_path)
    for form in TOKENIZERS:
        (tmp_path / form).write_bytes(seeds[form])
        read_tokenizer(tmp_path / form, BYTES.size if form in BYTE_LEVEL else 265)
    read_model(tmp_path / "source")
    assert set(load(seeds["pickle"], "x")) == set(SAVED)
