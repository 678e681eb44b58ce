"""Training on several ranks, measured beside one rank and beside worker processes; and what goes over the network.

python docs/measure.py ranks                  -> docs/speed.md; needs mpi4py and mpiexec
mpiexec -n 2 python -m docs.ranks S           one of the contenders: the median step in seconds, and a digest of
                                              the parameters after all steps
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from docs.readme import DOCS, replace
from tinyvit.arrays import flat
from tinyvit.bench.compare import MODELS
from tinyvit.models.model import model_of, parameter_count
from tinyvit.training import mpi
from tinyvit.training.machine import machine
from tinyvit.training.recipe import Recipe
from tinyvit.training.step import arithmetic, take_step
from tinyvit.training.worker_pool import start_worker_pool

RECIPE = Recipe()  # batches of 128, micro-batches of 32
WARM, STEPS, ROUNDS = 3, 15, 7
CONTENDERS = {"1 rank": (1, 1), "2 ranks": (2, 1), "4 ranks": (4, 1), "2 worker processes": (1, 2)}  # ranks, workers
SPEEDS = (1, 10, 100)  # Gbit/s


def step_seconds(model, workers, ranks):
    """The median seconds of a step of S or M, and a digest of the parameters after all steps."""
    config, rng, seconds = MODELS[model], np.random.default_rng(1), []
    part = {"images": rng.standard_normal((RECIPE.batch, 28, 28, 1), dtype=np.float32)}
    part["labels"] = rng.integers(0, 10, RECIPE.batch)
    with arithmetic(), start_worker_pool(config, RECIPE, 0, workers=workers, ranks=ranks) as pool:
        arrays, p = pool.train_step.arrays, model_of(config).init(np.random.default_rng(0), config)
        for name in ("parameters", "average"):
            arrays[name][...] = flat(p, like=pool.train_step.p)
        pool.spread()
        for step in range(1, WARM + STEPS + 1):
            begun = time.perf_counter()
            take_step(pool, step, WARM + STEPS, pool.take(part, np.arange(RECIPE.batch)))
            seconds.append(time.perf_counter() - begun)
        digest = hashlib.sha256(arrays["parameters"].tobytes()).hexdigest()[:12]
    return {"seconds": statistics.median(seconds[WARM:]), "digest": digest}


def contend(model, ranks, workers):
    """The answer of a contender, in processes of its own."""
    launcher = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, "-m", "docs.ranks", model, str(workers)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=DOCS.parent).stdout)


def sent(parameters, ranks, batch=RECIPE.batch, micro_batch=RECIPE.micro_batch):
    """The bytes that a rank sends in a step, at most, and receives: see tinyvit/training/ranks.py.

    Of each of its rows all but its own part, and of the parameters its part to each of the others.
    """
    rows = -(-batch // micro_batch)
    return 4 * parameters * (ranks - 1) / ranks * (-(-rows // ranks) + 1)


def measured(models=("S", "M")):
    """Lines of a table: in turns, medians, and medians of the turns' ratios."""
    lines = ["| model | contender | ms a step | 1 rank's time over it | 2 worker processes' over it | parameters |"]
    lines += ["|---|---|--:|--:|--:|---|"]
    for model in models:
        rounds = [{name: contend(model, *how) for name, how in CONTENDERS.items()} for _ in range(ROUNDS)]
        for name in CONTENDERS:
            times = [turn[name]["seconds"] for turn in rounds]
            ratios = (
                statistics.median(turn[other]["seconds"] / turn[name]["seconds"] for turn in rounds)
                for other in ("1 rank", "2 worker processes")
            )
            digests = {turn[name]["digest"] for turn in rounds}
            cells = [model, name, f"{1000 * statistics.median(times):.1f}", *(f"{ratio:.2f}" for ratio in ratios)]
            lines.append(f"| {' | '.join(cells)} | {', '.join(f'`{digest}`' for digest in sorted(digests))} |")
    return lines


def reckoned():
    """Lines of a table: what a rank sends in a step, and how long that takes."""
    lines = ["| model | parameters | ranks | MB | " + " | ".join(f"{speed} Gbit/s" for speed in SPEEDS) + " |"]
    lines += ["|---|--:|--:|--:|" + "--:|" * len(SPEEDS)]
    for model in ("S", "M", "B/16"):
        parameters = parameter_count(MODELS[model])
        for ranks in (2, 4):
            size = sent(parameters, ranks)
            times = [f"{size * 8 / (speed * 1e9) * 1000:,.1f} ms" for speed in SPEEDS]
            lines.append(f"| {model} | {parameters:,} | {ranks} | {size / 1e6:,.1f} | {' | '.join(times)} |")
    return lines


def write():
    """Both tables, into docs/speed.md."""
    load, lines = os.getloadavg()[0], measured()
    where = f"`python docs/measure.py ranks`, {machine()}; load before {load:.1f}."
    replace(DOCS / "speed.md", "ranks", [*lines, "", where])
    replace(DOCS / "speed.md", "network", [*reckoned(), "", "Reckoned, not measured: `python docs/measure.py ranks`."])


def _contender(ranks):
    model, workers = sys.argv[1:]
    print(json.dumps(step_seconds(model, int(workers), ranks)))
    return 0


if __name__ == "__main__":
    sys.exit(mpi.run(_contender))
