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
        if math.isnan(self.mean):  # of a run that diverged
            return "unknown"
        around = f" ± {factor * self.half:.{digits}f}" if math.isfinite(self.half) else ""
        return f"{factor * self.mean:.{digits}f}{around}"

    @property
    def significant(self):
        """Whether the interval leaves zero out: then a difference is more than chance."""
        return abs(self.mean) > self.half


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


def difference(a, b, level=LEVEL):
    """The difference of two means, a - b, whose values may spread differently (Welch 1947).

    Its degrees of freedom are Welch's and Satterthwaite's; where all values of both are equal, its interval is 0.
    """
    a, b = (np.asarray(x, float) for x in (a, b))
    mean, n = float(a.mean() - b.mean()), min(len(a), len(b))
    if n < 2:
        return Estimate(mean, math.inf, n)
    parts = [float(x.var(ddof=1)) / len(x) for x in (a, b)]
    if not sum(parts):
        return Estimate(mean, 0.0, n)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    return Estimate(mean, t_quantile(freedom, level) * math.sqrt(sum(parts)), n)


class Largest(NamedTuple):
    """The largest of all differences between groups: of the best and the worst, by name."""

    best: object
    worst: object
    difference: Estimate
    comparisons: int

    @property
    def significant(self):
        """Whether it is larger than chance makes the largest of so many."""
        return self.difference.mean > self.difference.half


def largest_difference(groups, level=LEVEL):
    """Between which of many groups is the difference largest, and is that more than chance?

    Somebody who looks at k (k-1) / 2 differences and tells the largest will find one in any noise. So its interval is
    that of all of them together: at level 1 - (1 - level) / comparisons (Bonferroni). The spread is taken to be the
    same in all groups, and estimated from all: with a few seeds in each, a group's own says little.

    Parameters
    ----------
    groups : {name: sequence of floats}

    Returns
    -------
    Largest
    """
    means = {name: float(np.mean(values)) for name, values in groups.items()}
    best, worst = max(means, key=means.get), min(reversed(means), key=means.get)  # two, even if all are equal
    comparisons = len(groups) * (len(groups) - 1) // 2
    freedom = sum(len(values) - 1 for values in groups.values())
    half = math.inf
    if freedom:
        variance = sum(float(np.var(values)) * len(values) for values in groups.values()) / freedom
        spread = math.sqrt(variance * (1 / len(groups[best]) + 1 / len(groups[worst])))
        half = t_quantile(freedom, 1 - (1 - level) / max(comparisons, 1)) * spread
    count = min(map(len, groups.values()))
    return Largest(best, worst, Estimate(means[best] - means[worst], half, count), comparisons)


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
