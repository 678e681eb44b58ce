"""A table of position embeddings for another image size (ViT paper, section 3.2)."""

import math

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.ops.resize import resize, resize_backward


def resize_positions(pos, grid, method, *, old=None):
    """Take the patches' embeddings for an image [G, G, D] and resize it; the class token's row stays as it is.

        y_0 = pos_0,    y_1.. = resize(pos_1..)

    A larger image has more patches, each with a place that the table does not know: it gets a mean of its neighbours'
    embeddings. At the same size, y is pos to the bit.

    Parameters
    ----------
    pos : array [1 + G^2, D]
        Row 0 belongs to the class token, the others to the patches in raster order.
    grid : int or (int, int)
        The new number G' of patches along each side: 24 for ViT-B/16 on images of 384 pixels, 14 for 224. Or, for
        images that are not square, its rows and columns.
    method : str
        A key of tinyvit.ops.resize.RESIZE.
    old : (int, int), optional
        The rows and columns that there are; left out, G and G.

    Returns
    -------
    y : array [1 + G'^2, D], and the cache of resize

    Raises
    ------
    UsageError
        If the rows after the first are no square, or resize cannot do it.
    """
    patches, D = len(pos) - 1, pos.shape[1]
    rows, columns = old or 2 * (math.isqrt(patches),)
    if rows * columns != patches:
        wanted = f"expected {rows} x {columns}" if old else "which is no square number"
        raise UsageError(
            f"a position table of {len(pos)} rows cannot be resized: without the class token's there are {patches}, "
            f"{wanted}"
        )
    new = (grid, grid) if isinstance(grid, int) else grid
    y, c = resize(pos[1:].reshape(rows, columns, D), *new, method)
    return xp_of(pos).concatenate([pos[:1], y.reshape(-1, D)]), c


def resize_positions_backward(dy, c):
    """The gradient of the table: dy in the class token's row, resize's own gradient in the others."""
    D, rows, columns = dy.shape[1], len(c["rows"]), len(c["columns"])
    dpatches = resize_backward(dy[1:].reshape(rows, columns, D), c)
    return xp_of(dy).concatenate([dy[:1], dpatches.reshape(-1, D)])
