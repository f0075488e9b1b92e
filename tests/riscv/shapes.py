"""Models whose kernels are compiled by the RISC-V tests: by their headers alone, one for each way to cut a matrix."""

from __future__ import annotations

import sys
from pathlib import Path

from codegen.model import Model

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/toolchain"))  # riscv_tools

SHAPES = {
    "stories15M_q8": Model("stories15M_q8", 288, 768, 6, 6, 6, 32000, 256, 48, True, "q8", 32),
    "stories15M_q4": Model("stories15M_q4", 288, 768, 6, 6, 6, 32000, 256, 48, True, "q4", 32),
    "stories15M_f16": Model("stories15M_f16", 288, 768, 6, 6, 6, 32000, 256, 48, True, "f16", 0),
    "odd_f16": Model("odd_f16", 36, 37, 1, 6, 2, 301, 20, 6, False, "f16", 0),
    "kv_f16": Model("kv_f16", 288, 768, 1, 6, 6, 500, 256, 48, True, "q8", 32, kv_type="f16"),
    "kv_f16_short_heads": Model("kv_f16_short_heads", 64, 172, 1, 8, 4, 512, 64, 8, True, kv_type="f16"),
    "stories110M_q8": Model("stories110M_q8", 768, 2048, 2, 12, 12, 32000, 64, 64, True, "q8", 64),
    "small_groups": Model("small_groups", 64, 172, 1, 8, 4, 512, 64, 8, True, "q8", 4),
    "odd_groups": Model("odd_groups", 36, 90, 1, 2, 1, 100, 20, 18, False, "q8", 6),
    "groups_of_12": Model("groups_of_12", 60, 132, 1, 5, 5, 100, 20, 12, True, "q8", 12),  # an internal error of GCC's, once
    "q4_groups_of_6": Model("q4_groups_of_6", 36, 42, 1, 6, 2, 301, 20, 6, False, "q4", 6, classifier_type="f16", kv_type="f16"),
    "long_groups": Model("long_groups", 288, 288, 1, 2, 1, 100, 20, 144, False, "q8", 96),
    "long_heads_f32": Model("long_heads_f32", 256, 172, 1, 2, 1, 100, 20, 128, False, "f32", 0),
    "stories260K": Model("stories260K", 64, 172, 1, 8, 4, 512, 64, 8, True, "f32", 0),
}
