"""llama.cpp as an independent judge of GGUF files: token ids, ends, logits, and what a chat template writes down.

It is Debian sid's (tools/toolchain llama), which needs a newer C library than the system's: the loader that came with it
starts this machine's Python with this file, which calls libllama by ctypes. `judge` is one such run, `write_down` asks
llama-server, whose Jinja is llama.cpp's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = Path(__file__).resolve().parents[1] / ".toolchain" / "llama" / "usr"
MISSING = "no llama.cpp; run: tools/toolchain llama"
MOST_TOKENS = 4096
OPAQUE = 1024  # bytes that hold any version's parameters, which libllama takes and returns by value
# Where llama_context_params has what is set here, and what says that it is that layout: bytes, value.
N_CTX, FLASH_ATTENTION, TYPE_K, TYPE_V = (0, 512), (52, -1), (104, 1), (108, 1)
NEVER, F32 = 0, 0


@dataclass(frozen=True)
class Judged:
    """What llama.cpp finds: the ids of each text, those that end a text, and the logits after each token, rows of float32."""

    ids: list[list[int]]
    ends: set[int]
    logits: list[list[float]]


def there() -> bool:
    """Whether llama.cpp is unpacked, for this machine."""
    return (PREFIX / "bin" / "llama-server").exists()


def _library() -> Path:
    return PREFIX / "lib" / f"{platform.machine()}-linux-gnu"


def _environment() -> dict[str, str]:
    """One backend for every machine: the one without instructions that not all have."""
    folder = _library() / "ggml"
    backend = next(folder.rglob("libggml-cpu-x64.so"), None) or next(folder.rglob("libggml-cpu*.so"))
    return os.environ | {"GGML_BACKEND_PATH": str(backend)}


def judge(model: Path, texts: Iterable[str] = (), tokens: Iterable[int] = ()) -> Judged:
    """What llama.cpp makes of texts, special tokens found in them, and of tokens at the positions 0, 1, ..."""
    found = _ask_library({"model": str(model), "texts": list(texts), "tokens": list(tokens)})
    return Judged(found["ids"], set(found["ends"]), found["logits"])


def dequantized(encoding: str, raw: bytes, count: int) -> bytes:
    """The `count` values that ggml makes of blocks of an encoding, such as Q4_K: float32, in the order of this machine."""
    return bytes.fromhex(_ask_library({"encoding": encoding, "raw": raw.hex(), "count": count}))


def _ask_library(asked: dict[str, Any]) -> Any:
    """What `_main` answers in a process of its own."""
    loader = next(_library().glob("ld-linux-*.so.*"))
    done = subprocess.run(
        [loader, "--library-path", _library(), sys.executable, "-I", "-S", __file__],
        input=json.dumps(asked), capture_output=True, text=True, env=_environment(), timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


class _Connection(http.client.HTTPConnection):
    """HTTP through a socket in the file system, which no other program of this machine has."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def write_down(model: Path, conversations: Iterable[list[dict[str, str]]]) -> list[str]:
    """Conversations as the chat template inside a GGUF file has them, the model's turn begun."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/llama.sock"
        command = [PREFIX / "bin" / "llama-server", "-m", model, "-c", "256", "-t", "1", "--host", path, "--jinja", "--no-warmup"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_environment()) as server:
            try:
                _wait_for(path, server)
                return [_ask(path, {"messages": messages}) for messages in conversations]
            finally:
                server.kill()


def _wait_for(path: str, server: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = _Connection(path)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.02)
    server.kill()
    raise AssertionError(f"llama-server did not start: {server.communicate()[1][-2000:]}")


def _ask(path: str, asked: dict[str, Any]) -> str:
    connection = _Connection(path)
    connection.request("POST", "/apply-template", json.dumps(asked), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    prompt: str = json.loads(text)["prompt"]
    return prompt


# --- inside the process of llama.cpp's own loader: the standard library alone ---


class _Params(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * OPAQUE)]


class _Batch(ctypes.Structure):
    """llama_batch: a count, six pointers."""

    _fields_ = [("n_tokens", ctypes.c_int32), ("pointers", ctypes.c_void_p * 6)]


def _libllama() -> ctypes.CDLL:
    ctypes.CDLL("libggml.so.0").ggml_backend_load_all()
    library = ctypes.CDLL("libllama.so.0")
    for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_model_get_vocab"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("llama_model_default_params", "llama_context_default_params"):
        getattr(library, name).restype = _Params
    library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, _Params]
    library.llama_init_from_model.argtypes = [ctypes.c_void_p, _Params]
    library.llama_batch_get_one.restype = _Batch
    library.llama_decode.argtypes = [ctypes.c_void_p, _Batch]
    library.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
    library.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.llama_vocab_is_eog.restype = ctypes.c_bool
    return library


def _exact_context(library: ctypes.CDLL, count: int) -> _Params:
    """The parameters of a context of float32 throughout, for so many positions."""
    params = library.llama_context_default_params()
    for (at, expected), value in ((N_CTX, count), (FLASH_ATTENTION, NEVER), (TYPE_K, F32), (TYPE_V, F32)):
        field = ctypes.c_int32.from_buffer(params, at)
        if field.value != expected:
            raise SystemExit(f"llama_context_params: expected {expected} at byte {at}, found {field.value}: another layout")
        field.value = value
    filled: _Params = params
    return filled


def _main() -> None:
    asked = json.load(sys.stdin)
    if "encoding" in asked:
        name = asked["encoding"]
        name = name.lower() if name.startswith("IQ") else "q" + name[1:]
        values = (ctypes.c_float * asked["count"])()
        dequantize = getattr(ctypes.CDLL("libggml-base.so.0"), f"dequantize_row_{name}")
        dequantize(bytes.fromhex(asked["raw"]), values, ctypes.c_int64(len(values)))
        json.dump(bytes(values).hex(), sys.stdout)
        return
    library = _libllama()
    model = library.llama_model_load_from_file(asked["model"].encode(), library.llama_model_default_params())
    if not model:
        raise SystemExit("llama.cpp does not load the model")
    vocab = ctypes.c_void_p(library.llama_model_get_vocab(ctypes.c_void_p(model)))
    ids = (ctypes.c_int32 * MOST_TOKENS)()
    found: dict[str, Any] = {"ids": [], "logits": []}
    for text in asked["texts"]:
        raw = text.encode()
        count = library.llama_tokenize(vocab, raw, len(raw), ids, MOST_TOKENS, True, True)
        found["ids"].append(ids[: max(count, 0)])
    size = library.llama_vocab_n_tokens(vocab)
    found["ends"] = [at for at in range(size) if library.llama_vocab_is_eog(vocab, at)]
    if asked["tokens"]:
        context = library.llama_init_from_model(ctypes.c_void_p(model), _exact_context(library, len(asked["tokens"])))
        for token in asked["tokens"]:
            batch = library.llama_batch_get_one((ctypes.c_int32 * 1)(token), 1)
            if library.llama_decode(context, batch) != 0:
                raise SystemExit("llama_decode failed")
            found["logits"].append(library.llama_get_logits_ith(context, -1)[:size])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main()
