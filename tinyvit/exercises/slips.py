"""Slips that can be made in any function: each is one small change of the package's own source, made by rule.

mistakes.txt names the mistakes that are typical of a function, in its own words. There are many more, and most are of
a few kinds: a term or a factor that is forgotten or there twice, a sign, an axis, a transposition, another array, an
index that is off by one. Here every place of a function's syntax tree is changed in each of these ways (rules).

The functions are written to be fast. Before they are changed, they are written as a learner writes them: a call of
row_sums is a sum over the last axis, and x *= y is x = x * y. Of those that differ in more, textbook.py has the form.
"""

import ast
import functools
import inspect
import itertools
from typing import NamedTuple

from tinyvit.exercises import textbook
from tinyvit.exercises.rules import changes_of
from tinyvit.exercises.rules.lines import lines_exchanged, made_later, overwritten, read_as_before, repeated
from tinyvit.exercises.rules.names import arrays_of, in_place
from tinyvit.exercises.rules.syntax import filled, text_of
from tinyvit.exercises.source import source

PLAIN = {  # what the fast functions compute, of their arguments 0 and 1
    "row_sums": "_0.sum(axis=-1, keepdims=True)",
    "row_max": "_0.max(axis=-1, keepdims=True)",
    "row_dots": "(_0 * _1).sum(axis=-1, keepdims=True)",
    "column_sums": "_0.reshape(-1, _0.shape[-1]).sum(axis=0)",
    "place_sums": "_0.sum(axis=(1, 2))",
    "place_dots": "(_0 * _1).sum(axis=(1, 2))",
    "np.multiply": "_0 * _1",
}
DEPTH = 2  # a slip may be in what is called by what is called


class Slip(NamedTuple):
    """A mistake in a function: its kind, how to say so, and the changes that make it."""

    function: object
    kind: str
    says: str
    changes: tuple


@functools.cache
def slips(function):
    """All slips in a function, each in one place, and then those that are easily made in every place at once."""
    tree, parents = _syntax(function)
    changes = [change for node in ast.walk(tree) for change in changes_of(node, parents, tree)]
    found = [Slip(function, change.kind, change.says, (change,)) for change in changes]
    named = _by_name(changes)
    for same in named.values():
        if len(same) > 1:
            says = f"{same[0].says}, and likewise elsewhere"
            found.append(Slip(function, same[0].kind, says, tuple(same)))
    for one, other in itertools.combinations(arrays_of(tree), 2):
        each_way = [named.get(("operand", in_place(*pair)), ()) for pair in ((one, other), (other, one))]
        if all(each_way):
            says = f"`{one}` and `{other}` are exchanged, each in the place of the other"
            found.append(Slip(function, "operand", says, (*each_way[0], *each_way[1])))
    of_lines = (*lines_exchanged(tree), *repeated(tree), *overwritten(tree))
    of_lines += (*made_later(tree, parents), *read_as_before(tree, parents))
    found += [Slip(function, *each) for each in of_lines]
    return tuple(sorted(found, key=lambda slip: slip.kind == "operand"))  # the likely ones first


@functools.cache
def _syntax(function):
    """A function's tree, as a learner writes it, and the parent of each node."""
    tree = _plain(ast.parse(source(textbook.FUNCTIONS.get(function.__name__, function))))
    return tree, {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


@functools.cache
def code_of(slip):
    """The code of the function with this slip in it; None if it is no program."""
    tree, parents = _syntax(slip.function)
    done = []
    try:
        for change in slip.changes:
            done.append((change.new, change.old, _put(parents[change.old], change.old, change.new)))
            ast.fix_missing_locations(change.new)
        names = dict(slip.function.__globals__)
        exec(compile(tree, f"{tree.body[0].name}, with a slip", "exec"), names)
        return names[tree.body[0].name].__code__
    except (SyntaxError, ValueError, TypeError):  # no program
        return None
    finally:
        for new, old, undo in reversed(done):
            undo(new, old)


def all_slips(function):
    """The slips in a function and in what it calls: of other files' functions not those that name another array."""
    function = inspect.unwrap(function)
    for part in reachable(function, DEPTH):
        ours = part.__module__ == function.__module__
        yield from (slip for slip in slips(part) if ours or slip.kind != "operand")


def reachable(function, depth):
    """The package's ops and layers that a function calls, itself first, then what these call, up to some depth."""
    found, level = [], [inspect.unwrap(function)]
    for _ in range(depth + 1):
        level = [part for part in dict.fromkeys(level) if part not in found]
        found += level
        level = [part for each in level for part in _called(each)]
    return found


def _called(function):
    codes = [function.__code__]
    codes += [code for code in function.__code__.co_consts if inspect.iscode(code)]
    values = [function.__globals__.get(name) for code in codes for name in code.co_names]
    parts = [part for value in values for part in (value.values() if isinstance(value, dict) else [value])]
    parts = [part for each in parts for part in (each if isinstance(each, tuple) else [each])]
    parts = [inspect.unwrap(part) for part in parts if callable(part)]
    ours = ("tinyvit.ops.", "tinyvit.layers.")
    return [
        each
        for each in parts
        if inspect.isfunction(each) and each.__module__.startswith(ours) and _is_mathematics(each)
    ]


def _is_mathematics(function):
    """Whether it is part of what is to be written, not a faster way to do so, or a check of arguments."""
    return function.__name__ != "<lambda>" and function.__module__ not in (
        "tinyvit.ops.sums",
        "tinyvit.ops.erf",
        "tinyvit.ops.labels",
        "tinyvit.ops.tokens",
    )


def _plain(tree):
    """The tree as a learner writes it."""

    class Plain(ast.NodeTransformer):
        def visit_Call(self, node):
            self.generic_visit(node)
            form = PLAIN.get(text_of(node.func))
            if not form:
                return node
            return filled(form, *node.args)

        def visit_BinOp(self, node):  # sum(...) * (1 / D)
            self.generic_visit(node)
            if text_of(node.right).startswith("1 / ") and _is_sum(node.left) and isinstance(node.op, ast.Mult):
                node.left.func.attr = "mean"
                return node.left
            return node

        def visit_AugAssign(self, node):
            self.generic_visit(node)
            read = ast.parse(text_of(node.target), mode="eval").body
            return ast.Assign([node.target], ast.BinOp(read, node.op, node.value))

        def visit_Expr(self, node):  # np.exp(y, out=y)
            self.generic_visit(node)
            out = next((word for word in getattr(node.value, "keywords", []) if word.arg == "out"), None)
            if not out:
                return node
            target = ast.parse(f"{text_of(out.value)} = 0").body[0].targets
            return ast.Assign(target, ast.Call(node.value.func, node.value.args, []))

    tree.body[0].returns = None
    return ast.fix_missing_locations(Plain().visit(tree))


def _is_sum(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sum"


def _put(parent, old, new):
    """Replace a child; returns what puts it back."""
    for field, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, field, new)
            return lambda new, old: setattr(parent, field, old)
        if isinstance(value, list) and any(each is old for each in value):
            index = next(i for i, each in enumerate(value) if each is old)
            value[index] = new
            return lambda new, old: value.__setitem__(index, old)
    raise ValueError("no child of this node")


def _by_name(changes):
    found = {}
    for change in changes:
        found.setdefault(change.name, []).append(change)
    return found
