"""The normal distribution function Phi and its density phi, without SciPy: quick in float32, exact in float64."""

import math

import numpy as np


def normal_distribution(x):
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2 and phi(x) = exp(-x^2 / 2) / sqrt(2 pi), elementwise.

    Parameters
    ----------
    x : array of float32 or float64, any shape

    Returns
    -------
    cdf, pdf : two fresh arrays of x's shape and dtype
        Phi errs by at most 5e-7 in float32 and 2e-15 in float64.
    """
    cdf, exponential = _series(x) if x.dtype == np.float64 else _abramowitz_stegun(x)
    exponential *= 1 / math.sqrt(2 * math.pi)
    return cdf, exponential


def _abramowitz_stegun(x):
    """Phi(x) and exp(-x^2 / 2) by Abramowitz and Stegun's formula 7.1.26, in passes over arrays that stay in cache.

        erf(|x| / sqrt 2) = 1 - (a1 t + a2 t^2 + ... + a5 t^5) exp(-x^2 / 2),    t = 1 / (1 + 0.3275911 |x| / sqrt 2)

    By Horner's rule. The polynomial is kept negative and halved, so that q = 1/2 - (...) exp(...) / 2 is half of erf;
    the sign of x then finishes Phi.
    """
    t = np.abs(x)
    t *= 0.3275911 / math.sqrt(2)
    t += 1
    np.reciprocal(t, out=t)
    exponential = x * x
    exponential *= -0.5
    np.exp(exponential, out=exponential)
    q = t * (-0.5 * 1.061405429)
    for a in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        q -= 0.5 * a
        q *= t
    q *= exponential
    q += 0.5
    np.copysign(q, x, out=q)
    q += 0.5
    return q, exponential


def _series(x):
    """Phi(x) and exp(-x^2 / 2) by the series that converges everywhere without cancellation.

        Phi(x) = 1/2 + phi(x) (x + x^3 / 3 + x^5 / (3 * 5) + x^7 / (3 * 5 * 7) + ...)

    All terms have the sign of x, so nothing is lost by subtraction. Beyond |x| = 8.5, Phi is within 1e-16 of 0 or 1,
    and clipping there keeps the number of terms fixed.
    """
    z = x.clip(-8.5, 8.5)
    zz = z * z
    term, total = z + 0.0, z + 0.0
    for n in range(3, 300, 2):
        term *= zz
        term /= n
        total += term
    total *= np.exp(-0.5 * zz)
    total *= 1 / math.sqrt(2 * math.pi)
    total += 0.5
    return total, np.exp(-0.5 * x * x)
