"""The plan's arithmetic, the packing that follows it, and what the templates make of it."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import model_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.emit import OUTPUTS, emit, render
from codegen.explain import explain
from codegen.goldens import differences
from codegen.layout import Matrix, lay_out
from codegen.model import Model
from codegen.pack import pack, pack_matrix
from codegen.plan import ALIGN, make_plan
from codegen.quantize import quantize_q4, quantize_q8, round_to_half
from codegen.targets import TARGETS, find_target
from codegen.templating import float32
from codegen.tensor import Quantized
from codegen.weight_types import WEIGHT_TYPES

PORTABLE = find_target("portable")


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Any model that the reader would let through, small."""
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    head_size = 2 * draw(st.integers(1, 9))
    types = draw(st.sampled_from(sorted(WEIGHT_TYPES))), draw(st.sampled_from(sorted(WEIGHT_TYPES)))
    quantised = any(WEIGHT_TYPES[name].quantized for name in types)
    group = draw(st.sampled_from((2, 4, 8) if "q4" in types else (1, 2, 4, 8))) if quantised else 0
    factor = max(group, 1)
    return Model(
        name="m",
        dim=heads * head_size * factor,
        hidden_dim=draw(st.integers(1, 40)) * factor,
        n_layers=draw(st.integers(1, 3)),
        n_heads=heads * factor,
        n_kv_heads=kv_heads * factor,
        vocab_size=draw(st.integers(1, 300)),
        seq_len=draw(st.integers(1, 70)),
        head_size=head_size,
        shared_classifier=draw(st.booleans()),
        weight_type=types[0],
        classifier_type=types[1] if types[1] != types[0] else "",
        group_size=group,
    )


@settings(max_examples=100, deadline=None)
@given(models(), st.sampled_from(sorted(TARGETS)))
def test_sections_do_not_overlap_and_are_aligned(model: Model, target: str) -> None:
    plan = make_plan(model, find_target(target))
    end = 0
    for section in plan.sections:
        assert section.offset % ALIGN == 0
        assert section.offset >= end
        end = section.offset + section.bytes
    assert plan.weights_bytes >= end and plan.weights_bytes % ALIGN == 0
    assert {s.tensor for s in plan.sections} >= set(model.tensor_shapes()) - {"token_embedding_table"}


@settings(max_examples=100, deadline=None)
@given(models(), st.sampled_from(sorted(TARGETS)))
def test_costs_are_those_of_the_model(model: Model, target: str) -> None:
    plan = make_plan(model, find_target(target))
    shapes = model.tensor_shapes()
    layer = sum(rows * columns for name, (layers, rows, columns) in shapes.items() if layers and name[0] == "w")
    assert plan.macs_per_token == model.n_layers * layer + model.vocab_size * model.dim
    one_of_each = {(k.matrix.weight_type, k.matrix.rows, k.matrix.columns) for k in plan.kernels}
    assert len(one_of_each) == len(plan.kernels) == len({k.name for k in plan.kernels})


@settings(max_examples=50, deadline=None)
@given(models(), st.sampled_from(sorted(TARGETS)))
def test_tiles_cover_every_row_once(model: Model, target: str) -> None:
    plan = make_plan(model, find_target(target))
    for kernel in plan.kernels:
        row = offset = 0
        for run in kernel.matrix.runs:
            assert run.first_row == row and run.offset == offset and run.count > 0
            row, offset = run.end_row, run.offset + run.count * run.tile_bytes
        assert row - max(run.rows for run in kernel.matrix.runs) < kernel.matrix.rows <= row
        assert plan.stride(kernel.matrix.rows) >= row, "the padding must fit the output's stride"


def tiles_of(weight_type: str, rows: int, columns: int, size: int = 0, together: int = 1) -> Matrix:
    """The layout of a matrix in tiles of 16 and 4 rows."""
    target = dataclasses.replace(PORTABLE, int_columns=together)
    return lay_out(WEIGHT_TYPES[weight_type], rows, columns, size, target, (16, 4))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from((1, 2, 4, 8)), st.sampled_from((1, 2, 4)))
