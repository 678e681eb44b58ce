"""Position embeddings, of which a config names one: how the encoder learns where a patch was.

Attention treats its input as a set: without positions, permuting the patches permutes the outputs and changes nothing
else. Each kind is an entry in the table POSITIONS; a further kind is a further entry, and no model changes. Positions
are added before the first block, or before every block: `position_at` in the configuration.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.layers.identity import identity, identity_backward, identity_init
from tinyvit.layers.initializers import normal


def learned_position_init(rng, tokens, dim, *, std=0.02, dtype="float32"):
    """A table [T, D], one row for each position, drawn with the given standard deviation: the paper's E_pos."""
    return normal(rng, (tokens, dim), std, dtype)


def learned_position(z, p):
    """Add to each token the embedding of its position: y = z + E_pos (ViT paper, equation 1).

    Adding is a special case of concatenating: x E + P_t = [x, onehot(t)] [E; P], a linear projection of the patch
    beside its position.

    Parameters
    ----------
    z : array [B, T, D]
    p : array [T, D]
        Row 0 belongs to the class token.

    Returns
    -------
    y : array [B, T, D], and the cache {}
    """
    return z + p, {}


def learned_position_backward(dy, p, c):
    """The gradients of z and of the table, which all images share: dz = dy, dp = sum of dy over the batch."""
    return dy, dy.sum(axis=0)


def grid_position_init(rng, tokens, dim, *, std=0.02, dtype="float32"):
    """Two tables for a G x G grid, x [G, D/2] of columns and y [G, D/2] of rows; cls [1, D] if there is a class token.

    There is one if T is not a square number: then T = G*G + 1.
    """
    side = math.isqrt(tokens)
    p = {"x": normal(rng, (side, dim // 2), std, dtype), "y": normal(rng, (side, dim - dim // 2), std, dtype)}
    return p | ({"cls": normal(rng, (1, dim), std, dtype)} if tokens > side**2 else {})


def grid_position(z, p):
    """Learned positions in two dimensions: each half of a token says one coordinate (ViT paper, appendix D.4).

        y = z + E,    E_(row, column) = [x_column, y_row]

    The class token is nowhere in the grid, and has a row of its own.

    Parameters
    ----------
    z : array [B, T, D]
        Patches in raster order, after the class token if there is one.
    p : {x [G, D/2], y [G, D/2], cls [1, D]}

    Returns
    -------
    y : array [B, T, D], and the cache {}
    """
    xp, side = xp_of(z), len(p["x"])
    columns = xp.broadcast_to(p["x"], (side, *p["x"].shape))  # the same in every row
    rows = xp.broadcast_to(p["y"][:, None], (side, *p["y"].shape))  # the same in every column
    table = xp.concatenate([columns, rows], axis=-1).reshape(side * side, -1)
    return z + (xp.concatenate([p["cls"], table]) if "cls" in p else table), {}


def grid_position_backward(dy, p, c):
    """The gradients of z and of both tables: a column's embedding serves all its rows, so dx is a sum over rows."""
    dtable, side, half = dy.sum(axis=0), len(p["x"]), p["x"].shape[1]
    grid = dtable[len(dtable) - side * side :].reshape(side, side, -1)
    g = {"x": grid[..., :half].sum(axis=0), "y": grid[..., half:].sum(axis=1)}
    return dy, g | ({"cls": dtable[:1]} if "cls" in p else {})


def sinusoidal_position(z, p, *, first=0):
    """Add to token t sines and cosines of t, of D/2 wavelengths (Vaswani et al. 2017, section 3.5). Nothing is learned.

        y = z + E,    E_{t,2i} = sin(t w_i),    E_{t,2i+1} = cos(t w_i),    w_i = 10000^(-2i/D)

    Parameters
    ----------
    z : array [B, T, D]
        The class token stands at t = 0.
    p : {}
    first : int
        The t of the first token, in decoding step by step.

    Returns
    -------
    y : array [B, T, D], and the cache {}
    """
    xp, (T, D) = xp_of(z), z.shape[1:]
    t = xp.arange(first, first + T, dtype=z.dtype)[:, None]
    angle = t * 10_000 ** (-xp.arange(0, D, 2, dtype=z.dtype) / D)  # [T, D/2]
    waves = xp.stack([np.sin(angle), np.cos(angle)], axis=-1)  # [T, D/2, 2]
    return z + waves.reshape(T, -1)[:, :D], {}


def relative_position_init(rng, tokens, dim, *, std=0.02, dtype="float32"):
    """A table [2T-1, D], one row for each offset from -(T-1) to T-1: extra keys, of which each head has d columns.

    The paper does not define the class token's offset. Here the class token has index 0 and patch n has index n; an
    offset is a difference of indices.
    """
    return normal(rng, (2 * tokens - 1, dim), std, dtype)


class Position(NamedTuple):
    """One kind of position embedding: its parameters, and the two functions that add it to tokens.

    A kind that is not added to tokens, but acts within attention, has none: None.
    """

    init: Callable
    forward: Callable | None
    backward: Callable | None


POSITIONS = {
    "1d": Position(learned_position_init, learned_position, learned_position_backward),
    "2d": Position(grid_position_init, grid_position, grid_position_backward),
    "sinusoidal": Position(identity_init, sinusoidal_position, identity_backward),
    "relative": Position(relative_position_init, None, None),
    "none": Position(identity_init, identity, identity_backward),
}


def position_init(rng, kind, tokens, dim, *, std=0.02, dtype="float32"):
    """The parameters of a kind of positions for so many tokens, or {}; learned ones start with deviation std."""
    return POSITIONS[kind].init(rng, tokens, dim, std=std, dtype=dtype)


def position(z, p, *, kind):
    """Add positions of a kind to tokens: y = z + E_pos (ViT paper, equation 1).

    Parameters
    ----------
    z : array [B, T, D]
    p : the parameters of this kind, as its `init` makes them
    kind : str
        One of POSITIONS whose positions are added to tokens.

    Returns
    -------
    y : array [B, T, D], and the cache of this kind
    """
    return POSITIONS[kind].forward(z, p)


def position_backward(dy, p, c, *, kind):
    """The forward pass in reverse. Returns dz and g."""
    return POSITIONS[kind].backward(dy, p, c)
