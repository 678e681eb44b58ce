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
from tinyvit.exercises.diagnosis import (
    MENDED,
    agrees,
    any_factor,
    arrays,
    axes_named,
    exchanged,
    known_factor,
    partly,
    related,
    same_numbers,
    where_wrong,
    wrong_order,
    wrong_shape,
)
from tinyvit.exercises.hints import hints
from tinyvit.exercises.kept import first_wrong, remark
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.slips import DEPTH, all_slips, code_of, reachable
from tinyvit.exercises.source import Text, edited, planted, source, with_code
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
    words = []
    tried = _Tried(exercise, call, answer, forward, found, expected, wrong[0], fine)
    if (says := exchanged(found, expected, wrong)) and not tried.known():
        kind = "order"
    else:
        kind, says = _fault(tried)
        if len(wrong) > 1:
            words = [f"It is the earliest on the way back; {listed(wrong[1:])} may follow from it."]
    if kind == "overflow":
        says += _why_not_finite(exercise, call, answer, forward)
    words = [f"{says}.", *words, *([f"Right already: {listed(fine)}."] if fine else [])]
    pair = found[wrong[0]], expected[wrong[0]]
    drawable = pair[0].shape == pair[1].shape and pair[1].size > 1 and np.isfinite(pair[0]).all()
    raise Wrong(kind, " ".join(words), (wrong[0], *pair) if drawable else None)


class _Places(NamedTuple):
    """Places of an upstream gradient: the first or the last along some axes, or all but these."""

    axes: tuple
    index: int  # 0 or -1
    all_but: bool

    @property
    def says(self):
        which = f"the {'last' if self.index else 'first'} index along {axes_named(self.axes)} of the upstream gradient"
        if self.all_but:
            return f"lacks what {which} contributes: it is to be the sum over all"
        return f"has only what {which} contributes: it is to be the sum over all, each added to those before"

    def chosen(self, dy):
        """The upstream gradient with 0 in all other places."""
        at = tuple(self.index if axis in self.axes else slice(None) for axis in range(dy.ndim))
        chosen = np.zeros_like(dy)
        chosen[at] = dy[at]
        return dy - chosen if self.all_but else chosen


def _places(shape):
    """Which places of an upstream gradient of this shape to try."""
    longer = [axis for axis, size in enumerate(shape) if size > 1]
    for count in range(1, len(longer) + 1):
        for axes, index in itertools.product(itertools.combinations(longer, count), (-1, 0)):
            yield _Places(axes, index, False)
    for axis, index in itertools.product(longer, (-1, 0)):
        yield _Places((axis,), index, True)


class _Tried(NamedTuple):
    """An answer in a call in which it was wrong: what came out, and which results are wrong first, and right."""

    exercise: object
    call: tuple
    answer: object
    forward: object
    found: dict
    expected: dict
    name: str
    fine: list

    def known(self):
        """The first known mistake of the function, or of its forward pass, that gives what came out; or None."""
        exercise = self.exercise
        known = mistakes(exercise.function.__name__)
        known += mistakes(exercise.forward.__name__) if exercise.backward else ()
        return next((mistake for mistake in known if self.made(mistake)), None)

    def made(self, *mistakes, part=None):
        """Whether these known mistakes give what came out, here and in all calls."""
        return self._gives(lambda call: _with(self.exercise, call, *mistakes, part=part))

    def made_here(self, mistake):
        """Whether it gives what came out in this call: in another there may be a second one."""
        return self.found[self.name].any() and self._agrees(_with(self.exercise, self.call, mistake))

    def alone(self):
        """The same, with an eye to the first wrong result alone: the others may not have shared its mistake."""
        return self._replace(fine=[])

    def slip(self):
        """The first slip that gives what came out, or None."""
        arguments = self.exercise.arguments(self.call, self.exercise.forward)
        for slip in all_slips(self.exercise.function):
            if self._agrees(_with_slip(self.exercise, arguments, slip)) and self._gives(
                lambda call, slip=slip: _with_slip(
                    self.exercise, self.exercise.arguments(call, self.exercise.forward), slip
                )
            ):
                return slip
        return None

    def contribution(self):
        """Words if what came out is what one place of the upstream gradient contributes, or all but one; or None.

        A backward pass is linear in the upstream gradient: with 0 in all other places, the package's says what comes of
        this one.
        """
        dy = self.exercise.arguments(self.call, self.exercise.forward)[0][0] if self.exercise.backward else None
        alone = self.alone()
        for places in _places(np.shape(dy)):
            if alone._gives(lambda call, places=places: _with_places(self.exercise, call, places)):
                return places.says
        return None

    def given(self):
        """{name: array} of what the function is called with, and of the other results."""
        others = {name: right for name, right in self.expected.items() if name != self.name}
        return arrays(*self.exercise.named(self.call), others)

    def _gives(self, results_in):
        """Whether results_in(call) are what came out in every call."""
        return self._agrees(results_in(self.call)) and all(
            self._agrees_in(call, results_in(call)) for call in self.exercise.calls if call is not self.call
        )

    def _agrees(self, results):
        """Whether these are what was found as the first wrong result, and right where the answer is right."""
        return agrees(self.found[self.name], results.get(self.name)) and all(
            agrees(self.expected[name], results.get(name)) for name in self.fine
        )

    def _agrees_in(self, call, results):
        """Whether they are in another call; true where that says nothing, as with numbers that are not finite."""
        try:
            found = returned(self.exercise, call, self.answer, self.forward).get(self.name)
        except Wrong:
            return True
        other = results.get(self.name)
        comparable = found is not None and other is not None and np.shape(found) == np.shape(other)
        if not comparable or not (np.isfinite(found).all() and np.isfinite(other).all()):
            return True
        return agrees(found, other)


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


