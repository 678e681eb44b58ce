"""What the cache of a learner's forward pass shows: it is no result, but it holds what was computed on the way.

A cache may have names and contents of the learner's own. Where it has a name of the package's, arrays can be compared.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import copied
from tinyvit.exercises.diagnosis import agrees, unlike
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.source import edited


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
            kind, words = _fault(exercise, call, name, array, right)
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
    inputs, keywords = call
    try:
        return trees.named(function(*copied(list(inputs)), **copied(keywords))[1])
    except Exception:  # the learner's code ran once, but may fail the next time; or its cache holds itself
        return {}


def _fault(exercise, call, name, found, expected):
    """(kind, words): a known mistake of the forward pass that leaves this in its cache; else by its look alone."""
    for mistake in mistakes(exercise.forward.__name__):
        if agrees(found, _cache(edited(exercise.forward, mistake.edit), call).get(name)):
            return mistake.kind, mistake.says
    kind, words = unlike(found, expected, exercise.sizes)
    return kind, f"it {words}"
