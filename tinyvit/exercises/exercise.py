"""An exercise: a function to write, what it is called with, and how what was written is called."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
    further: list = field(default_factory=list, repr=False)  # calls that only an answer with their options is tried in

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

    def tried_with(self, answer, forward):
        """(the exercise as this answer is tried, the options that it does not take).

        Further calls, whose options the answer, or its forward pass, does not take, are left out.
        """

        def takes(call):
            if self.backward:
                keywords = self._backward_keywords(call)
                return _binds(forward, *call) and _binds(answer, self._backward_inputs(call, None, None), keywords)
            return _binds(answer, *call)

        taken = [call for call in self.further if takes(call)]
        tried = {name for _, keywords in self.calls + taken for name in keywords}
        options = dict.fromkeys(name for _, keywords in self.further for name in keywords if name not in tried)
        return replace(self, calls=self.calls + taken, further=[]), list(options)

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
        return self._backward_inputs(call, dy, c), self._backward_keywords(call)

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
        given = self._given(call) | {"c": c}
        _, *rest = inspect.signature(self.backward).parameters.values()
        return (dy, *(given[each.name] for each in rest if each.kind is not each.KEYWORD_ONLY and each.name in given))

    def _backward_keywords(self, call):
        """The options of the backward pass that the forward pass has in this call as well."""
        given, rest = self._given(call), inspect.signature(self.backward).parameters.values()
        return {each.name: given[each.name] for each in rest if each.kind is each.KEYWORD_ONLY and each.name in given}

    def _given(self, call):
        return inspect.signature(self.forward).bind(*call[0], **call[1]).arguments


def _binds(function, inputs, keywords):
    """Whether a function can be called with these."""
    try:
        inspect.signature(function).bind(*inputs, **keywords)
    except (TypeError, ValueError):  # the latter where it tells no signature
        return False
    return True
