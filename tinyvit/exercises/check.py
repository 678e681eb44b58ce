"""The marker: is the learner's function right, and if it is not, what kind of wrong?"""

import difflib
import itertools
import warnings
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.arrays import copied
from tinyvit.errors import UsageError
from tinyvit.exercises.answer import Wrong, by_name, check_form, listed, returned
from tinyvit.exercises.diagnosis import agrees, any_factor, known_factor, where_wrong, wrong_order, wrong_shape
from tinyvit.exercises.exercise import exercises
from tinyvit.exercises.hints import hints
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.source import Text, edited, source


class Verdict(NamedTuple):
    """What `check` found. It is true if the answer is right; a notebook shows it as a sentence or two.

    kind is "right", "unwritten", "error", "form", "shape", "dtype", "argument" (one was changed), "overflow", "sign",
    "scale", "axis", "missing term", "order" or "value".
    """

    name: str
    kind: str
    says: str

    def __bool__(self):
        return self.kind == "right"

    def __repr__(self):
        if self:
            return f"{self.name}: right. {self.says}"
        state = "to be written" if self.kind == "unwritten" else f"not yet right ({self.kind})"
        return f'{self.name}: {state}. {self.says}\nA hint: exercises.hint("{self.name}")'


def check(name, answer, forward=None):
    """Mark an answer to an exercise.

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
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for call in exercise.calls:
                _mark(exercise, call, answer, forward or exercise.forward)
            _mark_float32(exercise, answer, forward or exercise.forward)
    except Wrong as wrong:
        return Verdict(name, *wrong.args)
    says = "It agrees with the package, and float32 stays float32."
    if name + "_backward" in exercises():
        says += f' Its cache is not marked here: exercises.check("{name}_backward", yours, forward=this) does that.'
    return Verdict(name, "right", says)


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
    """Raise Wrong unless the answer does in this call what the package's function does."""
    found, expected = _both(exercise, call, answer, forward)
    for name, right in expected.items():
        if fault := _fault(exercise, call, name, found[name], right):
            kind, says = fault
            fine = [other for other in expected if agrees(found[other], expected[other])]
            raise Wrong(kind, f"{says}." + (f" Right already: {listed(fine)}." if fine else ""))


def _mark_float32(exercise, answer, forward):
    """Raise Wrong if float32 goes in and something else comes out."""
    _both(exercise, _single(exercise.calls[0]), answer, forward)


def _both(exercise, call, answer, forward):
    """What the answer returns in this call, and what the package's function returns: of the same form."""
    expected = _expected(exercise, exercise.function, exercise.arguments(call, exercise.forward))
    found = returned(exercise, call, answer, forward)
    check_form(found, expected)
    return found, expected


def _expected(exercise, function, arguments):
    """What the package's function, or an edited one, returns by name."""
    inputs, keywords = arguments
    return by_name(exercise, function(*copied(list(inputs)), **copied(keywords)))


def _fault(exercise, call, name, found, expected):
    """(kind, words) for what is wrong with one of the results; None if nothing is."""
    if agrees(found, expected):
        return None
    if expected.dtype == bool:  # shown as 0 and 1
        found, expected = found.astype(int), expected.astype(int)
    if words := wrong_shape(found, expected):
        return "shape", f"{name} {words}"
    if lost := np.sum(~np.isfinite(found)):
        where = f" in {lost} of {found.size} entries" if found.size > 1 else ""
        return "overflow", f"{name} is infinite or no number{where}: something overflows, or is 0 / 0"
    known = mistakes(exercise.function.__name__)
    for mistake in (*known, *(mistakes(exercise.forward.__name__) if exercise.backward else ())):
        if agrees(found, _with(exercise, call, name, mistake)):
            return mistake.kind, f"{name}: {mistake.says}"
    if fault := known_factor(found, expected, exercise.sizes):
        return fault[0], f"{name} {fault[1]}"
    if words := wrong_order(found, expected):
        return "order", f"{name} {words}"
    for one, other in itertools.combinations(known, 2):
        if agrees(found, _with(exercise, call, name, one, other)):
            return one.kind, f"{name}, two things: {one.says}; and {other.says}"
    kind, words = any_factor(found, expected) or ("value", where_wrong(found, expected))
    return kind, f"{name} {words}"


def _with(exercise, call, name, *made):
    """What the package's function gives under this name with these mistakes in it; None if it gives nothing."""
    edits = [mistake.edit for mistake in made]
    try:
        if made[0].function == exercise.function.__name__:
            wrong, forward = edited(exercise.function, *edits), exercise.forward
        else:  # a mistake of the forward pass, which its cache has kept
            wrong, forward = exercise.function, edited(exercise.forward, *edits)
        return _expected(exercise, wrong, exercise.arguments(call, forward)).get(name)
    except Exception:  # a mistake may be impossible for these shapes, or in this pair
        return None


def _single(call):
    """A call with float32 in the place of float64."""

    def single(leaf):
        return leaf.astype(np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf

    inputs, keywords = call
    return trees.map(single, list(inputs)), trees.map(single, keywords)
