"""Linear attention (Katharopoulos et al. 2020): without the exponential, the order of the products is free.

    dense      y_t = sum_s exp(q_t . k_s) v_s / sum_s exp(q_t . k_s)
    linear     y_t = sum_s (f(q_t) . f(k_s)) v_s / sum_s f(q_t) . f(k_s)

The weight of a key is a product of features f, which must be positive. Then f(q_t) can be taken out of both sums: they
are the same for every query, [d, d] and [d] numbers. The work grows with T and no longer with T^2. It is another
function than softmax attention, not an approximation of it: no score can stand out as exp lets it.
"""

import numpy as np

from tinyvit.arrays import xp_of


def positive_features(x):
    """f(x) = elu(x) + 1: x + 1 above 0, exp(x) below; positive, and increasing everywhere.

    Returns
    -------
    y : array like x, and the cache {x}
    """
    return xp_of(x).where(x > 0, x + 1, np.exp(np.minimum(x, 0))), {"x": x}


def positive_features_backward(dy, c):
    """f'(x) is 1 above 0 and exp(x) below."""
    return dy * np.exp(np.minimum(c["x"], 0))


def linear_attention(q, k, v):
    """Every query reads the same summary of all keys and values.

        K = sum_s k_s v_s^T,    n = sum_s k_s,    y_t = q_t K / (q_t . n)

    Parameters
    ----------
    q : array [..., T, d]
    k : array [..., S, d]
        Features of queries and keys, positive.
    v : array [..., S, e]

    Returns
    -------
    y : array [..., T, e], and the cache {q, k, v, kv, n, y, total}
    """
    kv, n = k.swapaxes(-1, -2) @ v, k.sum(axis=-2)[..., None]  # [..., d, e], [..., d, 1]
    total = q @ n  # [..., T, 1]
    y = q @ kv / total
    return y, {"q": q, "k": k, "v": v, "kv": kv, "n": n, "y": y, "total": total}


def linear_attention_backward(dy, c):
    """The gradients of q, k and v.

    With u_t = dy_t / total_t, the numerator's gradient is u_t, and the total's -(u_t . y_t) = w_t. Both numerator and
    total are products of q with a summary, so

        dq_t = K u_t + w_t n,    dK = sum_t q_t u_t^T,    dn = sum_t w_t q_t,
        dk_s = dK v_s + dn,      dv_s = dK^T k_s.
    """
    q, k, v = c["q"], c["k"], c["v"]
    u = dy / c["total"]
    w = -(u * c["y"]).sum(axis=-1, keepdims=True)
    dq = u @ c["kv"].swapaxes(-1, -2) + w * c["n"].swapaxes(-1, -2)
    dkv, dn = q.swapaxes(-1, -2) @ u, q.swapaxes(-1, -2) @ w  # [..., d, e], [..., d, 1]
    dk = v @ dkv.swapaxes(-1, -2) + dn.swapaxes(-1, -2)
    return dq, dk, k @ dkv


def causal_linear_attention(q, k, v):
    """The same, but a query reads only what came before it and itself: a recurrence, whose state is the summary.

        K_t = K_{t-1} + k_t v_t^T,    n_t = n_{t-1} + k_t,    y_t = q_t K_t / (q_t . n_t)

    A Transformer with this attention is a recurrent network: to produce the next token it needs K and n, and no other
    token. The loop runs over time, and nothing but the state is kept from step to step.

    Parameters and results are those of `linear_attention`, with S = T; the cache is {q, k, v, y, total}.
    """
    xp, T = xp_of(q), q.shape[-2]
    kv, n = xp.zeros((*k.shape[:-2], k.shape[-1], v.shape[-1]), q.dtype), xp.zeros_like(k[..., 0, :])
    y, total = xp.empty_like(v), xp.empty_like(q[..., :1])
    for t in range(T):
        kv = kv + k[..., t, :, None] * v[..., t, None, :]
        n = n + k[..., t, :]
        total[..., t, :] = (q[..., t, :] * n).sum(axis=-1, keepdims=True)
        y[..., t, :] = (q[..., t, None, :] @ kv)[..., 0, :] / total[..., t, :]
    return y, {"q": q, "k": k, "v": v, "y": y, "total": total}


def causal_linear_attention_backward(dy, c):
    """Forwards once more for dq, which needs the state of each step; then backwards in time for dk and dv.

    u_t and w_t are those of `linear_attention_backward`. The state of step t is read by all queries from t on, so its
    gradient is their sum, which grows on the way back:

        dq_t = K_t u_t + w_t n_t;    dK_t = dK_{t+1} + q_t u_t^T,    dn_t = dn_{t+1} + w_t q_t,
        dk_t = dK_t v_t + dn_t,      dv_t = dK_t^T k_t.
    """
    q, k, v = c["q"], c["k"], c["v"]
    xp, T = xp_of(q), q.shape[-2]
    u = dy / c["total"]
    w = -(u * c["y"]).sum(axis=-1, keepdims=True)
    dq, dk, dv = xp.empty_like(q), xp.empty_like(k), xp.empty_like(v)
    kv, n = xp.zeros((*k.shape[:-2], k.shape[-1], v.shape[-1]), q.dtype), xp.zeros_like(k[..., 0, :])
    for t in range(T):
        kv = kv + k[..., t, :, None] * v[..., t, None, :]
        n = n + k[..., t, :]
        dq[..., t, :] = (kv @ u[..., t, :, None])[..., 0] + w[..., t, :] * n
    dkv, dn = xp.zeros_like(kv), xp.zeros_like(n)
    for t in reversed(range(T)):
        dkv = dkv + q[..., t, :, None] * u[..., t, None, :]
        dn = dn + w[..., t, :] * q[..., t, :]
        dk[..., t, :] = (dkv @ v[..., t, :, None])[..., 0] + dn
        dv[..., t, :] = (k[..., t, None, :] @ dkv)[..., 0, :]
    return dq, dk, dv
