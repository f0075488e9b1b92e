"""tools/bench: what it reads from programs, what it computes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import resource
import signal
import subprocess
import time
import xml.etree.ElementTree
from pathlib import Path

import pytest

from benchmarks import hosts
from benchmarks.measure import BenchError, Kernel, Spread, prompt_within, run_once
from benchmarks.report import Row, svg, text, ticks
from benchmarks.shapes import Building, is_shape
from benchmarks.shapes import build as build_shape
from tools.simulator import figures

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"

REPORT = """achieved tok/s: 2000.500000
255 tokens, 2000.5 tok/s, 0.500 ms a token, 34.0 GB/s of weights, prompt 21 tokens at 9000.1 tok/s, 1 thread
operation                   calls           ms   share     GB/s
matmul_q8_288x288            6144        7.500   60.0%    80.00
attention                    1536        2.500   20.0%
outside of the model                     2.500   20.0%
"""


def program(folder: Path, body: str) -> Path:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BENCH), *arguments], capture_output=True, check=False, text=True, timeout=120)


def has_ended(pid: int) -> bool:
    """Waits for somebody else's process to end, but not to be reaped."""
    for _ in range(1000):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_report_is_read(tmp_path: Path) -> None:
    run = run_once([str(program(tmp_path, f"echo story; cat >&2 <<'E'\n{REPORT}E"))])
    assert run.tok_s == 2000.5
    assert run.prompt_tok_s == 9000.1
    assert run.operations == {"matmul_q8_288x288": 7.5, "attention": 2.5, "outside of the model": 2.5}
    assert 0 < run.first_s < 60


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo story", "achieved tok/s"),
        ("echo 'achieved tok/s: 0.0'", "achieved tok/s"),
        ("echo 'achieved tok/s: fast'", "achieved tok/s"),
        ("echo 'no model' >&2; exit 3", "exit code 0, found 3: no model"),
        ("kill -9 $$", "exit code 0, was ended by SIGKILL"),
        ("echo 'achieved tok/s: 5.0'; kill -s SEGV $$", "exit code 0, was ended by SIGSEGV"),
        ("yes no model | head -n 30000 >&2; exit 1", "exit code 0, found 1: no model"),  # more than a pipe holds
        ("sleep 1000 & echo $! > child; wait", "an end within 2 s, found none"),
        ("echo Once; sleep 1000 & echo $! > child; wait", "an end within 2 s, found none"),
    ],
)
def test_a_peer_that_fails_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good = tmp_path / "good"
    good.mkdir()
    own = str(program(good, "echo 'achieved tok/s: 5.0'"))
    result = bench(own, "--runs", "1", "--timeout", "2", "--peer", str(program(tmp_path, body)))
    assert result.returncode == 1
    assert result.stdout == "" and result.stderr.count("\n") == 1 and message in result.stderr
    if (child := tmp_path / "child").is_file():  # it ends with the one that started it
        assert has_ended(int(child.read_text()))


def test_a_peer_that_can_not_be_started_is_refused_in_one_line(tmp_path: Path) -> None:
    own = str(program(tmp_path, "echo 'achieved tok/s: 5.0'"))
    (tmp_path / "text").write_text("no program\n", encoding="utf-8")
    for peer, message in ((tmp_path / "none", "No such file"), (tmp_path / "text", "Permission denied")):
        result = bench(own, "--runs", "1", "--peer", str(peer))
        assert result.returncode == 1
        assert result.stdout == "" and result.stderr.count("\n") == 1
        assert str(peer)[:60] in result.stderr and f"can't be started: {message}" in result.stderr


def test_what_is_no_build_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        result = bench(str(path))
        assert result.returncode == 66 and "found neither" in result.stderr
    assert bench(str(tmp_path), "--runs", "0").returncode == 2
    for peer, message in (("", "expected a command, found ''"), (" ", "found ' '"), ("run 'x", "No closing quotation")):
        result = bench(str(tmp_path), "--peer", peer)
        assert result.returncode == 2 and message in result.stderr and "Traceback" not in result.stderr


