"""Attention that does not ask everybody, measured: pairs, work, time and memory against the number of tokens.

python docs/measure.py patterns     -> docs/derivations/patterns.md, docs/figures/patterns.png, pattern_cost.png
"""

import os
import statistics
import tracemalloc
from functools import partial
from time import process_time

import numpy as np
from threadpoolctl import threadpool_limits

from docs.readme import DOCS, replace
from tinyvit.lab.figures import GREEN, MARKS, PURPLE
from tinyvit.layers.attend import allowed_pairs, attend, attend_backward, attention_plan
from tinyvit.ops import patterns
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.ops.sparse_attention import scores_computed
from tinyvit.training.machine import machine
from tinyvit.training.memory import keep_freed_memory
from tinyvit.viz.patterns import patterns_figure
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

SIDES = (8, 16, 32, 64, 128)  # of the grids of tokens
WIDTH = 64  # of the one head
ROUNDS = 5
SPARSE = {  # title: attention and reach of a configuration, number of the block
    "local, 7 x 7": ("local", 3, 0),
    "windows, 8 x 8": ("window", 8, 0),
    "axial: row": ("axial", 1, 0),
    "sliding, 24 each side": ("sliding", 24, 0),
    "strided, A1: a row each side": ("strided", 1, 0),
    "fixed, A2: the last of each row": ("fixed", 1, 1),
}
DENSE = "dense, with a mask"
DRAWN = {  # the lines of the figure: colour and mark
    DENSE: ("black", "x"),
    "dense": ("#777777", "+"),
    "in blocks of 128 keys": (ORANGE, MARKS[1]),
    "local, 7 x 7": (BLUE, MARKS[0]),
    "windows, 8 x 8": (PURPLE, MARKS[3]),
    "axial: row": (GREEN, MARKS[2]),
    "linear": ("#e69f00", "v"),
}


def forms(side):
    """{title: (pairs, multiply-adds of the forward pass, a step: forward and backward)} of all forms on a grid."""
    tokens = side * side
    q, k, v, dy = np.random.default_rng(0).standard_normal((4, 1, 1, tokens, WIDTH), dtype=np.float32)
    q *= WIDTH**-0.5
    bias = patterns.pattern_bias(allowed_pairs("window", (side, side), False, 8, 0))
    both = 2 * tokens * tokens * WIDTH  # scores, and weights times values
    found = {
        DENSE: ("any", both, partial(_step, attention, attention_backward, (q, k, v, bias), dy)),
        "dense": (tokens * tokens, both, partial(_step, attention, attention_backward, (q, k, v), dy)),
        "in blocks of 128 keys": (
            tokens * tokens,
            both,
            partial(_step, blockwise_attention, blockwise_attention_backward, (q, k, v), dy),
        ),
    }
    for title, (kind, reach, number) in SPARSE.items():
        plan = attention_plan(kind, (side, side), False, reach, number)
        pairs = allowed_pairs(kind, (side, side), False, reach, number).sum()
        work = 2 * scores_computed(plan) * WIDTH
        found[title] = (pairs, work, partial(_step, attend, attend_backward, (q, k, v, plan), dy))
    work = 2 * tokens * WIDTH * WIDTH + 2 * tokens * WIDTH  # K = k^T v and q K; n and q n
    found["linear"] = ("none", work, partial(_step, attend, attend_backward, (q, k, v, "linear"), dy))
    return found


def _step(forward, backward, inputs, dy, between=lambda: None):
    """Both passes; `between` them, the cache is there."""
    _, c = forward(*inputs)
    between()
    backward(dy, c)


