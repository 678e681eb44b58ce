"""The rules by which slips are made: what is easily written in the place of one node of a function's syntax tree.

Each rule is given a node, the parents of all nodes, and the tree, and yields (kind of mistake, words, other node).
"""

import ast
import functools
import itertools
from typing import NamedTuple

LONGEST = 70  # characters of code in a sentence
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
NOUNS = {"var": "variance", "max": "maximum", "min": "minimum"}
OTHERS = {"np", "xp", "math", "c", "p", "g", "_"}  # names that are no arrays
SIZES = ("shape", "size", "ndim", "dtype")


class Change(NamedTuple):
    """`old`, a node of a tree, becomes `new`. Changes with the same `name` may be made at all their places at once."""

    old: ast.AST
    new: ast.AST
    kind: str
    says: str
    name: tuple


def filled(form, *arguments):
    """The expression, with these nodes in the place of _0, _1."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node):
            if node.id in ("_0", "_1"):
                return ast.parse(text_of(arguments[int(node.id[1])]), mode="eval").body
            return node

    return Fill().visit(ast.parse(form, mode="eval").body)


text_of = functools.cache(ast.unparse)  # of a node of a tree that is not being changed


def changes_of(node, parents, tree):
    """Every change of one node, by the rules for its type."""
    rules = RULES.get(type(node), ())
    if rules and node in parents and not _in_check(node, parents):
        where = _shown(node, parents)
        for rule in rules:
            for kind, says, new in rule(node, parents, tree):
                yield Change(node, new, kind, f"{says}{where}", (kind, _likewise(says)))


def _likewise(says):
    """What these words have in common with those for the same mistake elsewhere."""
    return next((says.partition(verb)[2] for verb in (" runs ", " keeps ") if verb in says), says)


def _in_check(node, parents):
    """Whether it belongs to a signature, to a check of the arguments, or to what a loop runs over."""
    while node in parents:
        child, node = node, parents[node]
        if isinstance(node, ast.For) and node.iter is child:  # it might never end
            return True
        if isinstance(node, ast.arguments | ast.Raise | ast.JoinedStr) or (
            isinstance(node, ast.If) and any(isinstance(each, ast.Raise) for each in node.body)
        ):
            return True
    return False


def _shown(node, parents):
    """Where it is: the largest expression or assignment around it that is short enough to be quoted."""
    text = ""
    while (
        isinstance(node, ast.expr | ast.Assign | ast.Return | ast.keyword | ast.Slice) and len(text_of(node)) <= LONGEST
    ):
        text = text if isinstance(node, ast.keyword | ast.Slice) else text_of(node)
        node = parents[node]
    return f" in `{text}`" if text else ""


def _named(node):
    text = text_of(node)
    return f"`{text}`" if len(text) <= LONGEST else "the rest"


def _sum(node, parents, tree):
    """a + b, a - b"""
    a, b, plus = node.left, node.right, isinstance(node.op, ast.Add)
    yield "missing term", f"the term {_named(b)} is missing", a
    if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Mult):
        within = ast.BinOp(ast.BinOp(a.left, node.op, b), ast.Mult(), a.right)
        yield "order", f"{_named(b)} is multiplied by {_named(a.right)} as well", within
    overwritten = isinstance(parents[node], ast.Assign) and text_of(parents[node].targets[0]) == text_of(a)
    if overwritten and (isinstance(a, ast.Subscript) or _in_loop(node, parents)):
        yield "missing term", f"{_named(a)} is overwritten, not added to,", b
    else:
        yield "missing term", f"the term {_named(a)} is missing", b if plus else ast.UnaryOp(ast.USub(), b)
    yield "sign", f"{_named(b)} has the wrong sign", ast.BinOp(a, ast.Sub() if plus else ast.Add(), b)
    yield "sign", f"{_named(a)} has the wrong sign", ast.BinOp(b, ast.Sub(), a)
    yield "value", f"{_named(a)} and {_named(b)} are multiplied", ast.BinOp(a, ast.Mult(), b)
    if not isinstance(a, ast.Constant):
        yield "scale", f"the term {_named(a)} is there twice", ast.BinOp(a, ast.Add(), node)
    if not isinstance(b, ast.Constant):
        yield "scale", f"the term {_named(b)} is there twice", ast.BinOp(node, node.op, b)
    if text_of(a).startswith("np.sqrt("):
        inside = ast.BinOp(a.args[0], node.op, b)
        yield "value", f"{_named(b)} stands in the root, not outside,", ast.Call(a.func, [inside], [])


def _in_loop(node, parents):
    while node in parents and not isinstance(node, ast.For):
        node = parents[node]
    return isinstance(node, ast.For)


def _product(node, parents, tree):
    """a * b"""
    a, b = node.left, node.right
    for one, other in ((b, a), (a, b)):
        yield "missing term", f"the factor {_named(one)} is missing", other
    for one, other in ((b, a), (a, b)):
        yield "scale", f"the factor {_named(one)} is there twice", ast.BinOp(node, ast.Mult(), one)
        yield "scale", f"{_named(other)} is divided by {_named(one)}, not multiplied,", ast.BinOp(other, ast.Div(), one)
    yield "value", f"{_named(a)} and {_named(b)} are added, not multiplied,", ast.BinOp(a, ast.Add(), b)
    yield from _scaled(node)
    yield from _multiplied_out(a, b)
    yield from _multiplied_out(b, a)


def _multiplied_out(total, factor):
    """(a + b) * factor, as a * factor + b * factor: with another power of the factor in one of the terms."""
    terms = _terms(total)
    for i, (term, _) in enumerate(terms if len(terms) > 1 else ()):
        squared = ast.BinOp(ast.BinOp(term, ast.Mult(), factor), ast.Mult(), factor)
        for kind, says, wrong in (
            ("missing term", f"the factor {_named(factor)} is missing in the term {_named(term)}", term),
            ("scale", f"the factor {_named(factor)} is there twice in the term {_named(term)}", squared),
        ):
            parts = [(ast.BinOp(each, ast.Mult(), factor), op) for each, op in terms]
            parts[i] = wrong, terms[i][1]
            yield (
                kind,
                says,
                functools.reduce(lambda left, part: ast.BinOp(left, part[1], part[0]), parts[1:], parts[0][0]),
            )


def _terms(node):
    """[(a, +), (b, +), (c, -)] of a + b - c."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return [*_terms(node.left), (node.right, node.op)]
    return [(node, ast.Add())]


