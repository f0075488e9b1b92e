"""Reads Hugging Face's tokenizer.json of GPT-2's kind: byte-level BPE, as GPT-2, SmolLM2 and Llama 3 have it.

Format: https://github.com/huggingface/tokenizers.
"""

from __future__ import annotations

from typing import Any

from codegen.byte_level import LONGEST_PIECE, ByteLevelData, make
from codegen.errors import BakeError, shown
from codegen.formats.beside import Beside
from codegen.formats.json_file import Object
from codegen.formats.json_parts import MOST_STEPS, added_of, check_root, make_json_frame, merges_of, normal_of, steps, vocabulary_of
from codegen.formats.keys import Tell, ignore

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
    """Tells whether a tokenizer.json is of this kind: a step in it is called ByteLevel."""
    return _mentions(root.get("pre_tokenizer")) or _mentions(root.get("decoder"))


def _mentions(step: Any, depth: int = 4) -> bool:
    if not isinstance(step, dict) or depth == 0:
        return False
    inner = [part for value in step.values() if isinstance(value, list) for part in value[:MOST_STEPS]]
    return step.get("type") == "ByteLevel" or any(_mentions(part, depth - 1) for part in inner)


def read_byte_level(root: Object, source: str, beside: Beside = Beside(), tell: Tell = ignore) -> ByteLevelData:
    """Reads the tokenizer of a tokenizer.json. Refuses by name what the runtime's encoder can't do."""
    model = check_root(root, source, tell)
    normal = normal_of(root, source)
    if model.get("byte_fallback"):
        raise BakeError(f"{source}: model.byte_fallback: expected false, found {shown(model['byte_fallback'])}; can't be baked")
    if normal.prepend or normal.replace:
        raise BakeError(f"{source}: normalizer: expected none or NFC, found {shown(root.get('normalizer'))}; can't be baked")
    decoder = steps(root, "decoder", source)
    if [step["type"] for step in decoder] != ["ByteLevel"]:
        raise BakeError(f"{source}: decoder: expected ByteLevel, found {shown(root.get('decoder'))}; can't be baked")
    rule, prefix = _rule(root, source)
    if beside.add_space is not None and beside.add_space != prefix:
        if rule != "gpt2":
            raise BakeError("tokenizer_config.json: add_prefix_space: expected false with this pre_tokenizer, found true; can't be baked")
        prefix = beside.add_space  # transformers goes by this
    spaces = "each without" if prefix else "none"
    texts = vocabulary_of(model, source, LONGEST_PIECE)
    added = added_of(root, texts, beside, source)
    frame = make_json_frame(root, texts, added, beside, source, spaces=spaces, strip=False, nfc=normal.nfc)
    unk, unk_id = model.get("unk_token"), None
    if unk is not None:
        unk_id = next((at for at, text in texts.items() if text == unk), None)
        if unk_id is None:
            unk_id = next((at for at, token in added.items() if token.text.decode() == unk), None)
        if unk_id is None:
            raise BakeError(f"{source}: model.unk_token: expected a piece, found {shown(unk)}; export the tokenizer again")
    data = make(
        texts, max([*texts, *added], default=-1) + 1, merges_of(model, source), rule, frame, source,
        unk=unk_id, whole_words=model.get("ignore_merges") is True,
    )  # fmt: skip
    if model.get("fuse_unk") and data.unk is not None and not data.has_all_bytes:
        raise BakeError(f"{source}: model.fuse_unk: expected false, or a piece for each byte, found neither; can't be baked")
    return data


def _rule(root: Object, source: str) -> tuple[str, bool]:
    """Finds how words are cut, and whether a space is put before a text that has none. `trim_offsets` is about places in the text,
    not about ids."""
    pre = steps(root, "pre_tokenizer", source)
    last = pre[-1] if pre else {}
    regex, prefix = last.get("use_regex", True), last.get("add_prefix_space")
    known = {"type", "add_prefix_space", "trim_offsets", "use_regex"}
    if last.get("type") == "ByteLevel" and isinstance(prefix, bool) and not set(last) - known:
        if regex is True and len(pre) == 1:
            return "gpt2", prefix
        first = pre[0]
        if regex is True and len(pre) == 2 and first == {"type": "Digits", "individual_digits": True} and not prefix:
            return "gpt2 with single digits", False
        if regex is False and len(pre) == 2 and first.get("type") == "Split" and not prefix:
            pattern = first.get("pattern")
            text = pattern.get("Regex") if isinstance(pattern, dict) else None
            rule = PATTERNS.get(text) if isinstance(text, str) else None
            if rule and first.get("behavior") == "Isolated" and first.get("invert") in (None, False):
                return rule, False
    raise BakeError(
        f"{source}: pre_tokenizer: expected GPT-2's, SmolLM2's, Qwen 2's or Llama 3's, ByteLevel last, found "
        f"{shown(root.get('pre_tokenizer'))}; can't be baked"
    )
