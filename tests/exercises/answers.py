"""What learners hand in: right answers in their own way, and wrong ones, each with the kind of wrong that it is.

They are written from the formulas, not derived from the package's source as its list of known mistakes is.
"""

import math
import sys

import numpy as np

from tests.reference import naive, naive_pyramids, naive_sequences
from tinyvit.layers.embedding import patch_embedding_backward
from tinyvit.layers.encoder_block import encoder_block
from tinyvit.layers.gru_cell import gru_cell_backward
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.mlp import ACTIVATIONS, mlp
from tinyvit.layers.multi_head_attention import multi_head_attention
from tinyvit.layers.post_norm_block import post_norm_block_backward
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.convolution import patch_convolution_backward
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.gelu import gelu_tanh


def along(x, axis):
    """Softmax along an axis, as it is written in most places."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def as_type(dtype):
    """Softmax, in an array of another type."""
    return lambda x: (along(x, -1).astype(dtype), {})


def softmax_in_place(x):
    x -= x.max(axis=-1, keepdims=True)
    y = np.exp(x)
    y /= y.sum(axis=-1, keepdims=True)
    return y, {"y": y}


def mask_in_place(x, mask=None):
    """The keyword is changed, so that the next call would find another mask."""
    if mask is None:
        return x, {}
    mask *= x
    return mask, {"mask": mask}


def softmax_popping(dy, c):
    y = c.pop("y")
    return softmax_jacobian(dy, {"y": y})


def softmax_adding(dy, c):
    c["dx"] = softmax_jacobian(dy, c)
    return c["dx"]


def softmax_keeping_x(x):
    return along(x, -1), {"kept": (x, along(x, -1))}


def softmax_backward_spoiling_x(dy, c):
    x, y = c["kept"]
    x *= 0
    return softmax_jacobian(dy, {"y": y})


SPOILS_WHAT_IT_KEPT = softmax_backward_spoiling_x, softmax_keeping_x


def linear_emptying(x, p):
    b = p.pop("b", None)
    return linear(x, p if b is None else p | {"b": b})


class Silent(Exception):
    """An error that cannot say what it is."""

    def __str__(self):
        raise ZeroDivisionError


def fails_silently(x):
    raise Silent


def post_norm_of_one(z, p, *, heads):
    """The residual starts behind the LayerNorm, around attention only."""
    y = layer_norm(z, p["ln1"])[0]
    z = y + multi_head_attention(y, y, p["msa"], heads=heads)[0]
    return z + mlp(layer_norm(z, p["ln2"])[0], p["mlp"])[0], {}


def softmax_unshifted(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True), {}


def no_return(x):
    y = along(x, -1)
    {"y": y}  # noqa: B018


def softmax_jacobian(dy, c):
    """All of the Jacobian, in the learner's loops."""
    y, dx = c["y"], np.zeros_like(c["y"])
    for index in np.ndindex(y.shape[:-1]):
        for i in range(y.shape[-1]):
            for j in range(y.shape[-1]):
                dx[index][i] += dy[index][j] * y[index][j] * ((i == j) - y[index][i])
    return dx


def erf_loop(x):
    return x * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.flat], x.dtype).reshape(x.shape), {}


def gelu_keeping_x(x):
    return erf_loop(x)[0], {"x": x}


def gelu_backward_from_x(dy, c):
    x = c["x"]
    cdf = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.flat], x.dtype).reshape(x.shape)
    return dy * (cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def gelu_backward_without_phi(dy, c):
    x = c["x"]
    return dy * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.flat]).reshape(x.shape)


def scores(q, k, bias):
    s = q @ np.swapaxes(k, -1, -2)
    return s if bias is None else s + bias


def attention_by(weights):
    return lambda q, k, v, bias=None: (weights(scores(q, k, bias), q) @ v, {})


def attention_loop(q, k, v, bias=None):
    y = naive.attention(q, k, v, bias).astype(q.dtype)
    return y, {}


def summed(x, shape):
    """Summed over the axes along which an array of this shape was broadcast."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(axis for axis, size in enumerate(shape) if size == 1), keepdims=True)


def attention_backward_by(dscores, sums=True):
    def backward(dy, c):
        a, da = c["a"], dy @ np.swapaxes(c["v"], -1, -2)
        ds = dscores(a, da)
        dbias = summed(ds, c["bias"].shape) if "bias" in c and sums else ds
        return ds @ c["k"], np.swapaxes(ds, -1, -2) @ c["q"], np.swapaxes(a, -1, -2) @ dy, dbias

    return backward


def right_dscores(a, da):
    return a * (da - (a * da).sum(axis=-1, keepdims=True))


def linear_loops(x, p):
    y = naive.linear(x.astype(np.float64), p).astype(x.dtype)
    return y, {"x": x}


def linear_backward_by(dx=lambda dy, w: dy @ w.T, dw=lambda x, dy: x.T @ dy, db=lambda dy: dy.sum(axis=(0, 1))):
    def backward(dy, p, c):
        rows, x = dy.reshape(-1, dy.shape[-1]), c["x"].reshape(-1, c["x"].shape[-1])
        g = {"w": dw(x, rows)} | ({"b": db(dy)} if "b" in p else {})
        return dx(dy, p["w"]), g

    return backward


def pool_loop(x, kernel, stride):
    return naive_pyramids.max_pool(x, kernel, stride).astype(x.dtype), {"x": x}


def pool_backward_loop(dy, c, kernel, stride):
    """Every window looks for its winner once more."""
    x, dx = c["x"], np.zeros_like(c["x"])
    top, left = (naive.same_padding(size, kernel, stride)[0] for size in x.shape[1:3])
    for b, i, j, n in np.ndindex(dy.shape):
        u, v = max(i * stride - top, 0), max(j * stride - left, 0)
        seen = x[b, u : i * stride - top + kernel, v : j * stride - left + kernel, n]
        p, q = np.unravel_index(seen.argmax(), seen.shape)
        dx[b, u + p, v + q, n] += dy[b, i, j, n]
    return dx


def group_norm_by(axis):
    """With the places of a group in a row: [B, G, H*W*C/G]."""

    def answer(x, p, *, groups, eps=1e-6):
        rows = x.reshape(len(x), x.shape[1] * x.shape[2], groups, -1).swapaxes(1, 2)
        rows = (rows - rows.mean(axis, keepdims=True)) / np.sqrt(rows.var(axis, keepdims=True) + eps)
        return rows.swapaxes(1, 2).reshape(x.shape) * p["gamma"] + p["beta"], {}

    return answer


def group_norm_backward_by(dx):
    def backward(dy, p, c):
        (B, G), over = c["rstd"].shape, (1, 2, 4)
        xhat, d = (t.reshape(*dy.shape[:3], G, -1) for t in (c["xhat"], dy * p["gamma"]))
        along_ones, along_xhat = d.mean(over, keepdims=True), (d * xhat).mean(over, keepdims=True)
        g = {"gamma": np.einsum("bijc,bijc->c", dy, xhat.reshape(dy.shape)), "beta": dy.sum(axis=(0, 1, 2))}
        return dx(d, xhat, along_ones, along_xhat, c["rstd"].reshape(B, 1, 1, G, 1)).reshape(dy.shape), g

    return backward


def kernel_by(deviation):
    """Each output's kernel as a column."""

    def answer(w):
        columns = w.reshape(-1, w.shape[-1])
        return ((columns - columns.mean(axis=0)) / deviation(columns)).reshape(w.shape), {}

    return answer


def kernel_backward(dy, c):
    """By the columns' Jacobian, from the factor alone."""
    m, f = (c["centred"].reshape(-1, dy.shape[-1]), c["factor"])
    d, std = dy.reshape(m.shape), 1 / f - dy.dtype.type(1e-5)
    dm = f * d - f * f / std * m * (m * d).mean(axis=0)
    return (dm - dm.mean(axis=0)).reshape(dy.shape)


def norm_by(normalise):
    def answer(x, p, *, eps=1e-6):
        return p["gamma"] * normalise(x, eps) + p["beta"], {}

    return answer


def standardise(x, eps):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + eps)


