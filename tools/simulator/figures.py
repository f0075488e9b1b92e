"""Makes the simulated figures of the documentation again: builds what they are of, runs it, and prints the tables.

README.md and docs/riscv.md have `decode`, docs/riscv.md `kernels`, `guesses`, `sampling` and `positions`, docs/security.md `selftest`,
docs/robot-building.md `robot`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codegen.build_folder import set_up
from codegen.errors import reason
from tools.simulator.simulate import ROOT, Simulator, SimulatorError, address_of, plain_names, prepare

BUILD = ROOT / "build-sim-figures"
BANDWIDTHS = ("0.95", "1.3", "1.9")  # GB/s: one measured kernel's, the default, 70 % of the peak
SPEECH = ROOT / ".toolchain" / "speech" / "usr" / "share" / "pocketsphinx" / "model" / "en-us" / "en-us"


@dataclass(frozen=True)
class Decode:
    """Describes a row of the table of tokens a second: a recipe of tests/seeded.py and how it is baked and run."""

    label: str
    recipe: str
    build: tuple[str, ...] = ()
    last: int = 34
    run: tuple[str, ...] = ("-t", "0")
    bandwidths: tuple[str, ...] = BANDWIDTHS


DECODES = (
    Decode("stories15M shape, int8 in groups of 32", "stories15M_q8"),
    Decode("stories15M shape, int4 in groups of 32", "stories15M", ("-Dweights=q4",)),
    Decode("stories15M shape, float16", "stories15M", ("-Dweights=f16",)),
    Decode("stories260K shape, float32", "seeded260K", last=66),
    Decode("stories15M shape, int8, sampled with -t 1", "stories15M_q8", run=("-t", "1", "-s", "1"), bandwidths=("1.3",)),
    Decode("the same, 22,000 of 32,000 rows collapsed", "collapsed15M_q8", run=("-t", "1", "-s", "1"), last=66),
    Decode("the same, int4", "collapsed15M", ("-Dweights=q4",), run=("-t", "1", "-s", "1"), last=66, bandwidths=("1.3",)),
)


@dataclass(frozen=True)
class Spoken:
    """Describes a row of the robot's table: what the storyteller is told, and the functions between which time is taken."""

    label: str
    begin: str
    end: str
    arguments: tuple[str, ...]


WISH = ("--wish", "a dragon", "-s", "7", "--max-sentences", "1")
HEARD = ("--mic-wav", str(BUILD / "wish.wav"), "--acoustic-model", str(SPEECH), "--mute")
ROBOT = (
    Spoken("recogniser loaded", "open_recogniser", "ps_start_utt", HEARD),
    Spoken("hearing a wish", "ps_start_utt", "ps_get_hyp", HEARD),
    Spoken("first sentence", "Session8generate", "Narrator7hand_on", (*WISH, "--mute")),
    *(
        Spoken(f"its speech, voice {voice}", "flite_text_to_wave", "delete_wave", (*WISH, "--wav", "/dev/null", "--voice", voice))
        for voice in ("kal16", "kal", "slt", "awb", "rms")
    ),
    *(
        Spoken(f"its first half second, voice {voice}", "flite_text_to_wave", "FliteVoice7hand_on",
               (*WISH, "--wav", "/dev/null", "--voice", voice))
        for voice in ("kal16", "slt")
    ),
)  # fmt: skip


def check_call(command: list[str | Path]) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        why, exit_code = reason(result.stdout + result.stderr)
        raise SimulatorError(f"{' '.join(map(str, command))}: {why}", exit_code)


def build(name: str, options: list[str], program: str, cross: tuple[str, ...] = ("c906sim",)) -> Path:
    """Builds a program in a folder of its own, or brings it up to date; returns its path."""
    folder = BUILD / name
    print(f"building {name}", file=sys.stderr)
    files = [word for file in cross for word in ("--cross-file", f"cross/{file}.ini")]
    set_up(folder, [*files, *options], check_call)
    check_call(["ninja", "-C", folder, program])
    return folder / program


def build_recipe(recipe: str, options: tuple[str, ...] = ()) -> Path:
    check_call(["/usr/bin/python3", "tests/seeded.py", BUILD / "models", recipe])
    name = "-".join([recipe, *(option.partition("=")[2] for option in options)])
    return build(name, [f"-Dmodel={BUILD / 'models' / recipe}.bin", "-Dstoryteller=disabled", *options], recipe)


def decode(simulator: Simulator) -> None:
    print("| model | tokens | " + " | ".join(f"{bandwidth} GB/s" for bandwidth in BANDWIDTHS) + " |")
    print("| --- | --- | --- | --- | --- |")
    for row in DECODES:
        program = str(build_recipe(row.recipe, row.build))
        cells = []
        for bandwidth in BANDWIDTHS:
            if bandwidth in row.bandwidths:
                report = simulator.tokens([f"bw={bandwidth}"], 2, row.last, [program, *row.run])
                cells.append(f"{1 / report.counts['seconds']:.1f} tok/s")
            else:
                cells.append("")
        print(f"| {row.label} | 2 to {row.last} | " + " | ".join(cells) + " |", flush=True)


