"""Gradient checks: does the backward pass compute the derivative of the forward pass?

Draw a random upstream gradient r and look at the scalar L = sum(r * y). Its gradient with respect to an input x is
exactly f_backward(r, c), and each entry of it can also be measured by moving that entry alone, with the fourth-order
central difference

    dL/dx  =  ( 8 [L(x+h) - L(x-h)] - [L(x+2h) - L(x-2h)] ) / 12h  +  O(h^4).

Why r is random: with r = 1 everywhere, softmax's rows (which sum to 1) and LayerNorm's (which sum to 0) have a gradient
of zero, and a backward pass that returns nothing but zeros would pass. Why float64: the two large, nearly equal numbers
subtracted above lose their leading digits; float32 would leave none.

Four forward passes for each entry are too many for a large tensor, which is checked in two other ways:

    a sample      n entries at random, and the largest gradients. If a part q of all entries is wrong, the n miss every
                  one of them with a probability of at most (1 - q)^n.
    a direction   along a random v, which moves all entries at once, the derivative of L is sum(dx * v). If dx is wrong
                  by |error| = e |dx|, norms over the tensor, the wrong part of that sum is normally distributed with a
                  standard deviation of e |dx|, and is too small to be seen with a probability of at most 0.8 rtol / e
                  (where |dx| is above atol / rtol, the smallest size that errors are relative to).

A sample finds small errors in many entries; a direction finds a large one in a single entry of a million.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Array
from tinyvit.arrays import copied, same, to_host, xp_of
from tinyvit.contract import BrokenContract, Inputs, backward, forward, kind
from tinyvit.gradient_report import Report, Row

# Parts of seeds. An input is often the first that default_rng(0) draws, and with r = x LayerNorm's gradient vanishes.
UPSTREAM, SAMPLE, DIRECTION = 1, 2, 3
STEP = 1e-4  # rounding (1/h) leaves about 1e-11 here, and truncation (h^4) less
OTHER_STEPS = 1e-3, 1e-6  # where that disagrees: a longer one, past rounding; a short one, beside a kink, as ReLU's is
LARGEST = 100  # of the largest gradients join a sample


def slope(loss: Callable[[], Any], x: Array, step: float, where: Any = ..., direction: Any = 1.0) -> float:
    """The derivative of loss() as x[where] moves along a direction; x is moved in place and put back.

    loss() may also be the terms that it is the sum of: those that do not depend on x then cancel exactly, where sums
    of many terms would each be rounded.
    """
    start = copied(x[where])

    def moved(steps):
        x[where] = start + steps * step * direction
        return loss()

    differences = 8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))
    x[where] = start
    return float(np.sum(to_host(differences))) / (12 * step)


def numeric_gradient(loss: Callable[[], float], x: Array, step: float = STEP) -> np.ndarray:
    """The gradient of the scalar function loss() with respect to the array x, entry by entry.

    x is moved in place, one entry at a time, and put back; loss() must read it.
    """
    entries = [slope(loss, x, step, index) for index in np.ndindex(x.shape)]
    return np.array(entries, np.float64).reshape(x.shape)


def gradcheck(
    f: Callable,
    f_backward: Callable,
    *inputs: Any,
    rtol: float = 1e-7,
    atol: float = 1e-9,
    seed: int = 0,
    samples: int = 2000,
    **keywords: Any,
) -> Report:
    """Compare a hand-written backward pass with numeric gradients, in every input and parameter.

    f(*inputs, **keywords) -> y, c and f_backward(dy, *parameters, c) -> the gradients of the inputs, in their order,
    then of each parameter tree. f must be pure: the same inputs give the same result, and none of them is changed. An
    entry x is moved by at most 2e-4 max(1, |x|), over which f must be smooth.

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
        Of the random upstream gradient, the sample and the direction.
    samples : int
        A tensor with up to so many entries is checked in every one; a larger one in so many random entries, in the 100
        with the largest gradients, and along a random direction through all. If the direction alone disagrees, an
        entry that is wrong is found by halving it.
    **keywords
        Go to the forward pass only.

    Returns
    -------
    Report
        `ok`, `worst_error` (the largest |analytic - numeric| / max(|analytic|, |numeric|, atol / rtol)), `entries`,
        `missed(q)` (how probably a sample misses all wrong entries, if a part q of them is wrong), `rows`; printed, a
        table. Where f or f_backward does not keep to the form above, `problem` says how.

    Raises
    ------
    TypeError
        If no input is a float64 array, or one is float32: the check would measure rounding.
    """
    if not (rtol > 0 and atol > 0 and samples >= 0):
        raise ValueError(f"found {rtol=}, {atol=}, {samples=}: expected rtol and atol above 0, samples at least 0")
    given = Inputs(f, inputs)

    def terms():
        return f(*given.all.values(), **keywords)[0] * r

    try:
        y, c = forward(f, given, keywords)
        r = xp_of(y).asarray(np.random.default_rng([seed, UPSTREAM]).standard_normal(y.shape))
        gradients = backward(f_backward, r, c, given)
        if not same(terms(), y * r):
            raise BrokenContract("the forward pass is not pure: two calls gave two results; hand it its random masks")
    except BrokenContract as broken:
        return Report([], rtol, str(broken))

    rows, leaves = [], trees.named(gradients)
    with _progress(given.checked, samples) as bar:
        for name, x in trees.walk(given.checked):
            rows.append(_Tensor(name, x, terms, rtol, atol).row(leaves.pop(name, None), samples, seed, bar))
    rows += [Row(name, 0, math.inf, problem="has no such parameter") for name in leaves]
    return Report(rows, rtol, samples=samples)


class _Tensor:
    """A tensor by which the loss is differentiated, and how far its gradient may be from what is measured."""

    def __init__(self, name, x, loss, rtol, atol):
        self.name, self.x, self.loss, self.rtol, self.floor = name, x, loss, rtol, atol / rtol

    def row(self, gradient, samples, seed, bar):
        """A fault of the gradient's form; or else the worst of all entries, or of a sample and a direction."""
        x = self.x
        if (getattr(gradient, "shape", None), getattr(gradient, "dtype", None)) != (x.shape, x.dtype):
            return Row(self.name, x.size, math.inf, problem=f"gradient is {kind(gradient)}, expected {kind(x)}")
        gradient = to_host(gradient)
        chosen, entries = _chosen(gradient, samples, np.random.default_rng([seed, SAMPLE])), []
        for number in chosen:
            entries.append(self.entry(gradient, number))
            bar.update()
        worst = max(entries, key=lambda row: row.error, default=Row(self.name, 0, 0.0))
        if len(chosen) < x.size and worst.error <= self.rtol:
            worst = self.every_entry(gradient, np.random.default_rng([seed, DIRECTION])) or worst
        return replace(worst, entries=len(chosen), size=x.size)

    def entry(self, gradient, number):
        """Move one entry: by a part of its size, if that is above 1, or the step would be lost in rounding."""
        index = tuple(map(int, np.unravel_index(number, self.x.shape)))
        size = max(1.0, abs(float(self.x[index])))
        row = self.compared(gradient[index], lambda h: slope(self.loss, self.x, h * size, index), self.floor)
        return replace(row, index=index)

    def every_entry(self, gradient, rng):
        """Move all entries along a random direction; the row of one that is wrong, or None if they agree."""
        sizes = np.maximum(1, abs(to_host(self.x)))
        v, floor = rng.standard_normal(sizes.shape) * sizes, max(self.floor, np.linalg.norm(gradient * sizes))

        def along(part):
            direction = np.zeros(v.size)
            direction[part] = v.ravel()[part]
            direction = direction.reshape(v.shape)
            moved = xp_of(self.x).asarray(direction)
            analytic = (gradient * direction).sum()
            return self.compared(analytic, lambda h: slope(self.loss, self.x, h, direction=moved), floor)

        part = np.arange(v.size)
        whole = along(part)
        if whole.error <= self.rtol:
            return None
        while len(part) > 1:  # to the half that disagrees more
            part = max(np.array_split(part, 2), key=lambda half: abs(along(half).analytic - along(half).numeric))
        found = self.entry(gradient, part[0])
        return found if found.error > self.rtol else replace(whole, problem="along a random direction of all entries")

    def compared(self, analytic, measure, floor):
        """The row of two slopes, of which measure(step) gives one, at the step where they agree better."""
        rows, analytic = [], float(analytic)
        for step in STEP, *OTHER_STEPS:
            numeric = measure(step)
            error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
            rows.append(Row(self.name, 1, error if math.isfinite(error) else math.inf, (), analytic, numeric))
            if error <= self.rtol:
                break
        return min(rows, key=lambda row: row.error)


def _chosen(gradient, samples, rng):
    """The numbers of the entries to check: all, or a random sample and the largest gradients (a NaN is the largest)."""
    if gradient.size <= samples:
        return np.arange(gradient.size)
    largest = np.argsort(abs(gradient), axis=None)[-LARGEST:]
    return np.union1d(rng.choice(gradient.size, samples, replace=False), largest)


def _progress(checked, samples):
    """A bar on a terminal, once it takes more than two seconds."""
    from tqdm import tqdm

    total = sum(min(leaf.size, samples + LARGEST) for leaf in trees.leaves(checked))
    return tqdm(total=total, unit="entry", leave=False, delay=2, disable=None)
