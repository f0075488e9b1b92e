"""--selftest: what is whole passes, and what is broken is named."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from program import RUNNER, refused, run

from codegen.formats import open_model, open_tokenizer
from codegen.memory import cut_context
from codegen.pack import pack, tail_of
from codegen.plan import Plan, make_plan
from codegen.seal import loaded_end, seal
from codegen.targets import find_target
from codegen.tokenizer import bake, with_chat
from codegen.weights import convert


@dataclass(frozen=True)
class Copy:
    """A copy of the program, and of its weights file when it has one, to be damaged: `holder` is where the packed
    weights lie, from byte `at` on."""

    program: Path
    holder: Path
    at: int
    plan: Plan

    def flip(self, offset: int) -> None:
        """Changes one bit of the packed weights."""
        data = bytearray(self.holder.read_bytes())
        data[self.at + offset] ^= 0x10
        self.holder.write_bytes(data)


@pytest.fixture
def copy(binary: str, checkpoint: Path, info: dict[str, str], tmp_path: Path) -> Copy:
    weights, classifier = re.match(r"(\w+)(?:, classifier (\w+))?", info["weight type"]).groups()  # type: ignore[union-attr]
    source = convert(open_model(checkpoint), weights, classifier=classifier or "auto")
    plan = make_plan(cut_context(source.model, int(info["seq_len"])), find_target(info["target"]))
    program = tmp_path / Path(binary).name
    shutil.copy(binary, program)
    holder = program
    if info["weights are"] == "in a file":
        holder = program.with_name(f"{info['model']}.weights")
        shutil.copy(Path(binary).with_name(holder.name), holder)
    at = holder.read_bytes().find(pack(source, plan, tail_of(source, plan)))
    assert at >= 0, "the packed weights are not those of the checkpoint"
    return Copy(program, holder, at, plan)


def test_what_is_whole_passes(binary: str, info: dict[str, str]) -> None:
    for threads in {"1", str(min(3, int(info["threads at most"])))}:
        result = run(binary, "--selftest", "--threads", threads)
        assert (result.returncode, result.stderr) == (0, b"")
        assert re.match(rb"self-test passed: the program, \d+ sections, .*golden run of \d+ positions, known text\n$", result.stdout)


def test_a_damaged_section_is_named(copy: Copy) -> None:
    """One bit in the first, the middle or the last byte of any section, or of the padding behind it."""
    sections = copy.plan.sections
    whole = copy.holder.read_bytes()
    for section in {sections[0], *sections[-12:]}:
        end = copy.plan.section_end(section)
        for offset in (section.offset, (section.offset + end) // 2, end - 1):
            copy.flip(offset)
            name = section.tensor
            if copy.plan.model.has_layers(section.tensor):
                name += f" of layer {section.layer}"
            counted = f" (1 of {len(sections) + 1} sections)"
            refused(run(str(copy.program), "--selftest"), 70, f"damaged since they were baked: {name}{counted}")
            copy.holder.write_bytes(whole)
    assert run(str(copy.program), "--selftest").returncode == 0


def test_many_damaged_sections_are_counted(copy: Copy) -> None:
    for section in copy.plan.sections:
        copy.flip(section.offset)
    count = len(copy.plan.sections)
    words = f"and {count - 4} more ({count} of {count + 1} sections)"
    refused(run(str(copy.program), "--selftest"), 70, copy.plan.sections[0].tensor, words)


def test_a_damaged_tokenizer_is_named(copy: Copy, tokenizer: Path) -> None:
    data = bytearray(copy.program.read_bytes())
    named = open_tokenizer(tokenizer, copy.plan.model.vocab_size)
    at = data.find(bake(with_chat(named, "auto", "tokenizer")))
    assert at >= 0, "the tokenizer is not the one that was named"
    data[at + 24] ^= 1  # a bit of the first score
    copy.program.write_bytes(data)
    refused(run(str(copy.program), "--selftest"), 70, "damaged since they were baked: the tokenizer (1 of ")


def test_a_missing_weights_file_is_missing(copy: Copy) -> None:
    if copy.holder == copy.program:
        return
    copy.holder.write_bytes(copy.holder.read_bytes()[:-1])
    refused(run(str(copy.program), "--selftest"), 65, copy.holder.name)
    copy.holder.unlink()
    refused(run(str(copy.program), "--selftest"), 66, copy.holder.name)


FLIPS = int(os.environ.get("STORYBAKE_FLIPS", "20" if RUNNER else "200"))
STORY = ("-n", "30", "-s", "7", "--threads", "1")


def outcome(program: Path, *arguments: str) -> tuple[int, bytes]:
    """The exit code (a signal's is negative) and the output of a damaged program; 126 when it can't be started, or hangs."""
    try:
        result = run(str(program), *arguments, cwd=program.parent, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 126, b""
    return result.returncode, result.stdout


@pytest.mark.parametrize("where", ["anywhere", "in the code"])
def test_a_bit_that_is_flipped_is_named_or_kills(binary: str, copy: Copy, where: str) -> None:
    """Half of the flips each, chosen by a seed. One of a hundred may pass, or four of a thousand, if the story is the same.

    To pass is to say so: a flip in the C library's start can lose the options, and a story ends with 0 as well.
    """
    whole = copy.program.read_bytes()
    proof, story = outcome(copy.program, "--selftest"), outcome(copy.program, *STORY)
    assert proof[0] == 0 and proof[1].startswith(b"self-test passed: ")
    assert story[0] == 0 and len(story[1]) > 20
    begin, end = (0, len(whole)) if where == "anywhere" else code(whole)
    chosen = random.Random(where)
    passed = 0
    for _ in range(FLIPS // 2):
        at, bit = chosen.randrange(begin, end), chosen.randrange(8)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        copy.program.unlink()  # a program that hangs keeps its file
        copy.program.write_bytes(damaged)
        copy.program.chmod(0o755)
        if outcome(copy.program, "--selftest") == proof:
            passed += 1
            assert outcome(copy.program, *STORY) == story, f"another story, bit {bit} of byte {at}, after a self-test that passed"
    print(f"{where}: {FLIPS // 2 - passed} of {FLIPS // 2} found")
    assert passed <= max(1, FLIPS // 500), f"{passed} of {FLIPS // 2} flips {where} were not found"


def code(elf: bytes) -> tuple[int, int]:
    """Where the segment that can be executed lies in the file."""
    (start,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<2H", elf, 54)
    segments = [struct.unpack_from("<2I5Q", elf, start + i * size) for i in range(count)]
    kind, flags, offset, _, _, in_file, _ = max(segments, key=lambda one: (one[0] == 1 and one[1] & 1, one[5]))
    assert kind == 1 and flags & 1 and 0 < offset + in_file <= loaded_end(elf, "the program")
    return offset, offset + in_file


def test_a_program_without_its_symbols_is_one(copy: Copy) -> None:
    """As after strip(1): the end of the file is gone, and the header says of no sections."""
    if any(word.endswith("run-riscv") for word in RUNNER):
        pytest.skip("the emulator is chosen by the program's sections")
    data = bytearray(copy.program.read_bytes())
    del data[loaded_end(data, "the program") :]
    data[40:48], data[58:64] = bytes(8), bytes(6)
    copy.program.write_bytes(data)
    result = run(str(copy.program), "--selftest")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"self-test passed: the program as it is loaded (its symbols were stripped), ")
    copy.program.write_bytes(data[:-1])
    assert outcome(copy.program, "--selftest")[0] != 0


def test_a_program_that_was_never_sealed_says_so(binary: str) -> None:
    refused(run(f"{binary}.linked", "--selftest"), 70, "has no seal")


BREAK = """
#include <cstdlib>
#include <cstring>
static void break_it(const char* kernel, void* out) {
    static bool broken = false;
    if (!broken && std::strcmp(std::getenv("BREAK"), kernel) == 0) {
        *static_cast<unsigned char*>(out) ^= 1;
        broken = true;
    }
}
"""
OUTPUT = {
    "embed": "x", "rmsnorm": "o", "quantize": "xq.q", "rope": "q", "cache_kv": "value_cache", "attention": "xb", "add": "x",
    "swiglu": "hb",
}  # fmt: skip


def test_a_kernel_that_is_off_by_one_bit_is_named(binary: str, tmp_path: Path) -> None:
    """The generated kernels, compiled with a line more at the end of each, which flips the lowest bit of its result."""
    folder, name = Path(binary).parent, Path(binary).name
    source = (folder / "generated" / "kernels.cpp").read_text()
    kernels = re.findall(r"c\.mark\(k_(\w+)\);", source)
    for kernel in set(kernels):
        mark = f"    c.mark(k_{kernel});"
        source = source.replace(mark, f'    break_it("{kernel}", {OUTPUT.get(kernel, "xout")});\n{mark}')
    (tmp_path / "kernels.cpp").write_text(BREAK + source)
    entries = json.loads((folder / "compile_commands.json").read_text())
    entry = next(e for e in entries if "libkernels" in e["output"])
    compile_command = shlex.split(entry["command"])
    compile_command[compile_command.index("-o") + 1] = str(tmp_path / "kernels.o")
    compile_command[-1] = str(tmp_path / "kernels.cpp")
    subprocess.run(compile_command, cwd=folder, check=True)
    commands = subprocess.run(
        ["ninja", "-t", "commands", f"{name}.linked"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    broken, linked = tmp_path / name, tmp_path / f"{name}.linked"
    link = [word.replace("libkernels.a", str(tmp_path / "kernels.o")) for word in shlex.split(commands[-1])]
    link[link.index("-o") + 1] = str(linked)
    subprocess.run(link, cwd=folder, check=True, capture_output=True)
    broken.write_bytes(seal(linked.read_bytes(), name))
    broken.chmod(0o755)
    for weights in folder.glob("*.weights"):
        shutil.copy(weights, tmp_path)
    assert run(str(broken), "--selftest", BREAK="none").returncode == 0
    assert len(set(kernels)) > 8
    for kernel in set(kernels):
        refused(run(str(broken), "--selftest", BREAK=kernel), 70, f"other results than plain C++ from {kernel}")
