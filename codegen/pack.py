"""Packs a checkpoint's tensors into the one stream of bytes that the plan lays out, and writes the C++ file that
carries it (templates/packed_data.cpp.jinja). This is the data half of a bake; codegen.emit is the code half.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.certificate import Tail, find_tail, reorder
from codegen.fingerprint import fingerprint, fingerprint_file
from codegen.golden_run import golden_run
from codegen.golden_text import golden_text
from codegen.layout import Matrix
from codegen.model import ROPE_TABLES
from codegen.output import write_if_changed
from codegen.plan import Plan
from codegen.rope import rope_table
from codegen.source import TensorSource
from codegen.templating import environment
from codegen.tensor import Quantized, Tensor
from codegen.tokenizer import Vocabulary, bake

Bytes = npt.NDArray[np.uint8]


def pack_matrix(layout: Matrix, tensor: Tensor) -> Bytes:
    """Packs the tiles of a matrix (rows, columns) as bytes, as codegen.layout describes them; rows beyond the last one zero."""
    parts: list[Bytes] = []
    for run in layout.runs:
        if isinstance(tensor, Quantized):
            q: Bytes = _tiles(tensor.q.view(np.uint8) + np.uint8(layout.offset), run.first_row, run.count, run.rows)
            s = _tiles(tensor.s, run.first_row, run.count, run.rows)
            if layout.weight_type.a_byte == 2:
                halves = q.reshape(run.count, run.rows, -1, 2, layout.together)
                q = halves[..., 0, :] | (halves[..., 1, :] << np.uint8(4))
            columns = q.reshape(run.count, run.rows, layout.groups, -1, layout.together).transpose(0, 2, 3, 1, 4)
            scales = s.transpose(0, 2, 1).astype(layout.weight_type.scale, order="C")
            parts_of_group = (np.ascontiguousarray(columns), scales)
            tiles = np.concatenate(
                [part.view(np.uint8).reshape(run.count, layout.groups, -1) for part in parts_of_group], axis=2
            )
        else:
            rows = _tiles(tensor, run.first_row, run.count, run.rows)
            tiles = rows.transpose(0, 2, 1).astype(f"<f{layout.weight_type.weight_bytes(1)}", order="C").view(np.uint8)
        parts.append(tiles.reshape(-1))
    return np.concatenate(parts)


def _tiles(values: npt.NDArray[Any], first: int, count: int, rows: int) -> npt.NDArray[Any]:
    """Returns the rows [first, first + count * rows) as (count, rows, columns), padded with zeros."""
    chosen = values[first : first + count * rows]
    missing = count * rows - chosen.shape[0]
    if missing:
        chosen = np.concatenate((chosen, np.zeros((missing, values.shape[1]), values.dtype)))
    return chosen.reshape(count, rows, values.shape[1])


def classifier_of(source: TensorSource) -> Tensor:
    """Returns the classifier, which may be the embedding."""
    return source.tensor("token_embedding_table" if source.model.shared_classifier else "wcls")


def pack(source: TensorSource, plan: Plan, tail: Tail | None = None) -> bytes:
    """Packs the weights of a plan, those of the classifier in the order that its tail wants. Raises BakeError naming a
    tensor that is not finite."""
    image = bytearray(plan.weights_bytes)
    for section in plan.sections:
        if section.tensor in ROPE_TABLES:
            data = rope_table(plan.model, section.tensor).tobytes()
        else:
            if section.tensor == "wcls":
                tensor = classifier_of(source) if tail is None else reorder(classifier_of(source), tail)
            else:
                tensor = source.tensor(section.tensor, section.layer)
            if section.matrix is not None:
                data = pack_matrix(section.matrix, tensor).tobytes()
            else:
                assert not isinstance(tensor, Quantized)
                data = tensor.astype("<f4").tobytes()
        if len(data) != section.bytes:
            raise AssertionError(f"{section.tensor}: planned {section.bytes} bytes, packed {len(data)}")
        image[section.offset : section.offset + section.bytes] = data
    return bytes(image)


def tail_of(source: TensorSource, plan: Plan) -> Tail | None:
    """Finds the rows of the classifier that a certificate can leave out, or None."""
    if plan.model.logit_cap:
        return None  # whose range is that of a sum
    norm = source.tensor("rms_final_weight")
    assert not isinstance(norm, Quantized)
    return find_tail(classifier_of(source), norm.reshape(-1), plan.kernel("wcls").matrix.runs[0].rows)


def write_packed(
    source: TensorSource, plan: Plan, vocabulary: Vocabulary, guesses: bytes, embed: bool, certify: bool, folder: Path
) -> None:
    """Writes weights.bin (or <name>.weights), tokenizer.baked, draft.baked and packed_data.cpp, each only when it changes;
    with a certificate where `certify` and the classifier has a tail."""
    tail = tail_of(source, plan) if certify else None
    weights = pack(source, plan, tail)
    weights_file = "weights.bin" if embed else f"{plan.model.name}.weights"
    write_if_changed(folder / weights_file, weights)
    tokenizer = bake(vocabulary, plan.model.vocab_size)
    write_if_changed(folder / "tokenizer.baked", tokenizer)
    write_if_changed(folder / "draft.baked", guesses)
    view = memoryview(weights)
    sections = [(s, fingerprint(view[s.offset : plan.section_end(s)])) for s in plan.sections]
    golden = golden_run(source, plan.model)
    is_file = source.path.is_file()  # a folder has no one fingerprint
    text = environment().get_template("packed_data.cpp.jinja").render(
        embed=embed,
        m=plan.model,
        sections=sections,
        golden=golden,
        text=golden_text(vocabulary, golden.logits),
        weights_size=len(weights),
        weights_fingerprint=fingerprint(weights),
        checkpoint_size=source.path.stat().st_size if is_file else 0,
        checkpoint_fingerprint=fingerprint_file(source.path) if is_file else 0,
        tokenizer_size=len(tokenizer),
        tokenizer_fingerprint=fingerprint(tokenizer),
        tail=tail,
        draft_size=len(guesses),
        draft_fingerprint=fingerprint(guesses),
    )
    write_if_changed(folder / "packed_data.cpp", text.encode())