def norm_backward_by(dx, gamma=lambda dy, xhat: (dy * xhat).sum(axis=(0, 1))):
    def backward(dy, p, c):
        return dx(dy * p["gamma"], c["xhat"], c["rstd"]), {"gamma": gamma(dy, c["xhat"]), "beta": dy.sum(axis=(0, 1))}

    return backward


def mean(x):
    return x.mean(axis=-1, keepdims=True)


def cross_entropy_by(loss):
    def answer(logits, labels, smoothing=0.0):
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        targets = np.eye(logits.shape[1], dtype=logits.dtype)[labels] * (1 - smoothing) + smoothing / logits.shape[1]
        return loss(log_p, targets), {}

    return answer


def log_of_softmax(logits, labels, smoothing=0.0):
    probabilities, K = along(logits, 1), logits.shape[1]
    targets = np.eye(K, dtype=logits.dtype)[labels] * (1 - smoothing) + smoothing / K
    return -(targets * np.log(probabilities)).sum() / len(logits), {}


def patch_embedding_mean(dy, p, c):
    """Its gradients as means over the batch."""
    dx, g = patch_embedding_backward(dy, p, c)
    return dx, {name: leaf / len(dy) for name, leaf in g.items()}


def patches_loop(x, patch):
    B, H, W, _ = x.shape
    cut = [x[:, i : i + patch, j : j + patch].reshape(B, -1) for i in range(0, H, patch) for j in range(0, W, patch)]
    return np.stack(cut, axis=1), {"x": x}


def heads_loop(x, kv, p, *, heads, bias=None):
    """Head by head, with the package's attention."""
    q, k, v = (t @ p[name]["w"] + p[name]["b"] for t, name in zip((x, kv, kv), "qkv", strict=True))
    d, biases = q.shape[-1] // heads, [None] * heads if bias is None else bias
    found = [
        attention(*(t[..., i * d : (i + 1) * d] for t in (q / math.sqrt(d), k, v)), biases[i])[0] for i in range(heads)
    ]
    return linear(np.concatenate(found, axis=-1), p["o"])[0], {}


def heads_reshaped(x, kv, p, *, heads, bias=None):
    """The queries, keys and values of all heads, but cut as [B, h, T, d] at once."""
    q, k, v = (t @ p[name]["w"] + p[name]["b"] for t, name in zip((x, kv, kv), "qkv", strict=True))
    q, k, v = (t.reshape(len(t), heads, t.shape[1], -1) for t in (q, k, v))
    y, _ = attention(q / math.sqrt(q.shape[-1]), k, v, bias)
    return linear(y.swapaxes(1, 2).reshape(x.shape), p["o"])[0], {}


def heads_reversed(x, kv, p, *, heads, bias=None):
    """The last head first, under the package's names."""
    q, k, v = (t @ p[name]["w"] + p[name]["b"] for t, name in zip((x, kv, kv), "qkv", strict=True))
    q, k, v = (t.reshape(*t.shape[:2], heads, -1).swapaxes(1, 2)[:, ::-1] for t in (q, k, v))
    y, att = attention(q / math.sqrt(q.shape[-1]), k, v, bias)
    return linear(y.swapaxes(1, 2).reshape(x.shape), p["o"])[0], {"att": att}


def smoothing_for_others(logits, labels, smoothing=0.0):
    """As in the first Transformer's code: the share is spread over the K - 1 classes that are not true."""
    targets = np.full(logits.shape, smoothing / (logits.shape[1] - 1))
    targets[np.arange(len(labels)), labels] = 1 - smoothing
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = -(targets * log_probabilities).sum() / len(labels)
    return loss, {"probabilities": np.exp(log_probabilities), "targets": targets}


def heads_interleaved(x, kv, p, *, heads):
    q, k, v = (t @ p[name]["w"] + p[name]["b"] for t, name in zip((x, kv, kv), "qkv", strict=True))
    d = q.shape[-1] // heads
    found = [attention(*(t[..., i::heads] for t in (q / math.sqrt(d), k, v)))[0] for i in range(heads)]
    return linear(np.concatenate(found, axis=-1), p["o"])[0], {}


def post_norm(z, p, *, heads):
    z = layer_norm(z + multi_head_attention(z, z, p["msa"], heads=heads)[0], p["ln1"])[0]
    return layer_norm(z + mlp(z, p["mlp"])[0], p["ln2"])[0], {}


def pre_norm(z, p, *, heads):
    y = layer_norm(z, p["ln1"])[0]
    z = z + multi_head_attention(y, y, p["msa"], heads=heads)[0]
    return z + mlp(layer_norm(z, p["ln2"])[0], p["mlp"])[0], {}


def relative_by(row):
    """Query by query and key by key, with the row of r for the query t and the key s."""

    def answer(q, r):
        S = (r.shape[1] + 1) // 2
        bias = [[np.einsum("bhd,hd->bh", q[:, :, t], r[:, row(t, s, S)]) for s in range(S)] for t in range(q.shape[2])]
        return np.moveaxis(np.array(bias), (0, 1), (2, 3)), {"q": q, "r": r}

    return answer


def relative_backward_loop(dbias, c):
    return naive.relative_bias_backward(dbias, c["q"], c["r"])


def relative_backward_unsummed(dbias, c):
    dr = [naive.relative_bias_backward(dbias[b : b + 1], c["q"][b : b + 1], c["r"])[1] for b in range(len(dbias))]
    return relative_backward_loop(dbias, c)[0], np.array(dr)


