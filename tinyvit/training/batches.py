"""Data as training takes them: parts of examples, each a dictionary of arrays, and batches of these."""

import numpy as np

from tinyvit import trees
from tinyvit.data.split import hold_out_indices
from tinyvit.models.model import model_of
from tinyvit.models.task import check_batch

EVALUATION = 5  # a stream of random numbers, apart from those of training


def as_part(data):
    """A part of the data as a dictionary of arrays: it is one, or a pair (images, labels) as `load_data` gives."""
    if isinstance(data, dict):
        return data
    images, labels = data
    return {"images": images} if labels is None else {"images": images, "labels": labels}


def checked_data(config, data):
    """The training and the test part as dictionaries of arrays, once they are known to be what the model takes.

    Parameters
    ----------
    config : the configuration of one of MODELS
    data : (training part, test part)
        Each a dictionary of arrays, or a pair (images, labels).

    Raises
    ------
    DataError
        If one of them has no examples, or other arrays, shapes or labels than the model takes.
    """
    task = model_of(config).task
    names = ("the training data", "the test data")
    return [check_batch(as_part(part), config, task, name) for part, name in zip(data, names, strict=True)]


def held_out(part, share):
    """The indices to train on and those to validate on: a fixed share of every class, or of all where no labels are."""
    count = len(next(iter(part.values())))
    if not share:
        return np.arange(count), np.arange(0)
    return hold_out_indices(part["labels"] if "labels" in part else np.zeros(count, np.int64), share)


def evaluation_batch(model, batch, config, first):
    """The batch and the masks of an evaluation. Where these are drawn, each example has a generator of its own.

    `first` is the number of the batch's first example in its data: the draws for an example are so the same in every
    evaluation, however the examples are divided into batches.
    """
    if not model.evaluation_draws:
        return model.draw(None, batch, config, training=False)
    drawn = []
    for i in range(len(next(iter(batch.values())))):
        example = {name: array[i : i + 1] for name, array in batch.items()}
        rng = np.random.default_rng([EVALUATION, first + i])
        drawn.append(list(model.draw(rng, example, config, training=False)))
    return trees.map(lambda *parts: np.concatenate(parts), *drawn)


def take(part, indices, config):
    """The examples with these indices, or in this slice, as a batch: the arrays that the model's task takes."""
    return {name: part[name][indices] for name in model_of(config).task.arrays(config)}
