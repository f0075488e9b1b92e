"""Reads what the files beside a tokenizer say of it: which ids begin and end a text, and how a chat is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codegen.chat_template import Template
from codegen.errors import BakeError, shown
from codegen.formats.json_file import LARGEST_CONFIG, Object, objects, read_object, typed
from codegen.formats.keys import Tell, check_keys, ignore
from codegen.frame import MOST_ENDS, Added
from codegen.input import read_small

FILES = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json")
ADDED, TEMPLATES = "added_tokens.json", ("chat_template.jinja", "chat_template.json")
ALL_FILES = (*FILES, ADDED, *TEMPLATES)
TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
# Names transformers' classes that put BOS in front unless they are told otherwise, whatever tokenizer.json says.
LLAMA_CLASSES = ("LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast")


@dataclass(frozen=True)
class Beside:
    """Holds what they say. `tokens`: texts by what they are for (bos_token, eos_token, ...); `begins` and `ends`: ids that
    config.json and generation_config.json name; `add_bos`, `add_eos`, `add_space`: None where nothing says it; `added`: what
    tokenizer_config.json says of added tokens, by id; `llama_class`: transformers' class puts BOS in front by itself."""

    tokens: dict[str, str] = field(default_factory=dict)
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_space: bool | None = None
    added: dict[int, Added] = field(default_factory=dict)
    llama_class: bool = False
    template: Template | None = None

    def bos(self, ids: dict[str, int]) -> int | None:
        """Returns the id that begins a text."""
        return next(iter([*self._named("bos_token", ids), *self.begins]), None)

    def all_ends(self, ids: dict[str, int]) -> list[int]:
        """Returns every id that ends a text."""
        return list(dict.fromkeys([*self._named("eos_token", ids), *self.ends]))

    def _named(self, key: str, ids: dict[str, int]) -> list[int]:
        if key not in self.tokens:
            return []
        text = self.tokens[key]
        if text not in ids:
            raise BakeError(f"tokenizer_config.json: {key}: expected a token of the tokenizer, found {shown(text)}; download both again")
        return [ids[text]]


def read_beside(folder: Path, tell: Tell = ignore) -> Beside:
    """Reads what lies in a folder: ALL_FILES, any of which may be missing."""
    read: dict[str, Object] = {}
    for name in FILES:
        read[name] = read_object(folder / name) if (folder / name).is_file() else {}
        if name != "config.json":  # codegen.formats.huggingface checks that one
            check_keys(name, read[name], name, tell)
    config = read["tokenizer_config.json"]
    source = "tokenizer_config.json"
    tokens = _tokens(read["special_tokens_map.json"], "special_tokens_map.json") | _tokens(config, source)
    begins: list[int] = []
    ends: list[int] = []
    for name in ("generation_config.json", "config.json"):
        begins += _ids(read[name], "bos_token_id", name)
        ends += _ids(read[name], "eos_token_id", name)
    return Beside(
        tokens,
        tuple(begins),
        tuple(ends),
        typed(config, "add_bos_token", bool, source),
        typed(config, "add_eos_token", bool, source),
        typed(config, "add_prefix_space", bool, source),
        _added(folder, config, [*tokens.values(), *_more_tokens(config), *_more_tokens(read["special_tokens_map.json"])], source),
        config.get("tokenizer_class") in LLAMA_CLASSES,
        _template(folder, config, tokens),
    )


def _tokens(config: Object, source: str) -> dict[str, str]:
    """Reads the texts of special tokens, each alone or in an object with its flags."""
    found = {}
    for key in TOKENS:
        value = config.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if text is not None:
            if not isinstance(text, str):
                raise BakeError(f"{source}: {key}: expected the text of a token, found {shown(value)}; download the file again")
            found[key] = text
    return found


def _ids(config: Object, key: str, source: str) -> list[int]:
    """Reads an id, or a list of them."""
    value: Any = config.get(key)
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if len(ids) > MOST_ENDS or not all(type(at) is int and 0 <= at < 1 << 31 for at in ids):
        raise BakeError(f"{source}: {key}: expected an id or at most {MOST_ENDS}, found {shown(value)}; download the file again")
    return ids


def added_token(token: Object, source: str) -> Added:
    """Reads an added token of tokenizer.json or tokenizer_config.json."""
    text = typed(token, "content", str, source)
    if not text:
        raise BakeError(f"{source}: content: expected a text, found {shown(token.get('content'))}; download the file again")
    label = f"{source}: {shown(text)}"
    flags = {flag: typed(token, flag, bool, label) or False for flag in ("special", "normalized", "lstrip", "rstrip", "single_word")}
    if flags.pop("single_word"):
        raise BakeError(f"{label}: single_word: expected false, found true; can't be baked")
    try:
        return Added(text.encode("utf-8"), **flags)
    except UnicodeEncodeError as error:
        raise BakeError(f"{label}: expected text, found a lone surrogate; download the file again") from error


def _more_tokens(config: Object) -> list[str]:
    """Returns the texts of special tokens that have no name."""
    listed = config.get("additional_special_tokens")
    texts = [one.get("content") if isinstance(one, dict) else one for one in listed] if isinstance(listed, list) else []
    return [text for text in texts if isinstance(text, str)]


def _added(folder: Path, config: Object, special: list[str], source: str) -> dict[int, Added]:
    """Reads added_tokens_decoder: tokens by their ids as texts; where there is none, nor a tokenizer.json, the file that had them
    before, by their texts, of which `special` says what they are."""
    found = {}
    label = f"{source}: added_tokens_decoder"
    if "added_tokens_decoder" not in config and (folder / ADDED).is_file() and not (folder / "tokenizer.json").is_file():
        for text, at in read_object(folder / ADDED).items():
            if type(at) is not int or not 0 <= at < 1 << 30 or at in found:
                raise BakeError(f"{ADDED}: {shown(text)}: expected an id of its own, found {shown(at)}; download the file again")
            found[at] = added_token({"content": text, "special": text in special, "normalized": text not in special}, ADDED)
    for key, token in (typed(config, "added_tokens_decoder", dict, source) or {}).items():
        if not key.isascii() or not key.isdigit() or len(key) > 9 or not isinstance(token, dict):
            raise BakeError(f"{label}: expected tokens by id, found {shown(key)}: {shown(token)}; download the file again")
        found[int(key)] = added_token(token, label)
    return found


def _template(folder: Path, config: Object, tokens: dict[str, str]) -> Template | None:
    """Reads the chat template: of a file of its own, else of tokenizer_config.json, the default one of several."""
    file = folder / TEMPLATES[0]
    if file.is_file():
        try:
            return Template(file.name, read_small(file, LARGEST_CONFIG).decode("utf-8"), tokens)
        except UnicodeDecodeError as error:
            raise BakeError(f"{file.name}: expected UTF-8; download the file again, or bake with -Dchat=none") from error
    source, value = "tokenizer_config.json: chat_template", config.get("chat_template")
    if value is None and (folder / TEMPLATES[1]).is_file():
        source, value = TEMPLATES[1], read_object(folder / TEMPLATES[1]).get("chat_template")
    if isinstance(value, list):
        listed = objects(config, "chat_template", "tokenizer_config.json")
        templates = {one["name"]: one.get("template") for one in listed if isinstance(one.get("name"), str)}
        value = templates.get("default", next(iter(templates.values()), None))
    if value is None:
        return None
    if not isinstance(value, str):
        raise BakeError(f"{source}: expected a template, found {shown(value)}; download the file again, or bake with -Dchat=none")
    return Template(source, value, tokens)
