"""Query, key and value in one product."""

import numpy as np

from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit.layers.fused_projection import (
    fuse_projections,
    fused_projection,
    fused_projection_backward,
    separate_projections,
)
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.multi_head_attention import multi_head_attention_init


def _projections():
    p = randomised(multi_head_attention_init(None, 8))
    return {name: p[name] for name in "qkv"}


def test_fusing_and_separating_are_inverse():
    p = _projections()
    fused = fuse_projections(p)
    assert fused["w"].shape == (8, 24)
    assert_same_bits(separate_projections(fused), p)
    assert_same_bits(fuse_projections(separate_projections(fused)), fused)


def test_one_product_equals_three(rng):
    x, dy, p = rng.standard_normal((2, 3, 8)), rng.standard_normal((3, 2, 3, 8)), _projections()
    fused = fuse_projections(p)
    y, c = fused_projection(x, fused)
    dx, g = fused_projection_backward(dy, fused, c)

    three = [linear(x, p[name]) for name in "qkv"]
    back = [linear_backward(dy[i], p[name], three[i][1]) for i, name in enumerate("qkv")]
    assert_close(y, np.stack([q for q, _ in three]))
    assert_close(dx, sum(dx for dx, _ in back))
    assert_close(separate_projections(g), {name: back[i][1] for i, name in enumerate("qkv")})
