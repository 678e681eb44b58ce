"""The scale of the queries, and why it is the square root of their width."""

import math

import numpy as np
import pytest

from tests.reference.compare import assert_close
from tinyvit.ops.scale import scale_queries, scale_queries_backward


def test_each_query_is_divided_by_the_root_of_its_width(rng):
    q, dy = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 4, 5))
    y, c = scale_queries(q)
    assert_close(y, q / math.sqrt(5))
    assert_close(scale_queries_backward(dy, c), dy / math.sqrt(5))


@pytest.mark.parametrize("d", [4, 64, 256])
def test_products_have_the_variance_d_and_those_of_scaled_queries_one(rng, d):
    q, k = rng.standard_normal((2, 300, d))
    assert np.var(q @ k.T) == pytest.approx(d, rel=0.1)
    assert np.var(scale_queries(q)[0] @ k.T) == pytest.approx(1, rel=0.1)
