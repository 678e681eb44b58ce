"""What kind of wrong an array is: compare it with what was expected, and with what known mistakes give."""

import itertools
import math

import numpy as np

from tinyvit import trees
from tinyvit.ops.softmax import softmax

RTOL, ATOL = 1e-9, 1e-12  # two ways to compute the same in float64 differ by less
MENDED = ": "  # behind a wrong shape, if it is known how to mend it
PARTS = (2, 3, 4)  # the numbers of equal parts, side by side in one array, whose order is looked at
MOST_PLACES = 4  # indices in a sentence
MOST_AXES = 6  # the orders of more axes are too many to try


def agrees(found, expected):
    """Whether two arrays are the same but for rounding; None agrees with nothing."""
    return (
        expected is not None
        and np.shape(found) == np.shape(expected)
        and np.allclose(found, expected, rtol=RTOL, atol=ATOL)
    )


def wrong_shape(found, expected):
    """What is wrong with the shape, in words; None if nothing is."""
    if found.shape == expected.shape:
        return None
    words = f"has shape {list(found.shape)}, expected {list(expected.shape)}"
    if found.size == expected.size and agrees(found.reshape(expected.shape), expected):
        return f"{words}: the numbers are right, reshape them"
    if found.ndim > MOST_AXES:
        return words
    for axes in itertools.permutations(range(found.ndim)):
        if agrees(found.transpose(axes), expected):
            return f"{words}: the numbers are right, exchange the axes"
    for count in range(1, found.ndim + 1):
        for axes in itertools.combinations(range(found.ndim), count):
            for keep in (True, False):
                if agrees(found.sum(axis=axes, keepdims=keep), expected):
                    return f"{words}: sum it over {axes_named(axes)}, what forward has copied, backward adds"
    for count in range(1, expected.ndim + 1):
        for axes in itertools.combinations(range(expected.ndim), count):
            if any(agrees(found, expected.sum(axis=axes, keepdims=keep)) for keep in (True, False)):
                return f"{words}: it was summed over {axes_named(axes)}, which should remain"
    return words


def known_factor(found, expected, sizes):
    """(kind, words) if all entries are off by one factor that is -1, or follows from the sizes of axes."""
    factor = _factor(found, expected)
    if factor is None:
        return None
    if math.isclose(factor, -1, rel_tol=1e-6):
        return "sign", "has the wrong sign" + _in_every_entry(found)
    names = [name for name, value in _factors(sizes) if math.isclose(abs(factor), value, rel_tol=1e-6)]
    if not names:
        return None
    others = f"; less likely {' or '.join(names[1:])}" if names[1:] else ""
    return "scale", f"{_times(factor, found)}: it may be {names[0]}{others}"


def any_factor(found, expected):
    """(kind, words) if all entries are off by one factor, whatever it is. Two single numbers always are: None."""
    factor = _factor(found, expected) if found.size > 1 else None
    return None if factor is None else ("scale", _times(factor, found))


def wrong_order(found, expected):
    """Words if the right numbers stand in the wrong places."""
    for axes in itertools.permutations(range(found.ndim)):
        if found.transpose(axes).shape == expected.shape and agrees(found.transpose(axes), expected):
            return "has the right numbers along exchanged axes: transpose it"
    for axis in range(found.ndim):
        if agrees(np.flip(found, axis), expected):
            return f"has the right numbers in reverse order along axis {axis}"
        for step in (1, -1):
            if agrees(np.roll(found, step, axis), expected):
                place = "early" if step > 0 else "late"
                return f"has the right numbers, but along axis {axis} they stand one place too {place}"
    return _parts_in_another_order(found, expected)


def _parts_in_another_order(found, expected):
    """Words if equal parts along an axis, as the gates of a cell, or heads, have changed places; None otherwise."""
    for axis, count in itertools.product(range(found.ndim), PARTS):
        if found.shape[axis] % count:
            continue
        parts = np.split(found, count, axis)
        right = np.split(expected, count, axis)
        order = [next((i for i, part in enumerate(right) if agrees(each, part)), None) for each in parts]
        if sorted(order, key=str) == list(range(count)) != order:
            numbers = ", ".join(map(str, order))
            return f"has the right numbers, but its {count} parts along axis {axis} stand in the order {numbers}"
    return None


def same_numbers(found, expected):
    """Words if the numbers are right, but not where they stand."""
    if np.allclose(np.sort(found, axis=None), np.sort(expected, axis=None), rtol=RTOL, atol=ATOL):
        return "has the right numbers in the wrong places: look at the order of the axes in each reshape"
    return None


