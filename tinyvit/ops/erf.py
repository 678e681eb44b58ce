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
    cdf, exponential = _method(x)(x)
    exponential *= 1 / math.sqrt(2 * math.pi)
    return cdf, exponential


def normal_cdf(x):
    """Phi(x) alone, a fresh array: the same bits."""
    cdf, _ = _method(x)(x)
    return cdf


def _method(x):
    return _series if x.dtype == np.float64 else _abramowitz_stegun


# Formula 7.1.26 has 1 / (1 + 0.3275911 z), where z = |x| / sqrt 2. That is SCALE / (SCALE + |x|); SCALE goes into the
# coefficients, with the factor -1/2.
SCALE = math.sqrt(2) / 0.3275911
A5_TO_A1 = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
COEFFICIENTS = [-0.5 * a * SCALE**n for n, a in zip((5, 4, 3, 2, 1), A5_TO_A1, strict=True)]


def _abramowitz_stegun(x):
    """Phi(x) and exp(-x^2 / 2) by Abramowitz and Stegun's formula 7.1.26, in passes over arrays that stay in cache.

        erf(z) = 1 - (a1 t + a2 t^2 + ... + a5 t^5) exp(-z^2),    t = 1 / (1 + 0.3275911 z),    z = |x| / sqrt 2

    By Horner's rule. The polynomial is kept negative and halved, so that q = 1/2 - (...) exp(...) / 2 is half of erf;
    the sign of x then finishes Phi. (x / |x| is the sign, but for an x that is nearly 0, whose q is nearly 0 as well;
    NumPy divides several times faster than it finds signs, and faster than it finds reciprocals.)
    """
    size = np.abs(x)
    t = size + SCALE
    np.divide(1, t, out=t)
    exponential = x * x
    exponential *= -0.5
    np.exp(exponential, out=exponential)
    q = t * COEFFICIENTS[0]
    for a in COEFFICIENTS[1:]:
        q += a
        q *= t
    q *= exponential
    q += 0.5
    size += 1e-30
    q *= np.divide(x, size, out=size)
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
    for n in range(3, 200, 2):  # at |x| = 8.5 no term from n = 193 on changes a bit of the sum
        term *= zz
        term /= n
        total += term
    total *= np.exp(-0.5 * zz)
    total *= 1 / math.sqrt(2 * math.pi)
    total += 0.5
    return total, np.exp(-0.5 * x * x)
