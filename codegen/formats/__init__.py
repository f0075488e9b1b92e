"""The front doors to every format a model or a tokenizer comes in, told apart by content, never by suffix."""

from __future__ import annotations

from pathlib import Path

from codegen.checkpoint import TensorSource, open_checkpoint, read_bytes
from codegen.errors import MISSING_FILE, BakeError
from codegen.formats import byte_level_json, gguf, gguf_tokenizer, huggingface, safetensors, sentencepiece, tokenizer_json, torch_pt
from codegen.formats.gguf_file import MAGIC as GGUF_MAGIC
from codegen.formats.json_file import parse_object, read_small
from codegen.tokenizer import Vocabulary, parse


def open_model(path: Path) -> TensorSource:
    """Opens a model: llama2.c's .bin (v0, v1, v2) or .pt, a Hugging Face folder, or GGUF.

    Header, metadata and lengths are checked, no tensor is read. Raises BakeError: 66 when there is no such file, 65
    with the field, what was expected and what was found for all else.
    """
    if _is_folder(path):
        path = path.absolute()  # "." has no name of its own
        if not (path / "config.json").exists():
            raise BakeError(
                f"{path}: a folder without config.json; expected a model file or a Hugging Face folder", MISSING_FILE
            )
        return huggingface.read_folder(path)
    head = read_bytes(path, 10)
    if head[:4] == GGUF_MAGIC:
        return gguf.read_model(path)
    if head[:4] == b"PK\3\4":
        return torch_pt.read_pt(path)
    if head[:2] == b"\x80\x02":
        raise BakeError(
            f"{path.name}: a bare pickle, which runs code when it is loaded; expected a file as torch.save writes it "
            "since 1.6: load it where you trust it and save it again"
        )
    if safetensors.looks_like_safetensors(head):
        raise BakeError(f"{path.name}: safetensors holds no dimensions; give the folder with its config.json")
    return open_checkpoint(path)


def is_tokenizer(path: Path) -> bool:
    """Whether a file is meant as a tokenizer.model or tokenizer.json. BakeError 66 when it can't be read."""
    if _is_folder(path):
        return False
    head = read_bytes(path, 10)
    return sentencepiece.looks_like_sentencepiece(head) or _looks_like_json(head)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error


def _looks_like_json(head: bytes) -> bool:
    """A tokenizer.bin or legacy checkpoint that begins so has a piece or a dim of 2 ** 24 at least."""
    return head[:1] == b"{" and head[3:4] != b"\0"


def open_tokenizer(path: Path, vocab_size: int | None = None) -> Vocabulary:
    """Opens a tokenizer: llama2.c's tokenizer.bin, SentencePiece's tokenizer.model, Hugging Face's tokenizer.json or
    the folder with either, or the one inside GGUF.

    Raises BakeError as `open_model` does, and when it has another number of pieces than `vocab_size`, unless that is
    None (a tokenizer.bin can't be told from any other file without it).
    """
    if _is_folder(path):
        names = ("tokenizer.model", "tokenizer.json")
        found = next((path / name for name in names if (path / name).exists()), None)
        if found is None:
            raise BakeError(f"{path}: expected {' or '.join(names)} in the folder, found neither", MISSING_FILE)
        path = found
    head = read_bytes(path, 10)
    data: Vocabulary
    if head[:4] == GGUF_MAGIC:
        data = gguf_tokenizer.read_vocabulary(path)
    elif sentencepiece.looks_like_sentencepiece(head):
        data = sentencepiece.read_model(read_small(path), path.name)
    elif _looks_like_json(head):
        root = parse_object(read_small(path), path.name)
        if byte_level_json.is_byte_level(root):
            data = byte_level_json.read_byte_level(root, path.name, path.parent)
        else:
            data = tokenizer_json.read_llama(root, path.name)
    elif vocab_size is None:
        raise BakeError(f"{path.name}: expected tokenizer.model, tokenizer.json or GGUF, found another format")
    else:
        data = parse(read_small(path), vocab_size, path.name)
    if vocab_size is not None and len(data.pieces) != vocab_size:
        raise BakeError(
            f"{path.name}: expected the model's {vocab_size} pieces, found {len(data.pieces)}; give the tokenizer of "
            "this model"
        )
    return data
