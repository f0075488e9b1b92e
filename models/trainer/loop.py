"""Trains in a loop: resumable by step, seeded, one micro-batch a thread."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.clip_grad import clip_grad_norm_

from models.trainer import data, kernels
from models.trainer.network import Config, Network, Plain, Steps, rope_tables
from models.trainer.tokenizer import Tokenizer

REPORT_EVERY = 20
SAVE_EVERY = 100
CHECK_EVERY = 500
# Counts the held-out stories that are looked at while training.
CHECK_STORIES = 128
STATE, PLATEAU, LOG = "state.pt", "plateau.pt", "log.jsonl"


class Diverged(Exception):
    """Says that the loss or a gradient is no number, and where."""


@dataclass(frozen=True)
class Material:
    """Holds what a network learns from: stories, their tokenizer, which weights it begins with, and what it copies in drills."""

    source: data.Source
    tokenizer: Tokenizer
    weights: dict[str, Tensor] | None = None
    start: str = "random"
    drills: data.Source | None = None


def steps_for(device: torch.device, config: Config, folder: Path, plain: bool = False) -> Steps:
    """Chooses the fastest steps between matrix products that a device has; `folder` takes the compiled ones."""
    cos, sin = (table.to(device) for table in rope_tables(config))
    if device.type != "cpu":
        return Plain(cos, sin, torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32)
    if plain or not kernels.available() or config.head_size % 16 or config.dim % 16 or config.hidden_dim % 16:
        return Plain(cos, sin)
    return kernels.Fused(folder, cos, sin)


def keep_memory() -> None:
    """Has glibc keep the memory of a step for the next one, which saves a twentieth of the time."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(parameter, 1 << 30)


def loss_of(network: Network, steps: Steps, examples: Sequence[data.Example], binding: float = 1.0) -> tuple[Tensor, float]:
    """Sums the cross entropy of documents, in nats, and counts the tokens it is over, both weighted as data.pad says."""
    device = network.token_embedding_table.device
    inputs, targets, weights = (torch.from_numpy(array).to(device) for array in data.pad(examples, binding))
    logits = network(inputs, steps).flatten(0, 1)
    return steps.cross_entropy(logits, targets.flatten(), weights.flatten()), float(weights.sum())


def mean_loss(network: Network, steps: Steps, examples: Sequence[data.Example], batch: int = 16) -> float:
    """Computes the mean cross entropy a token, in nats."""
    total, count = 0.0, 0.0
    ordered = sorted(examples, key=lambda one: len(one.tokens))
    with torch.no_grad():
        for start in range(0, len(ordered), batch):
            loss, tokens = loss_of(network, steps, ordered[start : start + batch])
            total, count = total + float(loss), count + tokens
    return total / count


