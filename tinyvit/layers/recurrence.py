"""A recurrent layer: one cell, step by step along a sequence; its gradient is backpropagation through time.

A cell hands a state on. What the input says to its gates does not depend on the state, so that this product, the larger
half of the work, is one for all steps. What is left is a loop over time, the only one: attention removes it.
"""

from collections.abc import Callable
from typing import NamedTuple

from tinyvit import trees
from tinyvit.arrays import to_host, xp_of
from tinyvit.layers.gru_cell import (
    gru_after_cell,
    gru_after_cell_backward_inputs,
    gru_after_cell_backward_parameters,
    gru_after_cell_init,
    gru_cell,
    gru_cell_backward_inputs,
    gru_cell_backward_parameters,
    gru_cell_init,
)
from tinyvit.layers.initializers import side_by_side, xavier_uniform, zeros
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.lstm_cell import (
    lstm_cell,
    lstm_cell_backward_inputs,
    lstm_cell_backward_parameters,
    lstm_cell_init,
)


class Cell(NamedTuple):
    """One cell.

    init         (rng, width, *, dtype)   -> p
    forward      (x, state, p)            -> state, c
    backward     (dstate, p, c)           -> dx, dstate         step by step
    parameters   (dx, c)                  -> g                  of all steps at once, their caches one [T, B, ...]
    reads        what `parameters` reads of the cache
    inputs       how many numbers the input says for each of the state's H
    states       how many times H the state is; its first H numbers are what others see
    """

    init: Callable
    forward: Callable
    backward: Callable
    parameters: Callable
    reads: tuple
    inputs: int
    states: int


CELLS = {
    "gru": Cell(
        gru_cell_init,
        gru_cell,
        gru_cell_backward_inputs,
        gru_cell_backward_parameters,
        reads=("h", "gates"),
        inputs=3,
        states=1,
    ),
    "gru_after": Cell(
        gru_after_cell_init,
        gru_after_cell,
        gru_after_cell_backward_inputs,
        gru_after_cell_backward_parameters,
        reads=("h", "gates"),
        inputs=3,
        states=1,
    ),
    "lstm": Cell(
        lstm_cell_init,
        lstm_cell,
        lstm_cell_backward_inputs,
        lstm_cell_backward_parameters,
        reads=("state",),
        inputs=4,
        states=2,
    ),
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
    states : array [B, T, S H], and the cache {x, steps}
        S is 1; of the LSTM 2, and the first H numbers are h. steps are the caches of the cell, with mask [B, 1] at
        steps at which a sequence is over.
    """
    xp, forward = xp_of(x), CELLS[cell].forward
    gates, c_x = linear(xp.ascontiguousarray(x.swapaxes(0, 1)), p["x"])  # [B, T, I] -> [T, B, G H]
    if start is None:
        start = xp.zeros((len(x), CELLS[cell].states * len(p["h"]["w"])), x.dtype)
    c, states, state = {"x": c_x, "steps": []}, [], start
    for t, x_t in enumerate(gates):
        new, step = forward(x_t, state, p["h"])
        if mask is not None and not (token := to_host(mask)[:, t, None]).all():
            step["mask"] = xp.asarray(token)
            new = xp.where(step["mask"], new, state)
        state = new
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
    xp, T, kind, steps = xp_of(dstates), dstates.shape[1], CELLS[cell], c["steps"]
    dgates, dstate = [None] * T, xp.zeros_like(dstates[:, 0])
    p_h = trees.map(xp.asfortranarray, p["h"])  # the loop multiplies by transposes: so they lie in one piece
    for t in reversed(range(T)):
        dstate = dstate + dstates[:, t]
        dnew, kept = dstate, 0
        if "mask" in steps[t]:  # at padding, the gradient goes past the cell
            dnew, kept = xp.where(steps[t]["mask"], dstate, 0), xp.where(steps[t]["mask"], 0, dstate)
        dgates[t], dstate = kind.backward(dnew, p_h, steps[t])
        if "mask" in steps[t]:
            dstate = dstate + kept
        if truncate and t % truncate == 0:
            dstate = xp.zeros_like(dstate)
    dgates = xp.stack(dgates)  # [T, B, G H]
    g = {"h": kind.parameters(dgates, {name: xp.stack([step[name] for step in steps]) for name in kind.reads})}
    dx, g["x"] = linear_backward(dgates, p["x"], c["x"])
    return dx.swapaxes(0, 1), dstate, g
