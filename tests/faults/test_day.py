"""Days with the robot on a clock of its own: STORYBAKE_FAULTY_STORYTELLER has clock.cpp between it and its clocks, so that a day takes
seconds. Quiet hours, the stories of a day, the sleep timer, clocks that jump; and nothing grows."""

from __future__ import annotations

import os
import re
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "storyteller"))

from programs import Running, until  # noqa: E402

DAYS = int(os.environ.get("STORYBAKE_DAYS", "7"))
PROMPT = "type a wish"
MINUTE, HOUR, DAY = 60, 3600, 86400
FIRST = 20800 * DAY  # is a midnight of December 2026, UTC
STEP = 15 * MINUTE
NIGHT, MORNING, MOST = 20 * HOUR, 6 * HOUR + 30 * MINUTE, 3
RULES = f"quiet hours = 20:00-6:30\nstories a day = {MOST}\nmax sentences = 1\n"
QUIET, NO_MORE, TOLD = "quiet hours: no stories now", f"{MOST} stories today: no more", "a story about a dragon"


class Robot:
    """A storyteller whose date and whose time since its start are set from outside."""

    def __init__(self, folder: Path, *words: str, rules: str = RULES) -> None:
        path = os.environ.get("STORYBAKE_FAULTY_STORYTELLER")
        if path is None:
            pytest.skip("this build has no storyteller; run: tools/setup speech")
        (folder / "rules.txt").write_text(rules)
        self.clock = folder / "clock"
        self.wishes = 0
        self.since = 0
        self.set(FIRST, 0)
        environment = {**os.environ, "STORYBAKE_CLOCK": str(self.clock), "TZ": "UTC0", "OMP_NUM_THREADS": "1"}
        options = ("--loop", "--wish", "-", "--mute", "-s", "5", "-n", "8", "--rules", str(folder / "rules.txt"), *words)
        self.running = Running(folder, *options, path=Path(path), env=environment)
        self.running.wait_for(PROMPT)

    def set(self, date: int, passed: int) -> None:
        """Sets the date, of seconds since 1970, and lets so many seconds pass by the clock that nobody sets."""
        self.since += passed
        offsets = struct.pack("<2q", date - int(time.time()), self.since)
        with self.clock.open("r+b" if self.clock.exists() else "wb") as file:
            file.write(offsets)

    def wish(self) -> str:
        """What it says to a wish, without the prompt."""
        before = len(self.running.text())
        self.wishes += 1
        self.running.type("a dragon")
        said = self.running.wait_for(PROMPT, times=self.wishes + 1)[before:]
        answers = [answer for answer in (QUIET, NO_MORE, TOLD) if answer in said]
        assert len(answers) == 1, said
        return answers[0]

    def size(self) -> tuple[int, int, int]:
        """Anonymous memory in kB, descriptors, threads."""
        process = Path(f"/proc/{self.running.process.pid}")
        anonymous = re.search(r"RssAnon:\s+(\d+)", (process / "status").read_text())
        assert anonymous
        return int(anonymous[1]), len(os.listdir(process / "fd")), len(os.listdir(process / "task"))


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[Robot]:
    made = Robot(tmp_path, "--memory", str(tmp_path / "memory"))
    yield made
    assert made.running.end() == 0


def expected(at: int, told: int) -> str:
    """What it says at a second of the day after so many stories of that day."""
    if at >= NIGHT or at < MORNING:
        return QUIET
    return NO_MORE if told == MOST else TOLD


def test_days_pass_and_nothing_grows(robot: Robot) -> None:
    """A wish every quarter of an hour; the first tenth of them is what the others are measured against."""
    sizes = []
    total = DAYS * DAY // STEP
    for day in range(DAYS):
        told = 0
        for at in range(5 * MINUTE, DAY, STEP):
            robot.set(FIRST + day * DAY + at, STEP)
            said = robot.wish()
            assert said == expected(at, told), (day, at / HOUR)
            told += said == TOLD
            if robot.wishes in (total // 10 + STEP // MINUTE, total):  # not before the first story
                sizes.append(robot.size())
        assert told == MOST
    assert len(sizes) == 2 and sizes[1][0] <= sizes[0][0] + 512 and sizes[1][1:] == sizes[0][1:], sizes


def test_a_clock_that_jumps_makes_no_new_day_but_forward(robot: Robot) -> None:
    noon = FIRST + 10 * DAY + 12 * HOUR
    robot.set(noon, MINUTE)
    assert [robot.wish() for _ in range(4)] == [TOLD, TOLD, TOLD, NO_MORE]
    for hours, answer in ((-5, NO_MORE), (-13, QUIET), (-24, NO_MORE), (1, NO_MORE), (9, QUIET), (1, NO_MORE)):
        robot.set(noon + hours * HOUR, MINUTE)
        assert robot.wish() == answer, hours
    robot.set(noon + 40 * DAY, MINUTE)
    assert [robot.wish() for _ in range(2)] == [TOLD, TOLD], "a new day"
    robot.set(12 * HOUR, MINUTE)
    assert [robot.wish() for _ in range(2)] == [TOLD, NO_MORE], "the clock is lost: the day goes on, and began with the morning"
    robot.set(noon + 40 * DAY, MINUTE)
    assert robot.wish() == NO_MORE, "it is set again"
    robot.set(12 * HOUR, MINUTE)
    assert robot.wish() == NO_MORE, "and lost"
    robot.set(12 * HOUR, 14 * HOUR)
    assert robot.wish() == QUIET, "without a clock the night comes by the time since the start"
    robot.set(12 * HOUR, 11 * HOUR)
    assert robot.wish() == TOLD, "and a day"


def test_it_sleeps_by_the_time_that_passed_not_by_the_date(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "--sleep", "24h", rules="max sentences = 1\n")
    for passed in range(0, DAY, 2 * HOUR):
        robot.set(FIRST + 100 * DAY - 3 * passed, 2 * HOUR if passed else 0)
        assert robot.wish() == TOLD
    robot.set(FIRST, 2 * HOUR - MINUTE)
    assert robot.wish() == TOLD and robot.running.process.poll() is None
    robot.set(FIRST, MINUTE)
    until(lambda: robot.running.process.poll() is not None, robot.running.text)
    assert robot.running.end() == 0 and robot.running.text().rstrip().endswith("good night")
