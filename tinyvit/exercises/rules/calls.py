"""What is easily written in the place of a call: of a reduction, softmax, where, or any other function."""

import ast
import itertools

from tinyvit.exercises.rules.syntax import filled, named, text_of

AXES = (-1, -2, -3, 0, 1, 2, None, (0, 1), (0, 2), (1, 2), (0, 1, 2))
ALIKE = {  # what one function is easily taken for
    "sum": ("mean",),
    "mean": ("sum",),
    "max": ("min",),
    "sin": ("cos",),
    "cos": ("sin",),
    "tanh": ("sigmoid",),
    "sigmoid": ("tanh",),
    "tanh_backward": ("sigmoid_backward",),
    "sigmoid_backward": ("tanh_backward",),
    "zeros": ("ones",),
}
PARAMETERS = {"linear": {"b": "the bias b"}, "layer_norm": {"beta": "beta", "gamma": "gamma"}}
NOUNS = {"var": "variance", "max": "maximum", "min": "minimum"}


def call(node, parents, tree):
    """f(...), a.f(...)"""
    function = node.func.attr if isinstance(node.func, ast.Attribute) else text_of(node.func)
    method = isinstance(node.func, ast.Attribute) and text_of(node.func.value) not in ("np", "xp", "math")
    if function in ("sum", "mean", "max", "var") and method:
        yield from _reduction(node, function)
    elif function in ("swapaxes", "transpose", "moveaxis"):
        yield from _exchange(node, function, node.func.value if method else node.args[0])
    elif function in ("softmax", "softmax_backward"):
        yield from _softmax(node, function, isinstance(parents[node], ast.Assign))
    elif function == "where" and len(node.args) == 3:
        yield from _where(node)
    elif function == "sqrt" and isinstance(node.args[0], ast.BinOp) and isinstance(node.args[0].op, ast.Add):
        yield from _root(node)
    elif node.args and function not in ("range", "zip", "enumerate", "len", "zeros", "reshape"):
        yield from _without(node, function, parents[node])
    yield from _another_function(node, function, parents[node])
    yield from _other_arguments(node, function)


def _exchange(node, function, array):
    yield "order", f"`{function}` is missing: axes are to be exchanged", array
    form = f"{text_of(array)}.reshape({text_of(node)}.shape)"
    yield "order", f"a reshape stands in the place of `{function}`", ast.parse(form, mode="eval").body


def _where(node):
    mask, a, b = node.args
    yield "order", "the two sides of `where` are exchanged", ast.Call(node.func, [mask, b, a], [])
    yield "missing term", f"the mask {named(mask)} is not asked", a
    yield "missing term", f"the mask {named(mask)} is not asked", b
    yield "value", "`where` puts 0", ast.Call(node.func, [mask, a, ast.Constant(0)], [])


def _root(node):
    """sqrt(a + b)"""
    a, b = node.args[0].left, node.args[0].right
    outside = ast.BinOp(ast.Call(node.func, [a], []), ast.Add(), b)
    yield "value", f"{named(b)} stands outside the root, not in it,", outside
    yield "missing term", "the root is missing", node.args[0]


def _without(node, function, parent):
    """The argument alone; where a pair is taken, the argument and an empty cache."""
    first = node.args[0]
    if not _takes_several(parent):
        yield "missing term", f"`{function}` is missing", first
    elif len(parent.targets[0].elts) == 2:
        yield "missing term", f"`{function}` is missing", ast.Tuple([first, ast.Dict([], [])], ast.Load())


def _takes_several(parent):
    """Whether it is a line such as y, c = f(x)."""
    return isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple)


def _another_function(node, function, parent):
    if function in ("tanh", "gelu", "gelu_tanh") and isinstance(parent, ast.Assign):
        form = "(_0 * (_0 > 0), {})" if _takes_several(parent) else "_0 * (_0 > 0)"
        yield "value", f"ReLU stands in the place of `{function}`", filled(form, *node.args)
    for other in ALIKE.get(function, ()):
        text = text_of(node.func)
        name = text[: len(text) - len(function)] + other if other != "sigmoid" else other
        new = ast.Call(ast.parse(name, mode="eval").body, node.args, node.keywords)
        kind = "scale" if function in ("sum", "mean") else "value"
        yield kind, f"`{other}` stands in the place of `{function}`", new


def _other_arguments(node, function):
    """A parameter that is not used, an option that is not handed on, two arguments exchanged."""
    if function in PARAMETERS and len(node.args) == 2:
        p = text_of(node.args[1])
        for key, words in PARAMETERS[function].items():
            neutral = f"{p} | {{'{key}': 0 * {p}['{key}']{' + 1' if key == 'gamma' else ''}}}"
            without = [node.args[0], ast.parse(neutral, mode="eval").body]
            yield "missing term", f"{words} is not used", ast.Call(node.func, without, node.keywords)
    for word in node.keywords:
        if word.arg not in ("axis", "keepdims", "dtype", "out") and word.arg:
            rest = [other for other in node.keywords if other is not word]
            yield "missing term", f"`{word.arg}` is not handed on", ast.Call(node.func, node.args, rest)
    for i, j in itertools.combinations(range(len(node.args)), 2):
        swapped = list(node.args)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        says = f"{named(node.args[i])} and {named(node.args[j])} are exchanged"
        yield "order", says, ast.Call(node.func, swapped, node.keywords)


