"""The rectified linear unit."""

from tinyvit.arrays import xp_of


def relu(x):
    """y = max(x, 0).

    Returns
    -------
    y : array of x's shape, and the cache {y}
    """
    y = xp_of(x).maximum(x, 0)
    return y, {"y": y}


def relu_backward(dy, c):
    """dx = dy where y > 0, else 0."""
    return dy * (c["y"] > 0)
