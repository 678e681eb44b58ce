"""The rectified linear unit."""

from tinyvit.arrays import xp_of


def relu(x):
    """y = max(x, 0).

    Returns
    -------
    y : array of x's shape, and the cache {dydx}, True where x is positive
    """
    y = xp_of(x).maximum(x, 0)
    return y, {"dydx": x > 0}


def relu_backward(dy, c):
    """dx = dy where x > 0, else 0."""
    return dy * c["dydx"]
