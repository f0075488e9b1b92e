"""Makes PyTorch functions of the fused steps of kernels.cpp, for a processor with AVX-512 BF16.

Between the matrix products PyTorch spends as much time as in them; these take a fifth of that.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

SOURCE = Path(__file__).with_name("kernels.cpp")
HEADERS = tuple(SOURCE.with_name(name) for name in ("attention.hpp", "lanes.hpp"))
NEEDED = ("avx512f", "avx512bw", "avx512_bf16")


def available() -> bool:
    """Tells whether this processor has the instructions."""
    if platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists():
        return False
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split())
    return flags.issuperset(NEEDED)


def compiled(folder: Path, head_size: int) -> ctypes.CDLL:
    """Compiles the library for a head size into `folder`, the first time.  Raises ValueError with what the compiler said."""
    command = [*os.environ.get("CXX", "g++").split(), "-std=c++20", "-O3", "-march=native", "-Wno-maybe-uninitialized",
               "-shared", "-fPIC", f"-DHEAD_SIZE={head_size}"]  # fmt: skip
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in (SOURCE, *HEADERS)) + repr(command).encode()).hexdigest()[:12]
    library = folder / f"kernels-{digest}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = library.with_suffix(f".{os.getpid()}")
        try:
            done = subprocess.run([*command, str(SOURCE), "-o", str(temporary)], capture_output=True, text=True)
        except OSError as error:
            raise ValueError(f"{command[0]}: can't be run: {error.strerror}: run tools/setup, or use --plain") from error
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
            raise ValueError(f"{SOURCE.name}: can't be compiled: {said}; use --plain to do without it")
        temporary.replace(library)
    found = ctypes.CDLL(str(library))
    found.cross_entropy.restype = ctypes.c_double
    return found


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


class _AddNorm(Function):
    @staticmethod
    def forward(ctx: Any, fused: Fused, x: Tensor, delta: Tensor | None, weight: Tensor) -> Any:
        dim = x.shape[-1]
        rows = x.numel() // dim
        x_new, xb = torch.empty_like(x), torch.empty_like(x, dtype=torch.bfloat16)
        inverse = torch.empty(rows)
        fused.library.add_norm(_at(x), _at(delta), _at(weight), _at(x_new), _at(xb), _at(inverse), ctypes.c_long(rows),
                               ctypes.c_long(dim))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_new, inverse, weight)
        ctx.fused, ctx.has_delta = fused, delta is not None
        return x_new, xb

    @staticmethod
    def backward(ctx: Any, gx_new: Tensor | None, gxb: Tensor) -> Any:
        x_new, inverse, weight = ctx.saved_tensors
        gx, gweight = torch.empty_like(x_new), torch.zeros_like(weight)
        gdelta = torch.empty_like(x_new, dtype=torch.bfloat16) if ctx.has_delta else None
        gx_new = None if gx_new is None else gx_new.contiguous()
        gxb = gxb.contiguous()
        ctx.fused.library.add_norm_backward(_at(x_new), _at(inverse), _at(weight), _at(gxb), _at(gx_new), _at(gx),
                                            _at(gdelta), _at(gweight), ctypes.c_long(len(inverse)),
                                            ctypes.c_long(len(weight)))
        return None, gx, gdelta, gweight


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, fused: Fused, qkv: Tensor, heads: int, kv_heads: int) -> Tensor:
        batch, time, _ = qkv.shape
        size = fused.cos.shape[1] * 2
        out = torch.empty(batch, time, heads * size, dtype=torch.bfloat16)
        log_sums = torch.empty(batch * heads * time)
        ctx.numbers = (batch, time, heads, kv_heads, _at(fused.cos), _at(fused.sin), ctypes.c_float(size**-0.5))
        fused.library.attention(_at(qkv), _at(out), _at(log_sums), *ctx.numbers)
        ctx.save_for_backward(qkv, out, log_sums)
        ctx.fused = fused
        return out

    @staticmethod
    def backward(ctx: Any, gout: Tensor) -> Any:
        qkv, out, log_sums = ctx.saved_tensors
        gqkv, gout = torch.empty_like(qkv), gout.contiguous()
        ctx.fused.library.attention_backward(_at(qkv), _at(out), _at(gout), _at(log_sums), _at(gqkv), *ctx.numbers)
        return None, gqkv, None, None


class _Swiglu(Function):
    @staticmethod
    def forward(ctx: Any, fused: Fused, h: Tensor) -> Tensor:
        out = torch.empty(*h.shape[:-1], h.shape[-1] // 2, dtype=torch.bfloat16)
        fused.library.swiglu(_at(h), _at(out), ctypes.c_long(h.numel() // h.shape[-1]), ctypes.c_long(out.shape[-1]))
        ctx.save_for_backward(h)
        ctx.fused = fused
        return out

    @staticmethod
    def backward(ctx: Any, gout: Tensor) -> Any:
        (h,) = ctx.saved_tensors
        gh, gout = torch.empty_like(h), gout.contiguous()
        ctx.fused.library.swiglu_backward(_at(h), _at(gout), _at(gh), ctypes.c_long(h.numel() // h.shape[-1]),
                                          ctypes.c_long(gout.shape[-1]))
        return None, gh


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, fused: Fused, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        # Turn the logits into their gradient in place: nobody else reads them.
        total = fused.library.cross_entropy(_at(logits), _at(targets), _at(weights), ctypes.c_long(len(targets)),
                                            ctypes.c_long(logits.shape[-1]))
        ctx.save_for_backward(logits.detach())
        return torch.tensor(total)

    @staticmethod
    def backward(ctx: Any, gloss: Tensor) -> Any:
        (glogits,) = ctx.saved_tensors
        return None, glogits if float(gloss) == 1 else glogits * gloss, None, None


class Fused:
    """Fuses the steps of `network.Plain`.  Activations are bfloat16, the residual stream float32, one thread."""

    dtype = torch.bfloat16

    def __init__(self, folder: Path, cos: Tensor, sin: Tensor) -> None:
        """Takes cos and sin [seq_len, head_size / 2], float32; the library goes to `folder`."""
        self.library = compiled(folder, 2 * cos.shape[1])
        self.cos, self.sin = cos.contiguous(), sin.contiguous()

    def add_norm(self, x: Tensor, delta: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Computes x + delta, and its rmsnorm."""
        both: tuple[Tensor, Tensor] = _AddNorm.apply(self, x, delta, weight)
        return both

    def attention(self, qkv: Tensor, heads: int, kv_heads: int) -> Tensor:
        """Computes rotary causal attention: qkv [batch, time, (heads + 2 kv_heads) head_size] -> [batch, time, dim]."""
        out: Tensor = _Attention.apply(self, qkv, heads, kv_heads)
        return out

    def swiglu(self, h: Tensor) -> Tensor:
        """Computes silu of the first half of the last dimension times the second."""
        out: Tensor = _Swiglu.apply(self, h)
        return out

    def cross_entropy(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Sums weight * cross entropy over rows: logits [rows, vocab_size].  Consumes the logits."""
        loss: Tensor = _CrossEntropy.apply(self, logits, targets, weights)
        return loss
