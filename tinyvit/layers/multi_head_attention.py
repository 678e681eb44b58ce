"""Multi-head attention (Vaswani et al. 2017, section 3.2.2; the ViT paper's equation 8)."""

from tinyvit.arrays import xp_of
from tinyvit.layers.attend import attend, attend_backward, attention
from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.ops.attention import attention_backward
from tinyvit.ops.heads import merge_heads, split_heads
from tinyvit.ops.relative_bias import relative_bias, relative_bias_backward
from tinyvit.ops.scale import scale_queries, scale_queries_backward


def multi_head_attention_init(rng, dim, *, dtype="float32"):
    """Parameters {q, k, v, o}, each {w [D, D], b [D]}."""
    return {name: linear_init(rng, dim, dim, dtype=dtype) for name in "qkvo"}


def multi_head_attention(x, kv, p, *, heads, bias=None, scale="sqrt", plan=None, past=None):
    """Let every token of x gather from the tokens of kv, in h different ways at once.

        y = concat(head_1, ..., head_h) w_o + b_o,    head_i = softmax(q_i k_i^T / sqrt(d_k) + bias) v_i

    q comes from x, k and v from kv; with kv = x this is self-attention. Each head has its own d_k = D/h columns of each
    projection. Why the scale, a step of its own before attention: see `scale_queries`.

    Parameters
    ----------
    x : array [B, T, D]
    kv : array [B, S, D]
    p : {q, k, v, o}
        And, for relative positions, r [2S-1, D], an extra key for each offset (see `relative_bias`).
    heads : int
        h; it divides D.
    bias : array, optional
        Added to the scores [B, h, T, S]; may be broadcast along any axis.
    scale : "sqrt" or "none"
        With the scale 1 / sqrt(d_k), or without.
    plan : optional
        Of `attention_plan`: which keys each query looks at. Without one, all.
    past : {k, v} [B, h, R, d], optional
        Keys and values from before, in front of those of kv, for decoding step by step: the att of an earlier cache. It
        is no input: the backward pass knows none.

    Returns
    -------
    y : array [B, T, D], and the cache {q, k, v, scale, att, o}
        att holds q (scaled), k, v and the attention maps a [B, h, T, S]; large ones are not kept, see
        `layers.attend.attention`; with a plan, see `attend`.
    """
    c = {}
    q, c["q"] = linear(x, p["q"])
    k, c["k"] = linear(kv, p["k"])
    v, c["v"] = linear(kv, p["v"])
    q, k, v = (split_heads(t, heads) for t in (q, k, v))  # [B, T, D] -> [B, h, T, d]
    if past is not None and not kv.shape[1]:
        k, v = past["k"], past["v"]
    elif past is not None:
        k, v = (xp_of(k).concatenate([past[name], t], axis=2) for name, t in (("k", k), ("v", v)))
    if scale == "sqrt":
        q, c["scale"] = scale_queries(q)
    if "r" in p:
        relative, c["r"] = relative_bias(q, split_heads(p["r"][None], heads)[0])
        bias = relative if bias is None else relative + bias
    if plan is None:
        y, c["att"] = attention(q, k, v, bias)
    else:
        y, c["att"] = attend(q, k, v, plan, bias)
    y, c["o"] = linear(merge_heads(y), p["o"])  # [B, h, T, d] -> [B, T, D]
    return y, c


def multi_head_attention_backward(dy, p, c):
    """The forward pass, line by line in reverse.

    k and v are both computed from kv, so its gradient is the sum of what comes back through either.

    Returns
    -------
    dx [B, T, D], dkv [B, S, D], dbias, g
        For self-attention the gradient of the one input is dx + dkv. dbias is as in attention_backward; with relative
        positions, whose bias is a part of it, all of dscores. Without a bias it is None where no maps were kept.
    """
    g, heads = {}, c["att"]["v"].shape[1]
    dy, g["o"] = linear_backward(dy, p["o"], c["o"])
    backward = attention_backward if "a" in c["att"] else attend_backward
    dq, dk, dv, dbias = backward(split_heads(dy, heads), c["att"])
    if "r" in c:
        dq_relative, dr = relative_bias_backward(dbias, c["r"])
        dq, g["r"] = dq + dq_relative, merge_heads(dr[None])[0]
    if "scale" in c:
        dq = scale_queries_backward(dq, c["scale"])
    dq, dk, dv = (merge_heads(t) for t in (dq, dk, dv))
    dkv, g["v"] = linear_backward(dv, p["v"], c["v"])
    dk, g["k"] = linear_backward(dk, p["k"], c["k"])
    dx, g["q"] = linear_backward(dq, p["q"], c["q"])
    dkv += dk
    return dx, dkv, dbias, g
