"""Position embeddings, of which a config names one: how the encoder learns where a patch was.

Attention treats its input as a set: without positions, permuting the patches permutes the outputs and changes nothing
else. Each kind is a triple (init, forward, backward) in the table POSITION; a further kind is a further entry, and no
model changes.
"""

from collections.abc import Callable
from typing import NamedTuple

from tinyvit.layers.initializers import normal


def learned_position_init(rng, tokens, dim, *, std=0.02, dtype="float32"):
    """A table [T, D], one row for each position, drawn with the given standard deviation: the paper's E_pos."""
    return normal(rng, (tokens, dim), std, dtype)


def learned_position(z, p):
    """Add to each token the embedding of its position: y = z + E_pos (ViT paper, equation 1).

    Adding is a special case of concatenating: x E + P_t = [x, onehot(t)] [E; P], a linear projection of the patch
    beside its position.

    Parameters
    ----------
    z : array [B, T, D]
    p : array [T, D]
        Row 0 belongs to the class token.

    Returns
    -------
    y : array [B, T, D], and the cache {}
    """
    return z + p, {}


def learned_position_backward(dy, p, c):
    """The gradients of z and of the table, which all images share: dz = dy, dp = sum of dy over the batch."""
    return dy, dy.sum(axis=0)


def no_position_init(rng, tokens, dim, *, std=0.02, dtype="float32"):
    """No parameters: {}."""
    return {}


def no_position(z, p):
    """y = z: the model sees a bag of patches (the first row of the paper's table 8)."""
    return z, {}


def no_position_backward(dy, p, c):
    """dz = dy, and no parameters."""
    return dy, {}


class Position(NamedTuple):
    """One kind of position embedding: its three functions."""

    init: Callable
    forward: Callable
    backward: Callable


POSITION = {
    "1d": Position(learned_position_init, learned_position, learned_position_backward),
    "none": Position(no_position_init, no_position, no_position_backward),
}
