"""Reads Hugging Face's tokenizer.json of the llama kind: BPE with byte fallback, made from a SentencePiece model.

Its merges are an order of pairs, llama2.c's scores an order of pieces. They agree for merges as transformers makes
them of a SentencePiece model (generate_merges in convert_slow_tokenizer.py): every way to cut a piece in two is among
them, and those that make a piece follow each other, or, in newer versions, those of all pieces of one score together,
longest left part first; pieces whose merges interleave so get one score. Other merges are refused. (Where two ways to
make one piece overlap, Hugging Face takes the first of the list and SentencePiece, like llama2.c, the leftmost in the
text.) Format: https://github.com/huggingface/tokenizers.
"""

from __future__ import annotations

from codegen.errors import BakeError, shown
from codegen.formats.beside import Beside
from codegen.formats.json_file import Object
from codegen.formats.json_parts import SPACE, Normal, added_of, check_root, make_json_frame, merges_of, normal_of, steps, vocabulary_of
from codegen.formats.keys import Tell, ignore
from codegen.formats.vocabulary import BYTE, CONTROL, LONGEST_PIECE, NONE, NORMAL, UNKNOWN, USER_DEFINED, Piece, first_byte, to_llama2c
from codegen.tokenizer import BYTE_TOKENS, FIRST_BYTE, TokenizerData

# Limits the sum of the squares of the pieces' lengths: what looking for every way to cut each of them takes. Llama 2's is 1.3
# million.
MOST_TO_CUT = 1 << 25
# Cuts a Gemma's text at spaces, of which there are none: the normaliser has replaced them.
AT_SPACES = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
DECODER = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]


def read_llama(root: Object, source: str, beside: Beside = Beside(), tell: Tell = ignore) -> TokenizerData:
    """Makes llama2.c's vocabulary of a tokenizer.json. Refuses by name what llama2.c's encoder can't do."""
    model = check_root(root, source, tell)
    for key, words in (("byte_fallback", "true"), ("ignore_merges", "false")):
        if (model.get(key) is True) != (words == "true") or not isinstance(model.get(key, False), (bool, type(None))):
            raise BakeError(f"{source}: model.{key}: expected {words}, found {shown(model.get(key))}; can't be baked")
    normal = normal_of(root, source)
    spaces, strip = _spaces(root, normal, beside, source)
    texts = vocabulary_of(model, source, LONGEST_PIECE)
    added = added_of(root, texts, beside, source)
    frame = make_json_frame(root, texts, added, beside, source, spaces=spaces, strip=strip, nfc=normal.nfc)

    merges = merges_of(model, source)
    merged = {part for left, right in merges for part in (left, right, left + right)}
    pieces = [Piece("", 0.0, NONE)] * (max([*texts, *added], default=-1) + 1)
    made: dict[str, int] = {}
    first = first_byte([texts.get(at, "") for at in range(len(pieces))])
    for at, text in texts.items():
        kind = NORMAL
        if first <= at < first + 256 and text.encode("utf-8", "replace") == BYTE_TOKENS[at - first]:
            kind = BYTE
        elif at == 0 and first == FIRST_BYTE:
            kind = UNKNOWN
        elif at in added and text not in merged:
            kind = CONTROL if added[at].special else USER_DEFINED
        if kind == NORMAL:
            made[text] = at
        pieces[at] = Piece(text, 0.0, kind)
    scores = _scores(merges, dict.fromkeys(made), source)
    for text, at in made.items():
        pieces[at] = Piece(text, scores[text], NORMAL)
    for at, token in added.items():
        if at not in texts:
            pieces[at] = Piece(token.text.decode(), 0.0, CONTROL if token.special else USER_DEFINED)
    return to_llama2c(pieces, frame, source)


def _spaces(root: Object, normal: Normal, beside: Beside, source: str) -> tuple[str, bool]:
    """Finds where spaces are put in front (codegen.frame.SPACES), and whether one is dropped from what is printed."""
    pre = steps(root, "pre_tokenizer", source)
    if pre in ([], [AT_SPACES]) and normal.replace:
        spaces = "each" if normal.prepend else "none"
    elif len(pre) == 1 and not normal.replace and not normal.prepend:
        spaces = _metaspace(pre[0], f"{source}: pre_tokenizer")
    else:
        raise BakeError(
            f"{source}: normalizer and pre_tokenizer: expected llama's, '{SPACE}' for spaces alone; "
            f"found {shown(root.get('pre_tokenizer') or root.get('normalizer'))}; can't be baked"
        )
    if beside.add_space not in (None, spaces != "none"):
        raise BakeError(
            f"tokenizer_config.json: add_prefix_space: found {shown(beside.add_space)}, but {source} says otherwise; download both again"
        )
    return spaces, _strips(root, spaces, source)


def _metaspace(step: Object, label: str) -> str:
    """Reads the spaces of a Metaspace step that does not cut words."""
    prefix = step.get("add_prefix_space")
    scheme = step.get("prepend_scheme", "never" if prefix is False else "always")
    fits = step.get("type") == "Metaspace" and step.get("replacement") == SPACE and step.get("split") is False
    if not fits or scheme not in ("first", "always", "never") or set(step) - {
            "type", "replacement", "split", "prepend_scheme", "add_prefix_space", "str_rep"}:  # fmt: skip
        raise BakeError(
            f"{label}: expected llama's, '{SPACE}' for spaces alone; found {shown(step)}; "
            "can't be baked"
        )
    return {"first": "first without", "always": "each without", "never": "none"}[str(scheme)]


def _strips(root: Object, spaces: str, source: str) -> bool:
    """Tells whether the decoder drops a space from the beginning of a text."""
    decoder = steps(root, "decoder", source)
    if not decoder:
        return spaces != "none"
    if len(decoder) == 1 and decoder[0].get("type") == "Metaspace" and decoder[0].get("replacement") == SPACE:
        return _metaspace({**decoder[0], "split": False}, f"{source}: decoder") != "none"
    last = decoder[len(DECODER) :]
    strip = last[0] if last else {"type": "Strip", "content": " ", "start": 0, "stop": 0}
    fits = decoder[: len(DECODER)] == DECODER and len(last) <= 1 and strip.get("type") == "Strip" and strip.get("content") == " "
    if not fits or strip.get("start") not in (0, 1) or strip.get("stop") != 0:
        raise BakeError(f"{source}: decoder: expected llama's, '{SPACE}' to spaces and bytes, found {shown(decoder)}; can't be baked")
    return strip.get("start") == 1


def _scores(pairs: list[tuple[str, str]], normal: dict[str, None], source: str) -> dict[str, float]:
    """Computes the score of each normal piece: 0, -1, -2 ... in the order in which merges make them, then the others by id."""
    for left, right in pairs:
        if left not in normal or right not in normal or left + right not in normal:
            are_pieces = left in normal and right in normal
            words = f"them to make a piece, not {shown(left + right)}" if are_pieces else "two pieces of the vocabulary"
            raise BakeError(f"{source}: model.merges: expected {words}, found {shown([left, right])}; export it again")
    if sum(len(text) ** 2 for text in normal) > MOST_TO_CUT:
        raise BakeError(f"{source}: expected pieces of 20 characters or so, found {len(normal)} much longer ones; is it a tokenizer?")
    last = {left + right: at for at, (left, right) in enumerate(pairs)}
    scores: dict[str, float] = {}
    begin = end = 0  # bound the merges whose pieces share a score
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
