"""The windows that a convolution looks at, side by side: what patchify is to patches, for windows that overlap."""

import math

from tinyvit.arrays import xp_of


def unfold(x, kernel, stride=1):
    """Cut images into windows of K x K pixels, one every `stride` pixels, and flatten each ("im2col").

        y[b, i, j, (p, q, n)] = x[b, i s + p - t, j s + q - l, n],    0 where that lies outside of the image

    There is a window for each of the ceil(H / s) x ceil(W / s) places. For the last to end, it takes

        (ceil(H / s) - 1) s + K - H

    further rows (if that is more than 0): zeros, half of them above the image (t, rounded down) and the rest below it;
    likewise columns, l of them to the left. TensorFlow and JAX call this padding "SAME": with s = 1 there are as many
    places as pixels, and with K = s, where s divides the image, no zeros at all: then the windows are the patches.

    Parameters
    ----------
    x : array [B, H, W, C]
        Images.
    kernel : int
        The side K of a window.
    stride : int
        From one window to the next, s.

    Returns
    -------
    y : array [B, ceil(H/s), ceil(W/s), K*K*C], and the cache {x}
        Within a window, the order is row, column, channel, as in a patch.
    """
    xp, (B, H, W, C) = xp_of(x), x.shape
    (top, height, rows), (left, width, columns) = padding(H, kernel, stride), padding(W, kernel, stride)
    if kernel == 1:  # the pixels themselves
        return x[:, ::stride, ::stride], {"x": x}
    padded = xp.zeros((B, height, width, C), x.dtype)
    padded[:, top : top + H, left : left + W] = x
    windows = xp.stack([padded[:, i, j] for i, j in entries(rows, columns, kernel, stride)], axis=3)
    return windows.reshape(B, rows, columns, -1), {"x": x}  # [B, rows, columns, K*K, C] -> [B, rows, columns, K*K*C]


def unfold_backward(dy, c, stride=1):
    """The gradient of the images: every window hands its gradient back to the pixels that it saw ("col2im").

    Pixel u is entry p of window i where u = i s + p - t. A stride below K shows it to several windows, and what was
    used more than once has the sum of the gradients:

        dx[b, u, v, n] = sum over i, j, p, q with i s + p - t = u and j s + q - l = v of dy[b, i, j, (p, q, n)].

    For one (p, q) no two windows see the same pixel: the sum is K*K additions of whole, shifted images. The zeros
    around the image are no input, and their gradient is dropped.
    """
    xp, (B, H, W, C) = xp_of(dy), c["x"].shape
    kernel = math.isqrt(dy.shape[-1] // C)
    if kernel == stride == 1:
        return dy
    (top, height, rows), (left, width, columns) = padding(H, kernel, stride), padding(W, kernel, stride)
    dpadded = xp.zeros((B, height, width, C), dy.dtype)
    dwindows = dy.reshape(B, rows, columns, kernel * kernel, C)
    for k, (i, j) in enumerate(entries(rows, columns, kernel, stride)):
        dpadded[:, i, j] += dwindows[:, :, :, k]
    return dpadded[:, top : top + H, left : left + W]


def padding(size, kernel, stride):
    """Along one axis: the zeros before the image, its length with all zeros, and the number of windows."""
    count = -(-size // stride)
    padded = max((count - 1) * stride + kernel, size)
    return (padded - size) // 2, padded, count


def entries(rows, columns, kernel, stride):
    """For each pixel (p, q) of a window, in raster order: the slices of the padded image that are it in all windows."""
    for p in range(kernel):
        for q in range(kernel):
            yield slice(p, p + rows * stride, stride), slice(q, q + columns * stride, stride)
