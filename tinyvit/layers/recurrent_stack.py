"""Recurrent layers on top of each other, each in one direction or in both (Schuster and Paliwal 1997)."""

from tinyvit.arrays import xp_of
from tinyvit.layers.recurrence import recurrence, recurrence_backward, recurrence_init

FORWARD, BACKWARD = slice(None), slice(None, None, -1)  # the two directions of time


def recurrent_stack_init(rng, dim, width, *, layers=1, both=False, cell="gru", dtype="float32"):
    """Parameters [[recurrence for each direction] for each layer]."""
    directions = 1 + both
    dims = [dim] + [directions * width] * (layers - 1)
    return [[recurrence_init(rng, d, width, cell=cell, dtype=dtype) for _ in range(directions)] for d in dims]


def recurrent_stack(x, p, *, cell="gru", start=None, mask=None):
    """Let each layer read what the one below shows; where it has two directions, one of its halves reads backwards.

    A word means what it does through the words on both sides of it, and the state after a token knows the left side
    alone. Reading backwards is reading a reversed sequence: the same layer, between two reversals.

    Parameters
    ----------
    x : array [B, T, I]
    p : the tree of `recurrent_stack_init`
    cell : str
        One of CELLS.
    start : list of lists of arrays [B, S H], optional
        The states before the first token, [[of each direction] of each layer]; zeros without.
    mask : bool array [B, T], optional
        As in `recurrence`. Backwards, padding comes first, and leaves the state at zero.

    Returns
    -------
    y : array [B, T, H], of both directions [B, T, 2H], and the cache [[{c, states}]]
        y_t is what the last layer shows of its states at token t. A layer's own states [B, T, S H] are in the cache, in
        the order in which it read: `last_states` are those after the whole sequence.
    """
    xp, c = xp_of(x), []
    for number, layer in enumerate(p):
        halves, caches = [], []
        for i, (direction, p_half) in enumerate(zip((FORWARD, BACKWARD), layer, strict=False)):
            of_half = dict(start=None if start is None else start[number][i])
            of_half |= dict(mask=None if mask is None else mask[:, direction])
            states, cache = recurrence(x[:, direction], p_half, cell=cell, **of_half)
            halves.append(states[:, direction, : len(p_half["h"]["w"])])
            caches.append({"c": cache, "states": states})
        x = xp.concatenate(halves, axis=-1)
        c.append(caches)
    return x, c


def recurrent_stack_backward(dy, p, c, *, cell="gru", dlast=None):
    """The layers in reverse, each direction's gradient in its own order of time.

    Parameters
    ----------
    dy : array [B, T, H] or [B, T, 2H]
    dlast : list of lists of arrays [B, S H], optional
        The gradients of `last_states`, where a decoder starts from them.

    Returns
    -------
    dx [B, T, I], dstart as start, and g
    """
    xp, dstart, g = xp_of(dy), [], []
    for number in reversed(range(len(p))):
        dx, of_start, of_layer = 0, [], []
        for i, direction in zip(range(len(p[number])), (FORWARD, BACKWARD), strict=False):
            p_half, cache = p[number][i], c[number][i]
            H = len(p_half["h"]["w"])
            dstates = xp.zeros_like(cache["states"])
            dstates[..., :H] = dy[:, direction, i * H : (i + 1) * H]
            if dlast is not None:
                dstates[:, -1] += dlast[number][i]
            dhalf, dstart_half, g_half = recurrence_backward(dstates, p_half, cache["c"], cell=cell)
            dx = dx + dhalf[:, direction]
            of_start.append(dstart_half)
            of_layer.append(g_half)
        dy = dx
        dstart.insert(0, of_start)
        g.insert(0, of_layer)
    return dy, dstart, g


def last_states(c):
    """The states after the whole sequence, [[of each direction, [B, S H]] of each layer], from the cache."""
    return [[half["states"][:, -1] for half in layer] for layer in c]
