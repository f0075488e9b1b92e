"""Quantisation and tools/export: what llama2.c's own exporter would write, and a refusal of what it can't hold."""
from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import at_hand
import model_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codegen.checkpoint import open_checkpoint
from codegen.errors import BakeError
from codegen.export import main
from codegen.formats import open_model
from codegen.output import atomic_output
from codegen.quantize import dequantize, quantize_q8
from codegen.tensor import Quantized

pytestmark = pytest.mark.filterwarnings("error")


# --- quantise ---


def test_known_values() -> None:
    """Round half to even, as torch.round: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0."""
    tensor = quantize_q8(np.array([[127, 0.5, 1.5, 2.5], [-254, -1, -3, 5]], np.float32), 4)
    assert tensor.s.tolist() == [[1.0], [2.0]]
    assert tensor.q.tolist() == [[127, 0, 2, 2], [-127, 0, -2, 2]]


@pytest.mark.parametrize("values", [[0.0, -0.0], [1e-45, -1e-45], [6e-44, 0.0]])
def test_a_group_of_nothing_has_scale_0_and_quants_0(values: list[float]) -> None:
    tensor = quantize_q8(np.array([values], np.float32), 2)
    assert tensor.s.tolist() == [[0.0]] and tensor.q.tolist() == [[0, 0]]


def test_a_subnormal_scale_does_not_wrap() -> None:
    """190 / 127 of the smallest float32 rounds to 1 of them, and 190 is no int8."""
    smallest = np.float32(1.4e-45)
    tensor = quantize_q8(np.array([[190 * smallest, -190 * smallest]], np.float32), 2)
    assert tensor.s.tolist() == [[float(smallest)]] and tensor.q.tolist() == [[127, -127]]


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(np.float32, (3, 8), elements=st.floats(-(2.0**126), 2.0**126, width=32)),
    st.sampled_from([1, 2, 4, 8]),
)
def test_quants_are_within_half_a_step(values: np.ndarray, group_size: int) -> None:
    tensor = quantize_q8(values, group_size)
    assert tensor.q.dtype == np.int8 and tensor.s.dtype == np.float32
    assert np.abs(tensor.q.astype(int)).max() <= 127 and np.isfinite(tensor.s).all() and (tensor.s >= 0).all()
    steps = np.repeat(tensor.s.astype(float), group_size, axis=1)
    assert (np.abs(dequantize(tensor).astype(float) - values) <= steps * 0.5001 + 127e-45).all()


def test_export_py_of_pytorch() -> None:
    """export.py's formula by PyTorch itself, bit for bit."""
    torch = pytest.importorskip("torch", reason="the independent rounding is PyTorch's (Debian: python3-torch)")
    values = np.random.default_rng(3).standard_normal((64, 96)).astype(np.float32)
    values[0, :8] = np.arange(8) / 2
    values[0, 8] = 127
    tensor = quantize_q8(values, 32)
    groups = torch.from_numpy(values).reshape(-1, 32)
    scale = groups.abs().max(dim=1).values / 127.0
    quants = torch.round(groups / scale[:, None]).to(torch.int8)
    assert (quants.numpy().ravel() == tensor.q.ravel()).all()
    assert scale.numpy().tobytes() == tensor.s.tobytes()


def test_what_overflows_when_multiplied_out_is_refused() -> None:
    """The largest float32 / 127, rounded up, times 127 is infinity."""
    tensor = quantize_q8(np.full((1, 4), 3.4028235e38, np.float32), 4)
    assert np.isfinite(tensor.s).all()
    with pytest.raises(BakeError, match="expected finite numbers, found 4 NaN or infinity of 4"):
        dequantize(tensor)


@pytest.mark.parametrize("group_size", [0, -4, 3, 16])
def test_groups_that_do_not_divide_are_refused(group_size: int) -> None:
    with pytest.raises(BakeError, match="expected a divisor of rows of 8"):
        quantize_q8(np.ones((2, 8), np.float32), group_size)