def measured(side):
    """Rows {form, pairs, work, seconds, share, kept, peak} of a grid.

    seconds   of the processor, forward and backward: the median of rounds in each of which every form has its turn
    share     of the seconds of dense attention with a mask in the same round, the median
    kept      MB that the cache has beyond q, k and v;  peak: MB that were allocated at once
    """
    every = forms(side)
    seconds = {title: [] for title in every}
    for number in range(ROUNDS + 1):
        for title, (_, _, step) in every.items():
            begun = process_time()
            step()
            if number:  # the first time, memory is asked for
                seconds[title].append(process_time() - begun)
    rows = []
    for title, (pairs, work, step) in every.items():
        ratios = [a / b for a, b in zip(seconds[title], seconds[DENSE], strict=True)]
        kept, peak = memory(step)
        rows.append(dict(side=side, form=title, pairs=pairs, work=work, kept=kept, peak=peak))
        rows[-1] |= dict(seconds=statistics.median(seconds[title]), share=statistics.median(ratios))
    return rows


def memory(step):
    """MB that are held between the passes, and the most that are held at once."""
    kept = []
    tracemalloc.start()
    step(between=lambda: kept.append(tracemalloc.get_traced_memory()[0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return kept[0] / 1e6, peak / 1e6


def write():
    """Measure, and write the table and both figures."""
    pictures()
    load, rows = os.getloadavg()[0], []
    keep_freed_memory()
    with threadpool_limits(1, "blas"):
        for side in SIDES:
            rows += measured(side)
            print(f"{side * side} tokens: done", flush=True)
    lines = ["| tokens | form | allowed pairs | multiply-adds | ms | of dense's time | MB kept | MB at most |"]
    lines += ["|--:|---|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        pairs = row["pairs"] if isinstance(row["pairs"], str) else f"{row['pairs']:,}"
        numbers = f"{pairs} | {_short(row['work'])} | {1000 * row['seconds']:,.1f} | {row['share']:.3f}"
        words = f"{numbers} | {row['kept']:,.1f} | {row['peak']:,.1f}"
        lines.append(f"| {row['side'] ** 2:,} | {row['form']} | {words} |")
    after = os.getloadavg()[0]
    about = f"`python docs/measure.py patterns`: one image, one head, d = {WIDTH}, float32, one thread; {machine()}; "
    about += f"load {load:.1f} before, {after:.1f} after."
    replace(DOCS / "derivations" / "patterns.md", "patterns", [*lines, "", about])
    cost_figure(rows).savefig(DOCS / "figures" / "pattern_cost.png", metadata={"Software": None})


def cost_figure(rows):
    """Time and memory against the number of tokens."""
    figure = new_figure(9, 4)
    for axes, name, factor, words in zip(
        figure.subplots(1, 2),
        ("seconds", "peak"),
        (1000, 1),
        ("milliseconds of one core", "MB allocated at once"),
        strict=True,
    ):
        for title, (colour, mark) in DRAWN.items():
            points = [(row["side"] ** 2, factor * row[name]) for row in rows if row["form"] == title]
            axes.plot(*zip(*points, strict=True), color=colour, marker=mark, markersize=5, linewidth=1.3, label=title)
        axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel=f"{words}, forward and backward")
        axes.set_xticks([side * side for side in SIDES], [f"{side * side:,}" for side in SIDES])
        axes.minorticks_off()
        plain(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def pictures():
    """Every pattern on ViT's grid of 14 x 14 patches."""
    kinds = {
        "local, 7 x 7": ("local", 3, 0),
        "windows, 7 x 7": ("window", 7, 0),
        "windows, displaced": ("window", 7, 1),
        "axial: row": ("axial", 1, 0),
        "axial: column": ("axial", 1, 1),
        "sliding, 7 each side": ("sliding", 7, 0),
        "strided, A1": ("strided", 1, 0),
        "strided, A2": ("strided", 1, 1),
        "fixed, A1": ("fixed", 1, 0),
        "fixed, A2, c = 1": ("fixed", 1, 1),
    }
    drawn = {title: allowed_pairs(kind, (14, 14), False, *rest) for title, (kind, *rest) in kinds.items()}
    file = DOCS / "figures" / "patterns.png"
    patterns_figure(drawn, (14, 14)).savefig(file, metadata={"Software": None})


def _short(work):
    """Millions with three digits."""
    return f"{work / 1e6:,.3g} M" if work < 1e9 else f"{work / 1e9:,.3g} G"
