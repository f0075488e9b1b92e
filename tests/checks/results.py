"""What the checks came to: commands that are run, and their test cases, counted."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build-check"

# Skips that --no-skips lets pass: what says so in their message, and why it can't be otherwise here.
EXPECTED_SKIPS = {
    "STORYBAKE_MODELS is not set": "public models are extras; where their folder is named they are a must",
    "STORYBAKE_NPM": "npm's GGUF parser is fetched only when asked for",
    "python3-torch": "PyTorch is an optional oracle of 500 MB",
    "AddressSanitizer needs terabytes": "a limit of the address space and another CPU's emulator are beyond it",
    "the emulator is chosen by": "a program without its sections is tested on this machine and on Arm",
    "the emulator writes files": "a read-only system is tested on this machine's program",
    "no llama.cpp": "Debian's unstable alone has it, and not every mirror has Debian's unstable",
    "root reads every file": "a file that root can't read can't be made",
    "is root's": "mounts of one's own take root, and a container that lets it have them",
    "no namespace": "a container may keep them from everyone",
    "checked by systemd-analyze": "a container has no systemd, and should be given none",
    "is not one that is asked": "formatting and types are judged by named versions alone, never by newer ones",
    "does not count them": "Debian 12's compiler counts no conditions",
    "LLVM's OpenMP needs more memory": "without it that ends before it is asked for a thread",
    "needs no extension": "the machine is older than every target but the portable one",
}


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    unexpected: int = 0  # among the skipped
    notes: list[str] = field(default_factory=list)

    def add_junit(self, path: Path, step: str) -> None:
        """Adds the test cases of a JUnit file, which Meson and pytest write alike; skips and failures by name."""
        for case in ET.parse(path).getroot().iter("testcase"):
            name = f"{step}: {case.get('classname', '')}.{case.get('name', '')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.add(False, name)
            elif skip is not None:
                self.add_skip(f"{name}: {skip.get('message') or (skip.text or '').strip()}")
            else:
                self.add(True, name)

    def add_skip(self, text: str) -> None:
        """Adds a test or a whole build that was not run, with the reason."""
        self.skipped += 1
        self.unexpected += not any(words in text for words in EXPECTED_SKIPS)
        self.notes.append(f"skipped {text}")

    def add(self, ok: bool, name: str) -> None:
        """Adds one test; its name is kept if it failed."""
        self.passed += ok
        self.failed += not ok
        self.notes += [] if ok else [f"FAILED  {name}"]

    def add_all(self, other: Counts) -> None:
        """Adds what another one has counted."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.unexpected += other.unexpected
        self.notes += other.notes

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(command: list[str | Path], quiet: bool = True, **environment: str) -> bool:
    """Runs a command from the root; its output is shown when it fails, or always unless `quiet`."""
    result = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, text=True, errors="replace",
        stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
    )  # fmt: skip
    if quiet and result.returncode:
        words = [str(word) for word in command]
        shown = words if len(words) <= 20 else [*words[:8], f"... ({len(words)} words)"]
        print(f"$ {' '.join(shown)}\n{result.stdout}", flush=True)
    return result.returncode == 0


def pytest(counts: Counts, name: str, arguments: list[str], **environment: str) -> None:
    """Runs pytest and counts its cases."""
    report = BUILD / f"pytest-{name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    BUILD.mkdir(exist_ok=True)
    ok = run(
        ["/usr/bin/python3", "-m", "pytest", "-q", f"--junitxml={report}", *arguments],
        PYTHONDONTWRITEBYTECODE="1", **environment,
    )  # fmt: skip
    before = counts.failed
    if report.exists():
        counts.add_junit(report, name)
    if not ok and counts.failed == before:
        counts.add(False, name)
