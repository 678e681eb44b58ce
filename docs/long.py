"""Attention over many tokens, measured: with whole maps, and in blocks of keys.

python docs/measure.py long     -> docs/speed.md
"""

import os
import statistics
from functools import partial
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

from docs.patterns import memory
from docs.readme import DOCS, replace
from tinyvit.layers import attend
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.training.machine import machine
from tinyvit.training.memory import keep_freed_memory

HEADS, WIDTH = 12, 64  # those of ViT-B
SIZES = ((1, 197), (1, 577), (1, 1025), (1, 1479), (1, 2049), (8, 577))  # images, tokens
ROUNDS = 5


def measured(images, tokens):
    """A row {mb, whole, blocks, forward, both}.

    mb             of the maps
    whole, blocks  seconds of the processor of both passes with whole maps, MB kept between them, MB at most; in blocks
    forward, both  the time in blocks, of the forward pass and of both, over that with whole maps: medians of the rounds
    """
    q, k, v, dy = np.random.default_rng(0).standard_normal((4, images, HEADS, tokens, WIDTH), dtype=np.float32)
    q *= WIDTH**-0.5
    keys = attend._keys_at_once(q)
    forms = {
        "whole": (attention, attention_backward),
        "blocks": (partial(blockwise_attention, block=keys), partial(blockwise_attention_backward, block=keys)),
    }
    seconds = {name: [] for name in forms}
    for number in range(ROUNDS + 1):
        for name, (forward, backward) in forms.items():
            begun = process_time()
            _, c = forward(q, k, v)
            between = process_time()
            backward(dy, c)
            if number:  # the first time, memory is asked for
                seconds[name].append((between - begun, process_time() - begun))
            del c
    row = {"mb": attend._map_bytes(q) * tokens / 1e6}
    for i, name in enumerate(("forward", "both")):
        pairs = zip(seconds["blocks"], seconds["whole"], strict=True)
        row[name] = statistics.median(blocks[i] / whole[i] for blocks, whole in pairs)
    for name, passes in forms.items():
        row[name] = (
            statistics.median(both for _, both in seconds[name]),
            *memory(partial(_step, passes, (q, k, v), dy)),
        )
    return row


def _step(passes, inputs, dy, between=lambda: None):
    """Both passes; `between` them, the cache is there."""
    forward, backward = passes
    _, c = forward(*inputs)
    between()
    backward(dy, c)


def write():
    """Measure, and write the table."""
    load = os.getloadavg()[0]
    keep_freed_memory()
    titles = ("images", "tokens", "MB of maps", "whole maps: ms", "in blocks: forward", "both passes")
    titles += ("whole maps: MB kept, at most", "in blocks: MB kept, at most")
    lines = [f"| {' | '.join(titles)} |", "|" + "--:|" * len(titles)]
    with threadpool_limits(1, "blas"):
        for images, tokens in SIZES:
            row = measured(images, tokens)
            (seconds, *whole), (_, *blocks) = row["whole"], row["blocks"]
            cells = [images, f"{tokens:,}", f"{row['mb']:,.0f}", f"{1000 * seconds:,.0f}"]
            cells += [f"{row['forward']:.2f}", f"{row['both']:.2f}"]
            cells += [f"{kept:,.0f}, {peak:,.0f}" for kept, peak in (whole, blocks)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    where = (
        f"`python docs/measure.py long`: {HEADS} heads, d = {WIDTH}, one thread; {machine()}; load before {load:.1f}."
    )
    replace(DOCS / "speed.md", "long", [*lines, "", where])
