"""Recurrent cells, layers and stacks: twins in loops, PyTorch, padding, truncation."""

import numpy as np
import pytest

from tests.reference import naive_sequences
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.layers.initializers import orthogonal, side_by_side
from tinyvit.layers.recurrence import CELLS, recurrence, recurrence_backward, recurrence_init
from tinyvit.layers.recurrent_stack import recurrent_stack, recurrent_stack_init

B, T, INPUT, H = 3, 5, 4, 6
LENGTHS = (5, 2, 3)
MASK = np.arange(T) < np.array(LENGTHS)[:, None]
every_cell = pytest.mark.parametrize("cell", CELLS)


def drawn(rng, cell):
    p = randomised(recurrence_init(None, INPUT, H, cell=cell))
    return rng.standard_normal((B, T, INPUT)), rng.standard_normal((B, CELLS[cell].states * H)), p


@every_cell
@pytest.mark.parametrize("lengths", [(T,) * B, LENGTHS])
def test_it_agrees_with_its_twin(rng, cell, lengths):
    x, start, p = drawn(rng, cell)
    mask = None if lengths == (T,) * B else MASK
    states, _ = recurrence(x, p, cell=cell, start=start, mask=mask)
    assert_close(states, naive_sequences.recurrence(x, p, cell, start, lengths), 1e-13)


@every_cell
def test_it_starts_at_zero(rng, cell):
    x, start, p = drawn(rng, cell)
    assert_same_bits(recurrence(x, p, cell=cell)[0], recurrence(x, p, cell=cell, start=0 * start)[0])


@every_cell
def test_no_state_knows_what_comes_later(rng, cell):
    x, start, p = drawn(rng, cell)
    states, _ = recurrence(x, p, cell=cell, start=start)
    x[:, 3] += 1
    changed, _ = recurrence(x, p, cell=cell, start=start)
    np.testing.assert_array_equal(changed[:, :3], states[:, :3])
    assert (changed[:, 3:] != states[:, 3:]).all()


@every_cell
def test_padding_changes_nothing(rng, cell):
    """A batch with padding against each sequence alone: states, and all gradients."""
    x, start, p = drawn(rng, cell)
    states, c = recurrence(x, p, cell=cell, start=start, mask=MASK)
    dstates = rng.standard_normal(states.shape)
    dstates[~MASK] = 0
    dx, dstart, g = recurrence_backward(dstates, p, c, cell=cell)
    total = trees.map(np.zeros_like, p)
    for b, n in enumerate(LENGTHS):
        one, n = slice(b, b + 1), slice(n)
        alone, c_alone = recurrence(x[one, n], p, cell=cell, start=start[one])
        assert_close(states[one, n], alone, 1e-12)
        dalone, dstart_alone, g_alone = recurrence_backward(dstates[one, n], p, c_alone, cell=cell)
        assert_close([dx[one, n], dstart[one]], [dalone, dstart_alone], 1e-12)
        assert not dx[one, n.stop :].any()
        total = trees.map(np.add, total, g_alone)
    assert_close(g, total, 1e-12)


@every_cell
def test_what_stands_at_padding_does_not_matter(rng, cell):
    x, start, p = drawn(rng, cell)
    other = np.where(MASK[..., None], x, 1e6)
    found, expected = (recurrence(y, p, cell=cell, start=start, mask=MASK)[0] for y in (other, x))
    assert_same_bits(found, expected)


@every_cell
def test_truncated_is_piece_by_piece(rng, cell):
    """Pieces of two tokens, each started with the state of the one before and no gradient handed back."""
    x, start, p = drawn(rng, cell)
    states, c = recurrence(x, p, cell=cell, start=start)
    dstates = rng.standard_normal(states.shape)
    dx, dstart, g = recurrence_backward(dstates, p, c, cell=cell, truncate=2)
    assert not dstart.any()
    total, state = trees.map(np.zeros_like, p), start
    for first in range(0, T, 2):
        piece = slice(first, first + 2)
        of_piece, c_piece = recurrence(x[:, piece], p, cell=cell, start=state)
        state = of_piece[:, -1]
        dx_piece, _, g_piece = recurrence_backward(dstates[:, piece], p, c_piece, cell=cell)
        assert_close(dx[:, piece], dx_piece, 1e-12)
        total = trees.map(np.add, total, g_piece)
    assert_close(g, total, 1e-12)
    whole = recurrence_backward(dstates, p, c, cell=cell)
    assert_close(recurrence_backward(dstates, p, c, cell=cell, truncate=T)[2], whole[2], 1e-14)


def test_a_gate_that_is_open_carries_the_state_and_its_gradient_over(rng):
    """z = 1, or f = 1 and i = 0: forty steps later the state is what it was, and so is its gradient."""
    H = 3
    for cell, open_gates in (("gru", {1: 50}), ("gru_after", {1: 50}), ("lstm", {0: -50, 1: 50})):
        p = randomised(recurrence_init(None, INPUT, H, cell=cell))
        for gate, value in open_gates.items():
            p["x"]["b"][gate * H : (gate + 1) * H] = value
        start = rng.standard_normal((2, CELLS[cell].states * H))
        states, c = recurrence(rng.standard_normal((2, 40, INPUT)), p, cell=cell, start=start)
        memory = slice(-H, None)
        assert_close(states[:, -1, memory], start[:, memory], 1e-12)
        dstates = np.zeros_like(states)
        dstates[:, -1, memory] = dlast = rng.standard_normal((2, H))
        assert_close(recurrence_backward(dstates, p, c, cell=cell)[1][:, memory], dlast, 1e-12)


def test_both_directions_see_both_sides(rng):
    p = randomised(recurrent_stack_init(None, INPUT, H, both=True))
    x = rng.standard_normal((B, T, INPUT))
    y, c = recurrent_stack(x, p, mask=MASK)
    assert y.shape == (B, T, 2 * H)
    for b, n in enumerate(LENGTHS):
        reversed_alone, _ = recurrence(x[b : b + 1, :n][:, ::-1], p[0][1])
        assert_close(y[b : b + 1, :n, H:], reversed_alone[:, ::-1], 1e-12)
        assert_close(c[0][1]["states"][b, -1], reversed_alone[0, -1], 1e-12)


def test_orthogonal_matrices_keep_lengths(rng):
    for shape in ((5, 5), (7, 4), (4, 7)):
        w = orthogonal(rng, *shape, np.float64)
        product = w @ w.T if shape[0] < shape[1] else w.T @ w
        np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)
    w = side_by_side(rng, 3, orthogonal, 4, 4, np.float64)
    for n in range(3):
        np.testing.assert_allclose(w[:, 4 * n : 4 * n + 4].T @ w[:, 4 * n : 4 * n + 4], np.eye(4), atol=1e-14)
    assert side_by_side(None, 3, orthogonal, 4, 4).shape == (4, 12)
