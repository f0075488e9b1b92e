"""The commands for lamps that a story robot starts as it listens, thinks and speaks, and what they may do wrong."""

from __future__ import annotations

from pathlib import Path

from programs import FRIEND, SHORT, Running, command, evening, record, run, said


def hooks(path: str) -> list[str]:
    return [word for name in ("listen", "think", "speak", "error") for word in (f"--on-{name}", path)]


def test_hooks_come_in_order_with_what_they_are_for(tmp_path: Path) -> None:
    """Each waits for the one before, or a lamp would end in the wrong state: the first one is slow."""
    log = tmp_path / "hooks"
    hook = command(
        tmp_path / "hook",
        '[ "$STORYTELLER_EVENT" = listen ] && sleep 0.3\nread -r line && exit 9\n'
        f'echo "$STORYTELLER_EVENT:$STORYTELLER_TEXT" >>{log}\necho lamp',
    )
    other = said("the quick brown fox jumps over the lazy dog", "slt", tmp_path)
    recording = record(tmp_path / "wish.wav", 0.5, other, 1.5, said(f"a story about {FRIEND}", "slt", tmp_path), 1.5)
    result = run("--mic-wav", recording, "--wav", tmp_path / "story.wav", *hooks(hook), *SHORT)
    assert result.returncode == 0, result.stderr
    assert log.read_text().splitlines() == [
        "listen:", "error:not understood", "speak:", "listen:", f"think:{FRIEND}", "speak:",
    ]  # fmt: skip
    assert "lamp" in result.stderr and "lamp" not in result.stdout


def test_the_last_hook_is_given_its_time(tmp_path: Path) -> None:
    """--on-error comes with the end of the program."""
    hook = command(tmp_path / "hook", f'sleep 0.2\necho "$STORYTELLER_TEXT" >{tmp_path}/error')
    result = run("--mic-command", "false", "--on-error", hook, "--mute")
    assert result.returncode == 69
    assert (tmp_path / "error").read_text() == result.stderr.splitlines()[-1].removeprefix("storyteller: ") + "\n"


def test_hooks_that_fail_are_told_once_and_the_story_goes_on(tmp_path: Path) -> None:
    plain = run("--wish", "a dragon", "--mute", *SHORT)
    words = (
        "--loop", "--wish", "-", "--wav", tmp_path / "s.wav", "--on-listen", "/nonexistent/lamp", "--on-think", "false",
        "--on-speak", command(tmp_path / "hook", "kill -SEGV $$"), *SHORT,
    )  # fmt: skip
    told, complaints = evening(tmp_path, "a dragon", "again", words=words)
    assert told == 2 * plain.stdout
    warnings = [line for line in complaints.splitlines() if "warning" in line]
    assert sorted(warnings) == [
        'storyteller: warning: --on-listen: "/nonexistent/lamp" can\'t be started: No such file or directory',
        f'storyteller: warning: --on-speak: "{tmp_path}/hook" ended with 139, expected 0',
        'storyteller: warning: --on-think: "false" ended with 1, expected 0',
    ]


def test_a_hook_that_hangs_is_ended_when_the_next_has_waited(tmp_path: Path) -> None:
    """Here at the end of the program: neither the story nor the end waits for it longer than a second or two."""
    running = Running(tmp_path, "--wish", "a dragon", "--wav", tmp_path / "s.wav", *hooks("sleep 60"), *SHORT)
    running.wait_for("first sound")
    assert running.end() == 0 and "warning" not in running.text()
