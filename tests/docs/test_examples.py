"""Commands of the documentation: those whose output is shown print just that, and all of them name what exists."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from examples import ADDED, PAGES, ROOT, STAND_INS, Example, abridged, examples, one_line, rewritten, run, stand_in

EXAMPLES = {example.command: example for name in PAGES for example in examples((ROOT / name).read_text(encoding="utf-8"))}
DOCUMENTS = [path for pattern in ("*.md", "docs/*.md", "models/*.md", "cross/*.md", "tools/*/*.md") for path in ROOT.glob(pattern)]
OPTION = re.compile(r"(?<!\S)(--[a-z][a-z0-9-]*|-D[a-z_]+=)")


@pytest.mark.parametrize("command", EXAMPLES)
def test_what_is_shown_is_what_is_printed(command: str) -> None:
    program = command.split()[0]
    assert program in STAND_INS, f"{program}: tell STAND_INS which program of the checks this is"
    if not stand_in(program):
        pytest.skip(f"set {STAND_INS[program]} to the program of a build without options")
    printed = run(command)
    example = EXAMPLES[command]
    assert example.agrees_with(printed), f"the READMEs show {example.shown!r}, it prints {one_line(printed)!r}: run tools/regen --examples"


def test_a_stand_in_gets_what_the_tool_adds() -> None:
    for tool, options in ADDED.items():
        # What is asked for comes in between, and is empty for a model that is not asked in words.
        command = f'exec "$program" {" ".join(options)} "${{asked[@]}}" "${{arguments[@]}}"'
        assert command in (ROOT / tool).read_text(encoding="utf-8")


def test_there_is_an_example_and_both_languages_show_it() -> None:
    first, second = ([example for example in examples((ROOT / name).read_text(encoding="utf-8"))] for name in PAGES)
    assert first and first == second and all(len(example.shown) > 40 for example in first)


def test_another_text_is_noticed() -> None:
    example = Example("x", "Once upon a time, ...")
    assert example.agrees_with("Once upon\na time, a cat") and not example.agrees_with("Once upon a dime, a cat")
    assert Example("x", "All.").agrees_with(" All.\n") and not Example("x", "All.").agrees_with("All. And more.")


def test_what_is_shown_can_be_rewritten() -> None:
    page = "Text\n\n    $ tools/story -s 1\n    Old story.\n    And more.\n\nText `$ x`\n"
    told = 'One "day" came. ' * 30
    now = rewritten(page, {"tools/story -s 1": told})
    assert now.startswith("Text\n\n    $ tools/story -s 1\n    One ") and now.endswith("came. ...\n\nText `$ x`\n") and "Old" not in now
    (example,) = examples(now)
    assert example.agrees_with(told) and rewritten(now, {"tools/story -s 1": told}) == now
    assert len(abridged(told)) < len(told) and abridged("Short.\n") == "Short." and abridged("a" * 150 + " " + "b" * 150).endswith("a ...")


def commands(document: Path) -> list[str]:
    """The lines of code blocks that call one of the project's tools or Meson, without their comments and prompts."""
    lines = re.findall(r"^ {4}(?:\$ )?((?:tools/|meson ).*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return [part for line in lines for part in re.split(r" && ", re.sub(r"\s+# .*", "", line))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_name_what_exists(document: Path) -> None:
    """Tools, their long options, the build's options, cross files."""
    settings = re.findall(r"^option\('(\w+)'", (ROOT / "meson_options.txt").read_text(), re.MULTILINE)
    for command in commands(document):
        program, *words = command.split()
        if program == "meson":
            for option in OPTION.findall(command):
                name = option.removeprefix("-D").removesuffix("=")
                assert option.startswith("--") or name in settings or name.startswith("b_"), f"{command}: no option {name}"
            for file in re.findall(r"--cross-file (\S+)", command):
                assert (ROOT / file).is_file(), f"{command}: no {file}"
        else:
            tool = ROOT / program
            assert os.access(tool, os.X_OK), f"{command}: no {program}"
            # A program's own options follow the build or program, or are all of tools/story's.
            own = words if program not in ("tools/story", "tools/run-riscv") else []
            known = subprocess.run([tool, "--help"], cwd=ROOT, text=True, capture_output=True).stdout + tool.read_text() if own else ""
            for option in OPTION.findall(" ".join(own)):
                assert option in known, f"{command}: {program} knows no {option}"


def test_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text tools/x\n\n    $ tools/story -s 1\n    Once\n    tools/setup cross && tools/toolchain   # once\n    ls\n")
    assert commands(page) == ["tools/story -s 1", "tools/setup cross", "tools/toolchain"]


def test_the_readme_has_every_option_of_the_build() -> None:
    settings = re.findall(r"^option\('(\w+)'", (ROOT / "meson_options.txt").read_text(), re.MULTILINE)
    listed = re.findall(r"^\| `-D(\w+)=", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(settings)
