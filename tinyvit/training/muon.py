"""Muon: momentum, orthogonalised (Jordan et al. 2024), for the matrices of stacked layers.

The gradient of a matrix is a sum of outer products, and most of its length usually lies in a few directions: those of
its largest singular values. Muon sets all singular values to about 1, so that a step goes as far along the rare
directions as along the common ones. (Adam evens out the entries of a matrix one by one, and sees no directions.)

Embeddings, the head, vectors and tables stay with AdamW: a row of theirs is a thing of its own, and the rows need not
be turned towards each other.
"""

from typing import NamedTuple

from tinyvit import trees
from tinyvit.arrays import xp_of

MOMENTUM = 0.95
A, B, C = 3.4445, -4.7750, 2.0315  # of the polynomial
STEPS = 5  # of the iteration, which bring singular values from 0.0016 to 1 into [0.68, 1.21]
LENGTH = 0.2  # root mean square of an update at learning rate 1, about that of Adam's: one rate serves both


class Stretch(NamedTuple):
    """A range of the flat vectors that one rule updates: a matrix of Muon's, of this shape, or whatever is AdamW's."""

    start: int
    stop: int
    shape: tuple[int, int] | None


def stretches(p):
    """The parameters in their order, as stretches: each of Muon's matrices is one, and so is all between two of them.

    Muon's are the matrices of layers in a stack, whose names have a number: blocks/0/mlp/fc1/w. A kernel [K, K, C, D]
    is the matrix [K*K*C, D] that multiplies the windows.
    """
    found, start = [], 0
    for name, w in trees.walk(p):
        stop = start + w.size
        is_muons = name.endswith("/w") and any(part.isdecimal() for part in name.split("/"))
        if is_muons:
            found.append(Stretch(start, stop, (w.size // w.shape[-1], w.shape[-1])))
        elif found and found[-1].shape is None:
            found[-1] = found[-1]._replace(stop=stop)
        else:
            found.append(Stretch(start, stop, None))
        start = stop
    return found


def momentum_step(g, m):
    """The momentum, and in place of the gradient where the momentum would be after one more such step (Nesterov).

        m = mu m + g,    g = g + mu m        with mu = MOMENTUM

    Parameters
    ----------
    g, m : array [n]
        Flat vectors, of a matrix or a part of one; both are changed.
    """
    m *= MOMENTUM
    m += g
    g += MOMENTUM * m


def orthogonalise(g):
    """The nearest orthogonal matrix, roughly: of g = U S V^T, with all singular values set to about 1, U V^T.

    For X = U S V^T the products X X^T X and X X^T X X^T X have the same U and V, and the singular values S^3 and S^5.
    So

        X <- a X + b (X X^T) X + c (X X^T)^2 X        turns each s into    f(s) = a s + b s^3 + c s^5,

    and matrix products alone, no decomposition, move all singular values at once (Newton-Schulz). X starts as
    g / |g|, whose singular values are at most 1. a = f'(0) is the factor by which small ones grow. Jordan et al. chose
    it as large as they could while f keeps all that have come near 1 within about 0.3 of it. They do not converge to 1,
    and need not. Derived in docs/derivations/muon.md.

    Parameters
    ----------
    g : array [rows, columns]

    Returns
    -------
    array [rows, columns]; zeros for zeros
    """
    xp = xp_of(g)
    tall = g.shape[0] > g.shape[1]
    x = g.T if tall else g  # the smaller X X^T
    x = x / (xp.sqrt((x * x).sum()) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.T
        x = A * x + (B * square + C * (square @ square)) @ x
    return x.T if tall else x


def muon_step(p, direction, *, learning_rate, decay):
    """One update, in place, of a piece p of a matrix: p = p - learning_rate (decay p + direction).

    Parameters
    ----------
    p, direction : array [n]
        Flat vectors; p is changed. The direction is the same piece of `muon_direction`.
    learning_rate : float
    decay : float or array [n]
        One for each parameter, from `decay_of`.
    """
    p *= 1 - learning_rate * decay
    p -= learning_rate * direction


def muon_direction(g):
    """The orthogonalised g, as long as Adam's updates are: flat.

    An orthogonal matrix [m, n] has the mean square 1 / max(m, n): times 0.2 sqrt(max(m, n)), the root of the mean
    square of each update is 0.2 (Liu et al. 2025, section 2.2).

    Parameters
    ----------
    g : array [m, n]

    Returns
    -------
    array [m n]
    """
    return (LENGTH * max(g.shape) ** 0.5 * orthogonalise(g)).reshape(-1)
