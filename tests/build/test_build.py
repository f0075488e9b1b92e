"""The build itself: what is rebuilt when, what is refused at configure time, and that it is reproducible."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "codegen")]

import byte_level_files  # noqa: E402
import model_files  # noqa: E402
import seeded  # noqa: E402
from locales import locale  # noqa: E402

from codegen.tokenizer import TokenizerData, parse, to_bytes  # noqa: E402


# As tools/story compiles, in a third of the time; test_verify_release.py has a build that compiles each file by itself.
TOGETHER = ("-Dunity=on", "-Dunity_size=100")


def meson(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["meson", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)


def built(folder: Path, *words: str | Path) -> str:
    """Runs `meson WORDS` that has to succeed; returns its output."""
    result = meson(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded.write(tmp_path_factory.mktemp("model"), "odd_q8")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("first") / "build"
    built(folder, "setup", folder, f"-Dmodel={model}", *TOGETHER)
    built(folder, "compile", "-C", folder)
    return folder


def test_a_second_build_does_nothing(build: Path) -> None:
    """But for comparing what the model was baked from."""
    output = built(build, "compile", "-C", build)
    assert not any(word in output for word in ("Compiling", "Linking", "packed weights", "generated sources")), output


def test_packing_depends_on_its_own_template_alone(build: Path) -> None:
    told = subprocess.run(["ninja", "-C", build, "-t", "query", "packed_data.cpp"], capture_output=True, text=True, check=True).stdout
    assert [Path(line).name for line in told.split() if line.endswith(".jinja")] == ["packed_data.cpp.jinja"]


# In a namespace of its own, everything but one folder is made read-only before the command runs.
READ_ONLY = 'mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"'


def works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def read_only_but(folder: Path) -> list[str]:
    """What runs a command in a system of which only a folder can be written to; nothing where namespaces are forbidden."""
    if not works("unshare", "-r", "-m", "sh", "-c", "mount --make-rprivate / && mount -o remount,bind,ro /"):
        return []
    return ["unshare", "-r", "-m", "sh", "-c", READ_ONLY, "sh", str(folder)]


def copied(folder: Path) -> Path:
    """The sources once more, made in the opposite order, so that no listing of a folder has to come out alike."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in sorted(filter(None, listed), reverse=True):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if (ROOT / ".toolchain").exists():
        (folder / ".toolchain").symlink_to((ROOT / ".toolchain").resolve())
    return folder


@pytest.fixture
def copy() -> Iterator[Path]:
    """The sources in another place, and in another file system, where there is one."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield copied(Path(folder) / "a copy" / "of them")


ELSEWHERE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Asia/Shanghai", "HOME": "/no/such/folder"}
ANOTHER_USER = ["unshare", "-U", "--map-user=1234", "--map-group=1234"]


def start_build(source: Path, folder: Path, model: Path, *options: str, **more: Any) -> subprocess.Popen[str]:
    """Begins to build the program, without the compiler's cache."""
    script = 'meson setup "$@" && meson compile -C "$1" odd_q8'
    options = (f"-Dmodel={model}", "-Dstoryteller=disabled", *TOGETHER, *options)
    command = [*more.pop("within", []), "sh", "-c", script, "sh", str(folder), *options]
    environment = os.environ | {"CCACHE_DISABLE": "1"} | more.pop("environment", {})
    return subprocess.Popen(
        command, cwd=source, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )


def finish_build(process: subprocess.Popen[str], folder: Path) -> bytes:
    output = process.communicate(timeout=900)[0]
    assert process.returncode == 0, output
    return (folder / "odd_q8").read_bytes()


def test_builds_elsewhere_are_equal(build: Path, model: Path, copy: Path, tmp_path: Path) -> None:
    """At once: of read-only sources into another folder, and of a copy of the sources by another user; with other
    locales, time zones and masks."""
    folder, other = tmp_path / "f\u00e4lt", copy / "a build, with spaces"
    folder.mkdir()
    surroundings = {**locale("tr_TR", tmp_path), "PYTHONUTF8": "1", "TMPDIR": str(folder), "SOURCE_DATE_EPOCH": "1"}
    user = ANOTHER_USER if works(*ANOTHER_USER, "true") else []
    here = start_build(ROOT, folder / "build", model, umask=0o002, environment=surroundings, within=read_only_but(folder))
    there = start_build(copy, other, model, umask=0o077, environment=ELSEWHERE, within=user)
    expected = (build / "odd_q8").read_bytes()
    assert finish_build(here, folder / "build") == expected
    assert finish_build(there, other) == expected


