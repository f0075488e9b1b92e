"""Runs a baked program, where need be through an emulator or on a board, and compares what it tells with
tests/stories.toml: the text and the fingerprint of the logits, the same on every target. Before, the program has to pass
its own --selftest.

    python3 tests/story_test.py MODEL COMMAND...      exit code 77 where stories.toml has no such model
    python3 tests/story_test.py --write MODEL COMMAND...
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "stories.toml"
STORIES = {
    "greedy": ["-t", "0", "-n", "40"],
    "sampled": ["-t", "0.8", "-p", "0.9", "-s", "7", "-n", "40", "-i", "One"],
    "adjusted": ["-t", "0.9", "-s", "9", "-n", "40", "-i", "One", "--top-k", "40", "--min-p", "0.02", "--repeat-penalty", "1.3",
                 "--repeat-last-n", "8"],
}  # fmt: skip


def tell(command: list[str], names: Iterable[str] = STORIES, more: Sequence[str] = ()) -> dict[str, str]:
    """What the program tells, with `more` options, and the fingerprint of its last logits, a line a story."""
    told = {}
    for name in names:
        options = [*STORIES[name], *more]
        result = subprocess.run([*command, *options], capture_output=True, check=False)
        found = re.search(rb"logits (0x[0-9a-f]{16})\n", result.stderr)
        if result.returncode or not found:
            raise SystemExit(f"{command[-1]} {' '.join(options)}: exit {result.returncode}\n{result.stderr.decode()}")
        digest = hashlib.sha256(result.stdout).hexdigest()[:16]
        told[name] = f"text {digest}, logits {found.group(1).decode()}"
    return told


def main(argv: list[str]) -> int:
    write = argv[:1] == ["--write"]
    model, *command = argv[write:]
    table = tomllib.loads(TABLE.read_text())
    if write:
        table[model] = tell(command)
        head = TABLE.read_text().partition("\n[")[0].rstrip("\n")
        rows = [f'\n[{name}]\n' + "".join(f'{k} = "{v}"\n' for k, v in table[name].items()) for name in sorted(table)]
        TABLE.write_text(head + "\n" + "".join(rows))
        return 0
    tested = subprocess.run([*command, "--selftest"], capture_output=True, check=False)
    print(tested.stdout.decode(), tested.stderr.decode())
    if tested.returncode:
        return 1
    if model not in table:
        print(f"tests/stories.toml has no {model}")
        return 77
    same = True
    for more in ((), ("--draft", "always")):  # guesses change nothing
        told = tell(command, table[model], more)
        for name, expected in table[model].items():
            print(" ".join((name, *more)) + f": expected {expected}, found {told[name]}")
        same &= told == table[model]
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
