"""Machines that lack something, and odd places for a checkout: one line that says what, or a story all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from riscv_tools import PATH, ROOT, environment, need, need_mounts, one_line, run

sys.path.insert(0, str(ROOT / "tests" / "storyteller"))

from programs import until  # noqa: E402

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# In a namespace of its own, the folder is read-only before the command runs.
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def command(folder: Path, name: str, script: str) -> None:
    """Puts a program in a folder that is to come first in PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def checkout(folder: Path) -> Path:
    """The project's files, as they are here, in a folder that is made for them."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(("failing", "complaint", "then", "code"), [
    ("update", "Could not resolve 'deb.debian.org'", "; check the network", 69),
    ("update", "Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)", "; check the network", 69),
    ("install", "Could not resolve 'deb.debian.org'", "; run this again", 69),
    ("install", "You don't have enough free space in /var/cache/apt/archives/.", "; run this again", 74),
], ids=["no network", "a proxy that answers HTML", "a network that goes", "a full disk"])  # fmt: skip
def test_setup_says_what_apt_complains_of(failing: str, complaint: str, then: str, code: int, tmp_path: Path) -> None:
    bin = tmp_path / "bin"
    command(bin, "dpkg-query", "true")
    command(bin, "sudo", 'exec "$@"')
    complain = f'echo Reading lists; echo "E: {complaint}" >&2; echo E: more >&2; exit 100'
    command(bin, "apt-get", f'case " $* " in *" {failing} "*) {complain} ;; esac')
    result = run(ROOT / "tools/setup", env=environment(PATH=f"{bin}:{PATH}"))
    assert (result.returncode, result.stdout) == (code, "")
    announced, error = result.stderr.splitlines()
    assert announced.startswith("tools/setup: installing g++ meson ")
    assert error.startswith("tools/setup: apt-get ") and f"{complaint}{then}" in error


def fresh(tmp_path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs tools/fresh with a stand-in for debootstrap that knows trixie and gets nothing."""
    bin = tmp_path / "bin"
    command(bin, "debootstrap", "echo I: Retrieving InRelease; echo E: Failed getting release file http://mirror/Release >&2; exit 1")
    (tmp_path / "scripts").mkdir(exist_ok=True)
    (tmp_path / "scripts/trixie").touch()
    settings = {"PATH": f"{bin}:{PATH}", "DEBOOTSTRAP_DIR": str(tmp_path), "STORYBAKE_DEBIAN_MIRROR": "http://mirror/"}
    return run(ROOT / "tools/fresh", *words, env=environment(**settings | variables))


def test_fresh_refuses_bad_arguments(tmp_path: Path) -> None:
    assert "expected a suite" in one_line(fresh(tmp_path), 2)
    assert "unknown option --fast" in one_line(fresh(tmp_path, "--fast", "trixie"), 2)
    assert "--at: expected a folder" in one_line(fresh(tmp_path, "--at"), 2)
    for suite in ("trixy", "../trixie", ""):
        assert f"unknown suite '{suite}'" in one_line(fresh(tmp_path, suite), 2)


def test_fresh_names_what_to_install(tmp_path: Path) -> None:
    programs = tmp_path / "few"
    command(programs, "debootstrap", "exit 1")
    result = run("/bin/bash", ROOT / "tools/fresh", "trixie", env={"PATH": str(programs)})
    assert "git is not here; run: apt-get install debootstrap git util-linux" in one_line(result, 69)


