"""Token embedding and its way back; the loss over tokens."""

import numpy as np
import pytest

from tests.reference import naive_sequences
from tests.reference.compare import assert_close
from tinyvit.errors import DataError
from tinyvit.layers.linear import linear
from tinyvit.layers.token_embedding import (
    check_tokens,
    token_embedding,
    token_embedding_backward,
    token_embedding_init,
    token_scores,
)
from tinyvit.ops.cross_entropy import cross_entropy
from tinyvit.ops.token_cross_entropy import NO_TARGET, token_cross_entropy, token_cross_entropy_backward

TOKENS = np.array([[0, 2, 2], [4, 2, 0]])


def test_looking_up_is_a_product_with_one_hot_rows(rng):
    p = {"w": rng.standard_normal((5, 3))}
    y, c = token_embedding(TOKENS, p)
    onehot = np.eye(5)[TOKENS]
    np.testing.assert_array_equal(y, onehot @ p["w"])
    dy = rng.standard_normal(y.shape)
    g = token_embedding_backward(dy, p, c)
    assert_close(g["w"], np.einsum("btv,btd->vd", onehot, dy), 1e-15)
    assert not g["w"][[1, 3]].any()


def test_scores_are_the_products_with_every_tokens_vector(rng):
    p, x = {"w": rng.standard_normal((5, 3))}, rng.standard_normal((2, 4, 3))
    assert_close(token_scores(x, p)[0], linear(x, {"w": p["w"].T})[0], 1e-15)


def test_the_table_times_the_root_of_its_width_has_numbers_of_size_one(rng):
    w = token_embedding_init(rng, 500, 64)["w"] * 8
    assert abs(w.std() - 1) < 0.02


@pytest.mark.parametrize(
    "tokens, words",
    [
        ([[0, 5]], r"found 5 at \[0, 1\], expected 0 to 4"),
        ([[0], [-1]], r"found -1 at \[1, 0\]"),
        ([[0.0]], "found float64 of shape"),
        ([0, 1], r"shape \[2\], expected whole numbers, a row for each sequence"),
    ],
)
def test_what_is_no_token_is_refused(tokens, words):
    with pytest.raises(DataError, match=words):
        token_embedding(np.array(tokens), {"w": np.zeros((5, 3))})


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_tokens_of_any_whole_numbers_are_checked_and_wide_enough(dtype):
    """So that no sum or product of them wraps around."""
    tokens = check_tokens(TOKENS.astype(dtype), 5)
    assert tokens.dtype == np.int64
    np.testing.assert_array_equal(tokens, TOKENS)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_the_loss_agrees_with_its_twin(rng, smoothing):
    logits, targets = rng.standard_normal((2, 3, 5)), np.array([[1, 4, 0], [2, NO_TARGET, NO_TARGET]])
    loss, c = token_cross_entropy(logits, targets, smoothing)
    assert_close(loss, naive_sequences.token_cross_entropy(logits, targets, smoothing), 1e-14)
    assert not token_cross_entropy_backward(1.0, c)[1, 1:].any()


def test_without_padding_it_is_cross_entropy(rng):
    logits, targets = rng.standard_normal((2, 3, 5)), rng.integers(5, size=(2, 3))
    expected, _ = cross_entropy(logits.reshape(6, 5), targets.reshape(6))
    assert_close(token_cross_entropy(logits, targets)[0], expected, 1e-15)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_it_is_pytorchs(rng, smoothing):
    torch = pytest.importorskip("torch")
    logits, targets = rng.standard_normal((2, 3, 5)), np.array([[1, 4, 0], [2, NO_TARGET, 3]])
    rows, labels = torch.tensor(logits.reshape(6, 5)), torch.tensor(targets.reshape(6))
    options = dict(ignore_index=NO_TARGET, label_smoothing=smoothing)
    expected = torch.nn.functional.cross_entropy(rows, labels, **options)
    assert_close(token_cross_entropy(logits, targets, smoothing)[0], expected.item(), 1e-14)


@pytest.mark.parametrize(
    "targets, words",
    [
        (np.full((2, 3), NO_TARGET), "padding alone, expected at least one token"),
        (np.full((2, 3), 5), "found label 5 at index 0"),
        (np.zeros((2, 4), int), r"found \[2, 4\], expected \[2, 3\], one for each place"),
    ],
)
def test_targets_that_are_none_are_refused(targets, words):
    with pytest.raises(DataError, match=words):
        token_cross_entropy(np.zeros((2, 3, 5)), targets)
