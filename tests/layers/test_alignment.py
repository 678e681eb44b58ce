"""Alignment: twins in loops, padding, what the score is."""

import numpy as np
import pytest

from tests.reference import naive_sequences
from tests.reference.compare import assert_close, randomised
from tinyvit.layers.alignment import ALIGNMENTS
from tinyvit.ops.patterns import pattern_bias

LENGTHS = (5, 1, 3)


def drawn(rng, score):
    D = 4 if score == "dot" else 6
    q, kv = rng.standard_normal((3, 2, D)), rng.standard_normal((3, 5, 4))
    return q, kv, randomised(ALIGNMENTS[score].init(None, D, 4))


@pytest.mark.parametrize("score", ALIGNMENTS)
def test_it_agrees_with_its_twin(rng, score):
    q, kv, p = drawn(rng, score)
    mask = np.arange(5) < np.array(LENGTHS)[:, None]
    y, c = ALIGNMENTS[score].forward(q, kv, p, bias=pattern_bias(mask[:, None], "float64"))
    expected, a = naive_sequences.alignment(score, q, kv, p, LENGTHS)
    assert_close([y, c["att"]["a"]], [expected, a], 1e-13)
    assert not c["att"]["a"][~np.broadcast_to(mask[:, None], a.shape)].any()


@pytest.mark.parametrize("score", ALIGNMENTS)
def test_padding_changes_nothing(rng, score):
    q, kv, p = drawn(rng, score)
    bias = pattern_bias((np.arange(5) < np.array(LENGTHS)[:, None])[:, None], "float64")
    y, c = ALIGNMENTS[score].forward(q, kv, p, bias=bias)
    dy = rng.standard_normal(y.shape)
    dq, dkv, _ = ALIGNMENTS[score].backward(dy, p, c)
    for b, n in enumerate(LENGTHS):
        one = slice(b, b + 1)
        alone, c_alone = ALIGNMENTS[score].forward(q[one], kv[one, :n], p)
        found = ALIGNMENTS[score].backward(dy[one], p, c_alone)[:2]
        assert_close([y[one], dq[one], dkv[one, :n]], [alone, *found], 1e-12)
        assert not dkv[one, n:].any()


def test_general_with_the_identity_is_dot(rng):
    q, kv, _ = drawn(rng, "dot")
    found, _ = ALIGNMENTS["general"].forward(q, kv, {"q": {"w": np.eye(4)}})
    assert_close(found, ALIGNMENTS["dot"].forward(q, kv, {})[0], 1e-14)
