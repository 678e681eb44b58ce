"""Gradient checks: does the backward pass compute the derivative of the forward pass?

Draw a random upstream gradient r and look at the scalar L = sum(r * y). Its gradient with respect to an input x is
exactly f_backward(r, c), and each entry of it can also be measured by moving that entry alone, with the fourth-order
central difference

    dL/dx  =  ( 8 [L(x+h) - L(x-h)] - [L(x+2h) - L(x-2h)] ) / 12h  +  O(h^4).

Why r is random: with r = 1 everywhere, softmax's rows (which sum to 1) and LayerNorm's (which sum to 0) have a gradient
of zero, and a backward pass that returns nothing but zeros would pass. Why float64: the two large, nearly equal numbers
subtracted above lose their leading digits; float32 would leave none.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Array, Tree
from tinyvit.arrays import is_on_gpu, to_host, xp_of

# Part of r's seed. An input is often the first that default_rng(0) draws, and with r = x LayerNorm's gradient vanishes.
UPSTREAM = 1
STEP = 1e-4  # rounding (1/h) leaves about 1e-11 here, and truncation (h^4) less


@dataclass(frozen=True)
class Row:
    """What was found for one tensor: its worst entry."""

    name: str
    entries: int
    error: float
    index: tuple[int, ...] = ()
    analytic: float = float("nan")
    numeric: float = float("nan")
    problem: str = ""  # a fault of form: a shape, a dtype, a missing name


@dataclass(frozen=True)
class Report:
    """The result of a gradient check: one row for each tensor, and the verdict over all of them."""

    rows: list[Row]
    rtol: float
    problem: str = ""

    @property
    def worst_error(self) -> float:
        """The largest error of any entry; infinite where a gradient is missing, misshapen or not a number."""
        return float("inf") if self.problem else max((row.error for row in self.rows), default=float("inf"))

    @property
    def entries(self) -> int:
        """How many entries were checked."""
        return sum(row.entries for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether every entry agrees."""
        return self.worst_error <= self.rtol

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [f"{'tensor':<24} {'entries':>7}  {'worst error':>11}  {'analytic':>12} {'numeric':>12}  at"]
        for row in self.rows:
            lines.append(
                f"{row.name:<24} {row.entries:>7}  {row.error:>11.1e}  {row.analytic:>12.5g} {row.numeric:>12.5g}  "
                + (row.problem or str(list(row.index)))
            )
        lines += [self.problem] if self.problem else []
        verdict = "gradients agree" if self.ok else "GRADIENTS DISAGREE"
        return "\n".join([*lines, f"{verdict}: worst error {self.worst_error:.1e}, allowed {self.rtol:.0e}"])

    __repr__ = __str__  # a notebook shows the table


def numeric_gradient(loss: Callable[[], float], x: Array, step: float = STEP) -> np.ndarray:
    """The gradient of the scalar function loss() with respect to the array x, entry by entry.

    x is moved in place, one entry at a time, and put back; loss() must read it.
    """
    dx = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value = float(x[index])

        def moved(steps, index=index, value=value):
            x[index] = value + steps * step
            return loss()

        dx[index] = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)
        x[index] = value
    return dx


