"""The training loop: resumable, seeded, two micro-batches at a time in two threads."""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch
from torch.nn import functional
from torch.nn.utils.clip_grad import clip_grad_norm_

from models.trainer import data
from models.trainer.network import Config, Network

# Documents a forward pass: small enough for its attention to stay in the second-level cache.
MICRO_BATCH = 4
SAVE_EVERY = 200
CHECK_EVERY = 500
# Held-out stories looked at while training; all of them count in the end.
CHECK_STORIES = 256


def loss_of(network: Network, examples: Sequence[data.Example]) -> tuple[torch.Tensor, int]:
    """Summed cross entropy of documents and the number of tokens it is over."""
    inputs, targets = (torch.from_numpy(array) for array in data.pad(examples))
    logits = network(inputs)
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=data.IGNORE, reduction="sum")
    return loss, int((targets != data.IGNORE).sum())


def held_out_loss(network: Network, examples: Sequence[data.Example]) -> float:
    """Mean cross entropy a token, in nats."""
    total, count = 0.0, 0
    ordered = sorted(examples, key=lambda one: len(one.tokens))
    with torch.no_grad():
        for start in range(0, len(ordered), MICRO_BATCH):
            loss, tokens = loss_of(network, ordered[start:start + MICRO_BATCH])
            total += float(loss)
            count += tokens
    return total / count


class Trainer:
    """A run in a folder: `state.pt` (to resume), `best.pt` (weights with the lowest held-out loss), `log.jsonl`."""

    def __init__(self, run: data.Run, config: Config, train: Sequence[data.Example],
                 held_out: Sequence[data.Example], names: Sequence[int], work: Path, threads: int = 2) -> None:
        torch.manual_seed(run.seed)
        self.run, self.config, self.train, self.held_out, self.work = run, config, train, held_out, work
        self.lengths = [len(one.tokens) for one in train]
        self.identity = data.identity(run, asdict(config), data.fingerprint(train))
        self.network = Network(config, names)
        # Each thread has its own gradients over the same weights.
        self.copies = [self.network] + [Network(config) for _ in range(threads - 1)]
        for copy in self.copies[1:]:
            for mine, shared in zip(copy.parameters(), self.network.parameters()):
                mine.data = shared.data
        matrices = [p for p in self.network.parameters() if p.dim() == 2]
        vectors = [p for p in self.network.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                                            {"params": vectors, "weight_decay": 0.0}],
                                           lr=run.peak, betas=(0.9, 0.99))
        self.step, self.tokens, self.seconds, self.best = 0, 0, 0.0, float("inf")
        if (work / "state.pt").exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.work / "state.pt")
        data.check_resume(state["identity"], self.identity)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens, self.seconds, self.best = (state[k] for k in ("step", "tokens", "seconds", "best"))
        # Lines written after the last save belong to steps that will be run again.
        log = [line for line in self.log() if line["step"] <= self.step]
        (self.work / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))

    def log(self) -> list[dict[str, float]]:
        """The lines of the log so far."""
        path = self.work / "log.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _save(self) -> None:
        state = {"identity": self.identity, "network": self.network.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "tokens": self.tokens,
                 "seconds": self.seconds, "best": self.best}
        self._write(state, "state.pt")

    def _write(self, value: object, name: str) -> None:
        temporary = self.work / f"{name}.new"
        torch.save(value, temporary)
        os.replace(temporary, self.work / name)

    def _one_step(self, pool: ThreadPoolExecutor, examples: Sequence[data.Example]) -> float:
        """Forward, backward and update over one batch; the mean loss a token."""
        parts = [examples[i:i + MICRO_BATCH] for i in range(0, len(examples), MICRO_BATCH)]
        count = len(self.copies)

        def work(index: int) -> tuple[float, int]:
            loss_sum, token_sum = 0.0, 0
            for part in parts[index::count]:
                loss, tokens = loss_of(self.copies[index], part)
                torch.autograd.backward(loss)
                loss_sum, token_sum = loss_sum + float(loss.detach()), token_sum + tokens
            return loss_sum, token_sum

        results = list(pool.map(work, range(count)))
        tokens = sum(result[1] for result in results)
        for group in zip(*(copy.parameters() for copy in self.copies)):
            for other in group[1:]:
                if other.grad is not None:
                    group[0].grad += other.grad
                    other.grad = None
            group[0].grad /= tokens
        if self.step < self.run.hold:
            for parameter in self.network.prepared():
                parameter.grad = None
        clip_grad_norm_(self.network.parameters(), 1.0)
        for settings in self.optimizer.param_groups:
            settings["lr"] = data.learning_rate(self.step, self.run)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.tokens += sum(len(one.tokens) - 1 for one in examples)
        return sum(result[0] for result in results) / tokens

    def fit(self) -> None:
        """Train to the last step, saving as it goes."""
        epoch, order = -1, []
        per_epoch = len(data.batches(self.lengths, self.run.batch, self.run.seed, 0))
        recent: list[float] = []
        with ThreadPoolExecutor(len(self.copies)) as pool, (self.work / "log.jsonl").open("a") as log:
            while self.step < self.run.steps:
                if self.step // per_epoch != epoch:
                    epoch = self.step // per_epoch
                    order = data.batches(self.lengths, self.run.batch, self.run.seed, epoch)
                started = time.monotonic()
                recent.append(self._one_step(pool, [self.train[i] for i in order[self.step % per_epoch]]))
                self.step += 1
                self.seconds += time.monotonic() - started
                line: dict[str, float] = {}
                if self.step % 25 == 0:
                    line = {"step": self.step, "loss": sum(recent) / len(recent), "tokens": self.tokens,
                            "seconds": round(self.seconds, 1), "lr": data.learning_rate(self.step - 1, self.run)}
                    recent = []
                if self.step % CHECK_EVERY == 0 or self.step == self.run.steps:
                    line |= {"step": self.step, "held_out": held_out_loss(self.network, self.held_out[:CHECK_STORIES])}
                    if line["held_out"] < self.best:
                        self.best = line["held_out"]
                        self._write(self.network.state_dict(), "best.pt")
                if line:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                if self.step % SAVE_EVERY == 0 or self.step == self.run.steps:
                    self._save()
