"""The contract of every op, layer and model, checked for every case of tinyvit.checks on every array module at hand.

A new pair of functions needs a case there and nothing here; without a case, the test of completeness fails.
"""

import importlib
import inspect
import pkgutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import tinyvit.layers
import tinyvit.models
import tinyvit.ops
from tests import strict
from tinyvit import trees
from tinyvit.arrays import to_host, xp_of
from tinyvit.checks import cases
from tinyvit.gradcheck import gradcheck
from tinyvit.ops import gelu, heads

CASES = cases()
every_case = pytest.mark.parametrize("name", CASES)
SMOKE = ("linear", "layer_norm", "attention", "multi_head_attention", "encoder_block", "vit/class row")


def on_floats(f, value):
    """f of every floating-point array in an argument; what else it holds stays as it is."""
    return trees.map(lambda leaf: f(leaf) if getattr(getattr(leaf, "dtype", None), "kind", "") == "f" else leaf, value)


def frozen(tree):
    """The tree itself, its NumPy arrays protected: whoever writes to one gets a ValueError."""
    for leaf in trees.leaves(tree):
        if isinstance(leaf, np.ndarray):
            leaf.flags.writeable = False
    return tree


def bits(tree):
    """Copies of all leaves, on the host."""
    return {name: np.array(to_host(leaf)) for name, leaf in trees.walk(tree)}


def assert_same_bits(found, expected):
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name, strict=True)


@dataclass
class Run:
    """One forward and backward pass of a case, with all that went in and came out, by the names of the contract."""

    case: object
    inputs: list
    keywords: dict
    y: object
    dy: object
    c: dict

    @property
    def arguments(self):
        masks = {key: value for key, value in self.keywords.items() if hasattr(value, "dtype") or type(value) is dict}
        return {"inputs": self.inputs, "masks": masks, "dy": self.dy, "c": self.c}

    def backward(self):
        """The gradients, a list, as gradcheck expects them: of the inputs, then of the parameter trees."""
        found = self.case.backward(self.dy, *[x for x in self.inputs if isinstance(x, dict | list)], self.c)
        return list(found) if isinstance(found, tuple) else [found]

    def results(self):
        return {"y": self.y, "c": self.c, "gradients": self.backward()}

    def differentiable(self):
        """The inputs that the gradients belong to, in the same order."""
        arrays = [x for x in self.inputs if getattr(getattr(x, "dtype", None), "kind", "") == "f"]
        return arrays + [x for x in self.inputs if isinstance(x, dict | list)]


def run(case, xp=np, change=lambda x: x):
    """Run a case's forward pass on an array module, with every floating-point argument, and dy, changed first.

    NumPy arrays are protected from writing: arguments before the forward pass, upstream gradient and cache after it.
    """
    inputs, keywords = (on_floats(lambda x: change(xp.asarray(x)), x) for x in (list(case.inputs), case.keywords))
    frozen([inputs, keywords])
    y, c = case.forward(*inputs, **keywords)
    upstream = np.random.default_rng(2).standard_normal(y.shape)
    dy = change(xp.asarray(upstream))
    return Run(case, inputs, keywords, y, frozen(dy), frozen(c))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.smoke if name in SMOKE else ()) for name in CASES]
)
def test_gradients_are_right(name):
    report = CASES[name].check()
    assert report.ok and report.worst_error < 1e-7, f"\n{report}"
    assert report.entries == sum(map(trees.count, run(CASES[name]).differentiable()))


@pytest.mark.parametrize("name", ["softmax", "attention/bias", "cross_entropy/smoothing", "class_token", "linear"])
def test_gradients_are_right_on_the_device(name, xp):
    case = CASES[name]
    report = gradcheck(case.forward, case.backward, *(on_floats(xp.asarray, x) for x in case.inputs), **case.keywords)
    assert report.ok, f"\n{report}"


@every_case
def test_every_array_module_computes_the_same(name, xp):
    expected, found = run(CASES[name]).results(), run(CASES[name], xp).results()
    for leaf_name, leaf in trees.walk(found):
        assert xp_of(leaf) is xp and hasattr(leaf, "dtype"), f"{leaf_name} is a {type(leaf)}"
    if xp.__name__ != "cupy":
        assert_same_bits(bits(found), bits(expected))
    for leaf_name, leaf in trees.walk(expected):
        np.testing.assert_allclose(bits(found)[leaf_name], leaf, rtol=1e-10, atol=1e-10, err_msg=leaf_name)


@every_case
def test_nothing_waits_for_the_device(name):
    strict.SYNCHRONISATIONS.clear()
    run(CASES[name], strict.module).backward()
    assert not strict.SYNCHRONISATIONS


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy/smoothing"])
def test_labels_may_live_on_the_device(name):
    case = CASES[name]
    y, _ = case.forward(*map(strict.asarray, case.inputs), **case.keywords)
    assert_same_bits(bits(y), bits(run(case).y))


