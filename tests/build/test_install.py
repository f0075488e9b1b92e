"""meson install: programs, manual pages and completions, into a folder and away again; and what the tables say of options."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import seeded  # noqa: E402

from manual.__main__ import render  # noqa: E402
from manual.table import Option, read_table, short  # noqa: E402

PROGRAM = read_table(ROOT / "runtime/options.inc")
STORYTELLER = [*read_table(ROOT / "storyteller/options.inc"), *(option for option in PROGRAM if not option.own)]


def run(*words: str | Path, **variables: str) -> str:
    result = subprocess.run(
        [str(word) for word in words], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | variables
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def shown(man: str) -> str:
    """What roff makes of a page's text."""
    return man.replace("\\-", "-").replace("\\e", "\\").replace("\\&", "").replace("\\fI", "").replace("\\fR", "")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install") / "build"
    model = seeded.write(folder.parent, "odd_q8")
    run("meson", "setup", folder, f"-Dmodel={model}", "--prefix=/opt/a prefix", "-Dunity=on", "-Dunity_size=100")
    told = run("meson", "compile", "-C", folder)
    assert "warning" not in told.lower(), "not ld's about dlopen either"
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_installing_and_taking_it_away_again(build: Path, tmp_path: Path) -> None:
    run("meson", "install", "--no-rebuild", "-C", build, DESTDIR=str(tmp_path))
    programs = {name for name in ("odd_q8", "storyteller") if (build / name).is_file()}
    assert "odd_q8" in programs
    expected = {
        f"opt/a prefix/{place.format(name)}"
        for name in programs
        for place in (
            "bin/{}", "share/man/man1/{}.1", "share/bash-completion/completions/{}.bash",
            "share/zsh/site-functions/_{}", "share/fish/vendor_completions.d/{}.fish",
        )
    }  # fmt: skip
    assert files(tmp_path) == expected
    prefix = tmp_path / "opt/a prefix"
    moved = run(prefix / "bin/odd_q8", "-t", "0", "-n", "5", "-q")
    assert moved == run(build / "odd_q8", "-t", "0", "-n", "5", "-q") != ""
    for name in programs:
        told = run(prefix / "bin" / name, "--help")
        page = shown((prefix / f"share/man/man1/{name}.1").read_text())
        for option in re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", told, re.MULTILINE):
            for path in (f"bash-completion/completions/{name}.bash", f"zsh/site-functions/_{name}"):
                assert re.search(rf"{option}\b", (prefix / "share" / path).read_text()), (path, option)
            assert re.search(rf"{option}\b", page), option
            assert f" -l {option[2:]}" in (prefix / f"share/fish/vendor_completions.d/{name}.fish").read_text()
    run("ninja", "-C", build, "uninstall")
    assert files(tmp_path) == set()


def test_weights_beside_the_program_are_installed_beside_it(build: Path, tmp_path: Path) -> None:
    apart = tmp_path / "build"
    model = seeded.write(tmp_path, "odd_q8")
    run("meson", "setup", apart, f"-Dmodel={model}", "-Dembed=false", "-Dstoryteller=disabled", "-Dunity=on", "-Dunity_size=100")
    run("meson", "compile", "-C", apart)
    run("meson", "install", "--no-rebuild", "-C", apart, DESTDIR=str(tmp_path / "root"))
    installed = tmp_path / "root/usr/local/bin"
    assert sorted(path.name for path in installed.iterdir()) == ["odd_q8", "odd_q8.weights"]
    (apart / "odd_q8.weights").unlink()
    assert run(installed / "odd_q8", "-t", "0", "-n", "5", "-q") == run(build / "odd_q8", "-t", "0", "-n", "5", "-q")


def test_a_c_compiler_that_is_chosen_is_told_of(tmp_path: Path) -> None:
    model = seeded.write(tmp_path, "odd_q8")
    variables = {name: value for name, value in os.environ.items() if name != "CXX"}
    words = ["meson", "setup", str(tmp_path / "build"), f"-Dmodel={model}", "-Dstoryteller=disabled"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=variables | {"CC": "clang"})
    assert told.returncode == 0
    assert "WARNING: CC=clang names a C compiler" in told.stdout and "CXX=clang++" in told.stdout


# ---- pages and completions of the tables


