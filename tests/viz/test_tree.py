"""A tree that opens: its HTML has every branch and array, and nothing that an untrusted notebook takes away."""

from html.parser import HTMLParser

import numpy as np
import pytest

import tinyvit
from tinyvit import trees
from tinyvit.viz import TreeView

TREE = {"patch": {"w": np.ones((2, 3), np.float32)}, "blocks": [{"g": np.zeros(4)}, {"g": np.ones(4)}], "dropout": {}}


class Page(HTMLParser):
    """The tree that an HTML list says, a dictionary of dictionaries and descriptions, and which branches are open."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.stack, self.words = set(), [], [{}], None
        self.feed(html)
        self.close()
        (self.tree,) = self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "li":
            self.words = []
        if tag == "details":
            self.is_open = "open" in dict(attributes)
        if tag == "ul" and self.words:  # the parts of what was just described
            name, _ = self.words
            self.open += [name] * self.is_open
            self.stack[-1][name] = inner = {}
            self.stack.append(inner)
            self.words = None

    def handle_data(self, data):
        self.words.append(data.strip())

    def handle_endtag(self, tag):
        if tag == "li" and self.words:
            name, described = self.words
            self.stack[-1][name] = described
            self.words = None
        if tag == "ul" and len(self.stack) > 1:
            self.stack.pop()


def test_the_html_has_every_branch_and_array_in_its_place():
    page = Page(TreeView(p=TREE, x=np.ones(5, int))._repr_html_())
    blocks = {"0": {"g": "[4] float64"}, "1": {"g": "[4] float64"}}
    assert page.tree == {
        "p": {"patch": {"w": "[2, 3] float32"}, "blocks": blocks, "dropout": "empty"},
        "x": "[5] int64",
    }
    assert page.open == ["p"]


def test_an_untrusted_notebook_keeps_all_its_tags():
    """What JupyterLab's sanitiser and GitHub let through."""
    assert Page(TreeView(p=TREE)._repr_html_()).tags == {"ul", "li", "details", "summary", "b"}


def test_names_are_no_markup():
    html = TreeView(c={"<script>": np.ones(1)})._repr_html_()
    assert "<script>" not in html and Page(html).tree == {"c": {"<script>": "[1] float64"}}


def test_printed_it_is_lines_and_a_list_says_what_is_alike():
    assert repr(TreeView(p=TREE)).splitlines() == [
        "p  3 arrays, 14 numbers",
        "  patch  1 array, 6 numbers",
        "    w  [2, 3] float32",
        "  blocks  2 arrays, 8 numbers",
        "    0  1 array, 4 numbers",
        "      g  [4] float64",
        "    1  as 0",
        "  dropout  empty",
    ]


@pytest.mark.parametrize("last", [np.ones(5), np.ones(4, np.float32), {"g": np.ones(4)}], ids=str)
def test_items_with_other_arrays_are_written_out(last):
    text = repr(TreeView(p=[np.ones(4), np.ones(4), last]))
    assert "1  as 0" in text and "2  as" not in text


def test_a_models_trees_are_small():
    """The trees of a notebook's model, which a notebook of less than 1 MB holds several times."""
    config = tinyvit.PRESETS["digits"]
    p = tinyvit.vit_init(np.random.default_rng(0), config)
    _, c = tinyvit.vit(np.zeros((2, 8, 8, 1), np.float32), p, config)
    view = TreeView(p=p, c=c)
    assert len(view._repr_html_()) < 20_000
    assert str(view).count("float32") < len(trees.leaves(p)) + len(trees.leaves(c))
