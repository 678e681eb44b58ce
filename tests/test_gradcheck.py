"""The checker, checked: it finds right gradients right, and says clearly what is wrong with wrong ones."""

import contextlib
import math
import re
import sys

import numpy as np
import pytest

from tinyvit.arrays import to_host
from tinyvit.gradcheck import gradcheck, numeric_gradient
from tinyvit.ops.softmax import softmax, softmax_backward

X = np.random.default_rng(0).standard_normal((3, 4))
gradcheck_module = sys.modules["tinyvit.gradcheck"]  # the package's name of the same spelling is the function
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


WRONG_INPUTS = {
    "float32": ((X.astype(np.float32), P), "needs float64, found float32 [3, 4] in x: convert"),
    "float32 in a tree": (
        (X, P | {"b": [np.ones(2, np.float32)]}),
        "needs float64, found float32 [2] in p/b/0: convert",
    ),
    "integers in a tree": ((X, {"w": np.eye(4, dtype=int)}), "needs float64, found int64 [4, 4] in p/w: convert"),
    "a list of numbers": (([1.0, 2.0],), "needs float64, found a float in x/0: convert"),
    "integers": ((np.eye(3, dtype=int),), "nothing to check: x is int64 [3, 3]; expected float64"),
    "a number": ((0.5, None), "nothing to check: x is a float, p is None; expected float64"),
    "no inputs": ((), "nothing to check: no inputs; expected float64"),
    "empty": ((X[:0],), "nothing to check: x is float64 [0, 4]; expected float64"),
}


@pytest.mark.parametrize("inputs, text", WRONG_INPUTS.values(), ids=WRONG_INPUTS)
def test_inputs_that_cannot_be_checked_are_refused(inputs, text):
    with pytest.raises(TypeError, match=re.escape(text)):
        gradcheck(affine, affine_backward, *inputs)


@pytest.mark.parametrize("keywords", [{"rtol": 0}, {"atol": -1}, {"samples": -1}], ids=str)
def test_a_wrong_tolerance_is_refused(keywords):
    with pytest.raises(ValueError, match="expected rtol and atol above 0, samples at least 0"):
        gradcheck(square, square_backward, X, **keywords)


def test_a_backward_pass_that_fails_is_told_how_it_was_called():
    with pytest.raises(TypeError) as raised:
        gradcheck(affine, lambda dy, c: dy, X, P)
    assert raised.value.__notes__ == ["gradcheck called f_backward(dy, p, c)"]


def test_a_loss_may_be_a_number():
    report = gradcheck(lambda x: (float((x**3).sum()), {"x": x}), lambda dy, c: dy * 3 * c["x"] ** 2, X)
    assert report.ok and report.entries == 12


@pytest.mark.parametrize("size", [1e-3, 1e3, 1e6, 1e9])
def test_the_step_follows_the_size_of_the_entry(size):
    assert gradcheck(square, square_backward, size * X)
    assert not gradcheck(square, lambda dy, c: square_backward(dy, c) * (1 + 1e-6), size * X)


def relu(x):
    return np.maximum(x, 0), {"x": x}


def relu_backward(dy, c):
    return dy * (c["x"] > 0)


def test_a_kink_beside_an_entry_is_no_error():
    x = np.array([5e-5, -5e-5, 1e-4, -1e-4, 1.9e-4])
    assert abs(numeric_gradient(lambda: relu(x)[0].sum(), x) - (x > 0)).max() > 0.1
    assert gradcheck(relu, relu_backward, x)
    assert gradcheck(relu, relu_backward, np.random.default_rng(0).standard_normal((200, 200)), samples=100)
    assert not gradcheck(relu, lambda dy, c: dy * (c["x"] > 1e-3), x)


# ---- tensors that are too large for every entry

LARGE = np.random.default_rng(0).standard_normal((200, 200))
FEW = {  # entries, of which each gradient is wrong by this factor
    "a row": (np.s_[17], 1 + 1e-6),
    "a column": (np.s_[:, 91], 1 + 1e-6),
    "an entry": (np.s_[123, 45], 1.1),
    "an entry that is 0": (np.s_[199, 0], 0.0),
    "an entry that is not a number": (np.s_[3, 4], np.nan),
    "all, by 1e-6": (np.s_[:], 1 + 1e-6),
}


def spoilt(where, factor):
    """square's backward pass, wrong in some entries."""

    def backward(dy, c):
        dx = square_backward(dy, c)
        dx[where] *= factor
        return dx

    return backward


@pytest.mark.parametrize("where, factor", FEW.values(), ids=FEW)
def test_few_wrong_entries_of_a_large_tensor_are_found(where, factor):
    report = gradcheck(square, spoilt(where, factor), LARGE)
    marked = np.zeros(LARGE.shape, bool)
    marked[where] = True
    assert not report.ok and marked[report.rows[0].index]


@pytest.mark.parametrize("seed", range(5))
def test_a_direction_finds_what_a_sample_misses(seed):
    """One row: as much of dx as sqrt(1/200) = 7 %, and so seen with a probability of 1 - 0.8 * 1e-7 / 0.07."""
    report = gradcheck(square, spoilt(np.s_[17], 2.0), LARGE, samples=0, seed=seed)
    assert not report.ok and report.rows[0].index[0] == 17