def windows_loop(x, kernel, stride):
    (top, bottom), (left, right) = (naive.same_padding(size, kernel, stride) for size in x.shape[1:3])
    padded, (B, H, W, _) = np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)]), x.shape
    rows, columns = -(-H // stride), -(-W // stride)
    y = [
        padded[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel].reshape(B, -1)
        for i, j in np.ndindex(rows, columns)
    ]
    return np.stack(y, axis=1).reshape(B, rows, columns, -1), {"x": x}


def windows_between(x, kernel, stride=1):
    """With K // 2 zeros on each side, whatever the stride."""
    side, (B, H, W, _) = kernel // 2, x.shape
    padded = np.pad(x, [(0, 0), (side, side + stride), (side, side + stride), (0, 0)])
    y = [
        padded[:, i : i + kernel, j : j + kernel].reshape(B, -1)
        for i in range(0, H, stride)
        for j in range(0, W, stride)
    ]
    return np.stack(y, axis=1).reshape(B, -(-H // stride), -(-W // stride), -1), {"x": x}


def convolution_by(kernel):
    def answer(x, w, b, stride):
        return windows_loop(x, len(w), stride)[0] @ kernel(w).reshape(-1, w.shape[-1]) + b, {}

    return answer


def grid_by(table):
    """Add a table [G, G, D] made of x and y, and the class token's row where there is one."""

    def answer(z, p):
        side = len(p["x"])
        rows = table(p["x"], p["y"], side).reshape(side * side, -1)
        return z + (np.concatenate([p["cls"], rows]) if "cls" in p else rows), {}

    return answer


def columns_then_rows(x, y, side):
    return np.array([[np.concatenate([x[j], y[i]]) for j in range(side)] for i in range(side)])


def rows_then_columns(x, y, side):
    return np.array([[np.concatenate([y[i], x[j]]) for j in range(side)] for i in range(side)])


def grid_backward_by(gradients):
    def answer(dy, p, c):
        table, side = dy.sum(axis=0), len(p["x"])
        g = gradients(table[-side * side :].reshape(side, side, -1), p["x"].shape[1])
        return dy, g | ({"cls": table[:1]} if "cls" in p else {})

    return answer


def waves(z, p):
    T, D = z.shape[1:]
    angles = [[t / 10_000 ** (2 * i / D) for i in range(D // 2)] for t in range(T)]
    table = np.zeros((T, D), z.dtype)
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return z + table, {}


def sines_first(z, p):
    y, _ = waves(0 * z, p)
    return z + np.concatenate([y[..., 0::2], y[..., 1::2]], axis=-1), {}


def mean_backward_by(share):
    return lambda dy, c: np.repeat(dy[:, None] * share(c["x"]), c["x"].shape[1], axis=1)


def readout_by(read):
    return lambda z, p: (read(z, lambda x: p["gamma"] * standardise(x, 1e-6) + p["beta"]), {})


def sparse_loop(q, k, v, plan, bias=None):
    """Query by query, over the keys that it may look at."""
    y, allowed = np.zeros_like(q[..., :1] * v[..., :1, :]), {}
    for queries, keys, mask in plan:
        for g, n in np.ndindex(queries.shape):
            seen = slice(None) if mask is None else np.isfinite(mask[g, n])
            allowed[queries[g, n]] = keys[g][seen]
    for t, seen in allowed.items():
        s = scores(q[..., t : t + 1, :], k[..., seen, :], None if bias is None else bias[..., t : t + 1, seen])
        y[..., t : t + 1, :] = along(s, -1) @ v[..., seen, :]
    return y, {}


def sparse_backward_loop(dy, c, put=np.add.at):
    """Group by group: one group's keys are other groups' too."""
    tokens = dy.shape[-2]
    grads = [np.zeros_like(dy), np.zeros_like(c["k"]), np.zeros_like(c["v"])]
    grads.append(np.zeros((*dy.shape[:-1], tokens), dy.dtype))
    for part in c["groups"]:
        for g, queries in enumerate(part["queries"]):
            keys, one = part["keys"][g], {name: part[name][..., g, :, :] for name in "qkva"}
            dq, dk, dv, dbias = attention_backward(dy[..., queries, :], one)
            for whole, rows, found in zip(grads, (queries, keys, keys), (dq, dk, dv), strict=False):
                put(whole, (..., rows, slice(None)), found)
            grads[3][..., queries[:, None], keys] = dbias
    assert grads[0].shape[-2] == tokens
    return tuple(grads)


def rowwise(q, k, v, block=128):
    """The softmax of whole rows, and lse as its name says."""
    s = scores(q, k, None)
    lse = np.log(np.exp(s).sum(axis=-1, keepdims=True))
    return np.exp(s - lse) @ v, {"q": q, "k": k, "v": v, "y": np.exp(s - lse) @ v, "lse": lse}


def rowwise_backward(dy, c, block=128):
    a = np.exp(scores(c["q"], c["k"], None) - c["lse"])
    return attention_backward(dy, {"q": c["q"], "k": c["k"], "v": c["v"], "a": a})[:3]


def by_weights(q, k, v):
    """The quadratic form."""
    w = scores(q, k, None)
    return (w / w.sum(axis=-1, keepdims=True)) @ v, {}


def by_weights_backward(total):
    """Through the quadratic form: `total` is how the weights' sum is treated."""

    def backward(dy, c):
        q, k, v = c["q"], c["k"], c["v"]
        w = scores(q, k, None)
        da, sums = dy @ np.swapaxes(v, -1, -2), w.sum(axis=-1, keepdims=True)
        dw = total(da / sums, w / sums)
        return dw @ k, np.swapaxes(dw, -1, -2) @ q, np.swapaxes(w / sums, -1, -2) @ dy

    return backward


def share_by(piece):
    """Who shares a window, pair by pair; `piece` is the number of the window along one axis."""

    def windows(height, width, window, shift=0):
        allowed = np.zeros((height * width, height * width), bool)
        for t, s in np.ndindex(allowed.shape):
            places = zip(divmod(t, width), divmod(s, width), strict=True)
            allowed[t, s] = all(piece(i, window, shift) == piece(j, window, shift) for i, j in places)
        return allowed

    return windows


def windows_by(start):
    """Windows token by token; `start` says where in the map a token comes from, along one axis of H rows or columns."""

    def to_windows(x, window, shift=0):
        (B, H, W, C), M = x.shape, window
        height, width = (-(-side // M) * M for side in (H, W))
        y = np.zeros((B, height // M * (width // M), M * M, C), x.dtype)
        for i, j in np.ndindex(height, width):
            row, column = start(i, shift, height), start(j, shift, width)
            if row < H and column < W:
                y[:, i // M * (width // M) + j // M, i % M * M + j % M] = x[:, row, column]
        return y, {"x": x}

    return to_windows


def windows_backward_loop(dy, c, shift=0):
    """Each token asks where it went: a window of the map's own numbers says it."""
    B, H, W, C = c["x"].shape
    number = np.arange(1.0, 1 + H * W).reshape(1, H, W, 1)
    places, _ = windows_by(lambda i, s, side: (i + s) % side)(number, math.isqrt(dy.shape[2]), shift)
    dx = np.zeros((B, H * W, C), dy.dtype)
    for n, t in np.ndindex(places.shape[1:3]):
        if places[0, n, t, 0]:
            dx[:, int(places[0, n, t, 0]) - 1] = dy[:, n, t]
    return dx.reshape(c["x"].shape)


def offset_of(t, s, M):
    """The row of the table for query t and key s."""
    return (t // M - s // M + M - 1) * (2 * M - 1) + t % M - s % M + M - 1


def bias_by(row):
    """The bias pair by pair."""

    def window_bias(table):
        M = (math.isqrt(len(table)) + 1) // 2
        bias = np.zeros((table.shape[1], M * M, M * M), table.dtype)
        for t, s in np.ndindex(M * M, M * M):
            bias[:, t, s] = table[row(t, s, M)]
        return bias, {"table": table}

    return window_bias


def bias_backward_by(add):
    """The table's gradient, all pairs at once."""

    def window_bias_backward(dbias, c):
        dtable, M = np.zeros_like(c["table"]), math.isqrt(dbias.shape[-1])
        t, s = np.indices((M * M, M * M))
        add(dtable, offset_of(t, s, M), dbias.transpose(1, 2, 0))
        return dtable

    return window_bias_backward


def overwrites(table, index, values):
    """NumPy keeps the last of repeated entries."""
    table[index] += values


def merging_by(places):
    """Patch merging, the four from an array that is cut into squares."""

    def patch_merging(x, p, *, eps=1e-5):
        B, H, W, C = x.shape
        x = np.pad(x, ((0, 0), (0, H % 2), (0, W % 2), (0, 0)))
        squares = x.reshape(B, x.shape[1] // 2, 2, x.shape[2] // 2, 2, C)
        y = np.concatenate([squares[:, :, row, :, column] for row, column in places], axis=-1)
        return linear(layer_norm(y, p["ln"], eps=eps)[0], p["reduction"])[0], {}

    return patch_merging


BY_COLUMN, BY_ROW = ((0, 0), (1, 0), (0, 1), (1, 1)), ((0, 0), (0, 1), (1, 0), (1, 1))


def three_branches(z, memory, p, *, heads, gelu="relu", eps=1e-5, bias=None, memory_bias=None):
    """A decoder block, pre-norm, from its equations."""
    y = layer_norm(z, p["ln1"], eps=eps)[0]
    z = z + multi_head_attention(y, y, p["msa"], heads=heads, bias=bias)[0]
    y = layer_norm(z, p["ln2"], eps=eps)[0]
    z = z + multi_head_attention(y, memory, p["cross"], heads=heads, bias=memory_bias)[0]
    return z + mlp(layer_norm(z, p["ln3"], eps=eps)[0], p["mlp"], gelu=gelu)[0], {}


def asked_alone(logits, targets, smoothing=0.0, mean=np.mean):
    """Token by token, those without a target left out."""
    surprise = []
    for x, target in zip(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), strict=True):
        log_p = x - x.max() - np.log(np.exp(x - x.max()).sum())
        if target >= 0:
            surprise.append(-(1 - smoothing) * log_p[target] - smoothing * log_p.mean())
    return mean(np.array(surprise, logits.dtype)), {"logits": logits, "targets": targets, "smoothing": smoothing}


def asked_alone_backward(dloss, c):
    """Probabilities less targets, where there is one."""
    V, targets = c["logits"].shape[-1], c["targets"]
    t = (1 - c["smoothing"]) * np.eye(V, dtype=c["logits"].dtype)[targets] + c["smoothing"] / V
    return dloss * (targets >= 0)[..., None] * (along(c["logits"], -1) - t) / int((targets >= 0).sum())


def step_by(step):
    """A recurrent cell, sequence by sequence."""

    def cell(x, state, p):
        return np.array([step(*one, p) for one in zip(x, state, strict=True)]).astype(x.dtype), {}

    return cell


def gru_by(mix=lambda z, h, n: z * h + (1 - z) * n, candidate=lambda h, r, u: (r * h) @ u):
    """A GRU's step from its equations, each gate by itself; with r, z and n kept apart."""

    def gru(x, h, p):
        (x_r, x_z, x_n), (u_r, u_z, u_n) = np.split(x, 3, axis=1), np.split(p["w"], 3, axis=1)
        r, z = (1 / (1 + np.exp(-(a + h @ u))) for a, u in ((x_r, u_r), (x_z, u_z)))
        n = np.tanh(x_n + candidate(h, r, u_n))
        return mix(z, h, n), {"h": h, "r": r, "z": z, "n": n}

    return gru


def gru_backward_by(dh=lambda carried, reset, gates: carried + reset + gates):
    """Its gradients, each by itself."""

    def gru_backward(dy, p, c):
        h, r, z, n = c["h"], c["r"], c["z"], c["n"]
        u_r, u_z, u_n = np.split(p["w"], 3, axis=1)
        dn = dy * (1 - z) * (1 - n * n)
        dr, dz = (dn @ u_n.T) * h * r * (1 - r), dy * (h - n) * z * (1 - z)
        dw = np.concatenate([h.T @ dr, h.T @ dz, (r * h).T @ dn], axis=1)
        into_h = dh(dy * z, (dn @ u_n.T) * r, dr @ u_r.T + dz @ u_z.T)
        return np.concatenate([dr, dz, dn], axis=1), into_h, {"w": dw}

    return gru_backward


def lstm_by(fade=lambda f: f):
    """An LSTM's step from its equations."""

    def lstm(x, state, p):
        h, m = np.split(state, 2, axis=1)
        i, f, g, o = np.split(x + h @ p["w"], 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        m = fade(f) * m + i * np.tanh(g)
        return np.concatenate([o * np.tanh(m), m], axis=1), {}

    return lstm


def reads_by(pads):
    """A recurrent layer whose product with the input is made step by step; `pads` says what state padding leaves."""

    def recurrence(x, p, start=None, mask=None):
        h, states = np.zeros((len(x), len(p["h"]["w"])), x.dtype) if start is None else start, []
        for t in range(x.shape[1]):
            new, _ = gru_by()(linear(x[:, t], p["x"])[0], h, p["h"])
            h = new if mask is None else np.where(mask[:, t : t + 1], new, pads(h, new))
            states.append(h)
        return np.stack(states, axis=1), {}

    return recurrence


def recurrence_backward_by(back):
    """Back through time with the package's cell; `back` says what of the later steps' gradient arrives."""

    def backward(dstates, p, c):
        dh, dgates, dw = 0 * dstates[:, 0], [], 0
        for t in reversed(range(dstates.shape[1])):
            dh = back(dh) + dstates[:, t]
            mask = c["steps"][t].get("mask", True)
            dx, through, g = gru_cell_backward(np.where(mask, dh, 0), p["h"], c["steps"][t])
            dh, dw = through + np.where(mask, 0, dh), dw + g["w"]
            dgates.insert(0, dx)
        dx, g = linear_backward(np.stack(dgates), p["x"], c["x"])
        return dx.swapaxes(0, 1), dh, {"x": g, "h": {"w": dw}}

    return backward


def looked_up_by(add):
    """The table's gradient, all places at once."""

    def backward(dy, p, c):
        dw = np.zeros_like(p["w"])
        add(dw, c["tokens"], dy)
        return {"w": dw}

    return backward


def pairs_by(score):
    """Alignment, pair by pair."""

    def alignment(q, kv, p, bias=None):
        s = np.array([[[score(a, k, p) for k in keys] for a in asks] for asks, keys in zip(q, kv, strict=True)])
        return along((s if bias is None else s + bias).astype(q.dtype), -1) @ kv, {}

    return alignment


def additive_backward_by(dkv=lambda values, keys: values + keys):
    """The gradients of additive alignment with einsum, from the package's cache."""

    def backward(dy, p, c):
        a, kv, e = c["att"]["a"], c["kv"], c["hidden"]["y"]
        da = np.einsum("btd,bsd->bts", dy, kv)
        ds = a * (da - (da * a).sum(axis=-1, keepdims=True))
        de = ds[..., None] * p["v"] * (1 - e * e)
        dq, dk = de.sum(axis=2), de.sum(axis=1)
        g = {
            "v": np.einsum("bts,btsa->a", ds, e),
            "q": {"w": np.einsum("bti,bta->ia", c["q"]["x"], dq)},
            "k": {"w": np.einsum("bsi,bsa->ia", kv, dk)},
        }
        return dq @ p["q"]["w"].T, dkv(np.einsum("bts,btd->bsd", a, dy), dk @ p["k"]["w"].T), g

    return backward


def attention_of_flipped_heads(q, k, v, bias=None):
    """Its result has nothing to do with attention any more, but its cache shows where it began."""
    y, _ = attention_by(lambda s, q: along(s, -1))(q, k, v, bias)
    return y + np.cos(np.arange(y.size)).reshape(y.shape), {"a": along(scores(q, k, bias), -1)[:, ::-1]}


def dropout_before_gelu(x, p, *, gelu="erf", masks=NO_MASKS):
    """The first mask stands one step too early."""
    x = linear(x, p["fc1"])[0] * masks.get("fc1", 1)
    return linear(ACTIVATIONS[gelu](x)[0], p["fc2"])[0] * masks.get("fc2", 1), {}


def norms_exchanged(dz, p, c):
    """All gradients are right, and two are under each other's names."""
    dz, g = post_norm_block_backward(dz, p, c)
    return dz, g | {"ln1": g["ln2"], "ln2": g["ln1"]}


def last_place(dy):
    """Where of a map [B, H, W, D] the last place is."""
    rows, columns = np.indices(dy.shape[1:3])
    return ((rows == dy.shape[1] - 1) & (columns == dy.shape[2] - 1))[..., None]


RIGHT = {  # (exercise, answer, and for a backward pass with a cache of its own, its forward pass)
    "gru_cell, one number at a time": ("gru_cell", step_by(naive_sequences.gru_step)),
    "gru_cell_backward, each gate by itself": ("gru_cell_backward", gru_backward_by(), gru_by()),
    "lstm_cell": ("lstm_cell", lstm_by()),
    "recurrence, step by step": ("recurrence", reads_by(lambda h, new: h)),
    "recurrence_backward": ("recurrence_backward", recurrence_backward_by(lambda dh: dh)),
    "token_embedding, one-hot": (
        "token_embedding",
        lambda tokens, p: (np.eye(len(p["w"]), dtype=p["w"].dtype)[tokens] @ p["w"], {}),
    ),
    "token_embedding_backward, add.at": ("token_embedding_backward", looked_up_by(np.add.at)),
    "dot_alignment, pair by pair": ("dot_alignment", pairs_by(naive_sequences.dot_score)),
    "additive_alignment, pair by pair": ("additive_alignment", pairs_by(naive_sequences.additive_score)),
    "additive_alignment_backward, einsum": ("additive_alignment_backward", additive_backward_by()),
    "softmax, as everywhere": ("softmax", lambda x: (along(x, -1), {})),
    "softmax, row by row": ("softmax", lambda x: (naive.softmax(x - x.max()), {})),
    "softmax_backward, all of the Jacobian": ("softmax_backward", softmax_jacobian),
    "softmax_backward, einsum": (
        "softmax_backward",
        lambda dy, c: c["y"] * (dy - np.einsum("bts,bts->bt", dy, c["y"])[..., None]),
    ),
    "gelu, a loop": ("gelu", erf_loop),
    "gelu_backward, with x kept": ("gelu_backward", gelu_backward_from_x, gelu_keeping_x),
    "attention, a loop": ("attention", attention_loop),
    "attention, matrices": ("attention", attention_by(lambda s, q: along(s, -1))),
    "attention_backward": ("attention_backward", attention_backward_by(right_dscores)),
    "linear, loops": ("linear", linear_loops),
    "linear_backward, einsum": (
        "linear_backward",
        linear_backward_by(dx=lambda dy, w: np.einsum("...o,io->...i", dy, w)),
    ),
    "layer_norm": ("layer_norm", norm_by(standardise)),
    "layer_norm_backward": (
        "layer_norm_backward",
        norm_backward_by(lambda d, xhat, r: r * (d - mean(d) - xhat * mean(d * xhat))),
    ),
    "cross_entropy": ("cross_entropy", cross_entropy_by(lambda log_p, t: -np.mean((log_p * t).sum(axis=1)))),
    "patchify, loops": ("patchify", patches_loop),
    "multi_head_attention, head by head": ("multi_head_attention", heads_loop),
    "encoder_block": ("encoder_block", pre_norm),
    "scale_queries": ("scale_queries", lambda q: (q / math.sqrt(q.shape[-1]), {})),
    "scale_queries_backward": ("scale_queries_backward", lambda dy, c: dy / math.sqrt(dy.shape[-1])),
    "relative_bias, a loop": ("relative_bias", relative_by(lambda t, s, S: S - 1 + s - t)),
    "relative_bias_backward, a loop": ("relative_bias_backward", relative_backward_loop),
    "unfold, a loop": ("unfold", windows_loop),
    "convolution, over the windows": ("convolution", convolution_by(lambda w: w)),
    "max_pool, a loop": ("max_pool", pool_loop),
    "max_pool_backward, with x alone": ("max_pool_backward", pool_backward_loop),
    "group_norm, in rows": ("group_norm", group_norm_by((2, 3))),
    "group_norm_backward": (
        "group_norm_backward",
        group_norm_backward_by(lambda d, xhat, ones, along, r: r * (d - ones - xhat * along)),
    ),
    "standardise, in columns": ("standardise", kernel_by(lambda w: w.std(axis=0) + w.dtype.type(1e-5))),
    "standardise_backward, in columns": ("standardise_backward", kernel_backward),
    "grid_position, patch by patch": ("grid_position", grid_by(columns_then_rows)),
    "grid_position_backward": (
        "grid_position_backward",
        grid_backward_by(lambda grid, half: {"x": grid[:, :, :half].sum(axis=0), "y": grid[:, :, half:].sum(axis=1)}),
    ),
    "sinusoidal_position, a loop": ("sinusoidal_position", waves),
    "post_norm_block": ("post_norm_block", post_norm),
    "mean_row": ("mean_row", lambda x: (x.mean(axis=1), {})),
    "mean_row_backward": ("mean_row_backward", mean_backward_by(lambda x: 1 / x.shape[1])),
    "class_readout": ("class_readout", readout_by(lambda z, norm: norm(z)[:, 0])),
    "mean_readout": ("mean_readout", readout_by(lambda z, norm: norm(z).mean(axis=1))),
    "sparse_attention, query by query": ("sparse_attention", sparse_loop),
    "sparse_attention_backward, group by group": ("sparse_attention_backward", sparse_backward_loop),
    "blockwise_attention, whole rows": ("blockwise_attention", rowwise),
    "blockwise_attention_backward, whole rows": ("blockwise_attention_backward", rowwise_backward, rowwise),
    "linear_attention, the quadratic form": ("linear_attention", by_weights),
    "linear_attention_backward, the quadratic form": (
        "linear_attention_backward",
        by_weights_backward(lambda dw, a: dw - (dw * a).sum(axis=-1, keepdims=True)),
    ),
    "windows, pair by pair": ("windows", share_by(lambda i, M, s: (i - s) // M)),
    "to_windows, token by token": ("to_windows", windows_by(lambda i, s, side: (i + s) % side)),
    "to_windows_backward, token by token": ("to_windows_backward", windows_backward_loop),
    "window_bias, pair by pair": ("window_bias", bias_by(offset_of)),
    "window_bias_backward, all at once": ("window_bias_backward", bias_backward_by(np.add.at)),
    "patch_merging, by squares": ("patch_merging", merging_by(BY_COLUMN)),
    "causal, a triangle": ("causal", lambda tokens, queries=slice(None): np.tri(tokens, dtype=bool)[queries]),
    "decoder_block": ("decoder_block", three_branches),
    "token_cross_entropy, token by token": ("token_cross_entropy", asked_alone),
    "token_cross_entropy_backward": ("token_cross_entropy_backward", asked_alone_backward, asked_alone),
    "token_scores, einsum": ("token_scores", lambda x, p: (np.einsum("btd,vd->btv", x, p["w"]), {})),
    "token_scores_backward, einsum": (
        "token_scores_backward",
        lambda dy, p, c: (dy @ p["w"], {"w": np.einsum("btv,btd->vd", dy, c["x"])}),
    ),
}

WRONG = {  # (exercise, the kind, words that are to be said, answer, and its forward pass)
    "gru: the share of the new": (
        "gru_cell",
        "order",
        "share of the old state",
        gru_by(mix=lambda z, h, n: (1 - z) * h + z * n),
    ),
    "gru: PyTorch's": ("gru_cell", "order", "behind the product", gru_by(candidate=lambda h, r, u: r * (h @ u))),
    "gru: the carried state alone": (
        "gru_cell_backward",
        "operand",
        "`dh` is read as it was before `dh = dh + ",
        gru_backward_by(lambda carried, reset, gates: carried),
        gru_by(),
    ),
    "gru: nothing carried": (
        "gru_cell_backward",
        "missing term",
        "the carried part of dh",
        gru_backward_by(lambda carried, reset, gates: reset + gates),
        gru_by(),
    ),
    "lstm: a memory that never fades": ("lstm_cell", "missing term", "the forget gate", lstm_by(lambda f: 1)),
    "padding read": ("recurrence", "missing term", "the mask is ignored", reads_by(lambda h, new: new)),
    "padding that forgets": ("recurrence", "value", "state becomes zero", reads_by(lambda h, new: 0 * h)),
    "no way back through time": (
        "recurrence_backward",
        "missing term",
        "what the step after it handed back",
        recurrence_backward_by(lambda dh: 0 * dh),
    ),
    "the last place of a token": (
        "token_embedding_backward",
        "missing term",
        "the last one's gradient",
        looked_up_by(overwrites),
    ),
    "alignment with a scale": (
        "dot_alignment",
        "scale",
        "divided by sqrt(D)",
        pairs_by(lambda q, k, p: q @ k / math.sqrt(len(q))),
    ),
    "alignment: kv as values alone": (
        "additive_alignment_backward",
        "missing term",
        "kv is the keys as well",
        additive_backward_by(lambda values, keys: values),
    ),
    "sparse: the keys of all": (
        "sparse_attention",
        "missing term",
        "the mask is missing",
        lambda q, k, v, plan, bias=None: sparse_loop(q, k, v, [part._replace(mask=None) for part in plan], bias),
    ),
    "sparse: a key's last group": (
        "sparse_attention_backward",
        "missing term",
        "the sum over all that did",
        lambda dy, c: sparse_backward_loop(dy, c, np.ndarray.__setitem__),
    ),
    "blockwise: not divided": (
        "blockwise_attention",
        "value",
        "",
        lambda q, k, v, block=128: (np.exp(scores(q, k, None)) @ v, {}),
    ),
    "linear: the sum of weights a constant": (
        "linear_attention_backward",
        "missing term",
        "what comes through the numerator alone",
        by_weights_backward(lambda dw, a: dw),
    ),
    "nothing yet": ("softmax", "unwritten", "returns None", lambda x: None),
    "no return": ("softmax", "unwritten", "return", no_return),
    "y alone": ("softmax", "form", "return y, c", lambda x: along(x, -1)),
    "a list as y": ("softmax", "form", "expected an array", lambda x: (along(x, -1).tolist(), {})),
    "an error": ("softmax", "error", "NameError: name 'expp'", lambda x: (expp(x), {})),  # noqa: F821
    "its argument changed": ("softmax", "argument", "compute a new one", softmax_in_place),
    "overflow": ("softmax", "overflow", "infinite or no number", softmax_unshifted),
    "numbers of Python's": ("softmax", "dtype", "object when all that comes in is float64", as_type(object)),
    "text for numbers": ("softmax", "dtype", "make it float64", as_type(str)),
    "complex numbers": ("softmax", "dtype", "complex128", as_type(complex)),
    "whole numbers": ("softmax", "dtype", "int64", as_type(np.int64)),
    "always float32": ("softmax", "dtype", "float32 when all that comes in is float64", as_type(np.float32)),
    "a class as y": ("softmax", "form", "y is type: expected an array", lambda x: (np.float64, {})),
    "no dictionary as g": ("linear_backward", "form", "does not return g/w, g/b", lambda dy, p, c: (dy, None)),
    "a keyword changed": ("dropout", "argument", "compute a new one", mask_in_place),
    "taken from the cache": ("softmax_backward", "argument", "takes from it", softmax_popping),
    "added to the cache": ("softmax_backward", "argument", "adds to what it was given", softmax_adding),
    "taken from the parameters": ("linear", "argument", "takes from it", linear_emptying),
    "an end of the program": ("softmax", "error", "SystemExit: enough", lambda x: sys.exit("enough")),
    "an error without words": ("softmax", "error", "Silent, in the line: raise Silent", fails_silently),
    "too few arguments": ("softmax", "error", "it is called as softmax(x)", lambda: 1),
    "a keyword missing": (
        "multi_head_attention",
        "error",
        "it is called as multi_head_attention(x, kv, p, heads=...)",
        lambda x, kv, p: heads_loop(x, kv, p, heads=4),
    ),
    "a key of another cache": (
        "softmax_backward",
        "error",
        "its keys are: y; with one of your own, hand in its forward pass",
        lambda dy, c: dy * c["saved"],
    ),
    "no gradient for many": (
        "vit_backward",
        "form",
        "g/blocks/0/mlp/fc2/w and 35 more.",
        lambda dy, p, c, config: (c["patch"]["patches"]["x"], {}),
    ),
    "eleven axes": ("softmax", "shape", "expected [2, 3, 5]", lambda x: (0 * x.reshape((1,) * 8 + x.shape), {})),
    "one entry lost": (
        "softmax",
        "overflow",
        "no number in 1 of 30 entries",
        lambda x: (np.where(np.arange(x.size).reshape(x.shape), along(x, -1), np.nan), {}),
    ),
    "a tiny eps": (
        "layer_norm",
        "value",
        "eps is always 1e-6",
        lambda x, p, eps=1e-6: (p["gamma"] * standardise(x, 1e-6) + p["beta"], {}),
    ),
    "another eps": (
        "layer_norm",
        "value",
        "eps is always 1e-5",
        lambda x, p, eps=1e-6: (p["gamma"] * standardise(x, 1e-5) + p["beta"], {}),
    ),
    "a bias ignored": (
        "multi_head_attention",
        "missing term",
        "bias is not handed",
        lambda x, kv, p, *, heads, bias=None: heads_loop(x, kv, p, heads=heads),
    ),
    "a scalar that is nothing known": (
        "cross_entropy",
        "value",
        "loss is 1.25, expected 2.4999",
        lambda logits, labels, smoothing=0.0: (np.float64(1.25), {}),
    ),
    "neither dloss nor the batch": (
        "cross_entropy_backward",
        "missing term",
        "the factor `dloss / len(c['targets'])` is missing",
        lambda dloss, c: c["probabilities"] - c["targets"],
    ),
    "normalised over the batch": (
        "layer_norm",
        "axis",
        "over the batch",
        norm_by(lambda x, eps: (x - x.mean(0, keepdims=True)) / np.sqrt(x.var(0, keepdims=True) + eps)),
    ),
    "y before the sum only": (
        "softmax_backward",
        "missing term",
        "has no factor y_i",
        lambda dy, c: dy * c["y"] - (dy * c["y"]).sum(axis=-1, keepdims=True),
    ),
    "the sum over everything": (
        "softmax_backward",
        "axis",
        "over all entries",
        lambda dy, c: c["y"] * (dy - (dy * c["y"]).sum()),
    ),
    "dw of one image": (
        "linear_backward",
        "missing term",
        "dw comes from the first",
        lambda dy, p, c: (linear_backward(dy, p, c)[0], linear_backward(dy, p, c)[1] | {"w": c["x"][0].T @ dy[0]}),
    ),
    "the derivative alone": ("gelu_backward", "missing term", "dy is not used", lambda dy, c: c["dydx"]),
    "an MLP with tanh": ("mlp", "value", "tanh form", lambda x, p: mlp(x, p, gelu="tanh")),
    "patches without a bias": (
        "patch_embedding",
        "missing term",
        "bias b",
        lambda x, p, *, patch: (patches_loop(x, patch)[0] @ p["w"], {}),
    ),
    "a residual behind the LayerNorm": ("encoder_block", "order", "behind the LayerNorm", post_norm_of_one),
    "softmax over the tokens": ("softmax", "axis", "last axis", lambda x: (along(x, 1), {})),
    "softmax over the batch": ("softmax", "axis", "over the batch", lambda x: (along(x, 0), {})),
    "a float64 leak": ("softmax", "dtype", "float64", lambda x: (along(x, -1) * np.float64(1), {})),
    "a sigmoid's gradient": ("softmax_backward", "missing term", "sigmoid", lambda dy, c: dy * c["y"] * (1 - c["y"])),
    "no sum": ("softmax_backward", "missing term", "sum over dy y is missing", lambda dy, c: dy * c["y"]),
    "sum over the tokens": (
        "softmax_backward",
        "axis",
        "wrong axis",
        lambda dy, c: c["y"] * (dy - (dy * c["y"]).sum(axis=1, keepdims=True)),
    ),
    "a sign in front": ("softmax_backward", "sign", "wrong sign", lambda dy, c: -softmax_jacobian(dy, c)),
    "two mistakes at once": (
        "softmax_backward",
        "sign",
        "two things",
        lambda dy, c: dy + (dy * c["y"]).sum(axis=-1, keepdims=True),
    ),
    "twice too large": ("softmax_backward", "scale", "2 times", lambda dy, c: 2 * softmax_jacobian(dy, c)),
    "only the first image": (
        "softmax_backward",
        "missing term",
        "is 0 at index 1 of axis 0, and right everywhere else",
        lambda dy, c: np.concatenate([softmax_jacobian(dy, c)[:1], 0 * dy[1:]]),
    ),
    "tanh for erf": ("gelu", "value", "tanh form", lambda x: (gelu_tanh(x)[0], {})),
    "the probability": ("gelu", "missing term", "factor x", lambda x: (erf_loop(x)[0] / x, {})),
    "half of the product rule": (
        "gelu_backward",
        "missing term",
        "x phi(x)",
        gelu_backward_without_phi,
        gelu_keeping_x,
    ),
    "a wrong forward pass first": (
        "gelu_backward",
        "scale",
        "1/3 of",
        gelu_backward_from_x,
        lambda x: (erf_loop(x)[0] / 3, {}),
    ),
    "values added without weights": (
        "attention",
        "missing term",
        "softmax is missing",
        attention_by(lambda s, q: s * 0 + 1),
    ),
    "softmax over the queries": ("attention", "axis", "over the queries", attention_by(lambda s, q: along(s, -2))),
    "scaled twice": ("attention", "scale", "twice", attention_by(lambda s, q: along(s / math.sqrt(q.shape[-1]), -1))),
    "no bias": ("attention", "missing term", "bias", lambda q, k, v, bias=None: attention_loop(q, k, v)),
    "half a softmax": (
        "attention_backward",
        "missing term",
        "incomplete",
        attention_backward_by(lambda a, da: a * da),
    ),
    "softmax's sum over the queries": (
        "attention_backward",
        "axis",
        "dbias: softmax's sum over da a runs over the queries: it is to be over the keys, the last axis. It is the "
        "earliest on the way back; dq, dk may follow from it. Right already: dv.",
        attention_backward_by(lambda a, da: a * (da - (a * da).sum(axis=-2, keepdims=True))),
    ),
    "as many zeros on each side": ("unfold", "order", "SAME puts half, rounded down", windows_between),
    "the logarithm of a probability": ("cross_entropy", "overflow", "probability that is 0", log_of_softmax),
    "a product of three axes": (
        "linear_backward",
        "error",
        "flatten the leading axes first: x.reshape(-1, x.shape[-1]), in the line: ",
        lambda dy, p, c: (dy @ p["w"].T, {"w": c["x"].T @ dy, "b": dy.sum(axis=0)}),
    ),
    "1/B for the sum": (
        "patch_embedding_backward",
        "scale",
        "it may be 1/B = 1/2; less likely 1/sqrt(C), C = 4",
        patch_embedding_mean,
    ),
    "dbias for each image": (
        "attention_backward",
        "shape",
        "sum it over axis 0",
        attention_backward_by(right_dscores, sums=False),
    ),
    "dk and dq exchanged": (
        "attention_backward",
        "order",
        "dq and dk are exchanged",
        lambda dy, c: (lambda dq, dk, *rest: (dk, dq, *rest))(*attention_backward(dy, c)),
    ),
    "heads by a reshape": ("split_heads", "order", "mixed", lambda x, h: x.reshape(len(x), h, x.shape[1], -1)),
    "heads not exchanged": ("split_heads", "shape", "exchange the axes", lambda x, h: x.reshape(*x.shape[:2], h, -1)),
    "patches down the columns": (
        "patchify",
        "order",
        "raster order",
        lambda x, patch: (
            np.stack([x[:, i : i + 3, j : j + 3].reshape(len(x), -1) for j in (0, 3, 6) for i in (0, 3)], axis=1),
            {},
        ),
    ),
    "patches unflattened": (
        "patchify",
        "shape",
        "reshape them",
        lambda x, patch: (patches_loop(x, patch)[0].reshape(len(x), 6, 3, 3, 4), {}),
    ),
    "no bias in linear": ("linear", "missing term", "bias b", lambda x, p: (x @ p["w"], {})),
    "b asked for where there is none": ("linear", "error", "KeyError", lambda x, p: (x @ p["w"] + p["b"], {})),
    "w untransposed": ("linear_backward", "missing term", "w transposed", linear_backward_by(dx=lambda dy, w: dy @ w)),
    "dw transposed": ("linear_backward", "order", "transpose it", linear_backward_by(dw=lambda x, dy: dy.T @ x)),
    "dw averaged": ("linear_backward", "scale", "mean", linear_backward_by(dw=lambda x, dy: x.T @ dy / len(x))),
    "db for each image": (
        "linear_backward",
        "shape",
        "sum it over axis 0",
        linear_backward_by(db=lambda dy: dy.sum(axis=1)),
    ),
    "db averaged over the batch": (
        "linear_backward",
        "scale",
        "1/B = 1/2",
        linear_backward_by(db=lambda dy: dy.sum(axis=1).mean(axis=0)),
    ),
    "db without a key": (
        "linear_backward",
        "form",
        "g/b",
        lambda dy, p, c: (dy @ p["w"].T, {"w": linear_backward(dy, p, c)[1]["w"]}),
    ),
    "normalised over the tokens": (
        "layer_norm",
        "axis",
        "over the tokens",
        norm_by(lambda x, eps: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps)),
    ),
    "unbiased variance": (
        "layer_norm",
        "scale",
        "D - 1",
        norm_by(lambda x, eps: (x - mean(x)) / np.sqrt(x.var(axis=-1, ddof=1, keepdims=True) + eps)),
    ),
    "no eps": (
        "layer_norm",
        "value",
        "eps is missing",
        norm_by(lambda x, eps: (x - mean(x)) / np.sqrt(x.var(axis=-1, keepdims=True))),
    ),
    "eps outside": (
        "layer_norm",
        "value",
        "outside the root",
        norm_by(lambda x, eps: (x - mean(x)) / (np.sqrt(x.var(axis=-1, keepdims=True)) + eps)),
    ),
    "each channel by itself": ("group_norm", "axis", "runs over axes 1, 2:", group_norm_by(2)),
    "both means of a group forgotten": (
        "group_norm_backward",
        "missing term",
        "two things",
        group_norm_backward_by(lambda d, xhat, ones, along, r: r * d),
    ),
    "eps in the root": ("standardise", "value", "std + 1e-5", kernel_by(lambda w: np.sqrt(w.var(axis=0) + 1e-8))),
    "the variance for the deviation": ("standardise", "value", "is wrong in", kernel_by(lambda w: w.var(axis=0))),
    "the gradient of the standardised kernel": (
        "standardise_backward",
        "missing term",
        "is `dy` as it is",
        lambda dy, c: dy,
    ),
    "a minimum": ("max_pool", "value", "is wrong in", lambda x, **how: (-pool_loop(-x, **how)[0], {})),
    "no mean term": (
        "layer_norm_backward",
        "missing term",
        "mean of dxhat",
        norm_backward_by(lambda d, xhat, r: r * (d - xhat * mean(d * xhat))),
    ),
    "no terms": ("layer_norm_backward", "missing term", "both means", norm_backward_by(lambda d, xhat, r: r * d)),
    "no standard deviation": (
        "layer_norm_backward",
        "scale",
        "1 / sqrt",
        norm_backward_by(lambda d, xhat, r: d - mean(d) - xhat * mean(d * xhat)),
    ),
    "sums for means": (
        "layer_norm_backward",
        "scale",
        "both means are sums",
        norm_backward_by(lambda d, xhat, r: r * (d - 8 * mean(d) - 8 * xhat * mean(d * xhat))),
    ),
    "half of the variance's part": (
        "layer_norm_backward",
        "scale",
        "the term with xhat is half",
        norm_backward_by(lambda d, xhat, r: r * (d - mean(d) - xhat * mean(d * xhat) / 2)),
    ),
    "dgamma for each image": (
        "layer_norm_backward",
        "shape",
        "sum it over axis 0",
        norm_backward_by(
            lambda d, xhat, r: r * (d - mean(d) - xhat * mean(d * xhat)), gamma=lambda dy, xhat: (dy * xhat).sum(axis=1)
        ),
    ),
    "summed over the batch": ("cross_entropy", "scale", "B = 3", cross_entropy_by(lambda log_p, t: -(log_p * t).sum())),
    "mean over everything": (
        "cross_entropy",
        "scale",
        "1/K = 1/7",
        cross_entropy_by(lambda log_p, t: -(log_p * t).mean()),
    ),
    "no minus": ("cross_entropy", "sign", "wrong sign", cross_entropy_by(lambda log_p, t: (log_p * t).sum() / len(t))),
    "not divided by the batch": (
        "cross_entropy_backward",
        "scale",
        "divided by B",
        lambda dloss, c: dloss * (c["probabilities"] - c["targets"]),
    ),
    "every h-th column a head": (
        "multi_head_attention",
        "order",
        "in split_heads, each head takes every h-th column",
        heads_interleaved,
    ),
    "heads reshaped, their axes not exchanged": (
        "multi_head_attention",
        "order",
        "in split_heads, the axes are reshaped",
        heads_reshaped,
    ),
    "1 - y in the pre-logits layer": (
        "pre_logits_backward",
        "missing term",
        "in tanh_backward, the derivative is 1 - y",
        lambda dy, p, c: linear_backward(dy * (1 - c["tanh"]["y"]), p, c["linear"]),
    ),
    "smoothing for the other classes alone": (
        "cross_entropy",
        "value",
        "the K - 1 other classes",
        smoothing_for_others,
    ),
    "heads in reverse order": ("multi_head_attention", "order", "the heads stand in reverse order", heads_reversed),
    "a cache that says where": (
        "attention",
        "order",
        "the first array that is not the package's is a: it has the right numbers in reverse order along axis 1",
        attention_of_flipped_heads,
    ),
    "padded with ones": (
        "unfold",
        "value",
        "`ones` stands in the place of `zeros`",
        lambda x, kernel, stride=1: (windows_loop(x - 1, kernel, stride)[0] + 1, {}),
    ),
    "GELU behind dropout": ("mlp", "order", "`dropout` comes before", dropout_before_gelu),
    "eps kept for itself": (
        "class_readout",
        "value",
        "eps is always 1e-6",
        lambda z, p, *, eps=1e-6: (layer_norm(z[:, 0], p)[0], {}),
    ),
    "a mask in the block forgotten": (
        "encoder_block",
        "missing term",
        "in `y, c['dropout'] = dropout(y, masks.get('msa'))`",
        lambda z, p, *, masks=NO_MASKS, **options: encoder_block(z, p, masks={"mlp": masks.get("mlp", {})}, **options),
    ),
    "two LayerNorms' gradients under each other's names": (
        "post_norm_block_backward",
        "order",
        "g/ln2 and g/ln1 are exchanged",
        norms_exchanged,
    ),
    "no gradient for the padding": (
        "token_embedding_backward",
        "missing term",
        "g/w is 0 at index 2 of axis 0, and right everywhere else",
        lambda dy, p, c: {"w": (np.arange(len(p["w"]))[:, None] != 2) * looked_up_by(np.add.at)(dy, p, c)["w"]},
    ),
    "the last place of a kernel": (
        "patch_convolution_backward",
        "missing term",
        "dw has only what the last index along axes 1 and 2",
        lambda dy, c: (
            patch_convolution_backward(dy, c)[0],
            patch_convolution_backward(np.where(last_place(dy), dy, 0), c)[1],
            dy.sum(axis=(0, 1, 2)),
        ),
    ),
    "all tokens but the first": (
        "linear_backward",
        "missing term",
        "g/b lacks what the first index along axis 1",
        lambda dy, p, c: (
            linear_backward(dy, p, c)[0],
            linear_backward(dy, p, c)[1] | ({"b": dy[:, 1:].sum(axis=(0, 1))} if "b" in p else {}),
        ),
    ),
    "no scale": (
        "multi_head_attention",
        "scale",
        "forgotten",
        lambda x, kv, p, *, heads: heads_loop(
            x, kv, p | {"q": {n: t * math.sqrt(x.shape[-1] // heads) for n, t in p["q"].items()}}, heads=heads
        ),
    ),
    "no output projection": (
        "multi_head_attention",
        "missing term",
        "output projection",
        lambda x, kv, p, *, heads: heads_loop(
            x, kv, p | {"o": {"w": np.eye(x.shape[-1], dtype=x.dtype), "b": 0 * p["o"]["b"]}}, heads=heads
        ),
    ),
    "the class token last": (
        "class_token",
        "order",
        "row 0",
        lambda x, p: (np.concatenate([x, np.repeat(p[None], len(x), axis=0)], axis=1), {}),
    ),
    "the token's gradient averaged": (
        "class_token_backward",
        "scale",
        "mean over the batch",
        lambda dy, p, c: (dy[:, 1:], dy[:, 0].mean(axis=0, keepdims=True)),
    ),
    "the table's gradient for each image": (
        "learned_position_backward",
        "shape",
        "sum it over axis 0",
        lambda dy, p, c: (dy, dy),
    ),
    "post-norm": ("encoder_block", "order", "post-norm", post_norm),
    "no residual": (
        "encoder_block",
        "missing term",
        "around the MLP",
        lambda z, p, *, heads: (
            pre_norm(z, p, heads=heads)[0] - pre_norm(z, p | {"mlp": silenced(p["mlp"])}, heads=heads)[0],
            {},
        ),
    ),
    "q divided by its width": ("scale_queries", "scale", "square root", lambda q: (q / q.shape[-1], {})),
    "the scale of one pass only": ("scale_queries_backward", "scale", "forgotten", lambda dy, c: dy),
    "offsets the other way round": (
        "relative_bias",
        "sign",
        "s - t away",
        relative_by(lambda t, s, S: S - 1 + t - s),
    ),
    "rows from the middle": ("relative_bias", "order", "S - 1 + o", relative_by(lambda t, s, S: s - t)),
    "places, not distances": ("relative_bias", "missing term", "distance", relative_by(lambda t, s, S: S - 1 + s)),
    "dr for each image": ("relative_bias_backward", "shape", "sum it over axis 0", relative_backward_unsummed),
    "queries that learn nothing": (
        "relative_bias_backward",
        "missing term",
        "q has no gradient",
        lambda dbias, c: (0 * c["q"], relative_backward_loop(dbias, c)[1]),
    ),
    "a kernel turned over": ("convolution", "order", "turned over", convolution_by(lambda w: w[::-1, ::-1])),
    "the row before the column": ("grid_position", "order", "halves", grid_by(rows_then_columns)),
    "rows for columns on the way back": (
        "grid_position_backward",
        "axis",
        "sum over the columns",
        grid_backward_by(lambda grid, half: {"x": grid[:, :, :half].sum(axis=1), "y": grid[:, :, half:].sum(axis=1)}),
    ),
    "one row for a column": (
        "grid_position_backward",
        "shape",
        "sum it over axis 0",
        grid_backward_by(lambda grid, half: {"x": grid[:, :, :half], "y": grid[:, :, half:].sum(axis=1)}),
    ),
    "sines, then cosines": ("sinusoidal_position", "order", "take turns", sines_first),
    "waves in place of tokens": ("sinusoidal_position", "missing term", "tokens", lambda z, p: waves(0 * z, p)),
    "pre-norm": ("post_norm_block", "order", "pre-norm", pre_norm),
    "a sum for a mean": ("mean_row", "scale", "sum over the rows", lambda x: (x.sum(axis=1), {})),
    "a mean over the features": ("mean_row", "axis", "axis -1: it is to be axis 1", lambda x: (x.mean(axis=-1), {})),
    "all of dy for each row": ("mean_row_backward", "scale", "share", mean_backward_by(lambda x: 1)),
    "one row for all": ("mean_row_backward", "shape", "expected [2, 3, 8]", lambda dy, c: dy / c["x"].shape[1]),
    "the mean normalised": ("mean_readout", "order", "mean is normalised", readout_by(lambda z, norm: norm(z.mean(1)))),
    "what is cut off joins its neighbour": (
        "windows",
        "value",
        "is wrong in",
        share_by(lambda i, M, s: int((i - s) / M)),
    ),
    "windows displaced the other way": ("windows", "sign", "wrong sign", share_by(lambda i, M, s: (i + s) // M)),
    "the pattern of windows that stay": ("windows", "missing term", "is missing", share_by(lambda i, M, s: i // M)),
    "what is cut off joins the other side": (
        "windows",
        "value",
        "is wrong in",
        share_by(lambda i, M, s: (i - s) % 8 // M),
    ),
    "the map rolled the other way": (
        "to_windows",
        "sign",
        "up and to the left",
        windows_by(lambda i, s, n: (i - s) % n),
    ),
    "windows that stay": ("to_windows", "missing term", "not rolled", windows_by(lambda i, s, n: i)),
    "the windows' gradient as it comes": (
        "to_windows_backward",
        "missing term",
        "not rolled back",
        lambda dy, c, shift=0: windows_backward_loop(dy, c),
    ),
    "key less query": ("window_bias", "sign", "key less the query", bias_by(lambda t, s, M: offset_of(s, t, M))),
    "offsets from the end": (
        "window_bias",
        "order",
        "+ M - 1",
        bias_by(lambda t, s, M: (t // M - s // M) * (2 * M - 1) + t % M - s % M),
    ),
    "the last pair alone": (
        "window_bias_backward",
        "missing term",
        "the last one's gradient",
        bias_backward_by(overwrites),
    ),
    "four in NumPy's order": ("patch_merging", "order", "row, so the middle two", merging_by(BY_ROW)),
    "numbers for True and False": ("causal", "dtype", "compare", lambda tokens, queries=None: np.tri(tokens)),
    "the wrong triangle": ("causal", "order", "s <= t", lambda tokens, queries=None: np.tri(tokens, dtype=bool).T),
    "everything allowed": (
        "causal",
        "value",
        "found 1, expected 0",
        lambda tokens, queries=None: np.ones((tokens, tokens), bool),
    ),
    "no look at the causal bias": (
        "decoder_block",
        "missing term",
        "sees what is yet to be written",
        lambda z, memory, p, *, bias=None, **options: three_branches(z, memory, p, **options),
    ),
    "a sum over the tokens": (
        "token_cross_entropy",
        "scale",
        "divide it by their number",
        lambda logits, targets, smoothing=0.0: asked_alone(logits, targets, smoothing, np.sum),
    ),
    "padding is pushed, too": (
        "token_cross_entropy_backward",
        "value",
        "it is exactly 0",
        lambda dloss, c: (
            dloss
            * (along(c["logits"], -1) - (np.eye(6)[c["targets"]] * (c["targets"] >= 0)[..., None]))
            / (c["targets"] >= 0).sum()
        ),
        asked_alone,
    ),
    "scores as of attention": (
        "token_scores",
        "scale",
        "root of D",
        lambda x, p: (x @ p["w"].T / math.sqrt(x.shape[-1]), {}),
    ),
    "the last token read": ("class_readout", "order", "last row", readout_by(lambda z, norm: norm(z)[:, -1])),
}


def silenced(p):
    """An MLP that says nothing."""
    return {name: {leaf: 0 * array for leaf, array in layer.items()} for name, layer in p.items()}
