"""The functions of a prediction with S, one by one, beside PyTorch's: in which of them one is the faster.

python docs/measure.py operations     -> docs/speed.md

On one core, 32 images at a time, as in a prediction. Both take turns, and the ratio is the median of the turns' ratios.
"""

import os
import statistics
import time

import numpy as np
from threadpoolctl import threadpool_limits

from docs.readme import DOCS, replace
from tinyvit.bench.compare import MODELS
from tinyvit.bench.contender import MICRO_BATCH
from tinyvit.layers.layer_norm import layer_norm, layer_norm_init
from tinyvit.layers.linear import linear, linear_init
from tinyvit.ops.attention import attention
from tinyvit.ops.gelu import gelu_value
from tinyvit.ops.heads import merge_heads, split_heads
from tinyvit.training.machine import machine
from tinyvit.training.memory import keep_freed_memory

ROUNDS, TURN = 15, 0.02  # turns, and seconds that each takes at least


def operations(rng):
    """{name: (times in a block, tinyvit's function of nothing, PyTorch's)}, both of the same numbers."""
    import torch
    from torch.nn import functional

    c = MODELS["S"]
    B, T, D, h, M = MICRO_BATCH, (c.image // c.patch) ** 2 + 1, c.dim, c.heads, c.mlp_dim
    x, wide = (rng.standard_normal((B, T, size), dtype=np.float32) for size in (D, M))
    qkv = [rng.standard_normal((B, T, D), dtype=np.float32) for _ in range(3)]
    p = {name: linear_init(rng, *sizes) for name, sizes in {"q": (D, D), "fc1": (D, M), "fc2": (M, D)}.items()}
    ln = layer_norm_init(rng, D)
    tx, twide, *tqkv = (torch.from_numpy(array) for array in (x, wide, *qkv))
    tln = [torch.from_numpy(ln[name]) for name in ("gamma", "beta")]
    tp = {name: (torch.from_numpy(leaf["w"].T.copy()), torch.from_numpy(leaf["b"])) for name, leaf in p.items()}
    return {
        "LayerNorm": (2, lambda: layer_norm(x, ln)[0], lambda: functional.layer_norm(tx, (D,), *tln, 1e-6)),
        "linear, 64 to 64": (4, lambda: linear(x, p["q"])[0], lambda: functional.linear(tx, *tp["q"])),
        "attention, heads split and merged": (
            1,
            lambda: merge_heads(attention(*(split_heads(part, h) for part in qkv))[0]),
            lambda: (
                functional.scaled_dot_product_attention(
                    *(part.unflatten(-1, (h, -1)).transpose(1, 2) for part in tqkv), scale=1.0
                )
                .transpose(1, 2)
                .flatten(-2)
            ),
        ),
        "linear, 64 to 256": (1, lambda: linear(x, p["fc1"])[0], lambda: functional.linear(tx, *tp["fc1"])),
        "GELU": (1, lambda: gelu_value(wide)[0], lambda: functional.gelu(twide)),
        "linear, 256 to 64": (1, lambda: linear(wide, p["fc2"])[0], lambda: functional.linear(twide, *tp["fc2"])),
    }


def measured(ours, theirs, rounds=ROUNDS):
    """The seconds of both, and the ratio: medians over rounds in each of which both have their turn."""
    counts = [max(1, round(TURN / _turn(f, 3))) for f in (ours, theirs)]
    turns = [[_turn(f, count) for f, count in zip((ours, theirs), counts, strict=True)] for _ in range(rounds)]
    ratio = statistics.median(mine / base for mine, base in turns)
    return *(statistics.median(each) for each in zip(*turns, strict=True)), ratio


def _turn(f, count):
    """Seconds of one call, in a turn of so many."""
    begun = time.perf_counter()
    for _ in range(count):
        f()
    return (time.perf_counter() - begun) / count


def write():
    """Measure, and write the table."""
    import torch

    load = os.getloadavg()[0]
    keep_freed_memory()
    torch.set_num_threads(1)
    lines = ["| function | in a block | tinyvit, ms | PyTorch, ms | ratio | difference in a block, ms |"]
    lines += ["|---|--:|--:|--:|--:|--:|"]
    with threadpool_limits(1, "blas"), torch.no_grad():
        for name, (times, ours, theirs) in operations(np.random.default_rng(0)).items():
            mine, base, ratio = measured(ours, theirs)
            shown = f"{1000 * mine:.2f} | {1000 * base:.2f} | {ratio:.2f} | {1000 * times * (mine - base):+.2f}"
            lines.append(f"| {name} | {times} | {shown} |")
    where = f"`python docs/measure.py operations`: {machine()}; PyTorch {torch.__version__}; load before {load:.1f}."
    replace(DOCS / "speed.md", "operations", [*lines, "", where])
