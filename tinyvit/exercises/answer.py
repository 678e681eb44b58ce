"""A learner's answer is called: what it returned, by name, or what is wrong with how it did so."""

import inspect
import re
import traceback

import numpy as np

from tinyvit import trees
from tinyvit.arrays import copied, same
from tinyvit.exercises.exercise import OPTIONAL

SHOWN = 5  # names in a sentence
LONGEST = 200  # characters of an error's message


class Wrong(Exception):
    """A fault that was found: its kind, what to say, and perhaps what can be compared."""


def listed(names):
    """Names in a sentence; of many, the first few."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def returned(exercise, call, answer, forward):
    """{name: what the answer returned} in a call of an exercise, the cache of a forward pass left out.

    `forward` makes the cache that a backward pass reads. All that is handed over is copied, and must stay as it is.

    Raises
    ------
    Wrong
        If the answer raises an error, returns another number of things, or changes what it was given.
    """
    inputs, keywords = exercise.arguments(call, forward)
    before, given = [*inputs, keywords], copied([*inputs, keywords])
    try:
        found = answer(*given[:-1], **given[-1])
    except (Exception, SystemExit) as error:  # whatever the learner's code raises is to be said in one line
        own = not exercise.backward or forward is not exercise.forward
        words = in_one_line(error, given) or _as_called(exercise, call, error)
        words += "" if own else _whose_cache(exercise, error, given)
        raise Wrong("error", words) from None
    if found is None:
        raise Wrong("unwritten", "It returns None: write the body, with its return.")
    if trees.named(before).keys() != trees.named(given).keys():
        raise Wrong("argument", "It adds to what it was given (p or c), or takes from it: leave both as they are.")
    if not same(before, given):
        raise Wrong("argument", "It changes an array that it was given: compute a new one (y = x - m, not x -= m).")
    return by_name(exercise, found)


def by_name(exercise, found):
    """{name: array} of what a function returned; the leaves of a tree of gradients have names like g/w."""
    names = exercise.results if exercise.results else ("y",)
    if not exercise.backward and exercise.has_cache:
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], dict):
            raise Wrong("form", f"It is to return {names[0]} and the cache, a dictionary: return {names[0]}, c.")
        found = found[:1]
    elif len(names) == 1:
        found = (found,)
    if not isinstance(found, tuple) or len(found) != len(names):
        raise Wrong("form", f"It is to return {len(names)} things: return {', '.join(names)}.")
    arrays = {}
    for name, value in zip(names, found, strict=True):
        if value is None and name in OPTIONAL:  # there is nothing that it would be the gradient of
            continue
        arrays |= {f"{name}/{leaf}" if leaf else name: array for leaf, array in trees.walk(value)}
    return arrays


def check_form(found, expected):
    """Raise Wrong unless there are arrays of the right dtypes under the right names."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected and name not in OPTIONAL]
    if nested := [name for name in missing if any(other.startswith(f"{name}/") for other in extra)]:
        raise Wrong("form", f"{nested[0]} is a list or a dictionary: expected an array.")
    words = [f"It does not return {listed(missing)}."] if missing else []
    words += [f"It returns {listed(extra)}, beyond what is asked for."] if extra else []
    if words:
        raise Wrong("form", " ".join(words))
    for name, right in expected.items():
        if not isinstance(found[name], np.ndarray | np.generic):
            raise Wrong("form", f"{name} is {type(found[name]).__name__}: expected an array.")
        if found[name].dtype != right.dtype:
            raise Wrong("dtype", f"{name} is {found[name].dtype} {_why(found[name].dtype, right.dtype)}.")


def _why(found, expected):
    if (found, expected) == (np.float64, np.float32):
        return (
            "when all that comes in is float32: a float64 has leaked in, perhaps from np.sqrt of a plain number (take "
            "math.sqrt) or from an array made without dtype=x.dtype"
        )
    if expected.kind == "b":
        return "in place of True and False: compare"
    return f"when all that comes in is {expected}: make it {expected}, too"


def in_one_line(error, given):
    """An error of the learner's code, which was given these inputs: what, and in which line.

    None if no line of it ran, since the call itself failed.
    """
    lines = traceback.extract_tb(error.__traceback__)[1:]  # the first is the line of the call
    if not lines:
        return None
    words = _named(error)
    if words.startswith("ValueError: matmul") and any(
        leaf.ndim > 2 for leaf in trees.leaves(given) if hasattr(leaf, "ndim")
    ):
        words = "ValueError: matmul of axes that do not fit; flatten the leading axes first: x.reshape(-1, x.shape[-1])"
    elif words.startswith("ValueError: matmul"):
        sizes = words[words.rindex("(size") :] if "(size" in words else ""
        words = f"ValueError: matmul of axes that do not fit {sizes}: is one of the two to be transposed?"
    elif _lost_an_axis(words):
        words += ", which differ by an axis: a sum, mean or max with keepdims=True keeps its axis"
    return f"{words}, in the line: {lines[0].line}" if lines[0].line else words


def _lost_an_axis(words):
    """Whether it is an error of broadcasting that one more axis, of size 1 and anywhere but in front, would mend."""
    shapes = [tuple(map(int, re.findall(r"\d+", each))) for each in re.findall(r"\(([\d,]+)\)", words)]
    if "could not be broadcast together" not in words or len(shapes) != 2 or len(shapes[0]) == len(shapes[1]):
        return False
    short, long = sorted(shapes, key=len)
    axes = range(1, len(short) + 1)
    return any(all(a in (b, 1) for a, b in zip((*short[:i], 1, *short[i:]), long, strict=False)) for i in axes)


def _named(error):
    """An error's type, and the first line of what it says."""
    try:
        message = str(error).strip().partition("\n")[0][:LONGEST]
    except Exception:  # an error may fail to say what it is
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _as_called(exercise, call, error):
    """An error of the call itself, and how the function is called."""
    names = list(inspect.signature(exercise.function).parameters)
    if not exercise.backward:
        names = names[: len(call[0])] + [f"{name}=..." for name in call[1]]
    return f"{_named(error)}; it is called as {exercise.function.__name__}({', '.join(names)})"


def _whose_cache(exercise, error, given):
    """What to say of a key that the package's cache has not: one of the learner's own may have it."""
    parameters = [name for inputs, _ in exercise.calls for name in trees.named([x for x in inputs if type(x) is dict])]
    if not isinstance(error, KeyError) or any(key in name.split("/") for key in error.args for name in parameters):
        return ""
    c = given[list(inspect.signature(exercise.backward).parameters).index("c")]
    return (
        f". The cache here is the package's, and its keys are: {listed(c) or 'none'}; with one of your own, hand in "
        f'its forward pass, too: exercises.check("{exercise.backward.__name__}", yours, forward=...)'
    )
