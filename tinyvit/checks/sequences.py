"""Cases for what works on sequences: recurrent cells and layers, token embedding, alignment."""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.checks.case import B, Case, D, S, T, drawing
from tinyvit.layers.alignment import ALIGNMENTS
from tinyvit.layers.recurrence import CELLS, recurrence, recurrence_backward, recurrence_init
from tinyvit.layers.recurrent_stack import (
    last_states,
    recurrent_stack,
    recurrent_stack_backward,
    recurrent_stack_init,
)
from tinyvit.layers.token_embedding import (
    token_embedding,
    token_embedding_backward,
    token_embedding_init,
    token_scores,
    token_scores_backward,
)
from tinyvit.ops.sigmoid import sigmoid, sigmoid_backward
from tinyvit.ops.token_cross_entropy import NO_TARGET, token_cross_entropy, token_cross_entropy_backward

H, V = 4, 6  # width of a state, tokens of the vocabulary
NAMES = {"gru": "gru_cell", "gru_after": "gru_after_cell", "lstm": "lstm_cell"}  # of the cells' functions


def sequence_cases(rng):
    """Cases with sequences of 5, 3 and 1 tokens, padded, and without padding."""
    array, randomised = drawing(rng)
    mask = np.arange(S) < np.array([[5], [3], [1]])
    x, targets = array(3, S, D), np.where(mask, rng.integers(V, size=mask.shape), NO_TARGET)
    table = randomised(token_embedding_init(None, V, D))
    found = {
        "sigmoid": Case(sigmoid, sigmoid_backward, (2 * array(B, D),)),
        "token_cross_entropy": Case(token_cross_entropy, token_cross_entropy_backward, (array(3, S, V), targets)),
        "token_cross_entropy/smoothing": Case(
            token_cross_entropy, token_cross_entropy_backward, (array(3, S, V), targets), dict(smoothing=0.1)
        ),
        "token_embedding": Case(token_embedding, token_embedding_backward, (rng.integers(V, size=(B, S)), table)),
        "token_scores": Case(token_scores, token_scores_backward, (array(B, T, D), table)),
    }
    found["token_embedding"].inputs[0][0, :3] = 2  # one token in several places
    for name, cell in CELLS.items():
        p = randomised(cell.init(None, H))
        inputs = (array(3, cell.inputs * H), array(3, cell.states * H), p)
        found[NAMES[name]] = Case(cell.forward, cell.backward, inputs)
    for name in CELLS:
        p = randomised(recurrence_init(None, D, H, cell=name))
        start = array(3, CELLS[name].states * H)
        found[f"recurrence/{name}"] = _recurrence(name, x, start, p)
        found[f"recurrence/{name} padded"] = _recurrence(name, x, start, p, mask=mask)
    found["recurrent_stack"] = _stack(x, randomised(recurrent_stack_init(None, D, H, layers=2)), rng)
    both = randomised(recurrent_stack_init(None, D, H, layers=2, both=True, cell="lstm"))
    found["recurrent_stack/both directions"] = _stack(x, both, rng, cell="lstm", mask=mask)
    for name, alignment in ALIGNMENTS.items():
        wide = D if name == "dot" else H
        bias = np.where(mask, array(3, S), -np.inf)[:, None]
        inputs = (array(3, T, wide), x, randomised(alignment.init(None, wide, D)))
        found[f"{name}_alignment"] = Case(alignment.forward, alignment.backward, inputs)
        found[f"{name}_alignment/padded"] = Case(alignment.forward, alignment.backward, inputs, dict(bias=bias))
    return found


def _recurrence(cell, x, start, p, mask=None):
    def forward(x, start, p):
        return recurrence(x, p, cell=cell, start=start, mask=mask)

    return Case(forward, lambda dy, p, c: recurrence_backward(dy, p, c, cell=cell), (x, start, p))


def _stack(x, p, rng, cell="gru", mask=None):
    """A stack whose output has, behind those of the last layer, the last states of all."""
    start = [[rng.standard_normal((len(x), CELLS[cell].states * H)) for _ in layer] for layer in p]

    def forward(x, start, p):
        y, c = recurrent_stack(x, p, cell=cell, start=start, mask=mask)
        return _flat([y, last_states(c)]), {"stack": c, "y": y}

    def backward(dy, start, p, c):
        dy, dlast = _unflat(dy, [c["y"], last_states(c["stack"])])
        return recurrent_stack_backward(dy, p, c["stack"], cell=cell, dlast=dlast)

    return Case(forward, backward, (x, start, p))


def _flat(tree):
    """All leaves side by side, [B, ...]."""
    leaves = trees.leaves(tree)
    return xp_of(leaves[0]).concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def _unflat(flat, like):
    """`_flat` in reverse."""
    parts, start = [], 0
    for leaf in trees.leaves(like):
        size = leaf[0].size
        parts.append(flat[:, start : start + size].reshape(leaf.shape))
        start += size
    parts = iter(parts)
    return trees.map(lambda _: next(parts), like)
