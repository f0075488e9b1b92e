"""Makes the name of a baked program of a model's file or folder: any name will do, "Café №1.bin" bakes Cafe_1."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from codegen.errors import USAGE, BakeError, shown

# Says what a name may be: it becomes a file name, a target of the build, a C++ comment and a line of a report.
PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
LONGEST = 64
# Lists names that the build folder, Meson or the build's own targets already use for something else.
RESERVED = frozenset(
    "PHONY all baked benchmark benchmarks build clang-format clang-tidy clean clean-ctlist clean-gcda clean-gcno codegen "
    "compile_commands coverage coverage-html coverage-sonarqube coverage-text coverage-xml cppcheck cross ctags cscope dist "
    "distcheck docs etags evaluation generated install kernels models phony program reconfigure runtime scan-build selftest speech "
    "storyteller templates test tests tools uninstall weights wishes".split()
)
RESERVED_PREFIX = "meson-"
# Replaces letters that Unicode doesn't take apart into one of ASCII's and a mark.
LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
     "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "ħ": "h", "Ħ": "H", "ŋ": "ng", "Ŋ": "Ng"}
)  # fmt: skip


def is_free(name: str) -> bool:
    """Tells whether the build does not use a name itself."""
    return name not in RESERVED and not name.startswith(RESERVED_PREFIX)


def check_name(name: str) -> str:
    """Returns the name that was asked for with -Dname= when it can be used; raises BakeError otherwise (usage)."""
    if not PATTERN.fullmatch(name) or len(name) > LONGEST:
        raise BakeError(
            f"name {shown(name)}: expected a letter, then letters, digits, '_' or '-', {LONGEST} at most; choose another -Dname=",
            USAGE,
        )
    if not is_free(name):
        raise BakeError(f"name {shown(name)}: the build uses this name itself; choose another -Dname=", USAGE)
    return name


def program_name(text: str) -> str:
    """Makes a name of any text: letters with marks lose them, what is no letter or digit becomes '_', or falls away."""
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS)).encode("ascii", "ignore").decode()
    name = re.sub(r"_*-_*", "-", re.sub(r"[^A-Za-z0-9-]+", "_", plain)).strip("_-")
    if not name[:1].isalpha():
        name = f"model_{name}".rstrip("_")
    name = name[:LONGEST].rstrip("_-")
    return name if is_free(name) else f"model_{name}"[:LONGEST].rstrip("_-")


def file_name(path: Path) -> str:
    """Makes the name of the program of a model's file."""
    return program_name(path.stem)


def folder_name(folder: Path) -> str:
    """Makes the name of the program of a model's folder; in Hugging Face's cache, where folders are named by a hash, that of the
    model: models--HuggingFaceTB--SmolLM2-135M/snapshots/<hash>."""
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return program_name(repository.split("--")[-1])
    return program_name(folder.name)
