"""Exact attention in blocks, without the matrix of all scores (online softmax: Milakov and Gimelshein 2018; Dao et al.
2022, FlashAttention).

Dense attention stores T S scores. But a row of the softmax can be computed while its scores come in, a block of keys at
a time, if what was added up so far is rescaled whenever a larger score appears. Only one block of scores exists at a
time. The result is the same to rounding; the work is the same, and in the backward pass the scores are computed again.
"""

import math

from tinyvit.arrays import xp_of
from tinyvit.ops.sums import row_dots, row_sums


def blockwise_attention(q, k, v, block=128):
    """y = softmax(q k^T) v, over blocks of keys.

    For a row with the scores s_1, ..., s_j of the blocks so far, keep their maximum m, the sum l = sum_i exp(s_i - m)
    and u = sum_i exp(s_i - m) v_i. With the scores of the next block and the new maximum m' = max(m, max s),

        l' = exp(m - m') l + sum exp(s - m'),    u' = exp(m - m') u + sum exp(s - m') v.

    The factor exp(m - m') makes the old terms refer to the new maximum. At the end y = u / l.

    Parameters
    ----------
    q : array [..., T, d]
        Queries, already scaled.
    k, v : array [..., S, d]
    block : int
        Keys in a block; the backward pass may have others.

    Returns
    -------
    y : array [..., T, d], and the cache {q, k, v, y, lse}
        lse [..., T, 1], the logarithm of each row's sum of exponentials, m + ln l: all that is kept of the scores.
    """
    xp = xp_of(q)
    m, total = xp.full((*q.shape[:-1], 1), -math.inf, q.dtype), xp.zeros((*q.shape[:-1], 1), q.dtype)
    u = xp.zeros((*q.shape[:-1], v.shape[-1]), q.dtype)
    for keys in _blocks(k.shape[-2], block):
        scores = q @ k[..., keys, :].swapaxes(-1, -2)  # [..., T, block]
        largest = xp.maximum(m, scores.max(axis=-1, keepdims=True))
        rescaled, weights = xp.exp(m - largest), xp.exp(scores - largest)
        total = rescaled * total + row_sums(weights)
        u = rescaled * u + weights @ v[..., keys, :]
        m = largest
    y = u / total
    return y, {"q": q, "k": k, "v": v, "y": y, "lse": m + xp.log(total)}


def blockwise_attention_backward(dy, c, block=128):
    """The gradients of q, k and v, block by block.

    A block of the attention map is computed again, a = exp(s - lse). The softmax's gradient, ds_j = a_j (da_j - sum_i
    a_i da_i), needs a sum over the whole row; but with da_i = dy . v_i that sum is

        sum_i a_i (dy . v_i) = dy . sum_i a_i v_i = dy . y,

    one number for each row, known before the first block.

    Returns
    -------
    dq [..., T, d], dk, dv [..., S, d]
    """
    xp, q, k, v = xp_of(dy), c["q"], c["k"], c["v"]
    dq, dk, dv, along = xp.zeros_like(q), xp.empty_like(k), xp.empty_like(v), row_dots(dy, c["y"])
    for keys in _blocks(k.shape[-2], block):
        a = xp.exp(q @ k[..., keys, :].swapaxes(-1, -2) - c["lse"])
        dv[..., keys, :] = a.swapaxes(-1, -2) @ dy
        dscores = a * (dy @ v[..., keys, :].swapaxes(-1, -2) - along)
        dq += dscores @ k[..., keys, :]
        dk[..., keys, :] = dscores.swapaxes(-1, -2) @ q
    return dq, dk, dv


def _blocks(keys, block):
    return (slice(start, start + block) for start in range(0, keys, block))
