"""Some of the package's functions as a learner writes them, from the formula and without regard to speed.

The package's own source of these is far from the formula, so that a slip in the formula is no small change of it.
`slips` makes its changes here, and runs them in the package's function's place, among its globals: the names are those
of its file. The tests hold both alike.
"""

import math

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.ops.attention import attention_backward
from tinyvit.ops.erf import normal_distribution
from tinyvit.ops.sigmoid import sigmoid
from tinyvit.ops.sparse_attention import dense
from tinyvit.ops.sums import column_sums
from tinyvit.ops.tanh import tanh
from tinyvit.ops.unfold import padding


def gelu(x):
    erf = 2 * normal_distribution(math.sqrt(2) * (x / math.sqrt(2)))[0] - 1
    cdf = (1 + erf) / 2
    density = np.exp(-(x * x) / 2) / math.sqrt(2 * math.pi)
    return x * cdf, {"dydx": cdf + x * density}


def gelu_tanh(x):
    k, a = math.sqrt(2 / math.pi), 0.044715
    u = k * (x + a * x * x * x)
    t = np.tanh(u)
    dudx = k * (1 + 3 * a * x * x)
    dydx = (1 + t) / 2 + x * (1 - t * t) * dudx / 2
    return x * (1 + t) / 2, {"dydx": dydx}


def group_norm(x, p, *, groups=32, eps=1e-6):
    B, H, W, C = x.shape
    x = x.reshape(B, H, W, groups, C // groups)
    centred = x - x.mean(axis=(1, 2, 4), keepdims=True)
    var = x.var(axis=(1, 2, 4), keepdims=True)
    rstd = 1 / np.sqrt(var + eps)
    xhat = (centred * rstd).reshape(B, H, W, C)
    y = xhat * p["gamma"] + p["beta"]
    return y, {"xhat": xhat, "rstd": rstd[:, 0, 0, :, 0]}


def group_norm_backward(dy, p, c):
    (B, H, W, C), groups = dy.shape, c["rstd"].shape[1]
    xhat, rstd = c["xhat"].reshape(B, H, W, groups, -1), c["rstd"][:, None, None, :, None]
    g = {"gamma": (dy * c["xhat"]).sum(axis=(0, 1, 2)), "beta": dy.sum(axis=(0, 1, 2))}
    dxhat = (dy * p["gamma"]).reshape(B, H, W, groups, -1)
    along_ones = dxhat.mean(axis=(1, 2, 4), keepdims=True)
    along_xhat = (dxhat * xhat).mean(axis=(1, 2, 4), keepdims=True)
    dx = (dxhat - along_ones - xhat * along_xhat) * rstd
    return dx.reshape(B, H, W, C), g


def layer_norm(x, p, *, eps=1e-6):
    centred = x - x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(var + eps)
    xhat = centred * rstd
    y = xhat * p["gamma"] + p["beta"]
    return y, {"xhat": xhat, "rstd": rstd}


def layer_norm_backward(dy, p, c):
    xhat, rstd = c["xhat"], c["rstd"]
    g = {"gamma": column_sums(dy * xhat), "beta": column_sums(dy)}
    dxhat = dy * p["gamma"]
    along_ones = dxhat.mean(axis=-1, keepdims=True)
    along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)
    return (dxhat - along_ones - xhat * along_xhat) * rstd, g


def patch_convolution_backward(dy, c):
    xp, x, w = xp_of(dy), c["x"], c["w"]
    P, dx, dw = len(w), xp.zeros_like(x), xp.zeros_like(w)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            rows, columns = slice(i * P, (i + 1) * P), slice(j * P, (j + 1) * P)
            dw = dw + xp.einsum("bpqn,bo->pqno", x[:, rows, columns], dy[:, i, j])
            dx[:, rows, columns] = xp.einsum("bo,pqno->bpqn", dy[:, i, j], w)
    return dx, dw, dy.sum(axis=(0, 1, 2))


