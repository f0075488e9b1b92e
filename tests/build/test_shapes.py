"""Models of shapes that nobody chose, baked for each target that this machine runs: every kernel equals plain C++, and all logits
the NumPy program's, as the program's own --selftest compares them.

STORYBAKE_SHAPES sets how many shapes a target gets; which they are depends on the numbers from 0 on alone.
"""

from __future__ import annotations

import os
import platform
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import seeded
from test_build import built

from codegen.targets import find_target, missing_extensions

SHAPES = int(os.environ.get("STORYBAKE_SHAPES", "2"))  # a target
MACHINES = {"x86_64": ("x86-64-v3", "avx512"), "aarch64": ("aarch64", "aarch64-dotprod")}
TARGETS = [
    name for name in ("portable", *MACHINES.get(platform.machine(), ())) if not missing_extensions(find_target(name))
]
WIDEST = 160  # of the vectors: a compiler unrolls short ones, and long ones are more of the same


@dataclass(frozen=True)
class Shape:
    recipe: seeded.Recipe
    options: tuple[str, ...]


def shape_of(number: int) -> Shape:
    """A shape: heads of any even size, groups of any that both widths are multiples of, types that go together."""
    draw = random.Random(number)
    while True:
        head_size, kv_heads, a_key = 2 * draw.randint(1, 24), draw.randint(1, 4), draw.randint(1, 4)
        if (dim := head_size * kv_heads * a_key) <= WIDEST:
            break
    group = draw.choice([size for size in range(2, 65, 2) if dim % size == 0])
    hidden_dim = draw.choice([group * draw.randint(1, WIDEST // group), draw.randint(1, WIDEST)])
    types = ["f32", "f16"] + (["q8", "q4"] * 2 if hidden_dim % group == 0 else [])
    weights, classifier = draw.choice(types), draw.choice(types)
    dims = (dim, hidden_dim, draw.randint(1, 2), kv_heads * a_key, kv_heads, draw.randint(260, 600), draw.randint(2, 70))
    options = (f"-Dweights={weights}", f"-Dclassifier={classifier}", f"-Dkv={draw.choice(('f32', 'f16'))}")
    return Shape(seeded.Recipe(dims, "v0", shared=draw.random() < 0.5), options)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that only what depends on the shape is compiled again in."""
    folder = tmp_path_factory.mktemp("shapes") / "b"
    model = seeded.write(folder.parent / "odd", "odd")
    fast = ("-Dstoryteller=disabled", "-Dopenmp=disabled", "-Dunity=on", "-Dunity_size=100")
    built(folder, "setup", folder, f"-Dmodel={model}", "-Dname=shape", *fast)
    return folder


@pytest.mark.parametrize("number", range(SHAPES))
@pytest.mark.parametrize("target", TARGETS)
def test_every_kernel_equals_plain_cpp_and_the_logits_numpys(
    target: str, number: int, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = shape_of(100 * TARGETS.index(target) + number)
    monkeypatch.setitem(seeded.RECIPES, "shape", shape.recipe)
    model = seeded.write(tmp_path, "shape")
    built(build, "configure", build, f"-Dmodel={model}", f"-Dtarget={target}", *shape.options)
    built(build, "compile", "-C", build, "program")
    info = subprocess.run([build / "shape", "--info"], capture_output=True, text=True, check=True).stdout
    assert target in info and f"{shape.recipe.dims[0]}" in info
    tested = subprocess.run([build / "shape", "--selftest"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, f"{shape}: {tested.stdout}{tested.stderr}"
