"""Data as training takes them: parts of examples, each a dictionary of arrays, and batches of these."""

import warnings

import numpy as np

from tinyvit import trees
from tinyvit.arrays import is_on_gpu
from tinyvit.data.pixels import Pixels
from tinyvit.data.split import hold_out_indices
from tinyvit.errors import DataError
from tinyvit.models.model import model_of
from tinyvit.models.task import check_batch

PARTS = ("the training data", "the test data")
FARTHEST = 10  # from 0: photographs less the mean, divided by the deviation, come to 3
EVALUATION = 5  # a stream of random numbers, apart from those of training


def as_part(data, what="the data"):
    """A part of the data as a dictionary of arrays: it is one, or a pair (images, labels) as `load_data` gives."""
    if isinstance(data, dict):
        return data
    if not isinstance(data, tuple | list) or len(data) != 2:
        expected = "a pair (images, labels), as load_data returns, or a dictionary of arrays"
        raise DataError(f"{what}: found {_kind(data)}, expected {expected}")
    images, labels = data
    return {"images": images} if labels is None else {"images": images, "labels": labels}


def example_count(data):
    """The examples of a part of the data."""
    return len(next(iter(as_part(data).values())))


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
    if not isinstance(data, tuple | list) or len(data) != 2:
        expected = "(training part, test part), as load_data returns; each is a pair (images, labels)"
        raise DataError(f"the data: found {_kind(data)}, expected {expected}")
    parts = []
    for part, name in zip(data, PARTS, strict=True):
        part = dict(as_part(part, name))
        for array in part.keys() & task.arrays(config).keys():
            if array != "labels":
                part[array] = _numbers(part[array], f"{name}: {array}")
        parts.append(check_batch(part, config, task, name))
    return parts


def _kind(data):
    """What was given in place of data, in words."""
    several = f" of {len(data)}" if isinstance(data, tuple | list | dict | np.ndarray) else ""
    return "None" if data is None else f"{type(data).__name__}{several}"


def _numbers(values, what):
    """An array of numbers, or what can be made one; Pixels stay what they are."""
    if isinstance(values, Pixels) or is_on_gpu(values):
        return values
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # rows of different lengths, or an array of another library on its own device
        raise DataError(f"{what}: found {_kind(values)}, of which NumPy makes no array: expected an array") from None
    if array.dtype.kind not in "fiub":
        found = array.dtype if isinstance(values, np.ndarray) else _kind(values)
        raise DataError(f"{what}: found {found}, expected an array of numbers")
    return array


def check_pixels(parts):
    """Raise DataError if a pixel of the checked data is no number; warn of bytes, of which so little would be learned.

    Pixels need no look: they are scaled as they are read.
    """
    for part, name in zip(parts, PARTS, strict=True):
        images = part.get("images")
        if not isinstance(images, np.ndarray):
            continue
        low, high = float(images.min()), float(images.max())  # NaN, if a single one is
        if not np.isfinite(low + high):
            wrong = np.flatnonzero(~np.isfinite(images).all(axis=tuple(range(1, images.ndim))))
            found = f"{len(wrong)} of {len(images)} images hold NaN or infinity"
            raise DataError(f"{name}: {found}, the first of them image {wrong[0]}: expected finite numbers")
        if max(-low, high) > FARTHEST:
            scaled = "load_data scales pixels to -1 ... 1, and recipes expect that (of bytes: images / 127.5 - 1)"
            warnings.warn(f"{name}: images go from {low:g} to {high:g}: {scaled}", stacklevel=3)


def held_out(part, share):
    """The indices to train on and those to validate on: a fixed share of every class, or of all where no labels are."""
    count = example_count(part)
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
