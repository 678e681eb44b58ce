"""A recurrent layer: one cell, step by step along a sequence; its gradient is backpropagation through time.

A cell hands a state on. What the input says to its gates does not depend on the state, so that this product, the larger
half of the work, is one for all steps. What is left is a loop over time, the only one: attention removes it.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.layers.gru_cell import (
    gru_after_cell,
    gru_after_cell_backward,
    gru_after_cell_init,
    gru_cell,
    gru_cell_backward,
    gru_cell_init,
)
from tinyvit.layers.initializers import side_by_side, xavier_uniform, zeros
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.lstm_cell import lstm_cell, lstm_cell_backward, lstm_cell_init


class Cell(NamedTuple):
    """One cell.

    init       (rng, width, *, dtype)   -> p
    forward    (x, state, p)            -> state, c
    backward   (dstate, p, c)           -> dx, dstate, g
    inputs     how many numbers the input says for each of the state's H
    states     how many times H the state is; its first H numbers are what others see
    """

    init: Callable
    forward: Callable
    backward: Callable
    inputs: int
    states: int


CELLS = {
    "gru": Cell(gru_cell_init, gru_cell, gru_cell_backward, inputs=3, states=1),
    "gru_after": Cell(gru_after_cell_init, gru_after_cell, gru_after_cell_backward, inputs=3, states=1),
    "lstm": Cell(lstm_cell_init, lstm_cell, lstm_cell_backward, inputs=4, states=2),
}


def recurrence_init(rng, dim, width, *, cell="gru", dtype="float32"):
    """Parameters {x {w [I, G H], b [G H]}, h}: the input's products with the G gates, and the cell's own."""
    gates = CELLS[cell].inputs
    x = {"w": side_by_side(rng, gates, xavier_uniform, dim, width, dtype=dtype)}
    x["b"] = zeros(rng, (gates * width,), dtype)
    return {"x": x, "h": CELLS[cell].init(rng, width, dtype=dtype)}


def recurrence(x, p, *, cell="gru", start=None, mask=None):
    """Read a sequence from its first token to its last.

        s_t = cell(x_t W + b, s_{t-1}),    t = 1 ... T

    Parameters
    ----------
    x : array [B, T, I]
    p : {x {w, b}, h}
    cell : str
        One of CELLS.
    start : array [B, S H], optional
        The state before the first token; zeros without.
    mask : bool array [B, T], optional
        Where there is a token; at padding, the state stays what it was. So the last state is that after the last
        token, however long each sequence is.

    Returns
    -------
    states : array [B, T, S H], and the cache {x, steps, mask}
        S is 1; of the LSTM 2, and the first H numbers are h.
    """
    xp, forward = xp_of(x), CELLS[cell].forward
    gates, c_x = linear(x, p["x"])
    c = {"x": c_x, "steps": []} | ({} if mask is None else {"mask": xp.asarray(mask)})
    if start is None:
        start = xp.zeros((len(x), CELLS[cell].states * len(p["h"]["w"])), x.dtype)
    states, state = [], start
    for t in range(x.shape[1]):
        new, step = forward(gates[:, t], state, p["h"])
        state = xp.where(c["mask"][:, t, None], new, state) if "mask" in c else new
        states.append(state)
        c["steps"].append(step)
    return xp.stack(states, axis=1), c


def recurrence_backward(dstates, p, c, *, cell="gru", truncate=None):
    """Backpropagation through time: from the last token to the first, each step's gradient handed to the step before.

    A state reaches the loss once directly, as an output, and once through the next state:

        ds_t = dstates_t + (d s_{t+1} / d s_t)^T ds_{t+1}

    and since all steps share one set of parameters, the parameters' gradient is the sum over the steps.

    Parameters
    ----------
    dstates : array [B, T, S H]
    truncate : int, optional
        The sequence is cut into pieces of so many tokens, from the first, and no gradient goes from a piece to the one
        before: truncated backpropagation (Williams and Peng 1990), as if each piece had begun with a state from
        elsewhere.

    Returns
    -------
    dx [B, T, I], dstart [B, S H] and g
    """
    xp, backward, steps = xp_of(dstates), CELLS[cell].backward, c["steps"]
    dgates, of_steps, dstate = [], [], xp.zeros_like(dstates[:, 0])
    for t in reversed(range(len(steps))):
        dstate = dstate + dstates[:, t]
        dnew, kept = dstate, None
        if "mask" in c:  # at padding, the gradient goes past the cell
            token = c["mask"][:, t, None]
            dnew, kept = xp.where(token, dstate, 0), xp.where(token, 0, dstate)
        dx, dstate, g = backward(dnew, p["h"], steps[t])
        dstate = dstate if kept is None else dstate + kept
        if truncate and t % truncate == 0:
            dstate = xp.zeros_like(dstate)
        dgates.append(dx)
        of_steps.append(g)
    dx, g_x = linear_backward(xp.stack(dgates[::-1], axis=1), p["x"], c["x"])
    return dx, dstate, {"x": g_x, "h": reduce(lambda total, g: trees.map(lambda a, b: a + b, total, g), of_steps)}
