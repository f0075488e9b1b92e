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


# --- files that are well-formed, with values of other types in them ---

VALUES: tuple[Any, ...] = (
    [], {}, "", "x", "<s>", 0, 1, -1, 7, 1 << 40, 1.5, True, False, None, [None], [{}], [[]], [1, [2]], ["a", "b"], {"type": []},
    {"type": "Sequence"}, {"type": "NFC"}, {"type": "ByteLevel"}, {"id": 1, "content": "x"}, "\ud800",
)  # fmt: skip
DOCUMENTS: dict[str, tuple[str, Any]] = {
    "llama": ("tokenizer.json", vocabularies.tokenizer_json(TINY)),
    "byte level": ("tokenizer.json", byte_level.tokenizer_json(BYTES)),
    "tokenizer_config": ("tokenizer_config.json", {
        "bos_token": {"content": "<s>"}, "eos_token": "</s>", "added_tokens_decoder": {"1": {"content": "<s>", "special": True}},
        "add_bos_token": True, "add_prefix_space": None, "chat_template": [{"name": "default", "template": "x"}]}),
    "special_tokens_map": ("special_tokens_map.json", {"eos_token": {"content": "</s>"}, "additional_special_tokens": ["<s>"]}),
    "generation_config": ("generation_config.json", {"eos_token_id": [1, 2], "bos_token_id": 1, "suppress_tokens": None}),
    "config": ("config.json", files.hf_config(MODEL, rope_scaling={"rope_type": "default"}, eos_token_id=[1, 2])),
    "index": ("model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": {"a": "model.safetensors"}}),
}  # fmt: skip
KEYS = {"llama": files.gguf_kv(MODEL, llama__vocab_size=None) | vocabularies.gguf_keys(TINY), "byte level": byte_level.gguf_keys(BYTES)}


def retyped(document: Any, draw: random.Random) -> Any:
    """A JSON document in which one value, wherever it is, has become another one, another's neighbour, or is gone."""
    root = [json.loads(json.dumps(document))]
    at: Any = root
    key: Any = 0
    while isinstance(at[key], (dict, list)) and at[key] and (at is root or draw.random() < 0.8):
        at = at[key]
        key = draw.choice(list(at)[:40]) if isinstance(at, dict) else draw.randrange(min(len(at), 40))
    edit = draw.choice(("value", "value", "value", "gone", "wrapped", "neighbour"))
    if edit == "value":
        at[key] = draw.choice(VALUES)
    elif edit == "wrapped":
        at[key] = draw.choice(([at[key]], {"type": at[key]}, [at[key], at[key]]))
    elif edit == "neighbour":
        at[key] = draw.choice(list(at.values()) if isinstance(at, dict) else at)
    elif at is not root:
        del at[key]
    return root[0]


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", DOCUMENTS)
@fuzzed
@given(number=NUMBERS)
def test_values_of_other_types(name: str, number: int, tmp_path: Path) -> None:
    folder, draw = tmp_path / "model", random.Random(number)
    file, document = DOCUMENTS[name]
    for _ in range(draw.randint(1, 2)):
        document = retyped(document, draw)
    files.hf_folder(folder, MODEL, TENSORS)
    (folder / "tokenizer.json").write_bytes(dumped(DOCUMENTS["byte level" if name == "byte level" else "llama"][1]))
    (folder / file).write_bytes(dumped(document))
    only_bake_errors(lambda: read_model(folder))
    only_bake_errors(lambda: bake(open_tokenizer(folder, BYTES.size if name == "byte level" else len(TINY))))


def gguf_value(draw: random.Random, depth: int = 1) -> tuple[int, Any]:
    """A value of any type of GGUF's, in range."""
    kind = draw.choice((0, 1, 2, 3, files.U32, 5, files.F32, files.BOOL, files.STRING, 10, 11, 12, *[files.ARRAY] * 4 * depth))
    if kind == files.ARRAY:
        inner = gguf_value(draw, 0)[0]
        return kind, (inner, [gguf_scalar(inner, draw) for _ in range(draw.choice((0, 1, 3, len(TINY))))])
    return kind, gguf_scalar(kind, draw)


def gguf_scalar(kind: int, draw: random.Random) -> Any:
    if kind == files.STRING:
        return draw.choice(("", "x", "llama", "gpt2", "a b", "<s>"))
    if kind in (files.F32, 12):
        return draw.choice((0.0, 1.0, -1.0, 1e-5, float("nan"), float("inf")))
    return draw.choice((0, 1, 1, 2, 100)) if kind != files.BOOL else draw.choice((0, 1))


@pytest.mark.parametrize("name", KEYS)
@fuzzed
@given(number=NUMBERS)
def test_keys_of_other_types(name: str, number: int, tmp_path: Path) -> None:
    draw, kv = random.Random(number), dict(KEYS[name])
    for _ in range(draw.randint(1, 2)):
        key = draw.choice(list(kv))
        if draw.random() < 0.2:
            del kv[key]
        elif draw.random() < 0.2:
            kv[key] = kv[draw.choice(list(kv))]
        else:
            kv[key] = gguf_value(draw)
    path = tmp_path / "model"
    path.write_bytes(files.gguf(kv, files.gguf_tensors(TENSORS)))
    only_bake_errors(lambda: read_model(path))
    only_bake_errors(lambda: bake(open_tokenizer(path, BYTES.size if name == "byte level" else len(TINY))))


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
