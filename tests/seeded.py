"""Writes seeded checkpoints with tokenizers: models that nobody trained, for tests, measurements and sizes.

    python3 tests/seeded.py FOLDER NAME...      for example: python3 tests/seeded.py /tmp/models stories15M_q8

Weights are normal with a standard deviation of 1/sqrt(row length), 0.02 for the embedding, norms 1.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from codegen.checkpoint import FloatArray  # noqa: E402
from codegen.export import export  # noqa: E402
from codegen.model import Model, check_dims  # noqa: E402
from codegen.tokenizer import BYTE_TOKENS, TokenizerData, to_bytes  # noqa: E402


@dataclass(frozen=True)
class Recipe:
    """dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len; the classifier; the file's version."""

    dims: tuple[int, int, int, int, int, int, int]
    form: str = "v0"
    group_size: int | None = None
    shared: bool = True


STORIES = {
    "stories15M": (288, 768, 6, 6, 6, 32000, 256),
    "stories42M": (512, 1376, 8, 8, 8, 32000, 1024),
    "stories110M": (768, 2048, 12, 12, 12, 32000, 1024),
    "stories260K_shape": (64, 172, 5, 8, 4, 512, 512),
    "wide1B": (2048, 5632, 2, 32, 4, 32000, 2048),  # TinyLlama's 1.1 billion, but for 20 of its 22 layers
}
RECIPES = {
    **{name: Recipe(dims) for name, dims in STORIES.items()},
    **{f"{name}_q8": Recipe(dims, "v2", 32) for name, dims in STORIES.items()},
    # nothing a multiple of anything: heads of 6, 3 queries a key, rows that are left over by every tile
    "odd": Recipe((36, 37, 2, 6, 2, 301, 21), "v0", shared=False),
    "odd_pairs": Recipe((36, 42, 2, 6, 2, 301, 21), "v0", shared=False),  # which q4 takes: in groups of 6
    "odd_q8": Recipe((36, 39, 2, 6, 2, 301, 21), "v2", 3),
    "one": Recipe((2, 1, 1, 1, 1, 260, 1), "v1"),  # the smallest of all
    "one_q8": Recipe((2, 1, 1, 1, 1, 260, 50), "v2", 1, shared=False),
}


@dataclass(frozen=True)
class Seeded:
    """Tensors from a generator that is seeded by their name, so that they do not depend on each other."""

    model: Model
    path: Path = Path("seeded")

    def tensor(self, name: str, layer: int = 0) -> FloatArray:
        rows, columns = self.model.tensor_shapes()[name][1:]
        if name.startswith("rms_"):
            return np.ones((1, columns), np.float32)
        deviation = 0.02 if name == "token_embedding_table" else columns**-0.5
        random = np.random.default_rng([*name.encode(), layer])
        return random.standard_normal((rows, columns), dtype=np.float32) * np.float32(deviation)


def tokenizer(vocab_size: int) -> TokenizerData:
    """<unk>, BOS, EOS, the bytes, and as many pieces as are left: a space, letters, and pairs of letters."""
    letters = " etaoinshrdlucmfwypvbgkjqxz.,!\n"
    pairs = [a + b for a in letters[:20] for b in letters[1:20]]
    words = [f"{a}{b}" for a in pairs for b in pairs]
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *BYTE_TOKENS]
    pieces += [piece.encode() for piece in dict.fromkeys([*letters, *pairs, *words])]
    return TokenizerData(tuple(pieces[:vocab_size]), tuple(float(-i) for i in range(vocab_size)))


def write(folder: Path, name: str) -> Path:
    """Writes <name>.bin and <name>.tokenizer.bin into a folder; returns the checkpoint's path."""
    recipe = RECIPES[name]
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = recipe.dims
    model = Model(
        name, dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len,
        head_size=dim // n_heads, shared_classifier=recipe.shared,
    )  # fmt: skip
    path = folder / f"{name}.bin"
    folder.mkdir(parents=True, exist_ok=True)
    export(Seeded(check_dims(dataclasses.replace(model), name)), path, recipe.form, recipe.group_size)
    (folder / f"{name}.tokenizer.bin").write_bytes(to_bytes(tokenizer(vocab_size)))
    return path


def main(argv: list[str]) -> int:
    if len(argv) < 2 or not set(argv[1:]) <= set(RECIPES):
        print(f"usage: tests/seeded.py FOLDER NAME...; the names are {', '.join(RECIPES)}", file=sys.stderr)
        return 2
    for name in argv[1:]:
        print(write(Path(argv[0]), name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
