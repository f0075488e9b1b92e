"""Reads Hugging Face's tokenizer.json of GPT-2's kind: byte-level BPE, as GPT-2, SmolLM2 and Llama 3 have it.

Format: https://github.com/huggingface/tokenizers. Which ids begin and end a text stands in files beside it:
tokenizer_config.json, generation_config.json and config.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codegen.byte_level import LONGEST_PIECE, ByteLevelData, make
from codegen.errors import BakeError, shown
from codegen.formats.json_file import Object, read_object
from codegen.formats.tokenizer_json import model_of, pair_of, texts_of

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERNS = {
    _GPT2: "gpt2",
    _GPT2.replace("'s|'t|'re|'ve|'m|'ll|'d", "'(?:[sdmt]|ll|ve|re)"): "gpt2",
    _LLAMA3 % r"\p{N}{1,3}": "llama3",
    _LLAMA3 % r"\p{N}": "qwen2",
}


def is_byte_level(root: Object) -> bool:
    """Whether a tokenizer.json is of this kind: something in it says ByteLevel."""
    return "ByteLevel" in [part.get("type") for key in ("pre_tokenizer", "decoder") for part in _parts(root.get(key))]


def read_byte_level(root: Object, source: str, folder: Path) -> ByteLevelData:
    """The tokenizer of a tokenizer.json in `folder`. Refuses by name what the runtime's encoder can't do."""
    model = model_of(root, source)
    for name, found, fits, words in (
        ("model.type", model.get("type"), model.get("type") in (None, "BPE"), "BPE"),  # GPT-2's own file has none
        ("model.byte_fallback", model.get("byte_fallback"), not model.get("byte_fallback"), "false"),
        ("model.dropout", model.get("dropout"), not model.get("dropout"), "none"),
        ("model.continuing_subword_prefix", model.get("continuing_subword_prefix"),
         not model.get("continuing_subword_prefix"), "none"),
        ("model.end_of_word_suffix", model.get("end_of_word_suffix"), not model.get("end_of_word_suffix"), "none"),
        ("normalizer", root.get("normalizer"), root.get("normalizer") is None, "none"),
        ("decoder", root.get("decoder"), [part.get("type") for part in _parts(root.get("decoder"))] == ["ByteLevel"],
         "ByteLevel"),
    ):  # fmt: skip
        if not fits:
            raise BakeError(f"{source}: {name}: expected {words}, found {shown(found)}; can't be baked")
    texts, added = texts_of(root, model, source, LONGEST_PIECE)
    for token in root.get("added_tokens", []):
        for flag in ("single_word", "lstrip", "rstrip"):
            if token.get(flag):
                raise BakeError(
                    f"{source}: added_tokens: {shown(token['content'])}: {flag}: expected false, found "
                    f"{shown(token[flag])}; can't be baked"
                )
    ids = {text: at for at, text in enumerate(texts)}
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise BakeError(f"{source}: model.merges: expected a list, found {shown(merges)}")
    beside = _Beside(folder, ids)
    template = _template_bos(root.get("post_processor"), ids, source)
    unk = model.get("unk_token")
    if unk is not None and unk not in ids:
        raise BakeError(f"{source}: model.unk_token: expected a piece, found {shown(unk)}; export the tokenizer again")
    data = make(
        texts,
        [pair_of(merge, source) for merge in merges],
        added,
        _rule(root.get("pre_tokenizer"), source),
        {"bos": beside.bos if template is None else template, "unk": None if unk is None else ids[unk]},
        beside.ends,
        source,
        add_bos=template is not None or beside.add_bos,
        whole_words=model.get("ignore_merges") is True,
    )
    if model.get("fuse_unk") and data.unk is not None and not data.has_all_bytes:
        raise BakeError(f"{source}: model.fuse_unk: expected false, or a piece for each byte, found neither; can't be baked")
    return data


def _parts(step: Any) -> list[Object]:
    """The steps of a Sequence, or the one step that it is, of a pre_tokenizer, decoder or post_processor."""
    if not isinstance(step, dict):
        return []
    inner = next((step[key] for key in ("pretokenizers", "decoders", "processors") if key in step), None)
    if step.get("type") == "Sequence" and isinstance(inner, list):
        return [part for part in inner if isinstance(part, dict)]
    return [step]


def _rule(step: Any, source: str) -> str:
    """How words are cut. `trim_offsets` is about places in the text, not about ids."""
    steps = _parts(step)
    last = steps[-1] if steps else {}
    regex = last.get("use_regex", True)
    if last.get("type") == "ByteLevel" and last.get("add_prefix_space") is False:
        if regex is True and len(steps) == 1:
            return "gpt2"
        first = steps[0]
        if regex is True and len(steps) == 2 and first == {"type": "Digits", "individual_digits": True}:
            return "gpt2 with single digits"
        if regex is False and len(steps) == 2 and first.get("type") == "Split":
            pattern = first.get("pattern")
            rule = PATTERNS.get(pattern.get("Regex", "")) if isinstance(pattern, dict) else None
            if rule and first.get("behavior") == "Isolated" and not first.get("invert"):
                return rule
    raise BakeError(
        f"{source}: pre_tokenizer: expected GPT-2's, SmolLM2's or Llama 3's: ByteLevel without add_prefix_space, alone, "
        f"after single Digits, or after a Split by Llama 3's expression; found {shown(step)}; can't be baked"
    )


def _template_bos(step: Any, ids: dict[str, int], source: str) -> int | None:
    """The id that a post_processor puts before a text, if any."""
    bos = None
    for part in _parts(step):
        single = part.get("single")
        kinds = [next(iter(one)) for one in single if isinstance(one, dict) and one] if isinstance(single, list) else []
        if part.get("type") == "TemplateProcessing" and kinds == ["SpecialToken", "Sequence"]:
            token = single[0]["SpecialToken"]  # type: ignore[index]
            bos = ids.get(str(token.get("id"))) if isinstance(token, dict) else None
            if bos is not None:
                continue
        elif part.get("type") == "ByteLevel" or (part.get("type") == "TemplateProcessing" and kinds == ["Sequence"]):
            continue
        raise BakeError(
            f"{source}: post_processor: expected none, or a template of a token and the text, found {shown(part)}; "
            "can't be baked"
        )
    if step is not None and not isinstance(step, dict):
        raise BakeError(f"{source}: post_processor: expected an object, found {shown(step)}; is it a tokenizer.json?")
    return bos


class _Beside:
    """What the files beside a tokenizer.json say of the ids that begin and end a text."""

    def __init__(self, folder: Path, ids: dict[str, int]) -> None:
        tokens, *configs = (
            read_object(folder / name) if (folder / name).is_file() else {}
            for name in ("tokenizer_config.json", "generation_config.json", "config.json")
        )
        self.add_bos = tokens.get("add_bos_token") is True
        self.bos = self._token(tokens, "bos_token", ids)
        end = self._token(tokens, "eos_token", ids)
        self.ends = [] if end is None else [end]
        for config in configs:
            begin, ends = config.get("bos_token_id"), config.get("eos_token_id")
            self.bos = begin if self.bos is None and type(begin) is int else self.bos
            self.ends += [at for at in (ends if isinstance(ends, list) else [ends]) if type(at) is int]

    @staticmethod
    def _token(tokens: Object, key: str, ids: dict[str, int]) -> int | None:
        value = tokens.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if text is None:
            return None
        if not isinstance(text, str) or text not in ids:
            raise BakeError(
                f"tokenizer_config.json: {key}: expected a token of tokenizer.json, found {shown(value)}; download both again"
            )
        return ids[text]
