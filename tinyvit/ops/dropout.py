"""Dropout (Srivastava et al. 2014), inverted: what is kept is scaled up, so that evaluation does nothing."""

from types import MappingProxyType

from tinyvit.annotations import Masks
from tinyvit.arrays import check_generator

NO_MASKS: Masks = MappingProxyType({})  # the masks of evaluation: there are none, for any layer


def dropout_mask(rng, shape, rate, dtype):
    """Draw a mask: 0 with probability `rate`, else 1 / (1 - rate), so that the mean of each entry is 1.

    Parameters
    ----------
    rng : numpy.random.Generator
        Always on the CPU, so that one seed drops the same entries on every device.
    shape : tuple
        Of the array the mask is for.
    rate : float
        In [0, 1).
    """
    check_generator(rng)
    return ((rng.random(shape, dtype="float32") >= rate) / (1 - rate)).astype(dtype)


def dropout(x, mask=None):
    """y = x * mask. The mask is handed in, so the function stays pure; without one (evaluation), y = x.

    Parameters
    ----------
    x : array, any shape
    mask : array of x's shape, optional
        From `dropout_mask`.

    Returns
    -------
    y : array of x's shape, and the cache {mask}, or {} without one
    """
    return (x, {}) if mask is None else (x * mask, {"mask": mask})


def dropout_backward(dy, c):
    """The gradient of x: dx = dy * mask; what was dropped had no influence."""
    return dy * c["mask"] if "mask" in c else dy
