"""The identity: a layer that changes nothing."""

from tests.reference.compare import assert_same_bits
from tinyvit.layers.identity import identity, identity_backward, identity_init


def test_what_comes_in_goes_out_both_ways(rng):
    z, dy = rng.standard_normal((2, 2, 3, 5))
    y, c = identity(z, identity_init(rng, 3, 5, std=0.02, dtype="float64"))
    assert_same_bits(y, z)
    assert_same_bits(identity_backward(dy, {}, c), (dy, {}))
    assert c == identity_init(None, 3) == {}
