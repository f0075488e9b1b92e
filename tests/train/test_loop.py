"""The trainer with PyTorch: what its fused steps compute, how it stops and goes on, and what it refuses."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from models import engine
from models.trainer.__main__ import SHARPNESS
from models.trainer import data, tokenizer

ROOT = Path(__file__).resolve().parents[2]

try:
    import torch
    from models.trainer import kernels, loop, ship
    from models.trainer.network import Config, Network, Plain, rope_tables
except ModuleNotFoundError:
    pytestmark = pytest.mark.skip("no python3-torch here; run: tools/setup train")
else:
    torch.set_num_threads(1)
    SMALL = Config(dim=64, hidden_dim=96, n_layers=2, n_heads=2, n_kv_heads=1, vocab_size=800, seq_len=640)
SIZES = "--dim 64 --hidden 96 --layers 2 --heads 2 --kv-heads 1 --context 640 --vocabulary 800 --batch 2 --warmup 5".split()


@pytest.fixture(scope="module")
def pieces(documents: list[engine.Document], tmp_path_factory: pytest.TempPathFactory) -> tokenizer.Tokenizer:
    return tokenizer.train((one.text for one in documents), 800)


@pytest.fixture
def work(pieces: tokenizer.Tokenizer, tmp_path: Path) -> Path:
    """A folder for a run, which has learned its pieces."""
    folder = tmp_path / "work"
    folder.mkdir()
    pieces.write(folder / "tokenizer.bin")
    return folder


def train(work: Path, *more: object, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [ROOT / "tools" / "train", "--work", work, "--out", work, *SIZES, *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, **settings)  # type: ignore[call-overload,no-any-return]


def gradients(network: Network, steps: object) -> tuple[float, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(0, 800, (3, 78), generator=generator)
    weights = (torch.rand(3 * 77, generator=generator) > 0.2).float()
    logits = network(tokens[:, :-1], steps).flatten(0, 1)
    loss = steps.cross_entropy(logits, tokens[:, 1:].flatten().contiguous(), weights)  # type: ignore[attr-defined]
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    network.zero_grad(set_to_none=True)
    return float(loss), found


@pytest.mark.parametrize("heads", [1, 2, 3, 4], ids=lambda heads: f"{heads}-heads-a-key")
def test_fused_steps_are_the_plain_ones(heads: int, tmp_path: Path) -> None:
    """Loss and every gradient, within what bfloat16 rounds; plain steps in bfloat16 lie as far from float32."""
    if not kernels.available():
        pytest.skip("the machine is older than AVX-512 BF16, and needs no extension")
    torch.manual_seed(1)
    config = Config(dim=32 * heads, hidden_dim=96, n_layers=2, n_heads=heads, n_kv_heads=1, vocab_size=800, seq_len=128)
    network = Network(config)
    cos, sin = rope_tables(config)
    loss, exact = gradients(network, Plain(cos, sin))
    fused_loss, fused = gradients(network, kernels.Fused(tmp_path, cos, sin))
    _, rounded = gradients(network, Plain(cos, sin, torch.bfloat16))
    assert fused_loss == pytest.approx(loss, rel=2e-3)
    for name, wanted in exact.items():
        off, usual = (float((one[name] - wanted).norm() / wanted.norm()) for one in (fused, rounded))
        assert off < 2 * usual + 0.01, name


def test_a_network_copies_from_the_start() -> None:
    """What came twice is expected a third time, before anything was learned."""
    torch.manual_seed(1)
    config = Config()
    network, steps = Network(config), Plain(*rope_tables(config))
    once = torch.randint(259, config.vocab_size, (2, 40))
    twice = torch.cat([once, once], dim=1)
    with torch.no_grad():
        logits = network(twice[:, :-1], steps)[:, 40:]
    right = logits.argmax(-1) == twice[:, 41:]
    assert float(right.float().mean()) > 0.4


def test_interrupted_and_resumed_is_the_same_run(work: Path, tmp_path: Path, pieces: tokenizer.Tokenizer) -> None:
    material = loop.Material(engine.document, pieces)
    run = data.Run(batch=2, steps=8, decay=2, warmup=3)
    folders = [tmp_path / name for name in ("whole", "parts")]
    for folder in folders:
        folder.mkdir()
    whole = loop.Trainer(run, SMALL, material, folders[0])
    assert whole.fit(lambda line: None)
    first = loop.Trainer(run, SMALL, material, folders[1])
    assert not first.fit(lambda line: None, lambda: first.step == 3)
    second = loop.Trainer(run, SMALL, material, folders[1])
    assert second.step == 3 and second.fit(lambda line: None)
    assert second.tokens == whole.tokens
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    assert (folders[0] / loop.PLATEAU).exists()
    # With a later end it goes back to before the rate fell.
    longer = loop.Trainer(data.Run(batch=2, steps=20, decay=2, warmup=3), SMALL, material, folders[0])
    assert longer.step == 6


def test_command_trains_saves_and_goes_on(work: Path, tmp_path: Path) -> None:
    done = train(work, "--steps", 4, "--decay", 2)
    assert done.returncode == 0, done.stderr
    assert "4 steps" in done.stdout and "left" in done.stderr
    assert json.loads((work / loop.LOG).read_text().splitlines()[-1])["step"] == 4
    for name in (".pt", "_q8.bin", ".tokenizer.bin", ".topics.txt", ".svg"):
        assert (work / f"tinytales{name}").stat().st_size
    assert (work / "tinytales.words.txt").is_file()
    # Another shape is refused, and so is another seed; from the shipped file a new run begins.
    for other in (("--layers", 3), ("--seed", 2)):
        refused = train(work, "--steps", 4, *other)
        assert (refused.returncode, refused.stderr.count("\n")) == (65, 1), refused.stderr
        assert "the interrupted run has" in refused.stderr
    # The files are sharper than the network: the last norm has their logits multiplied.
    state = torch.load(work / loop.STATE)["network"]
    state["rms_final"] *= SHARPNESS
    for shipped, close in (("tinytales.pt", 1e-3), ("tinytales_q8.bin", 0.02)):
        config, weights = ship.weights_of(work / shipped)
        assert config == SMALL and weights.keys() == state.keys()
        for name, value in weights.items():
            assert torch.allclose(value, state[name], rtol=close, atol=close), name
    shutil.copy(work / "tinytales.pt", tmp_path / "begin.pt")
    shutil.copy(work / "tinytales.tokenizer.bin", tmp_path / "begin.tokenizer.bin")
    again = train(tmp_path / "again", "--from", tmp_path / "begin.pt", "--steps", 2, "--out", tmp_path / "new" / "files", "--keep", 0.25)
    assert again.returncode == 0, again.stderr
    # Its files lie between what it began with and what it came to, but for the last norm.
    began, kept = (ship.weights_of(tmp_path / name)[1] for name in ("begin.pt", "new/files/tinytales.pt"))
    for name, value in torch.load(tmp_path / "again" / loop.STATE)["network"].items():
        wanted = value * SHARPNESS if name == "rms_final" else 0.75 * value + 0.25 * began[name]
        assert torch.allclose(kept[name], wanted, rtol=1e-3, atol=1e-3), name


def test_a_folder_that_cannot_be_is_told_of_before_the_training(work: Path) -> None:
    (work / "file").touch()
    done = train(work, "--steps", 2, "--out", work / "file")
    assert done.returncode == 74 and "file" in done.stderr.splitlines()[-1] and not (work / loop.STATE).exists(), done


def test_weight_decay_draws_together_what_no_story_has(tmp_path: Path, pieces: tokenizer.Tokenizer) -> None:
    """Bytes beyond ASCII are in no story: their gradients are nearly the same, so what tells them apart only decays."""

    def spread(weight_decay: float) -> float:
        run = data.Run(batch=1, steps=25, decay=0, warmup=1, peak=2e-3, weight_decay=weight_decay)
        folder = tmp_path / str(weight_decay)
        folder.mkdir()
        trainer = loop.Trainer(run, SMALL, loop.Material(engine.document, pieces), folder)
        assert trainer.fit(lambda line: None)
        rows = trainer.network.token_embedding_table.detach()[3 + 128 : 3 + 256]
        return float((rows - rows.mean(0)).norm())

    apart, together = spread(0.0), spread(40.0)
    assert together < 0.3 * apart  # 25 steps of 1 - 0.002 * 40 leave 0.12


def test_a_tokenizer_is_brought_along(work: Path, tmp_path: Path) -> None:
    """Its pieces are the run's, and a run does not go on with others."""
    brought = tmp_path / "brought.bin"
    shutil.move(work / "tokenizer.bin", brought)
    done = train(work, "--tokenizer", brought, "--weight-decay", 0.1, "--steps", 2)
    assert done.returncode == 0, done.stderr
    assert (work / "tinytales.tokenizer.bin").read_bytes() == brought.read_bytes() and "learning" not in done.stderr
    for code, said, *more in (
        (65, "weight_decay: the interrupted run has 0.1, this one 0.05;", "--tokenizer", brought),
        (65, "brought.bin: found 800 pieces, the model has 801", "--tokenizer", brought, "--vocabulary", 801),
        (66, "none.bin: no such file", "--tokenizer", tmp_path / "none.bin"),
        (2, "--from brings its own along", "--tokenizer", brought, "--from", work / "tinytales.pt"),
        (2, "found '-1', expected a number from 0 on", "--weight-decay", -1),
        (2, "found 'nan', expected a number from 0 on", "--weight-decay", "nan"),
    ):
        refused = train(work, "--steps", 2, *more)
        assert (refused.returncode, said in refused.stderr.splitlines()[-1]) == (code, True), refused.stderr


