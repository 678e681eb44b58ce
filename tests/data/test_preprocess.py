"""prepare: a picture of any size and polarity arrives as the data set's own pictures are, and every step is said."""

import numpy as np
import pytest
from PIL import Image

from tests.data.moved import as_bytes, is_unchanged, moved, moved_pictures
from tinyvit.data import DATASETS, load_data, prepare
from tinyvit.errors import DataError

DIGITS, MNIST, FASHION = (DATASETS[name] for name in ("digits", "mnist", "fashion-mnist"))
INVERTED = "inverted: the background was lighter than the ink"


def blob(height, width, top, left, tall, wide, ink=255, ground=0):
    """A bar of ink on a ground, uint8 [H, W, 1]."""
    picture = np.full((height, width, 1), ground, dtype=np.uint8)
    picture[top : top + tall, left : left + wide] = ink
    return picture


def ink_box(image):
    """top, left, height, width of what is brighter than the middle."""
    rows, columns = (np.flatnonzero((image[:, :, 0] > 0).any(axis=axis)) for axis in (1, 0))
    return rows[0], columns[0], len(rows), len(columns)


@pytest.mark.parametrize("dataset", [DIGITS, MNIST, FASHION])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (200, 300), (300, 200), (3, 90)])
def test_form(dataset, size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    before = picture.copy()
    image, notes = prepare(picture, dataset)
    assert image.shape == (dataset.side, dataset.side, 1) and image.dtype == np.float32
    assert image.min() >= -1 and image.max() <= 1 and image.max() - image.min() > 0.1
    np.testing.assert_array_equal(picture, before)
    assert all(isinstance(note, str) and "\n" not in note for note in notes)


@pytest.mark.parametrize(("name", "count"), [("digits", 1437), ("mnist", 1000)])
def test_a_set_s_own_picture_passes_unchanged(name, count, request):
    """`python -m tests.data.moved` asks all 70,000 of MNIST."""
    (x, _), (x_test, _) = load_data(name, request.getfixturevalue("real_mnist") if name == "mnist" else None)
    for original in np.concatenate([x[:count], x_test[:count]]):
        assert is_unchanged(original, DATASETS[name])


ROUND_ABOUT = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("size", [(28, 28), (29, 29), (60, 40)])
def test_moved_ink_comes_back_to_the_pixel(size, inverted):
    """Ink whose longer side has MNIST's 20 pixels: wherever it lies, it is what it was in its place."""
    centred = np.zeros((28, 28), np.uint8)
    centred[3:23, 12:15], centred[14:17, 15:20] = 255, 255
    centred[3:5, 12:15] = 60  # a faint end, which belongs to it
    expected, notes = prepare(centred[..., None], MNIST)
    assert notes == []
    for far in (1, 3) if size == (28, 28) else (0, 1, 3):
        for down, right in ROUND_ABOUT:
            image = moved(centred, far * down, far * right, *size)
            image = 255 - image if inverted else image
            found, notes = prepare(image[..., None], MNIST)
            assert notes == [INVERTED] * inverted + ["cropped to the ink and centred"]
            np.testing.assert_array_equal(found, expected)


def test_ink_of_another_size_is_resized_in_a_picture_of_the_set_s_size():
    for top, left, longer in ((4, 12, 12), (1, 12, 26)):
        image, notes = prepare(blob(28, 28, top, left, longer, 4), MNIST)
        assert notes == ["cropped to the ink and centred", "resized the ink"]
        assert ink_box(image)[2] == 20


def test_noise_on_the_ground_is_no_ink():
    picture = blob(28, 28, 4, 12, 20, 4)
    picture[0, 0] = picture[27, 27] = 30
    assert prepare(picture, MNIST)[1] == []


@pytest.mark.parametrize("shape", [(28, 28), (29, 29), (300, 400)])
def test_moved_digits_of_mnist_look_as_they_did(real_mnist, shape):
    _, (x, _) = load_data("mnist", real_mnist)
    originals = as_bytes(x[:30])
    for inverted in (False, True):
        for far, down, right in ((2, 1, -1), (4, 0, 1), (6, -1, 0)):
            kept, images = moved_pictures(originals, far * down, far * right, shape, inverted)
            assert kept
            found = np.stack([prepare(image, MNIST)[0] for image in images])
            different = np.abs(found - x[:30][kept]).mean(axis=(1, 2, 3))
            assert np.median(different) < (0.05 if shape == (300, 400) else 1e-6)


def test_black_on_white_is_the_same_as_white_on_black():
    picture = blob(100, 80, 20, 30, 50, 9)
    image, notes = prepare(picture, MNIST)
    inverse, inverse_notes = prepare(255 - picture, MNIST)
    np.testing.assert_array_equal(image, inverse)
    steps = ["cropped to the ink and centred", "resized from 80x100 to 28x28"]
    assert notes == steps and inverse_notes == [INVERTED, *steps]


def test_the_border_decides_not_the_majority():
    rows, columns = np.ogrid[:100, :100]
    thick = 255 * (np.hypot(rows - 49.5, columns - 49.5) < 46).astype(np.uint8)[:, :, None]
    assert thick.mean() > 0.6 * 255
    assert INVERTED not in prepare(thick, MNIST)[1]
    assert prepare(255 - thick, MNIST)[1][0] == INVERTED


@pytest.mark.parametrize(("ground", "inverted"), [(90, False), (125, False), (130, True), (165, True)])
def test_a_grey_ground_is_dark_up_to_the_middle_of_what_there_is(ground, inverted):
    picture = blob(28, 28, 8, 8, 12, 3, 255, ground)
    picture[8:20, 15:18] = 0
    assert (INVERTED in prepare(picture, MNIST)[1]) == inverted


@pytest.mark.parametrize("edges", [(0, 0, 0, 0), (1, 1, 1, 1), (9, 2, 1, 5)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_frame_is_neither_ground_nor_ink(edges, inverted):
    """As around a scan of paper that does not lie even; and a box drawn around the ink."""
    top, bottom, left, right = edges
    picture = 255 - blob(100, 80, 30, 40, 40, 12)[..., 0]
    framed = np.pad(picture, ((top, bottom), (left, right)))
    expected, _ = prepare(picture[..., None], MNIST)
    boxed = np.pad(framed, 5, constant_values=255)
    for drawn in (framed, boxed) if any(edges) else (framed,):
        found, more = prepare((255 - drawn if inverted else drawn)[..., None], MNIST)
        np.testing.assert_array_equal(found, expected)
        assert more.count("cut off the frame") == any(edges)


def test_dark_paper_with_darker_ink_is_inverted_and_light_chalk_on_a_light_board_is_not():
    assert prepare(blob(100, 80, 20, 30, 50, 9, ink=20, ground=110), MNIST)[1][0] == INVERTED
    assert INVERTED not in prepare(blob(100, 80, 20, 30, 50, 9, ink=240, ground=140), MNIST)[1]


@pytest.mark.parametrize("scale", [1, 5])
def test_two_figures_in_a_row_are_not_read_as_one_without_a_word(real_mnist, scale):
    (_, _), (x, _) = load_data("mnist", real_mnist)
    one, two = (as_bytes(x[:2])[i].repeat(scale, 0).repeat(scale, 1) for i in (0, 1))
    several = "one figure is expected, not several in a row"
    assert several in prepare(255 - np.concatenate([one, two], axis=1)[..., None], MNIST)[1][-1]
    assert several not in str(prepare(255 - np.pad(one, 9)[..., None], MNIST)[1])


def test_ink_fills_the_box_wherever_it_was():
    for top, left in ((0, 0), (10, 70), (60, 5)):
        image, _ = prepare(blob(130, 90, top, left, 70, 14), MNIST)
        assert ink_box(image) == (4, 12, 20, 4)  # 20 of 28 high, and centre of mass in row and column 14
    image, _ = prepare(blob(50, 90, 20, 15, 10, 60), MNIST)
    assert ink_box(image)[2:] == (3, 20)


def test_centred_by_mass_not_by_box():
    picture = blob(100, 100, 20, 30, 60, 9)
    picture[71:80, 30:70] = 255  # an L: its mass lies low and to the left of its box's middle
    image, _ = prepare(picture, MNIST)
    mass = (image[:, :, 0] + 1).astype(float)
    places = np.arange(28)
    assert mass.sum(axis=1) @ places / mass.sum() == pytest.approx(14, abs=0.5)
    assert mass.sum(axis=0) @ places / mass.sum() == pytest.approx(14, abs=0.5)
    top, left, height, width = ink_box(image)
    assert (height, width) == (20, 13) and top < 4 and left > 7


@pytest.mark.parametrize("wall", [2, 3, 4, 5, 20, 60])
def test_symmetrical_ink_goes_to_the_even_pixel(wall):
    """Its centre of mass lies half-way between two: no rounding error may say which."""
    ring = blob(280, 280, 40, 60, 200, 140)
    ring[40 + wall : 240 - wall, 60 + wall : 200 - wall] = 0
    image, _ = prepare(ring, MNIST)
    assert np.argwhere(image[:, :, 0] > -1).min(axis=0).tolist() == [4, 8]  # 14 - 9.5 is 4.5, and 14 - 6.5 is 7.5
    np.testing.assert_allclose(prepare(ring.swapaxes(0, 1), MNIST)[0], image.swapaxes(0, 1), rtol=0, atol=1e-6)


def test_digits_fill_the_whole_side_and_stay_inside():
    low = blob(100, 100, 20, 30, 60, 9)
    low[71:80, 30:70] = 255  # an L
    for picture in (low, low[::-1], low.swapaxes(0, 1), low.swapaxes(0, 1)[:, ::-1]):
        image, _ = prepare(picture, DIGITS)
        assert 8 in ink_box(image)[2:] and 0 in ink_box(image)[:2]


def test_an_enlarged_picture_of_the_set_comes_back(real_mnist):
    _, (x, _) = load_data("mnist", real_mnist)
    rng = np.random.default_rng(0)
    differences = []
    for original in x[:100]:
        paper = np.full((400, 350), 230, dtype=np.uint8)
        ink = np.kron((original[:, :, 0] + 1) * 100, np.ones((10, 10))).astype(np.uint8)
        top, left = rng.integers(0, (120, 70))
        paper[top : top + 280, left : left + 280] -= ink
        image, notes = prepare(paper[:, :, None], MNIST)
        assert notes[0] == INVERTED and notes[-1] == "resized from 350x400 to 28x28"
        differences.append(np.abs(image - original).mean())
    assert np.mean(differences) < 0.05 and np.mean(np.array(differences) < 0.05) > 0.75  # the rest are a pixel aside


def test_grey_paper_and_a_shadow_across_it():
    paper = np.linspace(190, 170, 100)[:, None, None] * np.ones((1, 80, 1))
    paper[30:70, 30:38] = 40
    image, notes = prepare(paper.astype(np.uint8), MNIST)
    assert notes == [
        INVERTED,
        "raised the contrast: brightness 93 to 215 became 0 to 255",
        "cropped to the ink and centred",
        "resized from 80x100 to 28x28",
    ]
    assert ink_box(image) == (4, 12, 20, 4) and image.max() == 1
    assert (image == -1).sum() == 28 * 28 - 20 * 4  # nothing is left of the shadow


def test_faint_ink_is_raised():
    image, notes = prepare(blob(28, 28, 4, 9, 20, 10, ink=16), MNIST)  # an array of values 0 to 16, say
    assert notes == ["raised the contrast: brightness 0 to 16 became 0 to 255"]
    np.testing.assert_array_equal(np.unique(image), [-1, 1])


def test_colour_is_weighed_as_the_eye_does():
    picture = np.zeros((28, 28, 3), dtype=np.uint8)
    picture[4:24, 13:16] = (255, 255, 255)
    picture[10, 13], picture[10, 14], picture[10, 15] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    image, notes = prepare(picture, MNIST)
    assert notes == ["converted from colour to grey"]
    np.testing.assert_allclose((image[10, 13:16, 0] + 1) * 127.5, [59.8, 117.4, 22.8], atol=1e-3)
    grey_in_three_channels = np.repeat(blob(28, 28, 4, 13, 20, 3), 3, axis=2)
    assert prepare(grey_in_three_channels, MNIST)[1] == []


def test_fashion_is_padded_and_resized_but_not_cropped():
    picture = blob(60, 40, 10, 5, 20, 10, ink=90)
    image, notes = prepare(picture, FASHION)
    assert notes == ["padded to a square", "resized from 40x60 to 28x28"]
    assert image.max() == pytest.approx((90 - 127.5) / 127.5)  # its brightness is left alone
    rows, columns = (np.flatnonzero((image[:, :, 0] > -0.6).any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (5, 13, 7, 11)  # 10 / 60 of 28 ... (10 + 15 - 1) / 60 of 28
    assert prepare(255 - picture, FASHION)[1] == [INVERTED, *notes]
    assert prepare(blob(28, 20, 5, 5, 9, 9), FASHION)[1] == ["padded to a square"]
    assert prepare(blob(56, 56, 5, 5, 9, 9), FASHION)[1] == ["resized from 56x56 to 28x28"]


def test_shrinking_is_anti_aliased():
    stripes = np.zeros((280, 280, 1), dtype=np.uint8)
    stripes[5:-5:2] = 255  # one line in two: sampling without a mean would keep all or nothing
    image, _ = prepare(stripes, FASHION)
    assert np.abs(image[3:-3]).max() < 0.1


def test_strokes_thinner_than_a_pixel_are_brightened():
    ring = np.zeros((600, 600, 1), dtype=np.uint8)
    ring[100:500, 150:400] = 255
    ring[104:496, 154:396] = 0  # 4 of 400 pixels: a fifth of a pixel in the box of 20
    image, notes = prepare(ring, MNIST)
    assert notes[-1] == "brightened: the ink's strokes are thinner than a pixel"
    assert image.max() == pytest.approx(1) and (image[:, :, 0] > -0.5).sum() > 50
    assert len(prepare(blob(600, 600, 100, 150, 400, 250), MNIST)[1]) == 2


@pytest.mark.parametrize("value", [0, 130, 255])
@pytest.mark.parametrize("size", [(28, 28), (100, 50)])
@pytest.mark.parametrize("dataset", [DIGITS, MNIST, FASHION])
def test_blank(value, size, dataset):
    noise = np.random.default_rng(0).integers(0, 4, (*size, 1))
    picture = (np.clip(value + noise, 0, 255)).astype(np.uint8)
    with pytest.raises(DataError) as caught:
        prepare(picture, dataset)
    low, high = picture.min(), picture.max()
    assert str(caught.value) == (
        f"found a blank picture (brightness {low} to {high} of 255), expected something drawn on it; "
        "transparent parts count as white"
    )


def test_a_real_file_from_end_to_end(tmp_path):
    from tinyvit.data import read_image

    (_, _), (x, _) = load_data("digits")
    small = Image.fromarray(np.rint((x[0, :, :, 0] + 1) * 127.5).astype(np.uint8))
    large = small.resize((160, 160), Image.Resampling.BOX)
    page = Image.new("RGB", (300, 200), "white")
    page.paste(Image.eval(large, lambda value: 255 - value), (90, 20))
    page.save(tmp_path / "photo.jpg", quality=90)
    image, notes = prepare(read_image(tmp_path / "photo.jpg"), DIGITS)
    assert notes == [INVERTED, "cropped to the ink and centred", "resized from 300x200 to 8x8"]
    assert np.abs(image - x[0]).mean() < 0.25
