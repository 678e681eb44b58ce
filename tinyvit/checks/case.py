"""A case: a pair of functions and what to call them with; and how its numbers are drawn."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tinyvit import trees
from tinyvit.gradcheck import gradcheck

B, T, S, D, M = 2, 3, 5, 8, 7  # batch, tokens, source tokens, width, MLP width; h = 4 heads of d = 2


@dataclass(frozen=True)
class Case:
    """A pair of functions and what to call them with.

    forward(*inputs, **keywords) -> y, c and backward(dy, *parameter trees, c) -> gradients, as gradcheck takes them.
    """

    forward: Callable
    backward: Callable
    inputs: tuple
    keywords: dict = field(default_factory=dict)

    def check(self):
        """The report of gradcheck on this case."""
        return gradcheck(self.forward, self.backward, *self.inputs, **self.keywords)


def drawing(rng):
    """array(*shape) draws one; randomised(tree) draws every parameter of a tree."""

    def array(*shape):
        return rng.standard_normal(shape)

    def randomised(tree):
        return trees.map(lambda leaf: 0.5 * array(*leaf.shape) + np.asarray(leaf, np.float64), tree)

    return array, randomised


def array_parameter(case):
    """A layer whose parameter is a single array, as gradcheck sees it: the array is one more input."""
    p = case.inputs[1]
    return Case(case.forward, lambda dy, c: case.backward(dy, p, c), case.inputs, case.keywords)
