"""tinyvit.trees: the order of leaves, their names, and one flat vector seen as a tree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvit import trees

TREE = {
    "patch": {"w": np.full((2, 3), 1.0), "b": np.full(3, 2.0)},
    "blocks": [{"g": np.full(2, 3.0)}, {}],
    "s": np.array(4.0),
}
NAMES = ["patch/w", "patch/b", "blocks/0/g", "s"]

shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
random_trees = st.recursive(
    shapes.map(lambda shape: np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)),
    lambda t: st.dictionaries(st.text("abxyz", min_size=1, max_size=2), t, max_size=3) | st.lists(t, max_size=3),
    max_leaves=8,
)


def test_walk_names_leaves_by_path_in_the_trees_own_order():
    assert [name for name, _ in trees.walk(TREE)] == NAMES
    assert [leaf.flat[0] for leaf in trees.leaves(TREE)] == [1, 2, 3, 4]
    assert list(trees.named(TREE)) == NAMES
    assert trees.named(TREE)["patch/b"] is TREE["patch"]["b"]


def test_a_single_leaf_is_a_tree_without_a_name():
    x = np.ones(2)
    assert list(trees.walk(x)) == [("", x)]
    assert trees.map(lambda leaf: leaf.size, x) == 2


def test_walk_like_another_tree_takes_its_order():
    backwards = {"s": TREE["s"], "blocks": TREE["blocks"], "patch": {"b": TREE["patch"]["b"], "w": TREE["patch"]["w"]}}
    assert [name for name, _ in trees.walk(backwards)] != NAMES
    assert [name for name, _ in trees.walk(backwards, like=TREE)] == NAMES
    assert all(a is b for a, b in zip(trees.leaves(backwards, like=TREE), trees.leaves(TREE), strict=True))


def test_walk_like_a_tree_with_other_keys_fails():
    with pytest.raises(KeyError, match="g"):
        trees.leaves({**TREE, "blocks": [{"other": 1}, {}]}, like=TREE)


def test_map_goes_over_several_trees_whatever_their_order():
    other = {key: TREE[key] for key in reversed(TREE)}
    doubled = trees.map(lambda a, b: a + b, TREE, other)
    assert list(trees.named(doubled)) == NAMES
    np.testing.assert_array_equal(doubled["blocks"][0]["g"], [6, 6])
    assert TREE["s"] == 4, "map makes a new tree"


@pytest.mark.parametrize("other", [{"a": [1]}, {"b": [1, 2]}], ids=["a shorter list", "another key"])
def test_map_refuses_trees_that_do_not_match(other):
    with pytest.raises((KeyError, ValueError)):
        trees.map(lambda a, b: a + b, {"a": [1, 2]}, other)


def test_from_names_is_the_inverse_of_named():
    shuffled = dict(sorted(trees.named(TREE).items()))
    rebuilt = trees.from_names(shuffled, like=TREE)
    assert list(trees.named(rebuilt)) == NAMES
    assert rebuilt["blocks"][0]["g"] is TREE["blocks"][0]["g"] and rebuilt["blocks"][1] == {}
    with pytest.raises(KeyError, match="patch/b"):
        trees.from_names({"patch/w": 1}, like=TREE)


def test_count_adds_the_sizes():
    assert trees.count(TREE) == 6 + 3 + 2 + 1
    assert trees.count({}) == 0


def test_views_share_the_vectors_memory(xp):
    vector = xp.arange(12.0)
    pieces = trees.views(vector, TREE)
    assert [leaf.shape for leaf in trees.leaves(pieces)] == [(2, 3), (3,), (2,), ()]
    assert [float(leaf.reshape(-1)[0]) for leaf in trees.leaves(pieces)] == [0, 6, 9, 11]
    pieces["patch"]["w"] *= 2
    vector[9] = 100
    assert float(vector[5]) == 10
    assert float(pieces["blocks"][0]["g"][0]) == 100


@given(random_trees)
def test_any_tree_survives_flattening(tree):
    flat = np.concatenate([np.zeros(0), *(leaf.ravel() for leaf in trees.leaves(tree))])
    assert flat.size == trees.count(tree)
    for rebuilt in (trees.views(flat, tree), trees.from_names(trees.named(tree), tree), trees.map(np.copy, tree)):
        assert list(trees.named(rebuilt)) == list(trees.named(tree))
        for (_, a), (_, b) in zip(trees.walk(rebuilt), trees.walk(tree), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
