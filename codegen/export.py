"""Writes a model of any readable format as a llama2.c checkpoint: legacy (v0), v1 or v2, as export.py lays them out."""

from __future__ import annotations

import argparse
import contextlib
import re
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from codegen.byte_level import ByteLevelData
from codegen.checkpoint import MAGIC, V0_ORDER, V1_HEADER, V1_ORDER
from codegen.command import run_command
from codegen.describe import weights_text
from codegen.errors import INTERRUPTED, USAGE, BakeError
from codegen.formats import is_tokenizer, open_model, open_tokenizer
from codegen.frame import LLAMA2C
from codegen.model import Model
from codegen.output import atomic_output
from codegen.source import TensorSource
from codegen.tensor import FloatArray, Quantized, Tensor
from codegen.tokenizer import FIRST_BYTE, TokenizerData, to_bytes
from codegen.weight_types import F32, Q8, WEIGHT_TYPES
from codegen.weights import convert

FORMATS = ("v0", "v1", "v2")
INT8_NAME = re.compile(r"(?i)(?<![a-z0-9])(q8(_0)?|q80|int8)(?![a-z0-9])")  # matches llama2.c's own model_q80.bin


def export(
    source: TensorSource, out: Path, form: str, group_size: int | None = None, weights: str = "auto", classifier: str = "auto"
) -> Model:
    """Writes `source` to `out` in one of FORMATS; returns the model whose values were written.

    v2 quantises float weights in groups of `group_size`, by default the largest up to 64 that divides every row, and
    takes int8 weights as they are. v0 and v1 have float32: the values of `weights` and `classifier` where other types are
    asked for, so that any program that reads float32 can judge what they lose. `out` appears whole or not at all. Raises
    BakeError when the format can't hold the model or the group size does not fit it, and with code 74 when the file can't
    be written.
    """
    check_holds(source.model, form)
    if form == "v2":
        for option, asked in (("weights", weights), ("classifier", classifier)):
            if asked not in ("auto", Q8.name):
                raise BakeError(
                    f"--{option} {asked}: llama2.c's v2 is int8, expected q8; --format v0 or v1 has the values of {asked} "
                    "weights as float32, and a build has them as they are (-Dweights=)",
                    USAGE,
                )
        weights = classifier = Q8.name
    if group_size is not None and not any(WEIGHT_TYPES[t].quantized for t in (weights, classifier) if t != "auto"):
        raise BakeError(f"--group: expected with --format v2 or quantised --weights only, found {form}; leave it out", USAGE)
    judged = source = convert(source, weights, group_size, classifier)
    if form != "v2":
        source = convert(judged, F32.name)
    refuse_same_file(source.path, out)
    model = source.model
    with atomic_output(out) as file:
        if form == "v0":
            vocab_size = model.vocab_size if model.shared_classifier else -model.vocab_size
            file.write(struct.pack("<7i", *_dims(model), vocab_size, model.seq_len))
        else:
            file.write(_header(model, int(form[1]), (model.group_size,) if form == "v2" else ()))
        _write_tensors(file, source, V0_ORDER if form == "v0" else V1_ORDER)
    return judged.model


# Lists what other families add.
KINDS = ("rope_factors", "qkv_bias", "head_norms", "no_rope", "local_theta", "post_norms", "glu", "embed_scale", "score_size", "att_cap",
         "logit_cap")


