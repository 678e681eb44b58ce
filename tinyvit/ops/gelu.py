"""GELU, the Gaussian error linear unit (Hendrycks and Gimpel 2016): exact, and in its tanh approximation."""

import functools
import math

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.ops.erf import normal_cdf, normal_distribution

BLOCK = 2**16  # numbers that are computed at once: with all that is computed on the way, they stay in the cache


def in_blocks(f):
    """Let f take a large array block by block: it goes over its numbers twenty times, each time from the cache.

    Every number's result is its own, so they are the same. (A GPU takes the array whole.)
    """

    @functools.wraps(f)
    def blockwise(x):
        xp = xp_of(x)
        if xp is not np or x.size <= 4 * BLOCK:
            return f(x)
        numbers, y, c = x.reshape(-1), xp.empty(x.size, x.dtype), {}
        for start in range(0, x.size, BLOCK):
            block = slice(start, start + BLOCK)
            y[block], c_block = f(numbers[block])
            if not start:
                c = {name: xp.empty(x.size, x.dtype) for name in c_block}
            for name in c:
                c[name][block] = c_block[name]
        return y.reshape(x.shape), {name: array.reshape(x.shape) for name, array in c.items()}

    return blockwise


@in_blocks
def gelu(x):
    """GELU in its exact form: x times the probability that a standard normal variable lies below x.

        y = x Phi(x),    Phi(x) = (1 + erf(x / sqrt 2)) / 2

    The derivative follows from the product rule, with Phi' = phi the normal density:

        dy/dx = Phi(x) + x phi(x),    phi(x) = exp(-x^2 / 2) / sqrt(2 pi).

    Phi and phi share their exponential, so the forward pass computes dy/dx while it is at hand, and keeps it: the
    backward pass is then one multiplication.

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    y : array of x's shape, and the cache {dydx}
    """
    cdf, dydx = normal_distribution(x)
    dydx *= x
    dydx += cdf
    cdf *= x
    return cdf, {"dydx": dydx}


@in_blocks
def gelu_tanh(x):
    """GELU in the tanh form, as Google's ViT code computes it.

        y = x (1 + t) / 2,    t = tanh(u),    u = sqrt(2 / pi) (x + 0.044715 x^3)

    With dt/du = 1 - t^2 and du/dx = sqrt(2 / pi) (1 + 3 * 0.044715 x^2),

        dy/dx = (1 + t) / 2 + x (1 - t^2) / 2 * du/dx.

    It differs from the exact form by at most 4.73e-4, near |x| = 2.70.

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    y : array of x's shape, and the cache {dydx}
    """
    k, a = math.sqrt(2 / math.pi), 0.044715
    xx = x * x
    t = np.tanh(k * x * (1 + a * xx))
    half = 0.5 * (1 + t)
    dydx = half + 0.5 * x * (1 - t * t) * (k * (1 + 3 * a * xx))
    return x * half, {"dydx": dydx}


@in_blocks
def gelu_value(x):
    """The y of `gelu`, the same bits, without the derivative, and so without a cache: for prediction."""
    y = normal_cdf(x)
    y *= x
    return y, {}


@in_blocks
def gelu_tanh_value(x):
    """The y of `gelu_tanh`, the same bits, likewise."""
    k, a = math.sqrt(2 / math.pi), 0.044715
    return x * (0.5 * (1 + np.tanh(k * x * (1 + a * (x * x))))), {}


def gelu_backward(dy, c):
    """The gradient of x, for both forms: dx = dy * dy/dx, the derivative kept by the forward pass."""
    return dy * c["dydx"]


GELU = {"erf": gelu, "tanh": gelu_tanh}
VALUES = {"erf": gelu_value, "tanh": gelu_tanh_value}
