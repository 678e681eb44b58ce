"""Group normalisation (Wu and He 2018): of each image by itself, over places and groups of channels."""

import numpy as np

from tinyvit.layers.layer_norm import layer_norm_init
from tinyvit.ops.sums import place_dots, place_sums


def group_norm_init(rng, channels, *, dtype="float32"):
    """Parameters {gamma [C], beta [C]}: ones and zeros."""
    return layer_norm_init(rng, channels, dtype=dtype)


def group_norm(x, p, *, groups=32, eps=1e-6):
    """Normalise each group of C/G channels of each image over all places, then scale and shift channel by channel.

        xhat = (x - mean(x)) / sqrt(var(x) + eps),    y = gamma * xhat + beta

    With G = 1 all channels are one group; LayerNorm does the same at every place by itself. The sums run over places
    first, [B, H, W, C] -> [B, C], then over the channels of a group, which are few numbers.

    Parameters
    ----------
    x : array [B, H, W, C]
    p : {gamma [C], beta [C]}
    groups : int
        G; it divides C.
    eps : float

    Returns
    -------
    y : array [B, H, W, C], and the cache {xhat [B, H, W, C], rstd [B, G]}
    """
    size = x[0].size // groups
    xhat = x - _to_channels(_group_sums(place_sums(x), groups) * (1 / size), x)
    rstd = 1 / np.sqrt(_group_sums(place_dots(xhat, xhat), groups) * (1 / size) + eps)
    xhat *= _to_channels(rstd, x)
    y = xhat * p["gamma"]
    y += p["beta"]
    return y, {"xhat": xhat, "rstd": rstd}


def group_norm_backward(dy, p, c):
    """The gradients of input and parameters: layer_norm's, with the means over a group of an image.

    dgamma = sum of dy * xhat,    dbeta = sum of dy, over images and places
    dx = r (dxhat - mean(dxhat) - xhat mean(dxhat xhat)),    dxhat = dy * gamma

    gamma is the same at all places: the sum over them of dxhat is gamma times that of dy, and dxhat xhat alike.
    """
    xhat, rstd, gamma = c["xhat"], c["rstd"], p["gamma"]
    groups, size = rstd.shape[1], dy[0].size // rstd.shape[1]
    along_xhat, along_ones = place_dots(dy, xhat), place_sums(dy)  # [B, C]
    g = {"gamma": along_xhat.sum(axis=0), "beta": along_ones.sum(axis=0)}
    dx = dy * gamma  # dxhat
    dx -= xhat * _to_channels(_group_sums(along_xhat * gamma, groups) * (1 / size), dy)
    dx -= _to_channels(_group_sums(along_ones * gamma, groups) * (1 / size), dy)
    dx *= _to_channels(rstd, dy)
    return dx, g


def _group_sums(sums, groups):
    """[B, C] -> [B, G], the sum of each group's channels."""
    return sums.reshape(len(sums), groups, -1).sum(axis=-1)


def _to_channels(numbers, x):
    """[B, G] -> [B, 1, 1, C], for each channel of x its group's number."""
    return numbers.repeat(x.shape[-1] // numbers.shape[1], axis=1)[:, None, None]
