"""The mean of all rows: global average pooling (the ViT paper, appendix D.3)."""

from tinyvit.arrays import xp_of


def mean_row(x):
    """y = 1/N sum_n x_n: [B, N, D] -> [B, D]. Returns y and the cache {x}."""
    return x.sum(axis=1) * (1 / x.shape[1]), {"x": x}


def mean_row_backward(dy, c):
    """The gradient of x: each of the N rows has a share of 1/N in the mean, dx_n = dy / N."""
    x = c["x"]
    return xp_of(x).broadcast_to((dy * (1 / x.shape[1]))[:, None], x.shape).copy()
