"""The contract of a pair of functions, as a gradient check calls them, and what is said of a pair that breaks it.

    f(*inputs, **keywords) -> y, c                               y and the cache c
    f_backward(dy, *parameters, c) -> the gradients, a tuple     or the gradient alone, if there is but one

Neither changes what it is handed, and f is pure: the same inputs give the same result.
"""

import inspect

import numpy as np

from tinyvit import trees
from tinyvit.arrays import copied, same, to_host


class BrokenContract(Exception):
    """How a pair of functions breaks the contract; its text says it to the one who wrote them."""


class Inputs:
    """A pair's inputs, copied: all of them, and by name those whose gradients are checked.

    Parameters
    ----------
    f : callable
        Its arguments give the inputs their names.
    values : tuple
        float64 arrays and trees of them are checked; others are handed to f as they are.

    Raises
    ------
    TypeError
        If there is nothing to check, or one of the arrays to be checked is not float64.
    """

    def __init__(self, f, values):
        names = _argument_names(f, values)
        self.all = {name: copied(x) if _is_checked(x, name) else x for name, x in zip(names, values, strict=True)}
        arrays = {name: x for name, x in self.all.items() if not _is_tree(x) and _is_checked(x, name)}
        self.parameters = {name: x for name, x in self.all.items() if _is_tree(x)}
        self.checked = arrays | self.parameters
        if not trees.count(self.checked):
            found = ", ".join(f"{name} is {kind(x)}" for name, x in self.all.items()) or "no inputs"
            raise TypeError(f"nothing to check: {found}; expected float64 arrays, as np.asarray(x, float) makes them")


def forward(f, inputs, keywords):
    """y and c, from a forward pass that keeps to the contract."""
    before = copied(inputs.checked)
    result = f(*inputs.all.values(), **keywords)
    if not isinstance(result, tuple) or len(result) != 2:
        raise BrokenContract(f"the forward pass returned {kind(result)}, expected its result and a cache: return y, c")
    if not same(inputs.checked, before):
        raise BrokenContract("the forward pass changed its arguments")
    y, c = result
    y = np.float64(y) if type(y) is float else y
    if getattr(y, "dtype", None) != np.float64:
        raise BrokenContract(f"the forward pass computed y as {kind(y)}, expected float64")
    wrong = np.argwhere(~np.isfinite(to_host(y)))
    if len(wrong):
        value = to_host(y)[tuple(wrong[0])]
        raise BrokenContract(f"the forward pass computed y as {value} at {wrong[0].tolist()}, expected finite numbers")
    return y, c


def backward(f_backward, dy, c, inputs):
    """The gradient of each input that is checked, by name, from a backward pass that keeps to the contract."""
    handed = [copied(dy), *inputs.parameters.values(), c]
    before = copied(handed)
    try:
        gradients = f_backward(*handed)
    except Exception as error:
        error.add_note(f"gradcheck called f_backward({', '.join(['dy', *inputs.parameters, 'c'])})")
        raise
    if not same(handed, before):
        raise BrokenContract("the backward pass changed its arguments: dy, the parameters or the cache")
    expected = f"expected {len(inputs.checked)}: of {', '.join(inputs.checked)}"
    if isinstance(gradients, list) and len(inputs.checked) > 1:
        raise BrokenContract(f"the backward pass returned a list, expected a tuple of gradients; {expected}")
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    if len(gradients) != len(inputs.checked):
        found = f"{len(gradients)} gradient{'s' * (len(gradients) != 1)}"
        whole = [f"{name} is {kind(x)} and has none" for name, x in inputs.all.items() if _dtype(x).kind in "iub"]
        raise BrokenContract("; ".join([f"the backward pass returned {found}, {expected}", *whole]))
    return dict(zip(inputs.checked, gradients, strict=True))


def kind(x):
    """What a value is, in a word or two: `float64 [3, 4]`, `a tuple of 3`, `None`."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype} {list(x.shape)}"
    if isinstance(x, tuple | list | dict):
        return f"a {type(x).__name__} of {len(x)}"
    return "None" if x is None else f"a {type(x).__name__}"


def _is_tree(x):
    return isinstance(x, dict | list)


def _dtype(x):
    return np.dtype(getattr(x, "dtype", object))


def _is_checked(x, name):
    """Whether x is an array of floating-point numbers, of any array module, or a tree of them: all float64."""
    if not _is_tree(x) and _dtype(x).kind != "f":
        return False
    for leaf_name, leaf in trees.walk(x):
        if _dtype(leaf) != np.float64:
            label = f"{name}/{leaf_name}" if leaf_name else name
            raise TypeError(
                f"a gradient check needs float64, found {kind(leaf)} in {label}: convert it with np.asarray(x, float)"
            )
    return True


def _argument_names(f, inputs):
    try:
        names = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    return names[: len(inputs)] + [f"input {i}" for i in range(len(names), len(inputs))]
