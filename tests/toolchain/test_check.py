"""tools/check: which steps there are and which are run, what is deleted, what is said of a build that is skipped."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from riscv_tools import ROOT, one_line, run

sys.path.insert(0, str(ROOT / "tests"))

import check  # noqa: E402
from checks import bakes, conditions, python_conditions, results, style  # noqa: E402


def test_the_matrix_says_only_what_a_build_can(tmp_path: Path) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text('[sets]\nsmall = { kv = "f16", embed = false }\n[bakes]\n'
                    'one = { sets = ["small"], options = { kv = "f32" }, cross = ["duo"], quick = true }\n', encoding="utf-8")
    (one,) = bakes.read_matrix(path)
    assert one == bakes.Bake("one", options=("-Dkv=f32", "-Dembed=false"), cross=("duo",), quick=True)
    path.write_text('[bakes]\none = { sweets = ["model"] }\n', encoding="utf-8")
    with pytest.raises(TypeError, match="sweets"):
        bakes.read_matrix(path)


def test_quick_has_every_backend() -> None:
    quick = [step.name for step in check.chosen(check.parse(["--quick"]), check.all_steps(quick=True))]
    assert {step.folder.name for step in check.all_steps(quick=True) if step.name in quick and step.folder} >= {"quick-default"}
    rows = [bake for bake in bakes.read_matrix() if bake.name in quick]
    assert {"style", "default", "codegen"} <= set(quick)
    assert {bake.cross for bake in rows} == {(), ("aarch64",), ("duo",), ("rvv1",)}
    assert {word for bake in rows for word in bake.options if "target" in word} == {"-Dtarget=portable", "-Dtarget=x86-64-v3"}
    assert len(quick) < len(check.chosen(check.parse([]), check.all_steps())) / 4


def test_no_two_builds_write_the_results_of_a_test_into_one_file() -> None:
    """Meson puts those of a GoogleTest into its workdir, and tools/check tests two builds at once."""
    told = (check.ROOT / "tests/meson.build").read_text(encoding="utf-8")
    tests = [call for call in re.split(r"\n +test\(", told) if "protocol: 'gtest'" in call]
    assert len(tests) > 1 and not any("workdir:" in call for call in tests)


def test_only_and_what_an_option_asks_for() -> None:
    steps = check.all_steps()

    def names(*words: str) -> list[str]:
        return [step.name for step in check.chosen(check.parse([*words]), steps)]

    assert names("--only", "duo,style") == ["style", "duo"]
    assert names("--only", "coverage") == ["coverage"]
    assert names("--only", "conditions") == ["conditions"] and names("--coverage")[-2:] == ["coverage", "conditions"]
    assert not {"fuzz", "coverage", "conditions"} & set(names()) and names("--fuzz")[-1] == "fuzz"
    with pytest.raises(ValueError, match="--only doo: expected steps among codegen style default "):
        names("--only", "style,doo")


def test_a_condition_that_one_copy_of_a_function_shows_is_shown(tmp_path: Path) -> None:
    """gcov tells of a function for each object that has it, of a template for each of its types."""

    def report(function: str, *lacks: tuple[list[int], list[int]]) -> dict[str, object]:
        told = [{"count": 4, "covered": 0, "not_covered_true": true, "not_covered_false": false} for true, false in lacks]
        line = {"line_number": 7, "function_name": "_Z", "conditions": told}
        file = {"file": "../runtime/words.cpp", "functions": [{"name": "_Z", "demangled_name": function}],
                "lines": [line, {"line_number": 8, "function_name": "_Z"}]}
        return {"current_working_directory": str(tmp_path / "build"), "files": [file, file | {"file": "../runtime/engine.cpp"}]}

    missing: conditions.Missing = {}
    conditions.add_report(missing, report("int f<int>(int)", ([0, 1], [1]), ([], [0])), tmp_path)
    conditions.add_report(missing, report("int f<std::array<int, 3> >(int)", ([1], [0, 1]), ([], [0])), tmp_path)
    lines, share = conditions.told(missing)
    assert [line for line in lines if "words" in line or line.startswith(" ")] == [
        "runtime/words.cpp: 5 of 8", "   line 7: condition 1 was not shown to make it false",
        "   line 7: condition 2 was not shown to make it false", "   line 7: condition 2 was not shown to make it true"]
    assert share == 62.5
    conditions.add_report(missing, report("void other(int)", ([], []), ([], [])), tmp_path)
    assert conditions.told(missing)[0][conditions.READERS.index("runtime/words.cpp")] == "runtime/words.cpp: 13 of 16"
    assert all((check.ROOT / reader).is_file() for reader in conditions.READERS)


def test_an_operand_is_shown_by_what_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `a and b or c` for (1, 0, 0) and (1, 1, 0): a was never false, c never true; an operator is an operand of the other."""
    monkeypatch.setattr(python_conditions, "operators", [])
    monkeypatch.setattr(python_conditions, "seen", set())
    path = str(check.ROOT / "codegen/formats/x.py")
    code = python_conditions.Loader("x", path).source_to_code(b"class C:\n    f = staticmethod(lambda a, b, c: a and b or c)\n", path)
    names: dict[str, object] = {python_conditions.CALL: python_conditions.condition}
    exec(code, names)
    f = names["C"].f  # type: ignore[attr-defined]
    assert (f(1, 0, 0), f(1, "b", 0)) == (0, "b")
    lines, shown, total = python_conditions.told()
    assert lines == ["codegen/formats/x.py: line 2: operand 1 was not shown to make it false",
                     "codegen/formats/x.py: line 2: operand 2 was not shown to make it true"]
    assert (shown, total) == (6, 8)
    assert f(0, 0, "c") == "c" and python_conditions.told() == ([], 8, 8)


