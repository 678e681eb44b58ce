"""Windows of a map, and shifted windows (Swin: Liu et al. 2021, section 3.2).

Attention within windows of M x M tokens costs M^2 scores a token, however large the map; but no window hears of
another. So every other block displaces the windows by s = floor(M / 2): tokens that were parted by a border now share
a window. Displaced windows stick out at the borders of the map. Swin rolls the map by s up and to the left instead: the
windows stand where they stood, and what is cut off on one side fills the gap on the other. Tokens that came together
only by rolling are not neighbours, and a mask keeps them apart. What is left is exactly the displaced windows, the
first of them s wide and the last M - s.
"""

import math

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.ops.patches import patchify, unpatchify


def to_windows(x, window, shift=0):
    """Cut a map into windows; a window lists its tokens row by row.

    Parameters
    ----------
    x : array [B, H, W, C]
        Where M does not divide H or W, zeros follow at the bottom and at the right.
    window : int
        M.
    shift : int
        s: the map is rolled by so many rows up and columns to the left before it is cut.

    Returns
    -------
    y : array [B, n, M*M, C], n windows in raster order, and the cache {x}
    """
    B, H, W, C = x.shape
    height, width = padded(H, window), padded(W, window)
    y = x
    if (height, width) != (H, W):
        y = xp_of(x).zeros((B, height, width, C), x.dtype)
        y[:, :H, :W] = x
    if shift:
        y = xp_of(x).roll(y, (-shift, -shift), axis=(1, 2))
    y, _ = patchify(y, window)  # [B, n, M*M*C]
    return y.reshape(B, -1, window * window, C), {"x": x}


def to_windows_backward(dy, c, shift=0):
    """The gradient of the map: every token lies in one window, and zeros are no input."""
    return from_windows(dy, c["x"].shape, shift)


def from_windows(y, shape, shift=0):
    """Put windows [B, n, M*M, C] together to a map of the shape (B, H, W, C): to_windows' inverse.

    Its own gradient is to_windows: what was cut off at the bottom and at the right had no influence.
    """
    B, H, W, C = shape
    window = math.isqrt(y.shape[2])
    height, width = padded(H, window), padded(W, window)
    x = unpatchify(y.reshape(*y.shape[:2], -1), (B, height, width, C))
    if shift:
        x = xp_of(x).roll(x, (shift, shift), axis=(1, 2))
    return x[:, :H, :W]


def attention_over_map(a, height, width, shift=0):
    """Maps of windows as maps over all tokens: every row and column put where its token stands, the shift undone.

    Outside a token's window is 0; what looked at, or came from, the zeros at the border is left out.

    Parameters
    ----------
    a : array [B n, h, M*M, M*M]
        The attention of n windows of each image, as `to_windows` lists them.
    height, width : int
        H and W, of the map.
    shift : int

    Returns
    -------
    array [B, h, HW, HW], whose rows are numbered row by row of the map
    """
    numbers = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    number = to_windows(numbers, math.isqrt(a.shape[-1]), shift)[0][0, :, :, 0]  # [n, M*M]: 1, 2, ...; 0 is no token
    a = a.reshape(-1, len(number), *a.shape[1:])
    dense = xp_of(a).zeros((len(a), a.shape[2], height * width, height * width), a.dtype)
    for window, tokens in enumerate(number):
        (places,) = np.nonzero(tokens)
        rows = tokens[places] - 1
        dense[:, :, rows[:, None], rows] = a[:, window][:, :, places[:, None], places]
    return dense


def window_mask(height, width, window, shift=0):
    """Which tokens of a window belong together: the bias that keeps all others apart.

    Every token of the rolled map is labelled: rows that came from the last window's start to the cut, rows from the cut
    on, and all others; columns alike; and what is no token, but a zero at the border. Only equal labels meet. A token
    meets itself, so that no row is empty.

    Returns
    -------
    array of float32 [n, M*M, M*M], 0 or -inf; None, if all belong together
    """
    rows, columns = (_labels(size, window, shift) for size in (height, width))
    labels = np.where((rows[:, None] < 0) | (columns < 0), -1, 3 * rows[:, None] + columns)
    labels, _ = to_windows(labels[None, :, :, None], window)
    labels = labels[0, :, :, 0]  # [n, M*M]
    together = labels[:, :, None] == labels[:, None, :]
    return None if together.all() else np.where(together, 0, -np.inf).astype(np.float32)


def _labels(size, window, shift):
    """Along one axis of the rolled map: 0; in the last window 1 before the cut and 2 after it; -1 for padding."""
    whole = padded(size, window)
    labels = np.zeros(whole, int)
    if shift:
        labels[whole - window : whole - shift], labels[whole - shift :] = 1, 2
    return np.where(np.roll(np.arange(whole), -shift) < size, labels, -1)


def padded(size, window):
    """The next multiple of M."""
    return -(-size // window) * window
