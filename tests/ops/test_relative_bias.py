"""The bias of relative positions: a product for each offset, laid out by query and key."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.ops.relative_bias import relative_bias, relative_bias_backward

B, h, S, d = 2, 4, 5, 3


@pytest.fixture
def r(rng):
    return rng.standard_normal((h, 2 * S - 1, d))


@pytest.mark.parametrize("T", [1, 3, 5])
def test_agrees_with_its_twin(rng, r, T):
    q, dbias = rng.standard_normal((B, h, T, d)), rng.standard_normal((B, h, T, S))
    bias, c = relative_bias(q, r)
    assert_close(bias, naive.relative_bias(q, r))
    assert_close(relative_bias_backward(dbias, c), naive.relative_bias_backward(dbias, q, r))


def test_of_equal_queries_it_depends_on_the_offset_alone(rng, r):
    q = np.broadcast_to(rng.standard_normal((B, h, 1, d)), (B, h, S, d))
    bias, _ = relative_bias(q, r)
    assert_close(bias[..., 1:, 1:], bias[..., :-1, :-1])
    assert abs(bias - bias.swapaxes(-1, -2)).max() > 0.1  # left is not right


def test_where_the_sequence_begins_does_not_matter(rng, r):
    """Without its first token, the others keep their offsets: only the farthest ones, either way, are not needed."""
    q = rng.standard_normal((B, h, S, d))
    assert_close(relative_bias(q[:, :, 1:], r[:, 1:-1])[0], relative_bias(q, r)[0][:, :, 1:, 1:])


def test_the_first_tokens_neighbours_are_as_far_as_they_stand_in_the_sequence(rng, r):
    """So of the class token, which stands at 0: patch n is n away from it, and it is -n away from patch n."""
    q = rng.standard_normal((B, h, S, d))
    bias, _ = relative_bias(q, r)
    for n in range(S):
        assert_close(bias[..., 0, n], np.einsum("bhd,hd->bh", q[:, :, 0], r[:, S - 1 + n]))
        assert_close(bias[..., n, 0], np.einsum("bhd,hd->bh", q[:, :, n], r[:, S - 1 - n]))


def test_an_offset_that_no_query_meets_has_no_gradient(rng, r):
    """The first of several queries have no key far to their left."""
    q, dbias = rng.standard_normal((B, h, 2, d)), rng.standard_normal((B, h, 2, S))
    _, dr = relative_bias_backward(dbias, relative_bias(q, r)[1])
    met = [offset + S - 1 for offset in range(-1, S)]  # from the second query to the first key, up to the last
    assert (np.delete(dr, met, axis=1) == 0).all()
    assert (dr[:, met] != 0).all()


def test_all_images_share_the_offsets(rng, r):
    q, dbias = rng.standard_normal((B, h, S, d)), rng.standard_normal((B, h, S, S))
    _, dr = relative_bias_backward(dbias, {"q": q, "r": r})
    alone = [relative_bias_backward(dbias[b : b + 1], {"q": q[b : b + 1], "r": r})[1] for b in range(B)]
    assert_close(dr, alone[0] + alone[1])
    assert_same_bits(relative_bias(q[:1], r)[0], relative_bias(q, r)[0][:1])