def gradcheck(
    f: Callable,
    f_backward: Callable,
    *inputs: Any,
    rtol: float = 1e-7,
    atol: float = 1e-9,
    seed: int = 0,
    **keywords: Any,
) -> Report:
    """Compare a hand-written backward pass with numeric gradients, every entry of every input and parameter.

    f(*inputs, **keywords) -> y, c and f_backward(dy, *parameters, c) -> the gradients of the inputs, in their order,
    then of each parameter tree. f must be pure: the same inputs give the same result, and none of them is changed.

    Parameters
    ----------
    f, f_backward : callable
        A pair of functions as everywhere in tinyvit.
    *inputs
        float64 arrays are inputs; trees (dictionaries, lists) of float64 arrays are parameters, and are also handed to
        the backward pass; anything else (integer arrays, None) is passed to f as it is.
    rtol, atol : float
        An entry agrees if |analytic - numeric| <= max(rtol * max(|analytic|, |numeric|), atol). Both are needed: the
        gradient of the key bias is identically zero, and a purely relative error of two rounding errors says nothing.
    seed : int
        Of the random upstream gradient.
    **keywords
        Go to the forward pass only.

    Returns
    -------
    Report
        `ok`, `worst_error` (the largest |analytic - numeric| / max(|analytic|, |numeric|, atol / rtol)), `entries`,
        `rows`; printed, a table.

    Raises
    ------
    TypeError
        If an input is float32: the check would measure rounding.
    """
    names, inputs = _argument_names(f, inputs), tuple(copied(x) if _is_checked(x) else x for x in inputs)
    parameters = [x for x in inputs if isinstance(x, (dict, list))]
    arrays = [i for i, x in enumerate(inputs) if _is_checked(x) and not isinstance(x, (dict, list))]
    checked = arrays + [i for i, x in enumerate(inputs) if isinstance(x, (dict, list))]

    before = [copied(inputs[i]) for i in checked]
    y, c = f(*inputs, **keywords)
    if not same([inputs[i] for i in checked], before):
        return Report([], rtol, "the forward pass changed its arguments")
    r = xp_of(y).asarray(np.random.default_rng([seed, UPSTREAM]).standard_normal(y.shape))
    handed = [copied(r), *parameters, c]
    before = copied(handed)
    gradients = f_backward(*handed)
    if not same(handed, before):
        return Report([], rtol, "the backward pass changed its arguments: dy, the parameters or the cache")
    gradients = list(gradients) if isinstance(gradients, tuple) else [gradients]
    if len(gradients) != len(checked):
        return Report([], rtol, f"the backward pass returned {len(gradients)} gradients for {len(checked)} inputs")

    def loss():
        return float((f(*inputs, **keywords)[0] * r).sum())

    if loss() != float((y * r).sum()):
        return Report([], rtol, "the forward pass is not pure: two calls gave two results")

    rows = []
    for i, gradient in zip(checked, gradients, strict=True):
        found = trees.named(gradient)
        for name, x in trees.walk(inputs[i]):
            label = f"{names[i]}/{name}" if name else names[i]
            rows.append(_row(label, found.pop(name, None), x, loss, rtol, atol))
        rows += [Row(f"{names[i]}/{name}", 0, float("inf"), problem="has no such parameter") for name in found]
    return Report(rows, rtol)


def _row(name, analytic, x, loss, rtol, atol):
    """Check one tensor's gradient: its form first, then every entry."""
    for what, wanted in (("shape", x.shape), ("dtype", x.dtype)):
        if (found := getattr(analytic, what, None)) != wanted:
            return Row(name, x.size, float("inf"), problem=f"gradient has {what} {found}, expected {wanted}")
    analytic, numeric = to_host(analytic), numeric_gradient(loss, x)
    scale = np.maximum(np.maximum(abs(analytic), abs(numeric)), atol / rtol)
    with np.errstate(invalid="ignore"):  # inf / inf
        error = np.asarray(abs(analytic - numeric) / scale)
    error = np.where(np.isfinite(error), error, np.inf)
    if not error.size:
        return Row(name, 0, 0.0)
    worst = np.unravel_index(error.argmax(), error.shape)
    return Row(name, x.size, float(error[worst]), tuple(map(int, worst)), float(analytic[worst]), float(numeric[worst]))


def _is_checked(x):
    """Whether x is an array of floating-point numbers, of any array module, or a tree of them."""
    if isinstance(x, (dict, list)):
        return all([_is_checked(leaf) for leaf in trees.leaves(x)])
    if getattr(getattr(x, "dtype", None), "kind", "") != "f":
        return False
    if x.dtype != np.float64:
        raise TypeError(f"a gradient check needs float64, found {x.dtype}: convert the inputs with .astype(np.float64)")
    return True


def copied(tree: Tree | Array) -> Any:
    """The same tree with arrays of its own; what is no array is kept."""
    return trees.map(lambda x: xp_of(x).array(x) if _is_array(x) else x, tree)


def same(one: Tree | Array, other: Tree | Array) -> bool:
    """Whether two trees hold the same bits (a NaN equals itself); what is no array is not compared."""
    one, other = trees.named(one), trees.named(other)
    return one.keys() == other.keys() and all(_same_bits(one[name], other[name]) for name in one)


def _same_bits(a, b):
    if not _is_array(a):
        return True
    return _is_array(b) and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _is_array(x):
    return isinstance(x, np.ndarray | np.generic) or is_on_gpu(x)


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
