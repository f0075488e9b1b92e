"""Which conditions of the generator's readers the tests show to decide: a plugin for pytest, which reads these modules with a call
around each operand of `and` and `or`.

    PYTHONPATH=tests python3 -m pytest -p checks.python_conditions tests/codegen

An operand of `and` decides it as false wherever it is false, as what stands before it was true; as true, once all are. Of `or` it is
the other way around. An operator inside of another is looked at by itself, and is an operand of the other. What is written down
(`x or {}`) has one value and is no condition: where the last operand is, getting to it is what the others are to be shown to decide.
STORYBAKE_CONDITIONS names the file that what is lacking is written to, with the count.
"""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
READERS = ("codegen.formats", "codegen.byte_level", "codegen.card", "codegen.checkpoint", "codegen.tokenizer", "storyteller.wishes",
           "storyteller.forbidden")  # fmt: skip
CALL = "storybake_condition"  # without two lines in front, which a class would mangle

# Where each is, whether it is `and`, and what each of its operands always is; None for one that can be either.
operators: list[tuple[str, bool, tuple[bool | None, ...]]] = []
seen: set[tuple[int, int, bool]] = set()  # operator, operand, value


def condition(operator: int, operand: int, value: Any) -> Any:
    """Notes an operand's value, and is that value."""
    seen.add((operator, operand, bool(value)))
    return value


def written_down(value: ast.expr) -> bool | None:
    """What an operand always is: a literal, or a list of so many values; None for any other."""
    if isinstance(value, ast.Constant):
        return bool(value.value)
    if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        return None if any(isinstance(one, ast.Starred) for one in value.elts) else bool(value.elts)
    return bool(value.keys) if isinstance(value, ast.Dict) and None not in value.keys else None


class Watched(ast.NodeTransformer):
    """Puts a call around the operands of a module's operators."""

    def __init__(self, file: str) -> None:
        self.file = file

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.BoolOp:
        self.generic_visit(node)
        number = len(operators)
        operators.append((f"{self.file}: line {node.lineno}", isinstance(node.op, ast.And), tuple(map(written_down, node.values))))
        node.values = [
            ast.Call(ast.Name(CALL, ast.Load()), [ast.Constant(number), ast.Constant(i), value], []) for i, value in enumerate(node.values)
        ]
        return node


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles a reader with its operators watched, and keeps nothing of it."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> Any:
        tree = Watched(Path(path).relative_to(ROOT).as_posix()).visit(ast.parse(data))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class Finder:
    """Finds the readers."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if not any(name == reader or name.startswith(f"{reader}.") for reader in READERS):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = Loader(name, spec.origin)
        return spec


def told() -> tuple[list[str], int, int]:
    """A line for each operand that was not shown to decide, how many were shown (each as true and as false), and of how many."""
    lines, shown, total = [], 0, 0
    for number, (where, is_and, always) in enumerate(operators):
        # What only the last operand can end: that all were as this operator goes on.
        last = always[-1]
        ended = (number, len(always) - 1, is_and if last is None else last) in seen
        for i in range(len(always)):
            for value in (True, False) if always[i] is None else ():
                decides = ended if value == is_and else (number, i, value) in seen
                total, shown = total + 1, shown + decides
                if not decides:
                    lines.append(f"{where}: operand {i + 1} was not shown to make it {str(value).lower()}")
    return lines, shown, total


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Comes before any conftest.py imports a reader."""
    setattr(builtins, CALL, condition)
    assert not [name for name in sys.modules if name in READERS], "the readers are imported too early"
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]


def pytest_unconfigure() -> None:
    lines, shown, total = told()
    text = "\n".join([*lines, f"{shown} of {total}"])
    if name := os.environ.get("STORYBAKE_CONDITIONS"):
        Path(name).write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
