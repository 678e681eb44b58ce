"""What the cache of a learner's forward pass shows: it is no result, but it holds what was computed on the way.

A cache may have names and contents of the learner's own. Where it has a name of the package's, arrays can be compared.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import copied
from tinyvit.exercises.diagnosis import agrees, arrays, related, unlike
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.slips import all_slips, code_of
from tinyvit.exercises.source import edited, with_code


def first_wrong(exercise, call, answer):
    """(kind, name, words) of the first array in the answer's cache that has the package's name and not its numbers.

    First in the order of the package's cache. None if there is none.
    """
    if exercise.backward or not exercise.has_cache:
        return None
    expected, found = _cache(exercise.forward, call), _cache(answer, call)
    for name, right in expected.items():
        array = found.get(name)
        if isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and not agrees(array, right):
            kind, words = _fault(exercise, call, answer, name, array, right)
            return kind, name, words
    return None


def remark(exercise, answer):
    """What to say of the cache of a right answer: nothing, unless its names are the package's and its numbers are not.

    It may still serve a backward pass of the learner's own, so it makes no answer wrong.
    """
    if exercise.backward or not exercise.has_cache:
        return ""
    for call in exercise.calls:
        same_names = _cache(exercise.forward, call).keys() == _cache(answer, call).keys()
        if same_names and (wrong := first_wrong(exercise, call, answer)):
            _, name, words = wrong
            return f" {name} in its cache is not the package's: {words}."
    return ""


def _cache(function, call):
    """The arrays of the cache that a forward pass makes in this call, by name."""
    return _both(function, call)[1]


def _both(function, call):
    """The result of a forward pass in this call, and the arrays of its cache by name."""
    inputs, keywords = call
    try:
        y, c = function(*copied(list(inputs)), **copied(keywords))
        return y, trees.named(c)
    except Exception:  # the learner's code ran once, but may fail the next time; or its cache holds itself
        return None, {}


def _given(exercise, call, name):
    """{name: array} of what the forward pass is called with, and of the other arrays of its cache."""
    cache = _cache(exercise.forward, call)
    return arrays(*exercise.named(call), {other: array for other, array in cache.items() if other != name})


def _with_slip(exercise, call, slip):
    """What the package's forward pass returns with this slip in it."""
    if code := code_of(slip):
        with with_code(slip.function, code):
            return _both(exercise.forward, call)
    return None, {}


def _left_by(slip, exercise, call, answer, name, right):
    """Whether the slip leaves this array of the cache, and, if the result is `right`, that as well."""
    (y, found), (other, cache) = _both(answer, call), _with_slip(exercise, call, slip)
    left, array = found.get(name), cache.get(name)
    return isinstance(array, np.ndarray) and agrees(left, array) and (not right or agrees(y, other))


def _fault(exercise, call, answer, name, found, expected):
    """(kind, words): a known mistake of the forward pass that leaves this in its cache; else by its look alone."""
    for mistake in mistakes(exercise.forward.__name__):
        if agrees(found, _cache(edited(exercise.forward, mistake.edit), call).get(name)):
            return mistake.kind, mistake.says
    fault = unlike(found, expected, exercise.sizes)
    if fault[0] != "value" or expected.dtype.kind != "f":
        return fault[0], f"it {fault[1]}"
    right = agrees(_both(answer, call)[0], _both(exercise.forward, call)[0])
    for slip in all_slips(exercise.forward):
        if all(_left_by(slip, exercise, each, answer, name, right) for each in (call, *exercise.calls)):
            return slip.kind, slip.says
    kind, words = related(found, expected, _given(exercise, call, name)) or fault
    return kind, f"it {words}"
