"""Group normalisation (Wu and He 2018): of each image by itself, over places and groups of channels."""

import numpy as np

from tinyvit.layers.layer_norm import layer_norm_init


def group_norm_init(rng, channels, *, dtype="float32"):
    """Parameters {gamma [C], beta [C]}: ones and zeros."""
    return layer_norm_init(rng, channels, dtype=dtype)


def group_norm(x, p, *, groups=32, eps=1e-6):
    """Normalise each group of C/G channels of each image over all places, then scale and shift channel by channel.

        xhat = (x - mean(x)) / sqrt(var(x) + eps),    y = gamma * xhat + beta

    With G = 1 all channels are one group; LayerNorm does the same at every place by itself.

    Parameters
    ----------
    x : array [B, H, W, C]
    p : {gamma [C], beta [C]}
    groups : int
        G; it divides C.
    eps : float

    Returns
    -------
    y : array [B, H, W, C], and the cache {xhat [B, H, W, G, C/G], rstd [B, 1, 1, G, 1]}
    """
    B, H, W, C = x.shape
    grouped = x.reshape(B, H, W, groups, C // groups)
    xhat = grouped - grouped.mean(axis=(1, 2, 4), keepdims=True)
    rstd = 1 / np.sqrt((xhat * xhat).mean(axis=(1, 2, 4), keepdims=True) + eps)
    xhat *= rstd
    return xhat.reshape(x.shape) * p["gamma"] + p["beta"], {"xhat": xhat, "rstd": rstd}


def group_norm_backward(dy, p, c):
    """The gradients of input and parameters: layer_norm's, with the means over a group of an image.

    dgamma = sum of dy * xhat,    dbeta = sum of dy, over images and places
    dx = r (dxhat - mean(dxhat) - xhat mean(dxhat xhat)),    dxhat = dy * gamma
    """
    xhat = c["xhat"]
    dxhat = (dy * p["gamma"]).reshape(xhat.shape)
    g = {"gamma": (dy * xhat.reshape(dy.shape)).sum(axis=(0, 1, 2)), "beta": dy.sum(axis=(0, 1, 2))}
    dx = dxhat - dxhat.mean(axis=(1, 2, 4), keepdims=True)
    dx -= xhat * (dxhat * xhat).mean(axis=(1, 2, 4), keepdims=True)
    dx *= c["rstd"]
    return dx.reshape(dy.shape), g
