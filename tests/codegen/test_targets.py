"""The table of targets and the choice of this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen import targets
from codegen.errors import USAGE, BakeError

AVX2 = {"sse2", "avx", "avx2", "fma", "f16c"}
PI4 = {"fp", "asimd", "evtstrm", "crc32", "cpuid"}
PI5 = PI4 | {"asimdhp", "asimdrdm", "lrcpc", "asimddp"}


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (set(), "portable"),
        ({"sse2"}, "portable"),
        (AVX2, "x86-64-v3"),
        (AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "x86-64-v3"),
        (AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"}, "avx512"),
        (PI4, "aarch64"),
        (PI5, "aarch64-dotprod"),
        ({"half", "thumb", "fastmult", "vfp", "edsp", "neon", "vfpv4"}, "portable"),  # a Raspberry Pi of 32 bits
    ],
)
def test_native_is_the_best_that_the_cpu_can_run(
    monkeypatch: pytest.MonkeyPatch, extensions: set[str], expected: str
) -> None:
    monkeypatch.setattr(targets, "cpu_extensions", lambda: frozenset(extensions))
    assert targets.find_target("native").name == expected


def test_missing_extensions_are_named_in_gccs_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "cpu_extensions", lambda: frozenset(AVX2 | {"avx512f"}))
    missing = targets.missing_extensions(targets.TARGETS["avx512"])
    assert missing == ["avx512bw", "avx512dq", "avx512vl", "avx512vnni"]
    assert targets.missing_extensions(targets.TARGETS["portable"]) == []


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BakeError, match="portable.*avx512.*found 'sse9'") as caught:
        targets.find_target("sse9")
    assert caught.value.exit_code == USAGE


def test_every_tile_is_whole_registers() -> None:
    for target in targets.TARGETS.values():
        assert all(rows % target.width == 0 for rows in target.float_tiles + target.int_tiles), target.name
        assert target.key_block % target.width == 0, target.name


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: sse2 avx512_vnni\n\nprocessor\t: 1\nflags\t\t: sse2\n", {"sse2", "avx512vnni"}),
        ("processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdcv_zicsr_zvfh\n", {*"imafdcv", "zicsr", "zvfh"}),
        ("processor\t: 0\nBogoMIPS\t: 108\nFeatures\t: fp asimd asimddp i8mm\n", {"fp", "asimd", "asimddp", "i8mm"}),
        ("processor\t: 0\nmodel name\t: flags are not told\n", set()),
        (None, set()),
    ],
)
def test_what_a_machine_says_of_itself(
    monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, expected: set[str]
) -> None:
    def read_text(path: Path, **_: str) -> str:
        assert path == Path("/proc/cpuinfo")
        if cpuinfo is None:
            raise FileNotFoundError
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert targets.cpu_extensions() == expected


@pytest.mark.parametrize(("dotprod", "expected"), [("1", "aarch64-dotprod"), ("0", "aarch64")])
def test_macos_says_it_by_sysctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dotprod: str, expected: str) -> None:
    sysctl = tmp_path / "sysctl"
    lines = ["hw.optional.neon: 1", f"hw.optional.arm.FEAT_DotProd: {dotprod}"]
    sysctl.write_text("#!/bin/sh\n" + "".join(f"echo {line}\n" for line in lines) + "echo sysctl: unknown >&2; exit 1\n")
    sysctl.chmod(0o755)

    def no_such_file(path: Path, **_: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert targets.native_target().name == expected
