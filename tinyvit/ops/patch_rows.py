"""The rows of the patches: all but the class token's."""

from tinyvit.arrays import xp_of


def patch_rows(z):
    """y_n = z_n for n = 1 ... N, without row 0: [B, 1+N, D] -> [B, N, D]. Returns y and the cache {z}."""
    return z[:, 1:], {"z": z}


def patch_rows_backward(dy, c):
    """The gradient of z: dy in the rows of the patches, zero in row 0, which the loss does not see."""
    dz = xp_of(dy).zeros_like(c["z"])
    dz[:, 1:] = dy
    return dz
