"""Pretraining: a model learns from images alone, by a task that needs no labels (see models/masked.py)."""

import time

import numpy as np

from tinyvit import trees
from tinyvit.arrays import flat
from tinyvit.errors import DataError, UsageError
from tinyvit.models.model import model_of
from tinyvit.training.cores import workers_for
from tinyvit.training.worker_pool import start_worker_pool
from tinyvit.training.loop import check_freeze, checked_seed
from tinyvit.training.recipe import Recipe
from tinyvit.training.step import LOG_EVERY, arithmetic, epoch_order, take_step


def pretrain(config, images, *, recipe=None, seed=0, workers=1, progress=False):
    """Train a model on images without labels.

    Parameters
    ----------
    config : MaskedConfig
    images : array [N, H, W, C]
        All of them are learned from: the recipe's `validation` holds none out.
    recipe : Recipe, optional
    seed : int
        Of everything random.
    workers : int
        As in fit: the result is the same to the bit for any number.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    p : tree
        The model: the average of the weights. `encoder_of` makes the start of a classifier of it.
    history : list of dict
        A record for every tenth step, with the keys of fit's.

    Raises
    ------
    DivergedError
        If the loss is no longer a number: at which step.
    WorkerError
        If a worker was killed or failed.
    DataError, UsageError
        If images and configuration do not fit each other, or the model needs labels.
    """
    from tqdm import tqdm

    recipe, seed, model, history = recipe or Recipe(), checked_seed(seed), model_of(config), []
    if model.classifies:
        raise UsageError(f"{type(config).__name__} is of a model that learns from labels: expected a MaskedConfig")
    check_freeze(config, recipe)
    config.vit.check_images(images)
    if not len(images):
        raise DataError("there are no images to learn from: expected at least one")
    unread = np.zeros(len(images), np.int64)  # a model that learns from images alone draws its targets from them
    steps = recipe.epochs * -(-len(images) // recipe.batch)
    with (
        arithmetic(),
        start_worker_pool(config, recipe, seed, workers=workers_for(recipe, workers)) as pool,
        tqdm(total=steps, disable=not progress, unit="step", mininterval=0.5) as bar,
    ):
        arrays, begun = pool.train_step.arrays, time.perf_counter()
        arrays["parameters"][...] = flat(model.init(np.random.default_rng(seed), config), like=pool.train_step.p)
        arrays["average"][...] = arrays["parameters"]
        for step, (epoch, batch) in enumerate(_batches(recipe, seed, len(images)), 1):
            loss, norm, rate = take_step(pool, step, steps, images[batch], unread[batch])
            if step % LOG_EVERY == 0:
                record = {"kind": "step", "step": step, "seconds": round(time.perf_counter() - begun, 3)}
                record |= {"epoch": epoch + 1, "loss": float(loss), "learning_rate": rate, "gradient_norm": float(norm)}
                history.append(record)
                bar.set_postfix(loss=f"{float(loss):.3f}", refresh=False)
            bar.update()
        return trees.map(np.array, pool.train_step.average), history


def _batches(recipe, seed, images):
    """(epoch, indices) of every batch of the run."""
    for epoch in range(recipe.epochs):
        order = epoch_order(seed, epoch, images)
        for start in range(0, images, recipe.batch):
            yield epoch, order[start : start + recipe.batch]
