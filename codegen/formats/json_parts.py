"""Reads the parts of a tokenizer.json that both kinds of tokenizers have: vocabulary, added tokens, normaliser, post_processor.

Format: https://github.com/huggingface/tokenizers. Each step that is not known here is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codegen.errors import BakeError, shown
from codegen.formats.beside import Beside, added_token
from codegen.formats.json_file import Object, objects, typed
from codegen.formats.keys import Tell, check_keys
from codegen.frame import END_NAMES, Added, Frame
from codegen.model import LIMITS

MOST_STEPS = 32
SPACE = "\u2581"
# Names the lists of steps that a Sequence may have, by the part of the file.
STEPS = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders", "post_processor": "processors"}


@dataclass(frozen=True)
class Normal:
    """Holds what a normaliser does: NFC, a space in front of each part, "▁" for spaces."""

    nfc: bool = False
    prepend: bool = False
    replace: bool = False


def check_root(root: Object, source: str, tell: Tell) -> Object:
    """Returns the object `model` of a tokenizer.json whose keys are known."""
    check_keys("tokenizer.json", root, source, tell)
    model = typed(root, "model", dict, source)
    if model is None:
        raise BakeError(f"{source}: model: expected an object, found none; is it a tokenizer.json?")
    check_keys("tokenizer.json: model", model, f"{source}: model", tell)
    return model


def steps(root: Object, part: str, source: str) -> list[Object]:
    """Returns the steps of a part of the file: of a Sequence, also one inside another, or the one that it is."""
    found: list[Object] = []

    def add(step: Any, depth: int) -> None:
        if not isinstance(step, dict) or not isinstance(step.get("type"), str) or depth > 4 or len(found) > MOST_STEPS:
            raise BakeError(f"{source}: {part}: expected steps, found {shown(step)}; is it a tokenizer.json?")
        if step["type"] != "Sequence":
            found.append(step)
            return
        inner = step.get(STEPS[part])
        if not isinstance(inner, list) or set(step) - {"type", STEPS[part]}:
            raise BakeError(f"{source}: {part}: expected a list of steps, found {shown(step)}; is it a tokenizer.json?")
        for one in inner:
            add(one, depth + 1)

    if root.get(part) is not None:
        add(root[part], 0)
    return found


def vocabulary_of(model: Object, source: str, most: int) -> dict[int, str]:
    """Returns the texts of the pieces by id; of at most `most` characters."""
    vocab = typed(model, "vocab", dict, f"{source}: model")
    if vocab is None:
        raise BakeError(f"{source}: model.vocab: expected an object, found none; is it a tokenizer.json?")
    texts: dict[int, str] = {}
    for text, at in vocab.items():
        if type(at) is not int or not 0 <= at < LIMITS["vocab_size"] or at in texts:
            raise BakeError(f"{source}: {shown(text)}: expected an id of its own, found {shown(at)}; export it again")
        if len(text) > most:
            raise BakeError(f"{source}: expected pieces of at most {most} bytes, found {len(text)} characters")
        texts[at] = text
    return texts


def added_of(root: Object, texts: dict[int, str], beside: Beside, source: str) -> dict[int, Added]:
    """Returns the added tokens by id, those that tokenizer_config.json adds among them. One may be a piece, or have its text."""
    label = f"{source}: added_tokens"
    found: dict[int, Added] = {}
    for token in objects(root, "added_tokens", source):
        at = token.get("id")
        if type(at) is not int or not 0 <= at < LIMITS["vocab_size"] or at in found:
            raise BakeError(f"{label}: {shown(token.get('content'))}: expected an id of its own, found {shown(at)}")
        found[at] = added_token(token, label)
        if at in texts and texts[at].encode("utf-8", "replace") != found[at].text:
            raise BakeError(f"{label}: {shown(found[at].text)}: expected an id of its own, found {at}, that of {shown(texts[at])}")
    for at, stated in beside.added.items():
        known = found[at].text if at in found else texts[at].encode("utf-8", "replace") if at in texts else stated.text
        if known != stated.text:
            raise BakeError(
                f"tokenizer_config.json: added_tokens_decoder: {at}: expected {shown(known)} as in {source}, found "
                f"{shown(stated.text)}; download both again"
            )
        found[at] = stated  # transformers goes by this one
    return found


def merges_of(model: Object, source: str) -> list[tuple[str, str]]:
    """Returns the pairs of texts that are merged, the first ones first."""
    merges = typed(model, "merges", list, f"{source}: model")
    if merges is None:
        raise BakeError(f"{source}: model.merges: expected a list, found none; is it a tokenizer.json?")
    return [pair_of(merge, source) for merge in merges]


def pair_of(merge: Any, source: str) -> tuple[str, str]:
    """Returns the two texts of a merge: "a b", or ["a", "b"] in newer files."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], str) and isinstance(parts[1], str):
        return parts[0], parts[1]
    raise BakeError(f"{source}: model.merges: expected two pieces of the vocabulary, found {shown(merge)}")