def test_a_prompt_leaves_room_for_tokens_behind_it() -> None:
    for seq_len, tokens in ((512, 32), (512, 4), (64, 256), (1024, 256)):
        assert 1 <= len(prompt_within(seq_len, tokens)) <= max(min(seq_len, tokens) // 2 - 2, 1)


def test_the_ratio_is_taken_run_by_run(tmp_path: Path) -> None:
    ours = program(tmp_path, "echo 'achieved tok/s: 30.0'")
    out = tmp_path / "out.json"
    result = bench(str(ours), "--runs", "3", "--threads", "1", "--peer", "echo achieved tok/s: 10.0", "--json", str(out))
    assert result.returncode == 0, result.stderr
    row = json.loads(out.read_text())["programs"][0]
    assert row["ratio"] == {"median": 3.0, "smallest": 3.0, "largest": 3.0, "runs": 3}
    assert "3.00 (3.00 to 3.00) times" in result.stdout


def test_figures_that_can_not_be_written_are_missed_by_name(tmp_path: Path) -> None:
    """In a folder that is none, and where no file may grow: nothing is left there. A full standard output is not taken for them."""
    ours = [str(program(tmp_path, "echo 'achieved tok/s: 30.0'")), "--runs", "1", "--threads", "1"]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    for limited, out in ((None, tmp_path / "program" / "out.json"), (limit, tmp_path / "out.json")):
        command = [str(BENCH), *ours, "--json", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (74, 1), done
        assert f"tools/bench: {out}: can't be written: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["program"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(BENCH), *ours], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (74, "tools/bench: standard output: writing failed: No space left on device\n")


def test_a_peer_may_be_llama_bench(tmp_path: Path) -> None:
    peer = program(tmp_path, """echo '[ { "n_gen": 256, "avg_ts": 404.25, "stddev_ts": 1.0 } ]'""")
    assert run_once([str(peer)]).tok_s == 404.25


def test_the_page_and_the_plot() -> None:
    one = Spread.of([1.0, 3.0, 2.0])
    assert one == Spread(2.0, 1.0, 3.0, 3)
    row = Row("m<q8>", 1, Spread.of([1000.0]), None, one, 20_000_000, 17_000_000, {"attention": 1.0, "rest": 3.0}, 34e9)
    kernels = {"m<q8>": {"read/1": Kernel(Spread(5e5, 4e5, 6e5, 5), 17e6, 0), "matmul/1": Kernel(Spread(1e3, 900, 2e3, 5), 17e3, 1e4)}}
    page = text([row], kernels, buildings={"m<q8>": Building(1.5, 20.25, 18_000_000)})
    assert "17.0 GB/s of weights, 50 % of what 1 thread can read" in page
    assert "0.00100 (0.00090 to 0.00200)     17.0     50 %    0.10000" in page
    assert "1.5       20.2        18.0" in page
    # a program that does not tell its size has a place in the second drawing alone
    drawing = xml.etree.ElementTree.fromstring(svg([row, dataclasses.replace(row, name="peer", weight_bytes=0)]))
    words = "".join(drawing.itertext())
    assert "m<q8>, 1 thread: 1000 (1000 to 1000)" in words and "attention: 25.0 %" in words and "peer, 1" not in words
    places = {c.get("fill"): float(c.get("cy", "nan")) for c in drawing.iter("{http://www.w3.org/2000/svg}circle") if c.get("cx") != "730"}
    assert places["none"] < places["#3b6ea5"], "what reading allows lies above what was reached"


def test_what_lies_in_a_cache_is_no_share_of_the_memory() -> None:
    """A kernel's megabyte comes from a nearer cache than the whole model, or than what starting two threads lets see."""
    one = Spread.of([1.0])
    row = Row("small", 2, Spread.of([1000.0]), None, one, 20_000_000, 1_000_000, {}, 20e6)
    kernels = {"small": {"read/1": Kernel(Spread.of([1e3]), 1e3, 0), "a/1": Kernel(Spread.of([1e3]), 48150, 1e4),
                         "b/1": Kernel(Spread.of([1e3]), 1090, 1e4)}}  # fmt: skip
    page = text([row], kernels)
    assert "1.0 GB/s of weights, from a cache\n" in page
    lines = {line.split()[0]: line for line in page.splitlines() if line}
    assert " cache " in lines["a/1"] and " 109 % " in lines["b/1"] and "4815" not in page
    assert not [number for number in re.findall(r"(\d+) ?%", page) if int(number) > 110]


def test_an_operation_has_one_colour_in_all_bars() -> None:
    one = Spread.of([5.0])
    first = Row("a", 1, one, None, one, 0, 10_000_000, {"matmul_q8_1x1": 9.0, "attention": 1.0, "rope": 2.0})
    second = dataclasses.replace(first, name="b", operations={"matmul_q8_2x2": 1.0, "rope": 5.0, "attention": 8.0})
    drawing = xml.etree.ElementTree.fromstring(svg([first, second]))
    colours: dict[str, set[str | None]] = {}
    for part in drawing.iter("{http://www.w3.org/2000/svg}rect"):
        name = "".join(part.itertext()).strip().partition(":")[0]
        colours.setdefault(name, set()).add(part.get("fill"))
    assert len(colours["attention"]) == len(colours["rope"]) == 1 and colours["attention"] != colours["rope"]


@pytest.mark.parametrize("values", [[10.0], [1.0, 1000.0], [0.03, 0.031], [9999.0, 10001.0], [5.0, 5.0]])
def test_ticks_enclose_all_values(values: list[float]) -> None:
    marks = ticks(values)
    assert marks[0] <= min(values) and marks[-1] >= max(values) and len(marks) > 1
    assert marks == sorted(marks)


def test_a_shape_is_built_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.shapes.ROOT", tmp_path)
    assert is_shape("odd_q8") and not is_shape("stories16M")
    with pytest.raises(BenchError, match="meson setup .*found 1"):  # no meson.build here
        build_shape("odd_q8", tmp_path / "build-bench")
    assert (tmp_path / "build-bench/models/odd_q8.bin").is_file()
    monkeypatch.undo()
    built, building = build_shape("odd_q8", tmp_path)
    assert building.program_bytes > 100_000 and building.generate_s > 0 and building.compile_s > 0
    out = tmp_path / "out.json"
    result = bench(str(built), "--runs", "2", "--threads", "1", "--json", str(out), "--svg", str(tmp_path / "out.svg"))
    assert result.returncode == 0, result.stderr
    figures = json.loads(out.read_text())
    row = figures["programs"][0]
    assert row["decode"]["runs"] == 2 and row["prefill"]["median"] > 0 and row["resident"] >= 0
    assert row["read"] > 1e9 and row["weight_bytes"] > 0 and "attention" in row["operations"]
    names = {"read/1", "matmul_q8_36x36/1", "matmul_q8_301x36/1", "argmax", "sample, steep", "sample, flat"}
    assert names <= set(figures["kernels"]["odd_q8"])
    for name, kernel in figures["kernels"]["odd_q8"].items():
        assert 0 < kernel["ns"]["smallest"] <= kernel["ns"]["median"] and kernel["bytes"] > 0, name
    assert "matmul_q8_36x36/1" in result.stdout and xml.etree.ElementTree.parse(tmp_path / "out.svg")


def test_hosts_take_turns_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    commands = {}
    for name in ("own", "peer"):
        (tmp_path / name).mkdir()
        log = tmp_path / "log"
        commands[name] = [str(program(tmp_path / name, f"echo {name} >> '{log}'; echo achieved tok/s: $(wc -l < '{log}')"))]
    found = hosts.take_turns(commands, 3)
    assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["own", "peer"] * 4
    assert found == {"own": Spread(5, 3, 7, 3), "peer": Spread(6, 4, 8, 3)}


def test_hosts_read_what_two_positions_cost(tmp_path: Path) -> None:
    told = program(tmp_path, "echo 'two positions at once: 1.12 times one; guesses: 0 of 9 right' >&2")
    assert hosts.cost_of_two([str(told)]) == 1.12
    with pytest.raises(BenchError, match="expected a line"):
        hosts.cost_of_two([str(program(tmp_path, "true"))])


@pytest.mark.parametrize("option,value,known", [("--shapes", "stories1M", "stories15M, stories42M, stories110M, wide1B"),
                                                ("--types", "float32,q5", "float32, int8, int4")])  # fmt: skip
def test_hosts_refuse_what_is_none(option: str, value: str, known: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hosts.main([option, value]) == 2
    assert capsys.readouterr().err == f"benchmarks.hosts: {value.split(',')[-1]}: expected {known}\n"


def test_what_a_setup_that_was_cut_short_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the table of hosts and by the simulator's figures, which set their folders up only once."""

    def meson(*command: str | Path) -> None:
        if command[1] == "setup":
            folder = next(Path(word) for word in command if str(word).startswith(str(tmp_path / "build")))
            folder.mkdir(parents=True)  # which fails where something was left
            (folder / "build.ninja").touch()

    monkeypatch.setattr(hosts, "run", meson)
    monkeypatch.setattr(figures, "check_call", lambda command: meson(*command))
    for module, bake, name in ((hosts, lambda: hosts.bake("odd", "-Dcertify=false"), "odd-false"),
                               (figures, lambda: figures.build("odd", [], "odd"), "odd")):  # fmt: skip
        monkeypatch.setattr(module, "BUILD", tmp_path / "build" / module.__name__)
        left = module.BUILD / name / "meson-private" / "cmd_line.txt"
        left.parent.mkdir(parents=True)
        left.touch()
        for _ in range(2):
            bake()
            assert sorted(path.name for path in (module.BUILD / name).iterdir()) == ["build.ninja"]
