"""One's own pair is right if its gradients are the derivative; else the first wrong one on the way back is told."""

import numpy as np
import pytest

from tinyvit import exercises
from tinyvit.errors import UsageError
from tinyvit.ops.attention import attention

rng = np.random.default_rng(0)
x, w = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5))
q, k, v = (rng.standard_normal((2, 3, 4)) for _ in range(3))


def silu(x):
    s = 1 / (1 + np.exp(-x))
    return x * s, {"x": x, "s": s}


def silu_backward(dy, c):
    return dy * c["s"] * (1 + c["x"] * (1 - c["s"]))


def two_layers(x, p):
    h = x @ p["one"]["w"]
    return (h + p["one"]["b"]) @ p["two"], {"x": x, "h": h}


def two_layers_backward(dy, p, c, two=1.0, bias=1.0):
    dh = dy @ p["two"].T
    rows = c["h"] + p["one"]["b"]
    g = {"one": {"w": np.einsum("bti,bto->io", c["x"], dh), "b": bias * dh.sum((0, 1))}}
    g["two"] = two * np.einsum("bti,bto->io", rows, dy)
    return dh @ p["one"]["w"].T, g


P = {"one": {"w": w, "b": w[0]}, "two": rng.standard_normal((5, 3))}


def attention_backward(dy, c, axis=-1, first=1.0):
    q, k, v, a = (c[name] for name in "qkva")
    da = dy @ v.swapaxes(-1, -2)
    ds = a * (da - (da * a).sum(axis=axis, keepdims=True))
    return ds @ k, ds.swapaxes(-1, -2) @ q, first * a.swapaxes(-1, -2) @ dy


def test_a_right_pair():
    verdict = exercises.grade(silu, silu_backward, x)
    assert verdict and repr(verdict) == "silu_backward: right. By x: 24 entries agree with what is measured."
    verdict = exercises.grade(two_layers, two_layers_backward, x, P)
    assert verdict.says == "By x, p/one/w, p/one/b, p/two: 64 entries agree with what is measured."


def test_a_pair_with_keywords_and_inputs_without_a_gradient():
    def lookup(table, ids, scale=1.0):
        return scale * table[ids], {"ids": ids, "shape": table.shape, "scale": scale}

    def lookup_backward(dy, c):
        dtable = np.zeros(c["shape"])
        np.add.at(dtable, c["ids"], c["scale"] * dy)
        return dtable

    assert exercises.grade(lookup, lookup_backward, w, np.array([1, 1, 0]), scale=3.0)


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        (lambda dy, c: None, "unwritten", "returns None: write the body"),
        (lambda dy, c: -silu_backward(dy, c), "sign", "x is -1 times what is measured, in every entry; at ["),
        (lambda dy, c: silu_backward(dy, c) / 2, "scale", "is 0.5 times"),
        (lambda dy, c: dy * c["s"], "value", "is wrong: of its ratios to what is measured, the least is"),
        (lambda dy, c: dy * np.nan, "overflow", "infinite or no number"),
        (lambda dy, c: dy.sum(axis=0), "form", "x: gradient is float64 [3, 4], expected float64 [2, 3, 4]"),
        (lambda dy, c: (dy, dy), "form", "The backward pass returned 2 gradients, expected 1: of x."),
        (lambda dy, c: dy.__imul__(c["s"]), "argument", "changed its arguments"),
        (lambda dy, c: dy @ c["t"], "error", "KeyError: 't', in the line: "),
        (lambda dy, c: c["x"].T @ dy, "error", "flatten the leading axes first"),
        (lambda dy: dy, "error", "it is called with 2 arguments"),
    ],
)
def test_a_wrong_pair(wrong, kind, words):
    verdict = exercises.grade(silu, wrong, x)
    assert not verdict and (verdict.kind, words in verdict.says) == (kind, True), verdict
    assert "\n" not in repr(verdict)  # no hint: it is no exercise of the package's


def test_the_forward_pass_may_be_wrong_in_form():
    assert exercises.grade(lambda x: None, silu_backward, x).kind == "unwritten"
    verdict = exercises.grade(lambda x: silu(x)[0], silu_backward, x)
    assert verdict.kind == "form" and "return y, c" in verdict.says


def test_the_earliest_wrong_gradient_is_told():
    said = exercises.grade(attention, lambda dy, c: attention_backward(dy, c, axis=-2), q, k, v)
    assert "the gradient of k is wrong" in said.says and "earliest on the way back; q may follow" in said.says
    assert said.says.endswith("Right already: v.")
    said = exercises.grade(attention, lambda dy, c: attention_backward(dy, c, -2, 2.0), q, k, v)
    assert "the gradient of v is 2 times" in said.says and "k, q may follow" in said.says
    said = exercises.grade(two_layers, lambda dy, p, c: two_layers_backward(dy, p, c, two=3, bias=-1), x, P)
    assert "the gradient of p/two is 3 times" in said.says and "p/one/b may follow" in said.says
    assert said.says.endswith("Right already: x, p/one/w.")


def test_of_a_large_array_one_entry_is_told():
    large = rng.standard_normal((60, 50))
    verdict = exercises.grade(silu, lambda dy, c: dy * c["s"], large)
    assert verdict.kind == "value" and "measured" in verdict.says and "least" not in verdict.says


def test_a_wrong_gradient_is_drawn_beside_the_measured_one():
    name, found, expected = exercises.grade(silu, lambda dy, c: dy * c["s"], x).compared
    assert name == "x" and found.shape == expected.shape == x.shape and abs(found - expected).max() > 0.1
    r = np.random.default_rng(0).standard_normal(x.shape)
    np.testing.assert_allclose(expected, silu_backward(r, silu(x)[1]), atol=1e-8)
    maps = rng.standard_normal((2, 5, 6, 3))
    verdict = exercises.grade(silu, lambda dy, c: dy * c["s"], maps)
    assert verdict.picture(axes=(1, 2)).axes[0].images[0].get_array().shape == (5, 6)
    one = np.array([0.5])
    for given, backward in ((x, silu_backward), (x, lambda dy, c: None), (one, lambda dy, c: 2 * dy)):
        assert exercises.grade(silu, backward, given).picture() is None


def test_where_nothing_is_to_come_back():
    verdict = exercises.grade(lambda x: (0 * x + 1, {}), lambda dy, c: dy, x)
    assert verdict.kind == "value" and "is to be 0" in verdict.says


def test_what_cannot_be_graded_is_said_in_one_line():
    with pytest.raises(UsageError, match="backward: found ndarray, expected a function"):
        exercises.grade(silu, x, x)
    with pytest.raises(UsageError, match="nothing to check: no inputs"):
        exercises.grade(silu, silu_backward)
    with pytest.raises(UsageError, match="needs float64, found float32"):
        exercises.grade(silu, silu_backward, x.astype("f"))