def _fault(tried):
    """(kind, words) for what is wrong with the first wrong result.

    First come the mistakes that are known of the function, then what the numbers show by themselves, then slips in its
    source. Where nothing is known, a wrong array in the cache says more than the wrong result.
    """
    exercise, name = tried.exercise, tried.name
    found, expected = tried.found[name], tried.expected[name]
    numbers = expected.dtype.kind == "f"
    if not numbers:  # True and False are shown as 0 and 1
        found, expected = found.astype(int), expected.astype(int)
    shape = wrong_shape(found, expected)
    if shape and MENDED in shape:
        return "shape", f"{name} {shape}"
    if lost := np.sum(~np.isfinite(found)):
        where = f" in {lost} of {found.size} entries" if found.size > 1 else ""
        return "overflow", f"{name} is infinite or no number{where}"
    if mistake := tried.known():
        return mistake.kind, f"{name}: {mistake.says}"
    for part, mistake in _of_parts(exercise):
        if tried.made(mistake, part=part):
            return mistake.kind, f"{name}: in {mistake.function}, {mistake.says}"
    if not shape:
        if fault := known_factor(found, expected, exercise.sizes):
            return fault[0], f"{name} {fault[1]}"
        if words := wrong_order(found, expected):
            return "order", f"{name} {words}"
    in_part = partly(found, expected) if numbers and not shape else None
    if not in_part and (words := tried.contribution()):
        return "missing term", f"{name} {words}"
    if fault := _slip(tried, name):
        return fault
    known = mistakes(exercise.function.__name__)
    if tried.fine:  # which the mistake has left out
        alone, to = tried.alone(), f", on the way to {name} alone"
        for mistake in known:
            if alone.made(mistake):
                return mistake.kind, f"{name}: {mistake.says}{to}"
        if fault := _slip(alone, name, to):
            return fault
    for mistake in known:
        if tried.made_here(mistake):
            return mistake.kind, f"{name}: {mistake.says}"
    if shape:
        return "shape", f"{name} {shape}"
    if words := same_numbers(found, expected):
        return "order", f"{name} {words}"
    if in_part:
        return in_part[0], f"{name} {in_part[1]}"
    for one, other in itertools.combinations(known, 2):
        if tried.made(one, other):
            return one.kind, f"{name}, two things: {one.says}; and {other.says}"
    if fault := any_factor(found, expected) or related(found, expected, tried.given()):
        return fault[0], f"{name} {fault[1]}"
    words, cached = f"{name} {where_wrong(found, expected)}", first_wrong(exercise, tried.call, tried.answer)
    if not cached:
        return "value", words
    kind, place, fault = cached
    return kind, f"{words}. In its cache, the first array that is not the package's is {place}: {fault}"


def _slip(tried, name, to=""):
    """(kind, words) of a slip, if there is one."""
    if not (slip := tried.slip()):
        return None
    part = slip.function.__name__
    inside = "" if part == tried.exercise.function.__name__ or part.startswith("_") else f"in {part}, "
    return slip.kind, f"{name}: {inside}{slip.says}{to}"


def _of_parts(exercise):
    """(function, mistake): the known mistakes of the exercises that the function calls, or that these call.

    Whoever writes a part anew may make them there.
    """
    ours = {inspect.unwrap(other.function) for other in exercises().values()}
    _, *parts = reachable(exercise.function, DEPTH)
    return [(part, mistake) for part in parts if part in ours for mistake in mistakes(part.__name__)]


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


def _with(exercise, call, *made, part=None):
    """What the package's function returns with these mistakes in it, or in a part of it; nothing if it fails."""
    edits = [mistake.edit for mistake in made]
    try:
        wrong, forward = exercise.function, exercise.forward
        if part:
            arguments = exercise.arguments(call, forward)
            with planted(part, *edits):
                return _expected(exercise, wrong, arguments)
        if made[0].function == wrong.__name__:
            wrong = edited(wrong, *edits)
        else:  # of the forward pass, which its cache has kept
            forward = edited(forward, *edits)
        return _expected(exercise, wrong, exercise.arguments(call, forward))
    except Exception:  # a mistake may be impossible for these shapes, or in this pair
        return {}


def _with_places(exercise, call, places):
    """What the package's backward pass returns of these places of the upstream gradient; nothing if it has not them."""
    (dy, *inputs), keywords = exercise.arguments(call, exercise.forward)
    if np.ndim(dy) <= max(places.axes):
        return {}
    results = _expected(exercise, exercise.function, ((places.chosen(dy), *inputs), keywords))
    return {name: array for name, array in results.items() if array is not None}


def _with_slip(exercise, arguments, slip):
    """What the package's function returns with this slip in it, by name; nothing if it fails."""
    try:
        with with_code(slip.function, code_of(slip)):
            results = _expected(exercise, exercise.function, arguments)
        return {name: array for name, array in results.items() if np.asarray(array).dtype.kind in "biuf"}
    except Exception:  # what is written may be no mathematics
        return {}


def _single(call):
    """A call with float32 in the place of float64."""

    def single(leaf):
        return leaf.astype(np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf

    inputs, keywords = call
    return trees.map(single, list(inputs)), trees.map(single, keywords)
