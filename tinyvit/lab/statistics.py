"""How sure can one be? Means of a few seeds, with the interval that Student's t gives them."""

import functools
import math
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean and the half width of its interval; infinite for a single value, which says nothing of its spread."""

    mean: float
    half: float
    count: int

    def text(self, factor=100, digits=2):
        """Mean and half width in words; as percentages, if nothing else is said."""
        around = f" ± {factor * self.half:.{digits}f}" if math.isfinite(self.half) else ""
        return f"{factor * self.mean:.{digits}f}{around}"


def estimate(values, level=LEVEL):
    """The mean of independent values, and the half width t s / sqrt(n) of its interval (Student 1908).

    Parameters
    ----------
    values : sequence of n floats
        One for each seed.
    level : float
        Share of such intervals that hold the true mean, if values are normally distributed.
    """
    x, n = np.asarray(values, float), len(values)
    if n < 2:
        return Estimate(float(x.mean()), math.inf, n)
    return Estimate(float(x.mean()), t_quantile(n - 1, level) * float(x.std(ddof=1)) / math.sqrt(n), n)


def difference(a, b, comparisons=1, level=LEVEL):
    """The difference of two means, a - b, whose values may spread differently (Welch 1947).

    Its degrees of freedom are Welch's and Satterthwaite's; where all values of both are equal, its interval is 0.

    Parameters
    ----------
    a, b : sequences of floats
    comparisons : int
        How many such differences are looked at, of which the largest is told: the level is then that of all intervals
        together (Bonferroni), 1 - (1 - level) / comparisons.
    """
    (a, b), level = (np.asarray(x, float) for x in (a, b)), 1 - (1 - level) / comparisons
    mean, n = float(a.mean() - b.mean()), min(len(a), len(b))
    if n < 2:
        return Estimate(mean, math.inf, n)
    parts = [float(x.var(ddof=1)) / len(x) for x in (a, b)]
    if not sum(parts):
        return Estimate(mean, 0.0, n)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    return Estimate(mean, t_quantile(freedom, level) * math.sqrt(sum(parts)), n)


def paired(a, b, level=LEVEL):
    """The mean of the differences a_i - b_i of values that belong together, as those of one seed do."""
    return estimate(np.subtract(a, b), level)


def slope(x, y):
    """The slope of the straight line through the points, by least squares: of logarithms, an exponent."""
    return float(np.polyfit(x, y, 1)[0])


@functools.cache
def t_quantile(freedom, level):
    """t such that a share `level` of Student's distribution lies between -t and t.

    The density is proportional to (1 + x^2/f)^(-(f+1)/2). With x = sqrt(f) tan(u) it becomes cos(u)^(f-1) on a finite
    interval, which Simpson's rule integrates; t is then found by halving an interval of u.
    """
    whole = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2)) * math.sqrt(math.pi) / 2

    def share(u):
        points = np.linspace(0, u, 4001)
        weights = np.ones(4001)
        weights[1:-1:2], weights[2:-1:2] = 4, 2
        return float(weights @ np.cos(points) ** (freedom - 1)) * (u / 4000) / 3 / whole

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)
