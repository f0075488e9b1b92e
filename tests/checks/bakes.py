"""The builds of tests/matrix.toml, each configured, built and tested."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import at_hand
from checks.results import BUILD, ROOT, Counts, pytest, run

# What of tests/cli makes sense in an emulator.
CROSS_CLI = ("test_faults.py", "test_selftest.py", "test_promises.py::test_no_network_and_no_shell")


@dataclass(frozen=True)
class Bake:
    """A build of one model and what is tested of it; tests/matrix.toml says what each field means."""

    name: str
    model: str = ""
    extra: str = ""
    options: tuple[str, ...] = ()  # as `meson setup` takes them
    cross: tuple[str, ...] = ()
    compiler: str = "g++"
    suites: tuple[str, ...] = ("model",)
    cli: bool = False
    whole: bool = False
    quick: bool = False

    @property
    def folder(self) -> Path:
        """Where it is built."""
        return BUILD / self.name


def read_matrix(path: Path = ROOT / "tests" / "matrix.toml") -> tuple[Bake, ...]:
    """The builds of a matrix file, in its order; TypeError or KeyError for one that says what no build can."""
    matrix = tomllib.loads(path.read_text(encoding="utf-8"))
    bakes = []
    for name, row in matrix["bakes"].items():
        options = {key: value for one in row.pop("sets", ()) for key, value in matrix["sets"][one].items()}
        options |= row.pop("options", {})
        words = tuple(f"-D{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in options.items())
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        bakes.append(Bake(name, options=words, **fields))
    return tuple(bakes)


def model_of(bake: Bake) -> Path | None:
    """The path of what is baked, made first where a recipe makes it; None for the project's own model."""
    import seeded  # needs NumPy, which `tools/check --help` does without

    return seeded.write(BUILD / "models" / bake.name, bake.model) if bake.model else at_hand.public(bake.extra)


def configure(bake: Bake, model: Path | None, counts: Counts) -> bool:
    """Sets a build up, without a storyteller that nothing of it tests; whether it worked, which is counted when not."""
    setup = ["meson", "setup", str(bake.folder), "-Dtests=enabled", *bake.options]
    setup += [] if bake.whole or {"runtime", "faults"} & set(bake.suites) else ["-Dstoryteller=disabled"]
    setup += [f"-Dmodel={model}"] if model else []
    setup += [word for name in bake.cross for word in ("--cross-file", f"cross/{name}.ini")]
    if not (bake.folder / "build.ninja").exists() and not run(setup, CXX=f"ccache {bake.compiler}"):
        counts.add(False, f"{bake.name}: meson setup")
        return False
    return True


def build_whole(bake: Bake) -> bool:
    """Builds what a build makes by itself, and its benchmarks, but no test's program: up to Meson 1.6 they are a part of all."""
    targets = json.loads((bake.folder / "meson-info" / "intro-targets.json").read_text(encoding="utf-8"))
    files = [file for target in targets if target["build_by_default"] for file in target["filename"]]
    return run(["ninja", "-C", str(bake.folder), *(os.path.relpath(file, bake.folder) for file in files), "meson-benchmark-prereq"])


def tests_of(bake: Bake) -> list[str]:
    """The names of the tests in the suites of a build that is set up."""
    tests = json.loads((bake.folder / "meson-info" / "intro-tests.json").read_text(encoding="utf-8"))
    wanted = {f"storybake:{suite}" for suite in bake.suites}
    return [test["name"] for test in tests if wanted & set(test["suite"])]


def check_bake(bake: Bake, counts: Counts) -> None:
    """Configures, builds and tests one build."""
    if bake.extra and at_hand.public(bake.extra) is None:
        where = f"is not in {at_hand.MODELS}" if at_hand.MODELS else "is an extra, and STORYBAKE_MODELS is not set"
        counts.add_skip(f"{bake.name}: {bake.extra} {where}; tools/models fetches it")
        return
    model = model_of(bake)
    if not configure(bake, model, counts):
        return
    if bake.whole and not build_whole(bake):
        counts.add(False, f"{bake.name}: ninja")
        return
    junit = bake.folder / "meson-logs" / "testlog.junit.xml"
    junit.unlink(missing_ok=True)
    before = counts.failed
    if tests := tests_of(bake):
        # It builds what the tests that are named need, and no more; from Meson 1.7 on `meson compile` builds no tests' programs.
        # Their time limits are a quiet machine's; here other steps are run at the same time.
        suites = [word for suite in bake.suites for word in ("--suite", suite)]
        ok = run(["meson", "test", "-C", str(bake.folder), "--print-errorlogs", "--timeout-multiplier", "4", *suites, *tests])
        if junit.exists():
            counts.add_junit(junit, bake.name)
        if not ok and counts.failed == before:
            counts.add(False, f"{bake.name}: meson test")
    else:
        counts.add(False, f"{bake.name}: expected tests in {', '.join(bake.suites)}, found none")
    if bake.cli and model and counts.failed == before:
        own = model.with_name(f"{model.stem}.tokenizer.bin")
        tokenizer = own if own.is_file() else model.with_name("tok512.bin")
        cli = {"STORYBAKE_BIN": bake.folder / model.stem, "STORYBAKE_CHECKPOINT": model, "STORYBAKE_TOKENIZER": tokenizer}
        emulator = "qemu-aarch64" if "aarch64" in bake.cross else f"{ROOT}/tools/run-riscv"
        runner = {"STORYBAKE_RUN": emulator} if bake.cross else {}
        tests = [f"tests/cli/{name}" for name in CROSS_CLI] if bake.cross else ["tests/cli"]
        pytest(counts, f"{bake.name} cli", tests, **{name: str(path) for name, path in cli.items()}, **runner)
