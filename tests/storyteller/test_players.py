"""Which player the storyteller takes: one that can't play gives way to the next."""

from __future__ import annotations

import os
from pathlib import Path

from programs import on_this_machine, tell

STORY = ("--wish", "a dragon", "-s", "7", "--max-sentences", "1", "--voice", "kal16")


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/calls\n{script}\n')
    (folder / name).chmod(0o755)


def test_tinyplay_plays_where_aplay_crashes(tmp_path: Path) -> None:
    """As on the Duo with its internal codec."""
    install(tmp_path, "aplay", "kill -SEGV $$")
    install(tmp_path, "tinyplay", f"cat >{tmp_path}/heard")
    result = tell(on_this_machine(), *STORY, env=os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert result.returncode == 0, result.stderr
    calls = (tmp_path / "calls").read_text().split("\n")
    assert [call.split()[0] for call in calls if call] == ["aplay"] * 3 + ["tinyplay"]
    heard = (tmp_path / "heard").read_bytes()
    assert tell(on_this_machine(), *STORY, "--wav", tmp_path / "story.wav").returncode == 0
    assert (tmp_path / "story.wav").read_bytes()[44:] == heard


def test_when_none_plays_the_last_is_named(tmp_path: Path) -> None:
    for name in ("aplay", "tinyplay"):
        install(tmp_path, name, "exit 1")
    result = tell(on_this_machine(), *STORY, env=os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert result.returncode == 69
    assert 'no speaker: "tinyplay" ended without playing, 3 times' in result.stderr.splitlines()[-1]