def test_what_is_written_down_is_no_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `a or {}`, `a and [1]` and `a or [*a]`: a decides where the literal is got to; a list of another's values is no literal."""
    path = str(check.ROOT / "codegen/formats/x.py")
    cases = (("a or {}", (1, 0), 2), ("a or {'b': 1}", (0, 1), 2), ("a and [1]", (1, 0), 2), ("a or [*a]", ([1], []), 3))
    for code, values, complete in cases:
        monkeypatch.setattr(python_conditions, "operators", [])
        monkeypatch.setattr(python_conditions, "seen", set())
        names: dict[str, object] = {python_conditions.CALL: python_conditions.condition}
        exec(python_conditions.Loader("x", path).source_to_code(f"f = lambda a: {code}\n".encode(), path), names)
        f = names["f"]
        shown = [python_conditions.told()[1] for value in values if f(value) is not f]  # type: ignore[operator]
        assert shown[0] < shown[1] == complete, code


def test_check_names_the_steps_before_anything_is_installed() -> None:
    message = one_line(run(ROOT / "tools/check", "--only", "style,typo"), 2)
    assert message.startswith("tools/check: --only typo: expected steps among codegen style default ")
    for option in ("--fast", "--jobs=0", "--only=", "--only=,"):
        result = run(ROOT / "tools/check", option)
        assert (result.returncode, result.stdout) == (2, ""), result


@pytest.mark.parametrize(("failing", "code"), [("setup check", 69), ("toolchain", 69), ("toolchain llama", 0)])
def test_what_can_not_be_installed_ends_it_but_for_an_optional_judge(
    failing: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stand_in(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 69 if " ".join(command) == f"tools/{failing}" else 0)

    monkeypatch.setattr(check.subprocess, "run", stand_in)
    assert check.install() == code
    told = capsys.readouterr().err
    assert told == ("" if code else "tools/check: no llama.cpp (see above): the tests that ask it are skipped\n")


def steps_in(folder: Path) -> list[check.Step]:
    """Steps that only count, in folders with a file each."""
    for name in ("first", "second", "other"):
        (folder / name).mkdir()
        (folder / name / "built").touch()
    return [
        check.Step("first", lambda counts: counts.add(True, "first"), folder / "first"),
        check.Step("second", lambda counts: counts.add(False, "second: a test"), folder / "second", after=True),
        check.Step("skipped", lambda counts: counts.add_skip("skipped: no model.bin here")),
    ]


def test_only_deletes_only_what_it_builds_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = steps_in(tmp_path)
    monkeypatch.setattr(check, "all_steps", lambda quick: steps)
    monkeypatch.setattr(check, "BUILD", tmp_path)
    assert check.main(["--only", "first"]) == 0
    assert [path.parent.name for path in sorted(tmp_path.glob("*/built"))] == ["other", "second"]
    assert capsys.readouterr().out.endswith("\n1 passed, 0 failed, 0 skipped\n")
    assert check.main(["--keep", "--jobs", "3"]) == 1
    assert (tmp_path / "second/built").exists()
    told = capsys.readouterr().out
    assert "== second: 0 passed, 1 failed, 0 skipped (" in told and "FAILED  second: a test" in told
    assert told.endswith("\n1 passed, 1 failed, 1 skipped\n")
    assert check.main(["--only", "first,skipped", "--no-skips"]) == 1
    check.main([])
    assert not tmp_path.exists()


def test_a_build_without_its_model_says_so_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is as expected only where nobody said that public models are here."""
    bake = bakes.Bake("absent", extra="no-such-model.bin")
    for folder, says, unexpected in ((None, "STORYBAKE_MODELS is not set", 0), (tmp_path, f"is not in {tmp_path}", 1)):
        monkeypatch.setattr(bakes.at_hand, "MODELS", folder)
        counts = check.bake_step(bake, quick=False).run()
        told = capsys.readouterr().out.splitlines()
        assert told[0].startswith("== absent: skipped (")
        assert told[1].startswith("   skipped absent: no-such-model.bin ") and says in told[1]
        assert (counts.skipped, counts.unexpected) == (1, unexpected)


def test_a_newer_formatter_is_a_skip_and_an_expected_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version, asked in (("Debian clang-format version 14.0.6", True), ("clang-format version 140.1", False), ("", False)):
        (tmp_path / "clang-format").write_text(f"#!/bin/sh\necho '{version}'\n", encoding="utf-8")
        (tmp_path / "clang-format").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        counts = results.Counts()
        assert style.named("clang-format", counts) is asked
        assert (counts.skipped, counts.unexpected) == (0 if asked else 1, 0)


def test_what_a_minimal_system_skips_is_expected_and_nothing_is_that_no_test_says() -> None:
    counts = results.Counts()
    counts.add_skip("toolchain: the unit's words are checked by systemd-analyze, which is not here")
    assert counts.unexpected == 0
    counts.add_skip("toolchain: ccache is not here; run: tools/setup check")
    assert counts.unexpected == 1
    here = (Path(results.__file__), Path(__file__))
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path not in here)
    assert [words for words in results.EXPECTED_SKIPS if words not in said] == []
