"""What does attention cost? Time and memory against the number of tokens: why images are cut into patches."""

import tracemalloc
from functools import partial
from time import process_time

import numpy as np

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import legend, panels, power, seeds, ticks
from tinyvit.lab.job import Job
from tinyvit.lab.statistics import difference, estimate, slope
from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.training.step import arithmetic

PARTS = {
    "attention": "attention",
    "pieces": "attention, 256 queries at a time",
    "projections": "its four projections",
}
TOKENS = {"quick": (64, 128, 256, 512, 1024), "full": (64, 128, 256, 512, 1024, 2048)}
FITTED = 256  # tokens, from which on the exponents are fitted: below it, calls cost as much as numbers
PIECE = 256  # queries
HEADS, WIDTH = 4, 16
REPEATS = 9
MEASURES = {"forward": 1000, "backward": 1000, "megabytes": 1}  # and in which units they are shown
PIXELS, PATCHES = 224 * 224, 14 * 14  # of one of the paper's images


def jobs(data, budget):
    """The parts of multi-head attention, for so many tokens of one image; in pieces where there are several."""
    settings = [{"part": part, "tokens": tokens} for part in PARTS for tokens in TOKENS[budget]]
    settings = [s for s in settings if s["part"] != "pieces" or s["tokens"] >= PIECE]
    return [Job(s, "cost", s | {"repeats": REPEATS}, work=float(s["tokens"] ** 2)) for s in settings]


def cost(data, seed, *, part, tokens, repeats):
    """Time of the processor and memory of one part, in float32 on one core.

    Returns
    -------
    {forward, backward: seconds, the least of so many times, since whatever disturbs one adds to it;
    megabytes: the most that was allocated at once}
    """
    make = {"attention": _attention, "pieces": _pieces, "projections": _projections}[part]
    pieces = make(np.random.default_rng(seed), tokens)
    calls = max(1, max(TOKENS["full"]) // tokens)  # short ones are timed together
    with arithmetic():
        _timed(pieces)  # the first time, memory is asked for
        times = [np.sum([_timed(pieces) for _ in range(calls)], axis=0) / calls for _ in range(repeats)]
        tracemalloc.start()
        _timed(pieces)
        megabytes = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    forward, backward = np.min(times, axis=0)
    return {"forward": float(forward), "backward": float(backward), "megabytes": megabytes}


def _timed(pieces):
    """Seconds of both passes of all pieces, one after another: (forward, backward)."""
    found = np.zeros(2)
    for forward, backward in pieces:
        begun = process_time()
        c = forward()
        between = process_time()
        backward(c)
        found += between - begun, process_time() - between
    return found


def _attention(rng, tokens, queries=None):
    q, k, v, dy = rng.standard_normal((4, 1, HEADS, tokens, WIDTH), dtype=np.float32)
    q *= WIDTH**-0.5

    def passes(rows):
        return lambda: attention(q[..., rows, :], k, v)[1], partial(attention_backward, dy[..., rows, :])

    queries = queries or tokens
    return [passes(slice(first, first + queries)) for first in range(0, tokens, queries)]


def _pieces(rng, tokens):
    return _attention(rng, tokens, PIECE)


def _projections(rng, tokens):
    x, dy = rng.standard_normal((2, 1, tokens, HEADS * WIDTH), dtype=np.float32)
    layers = [linear_init(rng, HEADS * WIDTH, HEADS * WIDTH) for _ in "qkvo"]

    def forward():
        return [linear(x, p)[1] for p in layers]  # all are kept until the backward pass

    def backward(caches):
        for p, c in zip(layers, caches, strict=True):
            linear_backward(dy, p, c)

    return [(forward, backward)]


def report(results):
    """Time and memory against tokens, and the exponents."""
    settings = results.settings("part", "tokens")
    rows = []
    for part, n in settings:
        found = {m: results.estimate(m, part=part, tokens=n) for m in MEASURES}
        words = [found[m].text(factor, 1 if m == "megabytes" else 2) for m, factor in MEASURES.items()]
        rows.append([PARTS[part], f"{n:,}", *words])
    figure, axes = panels(3, 11, 3.8)
    for each, (measure, factor) in zip(axes, MEASURES.items(), strict=True):
        for number, (part, name) in enumerate(PARTS.items()):
            tokens = [n for p, n in settings if p == part]
            values = [results.values(measure, part=part, tokens=n) for n in tokens]
            seeds(each, tokens, values, name, number, factor=factor, apart=0, dashed=part == "pieces")
            if part != "pieces":
                long = [n for n in tokens if n >= FITTED]
                start = factor * results.estimate(measure, part=part, tokens=long[0]).mean
                power(each, long, start / 2, 2 if part == "attention" else 1)
        unit = "memory (MB), both passes" if measure == "megabytes" else f"milliseconds, {measure}"
        each.set(xscale="log", yscale="log", xlabel="tokens T", ylabel=unit)
        ticks(each, tokens, [f"{n:,}" for n in tokens])
    legend(figure)
    return Report(["part", "tokens", "forward (ms)", "backward (ms)", "MB"], rows, figure, _verdict(results, settings))


def _verdict(results, settings):
    exponents = {}
    for part in PARTS:
        fitted = [n for p, n in settings if p == part and n >= FITTED]
        exponents |= {(part, m): _exponents(results, part, m, fitted) for m in (*MEASURES, _both)}
    powers = {key: f"T^{estimate(found).text(1)}" for key, found in exponents.items()}
    sentences = [
        f"{name}: forward like {powers[part, 'forward']}, backward like {powers[part, 'backward']}, memory like "
        f"{powers[part, 'megabytes']}"
        for part, name in PARTS.items()
    ]
    whole, pieces = (exponents[part, _both] for part in ("attention", "pieces"))
    saved = difference(whole, pieces)
    largest = HEADS * max(n for _, n in settings) ** 2 * 4 / 1e6
    if saved.significant and saved.mean > 0 and np.mean(whole) > 2:
        why = (
            f"Whole maps take longer because of their size (up to {largest:.0f} MB): with the same scores in smaller "
            f"maps, {PIECE} queries at a time, the exponent is {saved.text(1)} lower."
        )
    else:
        why = f"That large maps take longer is not shown: with smaller ones the exponent is {saved.text(1)} lower."
    return (
        f"From {FITTED} tokens on, {'; '.join(sentences)}. Both passes together: {powers['attention', _both]}, in "
        f"pieces {powers['pieces', _both]}. The scores of attention are T^2 numbers, so time should grow like T^2, and "
        f"like T in the projections. {why} If every pixel of an image of 224 x 224 is a token, a head has "
        f"{PIXELS:,}^2 = {PIXELS**2:,} scores; if every patch of 16 x 16 is, {PATCHES}^2 = {PATCHES**2:,}, which is "
        f"{PIXELS**2 // PATCHES**2:,} times fewer (ViT paper, sections 2 and 3.1)."
    )


def _both(result):
    return result["forward"] + result["backward"]


def _exponents(results, part, measure, tokens):
    """The slope of log(measure) against log(tokens), one for each seed."""
    values = np.array([results.values(measure, part=part, tokens=n) for n in tokens])
    return [slope(np.log(tokens), np.log(column)) for column in values.T]


COST = Experiment(
    "cost",
    "What does attention cost, against the number of tokens?",
    "ViT paper, section 2",
    jobs,
    report,
    alone=True,
)
