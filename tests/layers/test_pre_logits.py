"""The pre-logits layer."""

import math

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit.layers.pre_logits import pre_logits, pre_logits_init


def test_agrees_with_its_twin(rng):
    x, p = rng.standard_normal((2, 5)), randomised(pre_logits_init(None, 5, 6))
    y, _ = pre_logits(x, p)
    assert p["w"].shape == (5, 6)
    assert_close(y, naive.elementwise(math.tanh, naive.linear(x, p)))