def unfold_backward(dy, c, stride=1):
    xp, (B, H, W, C) = xp_of(dy), c["x"].shape
    kernel = math.isqrt(dy.shape[-1] // C)
    (top, height, rows), (left, width, columns) = padding(H, kernel, stride), padding(W, kernel, stride)
    dpadded = xp.zeros((B, height, width, C), dy.dtype)
    dwindows = dy.reshape(B, rows, columns, kernel, kernel, C)
    for i in range(rows):
        for j in range(columns):
            down, right = i * stride, j * stride
            window = dpadded[:, down : down + kernel, right : right + kernel]
            dpadded[:, down : down + kernel, right : right + kernel] = window + dwindows[:, i, j]
    return dpadded[:, top : top + H, left : left + W]


def max_pool_backward(dy, c, kernel, stride):
    xp, (B, H, W, C) = xp_of(dy), c["x"].shape
    (top, height, rows), (left, width, columns) = padding(H, kernel, stride), padding(W, kernel, stride)
    dpadded, of_window = (
        xp.zeros((B, height, width, C), dy.dtype),
        xp.arange(kernel * kernel).reshape(kernel, kernel, 1),
    )
    for i in range(rows):
        for j in range(columns):
            down, right = i * stride, j * stride
            window = dpadded[:, down : down + kernel, right : right + kernel]
            won = c["winner"][:, i, j][:, None, None] == of_window
            dpadded[:, down : down + kernel, right : right + kernel] = xp.where(
                won, window + dy[:, i, j][:, None, None], window
            )
    return dpadded[:, top : top + H, left : left + W]


def lstm_cell(x, state, p):
    xp = xp_of(x)
    h, m = xp.split(state, 2, axis=1)
    i, f, g, o = xp.split(x + h @ p["w"], 4, axis=1)
    i, f, o, g = sigmoid(i)[0], sigmoid(f)[0], sigmoid(o)[0], tanh(g)[0]
    m = f * m + i * g
    shown = tanh(m)[0]
    y = xp.concatenate([o * shown, m], axis=1)
    return y, {"state": state, "gates": xp.concatenate([i, f, g, o], axis=1), "shown": shown}


def gru_cell(x, h, p):
    xp = xp_of(x)
    x_r, x_z, x_n = xp.split(x, 3, axis=1)
    u_r, u_z, u_n = xp.split(p["w"], 3, axis=1)
    r, z = sigmoid(x_r + h @ u_r)[0], sigmoid(x_z + h @ u_z)[0]
    n = tanh(x_n + (r * h) @ u_n)[0]
    return z * h + (1 - z) * n, {"h": h, "gates": xp.concatenate([r, z], axis=1), "n": n}


def sparse_attention_backward(dy, c):
    dq, dscores = np.zeros((*dy.shape[:-1], c["k"].shape[-1]), dy.dtype), []
    dk, dv = np.zeros_like(c["k"]), np.zeros_like(c["v"])
    for group in c["groups"]:
        asks, asked = group["queries"], group["keys"]
        dq_part, dk_part, dv_part, part = attention_backward(
            dy[..., asks, :], {name: group[name] for name in ("q", "k", "v", "a")}
        )
        dq[..., asks, :] = dq_part
        np.add.at(dk, np.s_[..., asked, :], dk_part)
        np.add.at(dv, np.s_[..., asked, :], dv_part)
        dscores.append(part)
    return dq, dk, dv, dense(dscores, c) if "bias" in c else None


def token_embedding_backward(dy, p, c):
    dw = np.zeros_like(p["w"])
    np.add.at(dw, c["tokens"], dy)
    return {"w": dw}


def standardise(w, *, kind="std"):
    centred = w - w.mean(axis=(0, 1, 2), keepdims=True)
    var = w.var(axis=(0, 1, 2), keepdims=True)
    if kind == "var":
        factor = 1 / np.sqrt(var + w.dtype.type(1e-8))
    else:
        eps = w.dtype.type(1e-5)
        std = np.sqrt(var)
        factor = 1 / (std + eps)
    return centred * factor, {"centred": centred, "factor": factor[0, 0, 0]}


def standardise_backward(dy, c, *, kind="std"):
    centred, f = c["centred"], c["factor"]
    std = np.sqrt((centred * centred).mean(axis=(0, 1, 2), keepdims=True))
    u = f * centred if kind == "var" else centred / std
    dcentred = f * dy - f * f * u * (dy * centred).mean(axis=(0, 1, 2), keepdims=True)
    return dcentred - dcentred.mean(axis=(0, 1, 2), keepdims=True)


FUNCTIONS = {
    each.__name__: each
    for each in (
        gelu,
        gelu_tanh,
        group_norm,
        group_norm_backward,
        layer_norm,
        layer_norm_backward,
        patch_convolution_backward,
        unfold_backward,
        max_pool_backward,
        lstm_cell,
        gru_cell,
        sparse_attention_backward,
        token_embedding_backward,
        standardise,
        standardise_backward,
    )
}
