"""The rules by which slips are made: what is easily written in the place of one node of a function's syntax tree.

Each rule is given a node, the parents of all nodes, and the tree, and yields (kind of mistake, words, other node).
"""

import ast
from typing import NamedTuple

from tinyvit.exercises.rules import arithmetic, calls, names
from tinyvit.exercises.rules.syntax import LONGEST, text_of

RULES = {
    ast.BinOp: (arithmetic.operation,),
    ast.UnaryOp: (arithmetic.negative,),
    ast.Call: (calls.call,),
    ast.Subscript: (names.subscript, names.operand),
    ast.Slice: (names.slice_of_axis,),
    ast.Compare: (arithmetic.comparison,),
    ast.If: (names.branch,),
    ast.Constant: (arithmetic.constant,),
    ast.Tuple: (names.series,),
    ast.List: (names.series,),
    ast.Name: (names.operand, names.option),
    ast.Expr: (calls.scatter,),
}


class Change(NamedTuple):
    """`old`, a node of a tree, becomes `new`. Changes with the same `name` may be made at all their places at once."""

    old: ast.AST
    new: ast.AST
    kind: str
    says: str
    name: tuple


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
