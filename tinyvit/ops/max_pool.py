"""Max-pooling: of each window the largest number, channel by channel."""

import math

from tinyvit.arrays import xp_of
from tinyvit.ops.unfold import entries, padding


def max_pool(x, kernel, stride):
    """The maximum over windows of K x K pixels, one every s pixels; windows lie as those of `unfold` ("SAME").

        y[b, i, j, n] = max over p, q of x[b, i s + p - t, j s + q - l, n],    outside of the image -inf

    (With zeros around it instead, a window of negative numbers at the edge would answer 0. Behind a ReLU, where
    published networks pool, that is the same.)

    Parameters
    ----------
    x : array [B, H, W, C]
    kernel, stride : int

    Returns
    -------
    y : array [B, ceil(H/s), ceil(W/s), C], and the cache {x, winner}
        winner, of y's shape: the number, in raster order, of the window's first largest pixel.
    """
    xp, (B, H, W, C) = xp_of(x), x.shape
    (top, height, rows), (left, width, columns) = padding(H, kernel, stride), padding(W, kernel, stride)
    padded = xp.full((B, height, width, C), -math.inf, x.dtype)
    padded[:, top : top + H, left : left + W] = x
    y, winner = None, xp.zeros((B, rows, columns, C), "int8" if kernel * kernel < 128 else "int32")
    for number, (i, j) in enumerate(entries(rows, columns, kernel, stride)):
        pixel = padded[:, i, j]
        if y is None:
            y = pixel.copy()
            continue
        larger = pixel > y
        y = xp.maximum(y, pixel, out=y)
        winner = xp.where(larger, winner.dtype.type(number), winner)
    return y, {"x": x, "winner": winner}


def max_pool_backward(dy, c, kernel, stride):
    """The gradient of the image: all of it goes to the window's winner, and the others had no influence.

    Of several equal largest pixels the first has won. That is a choice: the maximum has no derivative there.
    """
    xp, (B, H, W, C) = xp_of(dy), c["x"].shape
    (top, height, rows), (left, width, columns) = padding(H, kernel, stride), padding(W, kernel, stride)
    dpadded = xp.zeros((B, height, width, C), dy.dtype)
    for number, (i, j) in enumerate(entries(rows, columns, kernel, stride)):
        dpadded[:, i, j] += dy * (c["winner"] == number)
    return dpadded[:, top : top + H, left : left + W]
