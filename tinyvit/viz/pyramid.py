"""Maps of a pyramid, whose tokens become fewer from stage to stage, over the patches that it began with.

Merging makes one token of four neighbours, [x1; x2; x3; x4] w. What it takes from each depends on w and on the tokens;
taken for equal, as rollout takes the heads for equal, the merged token comes from a patch as much as its four did on
average:

    R'_j = mean over the four i that are merged into j of R_i,    R' = G R

At the border of a map of an odd side fewer than four are merged, for zeros come from nowhere. The same G tells where a
late stage looks: what a query takes from a merged token, it takes in equal parts from the patches below.
"""

import functools
import math

import numpy as np


@functools.lru_cache(maxsize=16)
def merging_matrix(side):
    """G [ceil(side / 2)^2, side^2]: row j is the mean of the tokens that patch merging makes token j of.

    Parameters
    ----------
    side : int
        Of the map before, in tokens; where it is odd, a row and a column of zeros follow.
    """
    rows, columns = np.divmod(np.arange(side * side), side)
    j = rows // 2 * -(-side // 2) + columns // 2
    g = np.zeros((j.max() + 1, side * side), np.float32)
    g[j, np.arange(side * side)] = 1
    g /= g.sum(axis=1, keepdims=True)
    g.flags.writeable = False  # all who ask share it
    return g


def merged(rows):
    """The rows [B, N, S] of a rollout, as they are after patch merging: [B, ceil(sqrt(N) / 2)^2, S]."""
    return merging_matrix(math.isqrt(rows.shape[1])).astype(rows.dtype) @ rows


def over_patches(weights, patches):
    """What goes to the tokens of any stage, in equal parts to the patches that they stand for.

    Parameters
    ----------
    weights : array [..., N]
    patches : int
        How many there are in the first stage.

    Returns
    -------
    array [..., patches], whose rows have the same sums
    """
    sides = [math.isqrt(patches)]
    while sides[-1] ** 2 > weights.shape[-1]:
        sides.append(-(-sides[-1] // 2))
    for side in reversed(sides[:-1]):
        weights = weights @ merging_matrix(side).astype(weights.dtype)
    return weights


def stage_grid(tokens, grid, patch):
    """The rows and columns, and the side in pixels, of the tokens of the stage that has so many."""
    while math.prod(grid) > tokens:
        grid, patch = tuple(-(-side // 2) for side in grid), 2 * patch
    return grid, patch
