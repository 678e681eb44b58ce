"""What is easily written in the place of a name, an index, a slice, or a series of names."""

import ast
import functools
import itertools

from tinyvit.exercises.rules.syntax import named, text_of, whole_number

OTHERS = {"np", "xp", "math", "c", "p", "g", "_"}  # names that are no arrays
SIZES = ("shape", "size", "ndim", "dtype")


def subscript(node, parents, tree):
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    sizes = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
    for i, part in enumerate(parts):
        number = whole_number(part)
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


def slice_of_axis(node, parents, tree):
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


def series(node, parents, tree):
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
        says = f"{named(node.elts[i])} and {named(node.elts[j])} are exchanged"
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


def operand(node, parents, tree):
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


def option(node, parents, tree):
    """The default of an option in the place of what was asked for."""
    default = _defaults(tree).get(node.id)
    if default is not None and isinstance(node.ctx, ast.Load):
        yield "missing term", f"{node.id} is ignored: it is taken to be {text_of(default)}", default


def branch(node, parents, tree):
    """if test: ..., where no option is asked for, which `option` ignores, and no argument is checked"""
    asked = {each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)}
    if not asked & _defaults(tree).keys() and not any(isinstance(each, ast.Raise) for each in node.body):
        says = f"what is to be done if {named(node.test)} is never done"
        yield "missing term", says, ast.If(ast.Constant(False), node.body, node.orelse)


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
