"""Turns the weights of a run into the files of `models/`, and files back into weights to go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from codegen.export import export
from codegen.formats import open_model
from codegen.formats.torch_pt import NAMES
from codegen.model import Model
from codegen.source import TensorSource
from codegen.tensor import FloatArray, Quantized
from codegen.weights import convert
from models.trainer import report
from models.trainer.network import Config
from models.trainer.tokenizer import Tokenizer

GROUP_SIZE = 32


def slices(config: Config) -> dict[str, tuple[str, slice]]:
    """Says where the network keeps llama2.c's tensors: its own name, and the rows."""
    dim, kv_dim, hidden_dim = config.dim, config.kv_dim, config.hidden_dim
    everything = slice(None)
    return {
        "token_embedding_table": ("token_embedding_table", everything),
        "rms_att_weight": ("rms_att", everything),
        "wq": ("wqkv", slice(0, dim)),
        "wk": ("wqkv", slice(dim, dim + kv_dim)),
        "wv": ("wqkv", slice(dim + kv_dim, dim + 2 * kv_dim)),
        "wo": ("wo", everything),
        "rms_ffn_weight": ("rms_ffn", everything),
        "w1": ("w13", slice(0, hidden_dim)),
        "w2": ("w2", everything),
        "w3": ("w13", slice(hidden_dim, 2 * hidden_dim)),
        "rms_final_weight": ("rms_final", everything),
    }


@dataclass(frozen=True)
class Trained:
    """Gives a PyTorch state dict as the source of tensors that codegen.export writes."""

    path: Path
    model: Model
    config: Config
    state: Mapping[str, torch.Tensor]

    def tensor(self, name: str, layer: int = 0) -> FloatArray:
        """Returns (rows, columns) float32 by llama2.c's name."""
        layers, rows, columns = self.model.tensor_shapes()[name]
        key, part = slices(self.config)[name]
        values: FloatArray = self.state[f"layers.{layer}.{key}" if layers else key][part].numpy().reshape(rows, columns)
        return values


def model_of(config: Config, name: str) -> Model:
    """Makes the header of a network."""
    return Model(name, config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads,
                 config.vocab_size, config.seq_len, config.head_size, shared_classifier=True)  # fmt: skip


def weights_of(path: Path) -> tuple[Config, dict[str, torch.Tensor]]:
    """Reads the dimensions and state dict of a model file of any format.

    Raises BakeError when it can't be read, ValueError when its architecture is not the network's.
    """
    source: TensorSource = open_model(path)
    model = source.model
    config = Config(model.dim, model.hidden_dim, model.n_layers, model.n_heads, model.n_kv_heads, model.vocab_size,
                    model.seq_len)  # fmt: skip
    wanted = model_of(config, model.name)
    source = convert(source, "f32")
    if source.model != wanted:
        raise ValueError(f"{path.name}: found {source.model}, expected {wanted}: only llama2.c's plain architecture with a "
                         "shared classifier can be trained on")  # fmt: skip
    state: dict[str, list[FloatArray]] = {}
    for name, (key, _) in slices(config).items():
        layers = model.tensor_shapes()[name][0]
        for layer in range(max(layers, 1)):
            tensor = source.tensor(name, layer)
            if isinstance(tensor, Quantized):
                raise TypeError(f"{path.name}: {name} is not float32 after conversion")
            state.setdefault(f"layers.{layer}.{key}" if layers else key, []).append(tensor)
    # Flatten vectors, which are matrices of one row in a file.
    joined = {key: np.concatenate(parts) for key, parts in state.items()}
    return config, {key: torch.from_numpy(np.array(values[0] if "rms" in key else values, np.float32))
                    for key, values in joined.items()}  # fmt: skip


def between(state: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor], keep: float) -> dict[str, torch.Tensor]:
    """Returns the weights between those of a run and those that it began with, `keep` the share of these.

    A short run learns what it is for and loses some of what the long one before it knew; between the two lie networks that
    know both.  The last norm is the run's: that of a shipped file is sharper.
    """
    return {key: value if key == "rms_final" else torch.lerp(value.cpu(), before[key], keep) for key, value in state.items()}


def ship(state: Mapping[str, torch.Tensor], config: Config, tokenizer: Tokenizer, log: Sequence[dict[str, float]],
         topics: Sequence[str], words: Sequence[str], out: Path, name: str, sharpness: float) -> None:  # fmt: skip
    """Writes the float16 master, the int8 checkpoint made of it, tokenizer, topics, words and loss curve to `out`.

    The weights of the last norm are multiplied by `sharpness`, and so are all logits: at a temperature of 1, which is
    llama2.c's default, the files tell as the network does at 1 / sharpness.  The master is a checkpoint as llama2.c's
    train.py saves them, half as large: a run goes on from it as it is, and float16 keeps three more bits of a weight than
    training, which multiplies in bfloat16, has used.
    """
    sharp = {**state, "rms_final": state["rms_final"] * sharpness}
    half = {key: value.detach().cpu().half() for key, value in sharp.items()}
    trained = Trained(out / "state", model_of(config, name), config, {key: value.float() for key, value in half.items()})
    torch.save({"model": _llama2c(half, config), "model_args": _arguments(config)}, out / f"{name}.pt")
    export(trained, out / f"{name}_q8.bin", "v2", GROUP_SIZE)
    tokenizer.write(out / f"{name}.tokenizer.bin")
    for what, lines in (("topics", topics), ("words", words)):
        (out / f"{name}.{what}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (out / f"{name}.svg").write_text(report.loss_curve(log, f"{name}: loss while training"), encoding="utf-8")


def _llama2c(state: Mapping[str, torch.Tensor], config: Config) -> dict[str, torch.Tensor]:
    """Returns the tensors under the names of llama2.c's model.py, each in a storage of its own."""
    found = {}
    for name, (key, part) in slices(config).items():
        layers = [""] if key in state else [f"layers.{layer}." for layer in range(config.n_layers)]
        for layer, prefix in enumerate(layers):
            found[NAMES[name].format(layer)] = state[f"{prefix}{key}"][part].clone()
    return found


def _arguments(config: Config) -> dict[str, float]:
    """Makes llama2.c's ModelArgs."""
    return {"dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads, "n_kv_heads": config.n_kv_heads,
            "vocab_size": config.vocab_size, "hidden_dim": config.hidden_dim, "multiple_of": 32, "norm_eps": 1e-5,
            "max_seq_len": config.seq_len, "dropout": 0.0}  # fmt: skip
