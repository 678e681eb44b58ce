"""Nodes of a syntax tree: their text, how a sentence quotes them, expressions made of them."""

import ast
import functools

LONGEST = 70  # characters of code in a sentence

text_of = functools.cache(ast.unparse)  # of a node of a tree that is not being changed


def named(node):
    text = text_of(node)
    return f"`{text}`" if len(text) <= LONGEST else "the rest"


def filled(form, *arguments):
    """The expression, with these nodes in the place of _0, _1."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node):
            if node.id in ("_0", "_1"):
                return ast.parse(text_of(arguments[int(node.id[1])]), mode="eval").body
            return node

    return Fill().visit(ast.parse(form, mode="eval").body)


def whole_number(node):
    """The whole number that a node is, or None."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    return value if type(value) is int else None