def test_packed_bytes_are_where_the_layout_says(rows: int, groups: int, size: int, together: int) -> None:
    random = np.random.default_rng(rows * 100 + groups)
    tensor = quantize_q8(random.standard_normal((rows, groups * size), dtype=np.float32), size)
    layout = tiles_of("q8", rows, groups * size, size, together)
    assert layout.together == (together if size % together == 0 else 1)
    packed = pack_matrix(layout, tensor)
    assert packed.size == layout.bytes
    for row in range(rows):
        run = next(r for r in layout.runs if row < r.end_row)
        tile, lane = divmod(row - run.first_row, run.rows)
        for column in (0, groups * size // 2, groups * size - 1):
            group, inside = divmod(column, size)
            start = run.offset + tile * run.tile_bytes + group * run.rows * (size + 4)
            width = layout.together
            at = start + (inside // width * run.rows + lane) * width + inside % width
            assert packed[at].astype(np.int8) == tensor.q[row, column]
            scale = packed[start + run.rows * size + 4 * lane :][:4].view("<f4")[0]
            assert scale == tensor.s[row, group]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from((2, 4, 6, 8, 32)), st.sampled_from((1, 2, 4)))
def test_packed_nibbles_are_where_the_layout_says(rows: int, groups: int, size: int, together: int) -> None:
    random = np.random.default_rng(rows * 100 + groups)
    tensor = quantize_q4(random.standard_normal((rows, groups * size), dtype=np.float32), size, "w")
    layout = tiles_of("q4", rows, groups * size, size, together)
    assert layout.together == (together if size % (2 * together) == 0 else 1)
    packed = pack_matrix(layout, tensor)
    assert packed.size == layout.bytes
    for row in range(rows):
        run = next(r for r in layout.runs if row < r.end_row)
        tile, lane = divmod(row - run.first_row, run.rows)
        for column in range(groups * size):
            group, inside = divmod(column, size)
            start = run.offset + tile * run.tile_bytes + group * run.rows * (size // 2 + 2)
            width = layout.together
            pair = packed[start + (inside // (2 * width) * run.rows + lane) * width + inside % width]
            nibble = pair >> 4 if inside % (2 * width) >= width else pair & 15
            assert int(nibble) - 8 == tensor.q[row, column]
            scale = packed[start + run.rows * size // 2 + 2 * lane :][:2].view("<f2")[0]
            assert scale == tensor.s[row, group]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.sampled_from(("f32", "f16")))
def test_packed_floats_are_where_the_layout_says(rows: int, columns: int, weight_type: str) -> None:
    values = np.random.default_rng(rows).standard_normal((rows, columns), dtype=np.float32)
    values = round_to_half(values, "w") if weight_type == "f16" else values
    layout = tiles_of(weight_type, rows, columns)
    number = np.dtype("<f2" if weight_type == "f16" else "<f4")
    packed = pack_matrix(layout, values).view(number)
    for row in range(rows):
        run = next(r for r in layout.runs if row < r.end_row)
        tile, lane = divmod(row - run.first_row, run.rows)
        start = (run.offset + tile * run.tile_bytes) // number.itemsize + lane
        assert np.array_equal(packed[start :: run.rows][:columns], values[row])


def test_packing_is_the_whole_image() -> None:
    model, tensors = files.tiny(shared=False)
    tiny = model

    class Source:
        model = tiny

        def tensor(self, name: str, layer: int = 0) -> np.ndarray | Quantized:
            return tensors[name, layer]

    image = pack(Source(), plan := make_plan(model, PORTABLE))  # type: ignore[arg-type]
    assert len(image) == plan.weights_bytes
    final = plan.section("rms_final_weight")
    assert image[final.offset : final.offset + final.bytes] == tensors["rms_final_weight", 0].tobytes()


def test_the_goldens_are_what_the_generator_emits() -> None:
    assert list(differences()) == []


def test_an_orphan_or_an_edit_among_the_goldens_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "generated"
    folder.mkdir()
    (folder / "models.toml").write_text((files.ROOT / "generated" / "models.toml").read_text())
    for path in (files.ROOT / "generated").rglob("*-portable/*"):
        copy = folder / path.relative_to(files.ROOT / "generated")
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text())
    missing = len(list(differences(folder)))
    (folder / "stories260K-portable" / "forward.cpp").write_text("edited\n")
    (folder / "stories260K-portable" / "orphan.cpp").write_text("left over\n")
    found = list(differences(folder))
    assert len(found) == missing + 2
    assert any("-edited" in text for text in found) and any("orphan.cpp" in text for text in found)


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    plan = make_plan(files.tiny()[0], PORTABLE)
    assert len(emit(plan, tmp_path)) == len(OUTPUTS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert emit(plan, tmp_path) == []
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_generated_code_states_no_date_path_or_hash_and_depends_on_the_header_alone(target: str) -> None:
    model = files.tiny()[0]
    texts = render(make_plan(model, find_target(target)))
    assert texts == render(make_plan(dataclasses.replace(model), find_target(target)))
    for text in texts.values():
        assert not re.search(r"20\d\d-|/home|/work|/tmp|0x[0-9a-f]{16}", text)
        assert "undefined" not in text.lower() and "${" not in text and "{%" not in text


@pytest.mark.parametrize(("value", "literal"), ((1e-5, "1e-05F"), (8.0, "8.0F"), (math.sqrt(48), "6.928203F")))
def test_float_literals_are_float32(value: float, literal: str) -> None:
    assert float32(value) == literal
    assert np.float32(literal[:-1]) == np.float32(value)


def test_explain_tells_what_the_plan_holds() -> None:
    plan = make_plan(files.tiny()[0], PORTABLE)
    text = explain(plan)
    for kernel in plan.kernels:
        assert kernel.name in text
    assert f"{plan.weights_bytes:,}" in text and f"{plan.kv_bytes:,}" in text
    assert re.search(r"together +[0-9,]+\n", text), "no budget for this machine"


def test_the_shape_of_a_matrix_is_its_name() -> None:
    layout = tiles_of("f32", 172, 64)
    assert [(run.rows, run.count) for run in layout.runs] == [(16, 10), (4, 3)]
    assert layout.shape == "172x64" and layout.padded_rows == 172


def test_layers_with_a_window_keep_no_more_than_it_needs() -> None:
    """A ring has the window as the first position of a batch sees it, and the rest of that batch, in whole blocks; it is left out
    where the context is no longer."""
    base = Model("m", 64, 160, 6, 4, 2, 512, 4096, head_size=16, shared_classifier=True, window=512, local=(0, 1, 2, 4, 5))
    for target in TARGETS.values():
        plan = make_plan(base, target)
        assert 512 + target.max_batch - 1 <= plan.ring < 512 + target.max_batch - 1 + target.key_block
        assert plan.ring % target.key_block == 0
        whole, ring = plan.caches
        assert (whole.layers, whole.positions, ring.layers, ring.positions) == (1, 4096, 5, plan.ring)
        assert plan.kv_bytes == 4 * sum(cache.layers * sum(cache.elements) for cache in (whole, ring))
        without = make_plan(dataclasses.replace(base, window=0, local=()), target)
        assert (without.ring, len(without.caches)) == (0, 1) and 3 * plan.kv_bytes < without.kv_bytes
        assert f"4096 positions, of 1 layer, and {plan.ring} positions, of 5 with a window of 512" in explain(plan)
        steps = [step for layer in plan.schedule.layers for step in layer.steps if step.op == "cache_kv"]
        assert [step.out.split(", ")[0] for step in steps] == [
            "s.key_ring[0]", "s.key_ring[1]", "s.key_ring[2]", "s.key_cache[0]", "s.key_ring[3]", "s.key_ring[4]",
        ]  # fmt: skip
        short = make_plan(dataclasses.replace(base, seq_len=plan.ring), target)
        assert (short.ring, [cache.layers for cache in short.caches]) == (0, [6]), "a window, but no need of a ring"
        assert "s.key_cache[5]" in render(short)["forward.cpp"] and "kRing" not in "".join(render(short).values())
        all_local = make_plan(dataclasses.replace(base, local=tuple(range(6))), target)
        assert [cache.name for cache in all_local.caches] == ["ring"] and "key_cache[" not in render(all_local)["baked_model.hpp"]