def _scaled(node):
    for factor in (2, 0.5):
        yield "scale", f"a factor {factor} is too much", ast.BinOp(ast.Constant(factor), ast.Mult(), node)


def _quotient(node, parents, tree):
    """a / b"""
    a, b = node.left, node.right
    yield "missing term", f"the division by {_named(b)} is missing", a
    yield "scale", f"{_named(a)} is multiplied by {_named(b)}, not divided,", ast.BinOp(a, ast.Mult(), b)
    yield "scale", f"{_named(b)} is divided by {_named(a)}: it is the other way round", ast.BinOp(b, ast.Div(), a)
    yield "scale", f"the division by {_named(b)} is there twice", ast.BinOp(node, ast.Div(), b)
    for step, op in (("- 1", ast.Sub()), ("+ 1", ast.Add())):
        other = ast.BinOp(a, ast.Div(), ast.BinOp(b, op, ast.Constant(1)))
        yield "scale", f"{_named(a)} is divided by {text_of(b)} {step}, not by {text_of(b)},", other


def _matrix_product(node, parents, tree):
    """a @ b"""
    a, b = node.left, node.right
    for one, new in ((a, ast.BinOp(_swapped(a), ast.MatMult(), b)), (b, ast.BinOp(a, ast.MatMult(), _swapped(b)))):
        yield "order", f"{_named(one)} is transposed", new
    yield "order", f"{_named(b)} stands to the left of {_named(a)}", ast.BinOp(b, ast.MatMult(), a)
    yield "value", f"{_named(a)} and {_named(b)} are multiplied entry by entry", ast.BinOp(a, ast.Mult(), b)
    last = filled("_0[..., -1:]", a), filled("_0[..., -1:, :]", b)
    says = f"only the last term of the sum in {_named(node)} is there"
    yield "missing term", says, ast.BinOp(last[0], ast.MatMult(), last[1])
    yield "scale", f"{_named(node)} is a mean, not a sum,", filled("_0 / _1.shape[-1]", node, a)
    yield from _scaled(node)


def _swapped(node):
    return filled("_0.swapaxes(-1, -2)", node)


def _operation(node, parents, tree):
    of = {ast.Add: _sum, ast.Sub: _sum, ast.Mult: _product, ast.Div: _quotient, ast.MatMult: _matrix_product}
    return of[type(node.op)](node, parents, tree) if type(node.op) in of else ()