def test_interrupt_saves(work: Path) -> None:
    command = [ROOT / "tools" / "train", "--work", work, "--out", work, *SIZES, "--steps", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "step 20" in line)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert "interrupted at step" in said and torch.load(work / loop.STATE)["step"] >= 20


def test_a_loss_that_is_no_number_stops(work: Path) -> None:
    assert train(work, "--steps", 3).returncode == 0
    before = (work / loop.STATE).read_bytes()
    state = torch.load(work / loop.STATE)
    state["network"]["rms_final"][0] = float("inf")
    torch.save(state, work / loop.STATE)
    broken = (work / loop.STATE).read_bytes()
    done = train(work, "--steps", 50, "--decay", 1)
    assert (done.returncode, done.stderr.splitlines()[-1].startswith("tools/train: step 4: found a loss of ")) == (70, True)
    assert (work / loop.STATE).read_bytes() == broken != before


def test_no_room_keeps_the_last_state(work: Path) -> None:
    assert train(work, "--steps", 2).returncode == 0
    before = (work / loop.STATE).read_bytes()
    done = train(work, "--steps", 4, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    assert done.returncode == 74, done.stderr
    assert "can't be written" in done.stderr.splitlines()[-1] and (work / loop.STATE).read_bytes() == before
    assert not list(work.glob("*.new"))


def test_no_gpu_is_said(work: Path) -> None:
    done = train(work, "--device", "cuda", env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    assert (done.returncode, done.stderr.count("\n")) == (69, 1) and "sees no GPU" in done.stderr
    assert train(work, "--device", "abacus").returncode == 2


def test_sweep_compares_rates(work: Path) -> None:
    started = time.monotonic()
    done = train(work, "--sweep", "1e-3,1e30", "--tokens", 3000)
    assert done.returncode == 0, done.stderr
    rows = dict(line.split() for line in done.stdout.splitlines())
    assert float(rows["0.001"]) < 8 and not float(rows["1e+30"]) < 8, time.monotonic() - started