def exchanged(found, expected, wrong):
    """Words if two results of these names each have the numbers of the other, or all of them do; None otherwise."""
    if groups := _all_exchanged(found, expected, wrong):
        pairs = [f"{one} and {other} are exchanged" for one, other in groups]
        return f"{'; '.join(pairs)}: each has the other's numbers"
    pairs = itertools.combinations(wrong, 2) if len(wrong) < 4 else ()  # of more, something before them is wrong
    for one, other in pairs:
        if agrees(found[one], expected[other]) and agrees(found[other], expected[one]):
            return f"{one} and {other} are exchanged: each has the other's numbers"
    return None


def _all_exchanged(found, expected, wrong):
    """The pairs of names, or of parts of a tree, that hold each other's numbers, if all that is wrong is in a pair."""
    partner = {}
    for name in wrong:
        others = [other for other in wrong if other != name and agrees(found[name], expected[other])]
        if len(others) != 1:
            return None
        partner[name] = others[0]
    if any(partner[other] != name for name, other in partner.items()):
        return None
    pairs = [_without_common_end(name, other) for name, other in partner.items()]
    return {frozenset(pair): pair for pair in reversed(pairs)}.values()


def _without_common_end(one, other):
    """g/ln1/gamma, g/ln2/gamma -> g/ln1, g/ln2"""
    one, other = one.split("/"), other.split("/")
    while one[-1] == other[-1] and min(len(one), len(other)) > 1:
        one, other = one[:-1], other[:-1]
    return "/".join(one), "/".join(other)


def partly(found, expected):
    """(kind, words) if some entries are right, and all others are wrong in one way: 0, not 0, or off by one factor."""
    wrong = ~np.isclose(found, expected, rtol=RTOL, atol=ATOL)
    if not wrong.any() or not (abs(expected[~wrong]) > ATOL).any():
        return None
    where = f"{_places(wrong)}, and right everywhere else"
    if not (abs(found[wrong]) > ATOL).any():
        return "missing term", f"is 0 {where}: something is left out there, or masked that is to stay"
    if not (abs(expected[wrong]) > ATOL).any():
        return "missing term", f"is not 0 {where}: it is to be 0 there, as behind a mask"
    factor = _factor(found[wrong], expected[wrong]) if wrong.sum() > 2 else None
    if factor is None:
        return None
    if math.isclose(factor, -1, rel_tol=1e-6):
        return "sign", f"has the wrong sign {where}"
    return "scale", f"{_times(factor, found[wrong][:1])} {where}"


def _places(wrong):
    """Where these entries are, in words: the indices along an axis if they are few, else their number."""
    for axis in range(wrong.ndim):
        at = np.flatnonzero(wrong.any(axis=tuple(i for i in range(wrong.ndim) if i != axis)))
        if len(at) < wrong.shape[axis] and len(at) <= MOST_PLACES:
            return f"at {'index' if len(at) == 1 else 'indices'} {', '.join(map(str, at))} of axis {axis}"
    first = [int(i) for i in np.argwhere(wrong)[0]]
    return f"in {wrong.sum()} of {wrong.size} entries, first at {first}"


def related(found, expected, arrays):
    """(kind, words) if what was found follows from what was expected and one of these arrays, {name: array}; or None.

    What was expected may be multiplied by the array, divided by it, or the array may be added, or subtracted.
    """
    if not found.any():
        return "missing term", "is 0" + _in_every_entry(found)
    with np.errstate(all="ignore"):  # a curve may have no value there
        of_curve = [says for says, f in CURVES.items() if agrees(found, f(expected))]
    if of_curve:
        return "value", f"is {of_curve[0]} what is expected"
    for name, array in arrays.items():
        if agrees(found, array):
            return "missing term", f"is {name} as it is"
        for kind, says, other in _combined(expected, array):
            if np.shape(other) == found.shape and agrees(found, other):
                return kind, f"is what is expected{says.format(name)}"
    return None


CURVES = {
    "1 divided by": lambda x: 1 / x,
    "the square of": lambda x: x * x,
    "the square root of": np.sqrt,
    "1 divided by the square of": lambda x: 1 / (x * x),
    "1 divided by the square root of": lambda x: 1 / np.sqrt(x),
    "the logarithm of": np.log,
    "the exponential of": np.exp,
    "the tanh of": np.tanh,
    "what tanh is taken of to give": np.arctanh,
    "the softmax of": lambda x: softmax(1.0 * x)[0] if np.shape(x)[-1:] > (1,) else np.nan,
}


