"""Some of the rows, in any order, and any of them more than once: looking up by index, as a matrix product."""

from tinyvit.arrays import xp_of


def take_rows(x, rows):
    """y_bi = x_bt with t = rows_bi.

    Row i of the matrix A_b is one-hot, 1 at t = rows_bi: then y_b = A_b x_b, a linear map, whose gradient is known. The
    products are with 0 and 1, so y holds the very numbers of x.

    Parameters
    ----------
    x : array [B, T, D]
    rows : integer array [B, n]
        From 0 to T - 1, on the host or where x is.

    Returns
    -------
    y : array [B, n, D], and the cache {onehot [B, n, T]}
    """
    xp = xp_of(x)
    onehot = (xp.asarray(rows)[..., None] == xp.arange(x.shape[1])).astype(x.dtype)
    return onehot @ x, {"onehot": onehot}


def take_rows_backward(dy, c):
    """The gradient of x: dx = A^T dy. A row taken twice has the sum of both gradients, one not taken has 0."""
    return c["onehot"].swapaxes(-1, -2) @ dy