@every_case
def test_every_gradient_has_the_form_of_what_it_belongs_to(name, xp):
    r = run(CASES[name], xp)
    gradients = r.backward()
    for gradient, x in zip(gradients, r.differentiable(), strict=True):
        found, wanted = trees.named(gradient), trees.named(x)
        assert set(found) == set(wanted)
        for leaf_name, leaf in wanted.items():
            assert (found[leaf_name].shape, found[leaf_name].dtype) == (leaf.shape, leaf.dtype), leaf_name


@every_case
def test_no_argument_is_changed_and_the_cache_can_be_used_again(name, xp):
    before = bits([on_floats(xp.asarray, list(CASES[name].inputs))])
    r = run(CASES[name], xp)
    assert_same_bits(bits([r.inputs]), before)
    arguments = bits(r.arguments)
    first = bits(r.backward())
    assert_same_bits(bits(r.arguments), arguments)
    assert_same_bits(bits(r.backward()), first)


@every_case
def test_the_cache_holds_named_arrays_and_nothing_else(name, xp):
    def look(tree, path):
        assert type(tree) in (dict, list, xp.ndarray), f"{path} is a {type(tree)}"
        if type(tree) is dict:
            assert all(type(key) is str for key in tree), f"{path} has keys {list(tree)}"
        for key in tree if type(tree) is dict else range(len(tree)) if type(tree) is list else ():
            look(tree[key], f"{path}/{key}")

    c = run(CASES[name], xp).c
    assert type(c) is dict or type(CASES[name].inputs[-1]) is list  # a stack's may be a list, as its parameters are
    look(c, "c")


def single(x):
    return x.astype(np.float32)


def strided(x):
    """The same numbers, with the axes in another order in memory: what .T or swapaxes hand on."""
    return x.T.copy().T if x.ndim != 1 else x.repeat(2)[::2]


@every_case
@pytest.mark.parametrize("layout", [lambda x: x, strided], ids=["contiguous", "strided"])
def test_float32_stays_float32_and_agrees_with_float64(name, xp, layout):
    exact = bits(run(CASES[name]).results())
    found = trees.named(run(CASES[name], xp, lambda x: layout(single(x))).results())
    assert list(found) == list(exact)
    largest = max(abs(x).max() for leaf_name, x in exact.items() if leaf_name.startswith("gradients"))
    for leaf_name, x in exact.items():
        y = to_host(found[leaf_name])
        if x.dtype.kind != "f":  # places and other whole numbers
            np.testing.assert_array_equal(y, x, err_msg=leaf_name, strict=True)
            continue
        assert y.dtype == np.float32, leaf_name
        hidden = np.isneginf(x)  # in the bias of attention: keys that are not looked at
        assert (np.isneginf(y) == hidden).all(), leaf_name
        size = abs(x[~hidden]).max()
        if size < 1e-12 * largest:
            size = largest  # identically zero, as the key bias's gradient is: what is left is rounding
        elif leaf_name.startswith("gradients"):  # a small one is a difference of larger numbers, which were rounded
            size = max(size, 0.01 * largest)
        assert abs(y[~hidden] - x[~hidden]).max() <= 1e-5 * size, leaf_name


@every_case
def test_the_layout_in_memory_does_not_matter(name, xp):
    expected = bits(run(CASES[name]).results())
    found = bits(run(CASES[name], xp, strided).results())
    for leaf_name, x in expected.items():
        np.testing.assert_allclose(found[leaf_name], x, rtol=1e-12, atol=1e-12, err_msg=leaf_name)


def test_threads_may_share_parameters():
    case = CASES["vit"]
    images = [np.random.default_rng(i).standard_normal(case.inputs[0].shape) for i in range(8)]

    def gradients(x):
        y, c = case.forward(x, *case.inputs[1:], **case.keywords)
        return bits(list(case.backward(np.ones_like(y), *case.inputs[1:], c)))

    expected = [gradients(x) for x in images]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            for found, wanted in zip(threads.map(gradients, images), expected, strict=True):
                assert_same_bits(found, wanted)


def public_functions(package):
    """Every public function that a package's modules define, by module and name."""
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield module, name, function


def pairs(*packages):
    """Every X and X_backward, found by name."""
    for package in packages:
        for module, name, backward in public_functions(package):
            if name.endswith("_backward"):
                yield getattr(module, name.removesuffix("_backward"), None)
                yield backward


def executed(f):
    """The code objects that run while f runs."""
    codes = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: codes.add(frame.f_code))
    try:
        f()
    finally:
        sys.setprofile(before)
    return codes


def test_every_pair_of_functions_has_a_case():
    found = [*pairs(tinyvit.ops, tinyvit.layers, tinyvit.models), heads.split_heads, heads.merge_heads, gelu.gelu_tanh]
    assert len(found) > 40 and None not in found, "a backward pass without its forward pass"
    codes = executed(lambda: [run(case).backward() for case in CASES.values()])
    missing = [f"{f.__module__}.{f.__name__}" for f in found if f.__code__ not in codes]
    assert not missing, f"in no case of tinyvit.checks: {', '.join(missing)}"
