"""A contender in a benchmark: `python -m tinyvit.bench.contender`, a process of its own, started by compare.py.

It warms up before it answers the first message (see `serve`), so that only warm steps are timed.
"""

import os
import time

import numpy as np

from tinyvit.arrays import flat
from tinyvit.models.model import model_named, model_of, name_of, parameter_count
from tinyvit.training.evaluation import LARGE, outputs_and_scores, pool_outputs
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe
from tinyvit.training.worker import serve
from tinyvit.training.worker_pool import start_worker_pool

PEAK_SIZE = 2048  # the side of the square matrices whose product gives the machine's peak: far beyond its caches


def tinyvit_train(config, images, labels, cores, economy):
    """A training step as `fit` does it."""
    pool, taken = _pool_at_work(config, labels, cores, model_of(config).init(np.random.default_rng(0), config)), 0

    def step():
        nonlocal taken
        taken += 1
        loss, _ = pool.gradient(taken, {"images": images, "labels": labels}, all_rows=not economy)
        pool.do("update", taken, 1e-3)
        return float(loss)

    return step


def tinyvit_infer(config, images, labels, cores, economy):
    """The logits: a small model's as over a data set, a large one's as of a few images."""
    p, part = model_of(config).init(np.random.default_rng(0), config), {"images": images, "labels": labels}
    if parameter_count(config) < LARGE:
        pool = _pool_at_work(config, labels, cores, p)
        return lambda: pool_outputs(pool, part)
    return lambda: outputs_and_scores(part, p, config, workers=cores)


def _pool_at_work(config, labels, cores, p):
    """A pool at work, with these parameters."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "blas")
    keep_freed_memory()
    pool = start_worker_pool(config, Recipe(batch=len(labels), label_smoothing=0), 0, workers=cores)
    for name in ("parameters", "average"):
        pool.train_step.arrays[name][...] = flat(p, like=pool.train_step.p)
    return pool


def torch_train(config, images, labels, cores, economy):
    """A training step of PyTorch's."""
    from tinyvit.bench import torch_vit

    torch_vit.torch.set_num_threads(cores)
    return torch_vit.train_step(_network(config, economy), images, labels)


def torch_infer(config, images, labels, cores, economy):
    """The logits, by PyTorch."""
    from tinyvit.bench import torch_vit

    torch_vit.torch.set_num_threads(cores)
    return torch_vit.infer_step(_network(config, economy), images)


def _network(config, economy):
    """The model in PyTorch."""
    name = name_of(config)
    if name == "vit":
        from tinyvit.bench.torch_vit import ViT

        return ViT(config, economy)
    from tinyvit.bench import torch_pyramids

    return {"swin": torch_pyramids.Swin, "hybrid": torch_pyramids.Hybrid}[name](config, economy)


def matrix_peak(config, images, labels, cores, economy):
    """A product of large matrices, and nothing else."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(cores, "blas")
    a, b = np.random.default_rng(0).standard_normal((2, PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
    return lambda: a @ b


def _set_up(spec):
    """The first message says what to do; the answer to each other, a number of steps, is the seconds of one."""
    if hasattr(os, "sched_setaffinity"):  # children inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: spec["cores"]])
    config, rng = model_named(spec["model"]).config.from_dict(spec["config"]), np.random.default_rng(1)
    sides = (spec["batch"], *config.size, config.channels)
    images, labels = rng.standard_normal(sides, dtype=np.float32), rng.integers(0, config.classes, spec["batch"])
    step = globals()[spec["function"]](config, images, labels, spec["cores"], spec["economy"])
    for _ in range(2):
        step()

    def turn(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return {"seconds": (time.perf_counter() - start) / steps}

    return turn


if __name__ == "__main__":
    serve(_set_up)
