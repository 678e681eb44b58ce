"""One step of the long short-term memory (Hochreiter and Schmidhuber 1997), with a forget gate (Gers et al. 2000)."""

from tinyvit.arrays import xp_of
from tinyvit.layers.initializers import orthogonal, side_by_side
from tinyvit.ops.sigmoid import sigmoid, sigmoid_backward
from tinyvit.ops.tanh import tanh, tanh_backward


def lstm_cell_init(rng, width, *, dtype="float32"):
    """Parameters {w [H, 4H]}: U_i, U_f, U_g, U_o side by side, each orthogonal."""
    return {"w": side_by_side(rng, 4, orthogonal, width, width, dtype=dtype)}


def lstm_cell(x, state, p):
    """The next state: a memory m, which is only ever added to and faded, and what of it is shown, h.

        i = sigmoid(x_i + h U_i),    f = sigmoid(x_f + h U_f),    o = sigmoid(x_o + h U_o)
        g = tanh(x_g + h U_g)
        m' = f * m + i * g
        h' = o * tanh(m')

    The memory's gradient goes through f alone, from step to step: no matrix and no tanh stands in its way.

    Parameters
    ----------
    x : array [B, 4H]
        What the input says to i, f, g and o (this order is PyTorch's): its products with W, biases included.
    state : array [B, 2H]
        h and m, side by side.
    p : {w [H, 4H]}

    Returns
    -------
    y : array [B, 2H], h' and m', and the cache {state, gates, shown}
        gates [B, 4H] are i, f, g, o; shown [B, H] is tanh(m').
    """
    xp, H = xp_of(x), x.shape[1] // 4
    h, m = state[:, :H], state[:, H:]
    gates = x + h @ p["w"]
    gates = xp.concatenate(
        [sigmoid(gates[:, : 2 * H])[0], tanh(gates[:, 2 * H : 3 * H])[0], sigmoid(gates[:, 3 * H :])[0]], axis=1
    )
    i, f, g, o = (gates[:, n * H : (n + 1) * H] for n in range(4))
    m = f * m + i * g
    shown, _ = tanh(m)
    return xp.concatenate([o * shown, m], axis=1), {"state": state, "gates": gates, "shown": shown}


def lstm_cell_backward(dy, p, c):
    """The gradients of one step: those of its inputs, then those of its parameters. Returns dx, dstate and g."""
    dx, dstate = lstm_cell_backward_inputs(dy, p, c)
    return dx, dstate, lstm_cell_backward_parameters(dx, c)


def lstm_cell_backward_inputs(dy, p, c):
    """The forward pass, line by line in reverse. Returns dx and dstate."""
    xp, H = xp_of(dy), dy.shape[1] // 2
    m, shown = c["state"][:, H:], c["shown"]
    i, f, g, o = (c["gates"][:, n * H : (n + 1) * H] for n in range(4))
    dh, dm = dy[:, :H], dy[:, H:]
    dm = dm + tanh_backward(dh * o, {"y": shown})  # h' = o tanh(m')
    of_sigmoids = xp.concatenate([dm * g, dm * m], axis=1)  # m' = f m + i g
    dx = xp.concatenate(
        [
            sigmoid_backward(of_sigmoids, {"y": c["gates"][:, : 2 * H]}),
            tanh_backward(dm * i, {"y": g}),
            sigmoid_backward(dh * shown, {"y": o}),
        ],
        axis=1,
    )
    return dx, xp.concatenate([dx @ p["w"].T, dm * f], axis=1)


def lstm_cell_backward_parameters(dx, c):
    """As `gru_cell_backward_parameters`: of one step, or of all steps together, one product over all rows."""
    H = dx.shape[-1] // 4
    return {"w": c["state"].reshape(-1, 2 * H)[:, :H].T @ dx.reshape(-1, 4 * H)}
