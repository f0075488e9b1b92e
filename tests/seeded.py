"""Writes seeded checkpoints with tokenizers: models that nobody trained, for tests, measurements and sizes.

    python3 tests/seeded.py FOLDER NAME...      for example: python3 tests/seeded.py /tmp/models stories15M_q8

Weights are normal with a standard deviation of 1/sqrt(row length), 0.02 for the embedding, norms 1; models that speak have
an embedding and a classifier of 0.3 that prefer text.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from codegen.export import export  # noqa: E402
from codegen.formats.families import FAMILIES, check_factors, embed_scale, llama3_factors, local_layers, without_rope  # noqa: E402
from codegen.model import EMBEDDINGS, VECTOR_TENSORS, Model, check_dims  # noqa: E402
from codegen.tensor import FloatArray  # noqa: E402
from codegen.tokenizer import BYTE_TOKENS, FIRST_BYTE, TokenizerData, to_bytes  # noqa: E402


@dataclass(frozen=True)
class Recipe:
    """dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len; the file's form, llama2.c's v0, v1, v2, or one of
    FOREIGN, with its encoding; the classifier; the constants that llama2.c's own files have no place for."""

    dims: tuple[int, int, int, int, int, int, int]
    form: str = "v0"
    group_size: int | None = None
    shared: bool = True
    encoding: str = "F32"
    head_size: int = 0  # 0: dim / n_heads
    rope_theta: float = Model.rope_theta
    norm_eps: float = Model.norm_eps
    collapsed: tuple[int, int] | None = None
    speaks: bool = False  # it prefers some pieces to others, and text to bytes
    family: str = "llama"
    window: int = 0  # of a family's own layers, or of those from `windows_from` on
    windows_from: int = 0
    score_size: float = 0.0
    chats: bool = False  # it has a chat template
    rope_scaling: tuple[float, float, float, int] | None = None  # Llama 3's: factor, low and high frequency factor, positions

    def model(self, name: str) -> Model:
        dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = self.dims
        family, head_size = FAMILIES[self.family], self.head_size or dim // n_heads
        factors = llama3_factors(self.rope_theta, head_size, *self.rope_scaling) if self.rope_scaling else ()
        model = Model(
            name, dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len,
            head_size=head_size, shared_classifier=self.shared, rope_theta=self.rope_theta,
            norm_eps=self.norm_eps, embed_scale=embed_scale(family, dim), **family.kind,
            no_rope=(no_rope := without_rope(family.rope_step, n_layers)), rope_factors=check_factors(factors, name),
            window=self.window, local=local_layers(family, n_layers, self.windows_from, no_rope) if self.window else (),
            local_theta=family.local_theta, score_size=self.score_size, att_cap=family.caps[0], logit_cap=family.caps[1],
        )  # fmt: skip
        return check_dims(model, name)


