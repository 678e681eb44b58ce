"""What kind of wrong a result is, and how to say so."""

import inspect
import itertools

import numpy as np

from tinyvit.exercises.answer import returned
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.diagnosis import (
    MENDED,
    any_factor,
    known_factor,
    partly,
    related,
    same_numbers,
    where_wrong,
    wrong_order,
    wrong_shape,
)
from tinyvit.exercises.kept import first_wrong
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.slips import DEPTH, reachable


def fault_of(tried):
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


def why_not_finite(exercise, call, answer, forward):
    """What the answer's arithmetic met with in this call, in words."""
    met = set()
    with np.errstate(all="call", under="ignore", call=lambda error, _: met.add(error)):
        returned(exercise, call, answer, forward)
    if "overflow" in met:
        return ": a number grows beyond what a float can hold, as exp(x) does from x = 710 on"
    if "divide by zero" in met and "loss" in exercise.results:
        return ": the logarithm of a probability that is 0; take log softmax(x) as x - max - log(sum(exp(x - max)))"
    return ": it divides by 0, or takes the logarithm of 0" if met else ""
