"""An image becomes a sequence: it is cut into square patches, read row by row (ViT paper, section 3.1)."""

import math

from tinyvit.errors import UsageError


def patchify(x, patch):
    """Cut images into N = HW/P^2 patches and flatten each: the paper's x_p.

    Patches come in raster order, left to right and top to bottom; within a patch, the order is row, column, channel.

    Parameters
    ----------
    x : array [B, H, W, C]
        Images.
    patch : int
        The side P of a patch, in pixels. It must divide H and W.

    Returns
    -------
    y : array [B, N, P*P*C], and the cache {x}

    Raises
    ------
    UsageError
        If the patch does not divide the image.
    """
    B, H, W, C = x.shape
    if H % patch or W % patch:
        raise UsageError(
            f"a patch of {patch} pixels does not divide an image of {H}x{W}: choose one that divides both sides"
        )
    y = x.reshape(B, H // patch, patch, W // patch, patch, C)
    y = y.swapaxes(2, 3)  # [B, H/P, P, W/P, P, C] -> [B, H/P, W/P, P, P, C]
    return y.reshape(B, H * W // patch**2, patch * patch * C), {"x": x}


def patchify_backward(dy, c):
    """The gradient of the images: every pixel lies in one patch, so its gradient goes back where it came from."""
    return unpatchify(dy, c["x"].shape)


def unpatchify(y, shape):
    """Put patches [B, N, P*P*C] together to images of the given shape (B, H, W, C): patchify's exact inverse.

    P is not asked for: it follows from the length P*P*C of a patch and the channels C.
    """
    B, H, W, C = shape
    patch = math.isqrt(y.shape[-1] // C)
    x = y.reshape(B, H // patch, W // patch, patch, patch, C)
    return x.swapaxes(2, 3).reshape(shape)
