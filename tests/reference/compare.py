"""What the tests share: random parameters, and the comparison of trees with a tolerance scaled to each tensor."""

import numpy as np

from tinyvit import trees
from tinyvit.models.vit import vit_init


def as_tree(x):
    """Tuples, which functions return, as lists, which trees are made of."""
    return [as_tree(item) for item in x] if isinstance(x, (tuple, list)) else x


def cast(tree, dtype):
    """The floating-point arrays of a tree in another dtype; everything else as it is."""
    return trees.map(lambda x: x.astype(dtype) if getattr(getattr(x, "dtype", None), "kind", "") == "f" else x, tree)


def randomised(tree, seed=0, noise=0.5):
    """The tree with noise on every leaf, in float64: no gamma is 1, no bias 0, no head 0."""
    rng = np.random.default_rng(seed)
    return trees.map(lambda leaf: noise * rng.standard_normal(leaf.shape) + np.asarray(leaf, np.float64), tree)


def random_vit(config, seed=0):
    """float64 parameters of a ViT, all of them random."""
    return randomised(vit_init(None, config), seed)


def errors(found, expected):
    """{name: worst |found - expected|, in units of the expected tensor's largest entry}, for trees, tuples or arrays.

    The gradient of a bias that changes nothing (a key bias, or one that LayerNorm takes away) is identically zero, and
    what is left is rounding: its unit is the largest entry of the matrix beside it.
    """
    found, expected = trees.named(as_tree(found)), trees.named(as_tree(expected))
    assert found.keys() == expected.keys()
    result = {}
    for name, y in expected.items():
        x, unit = found[name], np.max(abs(y), initial=0)
        assert np.shape(x) == np.shape(y), f"{name or 'result'} has shape {np.shape(x)}, expected {np.shape(y)}"
        if name.endswith("/b") and (matrix := name[:-1] + "w") in expected:
            beside = np.max(abs(expected[matrix]), initial=0)
            if name.endswith("k/b") or unit < 1e-12 * beside:
                unit = max(unit, beside)
        result[name] = float(np.max(abs(np.subtract(x, y, dtype=np.float64)), initial=0) / (unit or 1))
    return result


def assert_close(found, expected, tolerance=1e-12):
    """Every tensor agrees within the tolerance times its largest entry, and has the expected name and shape."""
    wrong = {name: error for name, error in errors(found, expected).items() if not error <= tolerance}
    assert not wrong, f"worst errors above {tolerance:.0e}: {wrong}"


def assert_same_bits(found, expected):
    """Every tensor is the expected one, bit for bit."""
    found, expected = trees.named(as_tree(found)), trees.named(as_tree(expected))
    assert found.keys() == expected.keys()
    for name, y in expected.items():
        assert np.array_equal(found[name], y), f"{name or 'result'} differs"
