"""Convolution: one kernel slides over the image, and what it sees at each place it multiplies with the same weights.

If its stride equals its size, it visits each patch exactly once: that is the linear projection of flattened patches,
the same numbers in another arrangement.
"""

import math

from tinyvit.arrays import xp_of
from tinyvit.ops.sums import column_sums
from tinyvit.ops.unfold import unfold, unfold_backward


def convolution(x, w, b=None, stride=1):
    """A convolution, as one matrix product over all windows.

        y[i, j, o] = b[o] + sum over p, q, n of x[i s + p - t, j s + q - l, n] w[p, q, n, o]

    where s is the stride, and x is 0 outside of the image. t and l, so that the windows lie evenly over it, are those
    of `unfold`, which lays the windows side by side as the rows of one matrix; the kernel, flattened, is the other.
    (What is computed is a cross-correlation: the kernel is not turned over. To what learns, it is the same.)

    Parameters
    ----------
    x : array [B, H, W, C]
        Images.
    w : array [K, K, C, D]
        The kernel, in the order height, width, in, out (HWIO).
    b : array [D], optional
    stride : int

    Returns
    -------
    y : array [B, ceil(H/s), ceil(W/s), D], and the cache {unfold, windows, w}
    """
    c = {"w": w}
    windows, c["unfold"] = unfold(x, w.shape[0], stride)
    c["windows"] = windows.reshape(-1, windows.shape[-1])
    y = c["windows"] @ matrix_from_kernel(w)
    if b is not None:
        y += b
    return y.reshape(*windows.shape[:3], -1), c


def convolution_backward(dy, c, stride=1):
    """The gradients of image, kernel and bias: those of a linear layer whose rows are windows, then back to pixels.

    With Y = X W + b, a row for each window of each image,

        dW = X^T dY,    db = sum over rows of dY,    dX = dY W^T,

    so the kernel, used at every place, has the sum over all places. dx is the sum of what each pixel's windows hand
    back (see `unfold_backward`): a convolution's gradient is the transposed sum, K*K products for each pixel.
    """
    rows = dy.reshape(-1, dy.shape[-1])
    dw = (c["windows"].T @ rows).reshape(c["w"].shape)
    dwindows = (rows @ matrix_from_kernel(c["w"]).T).reshape(*dy.shape[:3], -1)
    return unfold_backward(dwindows, c["unfold"], stride), dw, column_sums(rows)


def patch_convolution(x, w, b):
    """A convolution with kernel = stride = P.

        y[i, j, o] = b[o] + sum over p, q, n of x[i P + p, j P + q, n] w[p, q, n, o]

    Parameters
    ----------
    x : array [B, H, W, C]
        Images; P divides H and W.
    w : array [P, P, C, D]
        The kernel, in the order height, width, in, out (HWIO).
    b : array [D]

    Returns
    -------
    y : array [B, H/P, W/P, D], and the cache {x, w}
        For a 224x224 image and ViT-B/16: [B, 14, 14, 768].
    """
    grid = _grid(x, w.shape[0])
    return xp_of(x).tensordot(grid, w, axes=([2, 4, 5], [0, 1, 2])) + b, {"x": x, "w": w}


def patch_convolution_backward(dy, c):
    """The gradients of image, kernel and bias: each visit's product, transposed.

    dw[p, q, n, o] = sum over i, j of x[i P + p, j P + q, n] dy[i, j, o], and each pixel is visited once, so
    dx[i P + p, j P + q, n] = sum over o of dy[i, j, o] w[p, q, n, o].
    """
    x, w = c["x"], c["w"]
    xp, grid = xp_of(x), _grid(x, w.shape[0])
    dw = xp.tensordot(grid, dy, axes=([0, 1, 3], [0, 1, 2]))
    dgrid = xp.tensordot(dy, w, axes=([3], [3]))  # [B, H/P, W/P, P, P, C]
    return dgrid.swapaxes(2, 3).reshape(x.shape), dw, column_sums(dy)


def _grid(x, patch):
    """[B, H, W, C] -> [B, H/P, P, W/P, P, C], a view."""
    B, H, W, C = x.shape
    return x.reshape(B, H // patch, patch, W // patch, patch, C)


def kernel_from_matrix(w, channels):
    """A matrix [P*P*C, D] as a kernel [P, P, C, D] (HWIO): only a reshape, since patchify flattens in that order."""
    patch = math.isqrt(w.shape[0] // channels)
    return w.reshape(patch, patch, channels, -1)


def matrix_from_kernel(w):
    """A kernel [P, P, C, D] (HWIO) as the matrix [P*P*C, D]."""
    return w.reshape(-1, w.shape[-1])


def oihw_from_hwio(w):
    """[P, P, C, D] -> [D, C, P, P], the order in which PyTorch keeps kernels."""
    return w.transpose(3, 2, 0, 1)


def hwio_from_oihw(w):
    """[D, C, P, P] -> [P, P, C, D]."""
    return w.transpose(2, 3, 1, 0)