def check_holds(model: Model, form: str) -> None:
    """Raises BakeError when llama2.c's formats have no place for a constant of the model."""
    fixed = (
        ("head_size", model.head_size, model.dim // model.n_heads),
        ("rope_theta", model.rope_theta, Model.rope_theta),
        ("norm_eps", model.norm_eps, Model.norm_eps),
        *((field, getattr(model, field), getattr(Model, field)) for field in KINDS),
        ("window", max(map(model.window_of, range(model.n_layers))), Model.window),
    )
    for field, found, expected in fixed:
        if found != expected:
            raise BakeError(
                f"{model.name}: {field}: llama2.c's {form} has no place for it and takes {expected}, found {found}; "
                "bake the model as it is instead (-Dmodel=)"
            )


def _dims(model: Model) -> tuple[int, ...]:
    return model.dim, model.hidden_dim, model.n_layers, model.n_heads, model.n_kv_heads


def _header(model: Model, version: int, group_sizes: Sequence[int]) -> bytes:
    """Makes the header of v1 and later ones."""
    dims = (*_dims(model), model.vocab_size, model.seq_len)
    head = struct.pack("<Ii7iB", MAGIC, version, *dims, model.shared_classifier)
    return (head + struct.pack(f"<{len(group_sizes)}i", *group_sizes)).ljust(V1_HEADER, b"\0")


def _write_tensors(file: BinaryIO, source: TensorSource, order: Sequence[str]) -> None:
    shapes = source.model.tensor_shapes()
    for name in order:
        if name == "rope":
            file.write(rope_tables(source.model))
        elif name in shapes:
            for layer in range(max(shapes[name][0], 1)):
                _write(file, source.tensor(name, layer))


def rope_tables(model: Model) -> bytes:
    """Computes the cosines, then the sines, of a legacy file: (seq_len, head_size / 2) float32 each. llama2.c skips them."""
    exponents = np.arange(0, model.head_size, 2, dtype=np.float32) / np.float32(model.head_size)
    frequencies = np.float32(1) / np.float32(model.rope_theta) ** exponents
    angles = np.outer(np.arange(model.seq_len, dtype=np.float32), frequencies)
    return np.cos(angles).astype("<f4").tobytes() + np.sin(angles).astype("<f4").tobytes()


def _write(file: BinaryIO, tensor: Tensor) -> None:
    if isinstance(tensor, Quantized):
        file.write(np.ascontiguousarray(tensor.q).tobytes())
        tensor = tensor.s
    values: FloatArray = tensor
    file.write(values.astype("<f4", copy=False).tobytes())


def refuse_same_file(source: Path, out: Path) -> None:
    """Raises BakeError (usage) when the output would replace the input it is read from."""
    with contextlib.suppress(OSError):
        if out.exists() and out.samefile(source):
            raise BakeError(f"{out}: is the input itself; give the output another name", USAGE)


def main(arguments: list[str]) -> int:
    """Runs the command line of tools/export; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="tools/export",
        description="Writes a model of any readable format (llama2.c's .bin and .pt, a Hugging Face folder, GGUF) as a "
        "llama2.c checkpoint, or its tokenizer as a tokenizer.bin.",
        epilog="Formats are told apart by content, never by suffix. Exit codes: 0; 2 usage; 65 bad data; 66 missing or "
        "unreadable file; 74 the output can't be written.",
    )
    parser.add_argument("input", metavar="IN", type=Path, help="a model; or tokenizer.model or tokenizer.json")
    parser.add_argument("output", metavar="OUT", type=Path, help="the file to write; it appears whole or not at all")
    parser.add_argument(
        "--format",
        choices=(*FORMATS, "tokenizer"),
        help="v0: float32, what run.c reads; v1: float32 with a proper header; v2: int8, what runq.c reads; tokenizer: "
        "tokenizer.bin (default: v0 for float weights, v2 for int8 ones, tokenizer for a tokenizer)",
    )
    parser.add_argument("--group", type=_positive, metavar="N", help="weights a scale in v2 (default: the largest up to "
                        "64 that divides every row; int8 weights keep theirs)")  # fmt: skip
    parser.add_argument("--weights", choices=("auto", *WEIGHT_TYPES), default="auto", help="the type whose values v0 and v1 "
                        "get as float32 (default: the model's own)")  # fmt: skip
    parser.add_argument("--classifier", choices=("auto", *WEIGHT_TYPES), default="auto", help="the same, of classifier and "
                        "embedding (default: as all others)")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        there = options.output.stat().st_size if options.output.is_file() else None
        replaced = "" if there is None else f", in place of a file of {there} bytes"
        print(f"{options.output}: {_export(options)}{replaced}", file=sys.stderr)
    except BakeError as error:
        print(f"tools/export: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _export(options: argparse.Namespace) -> str:
    """Does what the command line asks for and says what was written."""
    source, out, form = options.input, options.output, options.format
    if form == "tokenizer" or (form is None and is_tokenizer(source)):
        for option in ("group", "weights", "classifier"):
            if getattr(options, option) not in (None, "auto"):
                raise BakeError(f"--{option}: expected with a model only, found a tokenizer; leave it out", USAGE)
        data = open_tokenizer(source)
        if isinstance(data, ByteLevelData):
            raise BakeError(
                f"{source.name}: byte-level BPE, which a tokenizer.bin can't hold; name it with -Dtokenizer= as it is"
            )
        if data.bytes_at != FIRST_BYTE:
            raise BakeError(
                f"{source.name}: the bytes begin at id {data.bytes_at}, a tokenizer.bin has them at {FIRST_BYTE}; name it with "
                "-Dtokenizer= as it is"
            )
        if b"" in data.pieces:
            raise BakeError(
                f"{source.name}: id {data.pieces.index(b'')} has no piece, which a tokenizer.bin can't say; name it with "
                "-Dtokenizer= as it is"
            )
        refuse_same_file(source, out)
        if lost := without_a_place(data):
            print(
                f"tools/export: warning: {source.name}: a tokenizer.bin has no place for {', '.join(lost)}: to keep all, bake with "
                "-Dtokenizer= as it is",
                file=sys.stderr,
            )
        with atomic_output(out) as file:
            file.write(to_bytes(data))
        return f"tokenizer.bin of {len(data.pieces)} pieces"
    model = open_model(source)
    if form is None:
        plain = options.weights == options.classifier == "auto"
        form = "v2" if plain and (model.model.type_of("wq") is Q8 or options.group is not None) else "v0"
    if form != "v2" and INT8_NAME.search(out.name):
        print(
            f"tools/export: warning: {out.name} is the name of an int8 checkpoint, and {form} holds float32: "
            "for int8 add --format v2",
            file=sys.stderr,
        )
    written = export(model, out, form, options.group, options.weights, options.classifier)
    what = f"int8 in groups of {written.group_size}" if form == "v2" else "float32"
    if form != "v2" and written.weight_types != (F32,):
        what += f", the values of {weights_text(written)}"
    return f"llama2.c {form}, {what}, {out.stat().st_size} bytes"


def without_a_place(data: TokenizerData) -> list[str]:
    """Lists what is around the words of a tokenizer, in a few words each, where a tokenizer.bin has no place for it: all that
    is not as llama2.c has it built in."""
    frame = data.frame
    added, ends = set(frame.added) - {0, *LLAMA2C.ends}, sorted(set(frame.ends) - set(LLAMA2C.ends))
    spaces = frame.spaces if frame.spaces != "each" else LLAMA2C.spaces  # without added tokens a text is one part
    kept = {
        f"{len(added)} tokens that are found whole, such as {min(added, default=0)}": not added,
        f"the ends {', '.join(map(str, ends[:4]))}": not ends,
        f"BOS being {frame.bos}": frame.bos == LLAMA2C.bos,
        "what begins and ends a text": (frame.before, frame.after) == (LLAMA2C.before, LLAMA2C.after),
        "where spaces are put": (spaces, frame.strip) == (LLAMA2C.spaces, LLAMA2C.strip),
        "NFC": not frame.nfc,
        "the chat template": frame.template is None,
    }
    return [what for what, is_kept in kept.items() if not is_kept]


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text[:9])


if __name__ == "__main__":
    run_command("tools/export", main)
