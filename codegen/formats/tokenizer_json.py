"""Reads Hugging Face's tokenizer.json of the llama kind: BPE with byte fallback, made from a SentencePiece model.

Its merges are an order of pairs, llama2.c's scores an order of pieces. They agree for merges as transformers makes
them of a SentencePiece model (generate_merges in convert_slow_tokenizer.py): every way to cut a piece in two is among
them, and those that make a piece follow each other, or, in newer versions, those of all pieces of one score together,
longest left part first; pieces whose merges interleave so get one score. Other merges are refused. (Where two ways to
make one piece overlap, Hugging Face takes the first of the list and SentencePiece, like llama2.c, the leftmost in the
text.) Format: https://github.com/huggingface/tokenizers.
"""

from __future__ import annotations

from typing import Any

from codegen.errors import BakeError, shown
from codegen.formats.json_file import Object
from codegen.formats.vocabulary import BYTE, CONTROL, LONGEST_PIECE, NORMAL, SPECIAL, UNKNOWN, USER_DEFINED, Piece
from codegen.formats.vocabulary import check_special, to_llama2c
from codegen.tokenizer import BYTE_TOKENS, FIRST_BYTE, TokenizerData

NORMALIZER = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ],
}
SPECIAL_TEXTS = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}


def read_llama(root: Object, source: str) -> TokenizerData:
    """llama2.c's vocabulary of a tokenizer.json. Refuses by name what llama2.c's encoder can't do."""
    model = model_of(root, source)
    _check_kind(root, model, source)
    texts, special = texts_of(root, model, source, LONGEST_PIECE)
    for name, text in SPECIAL_TEXTS.items():
        check_special(source, name, texts.index(text) if text in texts else None)

    kinds = [NORMAL] * len(texts)
    for at, is_special in special.items():
        kinds[at] = CONTROL if is_special else USER_DEFINED
    kinds[SPECIAL["unk"]] = UNKNOWN
    for at in range(FIRST_BYTE, min(FIRST_BYTE + 256, len(texts))):
        if texts[at].encode("utf-8", "replace") == BYTE_TOKENS[at - FIRST_BYTE]:
            kinds[at] = BYTE
    normal = {text: None for text, kind in zip(texts, kinds, strict=True) if kind == NORMAL}
    scores = _scores(model.get("merges"), normal, source)
    pieces = [Piece(text, scores.get(text, 0.0), kind) for text, kind in zip(texts, kinds, strict=True)]
    return to_llama2c(pieces, source)


def _check_kind(root: Object, model: Object, source: str) -> None:
    pre = root.get("pre_tokenizer")
    if root.get("normalizer") is None and isinstance(pre, dict) and pre.get("type") == "Metaspace":
        prefix = pre.get("prepend_scheme", "always" if pre.get("add_prefix_space") else "never")
        spaces = pre.get("replacement") == "\u2581" and prefix in ("first", "always") and pre.get("split") is False
    else:
        spaces = root.get("normalizer") == NORMALIZER and pre is None
    expected: tuple[tuple[str, Any, bool, str], ...] = (
        ("model.type", model.get("type"), model.get("type") == "BPE", "BPE"),
        ("model.byte_fallback", model.get("byte_fallback"), model.get("byte_fallback") is True,
         "true"),
        ("normalizer and pre_tokenizer", (root.get("normalizer"), pre), spaces,
         "llama's: a '\u2581' before the text and for each space, nothing else"),
        ("model.dropout", model.get("dropout"), not model.get("dropout"), "none"),
        ("model.ignore_merges", model.get("ignore_merges"), not model.get("ignore_merges"), "false"),
        ("model.continuing_subword_prefix", model.get("continuing_subword_prefix"),
         not model.get("continuing_subword_prefix"), "none"),
        ("model.end_of_word_suffix", model.get("end_of_word_suffix"), not model.get("end_of_word_suffix"), "none"),
    )  # fmt: skip
    for name, found, fits, words in expected:
        if not fits:
            raise BakeError(f"{source}: {name}: expected {words}, found {shown(found)}; can't be baked")


