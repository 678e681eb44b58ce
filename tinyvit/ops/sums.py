"""Sums along rows and columns, as matrix products with ones.

NumPy sums along a short last axis row by row, one loop for each row; a product with a vector of ones does the same sum
on the matrix-multiplication units, several times faster. LayerNorm, softmax and every bias gradient need such sums.
The maximum of short rows is taken over their transpose, whose rows are long, after they are folded to a few numbers.
"""

import numpy as np

from tinyvit.arrays import xp_of

SHORT = 128  # numbers in a row, up to which folding and transposing it first is faster
FEW = 24  # numbers in a row, up to which it is not folded


def row_max(x):
    """Maximum over the last axis, kept: [..., D] -> [..., 1]."""
    if x.shape[-1] > SHORT or xp_of(x) is not np:
        return x.max(axis=-1, keepdims=True)
    rows = x.reshape(-1, x.shape[-1])
    while rows.shape[1] > FEW:  # the larger of each number of the first half and one of the last; they may overlap
        half = (rows.shape[1] + 1) // 2
        rows = np.maximum(rows[:, :half], rows[:, -half:])
    return rows.T.copy().max(axis=0).reshape(*x.shape[:-1], 1)


def row_sums(x):
    """Sum over the last axis, kept: [..., D] -> [..., 1]."""
    ones = xp_of(x).ones(x.shape[-1], x.dtype)
    return (x.reshape(-1, x.shape[-1]) @ ones).reshape(*x.shape[:-1], 1)


def column_sums(x):
    """Sum over every axis but the last: [..., D] -> [D]."""
    rows = x.reshape(-1, x.shape[-1])
    return xp_of(x).ones(len(rows), x.dtype) @ rows


def row_dots(x, y):
    """The inner product of each row of x with that of y: [..., D], [..., D] -> [..., 1], without storing x * y."""
    return xp_of(x).einsum("...d,...d->...", x, y)[..., None]


def place_sums(x):
    """Sum over every axis but the first and the last, image by image: [B, ..., C] -> [B, C]."""
    places = x.reshape(len(x), -1, x.shape[-1])
    return (xp_of(x).ones((1, places.shape[1]), x.dtype) @ places)[:, 0]


def place_dots(x, y):
    """place_sums of x * y, without storing it: [B, ..., C], [B, ..., C] -> [B, C]."""
    return xp_of(x).einsum("bnc,bnc->bc", *(a.reshape(len(a), -1, a.shape[-1]) for a in (x, y)))
