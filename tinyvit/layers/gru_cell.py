"""One step of the gated recurrent unit (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder").

Two forms are in use. In the paper, the reset gate acts on the state before the state meets its matrix; in libraries
(cuDNN, PyTorch, and the first version of the paper) after, so that one product serves all three gates. Trained weights
of one form are wrong in the other.
"""

from tinyvit.arrays import xp_of
from tinyvit.layers.initializers import orthogonal, side_by_side, zeros
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.ops.sigmoid import sigmoid, sigmoid_backward
from tinyvit.ops.tanh import tanh, tanh_backward


def gru_cell_init(rng, width, *, dtype="float32"):
    """Parameters {w [H, 3H]}: the matrices U_r, U_z, U_n side by side, each orthogonal, so that no state grows."""
    return {"w": side_by_side(rng, 3, orthogonal, width, width, dtype=dtype)}


def gru_cell(x, h, p):
    """The next state: the old one where the update gate z is open, a candidate n where it is closed.

        r = sigmoid(x_r + h U_r),    z = sigmoid(x_z + h U_z)
        n = tanh(x_n + (r * h) U_n)
        y = z * h + (1 - z) * n

    A gate z near 1 carries the state over unchanged, and its gradient too: that is what a plain recurrent network
    lacks. The reset gate r says which of the old numbers the candidate sees.

    Parameters
    ----------
    x : array [B, 3H]
        What the input says to the gates r and z and to the candidate: its products with W, biases included.
    h : array [B, H]
        The old state.
    p : {w [H, 3H]}

    Returns
    -------
    y : array [B, H], and the cache {h, gates, n}
        gates [B, 2H] are r and z.
    """
    H = h.shape[1]
    gates, _ = sigmoid(x[:, : 2 * H] + h @ p["w"][:, : 2 * H])
    r, z = gates[:, :H], gates[:, H:]
    n, _ = tanh(x[:, 2 * H :] + (r * h) @ p["w"][:, 2 * H :])
    return z * h + (1 - z) * n, {"h": h, "gates": gates, "n": n}


def gru_cell_backward(dy, p, c):
    """The forward pass, line by line in reverse; h is used four times, and the four gradients add up.

    Returns
    -------
    dx [B, 3H], dh [B, H] and g
    """
    h, gates, n, H = c["h"], c["gates"], c["n"], dy.shape[1]
    r, z = gates[:, :H], gates[:, H:]
    w_gates, w_n = p["w"][:, : 2 * H], p["w"][:, 2 * H :]
    dz, dn, dh = dy * (h - n), dy * (1 - z), dy * z  # y = z h + (1 - z) n
    dn = tanh_backward(dn, {"y": n})
    drh = dn @ w_n.T  # n = tanh(... + (r h) U_n)
    dh += drh * r
    dgates = sigmoid_backward(xp_of(dy).concatenate([drh * h, dz], axis=1), {"y": gates})
    dh += dgates @ w_gates.T
    dw = xp_of(dy).concatenate([h.T @ dgates, (r * h).T @ dn], axis=1)
    return xp_of(dy).concatenate([dgates, dn], axis=1), dh, {"w": dw}


def gru_after_cell_init(rng, width, *, dtype="float32"):
    """Parameters {w [H, 3H], b [3H]}; two thirds of b could stand in the input's, that of n could not."""
    return gru_cell_init(rng, width, dtype=dtype) | {"b": zeros(rng, (3 * width,), dtype)}


def gru_after_cell(x, h, p):
    """`gru_cell` with the reset gate after the product, as PyTorch's GRU: n = tanh(x_n + r * (h U_n + b_n)).

    Returns
    -------
    y : array [B, H], and the cache {h, gates, n, u}
        u [B, H] is h U_n + b_n.
    """
    H = h.shape[1]
    u, _ = linear(h, p)
    gates, _ = sigmoid(x[:, : 2 * H] + u[:, : 2 * H])
    r, z, u = gates[:, :H], gates[:, H:], u[:, 2 * H :]
    n, _ = tanh(x[:, 2 * H :] + r * u)
    return z * h + (1 - z) * n, {"h": h, "gates": gates, "n": n, "u": u}


def gru_after_cell_backward(dy, p, c):
    """The forward pass in reverse. Returns dx, dh and g."""
    h, gates, n, H = c["h"], c["gates"], c["n"], dy.shape[1]
    r, z = gates[:, :H], gates[:, H:]
    dz, dn, dh = dy * (h - n), dy * (1 - z), dy * z  # y = z h + (1 - z) n
    dn = tanh_backward(dn, {"y": n})
    dgates = sigmoid_backward(xp_of(dy).concatenate([dn * c["u"], dz], axis=1), {"y": gates})
    du = xp_of(dy).concatenate([dgates, dn * r], axis=1)
    dh_of_product, g = linear_backward(du, p, {"x": h})
    return xp_of(dy).concatenate([dgates, dn], axis=1), dh + dh_of_product, g