def _negative(node, parents, tree):
    if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "sign", f"the minus of {_named(node.operand)} is missing", node.operand


def _call(node, parents, tree):
    function = node.func.attr if isinstance(node.func, ast.Attribute) else text_of(node.func)
    method = isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name | ast.Attribute)
    method = method or (isinstance(node.func, ast.Attribute) and text_of(node.func.value) not in ("np", "xp", "math"))
    if function in ("sum", "mean", "max", "var") and method:
        yield from _reduction(node, function)
    elif function in ("swapaxes", "transpose", "moveaxis"):
        array = node.func.value if method else node.args[0]
        yield "order", f"`{function}` is missing: axes are to be exchanged", array
        form = f"{text_of(array)}.reshape({text_of(node)}.shape)"
        yield "order", f"a reshape stands in the place of `{function}`", ast.parse(form, mode="eval").body
    elif function in ("softmax", "softmax_backward"):
        yield from _softmax(node, function, isinstance(parents[node], ast.Assign))
    elif function == "where" and len(node.args) == 3:
        mask, a, b = node.args
        yield "order", "the two sides of `where` are exchanged", ast.Call(node.func, [mask, b, a], [])
        yield "missing term", f"the mask {_named(mask)} is not asked", a
        yield "missing term", f"the mask {_named(mask)} is not asked", b
        yield "value", "`where` puts 0", ast.Call(node.func, [mask, a, ast.Constant(0)], [])
    elif function == "sqrt" and isinstance(node.args[0], ast.BinOp) and isinstance(node.args[0].op, ast.Add):
        a, b = node.args[0].left, node.args[0].right
        outside = ast.BinOp(ast.Call(node.func, [a], []), ast.Add(), b)
        yield "value", f"{_named(b)} stands outside the root, not in it,", outside
        yield "missing term", "the root is missing", node.args[0]
    elif node.args and function not in ("range", "zip", "enumerate", "len", "zeros", "reshape"):
        pair = isinstance(parents[node], ast.Assign) and isinstance(parents[node].targets[0], ast.Tuple)
        first = node.args[0]
        count = len(parents[node].targets[0].elts) if pair else 1
        if not pair:
            yield "missing term", f"`{function}` is missing", first
        elif count == 2:
            yield "missing term", f"`{function}` is missing", ast.Tuple([first, ast.Dict([], [])], ast.Load())
    if function in ("tanh", "gelu", "gelu_tanh") and isinstance(parents[node], ast.Assign):
        relu = filled(
            "(_0 * (_0 > 0), {})" if isinstance(parents[node].targets[0], ast.Tuple) else "_0 * (_0 > 0)", *node.args
        )
        yield "value", f"ReLU stands in the place of `{function}`", relu
    for other in ALIKE.get(function, ()):
        text = text_of(node.func)
        name = ast.parse(text[: len(text) - len(function)] + other if other != "sigmoid" else other, mode="eval").body
        kind = "scale" if function in ("sum", "mean") else "value"
        yield kind, f"`{other}` stands in the place of `{function}`", ast.Call(name, node.args, node.keywords)
    if function in ("linear", "layer_norm") and len(node.args) == 2:
        for key, words in (("b", "the bias b"), ("beta", "beta"), ("gamma", "gamma")):
            form = f"{text_of(node.args[1])} | {{'{key}': 0 * {text_of(node.args[1])}['{key}']}}"
            if (key == "b") == (function == "linear"):
                without = [node.args[0], ast.parse(_neutral(form, key), mode="eval").body]
                yield "missing term", f"{words} is not used", ast.Call(node.func, without, node.keywords)
    for word in node.keywords:
        if word.arg not in ("axis", "keepdims", "dtype", "out") and word.arg:
            rest = [other for other in node.keywords if other is not word]
            yield "missing term", f"`{word.arg}` is not handed on", ast.Call(node.func, node.args, rest)
    if len(node.args) > 1:
        for i, j in itertools.combinations(range(len(node.args)), 2):
            swapped = list(node.args)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            says = f"{_named(node.args[i])} and {_named(node.args[j])} are exchanged"
            yield "order", says, ast.Call(node.func, swapped, node.keywords)


def _neutral(form, key):
    """gamma becomes 1, a bias 0."""
    return f"{form[:-1]} + 1}}" if key == "gamma" else form


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
            f"{_named(array)} is squared",
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


