"""Steps of fine-tuning, measured: with frozen blocks, and with activation checkpointing.

python docs/measure.py fine_tuning                 -> docs/speed.md
python -m docs.fine_tuning S --freeze 6 ...        one contender: the processor's seconds a step, and the peak of memory
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from docs.readme import DOCS, replace
from tinyvit.arrays import flat
from tinyvit.bench.compare import MODELS
from tinyvit.models.model import model_of
from tinyvit.training.machine import machine
from tinyvit.training.recipe import Recipe
from tinyvit.training.step import arithmetic, take_step
from tinyvit.training.worker_pool import start_worker_pool

ROUNDS = 3
FROZEN = [  # model, pixels, images in a step, frozen blocks: none, half, all
    *(("S", 28, 128, freeze) for freeze in (0, 3, 6)),
    *(("B/16", 224, 8, freeze) for freeze in (0, 6, 12)),
]
MEMORY = [  # model, pixels, images in a step, images at once, recompute
    *(("B/16", 384, 8, micro_batch, recompute) for micro_batch in (1, 4) for recompute in (False, True))
]


def contend(model, image, recipe, steps):
    """A step as `fit` does it, on one core: the median of the processor's seconds, and the process's peak in MiB."""
    config, rng, seconds = MODELS[model].changed(image=image), np.random.default_rng(1), []
    images = rng.standard_normal((recipe.batch, image, image, config.channels), dtype=np.float32)
    batch = {"images": images, "labels": rng.integers(0, config.classes, recipe.batch)}
    with arithmetic(), start_worker_pool(config, recipe, 0, workers=1) as pool:
        p = model_of(config).init(np.random.default_rng(0), config)
        for name in ("parameters", "average"):
            pool.train_step.arrays[name][...] = flat(p, like=pool.train_step.p)
        del p
        for step in range(1, steps + 2):
            begun = time.process_time()
            take_step(pool, step, steps + 1, batch)
            seconds.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # KiB on Linux
    return {"seconds": statistics.median(seconds[1:]), "peak": peak}


def turn(model, image, steps, **settings):
    """The answer of a contender, in a process of its own."""
    options = [f"--{name}={value}" for name, value in (settings | dict(image=image, steps=steps)).items()]
    command = [sys.executable, "-m", "docs.fine_tuning", model, *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=DOCS.parent).stdout)


def in_turns(contenders):
    """Of each contender, the median of seconds, that of their ratio to the first's in a round, and the peak."""
    rounds = [[turn(**contender) for contender in contenders] for _ in range(ROUNDS)]
    for answers in zip(*rounds, strict=True):
        ratios = [answer["seconds"] / first["seconds"] for answer, (first, *_) in zip(answers, rounds, strict=True)]
        seconds, peaks = ([answer[name] for answer in answers] for name in ("seconds", "peak"))
        yield statistics.median(seconds), statistics.median(ratios), max(peaks)


def frozen():
    """Lines of a table: what a step costs whose first blocks are frozen."""
    lines = ["| model | pixels | batch | frozen blocks | processor's seconds | ratio to none frozen | peak, MB |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    for model in dict.fromkeys(row[0] for row in FROZEN):
        rows = [row for row in FROZEN if row[0] == model]
        steps = 9 if model == "S" else 1
        contenders = [dict(model=m, image=i, batch=b, freeze=f, steps=steps) for m, i, b, f in rows]
        for (_, image, batch, freeze), (seconds, ratio, peak) in zip(rows, in_turns(contenders), strict=True):
            lines.append(f"| {model} | {image} | {batch} | {freeze} | {seconds:.3f} | {ratio:.2f} | {peak:,.0f} |")
    return lines


def memory():
    """Lines of a table: what recomputing blocks saves, and costs."""
    lines = ["| model | pixels | batch | images at once | `recompute` | processor's seconds | peak, MB |"]
    lines += ["|---|--:|--:|--:|---|--:|--:|"]
    for model, image, batch, micro_batch, recompute in MEMORY:
        how = dict(batch=batch, micro_batch=micro_batch, recompute=int(recompute))
        found = turn(model, image, 1, **how)
        cells = (model, image, batch, micro_batch, "yes" if recompute else "no")
        lines.append(f"| {' | '.join(map(str, cells))} | {found['seconds']:.1f} | {found['peak']:,.0f} |")
    return lines


def write(tables=("frozen", "memory")):
    """Both tables, into docs/speed.md."""
    for name in tables:
        load, lines = os.getloadavg()[0], {"frozen": frozen, "memory": memory}[name]()
        where = f"`python docs/measure.py fine_tuning`, {machine()}, one core; load before {load:.1f}."
        replace(DOCS / "speed.md", name, [*lines, "", where])


def main():
    """One contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=MODELS)
    for name in ("image", "batch", "micro_batch", "freeze", "recompute", "steps"):
        parser.add_argument(f"--{name}", type=int, default={"micro_batch": 32}.get(name, 0))
    args = parser.parse_args()
    recipe = Recipe(batch=args.batch, micro_batch=args.micro_batch, freeze=args.freeze, recompute=bool(args.recompute))
    print(json.dumps(contend(args.model, args.image, recipe, args.steps)))


if __name__ == "__main__":
    main()
