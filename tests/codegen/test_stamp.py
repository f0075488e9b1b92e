"""codegen/stamp.py: a change of what a model was baked from is seen, whatever dates and links say; nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codegen import stamp

ROOT = Path(__file__).resolve().parents[2]
OLD = 1_000_000_000


class Watch:
    """A folder with a file and a link, and whether its stamp changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "m"
        self.folder.mkdir()
        self.model, self.other, self.link = folder / "model.bin", folder / "other.bin", folder / "link.bin"
        self.model.write_bytes(b"a" * 1000)
        self.other.write_bytes(b"b" * 1000)
        self.link.symlink_to(self.model)
        (self.folder / "config.json").write_text("{}")
        for path in (self.model, self.other, self.folder / "config.json"):
            os.utime(path, (OLD + 1000, OLD + 1000))
        self.watched, self.stamp = folder / "bake.json", folder / "model.stamp"
        files = [str(self.link), str(folder / "tokenizer.bin")]
        self.watched.write_text(json.dumps({"arguments": [], "files": files, "folders": [str(self.folder)]}))

    def changed(self) -> bool:
        before = self.stamp.stat().st_ino if self.stamp.exists() else None
        assert stamp.main(str(self.watched), str(self.stamp)) == 0
        return self.stamp.stat().st_ino != before


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    made = Watch(tmp_path)
    assert made.changed() and not made.changed()
    return made


def older(watch: Watch) -> None:
    os.utime(watch.other, (OLD, OLD))
    subprocess.run(["cp", "-p", str(watch.other), str(watch.model)], check=True)


def moved(watch: Watch) -> None:
    os.utime(watch.other, (OLD, OLD))
    watch.other.rename(watch.model)


def linked(watch: Watch) -> None:
    watch.link.unlink()
    watch.link.symlink_to(watch.other)


def same_date_and_size(watch: Watch) -> None:
    status = watch.model.stat()
    watch.model.write_bytes(b"a" * 999 + b"b")
    os.utime(watch.model, ns=(status.st_atime_ns, status.st_mtime_ns))


def later(watch: Watch) -> None:
    (watch.folder / "generation_config.json").write_text("{}")


def later_tokenizer(watch: Watch) -> None:
    watch.model.with_name("tokenizer.bin").write_bytes(b"x")


def gone(watch: Watch) -> None:
    (watch.folder / "config.json").unlink()


def another_option(watch: Watch) -> None:
    watch.watched.write_text(watch.watched.read_text().replace('"arguments": []', '"arguments": ["--context", "64"]'))


def whole_folder(watch: Watch) -> None:
    shutil.rmtree(watch.folder)


CHANGES = (older, moved, linked, same_date_and_size, later, later_tokenizer, gone, whole_folder, another_option)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_seen_once(change: object, watch: Watch) -> None:
    change(watch)  # type: ignore[operator]
    assert watch.changed() and not watch.changed()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_what_has_long_been_there_is_seen(change: object, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is kept of each file alone: none changed so lately that it is read again in any case."""
    monkeypatch.setattr(stamp, "TICK", 0)
    watch.changed()
    time.sleep(0.05)  # until a system's clock of files has ticked
    change(watch)  # type: ignore[operator]
    assert watch.changed() and not watch.changed()


def test_what_is_no_change_bakes_nothing(watch: Watch) -> None:
    watch.model.touch()
    assert not watch.changed()
    os.utime(watch.model, (OLD, OLD))
    copy = watch.model.with_name("copy.bin")
    copy.write_bytes(watch.model.read_bytes())
    copy.rename(watch.model)
    assert not watch.changed()
    (watch.folder / "sub").mkdir()
    assert not watch.changed(), "a folder is no file of the model"


def test_a_file_is_read_once(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it has changed so lately that another change might leave no trace."""
    watch.changed()
    monkeypatch.setattr(stamp, "TICK", 0)
    watch.changed()
    monkeypatch.setattr(stamp, "fingerprint", lambda name: pytest.fail(f"{name} was read again") if os.path.exists(name) else None)
    assert not watch.changed()


def test_it_runs_without_the_site_and_the_project(watch: Watch) -> None:
    """As the build runs it, quickly: Python's own modules alone, and few of them."""
    program = str(ROOT / "codegen" / "stamp.py")
    command = [sys.executable, "-I", "-S", "-X", "importtime", program, str(watch.watched), str(watch.stamp)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "json" in imported and not {"typing", "numpy", "pathlib", "argparse", "codegen"} & imported
