"""Every fuzz target searching for a minute, and the generator's readers on many random files."""

from __future__ import annotations

from checks.bakes import Bake, configure, model_of
from checks.results import ROOT, Counts, pytest, run


def check_fuzz(bake: Bake, counts: Counts) -> None:
    """Lets every fuzz target of a build search from its corpus for a minute, and the readers for many examples."""
    if not configure(bake, model_of(bake), counts):
        return
    for corpus in sorted((ROOT / "tests" / "fuzz" / "corpus").iterdir()):
        target = f"fuzz_{corpus.name}"
        found = bake.folder / "found" / corpus.name  # what is new; an input that crashes lies beside it
        found.mkdir(parents=True, exist_ok=True)
        search = [bake.folder / "tests" / "fuzz" / target, "-max_total_time=60", "-verbosity=0", f"-artifact_prefix={found}-"]
        ok = run(["meson", "compile", "-C", bake.folder, target]) and run([*search, found, corpus])
        counts.add(ok, target)
    pytest(counts, "fuzz codegen", ["tests/codegen/test_fuzz.py"], STORYBAKE_FUZZ="5000")
