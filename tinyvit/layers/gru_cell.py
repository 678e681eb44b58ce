"""One step of the gated recurrent unit (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder").

Two forms are in use. In the paper, the reset gate acts on the state before the state meets its matrix; in libraries
(cuDNN, PyTorch, and the first version of the paper) after, so that one product serves all three gates. Trained weights
of one form are wrong in the other.
"""

from tinyvit.arrays import xp_of
from tinyvit.layers.initializers import orthogonal, side_by_side, zeros
from tinyvit.layers.linear import linear
from tinyvit.ops.sigmoid import sigmoid, sigmoid_backward
from tinyvit.ops.sums import column_sums
from tinyvit.ops.tanh import tanh, tanh_backward


def gru_cell_init(rng, width, *, dtype="float32"):
    """Parameters {w [H, 3H]}: the matrices U_r, U_z, U_n side by side, each orthogonal, so that no state grows."""
    return {"w": side_by_side(rng, 3, orthogonal, width, width, dtype=dtype)}


def gru_cell(x, h, p):
    """The next state: the old one where the update gate z is open, a candidate n where it is closed.

        r = sigmoid(x_r + h U_r),    z = sigmoid(x_z + h U_z)
        n = tanh(x_n + (r * h) U_n)
        y = z * h + (1 - z) * n = n + z * (h - n)

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
    return n + z * (h - n), {"h": h, "gates": gates, "n": n}


def gru_cell_backward(dy, p, c):
    """The gradients of one step: those of its inputs, then those of its parameters. Returns dx, dh and g."""
    dx, dh = gru_cell_backward_inputs(dy, p, c)
    return dx, dh, gru_cell_backward_parameters(dx, c)


def gru_cell_backward_inputs(dy, p, c):
    """The forward pass, line by line in reverse; h is used four times, and the four gradients add up.

    Returns
    -------
    dx [B, 3H], dh [B, H]
    """
    h, gates, n, H = c["h"], c["gates"], c["n"], dy.shape[1]
    r, z = gates[:, :H], gates[:, H:]
    w_gates, w_n = p["w"][:, : 2 * H], p["w"][:, 2 * H :]
    dz, dh = dy * (h - n), dy * z  # y = z h + (1 - z) n
    dn = tanh_backward(dy - dh, {"y": n})
    drh = dn @ w_n.T  # n = tanh(... + (r h) U_n)
    dh += drh * r
    dgates = sigmoid_backward(xp_of(dy).concatenate([drh * h, dz], axis=1), {"y": gates})
    dh += dgates @ w_gates.T
    return xp_of(dy).concatenate([dgates, dn], axis=1), dh


def gru_cell_backward_parameters(dx, c):
    """The gradients of the parameters, from x's: of one step, or of all steps together, [T, B, 3H] and a cache of such.

    Every step has the same matrices, so their gradients are sums over the steps: one product over all rows.
    """
    H = dx.shape[-1] // 3
    dx, h, r = dx.reshape(-1, 3 * H), c["h"].reshape(-1, H), c["gates"].reshape(-1, 2 * H)[:, :H]
    return {"w": xp_of(dx).concatenate([h.T @ dx[:, : 2 * H], (r * h).T @ dx[:, 2 * H :]], axis=1)}


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
    return n + z * (h - n), {"h": h, "gates": gates, "n": n, "u": u}


def gru_after_cell_backward(dy, p, c):
    """The gradients of one step, as `gru_cell_backward`."""
    dx, dh = gru_after_cell_backward_inputs(dy, p, c)
    return dx, dh, gru_after_cell_backward_parameters(dx, c)


def gru_after_cell_backward_inputs(dy, p, c):
    """The forward pass in reverse. Returns dx and dh."""
    h, gates, n, H = c["h"], c["gates"], c["n"], dy.shape[1]
    z = gates[:, H:]
    dz, dh = dy * (h - n), dy * z  # y = z h + (1 - z) n
    dn = tanh_backward(dy - dh, {"y": n})
    dgates = sigmoid_backward(xp_of(dy).concatenate([dn * c["u"], dz], axis=1), {"y": gates})
    dh += dgates @ p["w"][:, : 2 * H].T + (dn * gates[:, :H]) @ p["w"][:, 2 * H :].T  # u = h U + b
    return xp_of(dy).concatenate([dgates, dn], axis=1), dh


def gru_after_cell_backward_parameters(dx, c):
    """As `gru_cell_backward_parameters`; to the candidate's part goes what the reset gate let through."""
    H = dx.shape[-1] // 3
    dx, h, r = dx.reshape(-1, 3 * H), c["h"].reshape(-1, H), c["gates"].reshape(-1, 2 * H)[:, :H]
    parts = dx[:, : 2 * H], dx[:, 2 * H :] * r
    concatenate = xp_of(dx).concatenate
    return {"w": concatenate([h.T @ du for du in parts], axis=1), "b": concatenate([column_sums(du) for du in parts])}