STORIES = {
    "stories15M": (288, 768, 6, 6, 6, 32000, 256),
    "stories42M": (512, 1376, 8, 8, 8, 32000, 1024),
    "stories110M": (768, 2048, 12, 12, 12, 32000, 1024),
    "wide1B": (2048, 5632, 2, 32, 4, 32000, 2048),  # TinyLlama's 1.1 billion, but for 20 of its 22 layers
}
STORIES260K = (64, 172, 5, 8, 4, 512, 512)
GQA = (64, 160, 2, 4, 2, 512, 128)
RECIPES = {
    **{name: Recipe(dims) for name, dims in STORIES.items()},
    **{f"{name}_q8": Recipe(dims, "v2", 32) for name, dims in STORIES.items()},
    # what Q8_0 stands for is what llama.cpp reads too
    **{f"{name}_gguf": Recipe(dims, "gguf", None, True, "Q8_0", dims[0] // dims[3]) for name, dims in STORIES.items()},
    # what people hold: Qwen3-0.6B's and Gemma 3 270M's shapes, with less of their context
    "qwen3_600M": Recipe((1024, 3072, 28, 16, 8, 151936, 2048), "gguf", None, True, "Q8_0", 128, 1000000.0, 1e-6, family="qwen3"),
    "gemma3_270M": Recipe((640, 2048, 18, 4, 1, 262144, 2048), "gguf", None, True, "Q8_0", 256, 1000000.0, 1e-6, family="gemma3_text",
                          window=512),
    "one_layer15M": Recipe((288, 768, 1, 6, 6, 8192, 64)),  # products of the same width, and more of them than a cache holds
    # the shape of stories260K: two queries a key, a classifier that is the embedding, groups of 4 at most
    "seeded260K": Recipe(STORIES260K, speaks=True),
    "seeded260K_q8": Recipe(STORIES260K, "v2", 4, speaks=True),
    # a classifier of its own, groups of 32
    "seeded_gqa_untied": Recipe(GQA, shared=False, speaks=True),
    "seeded_gqa_untied_v1": Recipe(GQA, "v1", shared=False, speaks=True),
    "seeded_gqa_untied_q8": Recipe(GQA, "v2", 32, shared=False, speaks=True),
    # nothing a multiple of anything: heads of 6, 3 queries a key, rows that are left over by every tile
    "odd": Recipe((36, 37, 2, 6, 2, 301, 21), "v0", shared=False),
    "odd_tall": Recipe((54, 58, 1, 9, 3, 301, 21), "v0", shared=False),  # has columns left over beside the tallest tiles
    "odd_pairs": Recipe((36, 42, 2, 6, 2, 301, 21), "v0", shared=False),  # which q4 takes: in groups of 6
    "odd_q8": Recipe((36, 39, 2, 6, 2, 301, 21), "v2", 3),
    "collapsed15M": Recipe(STORIES["stories15M"], collapsed=(11, 16)),
    "collapsed15M_q8": Recipe(STORIES["stories15M"], "v2", 32, collapsed=(11, 16)),
    # what of stories15M's shape decides what a draw takes, and what attention takes at late positions, and little else
    "vocabulary15M_q8": Recipe((64, 160, 1, 4, 2, 32000, 64), "v2", 32),
    "vocabulary15M_collapsed_q8": Recipe((64, 160, 1, 4, 2, 32000, 64), "v2", 32, collapsed=(2, 3)),
    "positions15M_q8": Recipe((288, 768, 1, 6, 6, 320, 256), "v2", 32),
    "collapsed": Recipe((64, 160, 2, 4, 2, 600, 64), collapsed=(2, 3)),
    "collapsed_q8": Recipe((64, 160, 2, 4, 2, 600, 64), "v2", 32, shared=False, collapsed=(2, 3)),
    "one": Recipe((2, 1, 1, 1, 1, 260, 1), "v1"),  # the smallest of all
    "one_q8": Recipe((2, 1, 1, 1, 1, 260, 50), "v2", 1, shared=False),
    # other programs' formats, and what only they can say: heads longer or shorter than dim / n_heads, another RoPE base,
    # another epsilon
    "seeded_hf": Recipe((48, 80, 2, 4, 2, 320, 40), "hf", None, False, "BF16", 24, 50000.0, 1e-6),
    "seeded_gguf": Recipe((64, 96, 2, 4, 2, 320, 40), "gguf", None, True, "Q8_0", 8, 1000000.0, 1e-6),
    # families beside llama2.c's, as llama.cpp and transformers write them
    "seeded_llama3": Recipe((64, 96, 2, 4, 2, 320, 96), "gguf", None, True, "F16", 16, 500000.0, rope_scaling=(8.0, 1.0, 4.0, 32)),
    "seeded_qwen2": Recipe((64, 96, 2, 4, 2, 320, 96), "gguf", None, True, "F32", 16, 1000000.0, 1e-6, family="qwen2"),
    "seeded_qwen2_hf": Recipe((48, 80, 2, 6, 3, 320, 40), "hf", None, False, "BF16", 8, 1000000.0, 1e-6, family="qwen2"),
    "seeded_qwen3": Recipe((64, 96, 2, 4, 1, 320, 96), "gguf", None, False, "Q8_0", 32, 1000000.0, 1e-6, family="qwen3"),
    "seeded_qwen3_odd": Recipe((36, 42, 2, 6, 2, 301, 21), "hf", None, True, "F32", 10, 1000000.0, 1e-6, family="qwen3"),
    "seeded_smollm3": Recipe((64, 96, 5, 4, 2, 320, 96), "gguf", None, True, "F32", 16, 5000000.0, 1e-6, family="smollm3"),
    "seeded_mistral": Recipe((64, 96, 3, 8, 2, 320, 96), "hf", None, False, "F32", 16, 1000000.0, window=21, family="mistral"),
    "seeded_window": Recipe(
        (48, 84, 3, 6, 2, 301, 61), "hf", None, True, "F32", 10, 1000000.0, 1e-6, family="qwen3", window=7, windows_from=1,
    ),
    "seeded_gemma": Recipe((64, 96, 2, 4, 1, 320, 96), "gguf", None, True, "F32", 32, norm_eps=1e-6, family="gemma"),
    "seeded_gemma2": Recipe((64, 96, 4, 4, 2, 320, 96), "gguf", None, True, "F32", 16, norm_eps=1e-6, family="gemma2", window=12),
    "seeded_gemma3": Recipe((64, 96, 7, 4, 1, 320, 96), "gguf", None, True, "F32", 32, 1000000.0, 1e-6, family="gemma3_text", window=12),
    "seeded_gemma3_odd": Recipe((36, 42, 2, 6, 2, 301, 61), "hf", None, True, "F32", 10, 1000000.0, 1e-6, family="gemma3_text", window=7,
                                score_size=24.0),
    "seeded_chat": Recipe((64, 172, 2, 8, 4, 512, 512), "hf", None, False, speaks=True, chats=True),
    "seeded_pt": Recipe((32, 64, 2, 4, 2, 320, 40), "pt", norm_eps=1e-6),
}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
# How likely a model that chats ends a sentence, a line, and its turn; 0.6 is every other piece's.
SENTENCES = {b".": 0.9, b"\n": 0.92, b"\n</s>\n": 0.82}
# What a recipe's file is called, where it is not llama2.c's .bin with a .tokenizer.bin beside it.
FOREIGN = {"hf": "{}", "gguf": "{}.gguf", "pt": "{}.pt"}


@dataclass(frozen=True)
class Seeded:
    """Tensors from a generator that is seeded by their name, so that they do not depend on each other."""

    model: Model
    # Of each so many rows, how many are of tokens that no training text has, and lie together, as in a trained classifier.
    collapsed: tuple[int, int] | None = None
    speaks: bool = False
    chats: bool = False
    path: Path = Path("seeded")

    def tensor(self, name: str, layer: int = 0) -> FloatArray:
        rows, columns = self.model.tensor_shapes()[name][1:]
        random = np.random.default_rng([*name.encode(), layer])
        if name in ("rms_att_weight", "rms_ffn_weight", "rms_final_weight") and not self.model.post_norms:
            return np.ones((1, columns), np.float32)
        if name in VECTOR_TENSORS:
            spread = np.float32(0.25) * random.standard_normal((1, columns), dtype=np.float32)
            moved: FloatArray = np.add(spread, np.float32(name.startswith("rms_")), dtype=np.float32)
            return moved
        deviation = 0.02 if name == "token_embedding_table" else columns**-0.5
        if self.collapsed and name in EMBEDDINGS:
            deviation = 4 * columns**-0.5  # logits that have a top
        values = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(deviation)
        if self.collapsed and name in EMBEDDINGS:
            together, of = self.collapsed
            untouched = np.arange(rows) % of >= of - together
            values[untouched] = np.float32(0.1) * values[0] + np.float32(0.002) * values[untouched]
        return self.towards_text(name, values / np.float32(deviation)) if self.speaks else values

    def towards_text(self, name: str, values: FloatArray) -> FloatArray:
        """The tensors of a model that speaks. Every embedding has something of one direction, which no layer changes; the
        rows of the classifier are for or against it: the beginning of a text (1) and the pieces behind the bytes are likely,
        all others are not."""
        rows, columns = values.shape
        direction = np.where(np.arange(self.model.dim) % 2, np.float32(1), np.float32(-1))
        if name in EMBEDDINGS:
            for_it = (np.arange(rows) >= FIRST_BYTE + 256) | (np.arange(rows) == 1)
            signs = np.where(for_it | (name not in ("wcls", self.tied)), np.float32(0.6), np.float32(-0.6))
            for_text: FloatArray = values * np.float32(0.3) + signs[:, None] * direction
            if self.chats and name in ("wcls", self.tied):
                for piece, liking in SENTENCES.items():
                    for_text[tokenizer(rows).pieces.index(piece)] = np.float32(liking) * direction
            return for_text
        if name in ("wo", "w2"):
            # A sum in order: a BLAS's product is another one on every machine.
            along = np.add.accumulate(direction[:, None] * values)[-1]
            values = np.subtract(values, np.outer(direction, along) / np.float32(rows))
        scaled: FloatArray = values * np.float32(columns**-0.5)
        return scaled

    @property
    def tied(self) -> str:
        """The tensor that is the classifier as well."""
        return "token_embedding_table" if self.model.shared_classifier else "wcls"


def tokenizer(vocab_size: int) -> TokenizerData:
    """<unk>, BOS, EOS, the bytes, and as many pieces as are left: a space, letters, and pairs of letters."""
    letters = " etaoinshrdlucmfwypvbgkjqxz.,!\n"
    pairs = [a + b for a in letters[:20] for b in letters[1:20]]
    words = [f"{a}{b}" for a in pairs for b in pairs]
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *BYTE_TOKENS]
    longer = (word + letter for letter in letters[1:20] for word in words)
    texts = dict.fromkeys([*letters, *pairs, *words])
    texts |= dict.fromkeys(itertools.islice(longer, max(0, vocab_size - len(pieces) - len(texts))))
    pieces += [piece.encode() for piece in texts]
    return TokenizerData(tuple(pieces[:vocab_size]), tuple(float(-i) for i in range(vocab_size)))


def file_name(name: str) -> str:
    """What `write` calls the model of a recipe."""
    return FOREIGN.get(RECIPES[name].form, "{}.bin").format(name)


def write(folder: Path, name: str) -> Path:
    """Writes the model of a recipe and its tokenizer into a folder; returns the model's path."""
    recipe = RECIPES[name]
    source = Seeded(recipe.model(name), recipe.collapsed, recipe.speaks, recipe.chats)
    pieces = tokenizer(recipe.dims[5])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(name)
    if recipe.form in ("hf", "gguf"):
        write_foreign(path, source, recipe, pieces)
        return path
    if recipe.form == "pt":
        write_foreign(path, source, recipe, pieces)
    else:
        export(source, path, recipe.form, recipe.group_size)
    (folder / f"{name}.tokenizer.bin").write_bytes(to_bytes(pieces))
    return path


def write_foreign(path: Path, source: Seeded, recipe: Recipe, pieces: TokenizerData) -> None:
    """Writes one of FOREIGN with the writers of the generator's tests, the tokenizer inside where the format has one."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "codegen"))
    model_files, vocabulary_files = (importlib.import_module(name) for name in ("model_files", "vocabulary_files"))

    model = source.model
    tensors = {key: source.tensor(*key) for key in model_files.keys(model)}
    vocabulary = vocabulary_files.pieces_of(to_bytes(pieces), model.vocab_size)
    gemma = FAMILIES[recipe.family].gemma
    if gemma:
        vocabulary = vocabulary_files.gemma_pieces(vocabulary[:-5])
    if recipe.form == "hf":
        model_files.hf_folder(path, model, tensors, recipe.encoding, **model_files.hf_family(recipe.family, recipe.rope_scaling),
                              **(model_files.hf_window(model) if recipe.window else {}))
        write_model = vocabulary_files.gemma_sentencepiece if gemma else vocabulary_files.sentencepiece_model
        (path / "tokenizer.model").write_bytes(write_model(vocabulary))
        if recipe.chats:
            beside = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": CHAT_TEMPLATE}
            (path / "tokenizer_config.json").write_text(json.dumps(beside))
    elif recipe.form == "gguf":
        keys = vocabulary_files.gemma_keys(vocabulary) if gemma else vocabulary_files.gguf_keys(vocabulary)
        path.write_bytes(model_files.gguf_of(model, tensors, recipe.family, keys, recipe.encoding))
    else:
        path.write_bytes(model_files.pt_zip(*model_files.pt_saved(model, tensors)))


def main(argv: list[str]) -> int:
    if len(argv) < 2 or not set(argv[1:]) <= set(RECIPES):
        print(f"usage: tests/seeded.py FOLDER NAME...; the names are {', '.join(RECIPES)}", file=sys.stderr)
        return 2
    for name in argv[1:]:
        print(write(Path(argv[0]), name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
