"""Trees of arrays as a notebook shows them: every branch opens at a click."""

from collections.abc import Mapping
from html import escape

from tinyvit import trees

LIST = "list-style: none; margin: 0"


class TreeView:
    """Trees under their names, each array with its shape and dtype; a notebook shows it as what a cell returns.

    Branches are HTML's own <details>, which need no script: they open in an untrusted notebook too, where all that
    scripts draw stays blank. Printed, a tree is lines of text; there, of the items of a list that are alike, only the
    first is written out.

    Parameters
    ----------
    named : trees of arrays
        By the names that they are shown under: TreeView(p=p, c=c, g=g).
    """

    def __init__(self, **named):
        self.named = named

    def _repr_html_(self):
        items = "".join(_item(name, tree, is_open=True) for name, tree in self.named.items())
        return f'<ul style="{LIST}; padding-left: 0; font-family: monospace">{items}</ul>'

    def __repr__(self):
        return "\n".join(line for name, tree in self.named.items() for line in _lines(name, tree))


def _parts(tree):
    """The keys and parts of a branch; of a leaf, None."""
    return tree.items() if isinstance(tree, Mapping) else [*enumerate(tree)] if isinstance(tree, list) else None


def _described(tree):
    """A leaf's shape and dtype; of a branch, how many arrays and numbers it has."""
    if _parts(tree) is None:
        return f"{list(tree.shape)} {tree.dtype}"
    arrays, numbers = len(trees.leaves(tree)), trees.count(tree)
    return f"{arrays} array{'s' * (arrays != 1)}, {numbers:,} number{'s' * (numbers != 1)}" if arrays else "empty"


def _item(name, tree, is_open=False):
    """One item of an HTML list; of a branch, closed unless `is_open`, with all below it."""
    line = f"<b>{escape(str(name))}</b> {_described(tree)}"
    if not _parts(tree):  # an array, or nothing to open
        return f"<li>{line}</li>"
    items = "".join(_item(key, part) for key, part in _parts(tree))
    return f'<li><details{" open" * is_open}><summary>{line}</summary><ul style="{LIST}">{items}</ul></details></li>'


def _lines(name, tree, indent=""):
    """The lines of a tree: its name and what it is, and its parts, indented."""
    yield f"{indent}{name}  {_described(tree)}"
    first, kinds_of_first = None, None  # of items that are alike
    for key, part in _parts(tree) or ():
        kinds = trees.map(_described, part)
        if isinstance(tree, list) and kinds == kinds_of_first:
            yield f"{indent}  {key}  as {first}"
        else:
            first, kinds_of_first = key, kinds
            yield from _lines(key, part, f"{indent}  ")
