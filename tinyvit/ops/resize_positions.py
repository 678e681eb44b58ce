"""A table of position embeddings for another image size (ViT paper, section 3.2)."""

import math

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.ops.resize import resize, resize_backward


def resize_positions(pos, grid, method):
    """Take the patches' embeddings for an image [G, G, D] and resize it; the class token's row stays as it is.

        y_0 = pos_0,    y_1.. = resize(pos_1..)

    A larger image has more patches, each with a place that the table does not know: it gets a mean of its neighbours'
    embeddings. At the same size, y is pos to the bit.

    Parameters
    ----------
    pos : array [1 + G^2, D]
        Row 0 belongs to the class token, the others to the patches in raster order.
    grid : int
        The new number G' of patches along each side: 24 for ViT-B/16 on images of 384 pixels, 14 for 224.
    method : str
        A key of tinyvit.ops.resize.RESIZE.

    Returns
    -------
    y : array [1 + G'^2, D], and the cache of resize

    Raises
    ------
    UsageError
        If the rows after the first are no square, or resize cannot do it.
    """
    patches, D = len(pos) - 1, pos.shape[1]
    side = math.isqrt(patches)
    if side**2 != patches:
        raise UsageError(
            f"a position table of {len(pos)} rows cannot be resized: without the class token's there are {patches}, "
            f"which is no square number"
        )
    y, c = resize(pos[1:].reshape(side, side, D), grid, grid, method)
    return xp_of(pos).concatenate([pos[:1], y.reshape(grid * grid, D)]), c


def resize_positions_backward(dy, c):
    """The gradient of the table: dy in the class token's row, resize's own gradient in the others."""
    D, (grid, _) = dy.shape[1], c["rows"].shape
    dpatches = resize_backward(dy[1:].reshape(grid, grid, D), c)
    return xp_of(dy).concatenate([dy[:1], dpatches.reshape(-1, D)])
