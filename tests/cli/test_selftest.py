"""--selftest: what is whole passes, and what is broken is named."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from program import refused, run

from codegen.formats import open_model, open_tokenizer
from codegen.memory import cut_context
from codegen.pack import pack, tail_of
from codegen.plan import Plan, make_plan
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
        assert re.match(rb"self-test passed: \d+ sections, .*golden run of \d+ positions\n$", result.stdout)


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
    entry = next(e for e in entries if e["file"].endswith("generated/kernels.cpp"))
    compile_command = shlex.split(entry["command"])
    compile_command[compile_command.index("-o") + 1] = str(tmp_path / "kernels.o")
    compile_command[-1] = str(tmp_path / "kernels.cpp")
    subprocess.run(compile_command, cwd=folder, check=True)
    commands = subprocess.run(
        ["ninja", "-t", "commands", name], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    broken = tmp_path / name
    link = [word.replace("libkernels.a", str(tmp_path / "kernels.o")) for word in shlex.split(commands[-1])]
    link[link.index("-o") + 1] = str(broken)
    subprocess.run(link, cwd=folder, check=True, capture_output=True)
    for weights in folder.glob("*.weights"):
        shutil.copy(weights, tmp_path)
    assert run(str(broken), "--selftest", BREAK="none").returncode == 0
    assert len(set(kernels)) > 8
    for kernel in set(kernels):
        refused(run(str(broken), "--selftest", BREAK=kernel), 70, f"other results than plain C++ from {kernel}")
