"""From images to the encoder's input: patches, class token, positions (ViT paper, equation 1).

    z_0 = [x_class; x_p^1 E; ...; x_p^N E] + E_pos

The positions E_pos, of which there are several kinds, have a file of their own.
"""

from tinyvit.arrays import xp_of
from tinyvit.layers.initializers import lecun_normal, zeros
from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.ops.patches import patchify, patchify_backward


def patch_embedding_init(rng, patch, channels, dim, *, dtype="float32"):
    """Parameters {w [P*P*C, D], b [D]}: the paper's E."""
    return linear_init(rng, patch * patch * channels, dim, w=lecun_normal, dtype=dtype)


def patch_embedding(x, p, *, patch):
    """Cut images into patches and project each: [B, H, W, C] -> [B, N, P*P*C] -> [B, N, D].

        y_n = x_p^n E + b

    The same numbers as a convolution with kernel and stride P: see patch_convolution.

    Parameters
    ----------
    x : array [B, H, W, C]
    p : {w [P*P*C, D], b [D]}
    patch : int
        The side P, in pixels.

    Returns
    -------
    y : array [B, N, D], and the cache {patches, linear}

    Raises
    ------
    UsageError
        If the patch does not divide the image.
    """
    c = {}
    x, c["patches"] = patchify(x, patch)
    x, c["linear"] = linear(x, p)
    return x, c


def patch_embedding_backward(dy, p, c):
    """The forward pass in reverse. Returns the gradient of the images and g."""
    dy, g = linear_backward(dy, p, c["linear"])
    return patchify_backward(dy, c["patches"]), g


def class_token_init(rng, dim, *, dtype="float32"):
    """The class token [1, D], zero: x_class."""
    return zeros(rng, (1, dim), dtype)


def class_token(x, p):
    """Put the class token before the patches of every image: [B, N, D] -> [B, 1+N, D].

    It is learned, and the same for every image. Having no content of its own, it is free to gather what the head will
    need.

    Parameters
    ----------
    x : array [B, N, D]
    p : array [1, D]

    Returns
    -------
    y : array [B, 1+N, D], and the cache {}
    """
    xp, (B, _, D) = xp_of(x), x.shape
    return xp.concatenate([xp.broadcast_to(p, (B, 1, D)), x], axis=1), {}


def class_token_backward(dy, p, c):
    """The gradients of patches and token: one token serves all images, so its gradient is the batch sum of row 0."""
    return dy[:, 1:], dy[:, 0].sum(axis=0, keepdims=True)
