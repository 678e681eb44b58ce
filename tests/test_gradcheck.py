"""The checker, checked: it finds right gradients right, and says clearly what is wrong with wrong ones."""

import math
import re

import numpy as np
import pytest

from tinyvit.arrays import to_host
from tinyvit.gradcheck import gradcheck, numeric_gradient
from tinyvit.ops.softmax import softmax, softmax_backward

X = np.random.default_rng(0).standard_normal((3, 4))
P = {"w": np.random.default_rng(1).standard_normal((4, 2)), "b": [np.array([0.5, -1.0])]}


def square(x):
    return x * x, {"x": x}


def square_backward(dy, c):
    return 2 * dy * c["x"]


def affine(x, p):
    return x @ p["w"] + p["b"][0], {"x": x}


def affine_backward(dy, p, c):
    return dy @ p["w"].T, {"w": c["x"].T @ dy, "b": [dy.sum(axis=0)]}


def affine_with(change):
    """affine's backward pass, its result changed."""
    return lambda dy, p, c: change(*affine_backward(dy, p, c))


@pytest.mark.parametrize(
    "f, derivative",
    [(np.sin, np.cos), (np.exp, np.exp), (np.square, lambda x: 2 * x), (np.log1p, lambda x: 1 / (1 + x))],
    ids=["sin", "exp", "square", "log1p"],
)
def test_numeric_gradients_of_known_functions(f, derivative):
    x = abs(X)
    np.testing.assert_allclose(numeric_gradient(lambda: f(x).sum(), x), derivative(abs(X)), atol=1e-10)
    np.testing.assert_array_equal(x, abs(X), err_msg="x is put back")


