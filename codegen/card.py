"""Reads what is known of a model besides its files: a card, `<stem>.card.toml` beside it, whose words --sbom repeats.

    licence = "MIT"                     an SPDX expression
    about = "what it is"
    training = "how it was trained"
    [[data]]                            what it was trained on, any number
    name = "..."
    about = "..."
    licence = "..."
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.errors import BakeError, shown
from codegen.input import read_small
from codegen.tokenizer import stems

LARGEST_CARD = 1 << 16
LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Data:
    """Describes a set of data that a model was trained on."""

    name: str
    about: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Card:
    """Holds a model's card; empty texts are not known."""

    licence: str = ""
    about: str = ""
    training: str = ""
    data: tuple[Data, ...] = ()


def card_names(model: Path) -> tuple[str, ...]:
    """Returns the names that the card of a model may have; the first that is there is taken."""
    return tuple(f"{stem}.card.toml" for stem in stems(model))


def read_card(model: Path) -> Card:
    """Returns the card beside a model, an empty one when there is none. Raises BakeError for one that says what a card can't."""
    path = next((path for name in card_names(model) if (path := model.parent / name).is_file()), None)
    if path is None:
        return Card()
    try:
        said = tomllib.loads(read_small(path, LARGEST_CARD).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BakeError(f"{path.name}: is no TOML: {error}; write it as docs/security.md shows") from error
    data = said.pop("data", [])
    if not isinstance(data, list) or not all(isinstance(one, dict) and one.get("name") for one in data):
        raise BakeError(f"{path.name}: data: expected tables with a name, found {shown(data)}")
    return Card(**_texts(said, Card, path), data=tuple(Data(**_texts(one, Data, path)) for one in data))


def _texts(said: dict[str, Any], kind: type[Card | Data], path: Path) -> dict[str, str]:
    """Returns the texts of a table, each by a name that its kind has."""
    for key, value in said.items():
        if key not in kind.__dataclass_fields__:
            raise BakeError(f"{path.name}: {shown(key)}: expected one of {', '.join(kind.__dataclass_fields__)}")
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise BakeError(f"{path.name}: {key}: expected a text of at most {LONGEST_TEXT} characters, found {shown(value)}")
    return said
