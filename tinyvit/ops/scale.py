"""The scale of attention (Vaswani et al. 2017, section 3.2.1): a step of its own, before queries meet keys."""

import math

SCALES = ("sqrt", "none")  # what a config can name


def scale_queries(q):
    """y = q / sqrt(d): then the scores q k^T have the same variance whatever the width of a head.

    If the d entries of q and k are independent, with mean 0 and variance 1, each product q_i k_i has variance 1, and
    the sum of d of them has variance d: typical scores grow like sqrt(d). Softmax of large scores is nearly one-hot,
    and its gradient a_t (da_t - sum_s a_s da_s) nearly zero. Divided by sqrt(d), scores have variance 1.

    Parameters
    ----------
    q : array [..., T, d]

    Returns
    -------
    y : array [..., T, d], and the cache {}
    """
    return q * (1 / math.sqrt(q.shape[-1])), {}


def scale_queries_backward(dy, c):
    """The gradient of q: a constant factor acts on the gradient as it does on the queries, dq = dy / sqrt(d)."""
    return dy * (1 / math.sqrt(dy.shape[-1]))
