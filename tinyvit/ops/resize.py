"""Resizing images: each new pixel is a weighted mean of old ones, so a matrix of weights resizes an axis."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError


def triangle(t):
    """The kernel of linear interpolation: k(t) = max(0, 1 - |t|)."""
    return np.maximum(0, 1 - abs(t))


def cubic(a):
    """The kernel of cubic interpolation (Keys 1981): 1 at t = 0, 0 at all other integers, with slope a at t = 1.

        k(t) = (a + 2)|t|^3 - (a + 3)|t|^2 + 1     for |t| <= 1
        k(t) = a (|t|^3 - 5|t|^2 + 8|t| - 4)       for 1 < |t| <= 2

    and 0 beyond.
    """

    def kernel(t):
        t = np.minimum(abs(t), 2)
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = a * (((t - 5) * t + 8) * t - 4)
        return xp_of(t).where(t <= 1, near, far)

    return kernel


class Method(NamedTuple):
    """A kernel, whether the corner pixels' centres coincide, and whether the kernel grows when an image shrinks."""

    kernel: Callable
    aligned: bool = False
    antialias: bool = False


RESIZE = {
    "bilinear aligned": Method(triangle, aligned=True),  # scipy.ndimage.zoom(order=1), Google's
    "bilinear": Method(triangle),  # tf.image.resize; torch's interpolate(mode="bilinear")
    "bicubic": Method(cubic(-0.75)),  # torch's interpolate(mode="bicubic")
    "bilinear antialias": Method(triangle, antialias=True),  # Pillow; torch's with antialias=True
    "bicubic antialias": Method(cubic(-0.5), antialias=True),  # Pillow; torch's with antialias=True
}


def resize_weights(xp, old, new, method):
    """The matrix R [new, old] that resizes an axis, y = R x; each of its rows sums to 1.

        R_ij = k((j - m_i) / s) / sum over j of k((j - m_i) / s)

    k is the method's kernel, and m_i the place of the new pixel i, in units of old pixels: i (old - 1) / (new - 1)
    where the corners are aligned (m_0 = 0 where new is 1), else (i + 1/2) old / new - 1/2, so that both images cover
    the same area. The kernel is stretched by s = max(1, old / new) when antialiasing, so that it sees all the pixels
    that become one, and by s = 1 otherwise.

    Beyond the edge, an antialiasing method leaves the pixels out of both sums; the others repeat the pixel at the edge,
    which so gets their weights too. Where old = new, R is the identity, exactly: k is 1 at 0 and 0 at other integers.

    Aligned corners mean that the last new pixel is the last old one. scipy.ndimage.zoom sets it to 0 at some sizes (8
    to 26, or 24 to 42), where rounding carries its place beyond the edge; elsewhere the two agree.

    Parameters
    ----------
    xp : module
        The array module that makes R, in float64.
    old, new : int
        Lengths of the axis, in pixels.
    method : str
        A key of RESIZE.
    """
    kernel, aligned, antialias = RESIZE[method]
    i = xp.arange(new, dtype=np.float64)[:, None]
    places = i * (old - 1) / max(new - 1, 1) if aligned else (i + 0.5) * old / new - 0.5
    edge = 2  # places lie up to half a pixel beyond the image, where a cubic kernel sees two pixels that are not there
    distances = xp.arange(-edge, old + edge) - places  # [new, edge + old + edge]
    weights = kernel(distances / (max(1, old / new) if antialias else 1))
    inside = weights[:, edge:-edge]
    if not antialias:
        inside[:, 0] += weights[:, :edge].sum(axis=1)
        inside[:, -1] += weights[:, -edge:].sum(axis=1)
    return inside / inside.sum(axis=1, keepdims=True)


def both_sides(size):
    """(height, width) of images of this size: a number is the side of square ones."""
    return (size, size) if isinstance(size, int) else size


def resize(x, height, width, method):
    """Resize images: y = R_rows x R_columns^T, for each channel.

        y[i, j, n] = sum over k, l of R_rows[i, k] R_columns[j, l] x[k, l, n]

    At the same size, y is x to the bit.

    Parameters
    ----------
    x : array [..., H, W, C], floating-point
        Images; y keeps the dtype.
    height, width : int
        The new size H', W', in pixels.
    method : str
        How: a key of RESIZE.

    Returns
    -------
    y : array [..., H', W', C], and the cache {rows, columns}
        The weights R_rows [H', H] and R_columns [W', W], see resize_weights.

    Raises
    ------
    UsageError
        If there is no such method, or a side without pixels.
    """
    H, W = x.shape[-3:-1]
    if method not in RESIZE:
        raise UsageError(f"unknown way to resize {method!r}: expected one of {', '.join(RESIZE)}")
    if min(H, W, height, width) < 1:
        raise UsageError(f"cannot resize {H}x{W} to {height}x{width}: every side needs a pixel at least")
    xp = xp_of(x)
    rows = resize_weights(xp, H, height, method).astype(x.dtype)
    columns = resize_weights(xp, W, width, method).astype(x.dtype)
    return _products(rows, columns, x), {"rows": rows, "columns": columns}


def resize_backward(dy, c):
    """The gradient of the images: the products with the transposed weights.

    The old pixel x[k, l] has a share of R_rows[i, k] R_columns[j, l] in every new pixel y[i, j], so

        dx[k, l, n] = sum over i, j of R_rows[i, k] R_columns[j, l] dy[i, j, n].

    A transpose is not a resize back: R's rows sum to 1, the rows of R^T to each pixel's share in the whole new image.
    """
    return _products(c["rows"].T, c["columns"].T, dy)


def _products(rows, columns, x):
    """One matrix along the height, one along the width: [H', H], [W', W], [..., H, W, C] -> [..., H', W', C]."""
    *lead, H, W, C = x.shape
    y = rows @ x.reshape(*lead, H, W * C)
    return columns @ y.reshape(*lead, len(rows), W, C)
