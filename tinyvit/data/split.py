"""A fixed, stratified split: every class gives up the same share, and the same members in every run."""

import numpy as np

from tinyvit.errors import UsageError


def hold_out(x: np.ndarray, y: np.ndarray, fraction: float = 0.1) -> tuple[tuple, tuple]:
    """Split a training set into the part to train on and the part to validate on.

    Choices (a learning rate, when to stop) are made by looking at the validation part, so that the test set is looked
    at once. No seed enters: runs with different seeds are validated on the same images.

    Parameters
    ----------
    x : array [B, ...], for example images
    y : integer array [B], the labels
    fraction : float between 0 and 1, the share to hold out, rounded to whole images

    Returns
    -------
    (x_train, y_train), (x_val, y_val) : copies, each in the order of x

    Raises
    ------
    UsageError
        If the fraction leaves one of the two parts empty.
    """
    train, held = hold_out_indices(y, fraction)
    return (x[train], y[train]), (x[held], y[held])


def hold_out_indices(y: np.ndarray, fraction: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """The same split as indices, for images that are not to be copied.

    Parameters
    ----------
    y : integer array [B], the labels
    fraction : float between 0 and 1, the share to hold out, rounded to whole images

    Returns
    -------
    train, held_out : integer arrays, each in rising order; together every index once

    Raises
    ------
    UsageError
        If the fraction leaves one of the two parts empty.
    """
    held = np.zeros(len(y), dtype=bool)
    held[stratified(y, held_out_count(len(y), fraction))] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def held_out_count(total: int, fraction: float) -> int:
    """How many of `total` examples are held out: the fraction, rounded.

    Raises
    ------
    UsageError
        If that leaves one of the two parts empty.
    """
    count = round(fraction * total) if 0 < fraction < 1 else 0
    if not 0 < count < total:
        expected = "expected a share between 0 and 1 that leaves both parts examples"
        raise UsageError(f"cannot hold out {fraction:g} of {total} examples: {expected}")
    return count


def stratified(labels, count):
    """The indices, in rising order, of `count` items that hold every class in its proportion.

    Largest remainders make the class quotas add up to `count`. Within a class the chosen are evenly spaced in file
    order: no random generator, whose numbers may differ from one NumPy to the next, and no long run of one writer's
    hand on one side only.
    """
    quotas = _quotas(np.bincount(labels), count)
    chosen = [_evenly_spaced(np.flatnonzero(labels == label), quota) for label, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen))


def _quotas(sizes, count):
    """Whole numbers proportional to `sizes` that add up to count; by integers alone, so the same on every machine."""
    quotas, remainders = np.divmod(sizes * count, sizes.sum())
    largest = np.argsort(-remainders, kind="stable")[: count - quotas.sum()]
    quotas[largest] += 1
    return quotas


def _evenly_spaced(members, count):
    """`count` of the members: the middles of as many equal stretches."""
    return members[(2 * np.arange(count) + 1) * len(members) // (2 * max(count, 1))]