def test_builds_for_the_duo_are_equal(model: Path, copy: Path, tmp_path: Path) -> None:
    if not works(str(ROOT / "tools/riscv64"), "g++", "--version"):
        pytest.skip("no compiler for the Duo; run: tools/toolchain gcc")
    duo = ("--cross-file", "cross/duo.ini")
    # A build folder outside of the sources finds their tools in PATH.
    tools = {"PATH": f"{ROOT / 'tools'}:{os.environ['PATH']}"}
    here = start_build(ROOT, tmp_path / "duo", model, *duo, environment=tools)
    there = start_build(copy, copy / "build", model, *duo, umask=0o077, environment=ELSEWHERE)
    assert finish_build(here, tmp_path / "duo") == finish_build(there, copy / "build")


def test_pieces_reach_no_source_and_come_out_as_they_are(build: Path, model: Path) -> None:
    """What a vocabulary says could end a string, a comment or a template: it is data, and nothing else."""
    pieces = [" ", "{", "{{", "7", "{{7", "%", "s", "%s", '"', "\\", '"\\', "*", "/", "*/", "?", "??", "??/", "$", "${", "\n", "#"]
    pieces += [");", "system", '"); system("id', "#include <x>", "\u202e", "\x01", "{% for %}", "${m.name}"]
    path = model.parent / "odd_q8.tokenizer.bin"

    def sources() -> list[str]:
        files = [*sorted((build / "generated").iterdir()), build / "packed_data.cpp"]
        return [re.sub(r"N(, N)+", "N", re.sub(r"0x[0-9a-f]+|[0-9]+", "N", file.read_text())) for file in files]

    original, before = path.read_bytes(), sources()
    data = parse(original, 301, path.name)
    hostile = (*data.pieces[: 301 - len(pieces)], *(piece.encode() for piece in pieces))
    try:
        path.write_bytes(to_bytes(TokenizerData(hostile, data.scores)))
        built(build, "compile", "-C", build)
        assert sources() == before, "but for numbers, and how many ids a known text has"
        for prompt in ('{{7%s"\\*/', "??/${\n#", "\u202e{{%s"):
            result = subprocess.run(
                [build / "odd_q8", "-t", "0", "-n", "0", "-i", prompt], capture_output=True, text=True, check=True
            )
            assert result.stdout.startswith(prompt)
    finally:
        path.write_bytes(original)
    built(build, "compile", "-C", build)


def test_a_touched_model_compiles_nothing(build: Path, model: Path) -> None:
    before = (build / "odd_q8").stat().st_mtime_ns
    model.touch()
    output = built(build, "compile", "-C", build)
    assert "Generating" in output and "Compiling" not in output
    assert (build / "odd_q8").stat().st_mtime_ns == before


def test_another_model_in_the_same_file_is_baked(build: Path, model: Path) -> None:
    def info() -> str:
        return subprocess.run([build / "odd_q8", "--info"], capture_output=True, text=True, check=True).stdout

    original, before = model.read_bytes(), info()
    recipe = seeded.RECIPES["odd_q8"]
    longer = dataclasses.replace(recipe, dims=(*recipe.dims[:-1], 30))
    try:
        seeded.RECIPES["odd_q8"] = longer
        seeded.write(model.parent, "odd_q8")
        built(build, "compile", "-C", build)
        assert "seq_len                      30" in info()
        data = bytearray(original)
        data[-5] ^= 1  # one bit of one scale
        model.write_bytes(data)
        built(build, "compile", "-C", build)
        assert "seq_len                      21" in info()
        changed = {line for line in info().splitlines() if "fingerprint" in line}
        assert len(changed) == 2 and not changed & set(before.splitlines())
    finally:
        seeded.RECIPES["odd_q8"] = recipe
        model.write_bytes(original)
    built(build, "compile", "-C", build)
    assert info() == before


