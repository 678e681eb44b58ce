"""The class row: all that the head reads of the last layer's output."""

from tinyvit.arrays import xp_of


def class_row(z):
    """y = z_L^0, row 0 of every image: [B, T, D] -> [B, D]. Returns y and the cache {z}."""
    return z[:, 0], {"z": z}


def class_row_backward(dy, c):
    """The gradient of z: dy in row 0, zero in all others, which the loss does not see."""
    dz = xp_of(dy).zeros_like(c["z"])
    dz[:, 0] = dy
    return dz
