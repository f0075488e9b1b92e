"""Nothing of a model's own text gets into generated code: names are checked, pieces are bytes, metadata stays outside."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import at_hand
import pytest
from mesonbuild.coredata import FORBIDDEN_TARGET_NAMES

from codegen.emit import render
from codegen.errors import BakeError
from codegen.formats import open_model
from codegen.model import Model
from codegen.names import check_name, program_name
from codegen.pack import write_packed
from codegen.plan import make_plan
from codegen.targets import TARGETS
from codegen.tokenizer import BYTE_TOKENS, TokenizerData, parse, to_bytes

ROOT = Path(__file__).resolve().parents[2]
MODEL = Model("tame", 8, 16, 1, 2, 1, 300, 8, head_size=4, shared_classifier=True)
HOSTILE_NAMES = (
    "../../x", "a b", "1abc", "", ".", "a/b", 'a"b', "a\\b", "a\nb", "a;b", "$(reboot)", "{{ 7*7 }}", "${7*7}", "{% x %}",
    "a*/b", "%s", "é", "a\u202eb", "-Dx", "a" * 65, "all", "runtime", "generated", "meson-x", "meson-" + "x" * 70,
)  # fmt: skip
HOSTILE_PIECES = (
    b'"', b"\\", b"*/", b"/*", b"%s%n", b"{{ 7*7 }}", b"${7*7}", b"{% raw %}", b"\n#include </etc/passwd>", b"??/",
    b"\x01\x1f\x7f", "\u202e".encode(), b"\xff\xfe", b'");system("id");("', b".incbin", b"$(id)", b"</s>\r\n",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_becomes_a_tame_one(name: str) -> None:
    """A file may be called anything; what is asked for with -Dname= may not."""
    made = program_name(name)
    assert check_name(made) == made
    with pytest.raises(BakeError, match="name '") as caught:
        check_name(name)
    assert str(caught.value).isprintable()


def test_names_of_the_build_and_of_meson_are_taken() -> None:
    """Whatever build files call a target or a folder, and what Meson keeps for itself."""
    taken = set(FORBIDDEN_TARGET_NAMES)
    text = (ROOT / "meson.build").read_text()
    taken |= set(re.findall(r"(?:executable|static_library|custom_target|alias_target|subdir)\(\s*'([^']+)'", text))
    assert len(taken) > 25
    for name in taken:
        if re.fullmatch(r"[A-Za-z0-9_-]+", name):
            assert program_name(name) == f"model_{name}"


def test_names_that_are_words_of_cxx_do_no_harm() -> None:
    """A name is a file's and a string's, never an identifier: "int" is as good as any."""
    for name in ("int", "main", "namespace", "forward"):
        assert check_name(name) == name == program_name(name)
        tame = render(make_plan(MODEL, TARGETS["portable"]))
        for file, text in render(make_plan(dataclasses.replace(MODEL, name=name), TARGETS["portable"])).items():
            replaced = tame[file].replace("//   Model: tame:", f"//   Model: {name}:").replace('"tame"', f'"{name}"')
            assert text == replaced


def test_hostile_pieces_stay_bytes(tmp_path: Path) -> None:
    """They go through the tokenizer's blob unchanged, and no byte of the generated file depends on what they say."""
    source = open_model(at_hand.model("seeded260K_q8"))
    plan = make_plan(source.model, TARGETS["portable"])
    count = source.model.vocab_size
    texts = []
    for pieces in (HOSTILE_PIECES, tuple(b"\xf0" * len(piece) + b"%d" % i for i, piece in enumerate(HOSTILE_PIECES))):
        head = (b"<unk>", b"\n<s>\n", b"\n</s>\n", *BYTE_TOKENS, b" ", *pieces)
        all_pieces = (head + tuple(b"filler%d" % i for i in range(count)))[:count]
        vocabulary = TokenizerData(all_pieces, tuple(float(-i) for i in range(count)))
        assert parse(to_bytes(vocabulary), count, "x").pieces == all_pieces
        write_packed(source, plan, vocabulary, b"", True, False, tmp_path)
        assert b"".join(pieces) in (tmp_path / "tokenizer.baked").read_bytes()
        text = (tmp_path / "packed_data.cpp").read_text(encoding="ascii")
        texts.append(re.sub(r"0x[0-9a-f]{16}|\[\d+\]", "?", text))
    assert texts[0] == texts[1]
