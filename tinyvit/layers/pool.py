"""The readout: of many tokens one vector, the class token or a mean (ViT paper, equation 4, appendix D.3).

The paper has two: the class token, and the mean of all patches where there is no class token. Published models have
three more ways to take the mean: they normalise after it, or have a class token that it leaves out, or both.
"""

from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.ops.class_row import class_row, class_row_backward
from tinyvit.ops.mean_row import mean_row, mean_row_backward
from tinyvit.ops.patch_rows import patch_rows, patch_rows_backward


def class_readout(z, p, *, eps=1e-6):
    """What the class token has gathered: y = LN(z_L^0), the paper's equation 4.

    LayerNorm works on each token by itself, so only the row that is read is normalised.

    Parameters
    ----------
    z : array [B, T, D]
        The last block's output, or its first row alone.
    p : {gamma [D], beta [D]}
    eps : float
        As in layer_norm.

    Returns
    -------
    y : array [B, D], and the cache {class_row, ln}
    """
    c = {}
    y, c["class_row"] = class_row(z)
    y, c["ln"] = layer_norm(y, p, eps=eps)
    return y, c


def class_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, T, D], zero but in row 0, and g."""
    dy, g = layer_norm_backward(dy, p, c["ln"])
    return class_row_backward(dy, c["class_row"]), g


def mean_readout(z, p, *, eps=1e-6):
    """What all patches say, on average: y = 1/N sum_n LN(z_L^n), global average pooling.

    As in the paper's code, the mean is of normalised tokens. (Others normalise the mean; for a single token the order
    would not matter.)

    Parameters
    ----------
    z : array [B, N, D]
        The last block's output; there is no class token in it.
    p : {gamma [D], beta [D]}
    eps : float
        As in layer_norm.

    Returns
    -------
    y : array [B, D], and the cache {z, ln, mean_row}
        z, as the class token's readout has it too: where the residual stream ends, for those who look inside.
    """
    c = {"z": z}
    z, c["ln"] = layer_norm(z, p, eps=eps)
    y, c["mean_row"] = mean_row(z)
    return y, c


def mean_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, N, D] and g."""
    return layer_norm_backward(mean_row_backward(dy, c["mean_row"]), p, c["ln"])


def mean_norm_readout(z, p, *, eps=1e-6):
    """The mean first, LayerNorm after it: y = LN(1/N sum_n z_n), as timm's `fc_norm`.

    Parameters
    ----------
    z : array [B, N, D]
        The last block's output; there is no class token in it.
    p : {gamma [D], beta [D]}
    eps : float
        As in layer_norm.

    Returns
    -------
    y : array [B, D], and the cache {z, mean_row, ln}
    """
    c = {"z": z}
    y, c["mean_row"] = mean_row(z)
    y, c["ln"] = layer_norm(y, p, eps=eps)
    return y, c


def mean_norm_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, N, D] and g."""
    dy, g = layer_norm_backward(dy, p, c["ln"])
    return mean_row_backward(dy, c["mean_row"]), g


def patch_mean_readout(z, p, *, eps=1e-6):
    """As `mean_readout`, beside a class token that is left out: y = 1/N sum_{n=1}^N LN(z_n).

    Parameters
    ----------
    z : array [B, 1+N, D]
        The last block's output.
    p : {gamma [D], beta [D]}
    eps : float
        As in layer_norm.

    Returns
    -------
    y : array [B, D], and the cache {z, patch_rows, ln, mean_row}
    """
    c = {"z": z}
    z, c["patch_rows"] = patch_rows(z)
    z, c["ln"] = layer_norm(z, p, eps=eps)
    y, c["mean_row"] = mean_row(z)
    return y, c


def patch_mean_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, 1+N, D], zero in row 0, and g."""
    dz, g = layer_norm_backward(mean_row_backward(dy, c["mean_row"]), p, c["ln"])
    return patch_rows_backward(dz, c["patch_rows"]), g


def patch_mean_norm_readout(z, p, *, eps=1e-6):
    """As `mean_norm_readout`, beside a class token that is left out: y = LN(1/N sum_{n=1}^N z_n).

    Parameters and results are those of `patch_mean_readout`.
    """
    c = {"z": z}
    z, c["patch_rows"] = patch_rows(z)
    y, c["mean_row"] = mean_row(z)
    y, c["ln"] = layer_norm(y, p, eps=eps)
    return y, c


def patch_mean_norm_readout_backward(dy, p, c):
    """The forward pass in reverse. Returns dz [B, 1+N, D], zero in row 0, and g."""
    dy, g = layer_norm_backward(dy, p, c["ln"])
    return patch_rows_backward(mean_row_backward(dy, c["mean_row"]), c["patch_rows"]), g


READOUTS = {  # the choices of a configuration's `pool`
    "class": (class_readout, class_readout_backward),
    "mean": (mean_readout, mean_readout_backward),
    "mean_norm": (mean_norm_readout, mean_norm_readout_backward),
    "patch_mean": (patch_mean_readout, patch_mean_readout_backward),
    "patch_mean_norm": (patch_mean_norm_readout, patch_mean_norm_readout_backward),
}
WITHOUT_CLASS_TOKEN = ("mean", "mean_norm")
BESIDE_CLASS_TOKEN = ("patch_mean", "patch_mean_norm")  # a mean that leaves it out


def readout(z, p, *, pool, eps=1e-6):
    """One vector for each image, from all its tokens, in the way that `pool` says: one of READOUTS.

    Parameters and results are those of any.
    """
    forward, _ = READOUTS[pool]
    return forward(z, p, eps=eps)


def readout_backward(dy, p, c, *, pool):
    """The forward pass in reverse. Returns dz and g."""
    _, backward = READOUTS[pool]
    return backward(dy, p, c)