def model_of(root: Object, source: str) -> Object:
    """The part of a tokenizer.json that has the vocabulary."""
    model = root.get("model")
    if not isinstance(model, dict):
        raise BakeError(f"{source}: model: expected an object, found {shown(model)}; is it a tokenizer.json?")
    return model


def texts_of(root: Object, model: Object, source: str, most: int) -> tuple[list[str], dict[int, bool]]:
    """The text of each id, of at most `most` characters, and the ids of added tokens with whether each is special."""
    vocab, added = model.get("vocab"), root.get("added_tokens", [])
    if not isinstance(vocab, dict) or not isinstance(added, list):
        raise BakeError(f"{source}: model.vocab, added_tokens: expected an object and a list; is it a tokenizer.json?")
    by_id: dict[int, str] = {}
    special: dict[int, bool] = {}
    entries = [(text, at) for text, at in vocab.items()]
    for token in added:
        if not isinstance(token, dict) or type(token.get("id")) is not int or type(token.get("content")) is not str:
            raise BakeError(f"{source}: added_tokens: expected id and content, found {shown(token)}")
        entries.append((token["content"], token["id"]))
        special[token["id"]] = token.get("special") is True
    for text, at in entries:
        if type(at) is not int or by_id.setdefault(at, text) != text:
            raise BakeError(f"{source}: {shown(text)}: expected an id of its own, found {shown(at)}")
    if sorted(by_id) != list(range(len(by_id))):
        raise BakeError(f"{source}: ids: expected 0 to {len(by_id) - 1} without gaps; export the tokenizer again")
    texts = [by_id[at] for at in range(len(by_id))]
    longest = max(map(len, texts), default=0)
    if longest > most:
        raise BakeError(f"{source}: expected pieces of at most {most} bytes, found {longest} characters")
    return texts, special


def _scores(merges: Any, normal: dict[str, None], source: str) -> dict[str, float]:
    """The score of each normal piece: 0, -1, -2 ... in the order in which merges make them, then the others by id."""
    pairs = [_pair(merge, normal, source) for merge in merges] if isinstance(merges, list) else None
    if pairs is None:
        raise BakeError(f"{source}: model.merges: expected a list, found {shown(merges)}")
    last = {left + right: at for at, (left, right) in enumerate(pairs)}
    scores: dict[str, float] = {}
    begin = end = 0  # of the merges whose pieces share a score
    for at, (left, right) in enumerate(pairs):
        if at == end:
            begin = at
            score = -float(len(scores))
        text = left + right
        end = max(end, last[text] + 1)
        before = pairs[at - 1] if at > begin else (left, right)
        if before[0] + before[1] != text and (len(before[0]), len(before[1])) < (len(left), len(right)):
            raise BakeError(
                f"{source}: model.merges: {shown(left)} and {shown(right)} make {shown(text)} apart from its other "
                "merges: not made from a SentencePiece model; give its tokenizer.model instead"
            )
        scores[text] = score
    known = set(pairs)
    for text in normal:
        for cut in range(1, len(text)):
            pair = text[:cut], text[cut:]
            if pair[0] in normal and pair[1] in normal and pair not in known:
                raise BakeError(
                    f"{source}: model.merges: expected one of {shown(pair[0])} and {shown(pair[1])}, found none: "
                    "not made from a SentencePiece model; give its tokenizer.model instead"
                )
    for text in normal:
        scores.setdefault(text, -float(len(scores)))
    return scores


def _pair(merge: Any, normal: dict[str, None], source: str) -> tuple[str, str]:
    """The two pieces of a merge, which make a third."""
    left, right = pair_of(merge, source)
    if left not in normal or right not in normal:
        raise BakeError(f"{source}: model.merges: expected two pieces of the vocabulary, found {shown(merge)}")
    if left + right not in normal:
        raise BakeError(f"{source}: model.merges: {shown(merge)} makes {shown(left + right)}, which is no piece")
    return left, right


def pair_of(merge: Any, source: str) -> tuple[str, str]:
    """The two texts of a merge: "a b", or ["a", "b"] in newer files."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise BakeError(f"{source}: model.merges: expected two pieces of the vocabulary, found {shown(merge)}")
    return parts[0], parts[1]
