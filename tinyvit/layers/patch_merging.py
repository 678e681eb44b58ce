"""Patch merging: four neighbours become one token of twice the width (Swin: Liu et al. 2021, section 3.1)."""

from tinyvit.arrays import xp_of
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.linear import linear, linear_backward, linear_init

NEIGHBOURS = ((0, 0), (1, 0), (0, 1), (1, 1))  # row and column: the row runs fastest, as published weights need


def patch_merging_init(rng, dim, *, dtype="float32"):
    """Parameters {ln {gamma, beta [4C]}, reduction {w [4C, 2C]}}; no bias."""
    reduction = linear_init(rng, 4 * dim, 2 * dim, dtype=dtype)
    return {"ln": layer_norm_init(rng, 4 * dim, dtype=dtype), "reduction": {"w": reduction["w"]}}


def patch_merging(x, p, *, eps=1e-5):
    """Halve the map, double the width: what a convolution of stride 2 does in a pyramid.

        y[i, j] = LN([x[2i, 2j]; x[2i+1, 2j]; x[2i, 2j+1]; x[2i+1, 2j+1]]) w

    Parameters
    ----------
    x : array [B, H, W, C]
        Where a side is odd, a row or a column of zeros follows.
    p : {ln, reduction}

    Returns
    -------
    y : array [B, ceil(H/2), ceil(W/2), 2C], and the cache {x, ln, reduction}
    """
    B, H, W, C = x.shape
    c = {"x": x}
    if H % 2 or W % 2:
        even = xp_of(x).zeros((B, H + H % 2, W + W % 2, C), x.dtype)
        even[:, :H, :W] = x
        x = even
    y = xp_of(x).concatenate([x[:, row::2, column::2] for row, column in NEIGHBOURS], axis=-1)
    y, c["ln"] = layer_norm(y, p["ln"], eps=eps)
    y, c["reduction"] = linear(y, p["reduction"])
    return y, c


def patch_merging_backward(dy, p, c):
    """Every token stood in one of the four places, and takes its quarter of the gradient. Returns dx and g."""
    g = {}
    dy, g["reduction"] = linear_backward(dy, p["reduction"], c["reduction"])
    dy, g["ln"] = layer_norm_backward(dy, p["ln"], c["ln"])
    B, H, W, C = c["x"].shape
    dx = xp_of(dy).empty((B, H + H % 2, W + W % 2, C), dy.dtype)
    for number, (row, column) in enumerate(NEIGHBOURS):
        dx[:, row::2, column::2] = dy[..., number * C : (number + 1) * C]
    return dx[:, :H, :W], g
