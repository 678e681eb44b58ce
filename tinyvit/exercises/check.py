"""The marker: is the learner's function right, and if it is not, what kind of wrong?"""

import difflib
import itertools
import sys
import traceback
import warnings
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.exercises.diagnosis import agrees, where_wrong, wrong_factor, wrong_order, wrong_shape
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


class _Wrong(Exception):
    """A fault that was found: its kind, and what to say."""


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
    except _Wrong as wrong:
        return Verdict(name, *wrong.args)
    return Verdict(name, "right", "It agrees with the package, and float32 stays float32.")


def hint(name, number=1):
    """The first hint to an exercise, or the second, ..."""
    _exercise(name)
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
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 3) or sorted(known)
        raise UsageError(f"there is no exercise {name!r}: expected one such as {', '.join(near)}")
    return known[name]


def _mark(exercise, call, answer, forward):
    """Raise _Wrong unless the answer does in this call what the package's function does."""
    arguments = exercise.arguments(call, exercise.forward)
    expected = _results(exercise, exercise.function(*_copy(arguments[0]), **arguments[1]))
    found = _found(exercise, answer, exercise.arguments(call, forward))
    if found.keys() != expected.keys():
        raise _Wrong("form", f"It returns {', '.join(found)}: expected {', '.join(expected)}.")
    for name, right in expected.items():
        if fault := _fault(exercise, arguments, name, found[name], right):
            kind, says = fault
            fine = [other for other in expected if agrees(found[other], expected[other])]
            raise _Wrong(kind, f"{says}." + (f" Right already: {', '.join(fine)}." if fine else ""))


def _mark_float32(exercise, answer, forward):
    """Raise _Wrong if float32 goes in and something else comes out."""
    inputs, keywords = exercise.calls[0]
    single = tuple(_single(x) for x in inputs), {name: _single(x) for name, x in keywords.items()}
    for name, array in _found(exercise, answer, exercise.arguments(single, forward)).items():
        if array.dtype != np.float32:
            raise _Wrong(
                "dtype",
                f"{name} is {array.dtype} when all that comes in is float32: a float64 has leaked in, perhaps from "
                "np.sqrt of a plain number (take math.sqrt) or from an array made without dtype=x.dtype.",
            )


def _fault(exercise, arguments, name, found, expected):
    """(kind, words) for what is wrong with one of the results; None if nothing is."""
    if agrees(found, expected):
        return None
    if words := wrong_shape(found, expected):
        return "shape", f"{name} {words}"
    if not np.isfinite(found).all():
        lost = (~np.isfinite(found)).sum()
        return "overflow", f"{name} has {lost} entries that are infinite or no number: something overflows, or is 0 / 0"
    known = mistakes(exercise.function.__name__)
    for mistake in (*known, *(mistakes(exercise.forward.__name__) if exercise.backward else ())):
        if agrees(found, _with(exercise, arguments, name, mistake)):
            return mistake.kind, f"{name}: {mistake.says}"
    if fault := wrong_factor(found, expected, exercise.sizes):
        return fault[0], f"{name} {fault[1]}"
    if words := wrong_order(found, expected):
        return "order", f"{name} {words}"
    for one, other in itertools.combinations(known, 2):
        if agrees(found, _with(exercise, arguments, name, one, other)):
            return one.kind, f"{name}, two things: {one.says}; and {other.says}"
    return "value", f"{name} {where_wrong(found, expected)}"


def _with(exercise, arguments, name, *made):
    """What the package's function gives under this name with these mistakes in it; None if it gives nothing."""
    (inputs, keywords), edits = arguments, [mistake.edit for mistake in made]
    try:
        if made[0].function == exercise.function.__name__:
            returned = edited(exercise.function, *edits)(*_copy(inputs), **keywords)
        else:  # a mistake of the forward pass, which its cache has kept
            inputs, keywords = exercise.arguments(exercise.calls[0], edited(exercise.forward, *edits))
            returned = exercise.function(*_copy(inputs), **keywords)
        return _results(exercise, returned).get(name)
    except Exception:  # a mistake may be impossible for these shapes, or in this pair
        return None


def _found(exercise, answer, arguments):
    """What the answer returns, by name, once its form is right."""
    inputs, keywords = arguments
    given = _copy(inputs)
    try:
        returned = answer(*given, **keywords)
    except Exception as error:  # whatever the learner's code raises is to be said in one line
        raise _Wrong("error", _in_one_line(error)) from None
    if returned is None:
        raise _Wrong("unwritten", "It returns None: write the body, with its return.")
    found = _results(exercise, returned)
    for name, array in found.items():
        if not hasattr(array, "dtype"):
            raise _Wrong("form", f"{name} is {type(array).__name__}: expected an array.")
    for before, after in zip(trees.leaves(list(inputs)), trees.leaves(list(given)), strict=True):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=True):
            raise _Wrong(
                "argument", "It changes an array that it was given: compute a new one (y = x - m, not x -= m)."
            )
    return found


def _results(exercise, returned):
    """{name: array} of what a function returned; the leaves of a tree of gradients have names like g/w."""
    names = exercise.results if exercise.results else ("y",)
    if not exercise.backward and exercise.has_cache:
        if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], dict):
            raise _Wrong("form", f"It is to return {names[0]} and the cache, a dictionary: return {names[0]}, c.")
        returned = returned[:1]
    elif len(names) == 1:
        returned = (returned,)
    if not isinstance(returned, tuple) or len(returned) != len(names):
        raise _Wrong("form", f"It is to return {len(names)} things: return {', '.join(names)}.")
    found = {}
    for name, value in zip(names, returned, strict=True):
        found |= {f"{name}/{leaf}" if leaf else name: array for leaf, array in trees.walk(value)}
    return found


def _copy(inputs):
    """The inputs with arrays of their own."""
    return tuple(trees.map(lambda x: x.copy() if isinstance(x, np.ndarray) else x, x) for x in inputs)


def _single(x):
    """A tree with float32 in the place of float64; anything else as it is."""
    return trees.map(lambda leaf: leaf.astype(np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf, x)


def _in_one_line(error):
    """An error of the learner's code: what, and in which line."""
    line = traceback.extract_tb(error.__traceback__)[1:] or traceback.extract_tb(sys.exc_info()[2])
    where = f", in the line: {line[0].line}" if line and line[0].line else ""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}{where}"
