"""Scaled dot-product attention (Vaswani et al. 2017, equation 1; the ViT paper's equations 6 and 7)."""

from tinyvit.ops.softmax import softmax, softmax_backward


def attention(q, k, v, bias=None):
    """Each query looks up the values, weighted by how well it matches their keys.

        y = a v,    a = softmax(q k^T + bias)

    The paper's factor 1/sqrt(d_k) is applied to q before this function (see multi_head_attention): then softmax's own
    gradient is the gradient of the bias, whatever the bias is for: a mask (-inf or a large negative number hides a
    key), relative positions, Swin's table.

    Parameters
    ----------
    q : array [..., T, d]
        Queries, already scaled. The leading axes are batch and heads, [B, h].
    k, v : array [..., S, d]
        Keys and values.
    bias : array, optional
        Added to the scores [..., T, S]; may be broadcast along any of their axes. Every query needs one key that is not
        at -inf.

    Returns
    -------
    y : array [..., T, d], and the cache {q, k, v, a} and bias where there is one
        a [..., T, S] are the attention maps: row t says how much query t takes from each of the S values, and sums to
        1.
    """
    scores = q @ k.swapaxes(-1, -2)  # [..., T, d] @ [..., d, S] -> [..., T, S]
    if bias is not None:
        scores += bias
    a, _ = softmax(scores)
    c = {"q": q, "k": k, "v": v, "a": a}
    return a @ v, c if bias is None else c | {"bias": bias}


def attention_backward(dy, c):
    """The gradients of q, k, v and the bias.

    For a product y = a v, with L's gradient dy: da = dy v^T and dv = a^T dy (index form: dv_sj = sum_t a_ts dy_tj). The
    scores' gradient is softmax's, and the scores are a product of the same kind:

        dscores = softmax_backward(da),    dq = dscores k,    dk = dscores^T q,    dbias = dscores.

    Returns
    -------
    dq, dk, dv, dbias
        dbias is dscores summed over the axes along which the bias was broadcast; without a bias, all of dscores [...,
        T, S].
    """
    q, k, v, a = c["q"], c["k"], c["v"], c["a"]
    da = dy @ v.swapaxes(-1, -2)  # y = a v
    dv = a.swapaxes(-1, -2) @ dy
    dscores = softmax_backward(da, {"y": a})  # a = softmax(scores)
    dq = dscores @ k  # scores = q k^T + bias
    dk = dscores.swapaxes(-1, -2) @ q
    return dq, dk, dv, _sum_to(dscores, c["bias"].shape) if "bias" in c else dscores


def _sum_to(x, shape):
    """Sum x over the axes along which an array of this shape was broadcast: what forward copied, backward adds."""
    lead = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < lead or (shape[i - lead] == 1 and x.shape[i] > 1))
    return x.sum(axis=axes, keepdims=True).reshape(shape) if axes else x
