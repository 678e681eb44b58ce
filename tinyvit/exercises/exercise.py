"""An exercise: a function to write, what it is called with, and how what was written is called."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tinyvit import checks
from tinyvit.arrays import copied

SIZES = {"B": checks.B, "T": checks.T, "D": checks.D, "M": checks.M}
OPTIONAL = ("dbias", "dstart")  # these may be the gradients of no input, or of a keyword


@dataclass(frozen=True)
class Exercise:
    """A function to write: a forward pass, or, where `backward` is given, the backward pass to it."""

    forward: Callable
    calls: list = field(repr=False)  # what forward is called with, each (inputs, keywords)
    results: tuple  # the names of what is to be returned, the cache apart
    backward: Callable | None = None
    has_cache: bool = True  # forward returns y, c, not y alone
    sizes: dict = field(default_factory=lambda: SIZES)  # of the axes: a wrong factor is often one of them
    way: tuple = ("g", "dp")  # what a backward pass computes first, as results or parts of them: g/o, dv, ...

    @property
    def function(self):
        """The one to write."""
        return self.backward or self.forward

    def on_the_way(self, names):
        """The names of results, as the package returns them, in the order in which a backward pass comes by them.

        Its own dictionary of gradients is in that order; what is not in `way` comes last.
        """

        def place(name):
            return next((i for i, first in enumerate(self.way) if f"{name}/".startswith(f"{first}/")), len(self.way))

        return sorted(names, key=place)

    def arguments(self, call, forward):
        """What the function to write is called with: (inputs, keywords).

        For a backward pass they are a random upstream gradient, the parameters where it takes them, the cache that
        `forward` makes in this call, and the config of a model.
        """
        if not self.backward:
            return call
        *inputs, keywords = copied([*call[0], call[1]])  # the forward pass may be one that the learner wrote
        y, c = forward(*inputs, **keywords)
        dy = np.random.default_rng(1).standard_normal(np.shape(y)).astype(np.asarray(y).dtype)
        return self._backward_inputs(call, dy, c), {}

    def named(self, call):
        """What the function to write is called with, each under its name: dicts of one entry."""
        inputs, keywords = self.arguments(call, self.forward)
        names = list(inspect.signature(self.function).parameters)[: len(inputs)]
        return [*({name: each} for name, each in zip(names, inputs, strict=True)), keywords]

    def case(self, backward, call=None):
        """A case for gradcheck: the package's forward pass in one of the calls, and a backward pass to it."""
        inputs, keywords = call or self.calls[0]
        names = list(inspect.signature(self.forward).parameters)[: len(inputs)]

        def gradients(dy, *rest):
            found = backward(*self._backward_inputs((inputs, keywords), dy, rest[-1]))
            if len(self.results) == 1:
                return found
            pairs = zip(self.results, found, strict=True)
            return tuple(gradient for name, gradient in pairs if name not in OPTIONAL or name[1:] in names)

        return checks.Case(self.forward, gradients, inputs, keywords)

    def _backward_inputs(self, call, dy, c):
        """The inputs of the backward pass, by the names of the package's: dy (dz, dloss) first, defaults left out."""
        given = inspect.signature(self.forward).bind(*call[0], **call[1]).arguments | {"c": c}
        _, *names = inspect.signature(self.backward).parameters
        return (dy, *(given[name] for name in names if name in given))