def kernels(simulator: Simulator) -> None:
    """Simulates the cycles of a token by kernel, of stories15M's shape in int8 at 1.3 GB/s."""
    program = str(build_recipe("stories15M_q8"))
    report = simulator.tokens(["bw=1.3"], 2, 34, [program, "-t", "0"], by_function=True)
    print(f"{report.counts['cycles'] / 1e6:.1f} million cycles a token\n")
    print("| kernel | calls | cycles | ms a call | GB/s | cycles a MAC |\n| --- | --- | --- | --- | --- | --- |")
    rest = report.counts["cycles"]
    spent = sorted(((cycles, calls, name) for name, (calls, cycles) in report.functions.items() if cycles >= 1000), reverse=True)
    for (cycles, calls, _), name in zip(spent, plain_names([name for _, _, name in spent])):
        rest -= cycles
        ms, speed, macs = f"{cycles / max(calls, 1) / 850e3:.3f}", "", ""
        if shape := re.fullmatch(r"matmul_q8_(\d+)x(\d+)", name):
            products = int(shape[1]) * int(shape[2])
            speed = f"{products * (1 + 4 / 32) / (cycles / calls / 0.85):.2f}"  # counts bytes: int8, and a scale a group of 32
            macs = f"{cycles / calls / products:.2f}"
        print(f"| {name} | {calls} | {cycles:,} | {ms} | {speed} | {macs} |")
    print(f"| what takes less than 1,000 cycles | | {rest:,.0f} | | | |", flush=True)


def selftest(simulator: Simulator) -> None:
    program = str(build_recipe("stories15M_q8"))
    for bandwidth in BANDWIDTHS:
        report = simulator.run([f"bw={bandwidth}"], [program, "--selftest"])
        print(f"--selftest of stories15M's shape in int8 at {bandwidth} GB/s: {report.counts['seconds']:.2f} s", flush=True)


def robot(simulator: Simulator) -> None:
    """Simulates what the storyteller's steps take; wish.wav is the robot's own."""
    if not SPEECH.is_dir():
        raise SimulatorError(f"no {SPEECH.relative_to(ROOT)} to hear with; run: tools/toolchain speech", 66)
    own = build("native", ["-Dstoryteller=enabled"], "storyteller", cross=())
    wish: list[str | Path] = ["-i", "Tell me a story about a dragon.", "--max-sentences", "1", "--wav", BUILD / "wish.wav"]
    check_call([own, *wish])
    program = str(build("storyteller", ["-Dstoryteller=enabled"], "storyteller"))
    print("| step | " + " | ".join(f"{bandwidth} GB/s" for bandwidth in BANDWIDTHS) + " |\n| --- | --- | --- | --- |")
    for row in ROBOT:
        ends = [f"begin={address_of(row.begin, program)}", f"end={address_of(row.end, program)}"]
        reports = [simulator.run([f"bw={bandwidth}", *ends], [program, *row.arguments]) for bandwidth in BANDWIDTHS]
        print(f"| {row.label} | " + " | ".join(f"{r.counts['seconds']:.3f} s" for r in reports) + " |", flush=True)


@dataclass(frozen=True)
class Guessed:
    """Describes a row of the table of guesses: a recipe, how it is baked, and how many tokens a pass computes where guesses are
    right as often as they are in stories of Llama's 32,000 pieces, at temperature 1."""

    label: str
    recipe: str
    build: tuple[str, ...] = ()
    tokens_a_pass: float = 1.45


GUESSED = (
    Guessed("stories15M shape, int8", "stories15M_q8"),
    Guessed("the same, 22,000 of 32,000 rows collapsed", "collapsed15M_q8"),
)


def guess_always(path: Path, recipe: str) -> None:
    """Writes a table that has a guess for every last token, which is mostly wrong, as seeded weights tell no stories."""
    # Load here what --help has to do without.
    import numpy as np

    from codegen.draft import SLOTS, hashes, table_of
    from codegen.formats import open_tokenizer

    vocabulary = open_tokenizer(path.with_name(f"{recipe}.tokenizer.bin"), 32000)
    slots = np.zeros((1 << 15, SLOTS), np.uint32)
    for token in range(32000):
        hashed = hashes([token])[0]
        bucket = slots[hashed & (len(slots) - 1)]
        if not bucket.all():
            bucket[int(np.argmin(bucket))] = 15 << 28 | hashed >> 20 << 16 | 3
    path.write_bytes(table_of(slots.reshape(-1), vocabulary, 32000))


