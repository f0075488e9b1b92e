"""Turns the best weights of a run into the files of `models/` and the figures of the model card."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from models.corpus import generate
from models.trainer import export, loop, report
from models.trainer.tokenizer import Tokenizer


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
    config = trainer.config
    weights = export.weights_of({key: value.numpy() for key, value in state.items()}, config.n_layers)
    export.write_v0(out / f"{name}.bin", weights, config.n_heads, config.seq_len)
    export.write_v2(out / f"{name}_q8.bin", weights, config.n_heads, config.seq_len)
    tokenizer.write(out / f"{name}.tokenizer.bin")
    (out / f"{name}.topics.txt").write_text("\n".join(generate.topics()) + "\n", encoding="utf-8")
    log = trainer.log()
    (out / f"{name}.svg").write_text(report.loss_curve(log, f"{name}: loss while training"), encoding="utf-8")

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
    return "\n".join(lines) + "\n" + report.figures(out, name, training, [one.story for one in held_out], tokenizer)
