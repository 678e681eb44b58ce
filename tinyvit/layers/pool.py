"""Of many tokens, one answer: the class token, or the mean of all patches (ViT paper, equation 4 and appendix D.3).

Each kind is an entry in the table POOL: the token that it needs at the start, how it reads the last block's output, and
how many rows of that it looks at.
"""

from collections.abc import Callable
from typing import NamedTuple

from tinyvit.layers.embedding import class_token, class_token_backward, class_token_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.nothing import nothing, nothing_backward, nothing_init
from tinyvit.ops.class_row import class_row, class_row_backward
from tinyvit.ops.mean_row import mean_row, mean_row_backward


def class_readout(z, p, *, eps=1e-6):
    """What the class token has gathered: y = LN(z_L^0), the paper's equation 4.

    LayerNorm works on each token by itself, so only the row that is read is normalised.

    Parameters
    ----------
    z : array [B, T, D]
        The last block's output, or its first row alone.
    p : {gamma [D], beta [D]}
    eps : float
        As in layer_norm.

    Returns
    -------
    y : array [B, D], and the cache {class_row, ln}
    """
    c = {}
    y, c["class_row"] = class_row(z)
    y, c["ln"] = layer_norm(y, p, eps=eps)
    return y, c


def class_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, T, D], zero but in row 0, and g."""
    dy, g = layer_norm_backward(dy, p, c["ln"])
    return class_row_backward(dy, c["class_row"]), g


def mean_readout(z, p, *, eps=1e-6):
    """What all patches say, on average: y = 1/N sum_n LN(z_L^n), global average pooling.

    As in the paper's code, the mean is of normalised tokens. (Others normalise the mean; for a single token the order
    would not matter.)

    Parameters
    ----------
    z : array [B, N, D]
        The last block's output; there is no class token in it.
    p : {gamma [D], beta [D]}
    eps : float
        As in layer_norm.

    Returns
    -------
    y : array [B, D], and the cache {z, ln, mean_row}
        z, as the class token's readout has it too: where the residual stream ends, for those who look inside.
    """
    c = {"z": z}
    z, c["ln"] = layer_norm(z, p, eps=eps)
    y, c["mean_row"] = mean_row(z)
    return y, c


def mean_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, N, D] and g."""
    return layer_norm_backward(mean_row_backward(dy, c["mean_row"]), p, c["ln"])


class Pool(NamedTuple):
    """One way from tokens to an answer: a token to begin with, and how the answer is read."""

    token_init: Callable
    token: Callable
    token_backward: Callable
    tokens: int  # put before the patches
    read: Callable
    read_backward: Callable
    rows: int | None  # of the last block's output that are read; None is all


POOL = {
    "class": Pool(
        class_token_init, class_token, class_token_backward, 1, class_readout, class_readout_backward, rows=1
    ),
    "mean": Pool(nothing_init, nothing, nothing_backward, 0, mean_readout, mean_readout_backward, rows=None),
}
