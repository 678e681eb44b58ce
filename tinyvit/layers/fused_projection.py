"""Query, key and value in one product, as many implementations write it (and ViT's equation 5: [q, k, v] = z U_qkv).

tinyvit keeps three projections, which serve cross-attention too and cost the same here. This is the other form, and its
equality is tested.
"""

from tinyvit.arrays import xp_of
from tinyvit.layers.linear import linear, linear_backward


def fuse_projections(p):
    """{q, k, v}, each {w [D, D], b [D]}, side by side: {w [D, 3D], b [3D]}."""
    xp = xp_of(p["q"]["w"])
    return {leaf: xp.concatenate([p[name][leaf] for name in "qkv"], axis=-1) for leaf in ("w", "b")}


def separate_projections(p):
    """fuse_projections, undone: {w [D, 3D], b [3D]} -> {q, k, v}."""
    parts = {leaf: xp_of(p[leaf]).split(p[leaf], 3, axis=-1) for leaf in ("w", "b")}
    return {name: {leaf: parts[leaf][i] for leaf in ("w", "b")} for i, name in enumerate("qkv")}


def fused_projection(x, p):
    """One linear layer of width 3D, then split.

        [q, k, v] = x w + b

    Parameters
    ----------
    x : array [B, T, D]
    p : {w [D, 3D], b [3D]}

    Returns
    -------
    y : array [3, B, T, D], so that q, k, v = y, and the cache {linear}
    """
    c = {}
    y, c["linear"] = linear(x, p)
    B, T, width = y.shape
    return xp_of(y).moveaxis(y.reshape(B, T, 3, width // 3), 2, 0), c


def fused_projection_backward(dy, p, c):
    """The three gradients side by side again, then the linear layer's own. Returns dx and g."""
    _, B, T, D = dy.shape
    return linear_backward(xp_of(dy).moveaxis(dy, 0, 2).reshape(B, T, 3 * D), p, c["linear"])
