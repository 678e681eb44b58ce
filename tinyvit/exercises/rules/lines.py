"""Slips in whole lines: two steps in the other order, a line that reads what is made further down, or overwrites."""

import ast
import copy
import itertools

from tinyvit.exercises.rules import Change
from tinyvit.exercises.rules.names import SIZES, arrays_of, in_place
from tinyvit.exercises.rules.syntax import LONGEST, text_of


def lines_exchanged(tree):
    """(kind, words, changes) for two neighbouring lines, of which the second goes on with what the first has made."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one, other in itertools.pairwise(body) if isinstance(body, list) else ():
            if (
                isinstance(one, ast.Assign)
                and isinstance(other, ast.Assign)
                and _made(one) & _made(other) & _read(other)
            ):
                says = f"{_step(other)} comes before {_step(one)}: it is to come after it"
                both = (_moved(one, [other, one]), _moved(other, [ast.Pass()]))
                yield "order", says, tuple(Change(*each, "order", says, ("order", says)) for each in both)


def repeated(tree):
    """(kind, words, changes) for a line x = f(x) that is there twice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _made(node) & _read(node):
            says = f"{_step(node)} is applied twice"
            yield "scale", says, (Change(*_moved(node, [node, node]), "scale", says, ("scale", says)),)


def overwritten(tree):
    """(kind, words, changes) for a = f(b) that is made of b itself, where b is needed again further down."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            argument, targets = node.value.args[0], _targets(node)
            if targets and isinstance(argument, ast.Name) and argument.id not in _made(node):
                says = (
                    f"`{argument.id}` is overwritten by what {_step(node)} gives: further down it is needed as it was"
                )
                again = ast.parse(f"{argument.id} = {targets[0].id}").body[0]
                yield "order", says, (Change(*_moved(node, [node, again]), "order", says, ("order", says)),)


def made_later(tree, parents):
    """(kind, words, changes) for another array in the place of this one, where the other is made further down."""
    lines = tree.body[0].body
    makes = {text_of(target): i for i, line in enumerate(lines) for target in _targets(line)}
    names = set(arrays_of(tree))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Name | ast.Subscript) and isinstance(node.ctx, ast.Load)):
            continue
        if text_of(node) not in names or (isinstance(parents[node], ast.Attribute) and parents[node].attr in SIZES):
            continue
        here = _line(node, parents, lines)
        if here is None or not isinstance(lines[here], ast.Assign):
            continue
        for other, place in makes.items():
            if place > here and other in names and other != text_of(node):
                says = f"{in_place(other, text_of(node))} in `{text_of(lines[here])}`"
                changed = _with(lines[here], node, other)
                both = (_moved(lines[place], [lines[place], changed]), _moved(lines[here], [ast.Pass()]))
                if len(says) <= 2 * LONGEST:
                    yield "operand", says, tuple(Change(*each, "operand", says, ("operand", says)) for each in both)


def read_as_before(tree, parents):
    """(kind, words, changes) for an array that a line makes anew, of which one line further down reads the old form."""
    lines = tree.body[0].body
    made = {argument.arg for argument in tree.body[0].args.args}
    for place, line in enumerate(lines):
        for name in sorted(_made(line) & made):
            named = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
            reads = [node for node in named if isinstance(node.ctx, ast.Load)]
            reads = [node for node in reads if (_line(node, parents, lines) or 0) > place]
            for node in reads if len(reads) > 1 else ():  # or what the line adds is missing
                here = lines[_line(node, parents, lines)]
                says, old = f"`{name}` is read as it was before {_step(line)}, in `{text_of(here)}`", f"{name}_before"
                kept = ast.parse(f"{old} = {name}").body[0]
                both = _moved(line, [kept, line]), _moved(here, [_with(here, node, old)])
                if len(says) <= 2 * LONGEST:
                    yield "operand", says, tuple(Change(*each, "operand", says, ("operand", says)) for each in both)
        made |= _made(line)


def _moved(line, lines):
    """(line, what stands in its place)"""
    copies = [ast.parse(text_of(each)).body[0] for each in lines]
    return line, copies[0] if len(copies) == 1 else ast.If(ast.Constant(True), copies, [])


def _with(line, node, other):
    """The line with another array in the place of this node, which is read in it."""

    where = next(i for i, each in enumerate(ast.walk(line)) if each is node)
    line = copy.deepcopy(line)
    old = next(itertools.islice(ast.walk(line), where, None))

    class Replace(ast.NodeTransformer):
        def visit(self, each):
            return ast.parse(other, mode="eval").body if each is old else self.generic_visit(each)

    return Replace().visit(line)


def _line(node, parents, lines):
    """The number of the line, of these, in which a node stands."""
    while node in parents and not any(node is line for line in lines):
        node = parents[node]
    return next((i for i, line in enumerate(lines) if line is node), None)


def _targets(line):
    found = [each for target in getattr(line, "targets", []) for each in getattr(target, "elts", [target])]
    return [each for each in found if isinstance(each, ast.Name)]


def _made(line):
    return {each.id for each in _targets(line)}


def _read(line):
    return {node.id for node in ast.walk(line.value) if isinstance(node, ast.Name)}


def _step(line):
    """How a line is called in a sentence: by its function, or as it stands."""
    name = text_of(line.value.func) if isinstance(line.value, ast.Call) else text_of(line)
    return f"`{name}`" if len(name) <= LONGEST else "the line"
