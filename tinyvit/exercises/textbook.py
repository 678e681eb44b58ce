"""Some of the package's functions as a learner writes them, from the formula and without regard to speed.

The package's own source of these is far from the formula, so that a slip in the formula is no small change of it.
`slips` makes its changes here; the tests hold both alike.
"""

import math

import numpy as np

from tinyvit.ops.erf import normal_distribution
from tinyvit.ops.sums import column_sums


def gelu(x):
    erf = 2 * normal_distribution(math.sqrt(2) * (x / math.sqrt(2)))[0] - 1
    cdf = (1 + erf) / 2
    density = np.exp(-(x * x) / 2) / math.sqrt(2 * math.pi)
    return x * cdf, {"dydx": cdf + x * density}


def gelu_tanh(x):
    k, a = math.sqrt(2 / math.pi), 0.044715
    u = k * (x + a * x * x * x)
    t = np.tanh(u)
    dudx = k * (1 + 3 * a * x * x)
    dydx = (1 + t) / 2 + x * (1 - t * t) * dudx / 2
    return x * (1 + t) / 2, {"dydx": dydx}


def group_norm(x, p, *, groups=32, eps=1e-6):
    B, H, W, C = x.shape
    x = x.reshape(B, H, W, groups, C // groups)
    centred = x - x.mean(axis=(1, 2, 4), keepdims=True)
    var = x.var(axis=(1, 2, 4), keepdims=True)
    rstd = 1 / np.sqrt(var + eps)
    xhat = (centred * rstd).reshape(B, H, W, C)
    y = xhat * p["gamma"] + p["beta"]
    return y, {"xhat": xhat, "rstd": rstd[:, 0, 0, :, 0]}


def group_norm_backward(dy, p, c):
    (B, H, W, C), groups = dy.shape, c["rstd"].shape[1]
    xhat, rstd = c["xhat"].reshape(B, H, W, groups, -1), c["rstd"][:, None, None, :, None]
    g = {"gamma": (dy * c["xhat"]).sum(axis=(0, 1, 2)), "beta": dy.sum(axis=(0, 1, 2))}
    dxhat = (dy * p["gamma"]).reshape(B, H, W, groups, -1)
    along_ones = dxhat.mean(axis=(1, 2, 4), keepdims=True)
    along_xhat = (dxhat * xhat).mean(axis=(1, 2, 4), keepdims=True)
    dx = (dxhat - along_ones - xhat * along_xhat) * rstd
    return dx.reshape(B, H, W, C), g


def layer_norm(x, p, *, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(var + eps)
    xhat = centred * rstd
    y = xhat * p["gamma"] + p["beta"]
    return y, {"xhat": xhat, "rstd": rstd}


def layer_norm_backward(dy, p, c):
    xhat, rstd = c["xhat"], c["rstd"]
    g = {"gamma": column_sums(dy * xhat), "beta": column_sums(dy)}
    dxhat = dy * p["gamma"]
    along_ones = dxhat.mean(axis=-1, keepdims=True)
    along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)
    return (dxhat - along_ones - xhat * along_xhat) * rstd, g


def standardise(w, *, kind="std"):
    eps = w.dtype.type(1e-5)
    centred = w - w.mean(axis=(0, 1, 2), keepdims=True)
    var = w.var(axis=(0, 1, 2))
    std = np.sqrt(var)
    factor = 1 / (std + eps)
    return centred * factor, {"centred": centred, "factor": factor}


def standardise_backward(dy, c, *, kind="std"):
    centred, f = c["centred"], c["factor"]
    std = np.sqrt((centred * centred).mean(axis=(0, 1, 2)))
    dcentred = f * dy - f * f * centred / std * (dy * centred).mean(axis=(0, 1, 2))
    return dcentred - dcentred.mean(axis=(0, 1, 2))


FUNCTIONS = {
    each.__name__: each
    for each in (
        gelu,
        gelu_tanh,
        group_norm,
        group_norm_backward,
        layer_norm,
        layer_norm_backward,
        standardise,
        standardise_backward,
    )
}