def _reduction(node, function):
    axis = next((word for word in node.keywords if word.arg == "axis"), None)
    kept = [word for word in node.keywords if word.arg == "keepdims"]
    array, right, what = node.func.value, _axis(axis), NOUNS.get(function, function)
    if right == "unknown":
        return
    arrays = [array]
    if text_of(array).endswith(f".reshape(-1, {text_of(array).split('.reshape')[0]}.shape[-1])"):  # of column_sums
        arrays.append(array.func.value)
    for of, other in itertools.product(arrays, _other_axes(right)):
        says = f"the {what} runs over {_axes(other)}: it is to be {_axes(right)}"
        word = ast.keyword("axis", ast.parse(repr(other), mode="eval").body)
        if other != right or of is not array:
            yield "axis", says, ast.Call(ast.Attribute(of, function, ast.Load()), [], [word, *kept])
    if function == "var":
        form = f"({text_of(node)} * ({text_of(array)}.size / ({text_of(array)}.size - {text_of(node)}.size)))"
        yield "scale", "the sum of squares is divided by n - 1, not by n,", ast.parse(form, mode="eval").body
        squares = ast.BinOp(array, ast.Mult(), array)
        mean = ast.Call(ast.Attribute(squares, "mean", ast.Load()), [], node.keywords)
        yield "missing term", "the mean is not subtracted before the squares are taken", mean
    if right == 1 and not kept:
        form = f"{text_of(array)}[:, 1:].{function}(axis=1)"
        yield "order", f"the {what} leaves out the first row", ast.parse(form, mode="eval").body
    if isinstance(right, int):
        for of, (which, index) in itertools.product(arrays, (("first", "0"), ("last", "-1"))):
            index = f"[{index}]" if kept else index
            one = ast.parse(f"({text_of(of)}).take({index}, axis={right})", mode="eval").body
            yield "missing term", f"only the {which} along axis {right} is taken, not the {what},", one
    if kept:
        of_squares = ast.BinOp(array, ast.Mult(), array)
        yield (
            "scale",
            f"{named(array)} is squared",
            ast.Call(ast.Attribute(of_squares, function, ast.Load()), [], node.keywords),
        )


def _axis(word):
    """What the keyword axis says, if it is a number, a tuple of numbers, or not there."""
    try:
        return ast.literal_eval(word.value) if word else None
    except ValueError:
        return "unknown"


def _axes(axis):
    if axis is None:
        return "all axes"
    return f"axis {axis}" if isinstance(axis, int) else "axes " + ", ".join(map(str, axis))


def _other_axes(right):
    """What is easily written for axis=right: of several axes, one fewer, one more, or one alone."""
    if not isinstance(right, tuple):
        return AXES
    fewer = [tuple(axis for axis in right if axis != one) for one in right]
    more = [tuple(sorted((*right, one))) for one in range(5) if one not in right]
    exchanged = [tuple(sorted((*less, one))) for less in fewer for one in range(5) if one not in right]
    return dict.fromkeys([*fewer, *more, *exchanged, *right, *AXES])


def _softmax(node, function, takes_cache):
    first = node.args[0]
    if function == "softmax" and takes_cache:
        for axis in (-2, -3):
            form = f"(softmax({text_of(first)}.swapaxes(-1, {axis}))[0].swapaxes(-1, {axis}), {{}})"
            yield "axis", f"softmax runs over axis {axis}: it is to be the last", ast.parse(form, mode="eval").body
        yield "missing term", "the softmax is missing", ast.Tuple([first, ast.Dict([], [])], ast.Load())
    elif function == "softmax_backward":
        yield "missing term", "softmax's gradient is missing", first


def scatter(node, parents, tree):
    """np.add.at(array, index, values), a line of its own"""
    if isinstance(node.value, ast.Call) and text_of(node.value.func) in ("np.add.at", "xp.add.at"):
        array, index, values = node.value.args
        target = ast.parse(f"{text_of(array)}[{text_of(index)}] = 0").body[0].targets
        added = ast.BinOp(ast.parse(text_of(target[0]), mode="eval").body, ast.Add(), values)
        array = named(array)
        says = (
            f"{array} keeps one gradient of an index that is there several times: += does not add them up (np.add.at)"
        )
        yield "missing term", says, ast.Assign(target, added)
        says = f"{array} keeps the last gradient of an index that is there several times: they are to be added up"
        yield "missing term", says, ast.Assign(target, values)
