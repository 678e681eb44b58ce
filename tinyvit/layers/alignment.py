"""Attention as it was first: a decoder's state looks for the encoder's states that matter now.

Bahdanau, Cho and Bengio 2015 ("Neural Machine Translation by Jointly Learning to Align and Translate", appendix A.1.2)
score a pair by a small network, which adds; Luong, Pham and Manning 2015 (equation 8) by a product. The Transformer's
score is Luong's "dot", times 1 / sqrt(d), with projections before it.
"""

from collections.abc import Callable
from typing import NamedTuple

from tinyvit.layers.initializers import lecun_normal, xavier_uniform
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.ops.tanh import tanh, tanh_backward


def dot_alignment_init(rng, query_dim, key_dim, *, dtype="float32"):
    """No parameters: queries and keys are of one width."""
    return {}


def dot_alignment(q, kv, p, *, bias=None):
    """score_ts = q_t . k_s: the attention of everywhere, without a scale.

    Parameters
    ----------
    q : array [B, T, D]
        The decoder's states.
    kv : array [B, S, D]
        The encoder's: keys and values at once.
    p : {}
    bias : array, optional
        Added to the scores [B, T, S]: -inf where there is only padding, see `pattern_bias`.

    Returns
    -------
    y : array [B, T, D], and the cache {att}
        The alignment map is c["att"]["a"], [B, T, S].
    """
    y, c = attention(q, kv, kv, bias)
    return y, {"att": c}


def dot_alignment_backward(dy, p, c):
    """As `attention_backward`; keys and values are one array, whose two gradients add up. Returns dq, dkv and g."""
    dq, dk, dv, _ = attention_backward(dy, c["att"])
    return dq, dk + dv, {}


def general_alignment_init(rng, query_dim, key_dim, *, dtype="float32"):
    """Parameters {q {w [Dq, Dk]}}; no bias."""
    return {"q": {"w": xavier_uniform(rng, query_dim, key_dim, dtype)}}


def general_alignment(q, kv, p, *, bias=None):
    """score_ts = (q_t W) . k_s: a matrix says which sides of a state belong together. Otherwise `dot_alignment`.

    Returns
    -------
    y : array [B, T, Dk], and the cache {q, att}
    """
    c = {}
    q, c["q"] = linear(q, p["q"])
    y, c["att"] = attention(q, kv, kv, bias)
    return y, c


def general_alignment_backward(dy, p, c):
    """The forward pass in reverse. Returns dq, dkv and g."""
    dq, dk, dv, _ = attention_backward(dy, c["att"])
    dq, g = linear_backward(dq, p["q"], c["q"])
    return dq, dk + dv, {"q": g}


def additive_alignment_init(rng, query_dim, key_dim, *, dtype="float32"):
    """Parameters {q {w [Dq, A]}, k {w [Dk, A]}, v [A]}, with A = Dq."""
    return {
        "q": {"w": xavier_uniform(rng, query_dim, query_dim, dtype)},
        "k": {"w": xavier_uniform(rng, key_dim, query_dim, dtype)},
        "v": lecun_normal(rng, query_dim, 1, dtype)[:, 0],
    }


def additive_alignment(q, kv, p, *, bias=None):
    """score_ts = v . tanh(q_t W + k_s U): a network with one hidden layer looks at every pair.

        a = softmax(score + bias),    y = a kv

    q W and k U are each computed once; only their sums are of all pairs, and take memory T S A.

    Returns
    -------
    y : array [B, T, Dk], and the cache {q, k, hidden, att {a}, kv}
        hidden [B, T, S, A]; the alignment map is c["att"]["a"], [B, T, S].
    """
    c = {"kv": kv}
    of_q, c["q"] = linear(q, p["q"])  # [B, T, A]
    of_k, c["k"] = linear(kv, p["k"])  # [B, S, A]
    hidden, c["hidden"] = tanh(of_q[:, :, None] + of_k[:, None])
    scores = hidden @ p["v"]
    a, _ = softmax(scores if bias is None else scores + bias)
    return a @ kv, c | {"att": {"a": a}}


def additive_alignment_backward(dy, p, c):
    """The forward pass in reverse. Every query meets every key, so each has the sum over the other's places.

    Returns
    -------
    dq, dkv and g
    """
    a, kv, hidden = c["att"]["a"], c["kv"], c["hidden"]["y"]
    dkv = a.swapaxes(-1, -2) @ dy  # y = a kv
    dscores = softmax_backward(dy @ kv.swapaxes(-1, -2), {"y": a})
    g = {"v": dscores.reshape(-1) @ hidden.reshape(-1, hidden.shape[-1])}  # scores = hidden . v
    dsum = tanh_backward(dscores[..., None] * p["v"], c["hidden"])  # [B, T, S, A]
    dq, g["q"] = linear_backward(dsum.sum(axis=2), p["q"], c["q"])
    dk, g["k"] = linear_backward(dsum.sum(axis=1), p["k"], c["k"])
    return dq, dkv + dk, g


class Alignment(NamedTuple):
    """init (rng, query_dim, key_dim, *, dtype) -> p,  forward (q, kv, p, *, bias) -> y, c,  backward (dy, p, c)."""

    init: Callable
    forward: Callable
    backward: Callable


ALIGNMENTS = {
    "dot": Alignment(dot_alignment_init, dot_alignment, dot_alignment_backward),
    "general": Alignment(general_alignment_init, general_alignment, general_alignment_backward),
    "additive": Alignment(additive_alignment_init, additive_alignment, additive_alignment_backward),
}
