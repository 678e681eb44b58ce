"""What came out of an answer in a call in which it was wrong, and what else gives the same.

A known mistake, a slip made by rule, or a part of the upstream gradient that was left out explains a wrong result only
if the package's own function, with this fault in it, gives what came out in every call.
"""

import itertools
from typing import NamedTuple

import numpy as np

from tinyvit.arrays import copied
from tinyvit.exercises.answer import Wrong, by_name, check_form, returned
from tinyvit.exercises.diagnosis import agrees, arrays, axes_named
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.slips import all_slips, code_of
from tinyvit.exercises.source import edited, planted, with_code


class Tried(NamedTuple):
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


def found_and_expected(exercise, call, answer, forward):
    """What the answer returns in this call, and what the package's function returns: of the same form."""
    expected = _expected(exercise, exercise.function, exercise.arguments(call, exercise.forward))
    found = returned(exercise, call, answer, forward)
    check_form(found, expected)
    return found, expected


def _expected(exercise, function, arguments):
    """What the package's function, or an edited one, returns by name."""
    inputs, keywords = arguments
    return by_name(exercise, function(*copied(list(inputs)), **copied(keywords)))


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


def _with_slip(exercise, arguments, slip):
    """What the package's function returns with this slip in it, by name; nothing if it fails."""
    try:
        with with_code(slip.function, code_of(slip)):
            results = _expected(exercise, exercise.function, arguments)
        return {name: array for name, array in results.items() if np.asarray(array).dtype.kind in "biuf"}
    except Exception:  # what is written may be no mathematics
        return {}


def _with_places(exercise, call, places):
    """What the package's backward pass returns of these places of the upstream gradient; nothing if it has not them."""
    (dy, *inputs), keywords = exercise.arguments(call, exercise.forward)
    if np.ndim(dy) <= max(places.axes):
        return {}
    results = _expected(exercise, exercise.function, ((places.chosen(dy), *inputs), keywords))
    return {name: array for name, array in results.items() if array is not None}


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