@pytest.mark.parametrize(("name", "options"), [("tale_q8", PROGRAM), ("storyteller", STORYTELLER)])
def test_every_option_is_on_the_page_with_its_help(name: str, options: list[Option]) -> None:
    page = shown(render(name, "1.2.3", options, name == "storyteller")[f"{name}.1"])
    assert f'.TH "{name.upper()}" 1 "" "storybake 1.2.3"' in page
    for option in options:
        label = ", ".join(option.names) + (f" {option.metavar}" if option.metavar else "")
        assert f".TP\n.B {label}\n{option.help}\n" in page
    assert "{" not in page, "a fact that only the program knows"


def completed(name: str, options: list[Option], *words: str) -> set[str]:
    """What bash offers after some words."""
    script = render(name, "1", options, False)[f"{name}.bash"]
    typed = " ".join(f"'{word}'" for word in (name, *words))
    function = f"$(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
    ask = f"{script}\ncompopt() {{ :; }}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}\n{function}\n"
    return set(run("bash", "-c", ask + 'printf "%s\\n" "${COMPREPLY[@]}"').split("\n")) - {""}


def test_bash_offers_options_values_and_files(tmp_path: Path) -> None:
    everything = completed("tale.q8", PROGRAM, "-")
    assert everything == {name for option in PROGRAM for name in option.names}
    assert completed("tale.q8", PROGRAM, "--se") == {"--seed", "--separator", "--selftest"}
    assert completed("tale.q8", PROGRAM, "--load", "") == {"read", "map"}
    assert completed("tale.q8", PROGRAM, "-m", "c") == {"chat"}
    assert completed("tale.q8", PROGRAM, "--seed", "") == set()
    (tmp_path / "a file.bin").write_text("")
    assert completed("tale.q8", PROGRAM, "-z", f"{tmp_path}/a") == {f"{tmp_path}/a file.bin"}
    assert completed("storyteller", STORYTELLER, "--acoustic-model", f"{tmp_path}/") == set(), "folders alone"


@pytest.mark.parametrize(("shell", "file"), [("bash", "{}.bash"), ("zsh", "_{}"), ("fish", "{}.fish")])
@pytest.mark.parametrize(("name", "options"), [("tale_q8", PROGRAM), ("storyteller", STORYTELLER)])
def test_completions_are_the_shells_language(shell: str, file: str, name: str, options: list[Option], tmp_path: Path) -> None:
    text = render(name, "1", options, name == "storyteller")[file.format(name)]
    for option in options:
        assert option.name in text and text.replace("\\'", "").count("'") % 2 == 0, "every quote is closed"
    if shutil.which(shell):
        (tmp_path / "script").write_text(text)
        assert run(shell, "-n", tmp_path / "script") == ""


def test_a_row_that_is_none_is_named(tmp_path: Path) -> None:
    table = tmp_path / "options.inc"
    table.write_text("// a comment\n\nHEADING(\"One\")\nOPTION('a', \"all\", nullptr, set, \"say \\\"all\\\"\")\n")
    assert read_table(table) == [Option("One", "a", "all", "", 'say "all"', False)]
    for wrong in ("OPTION('a', \"all\", nullptr, set)", "OPTION(0, all, nullptr, set, \"x\")", "#include \"more.inc\""):
        table.write_text(f'HEADING("One")\n{wrong}\n')
        with pytest.raises(ValueError, match="options.inc:2: expected HEADING"):
            read_table(table)
    assert short("one thing; another") == "one thing" and short("a name (default: x)") == "a name"


def test_the_tarball_of_a_release_has_every_file_builds_and_tests_itself(tmp_path: Path) -> None:
    """`meson dist` unpacks what it packed and builds it with the options of the build that it was asked in."""
    here = tmp_path / "here"
    run("meson", "setup", here, "-Dstoryteller=disabled", "-Dunity=on", "-Dunity_size=100")
    told = run("meson", "dist", "--allow-dirty", "--formats", "gztar", "-C", here)
    assert re.search(r"storybake:model\+story / story +OK", told) and re.search(r"storybake:runtime / cli +OK", told), told
    (archive,) = (here / "meson-dist").glob("storybake-*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (folder,) = (tmp_path / "unpacked").iterdir()
    kept = set(run("git", "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")) - {""}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()} == kept