# --- export ---


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("source", "options", "same_as"),
    [
        ("seeded260K", ["--format", "v2"], "seeded260K_q8"),  # 64 and 172: the largest divisor is 4
        ("seeded_gqa_untied", ["--format", "v1"], "seeded_gqa_untied_v1"),
        ("seeded_gqa_untied_v1", ["--group", "32"], "seeded_gqa_untied_q8"),
        ("seeded_gqa_untied", ["--format", "v2"], "seeded_gqa_untied_q8"),
        ("seeded260K_q8", [], "seeded260K_q8"),  # int8 stays as it is
    ],
)
def test_the_very_files_of_llama2c(source: str, options: list[str], same_as: str, tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    assert run(at_hand.model(source), out, *options) == 0
    assert out.read_bytes() == at_hand.model(same_as).read_bytes()


@pytest.mark.parametrize("name", ["seeded260K", "seeded_gqa_untied"])
def test_v0_to_v1_and_back(name: str, tmp_path: Path) -> None:
    """All but the RoPE tables, which llama2.c skips, are the bytes of the original; those differ in last bits."""
    original = at_hand.model(name)
    assert run(original, tmp_path / "v1.bin", "--format", "v1") == 0
    assert run(tmp_path / "v1.bin", tmp_path / "v0.bin") == 0
    a, b = original.read_bytes(), (tmp_path / "v0.bin").read_bytes()
    model, tensors = files.load(original)
    assert vars(open_checkpoint(tmp_path / "v0.bin").model) | {"name": name} == vars(model)
    begin = 28 + 4 * sum(values.size for key, values in tensors.items() if key[0] != "wcls")
    end = begin + 4 * model.seq_len * model.head_size
    assert a[:begin] == b[:begin] and a[end:] == b[end:] and len(a) == len(b)
    assert np.allclose(np.frombuffer(a[begin:end], "<f4"), np.frombuffer(b[begin:end], "<f4"), atol=1e-4)


def test_every_format_gives_the_same_checkpoint(tmp_path: Path) -> None:
    model, tensors = files.load(at_hand.model("seeded260K"))
    files.hf_folder(tmp_path / "hf", model, tensors)
    (tmp_path / "gguf").write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors)))
    (tmp_path / "pt").write_bytes(files.pt_zip(*files.pt_saved(model, tensors)))
    for options in (["--format", "v0"], ["--format", "v1"], ["--format", "v2", "--group", "2"]):
        written = set()
        for source in (tmp_path / "hf", tmp_path / "gguf", tmp_path / "pt", at_hand.model("seeded260K")):
            assert run(source, tmp_path / "out.bin", *options) == 0
            written.add((tmp_path / "out.bin").read_bytes())
        assert len(written) == 1


def test_q8_0_becomes_v2_without_loss(tmp_path: Path) -> None:
    model, tensors = files.tiny()
    path = tmp_path / "q8.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors, "Q8_0")))
    assert run(path, tmp_path / "q8.bin") == 0
    out = open_checkpoint(tmp_path / "q8.bin")
    assert (out.version, out.model.group_size) == (2, 32)
    for group_size in (16, 1):  # splitting groups loses nothing either
        assert run(path, tmp_path / "split.bin", "--group", group_size) == 0
        split, whole = open_checkpoint(tmp_path / "split.bin").tensor("wo", 1), open_model(path).tensor("wo", 1)
        assert isinstance(split, Quantized) and isinstance(whole, Quantized)
        assert split.s.shape == (32, 32 // group_size) and (dequantize(split) == dequantize(whole)).all()
    assert run(path, tmp_path / "float.bin", "--format", "v1") == 0
    values = open_checkpoint(tmp_path / "float.bin").tensor("wo", 1)
    assert isinstance(values, np.ndarray) and (values == files.decoded(tensors["wo", 1], "Q8_0")).all()


def test_a_model_of_zeros_is_a_valid_v2(tmp_path: Path) -> None:
    model, tensors = files.tiny()
    files.hf_folder(tmp_path / "zeros", model, {key: values * 0 for key, values in tensors.items()})
    assert run(tmp_path / "zeros", tmp_path / "zeros.bin", "--format", "v2") == 0
    found = open_checkpoint(tmp_path / "zeros.bin").tensor("w2", 1)
    assert isinstance(found, Quantized) and not found.q.any() and not found.s.any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head_size": 16}, "head_size: llama2.c's v0 has no place for it and takes 8, found 16"),
        ({"rope_theta": 500000.0}, "rope_theta: llama2.c's v0 has no place for it and takes 10000.0, found 500000.0"),
        ({"norm_eps": 1e-6}, "norm_eps: llama2.c's v0 has no place for it and takes 1e-05, found 1e-06"),
    ],
)
def test_what_the_formats_cannot_hold(changes: dict[str, Any], words: str, tmp_path: Path, refused: Any) -> None:
    refused(files.hf_folder(tmp_path / "model", *files.tiny(**changes)), words)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("seeded260K", ["--format", "v1", "--group", "4"], "expected with --format v2 or quantised --weights only, found v1"),
        ("seeded260K", ["--group", "64"], "expected a divisor of every row (4, 2, 1), found 64"),
        ("seeded_gqa_untied_q8", ["--group", "64"], "of every row (32, 16, 8, 4, 2, 1), found 64"),
        ("seeded260K_q8", ["--format", "v0", "--group", "4"], "expected with --format v2 or quantised --weights only, found v0"),
        ("seeded260K", ["--format", "v2", "--weights", "q4"], "--weights q4: llama2.c's v2 is int8, expected q8; --format v0"),
        ("seeded260K", ["--format", "v2", "--classifier", "f16"], "--classifier f16: llama2.c's v2 is int8, expected q8"),
        ("its tokenizer", ["--format", "tokenizer", "--weights", "q4"], "--weights: expected with a model only, found a tokenizer"),
    ],
)  # fmt: skip
def test_usage(source: str, options: list[str], words: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.bin"
    path = at_hand.tokenizer("seeded260K") if source == "its tokenizer" else at_hand.model(source)
    assert run(path, out, *options) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_int8_is_not_quantised_twice(tmp_path: Path, capsys: Any) -> None:
    assert run(at_hand.model("seeded_gqa_untied"), tmp_path / "g8.bin", "--group", "8") == 0
    capsys.readouterr()
    assert run(tmp_path / "g8.bin", tmp_path / "g32.bin", "--group", "32") == 2
    assert "groups of 32 would quantise it a second time; take one of 8, 4, 2, 1" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "", "\u0663"])
