"""Lists what is inside a program: a CycloneDX 1.6 document of its libraries, its model with data and training, and licences.

It has no date, serial number or path, so that two builds have the same one. --sbom prints it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.card import Card, Data, read_card
from codegen.describe import types_text
from codegen.model import Model

Json = dict[str, Any]

GCC_RUNTIME = "GPL-3.0-or-later WITH GCC-exception-3.1"
# Says who makes what a program may be linked with, and its licence as an SPDX expression.
LIBRARIES = {
    "glibc": ("GNU C library", "LGPL-2.1-or-later"),
    "musl": ("musl C library", "MIT"),
    "C library": ("the target's C library", ""),
    "libstdc++": ("GNU C++ library", GCC_RUNTIME),
    "libgcc": ("GCC's runtime library", GCC_RUNTIME),
    "libgomp": ("GNU OpenMP library", GCC_RUNTIME),
    "libomp": ("LLVM's OpenMP library", "Apache-2.0 WITH LLVM-exception"),
    "flite": ("Carnegie Mellon University's Flite, a voice", "LicenseRef-CMU-Flite"),
    "pocketsphinx": ("Carnegie Mellon University's PocketSphinx, which hears", "BSD-2-Clause"),
}
IN_A_FOLDER = (".safetensors", ".json", ".model")  # end the names of what a model is read from, where it is a folder
CHUNK = 1 << 20


@dataclass(frozen=True)
class Build:
    """Holds what the build knows: the program and its version, the compiler, and the libraries with their versions, which may be
    unknown (empty)."""

    program: str
    version: str
    compiler: tuple[str, str]
    libraries: tuple[tuple[str, str], ...]
    linked: str  # "static", or "dynamic"


def versioned(text: str) -> tuple[str, str]:
    """Splits NAME=VERSION."""
    name, _, version = text.partition("=")
    return name, version


def sha256(path: Path) -> str:
    """Computes the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def hashed(kind: str, name: str, path: Path, **more: Any) -> Json:
    """Describes a component that was read from a file, or from a folder of them."""
    component: Json = {"type": kind, "bom-ref": f"{kind}:{name}", "name": name, **more}
    if path.is_file():
        component["hashes"] = [{"alg": "SHA-256", "content": sha256(path)}]
    else:
        files = sorted(one for one in path.iterdir() if one.is_file() and one.suffix in IN_A_FOLDER)
        component["components"] = [hashed("file", one.name, one) for one in files]
    return component


def licences(expression: str) -> Json:
    """Returns the licences of a component; nothing where they are not known."""
    return {"licenses": [{"expression": expression}]} if expression else {}


def properties(**values: str | int) -> list[Json]:
    """Lists facts that CycloneDX has no field for."""
    return [{"name": f"storybake:{key}", "value": str(value)} for key, value in values.items() if value != ""]


def data_component(data: Data, number: int) -> Json:
    """Describes a set of data of a model's training."""
    about = {"description": data.about} if data.about else {}
    return {"type": "data", "bom-ref": f"data:{number}", "name": data.name, **about, **licences(data.licence)}


def model_component(path: Path, model: Model, card: Card) -> Json:
    """Describes the model as a component of an ML-BOM."""
    parameters: Json = {
        "task": "text-generation",
        "architectureFamily": "transformer",
        "modelArchitecture": "llama2.c",
        "datasets": [{"ref": f"data:{number}"} for number in range(len(card.data))],
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    }
    if card.training:
        parameters["approach"] = {"type": "self-supervised"}
    facts = properties(
        dim=model.dim, hidden_dim=model.hidden_dim, n_layers=model.n_layers, n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads, vocab_size=model.vocab_size, seq_len=model.seq_len, weight_types=types_text(model),
        group_size=model.group_size, kv_type=model.kv_type, training=card.training or "not said beside the model",
        licence=card.licence or "not said beside the model",
    )  # fmt: skip
    about = {"description": card.about} if card.about else {}
    more = {**about, **licences(card.licence), "modelCard": {"modelParameters": parameters}, "properties": facts}
    return hashed("machine-learning-model", path.name, path, **more)


def library_component(name: str, version: str, linked: str) -> Json:
    """Describes a library that the program is linked with."""
    about, licence = LIBRARIES[name]
    known = {"version": version} if version else {}
    facts = properties(linked=linked, version="" if version else "not known to the build")
    return {"type": "library", "bom-ref": f"library:{name}", "name": name, **known, "description": about, **licences(licence),
            "properties": facts}  # fmt: skip


def document(build: Build, path: Path, model: Model, tokenizer: Path, target: str) -> Json:
    """Makes the whole document, of a model and its tokenizer at their paths."""
    card = read_card(path)
    components = [
        model_component(path, model, card),
        *(data_component(data, number) for number, data in enumerate(card.data)),
        *([hashed("data", tokenizer.name, tokenizer, description="the tokenizer")] if tokenizer != path else []),
        *(library_component(name, version, build.linked) for name, version in build.libraries),
    ]
    main = {"type": "application", "bom-ref": f"application:{build.program}", "name": build.program, "version": build.version,
            "description": f"a model baked by storybake for {target}", **licences("MIT"),
            "properties": properties(target=target)}  # fmt: skip
    tools = [("storybake", build.version), build.compiler]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": main,
            "tools": {"components": [{"type": "application", "name": name, "version": version} for name, version in tools]},
        },
        "components": components,
        "dependencies": [
            {"ref": main["bom-ref"], "dependsOn": sorted(one["bom-ref"] for one in components)},
            *({"ref": one["bom-ref"], "dependsOn": []} for one in components),
        ],
    }


def source(whole: Json) -> str:
    """Writes the document as the C++ that --sbom prints it from: ASCII, a number a byte, so that no text is ever C++."""
    text = (json.dumps(whole, indent=2) + "\n").encode("ascii")
    lines = [", ".join(map(str, text[at : at + 32])) for at in range(0, len(text), 32)]
    numbers = ",\n    ".join(lines)
    return f"""// Generated by codegen/sbom.py. Do not edit.
#include "sbom.hpp"

namespace storybake {{
namespace {{

constexpr char kText[] = {{
    {numbers},
}};

}}  // namespace

const std::string_view kSbom(kText, sizeof kText);

}}  // namespace storybake
"""
