"""Trees: nested dictionaries and lists whose leaves are arrays.

Parameters `p`, caches `c` and gradients `g` are such trees, and share their keys. A leaf is named by its path, as in a
file system: `blocks/0/msa/q/w`.
"""

from collections.abc import Mapping

from tinyvit.annotations import Array, Tree


def walk(tree, like=None, prefix=""):
    """Yield (name, leaf) for every leaf, in the order of `like` (default: the tree's own order).

    Two trees with the same keys may hold them in different orders: a backward pass fills its gradients from the last
    layer to the first. Walking both `like` the parameters brings the leaves into one order.
    """
    like = tree if like is None else like
    keys = like if isinstance(like, Mapping) else range(len(like)) if isinstance(like, list) else None
    if keys is None:
        yield prefix, tree
        return
    for key in keys:
        yield from walk(tree[key], like[key], f"{prefix}/{key}" if prefix else str(key))


def leaves(tree, like=None):
    """The leaves of a tree, as a list."""
    return [leaf for _, leaf in walk(tree, like)]


def named(tree):
    """The leaves of a tree by name: {"blocks/0/msa/q/w": array, ...}."""
    return dict(walk(tree))


def map(f, tree, *others):
    """A tree of the same shape whose leaves are f(leaf, ...), over one or more trees that share their keys."""
    if isinstance(tree, Mapping):
        return {key: map(f, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, list):
        return [map(f, *branches) for branches in zip(tree, *others, strict=True)]
    return f(tree, *others)


def from_names(arrays, like):
    """The tree of the shape of `like` whose leaves are looked up by name in the dictionary `arrays`."""
    names = iter(named(like))
    return map(lambda _: arrays[next(names)], like)


def count(tree: Tree | Array) -> int:
    """The number of entries in all leaves: for parameters, the size of the model."""
    return sum(leaf.size for leaf in leaves(tree))


def views(vector, like):
    """The tree of the shape of `like` whose leaves are consecutive pieces of one flat vector: views, not copies.

    So a whole model's parameters, gradients or moments are one vector for the optimiser and one tree for the layers, in
    the same memory. The way back is `arrays.flat`.
    """
    start = 0

    def piece(leaf):
        nonlocal start
        start += leaf.size
        return vector[start - leaf.size : start].reshape(leaf.shape)

    return map(piece, like)