def normal_of(root: Object, source: str) -> Normal:
    """Reads what the normaliser does. It may be missing, or a Sequence of nothing."""
    found = Normal()
    for step in steps(root, "normalizer", source):
        if step == {"type": "NFC"} and found == Normal():
            found = Normal(nfc=True)
        elif step == {"type": "Prepend", "prepend": SPACE} and not found.prepend and not found.replace:
            found = Normal(found.nfc, prepend=True)
        elif step == {"type": "Replace", "pattern": {"String": " "}, "content": SPACE} and not found.replace:
            found = Normal(found.nfc, found.prepend, replace=True)
        else:
            raise BakeError(
                f"{source}: normalizer: expected none, NFC, or llama's, found {shown(step)}; "
                "can't be baked (is there a GGUF of the model?)"
            )
    return found


def _template(root: Object, ids: dict[str, int], source: str) -> tuple[list[int], list[int]] | None:
    """Returns the ids that the post_processor puts before and after a text; None where there is none."""
    around: tuple[list[int], list[int]] | None = None
    for step in steps(root, "post_processor", source):
        label = f"{source}: post_processor"
        if step["type"] == "ByteLevel":  # it is about places in the text, not about ids
            continue
        if step["type"] != "TemplateProcessing" or around is not None:
            raise BakeError(f"{label}: expected none, or a template of tokens and the text, found {shown(step)}; can't be baked")
        known = typed(step, "special_tokens", dict, label) or {}
        sides: tuple[list[int], list[int]] = ([], [])
        texts = 0
        for part in objects(step, "single", label):
            token = part.get("SpecialToken")
            if isinstance(part.get("Sequence"), dict) and len(part) == 1 and texts == 0:
                texts = 1
                continue
            name = token.get("id") if isinstance(token, dict) and len(part) == 1 else None
            if not isinstance(name, str):
                raise BakeError(f"{label}: expected tokens around one text, found {shown(part)}; can't be baked")
            entry = known.get(name)
            stated = entry.get("ids") if isinstance(entry, dict) else [ids.get(name)]
            if not isinstance(stated, list) or not all(type(at) is int and at in ids.values() for at in stated):
                raise BakeError(f"{label}: {shown(name)}: expected ids of the vocabulary, found {shown(stated)}; can't be baked")
            sides[texts].extend(stated)
        if texts == 0:
            raise BakeError(f"{label}: expected a template of tokens and the text, found {shown(step)}; can't be baked")
        around = sides
    return around


def make_json_frame(
    root: Object, texts: dict[int, str], added: dict[int, Added], beside: Beside, source: str, *, spaces: str, strip: bool, nfc: bool
) -> Frame:
    """Finds what is around the words, by the post_processor and by what lies beside."""
    ids = {text: at for at, text in texts.items()} | {token.text.decode(): at for at, token in added.items()}
    template = _template(root, ids, source)
    before, after = template or ([], [])
    ends = [*beside.all_ends(ids), *named_ends(added)]
    named = beside.bos(ids)
    bos = before[0] if before and beside.add_bos is not False else named
    if bos is None:
        bos = next(iter([*before, *(ids[text] for text in ("<s>",) if text in ids), *ends]), None)
    if bos is None:
        raise BakeError(
            f"{source}: bos, eos: expected the id of a token that begins or ends a text, found none; give the folder with its "
            "tokenizer_config.json"
        )
    add_bos = beside.add_bos
    if add_bos is None and template is None and beside.llama_class:
        add_bos = True
    eos = beside.all_ends(ids)[:1]
    return Frame(
        bos,
        tuple(dict.fromkeys(ends)),
        () if add_bos is False and len(before) == 1 else tuple(with_flag(before, add_bos, [bos], at_end=False)),
        tuple(with_flag(after, beside.add_eos, eos, at_end=True)),
        added,
        tuple(set(range(max([*texts, *added], default=-1) + 1)) - set(texts) - set(added)),
        spaces,
        strip,
        nfc,
        template=beside.template,
    )


def named_ends(added: dict[int, Added]) -> Iterable[int]:
    """Returns the ids of special tokens that end a text by their role, whatever the files list."""
    names = {name.encode() for name in END_NAMES}
    return [at for at, token in added.items() if token.special and token.text in names]


def with_flag(ids: list[int], flag: bool | None, token: list[int], at_end: bool) -> list[int]:
    """Makes the ids on one side of a text, as add_bos_token or add_eos_token has it: with the token, without it, as they are."""
    if flag is None or not token or (flag and token[0] in ids):
        return ids
    others = [at for at in ids if at != token[0]]
    if not flag:
        return others
    return [*others, *token] if at_end else [*token, *others]
