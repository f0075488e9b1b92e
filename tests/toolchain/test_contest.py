"""tools/board-report --contest: its oracle tells llama2.c's stories, and its page says where a program's differ."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import at_hand  # noqa: E402

from benchmarks import contest  # noqa: E402
from benchmarks.board_report import peak_of, table  # noqa: E402
from codegen.formats import open_model, open_tokenizer  # noqa: E402
from codegen.tokenizer import TokenizerData  # noqa: E402


@pytest.mark.parametrize("name", ["seeded260K", "seeded260K_q8"])
def test_the_oracle_tells_llama2cs_stories(name: str) -> None:
    source = open_model(at_hand.model(name))
    vocabulary = open_tokenizer(at_hand.tokenizer(name), source.model.vocab_size)
    assert isinstance(vocabulary, TokenizerData)
    told = contest.stories(source, vocabulary, [1, 2], ["", ""])
    kept = at_hand.GOLDEN[name]["sampled"]
    assert [at_hand.sha256(story).startswith(kept[i]) for i, story in enumerate(told)] == [True, True]
    tokens = at_hand.GOLDEN[name]["tokens"]
    assert contest.encode(at_hand.PROMPT, vocabulary) == tokens
    assert contest.text_of(tokens, vocabulary) == at_hand.PROMPT.encode() + b"\n"


def test_every_kept_model_has_every_story() -> None:
    for kept in tomllib.loads(contest.TABLE.read_text()).values():
        assert len(kept["stories"]) == len(contest.STORIES) + 1 and all(kept["stories"])


def page_of(tmp_path: Path, wrong: int, at: int, checkpoint: str = "0x12") -> str:
    """The page of a program of thirty-one stories, one of them changed at a byte."""
    told = [f"story {i} ".encode() * 30 for i in range(31)]
    kept = tmp_path / "contest.toml"
    kept.write_text('["0x12"]\nstories = [' + ", ".join(f'"{contest.prints_of(story)}"' for story in told) + "]\n")
    if wrong >= 0:
        told[wrong] = told[wrong][:at] + b"\xff" + told[wrong][at + 1 :]
    rates = iter([61.0, 61.5] * 14 + [12.0, 61.25])
    program = tmp_path / "tale"
    program.write_bytes(b"1234")

    def run(*arguments: str) -> str:
        if arguments == ("--info",):
            return f"model              tale\ntarget             duo\ncheckpoint had     fingerprint {checkpoint}, 5 bytes\n"
        if arguments[0] == "-q":
            which = 30 if "-i" in arguments else int(arguments[arguments.index("-s") + 1]) - 1
            return told[which].decode(errors="surrogateescape")
        return f"achieved tok/s: {next(rates):.6f}\n"

    def peak(arguments: Sequence[str]) -> str:
        return "17.5 MiB, 0 kB of swap"

    return contest.page(run, [("kernel", "any")], True, program, peak, table, kept)


def test_a_program_that_tells_them_all(tmp_path: Path) -> None:
    page = page_of(tmp_path, -1, 0)
    assert "| regression | 31 of 31 stories are llama2.c's, 100.0 % |" in page and "differs" not in page
    assert "| speed | 61.25 tok/s, standard deviation 0.25, 61.00 to 61.50; 30 runs, 1 of them left out as outliers |" in page
    assert "| memory at its peak | 17.5 MiB, 0 kB of swap |" in page and "| program | 4 bytes |" in page
    assert page.endswith("    ./tale -t 1.0 -p 0.9 -n 256 -s 123 -i 'Once upon a time'\n")


@pytest.mark.parametrize(("at", "bytes_"), [(0, "0 to 63"), (63, "0 to 63"), (64, "64 to 127"), (200, "192 to 255")])
def test_where_a_story_differs_first(tmp_path: Path, at: int, bytes_: str) -> None:
    page = page_of(tmp_path, 6, at)
    assert "| regression | 30 of 31 stories are llama2.c's, 96.8 % |" in page
    assert f"- `-t 1.0 -p 0.9 -n 256 -s 7` first differs in the bytes {bytes_}\n" in page


def test_a_story_that_ends_early_differs() -> None:
    story = b"x" * 200
    assert contest.first_difference(story, contest.prints_of(story)) is None
    assert contest.first_difference(story[:100], contest.prints_of(story)) == 64
    assert contest.first_difference(story, contest.prints_of(story[:128])) == 128
    assert contest.first_difference(b"", contest.prints_of(story)) == 0


def test_a_checkpoint_without_stories(tmp_path: Path) -> None:
    assert "no stories are kept of this checkpoint" in page_of(tmp_path, -1, 0, "0x34")


def test_memory_is_asked_for_while_a_program_runs() -> None:
    told = peak_of(lambda line: subprocess.run(["sh", "-c", line], text=True, capture_output=True, check=True).stdout, "sleep")
    assert told(["0.2"]).endswith(" MiB, 0 kB of swap")


def test_its_command_refuses_in_one_line(tmp_path: Path) -> None:
    for words, code, said in ((["--help"], 0, ""), ([], 2, ""), ([str(tmp_path / "none.bin")], 66, "none.bin: ")):
        done = subprocess.run([sys.executable, "-m", "benchmarks.contest", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == (code == 66), done.stderr
