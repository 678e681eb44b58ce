"""A pair of functions that the package does not have, marked by its gradient check."""

import math
import warnings

import numpy as np

from tinyvit import trees
from tinyvit.contract import Inputs
from tinyvit.contract import backward as gradients_of
from tinyvit.contract import forward as result_of
from tinyvit.errors import UsageError
from tinyvit.exercises.answer import Wrong, in_one_line, listed
from tinyvit.exercises.check import Verdict
from tinyvit.exercises.diagnosis import ratios
from tinyvit.gradcheck import gradcheck, numeric_gradient

MEASURED = 2_000  # entries of an array: of a larger one, the worst is told, not all are measured
SAME = 1e-5  # ratios that differ by less are one factor


def grade(forward, backward, *inputs, **keywords):
    """Mark a backward pass of your own against your forward pass: is it the derivative?

    Every entry of every gradient is compared with what moving that entry of the input does to the result. Of several
    wrong gradients the one that the backward pass comes by first is told: parameters before inputs, the last of each
    first. The others may be wrong for its sake alone.

    Parameters
    ----------
    forward : callable
        forward(*inputs, **keywords) -> y, c
    backward : callable
        backward(dy, *parameter trees, c) -> the gradients of the inputs in their order, then of the parameter trees
    *inputs
        float64 arrays, trees of them, and whatever else forward takes.

    Returns
    -------
    Verdict
        It is named after the backward pass.

    Raises
    ------
    UsageError
        If forward or backward is no function, or there is no float64 array among the inputs.
    """
    for name, given in (("forward", forward), ("backward", backward)):
        if not callable(given):
            found = type(given).__name__
            raise UsageError(f"{name}: found {found}, expected a function: hand it over without calling it")
    try:
        Inputs(forward, inputs)
    except TypeError as error:
        raise UsageError(str(error)) from None
    name = _name(backward)
    forward, backward = _written(forward), _written(backward)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = gradcheck(forward, backward, *inputs, **keywords)
            wrong = [row for row in reversed(report.rows) if row.error > report.rtol]
            if report.problem:
                kind = "argument" if "changed its arguments" in report.problem else "form"
                return Verdict(name, kind, _sentence(report.problem))
            if wrong:
                return Verdict(name, *_fault(report, wrong, forward, backward, inputs, keywords))
    except Wrong as fault:
        return Verdict(name, *fault.args)
    names = listed(row.name for row in report.rows)
    return Verdict(name, "right", f"By {names}: {report.entries:,} entries agree with what is measured.")


def _fault(report, wrong, forward, backward, inputs, keywords):
    """(kind, words, what can be compared) of the first of these rows, which are in the order of the way back."""
    first, compared = wrong[0], None
    if first.problem and not math.isfinite(first.error):
        kind, says = "form", f"{first.name}: {first.problem}"
    elif not math.isfinite(first.error):
        kind, says = "overflow", f"the gradient of {first.name} is infinite or no number, first at {list(first.index)}"
    elif first.size > MEASURED:
        kind, says = "value", f"the gradient of {first.name} is wrong: {_worst(first)}"
    else:
        both = _both(first.name, forward, backward, inputs, keywords)
        kind, says = _how_far(first, *both)
        compared = (first.name, *both) if first.size > 1 else None
    words = [f"{says}."]
    if len(wrong) > 1:
        words.append(f"It is the earliest on the way back; {listed(row.name for row in wrong[1:])} may follow from it.")
    if fine := [row.name for row in report.rows if row not in wrong]:
        words.append(f"Right already: {listed(fine)}.")
    return kind, " ".join(words), compared


def _how_far(row, analytic, numeric):
    """(kind, words): the ratios of a tensor's gradient to the measured one."""
    found = ratios(analytic, numeric)
    if found is None:
        return "value", f"the gradient of {row.name} is to be 0: {_worst(row)}"
    least, median, greatest = found
    if greatest - least < SAME * abs(median) and np.allclose(analytic, median * numeric, atol=SAME):
        kind = "sign" if abs(median + 1) < SAME else "scale"
        return kind, f"the gradient of {row.name} is {median:.6g} times what is measured, in every entry; {_worst(row)}"
    return "value", (
        f"the gradient of {row.name} is wrong: of its ratios to what is measured, the least is {least:.4g}, the median "
        f"{median:.4g}, the greatest {greatest:.4g}; {_worst(row)}"
    )


def _worst(row):
    return f"at {list(row.index)} it is {row.analytic:.6g}, measured {row.numeric:.6g}"


def _both(name, forward, backward, inputs, keywords):
    """The gradient of one tensor, as the backward pass has it and as it is measured."""
    given = Inputs(forward, inputs)
    y, c = result_of(forward, given, keywords)
    r = np.random.default_rng(0).standard_normal(y.shape)
    analytic = trees.named(gradients_of(backward, r, c, given))[name]
    x = trees.named(given.checked)[name]
    return analytic, numeric_gradient(lambda: float((forward(*given.all.values(), **keywords)[0] * r).sum()), x)


def _written(function):
    """The learner's function; whatever it raises, and that it is yet to be written, becomes a Wrong."""

    def called(*given, **keywords):
        try:
            result = function(*given, **keywords)
        except (Exception, SystemExit) as error:
            words = in_one_line(error, list(given)) or f"{error}; it is called with {len(given)} arguments"
            raise Wrong("error", f"{words}.") from None
        if result is None:
            raise Wrong("unwritten", f"{_name(function)} returns None: write the body, with its return.")
        return result

    called.__wrapped__ = function  # whose arguments give the inputs their names
    return called


def _name(function):
    return getattr(function, "__name__", type(function).__name__)


def _sentence(words):
    return f"{words[0].upper()}{words[1:]}."
