"""Turns the best weights of a run into the files of `models/` and the figures of the model card."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from codegen.export import export
from codegen.model import Model
from codegen.tensor import FloatArray

from models.corpus import generate
from models.trainer import loop, report
from models.trainer.network import Config
from models.trainer.tokenizer import Tokenizer

GROUP_SIZE = 32


@dataclass(frozen=True)
class Trained:
    """A PyTorch state dict as the source of tensors that codegen.export writes."""

    path: Path
    model: Model
    state: Mapping[str, torch.Tensor]

    def tensor(self, name: str, layer: int = 0) -> FloatArray:
        """(rows, columns) float32 by llama2.c's name."""
        _, rows, columns = self.model.tensor_shapes()[name]
        if name == "token_embedding_table" or name == "rms_final_weight":
            key = name.removesuffix("_weight")
        else:
            key = f"layers.{layer}." + (name.removesuffix("_weight") if name.startswith("rms") else f"{name}.weight")
        values: FloatArray = self.state[key].numpy().reshape(rows, columns)
        return values


def model_of(config: Config, name: str) -> Model:
    """The header of a network."""
    return Model(name, config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads,
                 config.vocab_size, config.seq_len, config.head_size, shared_classifier=True)


def ship(trainer: loop.Trainer, documents: Sequence[generate.Document], tokenizer: Tokenizer, out: Path,
         name: str) -> str:
    """Write both checkpoints, tokenizer, topics and loss curve to `out`; Markdown for the model card.

    Raises ValueError when the run has no weights yet.
    """
    best = trainer.work / "best.pt"
    if not best.exists():
        raise ValueError(f"{best}: found no weights, need one held-out check ({loop.CHECK_EVERY} steps); train longer")
    state = torch.load(best)
    trainer.network.load_state_dict(state)
    trained = Trained(best, model_of(trainer.config, name), state)
    export(trained, out / f"{name}.bin", "v0")
    export(trained, out / f"{name}_q8.bin", "v2", GROUP_SIZE)
    tokenizer.write(out / f"{name}.tokenizer.bin")
    (out / f"{name}.topics.txt").write_text("\n".join(generate.topics()) + "\n", encoding="utf-8")
    log = trainer.log()
    (out / f"{name}.svg").write_text(report.loss_curve(log, f"{name}: loss while training"), encoding="utf-8")

    program = report.bake(out / f"{name}.bin", trainer.work / "bake")
    loss = loop.held_out_loss(trainer.network, trainer.held_out)
    held_out = [one for one in documents if generate.held_out(one)]
    training = [one.story for one in documents if not generate.held_out(one)]
    seen = [line for line in log if "loss" in line][-1]
    lines = ["| figure | value |", "| --- | --- |",
             f"| parameters | {sum(p.numel() for p in trainer.network.parameters()):,} |",
             f"| training stories | {len(trainer.train):,} ({sum(trainer.lengths):,} tokens) |",
             f"| training | {trainer.step:,} steps of {trainer.run.batch} stories, {trainer.tokens:,} tokens, "
             f"{trainer.seconds / 60:.0f} minutes |",
             f"| training loss at the end | {seen['loss']:.3f} nats a token |",
             f"| held-out loss | {loss:.3f} nats a token ({len(trainer.held_out):,} stories) |",
             f"| held-out perplexity | {math.exp(loss):.3f} a token |", ""]
    return "\n".join(lines) + "\n" + report.figures(program, training, [one.story for one in held_out])
