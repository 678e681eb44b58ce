"""The hyperbolic tangent."""

import math

from tests.reference import naive
from tests.reference.compare import assert_close
from tinyvit.ops.tanh import tanh, tanh_backward


def test_agrees_with_its_twin(rng):
    x, dy = rng.standard_normal((2, 2, 5))
    y, c = tanh(x)
    assert_close(y, naive.elementwise(math.tanh, x))
    assert_close(tanh_backward(dy, c), dy * naive.elementwise(lambda v: 1 / math.cosh(v) ** 2, x))