LAYOUTS = {
    "transposed": lambda x: x.T,
    "strided": lambda x: x[:, ::2],
    "row": lambda x: x[1],
    "without axes": lambda x: x[1, 1, ...],
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_numeric_gradients_of_any_layout(layout, xp):
    x = layout(xp.array(X))
    found = numeric_gradient(lambda: float((x * x).sum()), x)
    np.testing.assert_allclose(found, 2 * layout(X), atol=1e-9)


def test_a_right_gradient_agrees(xp):
    report = gradcheck(square, square_backward, xp.asarray(X))
    assert report.ok and bool(report) is True
    assert report.entries == 12
    assert report.worst_error < 1e-8


@pytest.mark.parametrize("layout", ["transposed", "strided", "row", "without axes"])
def test_inputs_may_have_any_layout(layout, xp):
    assert gradcheck(square, square_backward, LAYOUTS[layout](xp.asarray(X)))


def test_the_report_has_a_row_for_each_tensor_by_name():
    report = gradcheck(affine, affine_backward, X, P)
    assert [(row.name, row.entries) for row in report.rows] == [("x", 12), ("p/w", 8), ("p/b/0", 2)]
    assert report.entries == 22
    assert report.worst_error == max(row.error for row in report.rows)
    text = str(report)
    assert "p/b/0" in text and text.splitlines()[-1].startswith("gradients agree: worst error ")


def test_the_report_shows_where_a_gradient_is_wrong():
    def wrong(dx, g):
        dx[1, 2] += 0.5
        return dx, g

    report = gradcheck(affine, affine_with(wrong), X, P)
    row = report.rows[0]
    assert not report.ok and not report
    assert row.name == "x" and row.index == (1, 2)
    assert row.analytic - row.numeric == pytest.approx(0.5)
    assert report.worst_error == row.error > report.rtol > report.rows[1].error
    assert "[1, 2]" in str(report) and "GRADIENTS DISAGREE" in str(report)


def test_a_single_wrong_entry_of_a_large_tensor_is_found():
    x = np.random.default_rng(0).standard_normal(1000)

    def backward(dy, c):
        dx = square_backward(dy, c)
        dx[777] *= 1 + 1e-6
        return dx

    assert gradcheck(square, backward, x).rows[0].index == (777,)
    assert not gradcheck(square, backward, x)


def test_an_identically_zero_gradient_is_no_relative_error():
    def shift_invariant(x):  # as softmax is, and so the gradient of the key bias is zero
        return softmax(X + x)

    def backward(dy, c):
        return np.asarray(softmax_backward(dy, c).sum())

    report = gradcheck(shift_invariant, backward, np.array(0.3))
    assert report.ok
    assert abs(report.rows[0].numeric) < 1e-9


def test_all_ones_upstream_would_miss_a_zero_backward_pass():
    def zero_backward(dy, c):
        return np.zeros_like(dy)

    x = X.copy()
    with_ones = numeric_gradient(lambda: softmax(x)[0].sum(), x)
    np.testing.assert_allclose(with_ones, zero_backward(np.ones_like(x), {}), atol=1e-10)
    assert not gradcheck(softmax, zero_backward, X)
    assert gradcheck(softmax, softmax_backward, X)


def test_float32_is_refused():
    for inputs in ([X.astype(np.float32)], [X, {"w": P["w"], "b": [np.ones(2, np.float32)]}]):
        with pytest.raises(TypeError, match="needs float64, found float32"):
            gradcheck(affine, affine_backward, *inputs)


def test_integers_and_none_are_handed_on_as_they_are():
    rows, seen = np.array([2, 0]), []

    def pick(x, rows, nothing):
        seen.append((rows.tolist(), nothing))
        return x[rows], {"x": x, "rows": rows}

    def pick_backward(dy, c):
        dx = np.zeros_like(c["x"])
        dx[c["rows"]] = dy
        return dx

    report = gradcheck(pick, pick_backward, X, rows, None)
    assert report.ok and [row.name for row in report.rows] == ["x"]
    assert all(call == ([2, 0], None) for call in seen)


def test_keywords_go_to_the_forward_pass_only():
    def power(x, *, n):
        return x**n, {"x": x}

    assert gradcheck(power, lambda dy, c: dy * 3 * c["x"] ** 2, X, n=3)
    assert not gradcheck(power, lambda dy, c: dy * 3 * c["x"] ** 2, X, n=2)


def test_a_scalar_result_and_unnamed_inputs():
    report = gradcheck(lambda *xs: (sum((x * x).sum() for x in xs), {"xs": list(xs)}), two_squares_backward, X, X[0])
    assert report.ok and [row.name for row in report.rows] == ["input 0", "input 1"]


def two_squares_backward(dy, c):
    return tuple(2 * dy * x for x in c["xs"])


def test_the_inputs_are_left_alone():
    x, p = X.copy(), {"w": P["w"].copy(), "b": [P["b"][0].copy()]}
    x.flags.writeable = p["w"].flags.writeable = False
    assert gradcheck(affine, affine_backward, x, p)
    np.testing.assert_array_equal(x, X)


def test_every_seed_draws_another_upstream_gradient():
    seen = []

    def backward(dy, c):
        seen.append(to_host(dy).copy())
        return square_backward(dy, c)

    for seed in (0, 0, 1):
        assert gradcheck(square, backward, X, seed=seed)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[1] != seen[2]).all()


MISSHAPEN = {
    "missing key": (lambda dx, g: (dx, {"w": g["w"]}), "p/b/0", "shape None, expected \\(2,\\)"),
    "extra key": (lambda dx, g: (dx, g | {"c": dx}), "p/c", "has no such parameter"),
    "wrong shape": (lambda dx, g: (dx[:, :1], g), "x", r"shape \(3, 1\), expected \(3, 4\)"),
    "not reduced": (lambda dx, g: (dx[None], g), "x", r"shape \(1, 3, 4\), expected \(3, 4\)"),
    "wrong dtype": (lambda dx, g: (dx.astype(np.float32), g), "x", "dtype float32, expected float64"),
    "None": (lambda dx, g: (None, g), "x", "shape None, expected"),
    "None in g": (lambda dx, g: (dx, g | {"w": None}), "p/w", "shape None, expected"),
    "a number": (lambda dx, g: (0.0, g), "x", "shape None, expected"),
    "an array for a tree": (lambda dx, g: (dx, g["w"]), "p/w", "shape None, expected"),
    "a tree for an array": (lambda dx, g: ({"x": dx}, g), "x", "shape None, expected"),
    "order": (lambda dx, g: (g, dx), "x", "shape None, expected"),
}