def guesses(simulator: Simulator) -> None:
    """Simulates what two positions at once cost, with the sampler's defaults, and what comes of it at so many tokens a pass."""
    print("| model | tokens a pass | " + " | ".join(f"{bandwidth} GB/s: two to one, tok/s" for bandwidth in BANDWIDTHS) + " |")
    print("| --- | --- | --- | --- | --- |")
    for row in GUESSED:
        check_call(["/usr/bin/python3", "tests/seeded.py", BUILD / "models", row.recipe])
        table = BUILD / "models" / f"{row.recipe}.guesses"
        guess_always(table, row.recipe)
        options = [f"-Dmodel={BUILD / 'models' / row.recipe}.bin", "-Dstoryteller=disabled", f"-Ddraft={table}", *row.build]
        program = str(build(f"{row.recipe}-guesses", options, row.recipe))
        cells = []
        for bandwidth in BANDWIDTHS:
            one, two = (
                simulator.tokens([f"bw={bandwidth}"], 2, 18, [program, "-t", "1", "-s", "1", "--draft", when]).counts["seconds"]
                for when in ("never", "always")
            )
            cells.append(f"{two / one:.2f}, {1 / one:.1f} to {row.tokens_a_pass / two:.1f}")
        print(f"| {row.label} | {row.tokens_a_pass} | " + " | ".join(cells) + " |", flush=True)


# The options of a table of draws, and its columns: a recipe of 32,000 tokens, and how it is baked.
DRAWS = ("-t 0", "-t 1 -p 0.9", "-t 1 -p 1", "-t 1 --top-k 40", "-t 1 --min-p 0.05", "-t 1 --repeat-penalty 1.1")
DRAWN_FROM = (
    ("flat", "vocabulary15M_q8", ("-Dcertify=false",)),
    ("with a top", "vocabulary15M_collapsed_q8", ("-Dcertify=false",)),
    ("with a top, certified", "vocabulary15M_collapsed_q8", ()),
)
COMPUTES = re.compile(r"matmul_\w+|rmsnorm_\d+|quantize_\d+|embed|rope|cache_kv|attention|add|swiglu|forward")


def cycles_by_name(simulator: Simulator, first: int, last: int, command: list[str]) -> dict[str, int]:
    """The cycles of a token by function, at 1.3 GB/s."""
    report = simulator.tokens(["bw=1.3"], first, last, command, by_function=True)
    names = plain_names(list(report.functions))
    spent: dict[str, int] = {}
    for name, (_, cycles) in zip(names, report.functions.values()):
        spent[name] = spent.get(name, 0) + cycles
    return spent


def sampling(simulator: Simulator) -> None:
    """What choosing a token among 32,000 takes, all that is no step of the forward pass, by the options of the draw."""
    print("| options | " + " | ".join(f"{label}, thousand cycles" for label, *_ in DRAWN_FROM) + " |")
    print("| --- |" + " --- |" * len(DRAWN_FROM))
    programs = [str(build_recipe(recipe, options)) for _, recipe, options in DRAWN_FROM]
    for options in DRAWS:
        cells = []
        for program in programs:
            spent = cycles_by_name(simulator, 2, 18, [program, *options.split(), "-s", "1"])
            cells.append(f"{sum(cycles for name, cycles in spent.items() if not COMPUTES.fullmatch(name)) / 1e3:,.0f}")
        print(f"| `{options}` | " + " | ".join(cells) + " |", flush=True)


def positions(simulator: Simulator) -> None:
    """What a layer's attention takes at early and late positions of stories15M's shape, with both types of the cache."""
    print("| key/value cache | positions 2 to 34 | positions 222 to 254 |\n| --- | --- | --- |")
    for kv in ("f32", "f16"):
        program = str(build_recipe("positions15M_q8", (f"-Dkv={kv}",)))
        cells = []
        for first, last in ((2, 34), (222, 254)):
            spent = cycles_by_name(simulator, first, last, [program, "-t", "0", "--ignore-eos"])
            cells.append(f"{spent['attention']:,} cycles, {spent['cache_kv']:,} to store")
        print(f"| `{kv}` | " + " | ".join(cells) + " |", flush=True)


FIGURES: dict[str, Callable[[Simulator], None]] = {
    "decode": decode, "kernels": kernels, "guesses": guesses, "sampling": sampling, "positions": positions, "selftest": selftest,
    "robot": robot,
}  # fmt: skip


def print_figures(names: list[str]) -> None:
    """Prints the figures of these names, of all where there is none. Raises SimulatorError."""
    for name in names:
        if name not in FIGURES:
            raise SimulatorError(f"no figures {name}: expected {', '.join(FIGURES)}", 2)
    simulator = prepare()
    for name in names or FIGURES:
        print(f"\n## {name}\n")
        FIGURES[name](simulator)
