"""Runs programs in the simulator: finds QEMU, builds the plugin, reads its report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from codegen.errors import reason

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent
PLUGINS = ROOT / ".toolchain" / "c906sim"
# Name the plugins and their sources.
C906SIM = ("c906sim.c", "decode.c", "functions.c")
COUNT = ("count.c", "functions.c")
AUDIT = ("audit.c", "functions.c")


class SimulatorError(Exception):
    """Says what can't be done, in one line, and the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def answer(tool: str, help_text: str, run: Callable[[list[str]], None], words: list[str]) -> int:
    """Runs a tool of this folder on its arguments: help, one line for what can't be done, and the exit code. What becomes of its
    descriptors is codegen.command.run_command's to say."""
    if words and words[0] in ("-h", "--help"):
        print(help_text, end="")
        return 0
    try:
        run(words)
    except SimulatorError as error:
        print(f"{tool}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


@dataclass(frozen=True)
class Report:
    """Holds what one run took: the plugin's counts by name ("cycles", "instructions", "dram_bytes", ...), and where they were asked
    for (calls, cycles or instructions) of each global function, with those that only its file knows."""

    counts: dict[str, float]
    functions: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Simulator:
    """Runs an emulator with a plugin: the command, with the processor that it is to be."""

    qemu: tuple[str, ...]
    plugin: Path

    def run(self, options: list[str], command: list[str], by_function: bool = False) -> Report:
        """Runs a program with the plugin's options; its standard output is dropped. Raises SimulatorError when it fails."""
        lines = [f"{f.address} {f.size} {f.name}\n" for f in functions(command[0]) if f.is_global] if by_function else []
        return read_report(self.report(options, command, **({"functions": "".join(lines)} if by_function else {})))

    def report(self, options: list[str], command: list[str], **told: str) -> str:
        """Returns the text of the plugin's report on a run. `told` are the texts of the files that it reads: `functions`,
        `regions`, which are SIMULATOR_FUNCTIONS and so on to it. Raises SimulatorError when the program fails."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report"
            steering = {"SIMULATOR_OUT": str(report), "OMP_NUM_THREADS": "1"}
            for name, text in told.items():
                (Path(folder) / name).write_text(text)
                steering[f"SIMULATOR_{name.upper()}"] = str(Path(folder) / name)
            plugin = ",".join([str(self.plugin), *options])
            emulated = [*self.qemu, "-plugin", plugin, *command]
            result = subprocess.run(
                emulated, env=os.environ | steering, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
            )
            if result.returncode or not report.is_file():
                said = result.stderr.decode(errors="replace").strip().splitlines()
                why = said[-1] if said else f"exit code {result.returncode}"
                raise SimulatorError(f"{command[0]} failed in the simulator: {why}", 1)
            return report.read_text()

    def tokens(self, options: list[str], first: int, last: int, command: list[str], by_function: bool = False) -> Report:
        """Computes what a token takes, of those between the runs with -n `first` and with -n `last`."""
        short, long = (self.run(options, [*command, "-n", str(n)], by_function) for n in (first, last))
        tokens = last - first
        counts = {name: (value - short.counts[name]) / tokens for name, value in long.counts.items()}
        spent = {}
        for name, (calls, cycles) in long.functions.items():
            calls_before, cycles_before = short.functions.get(name, (0, 0))
            spent[name] = (round((calls - calls_before) / tokens), round((cycles - cycles_before) / tokens))
        return Report(counts, spent)


def read_report(text: str) -> Report:
    counts = {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.]+)$", text, re.MULTILINE)}
    spent = re.findall(r"^function (\S+) (\d+) (\d+)$", text, re.MULTILINE)
    return Report(counts, {name: (int(calls), int(cycles)) for name, calls, cycles in spent})


def cpu(qemu: str, vlen: int = 128) -> str:
    """Names the emulated processor of RISC-V; with conversions of float16 where this QEMU knows them."""
    told = subprocess.run([qemu, "-cpu", "rv64,zvfhmin=true", "/dev/null"], capture_output=True, text=True, check=False)
    return f"rv64,v=true,vlen={vlen},vext_spec=v1.0" + ("" if "not found" in told.stderr else ",zvfhmin=true")


def prepare() -> Simulator:
    """Prepares the simulator, its plugin built for this QEMU when its sources are newer. Raises SimulatorError."""
    qemu = find_qemu("riscv64", "cross")
    return Simulator((qemu, "-cpu", cpu(qemu)), plugin_for(qemu, C906SIM))


def find_qemu(machine: str, subset: str) -> str:
    """Finds QEMU's user-mode emulator of a machine, which has plugins; a subset of tools/setup installs it. Raises
    SimulatorError."""
    private = ROOT / ".toolchain" / "qemu" / "usr" / "bin" / f"qemu-{machine}"
    qemu = str(private) if os.access(private, os.X_OK) else shutil.which(private.name)
    if qemu is None:
        raise SimulatorError(f"{private.name} is not here; run: tools/setup {subset}", 127)
    if "-plugin" not in subprocess.run([qemu, "--help"], capture_output=True, text=True, check=False).stdout:
        raise SimulatorError(f"{qemu} was built without plugins; run: tools/toolchain qemu", 127)
    return qemu


def plugin_for(qemu: str, names: tuple[str, ...]) -> Path:
    """Returns a plugin for this QEMU, built when its sources are newer. Raises SimulatorError."""
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.search(r"version (\d+)\.(\d+)", version)
    api = 3 if numbers and (int(numbers[1]), int(numbers[2])) >= (9, 1) else 1
    sources = [SOURCES / name for name in names]
    plugin = PLUGINS / f"lib{sources[0].stem}-api{api}.so"
    newest = max(path.stat().st_mtime for path in [*sources, *SOURCES.glob("*.h")])
    if not plugin.is_file() or plugin.stat().st_mtime < newest:
        build_plugin(plugin, sources, api)
    return plugin


def build_plugin(plugin: Path, sources: list[Path], api: int) -> None:
    plugin.parent.mkdir(parents=True, exist_ok=True)
    unfinished = plugin.with_name(f"{plugin.name}.{os.getpid()}")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
    command = ["gcc", *flags, f"-DPLUGIN_API={api}", "-o", str(unfinished), *map(str, sources)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SimulatorError(f"gcc can't be started ({error.strerror}); it comes with: tools/setup cross", 127) from None
    if result.returncode:
        unfinished.unlink(missing_ok=True)
        why, exit_code = reason(result.stderr)
        raise SimulatorError(f"the simulator's plugin could not be built: {why}", exit_code)
    unfinished.rename(plugin)


@dataclass(frozen=True)
class Function:
    """Describes a function that a program has; address and size in hexadecimal."""

    address: str
    size: str
    is_global: bool
    name: str


def functions(program: str) -> list[Function]:
    """Lists the functions of a program, whatever machine it is for. Raises SimulatorError."""
    found = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) ([tTwW]) (\S+)$", binutil("nm", "-S", "--defined-only", program), re.MULTILINE)
    return [Function(address, size, kind in "TW", name) for address, size, kind, name in found]


def binutil(*command: str) -> str:
    """Returns what this system's tool of binutils prints: those that list names know every machine's files."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SimulatorError(f"{command[0]} can't be started ({error.strerror}); it comes with: tools/setup cross", 127) from None
    if result.returncode:
        raise SimulatorError(result.stderr.strip().splitlines()[-1], 65)
    return result.stdout


def plain_names(names: list[str]) -> list[str]:
    """Returns the names as their source has them, without namespaces and arguments."""
    return [re.sub(r"\(.*|.*::", "", name.partition("(")[0]) for name in binutil("c++filt", *names).splitlines()]


def address_of(name: str, program: str) -> str:
    """Finds the address of the function of this name, or of the only one with it in its name. Raises SimulatorError."""
    found = {f.name: f.address for f in functions(program) if name in f.name}
    if name in found:
        return found[name]
    if not found:
        raise SimulatorError(f"{program} has no function {name}; find its name with: nm {program}", 65)
    if len(set(found.values())) > 1:
        raise SimulatorError(f"{program} has {len(found)} functions with {name} in their name: {' '.join(sorted(found))}", 65)
    return next(iter(found.values()))
