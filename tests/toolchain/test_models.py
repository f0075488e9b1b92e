"""tools/models against a server of this machine: whole, half-fetched, wrong and absent files, and answers that are none."""

from __future__ import annotations

import hashlib
import http.server
import importlib.machinery
import importlib.util
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from riscv_tools import ROOT, one_line, run

TOOL = ROOT / "tools/models"
DATA = bytes(range(256)) * 1000


class Server(http.server.ThreadingHTTPServer):
    """Answers as `paths` has it: path -> (status, headers, body, whether ranges are honoured)."""

    paths: dict[str, tuple[int, dict[str, str], bytes, bool]]
    asked: list[tuple[str, str]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append((self.path, asked))
        status, headers, body, ranges = self.server.paths.get(self.path, (404, {}, b"", False))
        if ranges and asked:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            status, headers = 206, headers | {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"}
            body = body[begin:]
        self.send_response(status, headers.pop("Reason", None))
        length = headers.pop("Cut", None) or len(body)
        for name, value in ({"Content-Type": "application/octet-stream", "Content-Length": str(length)} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.paths, made.asked = {}, []
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, server: Server) -> ModuleType:
    """The tool as a module, whose public files are two short ones of this server."""
    loader = importlib.machinery.SourceFileLoader("models_tool", str(TOOL))
    spec = importlib.util.spec_from_loader("models_tool", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "models_tool", module)
    loader.exec_module(module)
    for name in ("http_proxy", "https_proxy", "all_proxy", "STORYBAKE_MODELS"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    model = module.File(address(server), "a/model.bin", len(DATA), hashlib.sha256(DATA).hexdigest())
    pieces = module.File(address(server), "pieces.bin", 5)
    module.FILES = {"one": (model, pieces), "two": (pieces,)}
    server.paths = {"/a/model.bin": (200, {}, DATA, True), "/pieces.bin": (200, {}, b"12345", True)}
    return module


def refused(module: ModuleType, capsys: pytest.CaptureFixture[str], folder: Path, code: int, *words: str) -> None:
    """One line with these words, and no file but unfinished ones."""
    assert module.main(["one", "--to", str(folder)]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    for word in words:
        assert word in said.err
    assert [path.name for path in folder.iterdir() if path.suffix != ".part"] == []


def test_files_come_whole_and_once(models: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["one", "two", "--to", str(tmp_path / "new" / "folder")]) == 0
    assert (tmp_path / "new" / "folder" / "model.bin").read_bytes() == DATA
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["model.bin", "pieces.bin"]
    assert [path for path, _ in server.asked] == ["/a/model.bin", "/pieces.bin"]
    server.paths = {}
    capsys.readouterr()
    assert models.main(["one", "--to", str(tmp_path / "new" / "folder")]) == 0, "nothing is asked for again"
    assert capsys.readouterr().err.count("is here") == 2


@pytest.mark.parametrize("ranges", [True, False])
def test_half_a_file_is_gone_on_with(models: ModuleType, server: Server, tmp_path: Path, ranges: bool) -> None:
    (tmp_path / "model.bin.part").write_bytes(DATA[:1000] if ranges else b"nothing of it" * 100)
    server.paths["/a/model.bin"] = (200, {}, DATA, ranges)
    assert models.main(["one", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "model.bin").read_bytes() == DATA and not list(tmp_path.glob("*.part"))
    assert server.asked[0][1].startswith("bytes=1")


def test_a_connection_that_ends_early(
    models: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.paths["/a/model.bin"] = (200, {"Cut": str(len(DATA))}, DATA[:7777], False)
    refused(models, capsys, tmp_path, 69, "ended after 7777 of 256000 bytes; run it again to go on")
    server.paths["/a/model.bin"] = (200, {}, DATA, True)
    assert models.main(["one", "--to", str(tmp_path)]) == 0
    assert server.asked[1][1] == "bytes=7777-" and (tmp_path / "model.bin").read_bytes() == DATA


def test_a_file_that_was_changed_or_cut_is_fetched_again(models: ModuleType, tmp_path: Path) -> None:
    for damaged in (DATA[:-1], DATA[:-1] + b"\0"):
        (tmp_path / "model.bin").write_bytes(damaged)
        assert models.main(["one", "--to", str(tmp_path)]) == 0
        assert (tmp_path / "model.bin").read_bytes() == DATA


@pytest.mark.parametrize("length", ["many", "-5", "", "5, 5", "\u00b2"])
def test_a_length_that_is_none(length: str, models: ModuleType, server: Server, tmp_path: Path) -> None:
    """The file's own counts then."""
    server.paths["/a/model.bin"] = (200, {"Content-Length": length}, DATA, False)
    assert models.main(["one", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "model.bin").read_bytes() == DATA


@pytest.mark.parametrize(("answer", "code", "words"), [
    ((200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in</html>", False), 69, "found a web page (text/html)"),
    ((404, {}, b"", False), 69, "answers 404"),
    ((503, {}, b"", False), 69, "answers 503"),
    ((503, {"Reason": "\x1b[2J gone \x9b"}, b"", False), 69, "answers 503 ?[2J gone ?;"),
    ((200, {"Content-Type": "text/html\x1b[2J"}, b"", False), 65, "expected 256000 bytes, the server says 0"),
    ((302, {"Location": "/a/model.bin"}, b"", False), 69, "302"),
    ((200, {}, DATA[:-1], False), 65, "expected 256000 bytes, the server says 255999"),
    ((200, {}, DATA[:-1] + b"\0", False), 65, "expected a SHA-256 of "),
])  # fmt: skip
def test_answers_that_are_not_the_file(
    answer: tuple[int, dict[str, str], bytes, bool], code: int, words: str, models: ModuleType, server: Server, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.paths["/a/model.bin"] = answer
    refused(models, capsys, tmp_path, code, words)
    assert not list(tmp_path.iterdir())


def test_redirects_are_followed(models: ModuleType, server: Server, tmp_path: Path) -> None:
    server.paths["/b"] = server.paths["/a/model.bin"]
    server.paths["/a/model.bin"] = (302, {"Location": f"{address(server)}/b"}, b"", False)
    assert models.main(["one", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "model.bin").read_bytes() == DATA


def test_no_server(models: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        (tmp_path / "before").mkdir()
        for name in ("before", "new"):
            assert models.main(["one", "--to", str(tmp_path / name), "--from", nobody]) == 69
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and "can't be reached (" in said
    assert [path.name for path in tmp_path.rglob("*")] == ["before"]


@pytest.mark.parametrize("site", ["", "nonsense", "file:///etc", "http://", "http://[::1", "http://a b", "http://a:b", "http://a:99999"])
def test_what_is_no_address_of_a_server(site: str, models: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        models.main(["one", "--to", str(tmp_path / "new"), "--from", site])
    assert ended.value.code == 2 and "--from: expected an address such as https://" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_room_and_no_place(
    models: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert models.main(["one", "--to", str(tmp_path / "file" / "folder")]) == 74
    assert "can't be written: Not a directory" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(models.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    refused(models, capsys, tmp_path / "folder", 74, "has no room for the 256000 bytes of model.bin", "--to")


def test_a_disk_that_fills_up(
    models: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(models, "copy", full)
    refused(models, capsys, tmp_path, 74, "can't be written: No space left on device; what was fetched stays")


def test_the_tool_itself(tmp_path: Path) -> None:
    for word in ("--help", "-h"):
        shown = run(TOOL, word, cwd=tmp_path)
        assert shown.returncode == 0 and "example: tools/models stories15M" in shown.stdout and not shown.stderr
    assert "stories9M: expected stories260K, stories15M" in one_line(run(TOOL, "stories9M", cwd=tmp_path), 2)
    assert not list(tmp_path.iterdir())


def test_the_public_files_are_as_long_as_their_dimensions_say() -> None:
    """And what STORYBAKE_MODELS has of them is what they are."""
    import at_hand
    import seeded

    source = TOOL.read_text()
    for name, dims in {**seeded.STORIES, "stories260K": seeded.STORIES260K}.items():
        if not name.startswith("stories"):
            continue
        model = seeded.Recipe(dims).model(name)
        weights = sum(max(layers, 1) * rows * columns for layers, rows, columns in model.tensor_shapes().values())
        size = 28 + 4 * (weights + model.seq_len * model.head_size)
        assert f'{name}.bin", {size}' in source
    for file in ("stories260K.bin", "tok512.bin", "tokenizer.bin"):
        if path := at_hand.public(file):
            assert f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"' in source
