"""Opens every format that a model or a tokenizer comes in, told apart by content, never by suffix."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from codegen.checkpoint import open_checkpoint
from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.formats import byte_level_json, gguf, gguf_tokenizer, huggingface, safetensors, sentencepiece, tokenizer_json, torch_pt
from codegen.formats.beside import ALL_FILES, Beside, read_beside
from codegen.formats.gguf_file import MAGIC as GGUF_MAGIC
from codegen.formats.json_file import parse_object
from codegen.formats.keys import Tell, ignore
from codegen.frame import make_frame
from codegen.input import read_bytes, read_small
from codegen.model import LIMITS
from codegen.source import TensorSource
from codegen.tokenizer import LARGEST_TOKENIZER, Vocabulary, parse

TOKENIZERS = ("tokenizer.json", "tokenizer.model")  # lie in a folder


def open_model(path: Path, tell: Tell = ignore) -> TensorSource:
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
        return huggingface.read_folder(path, tell)
    head = read_bytes(path, 10)
    if head[:4] == GGUF_MAGIC:
        return gguf.read_model(path, tell)
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
    """Tells whether a file is meant as a tokenizer.model or tokenizer.json. BakeError 66 when it can't be read."""
    if _is_folder(path):
        return False
    head = read_bytes(path, 10)
    return sentencepiece.looks_like_sentencepiece(head) or _looks_like_json(head)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # its name may be too long
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error


def _looks_like_json(head: bytes) -> bool:
    """Tells JSON by its first bytes: a tokenizer.bin or legacy checkpoint that begins so has a piece or a dim of 2 ** 24 at least."""
    return head[:1] == b"{" and head[3:4] != b"\0"


def open_tokenizer(path: Path, rows: int | None = None, tell: Tell = ignore) -> Vocabulary:
    """Opens a tokenizer: llama2.c's tokenizer.bin, SentencePiece's tokenizer.model, Hugging Face's tokenizer.json or
    the folder with either, or the one inside GGUF.

    `rows` are those of the model (None: unknown; a tokenizer.bin can't be told from any other file then). There may be fewer
    pieces, as models are padded, and added tokens without a row, which no text may need. Raises BakeError as `open_model`
    does, and for a tokenizer that does not fit.
    """
    if _is_folder(path):
        return _open_folder(path, rows, tell)
    return _fit(_open_file(path, rows, tell), rows, path.name, tell)


def _open_folder(folder: Path, rows: int | None, tell: Tell) -> Vocabulary:
    """Opens the tokenizer of a folder; where there are two, the one that fits."""
    found = [folder / name for name in TOKENIZERS if (folder / name).exists()]
    if not found:
        raise BakeError(f"{folder}: expected {' or '.join(TOKENIZERS)} in the folder, found neither", MISSING_FILE)
    refused: list[str] = []
    for path in found:
        told: list[str] = []
        try:
            data = _fit(_open_file(path, rows, told.append), rows, path.name, told.append)
        except BakeError as error:
            if path is found[-1]:
                raise BakeError("; ".join([*refused, str(error)]), error.exit_code) from error
            refused.append(str(error))
            continue
        for text in [*(f"{reason}; using {path.name} instead" for reason in refused), *told]:
            tell(text)
        return data
    raise AssertionError("the last one is returned or refused")


def _open_file(path: Path, rows: int | None, tell: Tell) -> Vocabulary:
    head = read_bytes(path, 10)
    if head[:4] == GGUF_MAGIC:
        return gguf_tokenizer.read_vocabulary(path, tell)
    if sentencepiece.looks_like_sentencepiece(head):
        most = LIMITS["vocab_size"] if rows is None else rows + MOST_WITHOUT_A_ROW
        return sentencepiece.read_model(read_small(path), path.name, _beside(path, tell), most)
    if _looks_like_json(head):
        root = parse_object(read_small(path), path.name)
        beside = _beside(path, tell)
        if byte_level_json.is_byte_level(root):
            return byte_level_json.read_byte_level(root, path.name, beside, tell)
        return tokenizer_json.read_llama(root, path.name, beside, tell)
    if rows is None:
        raise BakeError(f"{path.name}: expected tokenizer.model, tokenizer.json or GGUF, found another format")
    return parse(read_small(path, LARGEST_TOKENIZER), rows, path.name)


def _beside(path: Path, tell: Tell) -> Beside:
    """Reads what lies beside a tokenizer that is a model's of a folder."""
    return read_beside(path.parent, tell) if any((path.parent / name).is_file() for name in ALL_FILES) else Beside()


MOST_WITHOUT_A_ROW = 4096  # limits the added tokens, which a fine-tune may have more of than its model has rows


def sayable(data: Vocabulary, rows: int) -> int:
    """Counts the rows up to the last one that has a piece: those beyond are padding, and no text has them."""
    never = set(data.frame.never)
    return max((at + 1 for at in range(min(rows, len(data.pieces))) if at not in never), default=0)


def _fit(data: Vocabulary, rows: int | None, source: str, tell: Tell) -> Vocabulary:
    """Returns the tokenizer when it fits a model of so many rows."""
    pieces = len(data.pieces)
    if rows is not None and pieces != rows:
        _check_count(data, rows, source, tell)
    return replace(data, frame=make_frame(data.frame, pieces, pieces if rows is None else rows, source))


def _check_count(data: Vocabulary, rows: int, source: str, tell: Tell) -> None:
    """Raises BakeError for a tokenizer of another number of pieces than a padded model, or a fine-tune's, may have."""
    pieces = len(data.pieces)
    needs_no_row = bytearray(pieces)  # a byte each: a file may leave a gap of a million ids
    for at in itertools.chain(data.frame.added, data.frame.never):
        needs_no_row[at] = 1
    if 0 in needs_no_row[rows:] or pieces < rows - max(rows // 8, 64):
        raise BakeError(
            f"{source}: expected the model's {rows} pieces, found {pieces}; give the tokenizer of this model"
        )
    for at, token in sorted(data.frame.added.items()):
        if at >= rows:
            tell(f"{source}: the token {shown(token.text)} ({at}) has no row in the model: no text can have it")
            break
