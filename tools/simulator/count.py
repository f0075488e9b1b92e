"""Runs the command line of tools/count: counts the instructions that a baked program takes, by kernel and a multiply-accumulate
(MAC)."""

from __future__ import annotations

import re
import struct

from codegen.command import run_command
from tools.simulator.figures import BUILD, build, check_call
from tools.simulator.simulate import COUNT, ROOT, Report, Simulator, SimulatorError, answer, cpu, find_qemu, plain_names, plugin_for

HELP = """\
Counts the instructions that a program for another processor takes, in QEMU. They say how good a kernel is where no such
processor is at hand, not how fast: that is up to the memory as well.

    tools/count N1 N2 PROGRAM ARGS...    of a token: the difference of runs with -n N1 and with -n N2, by function
    tools/count figures                  builds what docs/performance.md has figures of, and prints its table again

For example: tools/count 2 4 build-pi/tinytales_q8 -t 0
"""
MACHINES = {183: "aarch64", 243: "riscv64"}  # names them by e_machine of an ELF header
SUBSETS = {"aarch64": "arm", "riscv64": "cross"}  # names those of tools/setup, where the emulators are
ARM_CPU = "cortex-a76"  # is a Raspberry Pi 5's: SDOT, but neither SVE nor I8MM

# List the columns of the table: cross files, target, bits of a vector register.
TARGETS = (
    ("`aarch64`", ("aarch64",), "aarch64", 128),
    ("`aarch64-dotprod`", ("aarch64",), "aarch64-dotprod", 128),
    ("`rvv1-vlen256`", ("rvv1", "vlen256"), "rvv1-vlen256", 256),
)
# List its bakes, each with the two types that it shows: of the layers, and of the classifier.
BAKES = (("q8", "f16"), ("q4", "f32"))


def machine_of(program: str) -> str:
    """Finds the machine that a program is for, in QEMU's names. Raises SimulatorError."""
    try:
        with open(program, "rb") as file:
            header = file.read(20)
    except OSError as error:
        raise SimulatorError(f"{program}: {error.strerror}; build it with one of cross/*.ini", 66) from None
    machine = MACHINES.get(struct.unpack_from("<H", header, 18)[0]) if header[:4] == b"\x7fELF" and len(header) == 20 else None
    if machine is None:
        raise SimulatorError(f"{program}: expected a program for {' or '.join(MACHINES.values())}; build it with one of cross/*.ini", 65)
    return machine


def counter(machine: str, vlen: int = 128, sources: tuple[str, ...] = COUNT) -> Simulator:
    """Returns the emulator of a machine that counts, or has another plugin. Raises SimulatorError."""
    qemu = find_qemu(machine, SUBSETS[machine])
    return Simulator((qemu, "-cpu", ARM_CPU if machine == "aarch64" else cpu(qemu, vlen)), plugin_for(qemu, sources))


def macs_of(name: str) -> int:
    """Computes the MACs of a matrix product, by the name of its kernel; 0 for other functions."""
    shape = re.fullmatch(r"matmul_\w+_(\d+)x(\d+)", name)
    return int(shape[1]) * int(shape[2]) if shape else 0


def by_kernel(report: Report) -> list[tuple[str, int, int]]:
    """Returns name, calls and instructions of each function of a token, the largest first."""
    spent = sorted(((count, calls, name) for name, (calls, count) in report.functions.items() if count), reverse=True)
    names = plain_names([name for _, _, name in spent]) if spent else []
    return [(name, calls, count) for (count, calls, _), name in zip(spent, names)]


def a_mac(name: str, calls: int, count: int) -> float:
    """Computes the instructions a MAC of a kernel; 0 for what is no product."""
    return count / (calls * macs_of(name)) if calls and macs_of(name) else 0


def compare() -> None:
    """Compares the instructions of a token of stories15M's shape in int8 with those of llama.cpp on the same file."""
    root = ROOT / ".toolchain" / "llama-arm64"
    if not (root / "stamp").is_file():
        raise SimulatorError(f"no {root.relative_to(ROOT)} to compare with; run: tools/toolchain llama-arm64", 66)
    check_call(["/usr/bin/python3", "tests/seeded.py", BUILD / "models", "stories15M_gguf"])
    model = BUILD / "models" / "stories15M_gguf.gguf"
    program = build("count-peer", [f"-Dmodel={model}", "-Dtarget=aarch64-dotprod", "-Dstoryteller=disabled"], "stories15M_gguf",
                    ("aarch64",))  # fmt: skip
    simulator = counter("aarch64")
    ours = simulator.tokens([], 2, 6, [str(program), "-t", "0"]).counts["instructions"]
    qemu = (simulator.qemu[0], "-L", str(root), *simulator.qemu[1:])
    bench = [str(root / "usr/bin/llama-bench"), "-m", str(model), "-t", "1", "-p", "0", "-r", "1", "--no-warmup"]
    theirs = Simulator(qemu, simulator.plugin).tokens([], 2, 6, bench).counts["instructions"]
    print(f"\nA token of stories15M's shape in int8 with SDOT: {ours / 1e6:.2f} million instructions, llama.cpp {theirs / 1e6:.2f},"
          f" of which that is {ours / theirs:.2f}")  # fmt: skip


def figures() -> None:
    """Makes the table of instructions a MAC, one column a target."""
    check_call(["/usr/bin/python3", "tests/seeded.py", BUILD / "models", "one_layer15M"])
    cells: dict[str, list[str]] = {}
    for _, cross, target, vlen in TARGETS:
        simulator = counter("aarch64" if "aarch64" in cross else "riscv64", vlen)
        for layers, classifier in BAKES:
            options = [f"-Dmodel={BUILD / 'models' / 'one_layer15M.bin'}", f"-Dtarget={target}", f"-Dweights={layers}",
                       f"-Dclassifier={classifier}", "-Dstoryteller=disabled", "-Dopenmp=disabled"]  # fmt: skip
            program = build(f"count-{target}-{layers}-{classifier}", options, "one_layer15M", cross)
            report = simulator.tokens([], 2, 6, [str(program), "-t", "0"], by_function=True)
            for name, calls, count in by_kernel(report):
                if share := a_mac(name, calls, count):
                    cells.setdefault(name, []).append(f"{share:.2f}")
    print("| kernel | " + " | ".join(label for label, *_ in TARGETS) + " |\n| --- |" + " --- |" * len(TARGETS))
    for name in sorted(cells):
        print(f"| {name} | " + " | ".join(cells[name]) + " |", flush=True)
    compare()


def run(words: list[str]) -> None:
    if words == ["figures"]:
        figures()
        return
    if len(words) < 3 or not all(re.fullmatch(r"\d{1,6}", word) for word in words[:2]) or int(words[0]) >= int(words[1]):
        raise SimulatorError("expected numbers of tokens N1 < N2 and a program: tools/count N1 N2 PROGRAM ARGS...", 2)
    simulator = counter(machine_of(words[2]))
    report = simulator.tokens([], int(words[0]), int(words[1]), words[2:], by_function=True)
    print(f"{report.counts['instructions']:,.0f} instructions a token")
    for name, calls, count in by_kernel(report):
        if count < report.counts["instructions"] / 1000:
            break
        share = a_mac(name, calls, count)
        print(f"{count:12,} {calls:6} calls  {name}" + (f", {share:.3f} a MAC" if share else ""))


def main(words: list[str]) -> int:
    """Runs the command; errors as one line each."""
    return answer("tools/count", HELP, run, words)


if __name__ == "__main__":
    run_command("tools/count", main)
