"""The class row."""

from tests.reference.compare import assert_same_bits
from tinyvit.ops.class_row import class_row, class_row_backward


def test_row_zero_and_only_row_zero(rng):
    z, dy = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 5))
    y, c = class_row(z)
    dz = class_row_backward(dy, c)
    assert_same_bits(y, z[:, 0, :])
    assert_same_bits(dz[:, 0], dy)
    assert dz.shape == z.shape
    assert (dz[:, 1:] == 0).all()
