"""The plain twins of what works on sequences: one number at a time, as in naive.py."""

import math

import numpy as np

from tests.reference.naive import softmax


def sigmoid(x):
    """1 / (1 + exp(-x)), of one number."""
    return 1 / (1 + math.exp(-x))


def _product(row, matrix, column):
    """Entry `column` of row times matrix."""
    return sum(row[i] * matrix[i, column] for i in range(len(row)))


def gru_step(x, h, p):
    """One sequence, one step: x [3H] is what the input says."""
    H, w = len(h), p["w"]
    r = [sigmoid(x[j] + _product(h, w, j)) for j in range(H)]
    z = [sigmoid(x[H + j] + _product(h, w, H + j)) for j in range(H)]
    seen = [r[i] * h[i] for i in range(H)]
    n = [math.tanh(x[2 * H + j] + _product(seen, w, 2 * H + j)) for j in range(H)]
    return np.array([z[j] * h[j] + (1 - z[j]) * n[j] for j in range(H)])


def gru_after_step(x, h, p):
    """The reset gate after the product, and over its bias."""
    H, w, b = len(h), p["w"], p["b"]
    r = [sigmoid(x[j] + _product(h, w, j) + b[j]) for j in range(H)]
    z = [sigmoid(x[H + j] + _product(h, w, H + j) + b[H + j]) for j in range(H)]
    n = [math.tanh(x[2 * H + j] + r[j] * (_product(h, w, 2 * H + j) + b[2 * H + j])) for j in range(H)]
    return np.array([z[j] * h[j] + (1 - z[j]) * n[j] for j in range(H)])


def lstm_step(x, state, p):
    """h and m, one after the other."""
    H, w = len(state) // 2, p["w"]
    h, m = state[:H], state[H:]
    i, f, g, o = ([x[k * H + j] + _product(h, w, k * H + j) for j in range(H)] for k in range(4))
    m = [sigmoid(f[j]) * m[j] + sigmoid(i[j]) * math.tanh(g[j]) for j in range(H)]
    return np.array([sigmoid(o[j]) * math.tanh(m[j]) for j in range(H)] + m)


STEPS = {"gru": gru_step, "gru_after": gru_after_step, "lstm": lstm_step}


def recurrence(x, p, cell, start, lengths):
    """Each sequence by itself, no further than its length; from there on, its last state."""
    states = np.zeros((*x.shape[:2], start.shape[1]))
    for b, length in enumerate(lengths):
        state = start[b]
        for t in range(x.shape[1]):
            if t < length:
                says = np.array([_product(x[b, t], p["x"]["w"], j) + p["x"]["b"][j] for j in range(len(p["x"]["b"]))])
                state = STEPS[cell](says, state, p["h"])
            states[b, t] = state
    return states


def alignment(score, q, kv, p, lengths):
    """Every query over the keys of its own sequence: y, and the weights."""
    B, T, _ = q.shape
    y, a = np.zeros((B, T, kv.shape[2])), np.zeros((B, T, kv.shape[1]))
    for b, t in np.ndindex(B, T):
        keys = kv[b, : lengths[b]]
        a[b, t, : lengths[b]] = softmax(np.array([SCORES[score](q[b, t], k, p) for k in keys])[None])[0]
        for s, k in enumerate(keys):
            y[b, t] += a[b, t, s] * k
    return y, a


def dot_score(q, k, p):
    """q . k."""
    return sum(q[i] * k[i] for i in range(len(q)))


def general_score(q, k, p):
    """q W k."""
    w = p["q"]["w"]
    return sum(q[i] * w[i, j] * k[j] for i, j in np.ndindex(*w.shape))


def additive_score(q, k, p):
    """v . tanh(q W + k U)."""
    hidden = [_product(q, p["q"]["w"], j) + _product(k, p["k"]["w"], j) for j in range(len(p["v"]))]
    return sum(v * math.tanh(x) for v, x in zip(p["v"], hidden, strict=True))


SCORES = {"dot": dot_score, "general": general_score, "additive": additive_score}


def token_cross_entropy(logits, targets, smoothing):
    """The mean over the places whose target is not -1."""
    total, count, V = 0.0, 0, logits.shape[-1]
    for place in np.ndindex(*targets.shape):
        if targets[place] != -1:
            log = np.log(softmax(logits[place][None])[0])
            total -= sum(((1 - smoothing) * (k == targets[place]) + smoothing / V) * log[k] for k in range(V))
            count += 1
    return total / count