def test_groups_are_whole_numbers(value: str, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        run("in", tmp_path / "out", f"--group={value}")
    assert caught.value.code == 2
    assert "expected a whole number above 0" in capsys.readouterr().err


def test_output_is_whole_or_absent(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = at_hand.model("seeded260K")
    out = tmp_path / "out.bin"
    out.write_bytes(b"before")
    out.chmod(0o600)
    assert run(source, out) == 0
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~mask
    assert [path.name for path in tmp_path.iterdir()] == ["out.bin"]

    whole = out.read_bytes()
    assert run("n" * 300, out) == 66  # also when the format is to be told from the input
    assert "File name too long" in capsys.readouterr().err
    for target, words in (
        (tmp_path / "none" / "x.bin", "No such file"),
        (tmp_path / "out.bin" / "x", "Not a directory"),
    ):
        assert run(source, target) == 74
        assert words in capsys.readouterr().err
    for target in (tmp_path, Path("/dev/null")):
        assert run(source, target) == 2
        assert "expected a file name to write to" in capsys.readouterr().err
    assert run(out, out) == 2 and run(out, tmp_path / "." / "out.bin") == 2
    assert "is the input itself" in capsys.readouterr().err

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert run(source, out, "--format", "v1") == 74
    assert "can't be written: No space left on device" in capsys.readouterr().err
    assert out.read_bytes() == whole and [path.name for path in tmp_path.iterdir()] == ["out.bin"]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    assert run(at_hand.model("seeded260K"), tmp_path / "out.bin") == 130
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """But not what a run that goes on is writing."""
    text = "import os, sys, pathlib; from codegen.output import atomic_output\n"
    text += "with atomic_output(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    out = tmp_path / "out.bin"
    environment = os.environ | {"PYTHONPATH": str(files.ROOT)}
    assert subprocess.run([sys.executable, "-c", text, str(out)], env=environment, check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.bin.") and left.suffix == ".part"
    others = {tmp_path / name for name in (".out.bin.x-y.part", ".out.bin.part", ".other.bin.999999999-x.part")}
    for path in others:
        path.touch()
    with atomic_output(out):
        with atomic_output(out) as file:
            file.write(b"whole")
        assert left not in tmp_path.iterdir() and len(list(tmp_path.iterdir())) == 2 + len(others)
    assert set(tmp_path.iterdir()) == others | {out}


def test_a_nan_halfway_leaves_nothing(tmp_path: Path, refused: Any) -> None:
    source = bytearray(at_hand.model("seeded260K").read_bytes())
    source[600000:600004] = struct.pack("<f", float("nan"))
    (tmp_path / "nan.bin").write_bytes(source)
    refused(tmp_path / "nan.bin", "expected finite numbers, found 1 NaN or infinity", form="v2")


def test_the_tool_itself(tmp_path: Path) -> None:
    """From another folder: help on stdout, what was written on stderr, nothing else on stdout."""
    tool = files.ROOT / "tools" / "export"
    done = subprocess.run([tool, "--help"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0 and "told apart by content" in done.stdout and not done.stderr
    source = at_hand.model("seeded260K")
    done = subprocess.run([tool, source, "out.bin"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "out.bin: llama2.c v0, float32, 1056540 bytes\n"


@pytest.mark.parametrize(("name", "options", "warned"), [
    ("out_q8.bin", [], True), ("model_q80.bin", ["--format", "v1"], True), ("INT8.bin", ["--weights", "q4"], True),
    ("out_q8.bin", ["--format", "v2"], False), ("out.bin", [], False), ("iraq80s.bin", [], False),
])  # fmt: skip
def test_float32_under_the_name_of_int8_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, options: list[str], warned: bool
) -> None:
    assert main([str(files.ROOT / "models/tinytales.pt"), str(tmp_path / name), *options]) == 0
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"{tmp_path / name}: llama2.c v")
    assert len(before) == warned and all("for int8 add --format v2" in line for line in before)


def test_of_a_link_the_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/out.bin")
    for _ in range(2):  # which is not there yet, and is
        with atomic_output(tmp_path / "link") as file:
            file.write(b"whole")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "folder/out.bin").read_bytes() == b"whole"
        assert [path.name for path in tmp_path.rglob("*.part")] == []
    (tmp_path / "null").symlink_to("/dev/null")
    with pytest.raises(BakeError, match="found a directory or device"), atomic_output(tmp_path / "null"):
        pass
    assert Path("/dev/null").is_char_device()


def test_what_is_overwritten_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.bin"
    for place in ("", ", in place of a file of 4 bytes"):
        assert main([str(files.ROOT / "models/tinytales.pt"), str(out)]) == 0
        assert capsys.readouterr().err.endswith(f" bytes{place}\n")
        out.write_bytes(b"four")