def test_the_report_of_a_sample_says_what_it_means(xp):
    report = gradcheck(square, square_backward, xp.asarray(LARGE), samples=500)
    row = report.rows[0]
    assert report.ok and 500 <= row.entries <= 600 and row.size == 40_000 and row.sampled
    assert report.missed(0.01) == pytest.approx(0.99**500)
    assert "(of 40,000 entries)\nOf a large tensor: 500 entries at random" in str(
        report
    ) and "a probability of 0.0066" in str(report)
    assert (
        "sampled" not in str(gradcheck(square, square_backward, X))
        and gradcheck(square, square_backward, X).missed(0.01) == 0
    )


def test_the_bound_on_what_a_sample_misses_holds():
    """Of 1,000 samples of 50 entries, the part that misses every one of 4 wrong in 100 is about (1 - 4 / 100)^50."""
    rngs = map(np.random.default_rng, range(1000))
    misses = [gradcheck_module._chosen(np.arange(4000.0), 50, rng)[0] >= 160 for rng in rngs]
    assert np.mean(misses) == pytest.approx(0.96**50, rel=0.2)


def test_a_long_check_has_a_bar_on_a_terminal(monkeypatch, capsys):
    bars = []
    monkeypatch.setattr("tqdm.tqdm", lambda **options: bars.append(options) or contextlib.nullcontext(Bar()))
    gradcheck(affine, affine_backward, LARGE[:, :4], P, samples=100)
    assert bars == [dict(total=200 + 8 + 2, unit="entry", leave=False, delay=2, disable=None)]
    assert capsys.readouterr() == ("", "")


class Bar:
    def update(self):
        pass


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
    "missing key": (lambda dx, g: (dx, {"w": g["w"]}), "p/b/0", "is None, expected float64 [2]"),
    "extra key": (lambda dx, g: (dx, g | {"c": dx}), "p/c", "has no such parameter"),
    "wrong shape": (lambda dx, g: (dx[:, :1], g), "x", "is float64 [3, 1], expected float64 [3, 4]"),
    "not reduced": (lambda dx, g: (dx[None], g), "x", "is float64 [1, 3, 4], expected float64 [3, 4]"),
    "wrong dtype": (lambda dx, g: (dx.astype(np.float32), g), "x", "is float32 [3, 4], expected float64 [3, 4]"),
    "None": (lambda dx, g: (None, g), "x", "is None, expected"),
    "None in g": (lambda dx, g: (dx, g | {"w": None}), "p/w", "is None, expected"),
    "a number": (lambda dx, g: (0.0, g), "x", "is a float, expected"),
    "an array for a tree": (lambda dx, g: (dx, g["w"]), "p/w", "is None, expected"),
    "a tree for an array": (lambda dx, g: ({"x": dx}, g), "x", "is None, expected"),
    "order": (lambda dx, g: (g, dx), "x", "is None, expected"),
}


@pytest.mark.parametrize("change, row_name, text", MISSHAPEN.values(), ids=MISSHAPEN)
def test_a_misshapen_gradient_is_a_row_that_says_so(change, row_name, text):
    report = gradcheck(affine, affine_with(change), X, P)
    row = next(row for row in report.rows if row.name == row_name)
    assert not report.ok and report.worst_error == math.inf == row.error
    assert text in row.problem, row.problem
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
    "too few gradients": (square, lambda dy, c: (), (X,), "returned 0 gradients, expected 1: of x"),
    "too many gradients": (square, lambda dy, c: (dy, dy), (X,), "returned 2 gradients, expected 1: of x"),
    "a gradient of an integer array": (
        lambda x, n: square(x),
        lambda dy, c: (dy, dy),
        (X, np.arange(4)),
        "expected 1: of x; n is int64 [4] and has none",
    ),
    "a list, not a tuple": (
        affine,
        affine_with(lambda dx, g: [dx, g]),
        (X, P),
        "a list, expected a tuple of gradients",
    ),
    "no cache": (lambda x: x * x, square_backward, (X,), "returned float64 [3, 4], expected its result and a cache"),
    "no cache, two rows": (lambda x: x * x, square_backward, (X[:2],), "returned float64 [2, 4], expected its result"),
    "no result": (lambda x: None, square_backward, (X,), "returned None, expected its result and a cache"),
    "three results": (lambda x: (x, x, {}), square_backward, (X,), "returned a tuple of 3, expected its result"),
    "a result in float32": (
        lambda x: (x.astype(np.float32), {}),
        square_backward,
        (X,),
        "y as float32 [3, 4], expected float64",
    ),
    "a result that is no array": (lambda x: ("y", {}), square_backward, (X,), "y as a str, expected float64"),
    "not a number": (
        lambda x: (x / [1, 1, np.nan, 1], {}),
        square_backward,
        (X,),
        "y as nan at [0, 2], expected finite",
    ),
    "infinite": (lambda x: (x + [0, np.inf, 0, 0], {}), square_backward, (X,), "y as inf at [0, 1], expected finite"),
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
    assert text in report.problem and str(report) == f"NOT CHECKED: {report.problem}"
