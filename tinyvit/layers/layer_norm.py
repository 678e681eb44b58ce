"""Layer normalisation (Ba, Kiros and Hinton 2016)."""

import numpy as np

from tinyvit.layers.initializers import ones, zeros
from tinyvit.ops.sums import column_sums, row_dots, row_sums


def layer_norm_init(rng, dim, *, dtype="float32"):
    """Parameters {gamma [D], beta [D]}: ones and zeros, so that the layer starts by normalising only."""
    return {"gamma": ones(rng, (dim,), dtype), "beta": zeros(rng, (dim,), dtype)}


def layer_norm(x, p, *, eps=1e-6):
    """Normalise each token over its D features, then scale and shift.

        xhat = (x - mean(x)) / sqrt(var(x) + eps),    y = gamma * xhat + beta

    mean and var are taken over the last axis; the variance is the biased one (divided by D). eps, in units of the
    variance, lies inside the root, and keeps a constant token from dividing by zero.

    Parameters
    ----------
    x : array [..., D]
    p : {gamma [D], beta [D]}
    eps : float

    Returns
    -------
    y : array [..., D], and the cache {xhat [..., D], rstd [..., 1]}
    """
    D = x.shape[-1]
    xhat = x - row_sums(x) * (1 / D)
    rstd = row_dots(xhat, xhat) * (1 / D)
    rstd += eps
    rstd = 1 / np.sqrt(rstd)
    xhat *= rstd
    y = xhat * p["gamma"]
    y += p["beta"]
    return y, {"xhat": xhat, "rstd": rstd}


def layer_norm_backward(dy, p, c):
    """The gradients of input and parameters.

    gamma and beta act on every token alike: dgamma = sum of dy * xhat and dbeta = sum of dy, over all tokens. Then,
    with dxhat = dy * gamma and r = 1 / sqrt(var + eps), x reaches the loss through the centred value m_i = x_i -
    mean(x), once directly and once through r:

        xhat_i = m_i r,    dr/dm_j = -r^3 m_j / D = -r^2 xhat_j / D
        dm_j = r dxhat_j + dr/dm_j sum_i dxhat_i m_i = r (dxhat_j - xhat_j mean_i(dxhat_i xhat_i))

    and through the mean: dx_j = dm_j - mean_i(dm_i). Since xhat has mean zero, this leaves

        dx = r (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)).

    What remains is orthogonal to 1 and to xhat: shifting or scaling a token does not change its output.
    """
    D = dy.shape[-1]
    xhat, rstd = c["xhat"], c["rstd"]
    scratch = dy * xhat
    g = {"gamma": column_sums(scratch), "beta": column_sums(dy)}
    dx = dy * p["gamma"]  # dxhat
    along_xhat = row_dots(dx, xhat) * (1 / D)
    along_ones = row_sums(dx) * (1 / D)
    dx -= np.multiply(xhat, along_xhat, out=scratch)
    dx -= along_ones
    dx *= rstd
    return dx, g
