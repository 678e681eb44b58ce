"""Pixels: an array of float32 to whoever asks for a batch, bytes until then."""

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits
from tinyvit.data import Pixels, fitted
from tinyvit.data.datasets import scale
from tinyvit.ops.resize import resize

STORED = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3), dtype=np.uint8)
KEYS = [3, -1, slice(2, 5), slice(None), np.array([4, 0, 4]), [1, 2], np.arange(7) > 3, np.array([], int), np.int64(2)]
WHOLE_KEYS = [(0, slice(None), slice(None), 0), (..., 1), (slice(0, 2), slice(1, 3))]


@pytest.mark.parametrize("key", KEYS + WHOLE_KEYS, ids=str)
def test_every_key_gives_what_the_float_array_gives(key):
    x = Pixels(STORED)
    assert_same_bits(x[key], scale(STORED, 255)[key])
    small = resize(scale(STORED, 255), 4, 4, "bilinear antialias")[0]
    np.testing.assert_allclose(Pixels(STORED, 4)[key], small[key], atol=1e-6)


def test_it_has_the_form_of_the_array():
    for x, side in ((Pixels(STORED), 6), (Pixels(STORED, 6), 6), (Pixels(STORED, 9), 9)):
        assert (x.shape, x.ndim, x.dtype, len(x)) == ((7, side, side, 3), 4, np.float32, 7)
        whole = np.asarray(x)
        assert whole.shape == x.shape and whole.dtype == np.float32
        assert_same_bits(np.stack(list(x)), whole)
    assert np.asarray(Pixels(STORED), np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.array(Pixels(STORED), copy=False)


def test_black_and_white_are_the_ends():
    assert Pixels(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1))[0].ravel().tolist() == [-1, 1]


def test_a_batch_reads_and_converts_itself_only(monkeypatch):
    converted = []
    monkeypatch.setattr(
        "tinyvit.data.pixels.scale", lambda images, most: converted.append(len(images)) or scale(images, most)
    )
    x = fitted(Pixels(STORED), 12)
    assert isinstance(x, Pixels) and x.shape == (7, 12, 12, 3) and converted == []
    assert x[[1, 3]].shape == (2, 12, 12, 3) and converted == [2]


def test_fitted_leaves_what_fits_and_starts_again_from_the_bytes():
    x = Pixels(STORED)
    assert fitted(x, 6) is x
    again = fitted(fitted(x, 3), 6)
    assert_same_bits(again[:], x[:])  # not twice resized


def test_a_change_to_a_batch_stays_there():
    x = Pixels(STORED.copy())
    x[0:2][...] = 0
    np.testing.assert_array_equal(x.stored, STORED)