class Trainer:
    """Keeps a run in a folder: `state.pt` (to resume), `plateau.pt` (before the rate fell), `log.jsonl`."""

    def __init__(self, run: data.Run, config: Config, material: Material, work: Path, device: str = "cpu",
                 threads: int = 1, plain: bool = False) -> None:  # fmt: skip
        """Begins a run, or goes on with the one in `work`.  Raises ValueError when that is another one."""
        keep_memory()
        torch.manual_seed(run.seed)
        self.run, self.config, self.material, self.work = run, config, material, work
        self.device = torch.device(device)
        self.steps = steps_for(self.device, config, work, plain)
        crc = data.fingerprint(material.source, material.tokenizer, run.seed)
        self.identity = data.identity(run, asdict(config), crc, material.start)
        self.own = data.Own(material.source, run.seed)
        marked = data.starts(material.tokenizer, self.own) if material.weights is None else ()
        self.network = Network(config, marked).to(self.device)
        if material.weights is not None:
            self.network.load_state_dict(material.weights)
        # Give each thread its own gradients over the same weights.
        self.copies = [self.network] + [Network(config).to(self.device) for _ in range(threads - 1)]
        for copy in self.copies[1:]:
            for mine, shared in zip(copy.parameters(), self.network.parameters()):
                mine.data = shared.data
        vectors = [p for p in self.network.parameters() if p.dim() == 1]
        groups = [{"params": list(self.network.matrices()), "weight_decay": run.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=run.peak, betas=(0.9, 0.99), foreach=True)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.held_out = data.held_out(material.source, material.tokenizer, run, CHECK_STORIES, config.seq_len)
        if (work / STATE).exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.work / STATE, map_location=self.device)
        data.check_resume(state["identity"], self.identity)
        before = replace(self.run, steps=state["identity"]["steps"], decay=state["identity"]["decay"])
        rates = [data.learning_rate(max(state["step"] - 1, 0), run) for run in (before, self.run)]
        if rates[0] != rates[1] and (self.work / PLATEAU).exists():
            print(f"the end has moved: going back to {PLATEAU}, before the rate fell", file=sys.stderr)
            state = torch.load(self.work / PLATEAU, map_location=self.device)
            data.check_resume(state["identity"], self.identity)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens, self.seconds = (state[key] for key in ("step", "tokens", "seconds"))
        # Drop lines written after the last save: they belong to steps that will be run again.
        log = [line for line in self.log() if line["step"] <= self.step]
        (self.work / LOG).write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")

    def log(self) -> list[dict[str, float]]:
        """Reads the lines of the log so far."""
        path = self.work / LOG
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def save(self) -> None:
        """Writes the state, whole or not at all; OSError when there is no room."""
        state = {"identity": self.identity, "network": self.network.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "tokens": self.tokens,
                 "seconds": self.seconds}  # fmt: skip
        temporary = self.work / f"{STATE}.new"
        # Write to memory first: PyTorch's own writer ends the process where a disk is full.
        held = io.BytesIO()
        torch.save(state, held)
        try:
            with temporary.open("wb") as file:
                file.write(held.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.work / STATE)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def one_step(self, pool: ThreadPoolExecutor, examples: Sequence[data.Example]) -> float:
        """Goes forward and backward over one batch, and updates; returns the mean loss a token.  Raises Diverged."""
        count = len(self.copies)
        binding = data.binding(self.step, self.run)

        def work(index: int) -> tuple[float, float]:
            part = examples[index::count]
            if not part:
                return 0.0, 0.0
            loss, tokens = loss_of(self.copies[index], self.steps, part, binding)
            torch.autograd.backward(loss)
            return float(loss.detach()), tokens

        results = list(pool.map(work, range(count))) if count > 1 else [work(0)]
        tokens = sum(result[1] for result in results)
        loss = sum(result[0] for result in results) / tokens
        for group in zip(*(copy.parameters() for copy in self.copies)):
            for other in group[1:]:
                if other.grad is not None:
                    group[0].grad += other.grad
                    other.grad = None
            group[0].grad /= tokens
        norm = float(clip_grad_norm_(self.network.parameters(), 1.0))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"step {self.step + 1}: found a loss of {loss} and a gradient of {norm}, expected numbers")
        for settings in self.optimizer.param_groups:
            settings["lr"] = data.learning_rate(self.step, self.run)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.tokens += sum(len(one.tokens) - 1 for one in examples)
        return loss

    def fit(self, show: Callable[[str], None], stopped: Callable[[], bool] = lambda: False) -> bool:
        """Trains to the last step, or until `stopped`, saving as it goes; tells whether it came to the last step.

        `show` gets a line of progress.  Raises Diverged, and OSError when a save finds no room: either way the state of
        the last save stays.
        """
        recent: list[float] = []
        begun, begun_step = time.monotonic(), self.step
        source = data.batches(self.material.source, self.material.tokenizer, self.run, self.config.seq_len, self.step,
                              self.own, self.material.drills)  # fmt: skip
        threads = ThreadPoolExecutor(len(self.copies))
        with threads as pool, (self.work / LOG).open("a", encoding="utf-8") as log:
            while self.step < self.run.steps:
                if self.step == self.run.steps - self.run.decay:
                    self.save()
                    shutil.copyfile(self.work / STATE, self.work / f"{PLATEAU}.new")
                    os.replace(self.work / f"{PLATEAU}.new", self.work / PLATEAU)
                started = time.monotonic()
                recent.append(self.one_step(pool, next(source)))
                self.step += 1
                self.seconds += time.monotonic() - started
                stop, last = stopped(), self.step == self.run.steps
                line: dict[str, float] = {}
                if self.step % REPORT_EVERY == 0 or last:
                    line = {"step": self.step, "loss": sum(recent) / len(recent), "tokens": self.tokens,
                            "seconds": round(self.seconds, 1), "lr": data.learning_rate(self.step - 1, self.run)}  # fmt: skip
                    recent = []
                if self.step % CHECK_EVERY == 0 or last:
                    line |= {"step": self.step, "tokens": self.tokens,
                             "held_out": mean_loss(self.network, self.steps, self.held_out)}  # fmt: skip
                if line:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    each = (time.monotonic() - begun) / (self.step - begun_step)
                    show(progress(line, self.run.steps, self.tokens / max(self.seconds, 1e-9), each))
                if self.step % SAVE_EVERY == 0 or last or stop:
                    self.save()
                if stop:
                    return last
        return True


def progress(line: dict[str, float], steps: int, tokens_a_second: float, each: float) -> str:
    """Writes a line for whoever waits."""
    left = int((steps - line["step"]) * each)
    parts = [f"step {line['step']} of {steps}", f"{line['tokens'] / 1e6:.2f} M tokens"]
    parts += [f"{name} {line[key]:.3f}" for key, name in (("loss", "loss"), ("held_out", "held out")) if key in line]
    parts += [f"{tokens_a_second:.0f} tokens/s", f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"]
    return ", ".join(parts)


def sweep(run: data.Run, config: Config, material: Material, peaks: Sequence[float], tokens: int, work: Path,
          device: str = "cpu", threads: int = 1) -> list[tuple[float, float]]:  # fmt: skip
    """Trains anew with each peak rate, on the same stories, for about `tokens`; (peak, held-out loss) of each."""
    found = []
    for peak in peaks:
        trial = Trainer(replace(run, peak=peak), config, material, work / f"sweep-{peak:g}", device, threads)
        with ThreadPoolExecutor(threads) as pool:
            per_step = run.batch * sum(len(one.tokens) for one in trial.held_out) / len(trial.held_out)
            steps = max(1, round(tokens / per_step))
            trial.run = replace(trial.run, steps=steps, decay=steps // 4, warmup=min(run.warmup, steps // 5))
            source = data.batches(material.source, material.tokenizer, trial.run, config.seq_len, 0, trial.own, material.drills)
            try:
                for trial.step in range(steps):
                    trial.one_step(pool, next(source))
                found.append((peak, mean_loss(trial.network, trial.steps, trial.held_out)))
            except Diverged:
                found.append((peak, math.inf))
        print(f"peak {peak:g}: held-out loss {found[-1][1]:.4f}", file=sys.stderr)
    return found
