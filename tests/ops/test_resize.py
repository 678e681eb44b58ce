"""Resizing images and tables of positions."""

import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from tests.golden import make_resize
from tests.golden.make_resize import FILE, SIZES, upstream
from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.errors import UsageError
from tinyvit.models.presets import PRESETS
from tinyvit.ops.resize import RESIZE, resize, resize_backward, resize_weights
from tinyvit.ops.resize_positions import resize_positions, resize_positions_backward

every_method = pytest.mark.parametrize("method", RESIZE)
every_size = pytest.mark.parametrize(("old", "new"), SIZES, ids=lambda size: "{}x{}".format(*size))
LENGTHS = [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (5, 5), (4, 8), (14, 24), (24, 14), (7, 100), (500, 14)]


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE) as arrays:
        return dict(arrays)


def run(x, size, method):
    """y, and dx of make_resize's upstream gradient."""
    y, c = resize(x, *size, method)
    return y, resize_backward(upstream(y.shape).astype(x.dtype), c)


@every_method
@every_size
def test_agrees_with_the_file(golden, old, new, method):
    x, name = golden["{}x{}/x".format(*old)], "{}x{} to {}x{}/{}".format(*old, *new, method)
    expected = golden[f"{name}/y"], golden[f"{name}/dx"]
    y, dx = run(x, new, method)
    assert_close((y, dx), expected, 1e-12)
    if method == "bilinear aligned":
        assert_close(y, golden[f"{name}/scipy"], 1e-12)
    single = run(x.astype(np.float32), new, method)
    assert {array.dtype for array in single} == {np.dtype(np.float32)}
    assert_close(single, expected, 1e-5)


def test_torch_and_scipy_still_give_what_the_file_says(golden):
    pytest.importorskip("torch")
    pytest.importorskip("scipy")
    assert FILE.stat().st_size < 100_000
    assert_close(make_resize.make(), golden, 1e-12)


@every_method
@pytest.mark.parametrize("grids", [(14, 24), (24, 14), (16, 14), (1, 3), (14, 1)], ids=str)
def test_agrees_with_torch_live(rng, grids, method):
    pytest.importorskip("torch")
    old, new = grids
    x = rng.standard_normal((2, old, old, 5))
    assert_close(run(x, (new, new), method), make_resize.by_torch(x, new, new, method), 1e-12)


@pytest.mark.parametrize("grids", [(14, 24), (24, 14), (16, 14), (7, 12), (14, 1)], ids=str)
def test_agrees_with_scipy_live(rng, grids):
    pytest.importorskip("scipy")
    old, new = grids
    x = rng.standard_normal((2, old, old, 5))
    assert_close(resize(x, new, new, "bilinear aligned")[0], make_resize.by_scipy(x, new, new), 1e-12)


def test_scipy_loses_the_last_pixel_where_it_rounds_and_nothing_else(rng):
    pytest.importorskip("scipy")
    x = rng.standard_normal((1, 8, 8, 3))
    y, scipys = resize(x, 26, 26, "bilinear aligned")[0], make_resize.by_scipy(x, 26, 26)
    assert_close(y[:, :-1, :-1], scipys[:, :-1, :-1])
    assert_same_bits(y[:, -1, -1], x[:, -1, -1])
    assert (scipys[:, -1, -1] == 0).all(), "SciPy is mended: take this out of resize_weights' docstring"


@every_size
@pytest.mark.parametrize(
    ("method", "pillows"), [("bilinear antialias", Image.BILINEAR), ("bicubic antialias", Image.BICUBIC)]
)
def test_agrees_with_pillow(rng, old, new, method, pillows):
    x = rng.standard_normal(old).astype(np.float32)
    expected = np.asarray(Image.fromarray(x).resize(new[::-1], pillows))
    assert_close(resize(x[..., None], *new, method)[0][..., 0], expected, 1e-6)


@every_method
@every_size
def test_agrees_with_its_twin(rng, old, new, method):
    x = rng.standard_normal((2, *old, 3))
    y, dx = run(x, new, method)
    assert_close((y, dx), (naive.resize(x, *new, method), naive.resize_backward(upstream(y.shape), x, method)))


@every_method
@pytest.mark.parametrize(("old", "new"), LENGTHS)
def test_weights_of_a_new_pixel_sum_to_one(old, new, method):
    weights = resize_weights(np, old, new, method)
    assert weights.shape == (new, old)
    assert abs(weights.sum(axis=1) - 1).max() < 1e-14


@every_method
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_size_changes_no_bit(rng, method, dtype):
    for size in [(1, 1), (3, 5), (14, 14), (37, 48)]:
        x = rng.standard_normal((2, *size, 3)).astype(dtype)
        y, c = resize(x, *size, method)
        assert_same_bits((y, resize_backward(x, c)), (x, x))
    for n in range(1, 100):
        assert_same_bits(resize_weights(np, n, n, method), np.eye(n))


