"""What does attention cost? Time and memory against the number of tokens: why images are cut into patches."""

import tracemalloc
from time import perf_counter

import numpy as np

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import line, panels, ticks
from tinyvit.lab.job import Job
from tinyvit.lab.statistics import estimate, slope
from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.ops.attention import attention, attention_backward

PARTS = {"attention": "attention", "projections": "its four projections"}
TOKENS = {"quick": (64, 128, 256, 512, 1024), "full": (64, 128, 256, 512, 1024, 2048)}
FITTED = 256  # tokens, from which on the exponents are fitted: below it, calls cost as much as numbers
HEADS, WIDTH = 4, 16
REPEATS = 7
PIXELS, PATCHES = 224 * 224, 14 * 14  # of one of the paper's images


def jobs(data, budget):
    """Both parts of multi-head attention, for so many tokens of one image."""
    return [
        Job({"part": part, "tokens": tokens}, "cost", {"part": part, "tokens": tokens}, work=float(tokens**2))
        for part in PARTS
        for tokens in TOKENS[budget]
    ]


def cost(data, seed, *, part, tokens):
    """Seconds and memory of one part, forward and backward, in float32 on one core.

    Returns
    -------
    {seconds: the median of several times, megabytes: the most that was allocated at once}
    """
    step = {"attention": _attention, "projections": _projections}[part](np.random.default_rng(seed), tokens)
    step()  # the first time, memory is asked for
    seconds = float(np.median([_timed(step) for _ in range(REPEATS)]))
    tracemalloc.start()
    step()
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return {"seconds": seconds, "megabytes": megabytes}


def _timed(step):
    begun = perf_counter()
    step()
    return perf_counter() - begun


def _attention(rng, tokens):
    q, k, v, dy = rng.standard_normal((4, 1, HEADS, tokens, WIDTH), dtype=np.float32)

    def step():
        _, c = attention(q, k, v)
        attention_backward(dy, c)

    return step


def _projections(rng, tokens):
    x, dy = rng.standard_normal((2, 1, tokens, HEADS * WIDTH), dtype=np.float32)
    layers = [linear_init(rng, HEADS * WIDTH, HEADS * WIDTH) for _ in "qkvo"]

    def step():
        caches = [linear(x, p)[1] for p in layers]  # all are kept until the backward pass
        for p, c in zip(layers, caches, strict=True):
            linear_backward(dy, p, c)

    return step


def report(results):
    """Time and memory against tokens, and the exponents."""
    tokens = [n for (n,) in results.settings("tokens")]
    rows = []
    for part, name in PARTS.items():
        for n in tokens:
            setting = {"part": part, "tokens": n}
            seconds, memory = (results.estimate(measure, **setting) for measure in ("seconds", "megabytes"))
            rows.append([name, f"{n:,}", seconds.text(1000), memory.text(1, 1)])
    figure, axes = panels(2)
    for number, (part, name) in enumerate(PARTS.items()):
        for each, measure, factor in ((axes[0], "seconds", 1000), (axes[1], "megabytes", 1)):
            line(
                each,
                tokens,
                [results.estimate(measure, part=part, tokens=n) for n in tokens],
                name,
                number,
                factor=factor,
            )
    for each, label in zip(axes, ("milliseconds", "memory (MB)"), strict=True):
        each.set(xscale="log", yscale="log", xlabel="tokens", ylabel=f"{label}, forward and backward")
        ticks(each, tokens, [f"{n:,}" for n in tokens])
    axes[0].legend(frameon=False)
    return Report(["part", "tokens", "ms", "MB"], rows, figure, _verdict(results, tokens))


def _verdict(results, tokens):
    fitted = [n for n in tokens if n >= FITTED]
    exponents = {(part, m): _exponent(results, part, m, fitted) for part in PARTS for m in ("seconds", "megabytes")}
    powers = {key: f"T^{exponent.text(1)}" for key, exponent in exponents.items()}
    sentences = [
        f"{name}: time like {powers[part, 'seconds']}, memory like {powers[part, 'megabytes']}"
        for part, name in PARTS.items()
    ]
    time = exponents["attention", "seconds"]
    more = " (time grows faster: larger maps leave the processor's caches, presumably)" * (time.mean - time.half > 2)
    return (
        f"From {FITTED} tokens on, {'; '.join(sentences)}. The scores of attention are T^2 numbers, so both should "
        f"grow like T^2 there{more}, and like T in the projections. If every pixel of an image of 224 x 224 is a "
        f"token, a head has {PIXELS:,}^2 = {PIXELS**2:,} scores; if every patch of 16 x 16 is, {PATCHES}^2 = "
        f"{PATCHES**2:,}, which is {PIXELS**2 // PATCHES**2:,} times fewer (ViT paper, sections 2 and 3.1)."
    )


def _exponent(results, part, measure, tokens):
    """The slope of log(measure) against log(tokens), one for each seed."""
    values = np.array([results.values(measure, part=part, tokens=n) for n in tokens])
    return estimate([slope(np.log(tokens), np.log(column)) for column in values.T])


COST = Experiment(
    "cost",
    "What does attention cost, against the number of tokens?",
    "ViT paper, section 2",
    jobs,
    report,
    alone=True,
)
