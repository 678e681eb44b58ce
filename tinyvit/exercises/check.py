"""The marker: is the learner's function right, and if it is not, what kind of wrong?"""

import difflib
import warnings
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.exercises import record
from tinyvit.exercises.answer import Wrong, listed
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.diagnosis import agrees, exchanged
from tinyvit.exercises.fault import fault_of, why_not_finite
from tinyvit.exercises.hints import hints
from tinyvit.exercises.kept import remark
from tinyvit.exercises.source import Text, source
from tinyvit.exercises.tried import Tried, found_and_expected
from tinyvit.viz.comparison import comparison


class Verdict(NamedTuple):
    """What `check` or `grade` found. It is true if the answer is right; a notebook shows it as a sentence or two.

    kind is "right", "unwritten", "error", "form", "shape", "dtype", "argument" (one was changed), "overflow", "sign",
    "scale", "axis", "missing term", "order", "operand" (another array was taken) or "value".
    """

    name: str
    kind: str
    says: str
    compared: tuple | None = None  # of the result that was wrong first: its name, what was found, what was expected

    def __bool__(self):
        return self.kind == "right"

    def __repr__(self):
        if self:
            return f"{self.name}: right. {self.says}"
        state = "to be written" if self.kind == "unwritten" else f"not yet right ({self.kind})"
        hint = f'\nA hint: exercises.hint("{self.name}")' if self.name in exercises() else ""
        return f"{self.name}: {state}. {self.says}{hint}"

    def picture(self, axes=(-2, -1)):
        """What was expected, what was found, and the difference, beside each other; None where nothing can be compared.

        Of an array with more than two axes, the matrix along these two in which the largest difference lies: (1, 2) of
        maps [B, H, W, C] draws a channel as a picture.
        """
        return comparison(*self.compared, axes=axes) if self.compared else None


def check(name, answer, forward=None):
    """Mark an answer to an exercise. That it was tried, or is right, is kept: see `progress`.

    The results are marked. Of the cache of a forward pass, arrays under the package's names are compared as well: of a
    wrong answer of which nothing else is known, to say where on the way it goes wrong; of a right one, as a remark.

    Parameters
    ----------
    name : str
        The package's function that was to be written: "softmax", or "softmax_backward", ...
    answer : callable
        With that function's arguments and results.
    forward : callable, optional
        For a backward pass that reads a cache of your own: the forward pass that makes it. Without it, the cache is the
        package's.

    Returns
    -------
    Verdict

    Raises
    ------
    UsageError
        If there is no such exercise, or the answer is not a function.
    """
    exercise = _exercise(name)
    if not callable(answer):
        raise UsageError(
            f"the answer to {name}: found {type(answer).__name__}, expected a function: hand it over without calling it"
        )
    if forward and not (verdict := check(exercise.forward.__name__, forward)):
        return verdict
    exercise, not_tried = exercise.tried_with(answer, forward or exercise.forward)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for call in exercise.calls:
                _mark(exercise, call, answer, forward or exercise.forward)
            expected = _mark_float32(exercise, answer, forward or exercise.forward)
            of_cache = remark(exercise, answer)
    except Wrong as wrong:
        if wrong.args[0] != "unwritten":
            record.keep("exercises", name, lambda before: before or "tried")
        return Verdict(name, *wrong.args)
    record.keep("exercises", name, lambda before: "right")
    shapes = [f"{name} {list(right.shape)}" for name, right in expected.items()]
    agree = "agrees" if len(shapes) == 1 else "agree"
    says = f"{listed(shapes)} {agree} with the package, and float32 stays float32."
    if name + "_backward" in exercises():
        says += f' Its cache is not marked here: exercises.check("{name}_backward", yours, forward=this) does that.'
    if not_tried:
        says += f" Not tried: {', '.join(not_tried)}, which {'its forward pass' if forward else 'it'} does not take."
    return Verdict(name, "right", says + of_cache)


def is_right(name, answer):
    """Whether an answer does in every call what the package's function does. Nothing is diagnosed, or kept."""
    exercise, _ = exercises()[name].tried_with(answer, exercises()[name].forward)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both = [found_and_expected(exercise, call, answer, exercise.forward) for call in exercise.calls]
    except Wrong:
        return False
    return all(agrees(found[name], expected[name]) for found, expected in both for name in expected)


def hint(name, number=1):
    """The first hint to an exercise, or the second, ..."""
    _exercise(name)
    if not isinstance(number, int):
        raise UsageError(f"the number of a hint: found {number!r}, expected 1, 2, ...")
    found = hints(name)
    if not 1 <= number <= len(found):
        count = "1 hint" if len(found) == 1 else f"{len(found)} hints"
        return Text(f'{name} has {count}. The solution: exercises.solution("{name}")')
    more = f'The next one: exercises.hint("{name}", {number + 1})'
    if number == len(found):
        more = f'This was the last one. The solution: exercises.solution("{name}")'
    return Text(f"{number} of {len(found)}: {found[number - 1]}\n{more}")


def solution(name):
    """The package's own source of what was to be written."""
    return source(_exercise(name).function)


def _exercise(name):
    known = exercises()
    if not isinstance(name, str):
        found = type(name).__name__
        raise UsageError(f'the name comes first, as in exercises.check("softmax", yours): found {found} for a name')
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or sorted(known)
        raise UsageError(f"there is no exercise {name!r}: expected one such as {', '.join(near)}")
    return known[name]


def _mark(exercise, call, answer, forward):
    """Raise Wrong unless the answer does in this call what the package's function does.

    Of several wrong results it is the earliest on the way back: those behind it may be wrong for its sake alone.
    """
    found, expected = found_and_expected(exercise, call, answer, forward)
    wrong = [name for name in exercise.on_the_way(expected) if not agrees(found[name], expected[name])]
    if not wrong:
        return
    fine = [name for name in expected if name not in wrong]
    words = []
    tried = Tried(exercise, call, answer, forward, found, expected, wrong[0], fine)
    if (says := exchanged(found, expected, wrong)) and not tried.known():
        kind = "order"
    else:
        kind, says = fault_of(tried)
        if len(wrong) > 1:
            words = [f"It is the earliest on the way back; {listed(wrong[1:])} may follow from it."]
    if kind == "overflow":
        says += why_not_finite(exercise, call, answer, forward)
    words = [f"{says}.", *words, *([f"Right already: {listed(fine)}."] if fine else [])]
    pair = found[wrong[0]], expected[wrong[0]]
    drawable = pair[0].shape == pair[1].shape and pair[1].size > 1 and np.isfinite(pair[0]).all()
    raise Wrong(kind, " ".join(words), (wrong[0], *pair) if drawable else None)


def _mark_float32(exercise, answer, forward):
    """What is expected where float32 goes in; raise Wrong if something else than float32 comes out."""
    return found_and_expected(exercise, _single(exercise.calls[0]), answer, forward)[1]


def _single(call):
    """A call with float32 in the place of float64."""

    def single(leaf):
        return leaf.astype(np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf

    inputs, keywords = call
    return trees.map(single, list(inputs)), trees.map(single, keywords)