@pytest.mark.parametrize(
    ("options", "words", "code"),
    (
        (("-Dmodel=docs",), "without config.json", 66),
        (("-Dmodel=no/such.bin",), "no such file", 66),
        (("-Dmodel={short}",), "at least 28 bytes", 65),
        (("-Dmodel={model}", "-Dtarget=nonsense"), "expected native or one of", 2),
        (("-Dmodel={model}", "-Dtokenizer={short}"), "short.bin", 65),
        (("-Dmodel={alone}",), "no tokenizer beside", 66),
    ),
)
def test_what_is_wrong_is_said_at_configure_time(
    options: tuple[str, ...], words: str, code: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "short.bin"
    short.write_bytes(b"short")
    alone = tmp_path / "alone.bin"
    alone.write_bytes(model.read_bytes())
    monkeypatch.setenv("STORYBAKE_EXIT_CODE", str(tmp_path / "code"))
    result = meson("setup", tmp_path / "b", *(o.format(model=model, short=short, alone=alone) for o in options))
    assert result.returncode != 0
    errors = [line for line in (result.stdout + result.stderr).splitlines() if "ERROR" in line]
    assert len(errors) == 1 and words in errors[0], result.stdout
    assert (tmp_path / "code").read_text() == f"{code}\n", "the generator's, where a build has only its own to end with"


def test_a_target_that_this_cpu_lacks_is_a_warning(model: Path, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: sse2 avx avx2 avx512f\n", encoding="ascii")
    other_cpu = ["unshare", "-r", "-m", "sh", "-c", 'mount --bind "$1" /proc/cpuinfo && shift && exec "$@"', "sh"]
    if not works(*other_cpu, str(cpuinfo), "true"):
        pytest.skip("no namespace to have another CPU in")
    for target, lacking in (("avx512", "avx512bw avx512dq avx512vl avx512vnni"), ("x86-64-v3", ""), ("portable", "")):
        command = [*other_cpu, str(cpuinfo), "meson", "setup", str(tmp_path / target), f"-Dmodel={model}", "-Dstoryteller=disabled"]
        result = subprocess.run(
            [*command, f"-Dtarget={target}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout
        warnings = [line for line in result.stdout.splitlines() if "WARNING" in line and "lacks" in line]
        assert len(warnings) == bool(lacking)
        if lacking:
            assert f"this machine's CPU lacks {lacking}; what is built will not run here" in warnings[0]


def test_damaged_weights_are_refused_and_leave_nothing_behind(
    build: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = model.read_bytes()
    code = tmp_path / "code"
    monkeypatch.setenv("STORYBAKE_EXIT_CODE", str(code))
    try:
        model.write_bytes(original[:-4] + b"\x00\x00\xc0\x7f")  # the last scale is NaN
        result = meson("compile", "-C", build)
        assert result.returncode != 0
        assert "expected finite numbers, found 1 NaN or infinity" in result.stdout
        assert not list(build.rglob("*.part"))
        assert code.read_text() == "65\n", "the generator's"
    finally:
        model.write_bytes(original)
    built(build, "compile", "-C", build)


def test_a_folder_with_byte_level_bpe(tmp_path: Path) -> None:
    """A Hugging Face folder as SmolLM2's: its kind of tokenizer is baked, said and used."""
    tokenizer = byte_level_files.ByteLevel(
        "gpt2 with single digits", [bytes([byte]) for byte in range(256)] + [b"th", b"the"],
        [(b"t", b"h"), (b"th", b"e")], {"<|endoftext|>": True, "<|im_start|>": True, "<b>": False},
    )  # fmt: skip
    folder = model_files.hf_folder(tmp_path / "smol", *model_files.tiny(vocab_size=tokenizer.size))
    (folder / "tokenizer.json").write_text(json.dumps(byte_level_files.tokenizer_json(tokenizer)))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<|im_start|>", "eos_token": "<|endoftext|>"}')
    build = tmp_path / "build"
    built(build, "setup", build, f"-Dmodel={folder}", *TOGETHER)
    built(build, "compile", "-C", build, "program")

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([build / "smol", *arguments], capture_output=True, check=True)

    assert re.search(rb"^tokenizer +byte-level BPE$", run("--info").stdout, re.M)
    prompt = "the 12\u00e9<b>\n<|im_start|>the"
    count = 1 + 1 + 2 + 2 + 1 + 1 + 1 + 1  # the, space, digits, bytes of the letter, <b>, line feed, special, the
    logits = tmp_path / "logits"
    done = run("-i", prompt, "-n", str(count), "-t", "0", "--logits", str(logits))
    assert done.stdout.startswith("the 12\u00e9<b>\nthe".encode())
    assert logits.stat().st_size == 4 * tokenizer.size * count
    run("-n", "1", "--logits", str(logits))
    first = logits.read_bytes()
    run("-n", "1", "-i", "<|im_start|>", "--logits", str(logits))
    assert logits.read_bytes() == first, "an empty prompt is BOS"


HOSTILE_FOLDER = "@OUTDIR@ @INPUT@ 'a' \"b\" $HOME $(id) :;&<{x}*% \u2116 caf\u00e9"


def generate(folder: Path) -> None:
    """What the generator does in a build; what the compiler gets does not depend on a name."""
    command = ["ninja", "-C", folder, "packed_data.cpp", "generated/forward.cpp"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_any_name_bakes(model: Path, tmp_path: Path) -> None:
    """Of model, folder, topics and build folder, what Meson keeps for itself and what it would put something else for."""
    folder = tmp_path / HOSTILE_FOLDER
    folder.mkdir()
    (folder / "meson-x.bin").write_bytes(model.read_bytes())
    (folder / "tokenizer.bin").write_bytes(model.with_name("odd_q8.tokenizer.bin").read_bytes())
    (folder / "meson-x.topics.txt").write_text("a dragon\n")
    build = tmp_path / "@OUTDIR@"
    told = built(build, "setup", build, f"-Dmodel={folder / 'meson-x.bin'}")
    generate(build)
    assert '"model_meson-x"' in (build / "generated" / "forward.cpp").read_text()
    if re.search("storyteller +: (YES|True|true)", told):
        subprocess.run(["ninja", "-C", build, "wishes.cpp"], check=True, capture_output=True)
        assert "public <said>" in (build / "wishes.cpp").read_text()


def test_a_name_that_no_build_can_hold(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a\nb"
    folder.mkdir()
    (folder / "m.bin").write_bytes(model.read_bytes())
    (folder / "tokenizer.bin").write_bytes(model.with_name("odd_q8.tokenizer.bin").read_bytes())
    result = meson("setup", tmp_path / "b", f"-Dmodel={folder / 'm.bin'}")
    errors = [line for line in result.stdout.splitlines() if "ERROR" in line]
    assert result.returncode != 0 and len(errors) == 1 and "found '\\n' in a name" in errors[0], result.stdout


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("-Dname=-x", "name '-x': expected a letter"), ("-Dname=--target", "name '--target': expected a letter"),
        ("-Dtarget=--help", "target: expected native or one of portable"), ("-Dmodel=", "-Dmodel=: expected a path, found nothing"),
        ("-Ddraft= ", "-Ddraft=: expected a path, found nothing"),
    ],
)  # fmt: skip
def test_a_value_is_a_value_whatever_it_begins_with(option: str, words: str, model: Path, tmp_path: Path) -> None:
    result = meson("setup", tmp_path / "build", f"-Dmodel={model}", option)
    errors = [line for line in result.stdout.splitlines() if "ERROR: " in line]
    assert result.returncode != 0 and len(errors) == 1 and words in errors[0], result.stdout
    assert "usage: " not in result.stdout


def test_another_option_bakes_anew(model: Path, tmp_path: Path) -> None:
    """Though no file has changed."""
    build = tmp_path / "b"
    built(build, "setup", build, f"-Dmodel={model}")
    generate(build)
    packed, code = build / "packed_data.cpp", build / "generated" / "baked_model.hpp"
    before = packed.read_bytes(), code.read_bytes()
    built(build, "configure", build, "-Dcontext=7", "-Dname=other")
    generate(build)
    assert "kSeqLen = 7;" in code.read_text() and (packed.read_bytes(), code.read_bytes()) != before
    refused = meson("configure", build, "-Dname=tests")
    compiled = meson("compile", "-C", build, "other")
    assert compiled.returncode != 0 and "name 'tests': the build uses this name itself" in refused.stdout + compiled.stdout