def _combined(expected, array):
    """(kind, words, numbers): an array that is combined with what is expected."""
    try:
        np.broadcast_shapes(expected.shape, array.shape)
    except ValueError:
        return
    yield "missing term", " without the term {}", expected - array
    with np.errstate(all="ignore"):
        yield "missing term", " without the factor {}", expected / array
    yield "scale", " times {}, a factor too many", expected * array
    yield "scale", " plus {}, a term too many", expected + array
    yield "sign", " with the term {} of the wrong sign", expected - 2 * array


def arrays(*given):
    """{name: array} of all float arrays in trees that were given, their names as in a call."""
    found = {}
    for each in given:
        for name, leaf in trees.walk(each):
            if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and leaf.size > 1:
                found[f"`{name}`"] = leaf
    return found


def unlike(found, expected, sizes):
    """(kind, words) for an array that is not what was expected, by its look alone; no known mistake is tried."""
    if words := wrong_shape(found, expected):
        return "shape", words
    if expected.dtype.kind != "f":  # numbers of places, or masks: a factor or an order would say nothing
        return "value", where_wrong(found.astype(int), expected.astype(int))
    if fault := known_factor(found, expected, sizes):
        return fault
    if words := wrong_order(found, expected) or same_numbers(found, expected):
        return "order", words
    return any_factor(found, expected) or ("value", where_wrong(found, expected))


def ratios(found, expected):
    """The least, the median and the greatest found / expected, over the entries that are not near 0; None of none.

    1, 1, 1 is right; -1, -1, -1 a sign; three times the same number a factor; 0 as least, something that is lost.
    """
    large = abs(expected) > 1e-3 * abs(expected).max(initial=0)
    if not large.any():
        return None
    ratio = found[large] / expected[large]
    return tuple(float(value) for value in (ratio.min(), np.median(ratio), ratio.max()))


def where_wrong(found, expected):
    """Where the wrong entries are, in words."""
    wrong = ~np.isclose(found, expected, rtol=RTOL, atol=ATOL)
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    if wrong.size == 1:
        return f"is {found.item():.9g}, expected {expected.item():.9g}"
    words = f"is wrong in {wrong.sum()} of {wrong.size} entries, by at most {abs(found - expected).max():.2g}"
    for axis in range(found.ndim):
        others = tuple(i for i in range(found.ndim) if i != axis)
        at = np.flatnonzero(wrong.any(axis=others))
        if len(at) == 1 and found.shape[axis] > 1 and wrong.sum() > 1:
            words += f", all at index {at[0]} of axis {axis}"
    return f"{words}; first at {list(first)}: found {found[first]:.6g}, expected {expected[first]:.6g}"


def _factor(found, expected):
    """The number that all entries are off by, or None."""
    nonzero = abs(expected) > ATOL
    if not nonzero.any() or not found.any():
        return None
    factor = float((found[nonzero] / expected[nonzero]).flat[0])
    return factor if math.isfinite(factor) and agrees(found / factor, expected) else None


def _times(factor, found):
    sign, size = ("has the wrong sign, and its size is" if factor < 0 else "is"), abs(factor)
    large = f"{size:.6g} times" if size > 1 else f"1/{1 / size:.6g} of"
    return f"{sign} {large} what is expected" + _in_every_entry(found)


def _in_every_entry(found):
    return " in every entry" if found.size > 1 else ""


def axes_named(axes):
    """'axis 1', 'axes 0 and 1'."""
    return f"axis {axes[0]}" if len(axes) == 1 else "axes " + " and ".join(map(str, axes))


def _factors(sizes):
    """Numbers that a factor may be, with how they come about: sizes, then products of two, then roots."""
    for name, size in sizes.items():
        yield from ((f"{name} = {size}", size), (f"1/{name} = 1/{size}", 1 / size))
    for (one, a), (other, b) in itertools.combinations(sizes.items(), 2):
        yield from ((f"{one} {other} = {a * b}", a * b), (f"1/({one} {other}) = 1/{a * b}", 1 / (a * b)))
    for name, size in sizes.items():
        yield (f"sqrt({name}), {name} = {size}", math.sqrt(size))
        yield (f"1/sqrt({name}), {name} = {size}", size**-0.5)
