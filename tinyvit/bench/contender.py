"""A contender in a benchmark: `python -m tinyvit.bench.contender`, a process of its own, started by compare.py.

It warms up before it answers the first message (see `serve`), so that only warm steps are timed.
"""

import os
import time

import numpy as np

from tinyvit.arrays import flat
from tinyvit.models.decoding import generate
from tinyvit.models.model import model_named, model_of, name_of, parameter_count
from tinyvit.models.transformer import decode, transformer_start, transformer_step
from tinyvit.ops.tokens import PADDING, SPECIAL
from tinyvit.training.evaluation import LARGE, outputs_and_scores, pool_outputs
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe
from tinyvit.training.worker import serve
from tinyvit.training.worker_pool import start_worker_pool

MICRO_BATCH = 32  # images, at most; fewer where a batch of a large model would not give each core some
PEAK_SIZE = 2048  # the side of the square matrices whose product gives the machine's peak: far beyond its caches


def tinyvit_train(config, batch, cores, economy):
    """A training step as `fit` does it."""
    pool, taken = _pool_at_work(config, batch, cores, model_of(config).init(np.random.default_rng(0), config)), 0

    def step():
        nonlocal taken
        taken += 1
        loss, _ = pool.gradient(taken, batch, all_rows=not economy)
        pool.update(taken, 1e-3)
        return float(loss)

    return step


def tinyvit_infer(config, batch, cores, economy):
    """The logits: a small model's as over a data set, a large one's as of a few images."""
    p = model_of(config).init(np.random.default_rng(0), config)
    if parameter_count(config) < LARGE:
        pool = _pool_at_work(config, batch, cores, p)
        return lambda: pool_outputs(pool, batch)
    return lambda: outputs_and_scores(batch, p, config, workers=cores)


def tinyvit_decode(config, batch, cores, economy):
    """Write `target_length` tokens for each source; without the economy, all before are computed again for each."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(cores, "blas")
    keep_freed_memory()
    p, source = model_of(config).init(np.random.default_rng(0), config), batch["source"]

    def again(tokens, state):
        tokens = np.concatenate([state["tokens"], tokens[:, None]], axis=1)
        logits, _ = decode(tokens, state["memory"], p, config)
        return logits[:, -1], state | {"tokens": tokens}

    def step():
        state = transformer_start(source, p, config) | {"tokens": np.zeros((len(source), 0), int)}
        on = (lambda tokens, state: transformer_step(tokens, state, p, config)) if economy else again
        return generate(on, state, len(source), config.target_length, choose=_no_special)

    return step


def _no_special(scores):
    """The best token that ends nothing: all sequences are of one length."""
    return scores[:, len(SPECIAL) :].argmax(-1) + len(SPECIAL)


def _pool_at_work(config, batch, cores, p):
    """A pool at work, with these parameters."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "blas")
    keep_freed_memory()
    count = len(next(iter(batch.values())))
    recipe = Recipe(batch=count, micro_batch=min(MICRO_BATCH, -(-count // cores)), label_smoothing=0)
    pool = start_worker_pool(config, recipe, 0, workers=cores)
    for name in ("parameters", "average"):
        pool.train_step.arrays[name][...] = flat(p, like=pool.train_step.p)
    return pool


def torch_train(config, batch, cores, economy):
    """A training step of PyTorch's."""
    from tinyvit.bench import torch_vit

    torch_vit.torch.set_num_threads(cores)
    network = _network(config, economy)
    if "images" in batch:
        return torch_vit.train_step(network, (batch["images"],), batch["labels"])
    return torch_vit.train_step(network, (batch["source"], batch["target"]), batch["target"], ignored=PADDING)


def torch_infer(config, batch, cores, economy):
    """The logits, by PyTorch."""
    from tinyvit.bench import torch_vit

    torch_vit.torch.set_num_threads(cores)
    return torch_vit.infer_step(_network(config, economy), batch["images"])


def torch_decode(config, batch, cores, economy):
    """As `tinyvit_decode`, by PyTorch, whose nn.Transformer keeps no keys and values."""
    from tinyvit.bench import torch_sequences

    torch_sequences.torch.set_num_threads(cores)
    return torch_sequences.decode_step(_network(config, economy), batch["source"], config.target_length)


def _network(config, economy):
    """The model in PyTorch."""
    name = name_of(config)
    if name == "vit":
        from tinyvit.bench.torch_vit import ViT

        return ViT(config, economy)
    if name in ("transformer", "seq2seq", "attention"):
        from tinyvit.bench import torch_sequences

        return (torch_sequences.Transformer if name == "transformer" else torch_sequences.Seq2Seq)(config)
    from tinyvit.bench import torch_pyramids

    return {"swin": torch_pyramids.Swin, "hybrid": torch_pyramids.Hybrid}[name](config, economy)


def matrix_peak(config, batch, cores, economy):
    """A product of large matrices, and nothing else."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(cores, "blas")
    a, b = np.random.default_rng(0).standard_normal((2, PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
    return lambda: a @ b


def _set_up(spec):
    """The first message says what to do; the answer to each other, a number of steps, is the seconds of one."""
    if hasattr(os, "sched_setaffinity"):  # children inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: spec["cores"]])
    config = model_named(spec["model"]).config.from_dict(spec["config"])
    batch = _random_batch(config, spec["batch"])
    step = globals()[spec["function"]](config, batch, spec["cores"], spec["economy"])
    for _ in range(2):
        step()

    def turn(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return {"seconds": (time.perf_counter() - start) / steps}

    return turn


def _random_batch(config, count):
    """So many examples: images and labels; or sequences, each as long as the model takes, without padding."""
    rng, task = np.random.default_rng(1), model_of(config).task
    if "images" not in task.arrays(config):
        lengths = {name: shape for name, (shape, _) in task.arrays(config).items()}
        tokens = task.vocabularies(config)
        return {name: rng.integers(len(SPECIAL), tokens[name], (count, *lengths[name])) for name in lengths}
    images = rng.standard_normal((count, *config.size, config.channels), dtype=np.float32)
    return {"images": images, "labels": rng.integers(0, config.classes, count)}


if __name__ == "__main__":
    serve(_set_up)
