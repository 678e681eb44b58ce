"""The pre-logits layer: in pre-training, the paper's head is an MLP with one hidden layer."""

from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.ops.tanh import tanh, tanh_backward


def pre_logits_init(rng, dim, width, *, dtype="float32"):
    """Parameters {w [D, R], b [R]}."""
    return linear_init(rng, dim, width, dtype=dtype)


def pre_logits(x, p):
    """y = tanh(x w + b) (ViT paper, section 3.1, and its code's "representation size" R).

    Parameters
    ----------
    x : array [B, D]
    p : {w [D, R], b [R]}

    Returns
    -------
    y : array [B, R], and the cache {linear, tanh}
    """
    c = {}
    x, c["linear"] = linear(x, p)
    x, c["tanh"] = tanh(x)
    return x, c


def pre_logits_backward(dy, p, c):
    """The forward pass in reverse. Returns dx and g."""
    dy = tanh_backward(dy, c["tanh"])
    return linear_backward(dy, p, c["linear"])