@pytest.mark.parametrize("change, row_name, text", MISSHAPEN.values(), ids=MISSHAPEN)
def test_a_misshapen_gradient_is_a_row_that_says_so(change, row_name, text):
    report = gradcheck(affine, affine_with(change), X, P)
    row = next(row for row in report.rows if row.name == row_name)
    assert not report.ok and report.worst_error == math.inf == row.error
    assert re.search(text, row.problem), row.problem
    assert row.problem in str(report)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_a_number_is_wrong(bad):
    def poison(dx, g):
        dx[2, 1] = bad
        return dx, g

    report = gradcheck(affine, affine_with(poison), X, P)
    assert not report.ok and report.worst_error == math.inf
    assert report.rows[0].index == (2, 1)


def test_a_forward_pass_that_is_not_a_number_is_wrong():
    assert not gradcheck(lambda x: (x * np.nan, {"x": x}), square_backward, X)


counter = iter(range(1000))


def doubled_in_place(x):
    x *= 2
    return square(x)


def clipped_in_place(x):  # the second call changes nothing: only a comparison with what was handed in shows it
    np.maximum(x, 0.1, out=x)
    return square(x)


def affine_fresh(x, p):  # its cache shares no memory with its inputs
    y, c = affine(x, p)
    return y, {"x": c["x"].copy()}


def backward_then(change):
    """square's backward pass, after which the cache is changed."""

    def backward(dy, c):
        dx = square_backward(dy, c)
        change(c)
        return dx

    return backward


def backward_that_changes(what):
    def backward(dy, p, c):
        result = affine_backward(dy, p, c)
        {"dy": dy, "parameters": p["w"], "cache": c["x"]}[what][0] += 1
        return result

    return backward


FAULTS = {
    "too few gradients": (square, lambda dy, c: (), (X,), "returned 0 gradients for 1 inputs"),
    "too many gradients": (square, lambda dy, c: (dy, dy), (X,), "returned 2 gradients for 1 inputs"),
    "a list, not a tuple": (affine, affine_with(lambda dx, g: [dx, g]), (X, P), "returned 1 gradients for 2 inputs"),
    "impure forward pass": (lambda x: (x * x + next(counter), {"x": x}), square_backward, (X,), "not pure"),
    "forward pass doubles x": (doubled_in_place, square_backward, (X,), "the forward pass "),
    "forward pass clips x": (clipped_in_place, square_backward, (X,), "forward pass changed its arguments"),
    "backward pass empties the cache": (square, backward_then(dict.clear), (X,), "backward pass changed its arg"),
    "backward pass adds to the cache": (square, backward_then(lambda c: c.update(t=X)), (X,), "backward pass changed"),
    "backward pass cuts the cache": (square, backward_then(lambda c: c.update(x=X[:2])), (X,), "backward pass changed"),
} | {
    f"backward pass changes {what}": (
        affine_fresh,
        backward_that_changes(what),
        (X, P),
        "backward pass changed its arg",
    )
    for what in ("parameters", "cache", "dy")
}


@pytest.mark.parametrize("f, backward, inputs, text", FAULTS.values(), ids=FAULTS)
def test_a_broken_contract_is_named(f, backward, inputs, text):
    report = gradcheck(f, backward, *inputs)
    assert not report.ok and report.worst_error == math.inf
    assert text in report.problem and report.problem in str(report)
    assert "GRADIENTS DISAGREE" in str(report)
