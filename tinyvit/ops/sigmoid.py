"""The logistic function."""

import numpy as np


def sigmoid(x):
    """y = 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, elementwise: a gate between closed, 0, and open, 1.

    The second form has no exponential that could overflow. Returns y and the cache {y}.
    """
    y = x * 0.5
    np.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y, {"y": y}


def sigmoid_backward(dy, c):
    """The gradient of x: with y = (1 + t) / 2 and t = tanh(x / 2), dy/dx = (1 - t^2) / 4 = y (1 - y)."""
    return dy * (c["y"] * (1 - c["y"]))
