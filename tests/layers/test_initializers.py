"""How parameters start."""

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits
from tinyvit.layers.initializers import lecun_normal, normal, ones, xavier_uniform, zeros

DRAWN = {
    "normal": (lambda rng, dtype: normal(rng, (300, 200), 0.3, dtype), 0.3**2),
    "lecun_normal": (lambda rng, dtype: lecun_normal(rng, 300, 200, dtype), 1 / 300),
    "xavier_uniform": (lambda rng, dtype: xavier_uniform(rng, 300, 200, dtype), 2 / 500),
}
CONSTANT = {
    "zeros": (lambda rng, dtype: zeros(rng, (300, 200), dtype), 0),
    "ones": (lambda rng, dtype: ones(rng, (300, 200), dtype), 1),
}


@pytest.mark.parametrize("name", DRAWN)
def test_mean_and_variance(rng, name):
    draw, variance = DRAWN[name]
    w = draw(rng, np.float64)
    assert w.shape == (300, 200)
    assert abs(w.mean()) < 5 * (variance / w.size) ** 0.5
    assert np.var(w) == pytest.approx(variance, rel=0.03)


def test_xavier_stays_within_its_bounds(rng):
    w = xavier_uniform(rng, 300, 200)
    assert abs(w).max() == pytest.approx((6 / 500) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("name", CONSTANT)
def test_constants_are_fresh_and_may_be_written(rng, name):
    fill, value = CONSTANT[name]
    w = fill(rng, np.float64)
    assert (w == value).all()
    w += 1


@pytest.mark.parametrize("name", DRAWN | CONSTANT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_a_generator_there_are_shape_and_dtype_but_no_memory(rng, name, dtype):
    f = (DRAWN | CONSTANT)[name][0]
    w = f(None, dtype)
    assert (w.shape, w.dtype) == ((300, 200), dtype)
    assert w.strides == (0, 0)
    assert f(rng, dtype).dtype == dtype


@pytest.mark.parametrize("name", DRAWN)
def test_both_dtypes_draw_the_same_numbers(name):
    single, double = (DRAWN[name][0](np.random.default_rng(3), dtype) for dtype in (np.float32, np.float64))
    assert_same_bits(single, double.astype(np.float32))
