"""The marker: is the learner's function right, and if it is not, what kind of wrong?"""

import difflib
import inspect
import itertools
import warnings
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.arrays import copied
from tinyvit.errors import UsageError
from tinyvit.exercises import record
from tinyvit.exercises.answer import Wrong, by_name, check_form, listed, returned
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.diagnosis import agrees, any_factor, known_factor, where_wrong, wrong_order, wrong_shape
from tinyvit.exercises.hints import hints
from tinyvit.exercises.kept import first_wrong, remark
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.source import Text, edited, source, with_part
from tinyvit.viz.comparison import comparison


class Verdict(NamedTuple):
    """What `check` or `grade` found. It is true if the answer is right; a notebook shows it as a sentence or two.

    kind is "right", "unwritten", "error", "form", "shape", "dtype", "argument" (one was changed), "overflow", "sign",
    "scale", "axis", "missing term", "order" or "value".
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
    return Verdict(name, "right", says + of_cache)


def is_right(name, answer):
    """Whether an answer does in every call what the package's function does. Nothing is diagnosed, or kept."""
    exercise = exercises()[name]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both = [_both(exercise, call, answer, exercise.forward) for call in exercise.calls]
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
    found, expected = _both(exercise, call, answer, forward)
    wrong = [name for name in exercise.on_the_way(expected) if not agrees(found[name], expected[name])]
    if not wrong:
        return
    fine = [name for name in expected if name not in wrong]

    def made(*mistakes):
        """Whether these mistakes give what was found as the first wrong result, and leave right what is right."""
        results = _with(exercise, call, *mistakes)
        return agrees(found[wrong[0]], results.get(wrong[0])) and all(
            agrees(expected[name], results.get(name)) for name in fine
        )

    kind, says = _fault(
        exercise, wrong[0], found[wrong[0]], expected[wrong[0]], made, lambda: first_wrong(exercise, call, answer)
    )
    if kind == "overflow":
        says += _why_not_finite(exercise, call, answer, forward)
    words = [f"{says}.", f"Right already: {listed(fine)}." if fine else ""]
    if len(wrong) > 1:
        words.insert(1, f"It is the earliest on the way back; {listed(wrong[1:])} may follow from it.")
    pair = found[wrong[0]], expected[wrong[0]]
    drawable = pair[0].shape == pair[1].shape and pair[1].size > 1 and np.isfinite(pair[0]).all()
    raise Wrong(kind, " ".join(filter(None, words)), (wrong[0], *pair) if drawable else None)


def _mark_float32(exercise, answer, forward):
    """What is expected where float32 goes in; raise Wrong if something else than float32 comes out."""
    return _both(exercise, _single(exercise.calls[0]), answer, forward)[1]


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


def _fault(exercise, name, found, expected, made, on_the_way):
    """(kind, words) for what is wrong with one of the results.

    made(mistake) says whether that mistake was made; on_the_way() is what is wrong first in the cache, and is asked
    where nothing else is known: a wrong array on the way to it says more than the wrong result.
    """
    if expected.dtype == bool:  # shown as 0 and 1
        found, expected = found.astype(int), expected.astype(int)
    if words := wrong_shape(found, expected):
        return "shape", f"{name} {words}"
    if lost := np.sum(~np.isfinite(found)):
        where = f" in {lost} of {found.size} entries" if found.size > 1 else ""
        return "overflow", f"{name} is infinite or no number{where}"
    known = mistakes(exercise.function.__name__)
    for mistake in (*known, *(mistakes(exercise.forward.__name__) if exercise.backward else ())):
        if made(mistake):
            return mistake.kind, f"{name}: {mistake.says}"
    for mistake in _of_parts(exercise):
        if made(mistake):
            return mistake.kind, f"{name}: in {mistake.function}, {mistake.says}"
    if fault := known_factor(found, expected, exercise.sizes):
        return fault[0], f"{name} {fault[1]}"
    if words := wrong_order(found, expected):
        return "order", f"{name} {words}"
    for one, other in itertools.combinations(known, 2):
        if made(one, other):
            return one.kind, f"{name}, two things: {one.says}; and {other.says}"
    if fault := any_factor(found, expected):
        return fault[0], f"{name} {fault[1]}"
    words, cached = f"{name} {where_wrong(found, expected)}", on_the_way()
    if not cached:
        return "value", words
    kind, place, fault = cached
    return kind, f"{words}. In its cache, the first array that is not the package's is {place}: {fault}"


def _of_parts(exercise):
    """The known mistakes of the exercises that the function calls: whoever writes a part anew may make them there."""
    called = (exercise.function.__globals__.get(name) for name in exercise.function.__code__.co_names)
    ours = {other.function for other in exercises().values()}
    parts = [part for part in called if inspect.isfunction(part) and part in ours]
    return [mistake for part in parts for mistake in mistakes(part.__name__)]


def _why_not_finite(exercise, call, answer, forward):
    """What the answer's arithmetic met with in this call, in words."""
    met = set()
    with np.errstate(all="call", under="ignore", call=lambda error, _: met.add(error)):
        returned(exercise, call, answer, forward)
    if "overflow" in met:
        return ": a number grows beyond what a float can hold, as exp(x) does from x = 710 on"
    if "divide by zero" in met and "loss" in exercise.results:
        return ": the logarithm of a probability that is 0; take log softmax(x) as x - max - log(sum(exp(x - max)))"
    return ": it divides by 0, or takes the logarithm of 0" if met else ""


def _with(exercise, call, *made):
    """What the package's function returns with these mistakes in it, by name; nothing if it fails."""
    edits = [mistake.edit for mistake in made]
    try:
        wrong, forward = exercise.function, exercise.forward
        if made[0].function == wrong.__name__:
            wrong = edited(wrong, *edits)
        elif made[0].function == forward.__name__:  # a mistake of the forward pass, which its cache has kept
            forward = edited(forward, *edits)
        else:  # of a part
            wrong = with_part(wrong, edited(wrong.__globals__[made[0].function], *edits))
        return _expected(exercise, wrong, exercise.arguments(call, forward))
    except Exception:  # a mistake may be impossible for these shapes, or in this pair
        return {}


def _single(call):
    """A call with float32 in the place of float64."""

    def single(leaf):
        return leaf.astype(np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf

    inputs, keywords = call
    return trees.map(single, list(inputs)), trees.map(single, keywords)