@hypothesis.settings(max_examples=40)
@hypothesis.given(*(strategies.integers(2, 40) for _ in range(4)))
def test_aligned_corners_keep_what_is_linear(H, W, height, width):
    def plane(rows, columns):
        down, across = np.linspace(0, 1, rows)[:, None], np.linspace(0, 1, columns)
        return (3 + 2 * down - 5 * across)[..., None]

    assert_close(resize(plane(H, W), height, width, "bilinear aligned")[0], plane(height, width))


def test_half_a_pixel_by_example():
    x = np.array([0.0, 4.0]).reshape(1, 2, 1)
    between = {method: resize(x, 1, 4, method)[0].ravel().tolist() for method in ("bilinear", "bilinear aligned")}
    assert between["bilinear"] == [0, 1, 3, 4]  # places -1/4 (beyond the edge), 1/4, 3/4, 5/4
    np.testing.assert_allclose(between["bilinear aligned"], [0, 4 / 3, 8 / 3, 4])  # places 0, 1/3, 2/3, 1
    peak = np.array([0, 0, 0, 8.0, 0, 0, 0, 0]).reshape(1, 8, 1)
    assert resize(peak, 1, 2, "bilinear")[0].ravel().tolist() == [0, 0]  # at 1.5 and 5.5: it does not see the peak
    assert resize(peak, 1, 2, "bilinear antialias")[0].ravel()[0] > 1


@every_method
def test_images_and_channels_are_resized_alone(rng, method):
    x = rng.standard_normal((2, 4, 3, 5, 6))
    y, _ = resize(x, 4, 7, method)
    assert y.shape == (2, 4, 4, 7, 6)
    assert_close(resize(x[1, 2, ..., 3:4], 4, 7, method)[0], y[1, 2, ..., 3:4])


@every_method
@pytest.mark.parametrize(("old", "new"), [(3, 5), (5, 3), (4, 4), (1, 3), (2, 1)])
def test_positions_agree_with_their_twin(rng, old, new, method):
    pos = rng.standard_normal((1 + old**2, 4))
    y, c = resize_positions(pos, new, method)
    assert_close(y, naive.resize_positions(pos, new, method))
    assert_same_bits(y[0], pos[0])
    assert resize_positions_backward(y, c).shape == pos.shape
    assert_same_bits(resize_positions(pos, old, method)[0], pos)


@every_method
def test_positions_of_a_rectangle(rng, method):
    pos, dy = rng.standard_normal((1 + 2 * 5, 4)), rng.standard_normal((1 + 3 * 4, 4))
    y, c = resize_positions(pos, (3, 4), method, old=(2, 5))
    expected, _ = resize(pos[1:].reshape(2, 5, 4), 3, 4, method)
    assert_same_bits(y, np.concatenate([pos[:1], expected.reshape(12, 4)]))
    assert_close((resize_positions_backward(dy, c) * pos).sum(), (dy * y).sum())
    assert_same_bits(resize_positions(pos, (2, 5), method, old=(2, 5))[0], pos)


@every_method
def test_the_class_row_has_no_part_in_the_resize(rng, method):
    pos = rng.standard_normal((1 + 4**2, 3))
    other = pos.copy()
    other[0] = 100
    y, c = resize_positions(pos, 6, method)
    assert_same_bits(resize_positions(other, 6, method)[0][1:], y[1:])
    dy = np.zeros_like(y)
    dy[0] = 7
    dpos = resize_positions_backward(dy, c)
    assert (dpos[0] == 7).all() and (dpos[1:] == 0).all()


def test_base_16_at_384_pixels():
    pos = np.zeros((1 + 14**2, PRESETS["B/16"].dim), np.float32)
    y, _ = resize_positions(pos, 384 // 16, "bicubic")
    assert (y.shape, y.dtype) == ((577, 768), np.float32)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: resize(np.zeros((2, 3, 1)), 4, 4, "nearest"),
            "unknown way to resize 'nearest': expected one of bilinear aligned, bilinear, bicubic, bilinear antialias, "
            "bicubic antialias",
        ),
        (
            lambda: resize(np.zeros((2, 3, 1)), 4, 0, "bicubic"),
            "cannot resize 2x3 to 4x0: every side needs a pixel at least",
        ),
        (
            lambda: resize_positions(np.zeros((1, 8)), 4, "bicubic"),
            "cannot resize 0x0 to 4x4: every side needs a pixel at least",
        ),
        (
            lambda: resize_positions(np.zeros((16, 8)), 4, "bicubic"),
            "a position table of 16 rows cannot be resized: without the class token's there are 15, which is no square "
            "number",
        ),
        (
            lambda: resize_positions(np.zeros((17, 8)), 4, "bicubic", old=(2, 7)),
            "a position table of 17 rows cannot be resized: without the class token's there are 16, expected 2 x 7",
        ),
    ],
)
def test_what_cannot_be_resized(call, text):
    with pytest.raises(UsageError, match=f"^{re.escape(text)}$"):
        call()
