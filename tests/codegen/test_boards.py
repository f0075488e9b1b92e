"""tools/explain and its boards: every figure has a source, a verdict is the build's own, and what is unknown is told as such."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.boards import Bandwidth, Board, copy_rate, facts, how_it_fits, judge, read_boards, span, table, this_machine
from codegen.errors import BakeError
from codegen.memory import MB, check_budget, memory_of
from codegen.model import Model
from codegen.plan import make_plan
from codegen.targets import TARGETS, find_target

ROOT = Path(__file__).resolve().parents[2]
STORIES_15M_Q8 = Model("stories15M", 288, 768, 6, 6, 6, 32000, 256, 48, True, "q8", 32)
STORIES_42M = Model("stories42M", 512, 1376, 8, 8, 8, 32000, 1024, 64, True)
BOARDS = read_boards()
UNKNOWN = Board("new", "portable", 0, "nobody has one", 0, ())


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_has_a_target_and_every_figure_a_source(board: Board) -> None:
    assert board.target in TARGETS
    assert 8 < board.memory < 1 << 20 and len(board.memory_source) > 20
    assert 0.7 < board.budget * MB / (board.memory * (1 << 20)) < 0.95
    for width in board.bandwidths:
        assert 0.1 < width.gb_s < 1000 and width.how in ("measured", "peak") and re.search(r"[\w.-]+/[\w.-]+", width.source)
    measured, peak = ([w.gb_s for w in board.bandwidths if w.how == how] for how in ("measured", "peak"))
    assert not measured or not peak or max(measured) <= min(peak), "nobody measures more than there is"


def test_the_boards_that_are_asked_for_are_there() -> None:
    names = [board.name for board in BOARDS]
    assert len(set(names)) == len(names)
    for words in ("Duo", "without the camera", "256M", "Duo S", "LicheeRV Nano", "K230", "BPI-F3", "Zero 2 W", "Pi 3", "Pi 4", "Pi 5"):
        assert any(words in name for name in names), words


@pytest.mark.parametrize("model", [STORIES_15M_Q8, STORIES_42M], ids=lambda m: f"{m.name}-{m.weight_type}")
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_verdict_is_what_configuring_would_say(board: Board, model: Model) -> None:
    verdict, plan = judge(model, board), make_plan(model, find_target(board.target))
    assert verdict.needs == memory_of(plan).total / MB
    for way in verdict.ways:
        check_budget(make_plan(way.model, find_target(board.target)), board.budget)
    if verdict.fits:
        assert verdict.ways[0].model == model
        return
    with pytest.raises(BakeError) as refused:
        check_budget(plan, board.budget)
    proposals = str(refused.value).partition("would fit: ")[2].partition(";")[0]
    assert proposals == (", ".join(f"{way.options} ({way.needs:.1f} MB)" for way in verdict.ways) or "no option")


def test_the_rate_is_that_of_the_bake_that_fits() -> None:
    """17.1 MB of int8 weights a token, at 0.95 and 2.67 GB/s; of float32 on a board that has room for int4 alone, int4's."""
    duo = BOARDS[0]
    verdict = judge(STORIES_15M_Q8, duo)
    assert [round(rate) for rate in verdict.rates] == [56, 129, 156]
    assert verdict.rates_of("peak") == [verdict.rates[-1]]
    small = judge(replace(STORIES_15M_Q8, weight_type="f32", group_size=0), replace(duo, budget=14))
    assert not small.fits and small.ways[0].model.weight_type == "q4"
    bytes_per_token = make_plan(small.ways[0].model, find_target("duo")).bytes_per_token
    assert small.rates == tuple(1e9 * width.gb_s / bytes_per_token for width in duo.bandwidths)


def test_what_is_unknown_is_told_as_such() -> None:
    verdict = judge(STORIES_15M_Q8, UNKNOWN)
    assert how_it_fits(verdict) == "?" and not verdict.ways and verdict.rates == ()
    row = next(line for line in table([verdict]) if line.startswith("  new "))
    assert row.split() == ["new", "portable", "?", f"{verdict.needs:.1f}", "?", "?", "?"]
    assert "    speed of its memory: unknown" in table([verdict])
    found = facts(verdict)
    assert found["fits"] is None and found["budget_mb"] is None and found["memory_mib"] is None and found["bandwidths"] == []
    assert how_it_fits(judge(STORIES_42M, replace(UNKNOWN, budget=4))) == "no"


@pytest.mark.parametrize(("rates", "text"), [([], "?"), ([55.55], "55.5"), ([1853.2, 55.55], "55.5 to 1,850"), ([55.51, 55.52], "55.5")])
def test_rates_have_three_digits(rates: list[float], text: str) -> None:
    assert span(rates) == text


def test_this_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    board = this_machine()
    assert board.target in TARGETS and board.memory > 64 and 0 < board.budget * MB < board.memory * (1 << 20)
    assert board.bandwidths == (Bandwidth(board.bandwidths[0].gb_s, "measured", board.bandwidths[0].source),)
    assert copy_rate(1 << 16) > 0 and board.bandwidths[0].gb_s > 0

    def unreadable(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", unreadable)
    there = this_machine()
    assert (there.memory, there.budget) == (0, 0), "a system without /proc"


def explain(*arguments: str | Path, folder: Path = ROOT, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "LC_ALL": "C"}
    return subprocess.run([ROOT / "tools/explain", *arguments], cwd=folder, env=environment, text=True, capture_output=True)


def test_the_tool_from_anywhere_under_the_right_python(tmp_path: Path) -> None:
    """Another Python first in PATH, and another package of the name where it is called from."""
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "codegen").mkdir()
    (tmp_path / "codegen/__main__.py").write_text("raise SystemExit(8)\n")
    page = explain(ROOT / "models/tinytales_q8.bin", "--target", "duo", folder=tmp_path, path=str(tmp_path))
    assert (page.returncode, page.stderr) == (0, "")
    for board in (*BOARDS, this_machine()):
        assert f"\n  {board.name} " in page.stdout and f"\n  {board.name}: " in page.stdout
    told = explain(ROOT / "models/tinytales_q8.bin", "--json", "--weights", "q4", "--context", "64", folder=tmp_path)
    figures = json.loads(told.stdout)
    assert figures["model"]["weight_type"] == "q4" and figures["memory"]["total"] > figures["memory"]["weights"] > 0
    assert [row["board"] for row in figures["boards"]] == [*(board.name for board in BOARDS), "this machine"]
    assert figures["boards"][0]["ways"][0]["context"] == 64 and figures["boards"][0]["fits"] is True
    assert 0 < figures["classifier_rows"] < figures["model"]["vocab_size"] and " rows it needs " in page.stdout
    whole = explain(ROOT / "models/tinytales_q8.bin", "--json", "--certify", "false", folder=tmp_path)
    assert json.loads(whole.stdout)["classifier_rows"] == figures["model"]["vocab_size"]


def test_the_tool_says_what_it_does_and_what_was_wrong(tmp_path: Path) -> None:
    for option in ("--help", "-h"):
        told = explain(option, folder=tmp_path)
        assert (told.returncode, told.stderr) == (0, "") and "For example: tools/explain" in told.stdout and "case" not in told.stdout
    absent = explain(tmp_path / "none.bin")
    assert absent.returncode == 66 and absent.stderr.startswith("tools/explain: ") and absent.stderr.count("\n") == 1
    assert explain().returncode == 2