def _subscript(node, parents, tree):
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    sizes = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
    for i, part in enumerate(parts):
        number = _number(part)
        if number is None:
            continue
        others = (
            [k for k in (0, 1, 2, -1, -2) if k != number] if sizes or number in (0, -1) else [number - 1, number + 1]
        )
        for other in others:
            new = [*parts[:i], ast.parse(str(other), mode="eval").body, *parts[i + 1 :]]
            new = ast.Tuple(new, ast.Load()) if isinstance(node.slice, ast.Tuple) else new[0]
            kind = "scale" if sizes else "order"
            says = (
                f"the size of axis {other} is taken, not that of axis {number},"
                if sizes
                else f"index {other} is taken, not {number},"
            )
            yield kind, says, ast.Subscript(node.value, new, node.ctx)


def _number(node):
    """The whole number that a node is, or None."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    return value if type(value) is int else None


def _slice(node, parents, tree):
    for end in ("lower", "upper"):
        bound = getattr(node, end)
        if bound is not None:
            for step, words in ((1, "one too late"), (-1, "one too early")):
                moved = ast.BinOp(bound, ast.Add(), ast.Constant(step))
                ends = {"lower": node.lower, "upper": node.upper} | {end: moved}
                begins = "begins" if end == "lower" else "ends"
                yield "order", f"the slice `{text_of(node)}` {begins} {words}", ast.Slice(**ends, step=node.step)
            ends = {"lower": node.lower, "upper": node.upper} | {end: None}
            yield "order", f"the slice `{text_of(node)}` is longer", ast.Slice(**ends, step=node.step)
    if (node.lower is None) != (node.upper is None) and node.step is None:
        other = ast.Slice(node.upper, node.lower)
        yield "order", f"the parts before and from `{text_of(node.lower or node.upper)}` on are exchanged", other
    if text_of(node) == "1:":
        yield "order", "the slice `1:` leaves out the last, not the first,", ast.Slice(None, ast.Constant(-1), None)


def _comparison(node, parents, tree):
    for other, words in ((ast.Gt, ">"), (ast.GtE, ">="), (ast.Lt, "<"), (ast.LtE, "<="), (ast.NotEq, "!=")):
        if not isinstance(node.ops[0], other | ast.Is | ast.IsNot | ast.In | ast.NotIn):
            yield "value", f"`{words}` compares", ast.Compare(node.left, [other()], node.comparators)


def _constant(node, parents, tree):
    if type(node.value) in (int, float) and not isinstance(
        parents[node], ast.Subscript | ast.Tuple | ast.keyword | ast.UnaryOp
    ):
        value = node.value
        for other in dict.fromkeys((value + 1, value - 1, 2 * value, value / 2, value / 10, value * 10)):
            if other != value:
                of_product = isinstance(getattr(parents[node], "op", None), ast.Mult | ast.Div)
                kind = "scale" if of_product else "value"
                yield kind, f"{other:g} stands in the place of {value}", ast.Constant(other)


def _scatter(node, parents, tree):
    """np.add.at(array, index, values), a line of its own"""
    if isinstance(node.value, ast.Call) and text_of(node.value.func) in ("np.add.at", "xp.add.at"):
        array, index, values = node.value.args
        target = ast.parse(f"{text_of(array)}[{text_of(index)}] = 0").body[0].targets
        added = ast.BinOp(ast.parse(text_of(target[0]), mode="eval").body, ast.Add(), values)
        array = _named(array)
        says = (
            f"{array} keeps one gradient of an index that is there several times: += does not add them up (np.add.at)"
        )
        yield "missing term", says, ast.Assign(target, added)
        says = f"{array} keeps the last gradient of an index that is there several times: they are to be added up"
        yield "missing term", says, ast.Assign(target, values)


def _series(node, parents, tree):
    """What is listed, in another order: (a, b), [a, b]; also on the left of =, and in return."""
    if isinstance(node.ctx, ast.Store) and text_of(getattr(parents[node], "value", node)).startswith("xp.split("):
        right = ", ".join(map(text_of, node.elts))
        for other in itertools.permutations(node.elts):
            if list(other) != node.elts:
                says = f"the parts are taken as {', '.join(map(text_of, other))}: their order is {right}"
                yield "order", says, ast.Tuple(list(other), ast.Store())
        return
    called = isinstance(parents[node], ast.Subscript | ast.keyword) or not 2 <= len(node.elts) <= 4
    if called or any(isinstance(each, ast.Constant) for each in node.elts):
        return
    for i, j in itertools.combinations(range(len(node.elts)), 2):
        new = list(node.elts)
        new[i], new[j] = new[j], new[i]
        says = f"{_named(node.elts[i])} and {_named(node.elts[j])} are exchanged"
        yield "order", says, type(node)(new, node.ctx)
    if isinstance(parents[node], ast.Assign) and isinstance(node.ctx, ast.Store) and isinstance(node.elts[0], ast.Name):
        unused = ast.Name("_", ast.Store())
        call = parents[node].value
        if isinstance(call, ast.Call):
            says = f"what `{text_of(call.func)}` gives is not used further"
            yield "missing term", says, ast.Tuple([unused, *node.elts[1:]], ast.Store())


def in_place(other, right):
    """How to say that another array was taken."""
    return f"`{other}` stands in the place of `{right}`"


def _operand(node, parents, tree):
    """Another array in the place of this one; or this one before a function was applied to it, or twice."""
    parent = parents[node]
    if isinstance(node, ast.Subscript) and not isinstance(getattr(node.slice, "value", None), str):
        return
    of_shape = isinstance(parent, ast.Attribute) and parent.attr in SIZES
    if not isinstance(node.ctx, ast.Load) or of_shape or (isinstance(parent, ast.Call) and parent.func is node):
        return
    if (
        isinstance(parent, ast.Subscript)
        and parent.value is node
        and isinstance(getattr(parent.slice, "value", None), str)
    ):
        return
    text = text_of(node)
    if text == "eps":
        for factor in (0.1, 10, 0.01, 100):
            yield "value", f"eps is {factor} times what it is to be", ast.BinOp(ast.Constant(factor), ast.Mult(), node)
    if text not in arrays_of(tree):
        return
    sizes = _sizes(tree)
    for other in arrays_of(tree):
        if other != text and (other in sizes) == (text in sizes):
            kind = "scale" if text in sizes else "operand"
            yield kind, in_place(other, text), ast.parse(other, mode="eval").body
    made = [
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Assign) and text_of(each.targets[0]) == text and isinstance(each.value, ast.Call)
    ]
    if len(made) == 1 and len(made[0].args) == 1 and not made[0].keywords:
        function = text_of(made[0].func)
        yield "operand", f"`{text}` is taken before `{function}`", made[0].args[0]
        yield "operand", f"`{function}` is applied twice to `{text}`", ast.Call(made[0].func, [node], [])


def _option(node, parents, tree):
    """The default of an option in the place of what was asked for."""
    default = _defaults(tree).get(node.id)
    if default is not None and isinstance(node.ctx, ast.Load):
        yield "missing term", f"{node.id} is ignored: it is taken to be {text_of(default)}", default


@functools.cache
def _defaults(tree):
    """{the name of an option: its default}"""
    signature = tree.body[0].args
    count = len(signature.defaults)
    found = dict(
        zip([each.arg for each in signature.args[len(signature.args) - count :]], signature.defaults, strict=True)
    )
    found |= {
        each.arg: default for each, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True) if default
    }
    return found


@functools.cache
def arrays_of(tree):
    """The names that a function computes with, and the entries of its cache and parameters that it reads."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    signature = tree.body[0].args
    options = {each.arg for each in signature.kwonlyargs + signature.args[-len(signature.defaults) or 99 :]}
    options |= {
        text_of(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "append"
    }
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in called and node.id not in OTHERS | options:
            found[node.id] = None
        elif isinstance(node, ast.Subscript) and isinstance(getattr(node.slice, "value", None), str):
            found |= {text_of(node): None} if text_of(node.value) in ("c", "p") else {}
    return tuple(found)


@functools.cache
def _sizes(tree):
    """The names that stand for sizes of axes."""
    made = [each for each in ast.walk(tree) if isinstance(each, ast.Assign) and ".shape" in text_of(each.value)]
    names = [name.id for each in made for name in ast.walk(each.targets[0]) if isinstance(name, ast.Name)]
    return {name for name in names if name.isupper() or name in ("classes", "groups", "side", "size", "half", "width")}


RULES = {
    ast.BinOp: (_operation,),
    ast.UnaryOp: (_negative,),
    ast.Call: (_call,),
    ast.Subscript: (_subscript, _operand),
    ast.Slice: (_slice,),
    ast.Compare: (_comparison,),
    ast.Constant: (_constant,),
    ast.Tuple: (_series,),
    ast.List: (_series,),
    ast.Name: (_operand, _option),
    ast.Expr: (_scatter,),
}
