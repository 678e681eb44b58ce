"""Intervals: against published tables, SciPy where it is installed, cases by hand, and simulations."""

import math

import numpy as np
import pytest

from tinyvit.lab.statistics import Estimate, difference, estimate, largest_difference, slope, t_quantile

TABLE = {  # Student's t, two-sided 95 % and 99 %, as in any textbook's appendix
    1: (12.706, 63.657),
    2: (4.303, 9.925),
    4: (2.776, 4.604),
    10: (2.228, 3.169),
    30: (2.042, 2.750),
}
VALUES = [0.91, 0.95, 0.93, 0.97]


@pytest.mark.parametrize("freedom", TABLE)
def test_t_as_published(freedom):
    found = [t_quantile(freedom, level) for level in (0.95, 0.99)]
    np.testing.assert_allclose(found, TABLE[freedom], atol=6e-4)


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3.7, 12, 44, 200])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.9995])
def test_t_as_scipy_has_it(freedom, level):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.t.ppf((1 + level) / 2, freedom)
    assert t_quantile(freedom, level) == pytest.approx(expected, rel=1e-5)


def test_t_where_the_formula_is_known():
    assert t_quantile(1, 0.5) == pytest.approx(1), "Cauchy's quartile"
    assert t_quantile(2, 0.95) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)))
    assert t_quantile(1e5, 0.95) == pytest.approx(1.959964, rel=1e-4), "nearly normal"


def test_estimate_by_hand():
    found = estimate([1.0, 2.0, 3.0])  # s = 1
    assert found.count == 3 and found.mean == 2
    assert found.half == pytest.approx(4.302653 / math.sqrt(3))
    assert estimate([1.0, 2.0, 3.0], 0.99).half == pytest.approx(9.924843 / math.sqrt(3))


def test_estimate_as_scipy_has_it():
    stats = pytest.importorskip("scipy.stats")
    low, high = stats.t.interval(0.95, 3, np.mean(VALUES), stats.sem(VALUES))
    found = estimate(VALUES)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))


def test_one_value_says_nothing_of_its_spread():
    assert estimate([0.5]) == Estimate(0.5, math.inf, 1)
    for a, b in (([0.5], [0.1, 0.2]), ([0.1, 0.2], [0.5]), ([0.5], [0.1])):
        found = difference(a, b)
        assert found.half == math.inf and found.count == 1 and not found.significant
    alone = largest_difference({"a": [0.9], "b": [0.1]})
    assert alone.difference.half == math.inf and not alone.significant


def test_equal_values_have_no_width():
    assert estimate([0.5, 0.5, 0.5]) == Estimate(0.5, 0.0, 3)
    assert difference([0.5, 0.5], [0.25, 0.25]) == Estimate(0.25, 0.0, 2)
    assert not difference([0.5, 0.5], [0.5, 0.5]).significant
    assert not largest_difference({"a": [0.5, 0.5], "b": [0.5, 0.5]}).significant


def test_difference_by_hand():
    """Variances 1 and 4 of three and two: parts 1/3 and 2; Welch and Satterthwaite."""
    a, b = [1.0, 2.0, 3.0], [10.0 - math.sqrt(2), 10.0 + math.sqrt(2)]
    freedom = (1 / 3 + 2) ** 2 / ((1 / 3) ** 2 / 2 + 2**2 / 1)
    found = difference(a, b)
    assert found.mean == pytest.approx(-8) and found.count == 2
    assert found.half == pytest.approx(t_quantile(freedom, 0.95) * math.sqrt(1 / 3 + 2))


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_difference_as_scipy_has_it(level):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for sizes in ((3, 3), (5, 2), (4, 9)):
        a, b = (rng.normal(0, scale, n) for scale, n in zip((1, 4), sizes, strict=True))
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
        found = difference(a, b, level)
        assert (found.mean - found.half, found.mean + found.half) == pytest.approx(tuple(interval))


@pytest.mark.parametrize(("mean", "half", "shown"), [(2, 1, True), (-2, 1, True), (1, 2, False), (-1, 2, False)])
def test_a_difference_is_shown_if_zero_is_outside(mean, half, shown):
    assert Estimate(mean, half, 3).significant == shown
    assert not Estimate(math.nan, math.nan, 3).significant


def test_text():
    assert Estimate(0.98765, 0.00123, 3).text() == "98.77 ± 0.12"
    assert Estimate(0.98765, 0.00123, 3).text(1, 3) == "0.988 ± 0.001"
    assert Estimate(0.98765, math.inf, 1).text() == "98.77"
    assert Estimate(math.nan, math.nan, 3).text() == "unknown"


def test_the_largest_difference_by_hand():
    """Sums of squares 2, 8 and 0, with 2 + 1 + 1 degrees of freedom; three and two values in the outermost."""
    groups = {"a": [1.0, 2.0, 3.0], "b": [5.0, 9.0], "c": [4.0, 4.0]}
    found = largest_difference(groups)
    half = t_quantile(4, 1 - 0.05 / 3) * math.sqrt((2 + 8 + 0) / 4 * (1 / 3 + 1 / 2))
    assert (found.best, found.worst, found.comparisons) == ("b", "a", 3)
    assert found.difference == pytest.approx((5.0, half, 2))
    assert largest_difference(groups, 0.5).difference.half < half


def test_of_equal_settings_the_largest_difference_is_rarely_told():
    rng = np.random.default_rng(0)
    told = [largest_difference(dict(enumerate(rng.normal(size=(11, 3))))).significant for _ in range(500)]
    assert 0.01 <= np.mean(told) <= 0.06, "Bonferroni is careful, but no more than that"


def test_and_a_large_one_is():
    rng = np.random.default_rng(0)
    groups = {k: rng.normal(6 * (k == 3), 1, 5) for k in range(11)}
    found = largest_difference(groups)
    assert found.significant and found.best == 3


def test_of_equal_means_a_difference_is_rarely_told():
    rng = np.random.default_rng(0)
    told = [difference(*(s * rng.normal(size=4) for s in (1, 3))).significant for _ in range(200)]
    assert 0.02 <= np.mean(told) <= 0.08


def test_slope():
    x = np.array([1.0, 2.0, 5.0])
    assert slope(x, 3 - 2 * x) == pytest.approx(-2)
    assert slope([0, 1, 2], [0, 1, 1]) == pytest.approx(0.5)


def test_of_groups_that_are_all_alike_two_are_named():
    found = largest_difference({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 2.0]})
    assert found.best != found.worst and found.difference.mean == 0 and not found.significant
