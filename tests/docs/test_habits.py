"""What surrounds the code: workflows that call what exists, links that lead somewhere, one version everywhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
yaml: Any = pytest.importorskip("yaml", reason="python3-yaml is not here; run: tools/setup check")

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGES = sorted(
    page
    for pattern in ("*.md", "*/*.md", "*/*/*.md")
    for page in ROOT.glob(pattern)
    if not page.relative_to(ROOT).parts[0].startswith(("build", ".toolchain"))
)
# A command of the project at the start of a line, or behind a separator.
OWN_PROGRAM = re.compile(r"(?:^|[;&|]\s*)((?:\.?[\w-]+/)+[\w.-]+)", re.MULTILINE)


def programs(text: str) -> list[str]:
    """The project's own programs that a shell's lines call."""
    return OWN_PROGRAM.findall(text)


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_programs_are_found() -> None:
    assert programs("set -e\n.ci/run && tools/no-such --all\necho a/b; tests/x.py") == [".ci/run", "tools/no-such", "tests/x.py"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_what_exists(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert set(workflow) >= {"name", True, "permissions", "jobs"}, "YAML reads the key `on` as true"
    called = [program for step in steps(workflow) for program in programs(step.get("run", ""))]
    assert called, "a workflow that runs nothing of the project"
    for program in called:
        listed = subprocess.run(["git", "ls-files", "-s", program], cwd=ROOT, text=True, capture_output=True).stdout
        assert listed.startswith("100755") or not listed, f"{program} is not executable in git"
        assert (ROOT / program).stat().st_mode & 0o111, program
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v4")), "an action of known origin, pinned"


def test_every_system_that_the_readme_names_is_checked() -> None:
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    start = (ROOT / "README.md").read_text().partition("\n## Start")[2].partition("\n## ")[0]
    named = set(re.findall(r"Debian (1\d)", start)) | set(re.findall(r"Ubuntu (2\d\.\d\d)", start))
    assert len(named) > 1
    for version in named:
        assert f"debian:{version}" in text or f"ubuntu-{version}" in text, f"no workflow for {version}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), f"{page.name}: nothing at {target}"


def test_the_version_is_the_newest_of_the_changelog() -> None:
    meson = re.search(r"version: '(\d+\.\d+\.\d+)'", (ROOT / "meson.build").read_text())
    released = re.findall(r"^## (\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert meson and released and released[0] == meson[1]
    assert released == sorted(released, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


def test_the_readme_names_every_tool() -> None:
    tools = {path.name for path in (ROOT / "tools").iterdir() if path.is_file() and not path.suffix} - {"riscv64", "run-riscv"}
    row = re.search(r"^\| `tools/` .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row and tools == set(re.findall(r"`([\w-]+)`", row[0]))


def test_the_readme_names_every_folder_and_every_page() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository here, which knows the project's files")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True).stdout.splitlines()
    folders = {path.partition("/")[0] for path in listed if "/" in path and not path.startswith(".")}
    assert folders == set(re.findall(r"^\| `(\w+)/` ", readme, re.MULTILINE))
    pages = {path for path in listed if re.fullmatch(r"docs/\w+\.md", path)}
    row = re.search(r"^\| `docs/` .*$", readme, re.MULTILINE)
    assert row and pages == set(re.findall(r"\]\((docs/\w+\.md)\)", row[0]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_for_strangers(page: Path) -> None:
    """No place that only the project's own machines have."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\.\./shared|/work/|/home/\w|\bTODO\b|\bFIXME\b|\bXXX\b", text)
    assert not found, f"{page.name} has {found}"
