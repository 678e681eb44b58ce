"""The normal distribution's Phi and phi, against math.erf."""

import numpy as np
import pytest

from tests.reference import naive
from tinyvit.ops.erf import normal_cdf, normal_distribution


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-15), (np.float32, 5e-7)])
def test_accuracy(dtype, tolerance):
    x = np.linspace(-12, 12, 12_001).astype(dtype)
    cdf, pdf = normal_distribution(x)
    assert abs(cdf - naive.normal_cdf(x)).max() <= tolerance
    assert abs(pdf - naive.normal_pdf(x)).max() <= tolerance
    np.testing.assert_array_equal(normal_cdf(x), cdf)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_it_is_zero_or_one(dtype):
    cdf, pdf = normal_distribution(np.array([-1e4, -40, 40, 1e4], dtype))
    assert abs(cdf - [0, 0, 1, 1]).max() <= np.finfo(np.float64).eps
    assert (pdf == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_middle_and_the_symmetry(dtype):
    x = np.linspace(0, 6, 601).astype(dtype)
    right, left = normal_distribution(x)[0], normal_distribution(-x)[0]
    assert abs(right[1:] + left[1:] - 1).max() <= np.finfo(dtype).eps
    assert abs(right[0] - 0.5) <= (0 if dtype == np.float64 else 5e-7)
