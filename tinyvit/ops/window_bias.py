"""Swin's relative position bias: for every head a number for every offset in a window (Liu et al. 2021, equation 4).

Another kind of relative position than `relative_bias`: there a query meets an embedding of the distance, here a number
is added to the score, whatever query and key are. Offsets run in two dimensions, rows and columns from -(M-1) to M-1.
"""

import math

import numpy as np

from tinyvit.arrays import xp_of


def window_bias(table):
    """The bias of all pairs of a window, out of the table.

        bias_hts = table[(u + M - 1)(2M - 1) + (v + M - 1), h],    u = r_t - r_s,  v = c_t - c_s

    The offset, in rows r and in columns c, is that of the query t less that of the key s.

    Parameters
    ----------
    table : array [(2M-1)^2, h]

    Returns
    -------
    bias : array [h, M*M, M*M], and the cache {table}
    """
    return table[xp_of(table).asarray(offsets(window_of(table)))].transpose(2, 0, 1), {"table": table}


def window_bias_backward(dbias, c):
    """The gradient of the table: an offset that many pairs share has the sum of their gradients.

    No query meets an offset twice, so the entries of one query go each to a place of their own.
    """
    xp = xp_of(dbias)
    dtable = xp.zeros_like(c["table"])
    for query, found in enumerate(xp.asarray(offsets(window_of(c["table"])))):
        dtable[found] += dbias[:, query].T
    return dtable


def offsets(window):
    """int array [M*M, M*M]: where in the table each pair of query and key has its number."""
    rows, columns = np.divmod(np.arange(window * window), window)
    u, v = rows[:, None] - rows, columns[:, None] - columns
    return (u + window - 1) * (2 * window - 1) + v + window - 1


def window_of(table):
    """M, of a table for windows of M x M tokens."""
    return (math.isqrt(len(table)) + 1) // 2
