"""Softmax over the last axis."""

import numpy as np

from tinyvit.ops.sums import row_dots, row_max, row_sums


def softmax(x):
    """Turn each row of scores into positive weights that sum to 1.

        y_j = exp(x_j) / sum_k exp(x_k)

    A constant added to a whole row cancels, so the row's maximum is subtracted first: the largest exponent is then
    exp(0) = 1, and scores of +-10^4 overflow nowhere.

    Parameters
    ----------
    x : array [..., S]

    Returns
    -------
    y : array [..., S], and the cache {y}
    """
    y = x - row_max(x)
    np.exp(y, out=y)
    y /= row_sums(y)
    return y, {"y": y}


def softmax_backward(dy, c):
    """The gradient of the scores.

    From y_j = e_j / s with e_j = exp(x_j) and s = sum_k e_k, dy_j/dx_i = y_j (1[i=j] - y_i): raising one score raises
    its own weight and lowers all others. Summed against dy,

        dx_i = sum_j dy_j y_j (1[i=j] - y_i) = y_i (dy_i - sum_j dy_j y_j).

    Each row of dx sums to zero, since a constant added to a row changes nothing.
    """
    dx = dy - row_dots(dy, c["y"])
    dx *= c["y"]
    return dx