def test_fresh_needs_root(tmp_path: Path) -> None:
    if not KEYRING.exists():
        pytest.skip("Debian's keyring is not here; run: tools/setup cross")
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    (tmp_path / "tools").mkdir()
    for name in ("fresh", "help.sh"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    command(tmp_path / "bin", "debootstrap", "exit 1")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/trixie").touch()
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    settings = environment(PATH=f"{tmp_path}/bin:{PATH}", DEBOOTSTRAP_DIR=str(tmp_path))
    assert "run: sudo tools/fresh trixie" in one_line(run(*nobody, tmp_path / "tools/fresh", "trixie", env=settings), 69)


def test_fresh_leaves_nothing_of_a_system_that_it_could_not_make(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a system is root's")
    if not KEYRING.exists():
        pytest.skip("Debian's keyring is not here; run: tools/setup cross")
    at = tmp_path / "at"
    result = fresh(tmp_path, "--at", str(at), "trixie")
    assert result.returncode == 69
    assert "http://mirror gave no trixie: Failed getting release file" in result.stderr.splitlines()[-1]
    assert sorted(path.name for path in at.iterdir()) == ["trixie.lock", "trixie.log"]
    command(tmp_path / "bin", "df", "echo Avail; echo 9000")
    assert "has 9000 MB left: expected 10240" in one_line(fresh(tmp_path, "--at", str(at), "trixie"), 74)
    (tmp_path / "file").touch()
    assert "can't make" in one_line(fresh(tmp_path, "--at", str(tmp_path / "file/at"), "trixie"), 74)


def test_a_stopped_fresh_takes_its_system_along(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a system is root's")
    if not KEYRING.exists():
        pytest.skip("Debian's keyring is not here; run: tools/setup cross")
    repository, room = tmp_path / "repository", tmp_path / "at/trixie"
    for name in ("fresh", "help.sh"):
        (repository / "tools").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tools" / name, repository / "tools")
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    (room / "etc/apt/apt.conf.d").mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", repository, room / "root/storybake"], check=True)
    command(tmp_path / "bin", "debootstrap", "exit 1")
    command(tmp_path / "bin", "unshare", f"echo $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 600")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/trixie").touch()
    settings = environment(PATH=f"{tmp_path}/bin:{PATH}", DEBOOTSTRAP_DIR=str(tmp_path))
    with subprocess.Popen([repository / "tools/fresh", "--keep", "--at", tmp_path / "at", "trixie"], env=settings,
                          stderr=subprocess.DEVNULL) as stopped:  # fmt: skip
        until((tmp_path / "pid").exists, lambda: "the system was not entered")
        stopped.terminate()
    inside = Path("/proc", (tmp_path / "pid").read_text(encoding="utf-8").strip(), "cmdline")
    # What is dead and not waited for yet has no command line.
    until(lambda: not inside.exists() or not inside.read_bytes(), lambda: f"{inside} is at work still")


def test_a_read_only_checkout_is_told(tmp_path: Path) -> None:
    need_mounts()
    folder = checkout(tmp_path / "checkout")
    for tool in ("story", "check"):
        result = run("unshare", "--mount", "bash", "-c", READ_ONLY, folder, folder / "tools" / tool)
        assert "is the checkout read-only?" in one_line(result, 74)


# Commands that write into the checkout.
WRITERS = (
    "toolchain qemu5", "bench odd_q8", "models --from http://127.0.0.1:1", "fresh trixie", "draft models/tinytales_q8.bin",
    "evaluate models/tinytales_q8.bin README.md", "export models/tinytales_q8.bin models/out.bin", "regen",
    "c906sim figures decode", "count figures",
)  # fmt: skip


@pytest.mark.parametrize("words", WRITERS)
def test_where_nothing_can_be_written_every_tool_says_so_in_one_line(words: str, tmp_path: Path) -> None:
    need_mounts()
    if "figures" in words:
        need("qemu")
    folder = checkout(tmp_path / "checkout")
    (folder / "generated/README.md").with_name("extra.cpp").write_text("nothing emits this\n")  # for tools/regen to remove
    tool, *arguments = words.split()
    command(tmp_path / "bin", "debootstrap", "exit 1")  # tools/fresh looks for it and its suites first, figures for a QEMU with plugins
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/trixie").touch()
    if (ROOT / ".toolchain/qemu").is_dir():
        (folder / ".toolchain").mkdir(exist_ok=True)
        (folder / ".toolchain/qemu").symlink_to(ROOT / ".toolchain/qemu")
    told = run("unshare", "--mount", "bash", "-c", READ_ONLY, folder, folder / "tools" / tool, *arguments, cwd=folder,
               env=environment(PATH=f"{tmp_path / 'bin'}:{PATH}", STORYBAKE_MODELS="", DEBOOTSTRAP_DIR=str(tmp_path)))  # fmt: skip
    assert str(folder) in one_line(told, 74) or "Read-only" in told.stderr


def test_a_story_from_an_odd_place_with_odd_programs_first(tmp_path: Path) -> None:
    """A path with spaces and letters that are not ASCII, no locale, and another Python first in PATH."""
    bin = tmp_path / "bin"
    for name in ("python", "python3", "python3.11", "python3.13"):
        command(bin, name, "echo an old Python >&2; exit 1")
    folder = checkout(tmp_path / "für alle Märchen, und 故事")
    variables = environment(PATH=f"{bin}:{PATH}", LC_ALL="C", LANG="C")
    told = run(folder / "tools/story", "-i", "Once upon a time", "-s", "7", "-n", "40", env=variables, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Once upon a time")
    again = run(folder / "tools/story", "-i", "Once upon a time", "-s", "7", "-n", "40", env=variables, cwd=tmp_path)
    assert again.stdout == told.stdout


def test_a_meson_of_a_virtual_environment_has_the_systems_python_generate(tmp_path: Path) -> None:
    """As pip installs it: its Python has neither NumPy nor Jinja2."""
    packages = Path("/usr/lib/python3/dist-packages")
    if not (packages / "mesonbuild").is_dir():
        pytest.skip("Debian's Meson is not here; run: tools/setup")
    venv = tmp_path / "venv"
    command(venv, "meson", f'exec "{venv}/bin/python3" -B -c "from mesonbuild.mesonmain import main; raise SystemExit(main())" "$@"')
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", encoding="utf-8")
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to("/usr/bin/python3")
    (venv / "lib").mkdir()
    (venv / "lib/mesonbuild").symlink_to(packages / "mesonbuild")
    variables = environment(PYTHONPATH=str(venv / "lib"))
    told = run(venv / "meson", "setup", tmp_path / "build", "-Dstoryteller=disabled", cwd=ROOT, env=variables)
    assert told.returncode == 0, told.stdout
    assert "(jinja2, numpy) found: NO" in told.stdout and "Program /usr/bin/python3 (jinja2, numpy) found: YES" in told.stdout
