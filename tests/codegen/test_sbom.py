"""What is inside: the fields that CycloneDX 1.6's schema requires, a model's card, and texts that are no C++."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import seeded
from at_hand import model as seeded_model

from codegen import sbom
from codegen.__main__ import main
from codegen.card import Card, read_card
from codegen.errors import BakeError
from codegen.formats import open_model

Json = dict[str, Any]

# Of bom-1.6.schema.json, what each kind of object must have, and which values a field may take.
REQUIRED = {"component": {"type", "name"}, "hash": {"alg", "content"}, "dependency": {"ref"}, "property": {"name"}}
TYPES = {
    "application", "framework", "library", "container", "platform", "operating-system", "device", "device-driver", "firmware",
    "file", "machine-learning-model", "data", "cryptographic-asset",
}  # fmt: skip
APPROACHES = {"supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised"}


def check(whole: Json) -> set[str]:
    """Asserts what the schema requires; returns the references of all components."""
    assert whole["bomFormat"] == "CycloneDX" and whole["specVersion"] == "1.6"
    assert type(whole["version"]) is int and whole["version"] >= 1
    assert whole["$schema"] == "http://cyclonedx.org/schema/bom-1.6.schema.json"
    refs: list[str] = []

    def component(one: Json) -> None:
        assert REQUIRED["component"] <= one.keys() and one["type"] in TYPES
        refs.extend([one["bom-ref"]] if "bom-ref" in one else [])
        assert all(isinstance(one[key], str) for key in ("name", "version", "description") if key in one)
        for digest in one.get("hashes", ()):
            assert REQUIRED["hash"] <= digest.keys() and digest["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", digest["content"])
        for licence in one.get("licenses", ()):
            assert set(licence) == {"expression"} and len(one["licenses"]) == 1
        for prop in one.get("properties", ()):
            assert REQUIRED["property"] <= prop.keys() and all(isinstance(value, str) for value in prop.values())
        if "modelCard" in one:
            assert one["type"] == "machine-learning-model"
            parameters = one["modelCard"]["modelParameters"]
            assert parameters.get("approach", {"type": "supervised"})["type"] in APPROACHES
            assert all(set(data) == {"ref"} for data in parameters["datasets"])
        for inner in one.get("components", ()):
            component(inner)

    component(whole["metadata"]["component"])
    for one in (*whole["metadata"]["tools"]["components"], *whole["components"]):
        component(one)
    assert len(refs) == len(set(refs)), "a reference is another component's"
    for one in whole["dependencies"]:
        assert REQUIRED["dependency"] <= one.keys() and {one["ref"], *one["dependsOn"]} <= set(refs)
    return set(refs)


def inside(model: Path, tokenizer: Path, *libraries: tuple[str, str]) -> Json:
    build = sbom.Build("tale", "1.2.3", ("gcc", "12.2.0"), libraries, "static")
    return sbom.document(build, model, open_model(model).model, tokenizer, "portable")


def test_every_library_and_the_model_of_a_document(tmp_path: Path) -> None:
    model = seeded.write(tmp_path, "odd_q8")
    card = 'licence = "CC0-1.0"\nabout = "a"\ntraining = "none"\n[[data]]\nname = "d"\nlicence = "MIT"\n'
    (tmp_path / "odd_q8.card.toml").write_text(card)
    whole = inside(model, tmp_path / "odd_q8.tokenizer.bin", *((name, "") for name in sbom.LIBRARIES))
    refs = check(whole)
    assert {f"library:{name}" for name in sbom.LIBRARIES} <= refs
    (found,) = (one for one in whole["components"] if one["type"] == "machine-learning-model")
    assert found["hashes"][0]["content"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert found["licenses"] == [{"expression": "CC0-1.0"}]
    assert found["modelCard"]["modelParameters"]["datasets"] == [{"ref": "data:0"}] and "data:0" in refs
    assert {"name": "storybake:dim", "value": "36"} in found["properties"]


@pytest.mark.parametrize("name", ["seeded_hf", "seeded_gguf", "seeded_pt"])
def test_models_of_other_programs(name: str, tmp_path: Path) -> None:
    """A folder's files are named one by one; nothing is said of a licence that nobody told."""
    model = seeded.write(tmp_path, name)
    refs = check(whole := inside(model, model, ("glibc", "2.36")))
    assert "licenses" not in whole["components"][0] and not any(ref.startswith("data:") for ref in refs)
    assert not model.is_dir() or {"file:config.json", "file:tokenizer.model"} <= refs


def test_the_models_that_come_along_have_a_card() -> None:
    for path in sorted((Path(__file__).resolve().parents[2] / "models").glob("*.bin")):
        if not path.name.endswith(".tokenizer.bin"):
            card = read_card(path)
            assert card.licence == "MIT" and card.training and card.data


def test_what_is_printed_is_the_document_and_no_text_is_code(tmp_path: Path) -> None:
    """By the command that the build runs, of a card whose words would end a string or a comment."""
    model = seeded.write(tmp_path, "odd_q8")
    hostile = '*/ "); system("id"); ??/ \\n \u202e {{ m }} ${ m } </script>'
    (tmp_path / "odd.card.toml").write_text(f"about = {json.dumps(hostile, ensure_ascii=False)}\n")
    words = ["--program", "tale", "--version", "1", "--compiler", "gcc=12", "--library", "musl=", "--output", str(tmp_path / "s.cpp")]
    assert main(["sbom", str(model), *words]) == 0
    text = (tmp_path / "s.cpp").read_text(encoding="ascii")
    numbers = re.search(r"kText\[\] = \{\n([0-9, \n]*)\};", text)
    assert numbers and "system" not in text
    whole = json.loads(bytes(int(number) for number in re.findall(r"\d+", numbers[1])))
    check(whole)
    assert whole["components"][0]["description"] == hostile
    before = text
    assert main(["sbom", str(model), *words]) == 0 and (tmp_path / "s.cpp").read_text() == before


@pytest.mark.parametrize(("text", "message"), [
    (b"licence = 1\n", "licence: expected a text of at most 2000 characters, found 1"), (b"x = 'y'\n", "expected one of licence, about"),
    (b"data = 3\n", "expected tables with a name"), (b"data = [1]\n", "expected tables with a name"),
    (b"[[data]]\nabout = ''\n", "expected tables with a name"), (b"\xff\n", "is no TOML"),
    (b"[[data]]\nname = 'a'\nsize = 'b'\n", "expected one of name, about, licence"), (b"[" * 30000, "is no TOML"),
    (b"a" * 70000, "expected at most 65536 bytes"), (b"about = '" + b"a" * 2001 + b"'\n", "at most 2000 characters"),
])  # fmt: skip
def test_a_card_that_is_none_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.card.toml").write_bytes(text)
    with pytest.raises(BakeError, match=message):
        read_card(tmp_path / "m_q8.bin")
    assert read_card(tmp_path / "n.bin") == Card()


def test_a_seeded_model_has_no_card() -> None:
    assert read_card(seeded_model("seeded260K_q8")) == Card()
