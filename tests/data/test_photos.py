"""Photographs prepared as each source does it: as its own code does, or as its recipe says, written out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.reference.compare import assert_same_bits
from tinyvit.data import read_image
from tinyvit.data.photos import HALF, Preparation, prepare_photo
from tinyvit.errors import DataError

SIZES = [(37, 53), (53, 37), (97, 61), (16, 16), (5, 7), (200, 40), (31, 250), (32, 33)]  # height, width
IMAGENET = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def photo(size, channels=3):
    """A random picture: every pixel counts."""
    return np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)


def normalised(pixels, mean=HALF, std=HALF):
    return (np.asarray(pixels, float) / 255 - mean) / std


def close(found, expected, tolerance=1e-6):
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert abs(found - expected).max() <= tolerance, abs(found - expected).max()


@every_size
def test_hugging_faces_recipe(size):
    """Both sides to 16 pixels, bilinear by Pillow."""
    expected = Image.fromarray(photo(size)).resize((16, 16), Image.Resampling.BILINEAR)
    close(prepare_photo(photo(size), Preparation.of("huggingface", 16)), normalised(expected))


@pytest.mark.parametrize(
    "options", [{}, {"resample": 3} | {f"image_{name}": x for name, x in IMAGENET.items()}], ids=str
)
@every_size
def test_hugging_faces_own_code_live(size, options):
    pytest.importorskip("transformers")
    pil = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    processor = pil.ViTImageProcessorPil(size={"height": 16, "width": 16}, **options)
    expected = processor(Image.fromarray(photo(size)), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    preparation = Preparation.of("huggingface", 16).as_described(options)
    assert preparation == Preparation.of("huggingface", 16).as_described(json.loads(processor.to_json_string()))
    close(prepare_photo(photo(size), preparation), expected, 1e-6)


@pytest.mark.parametrize(("side", "crop"), [(16, 0.9), (16, 1.0), (16, 0.875), (21, 0.95), (15, 0.5)])
@every_size
def test_timms_recipe(size, side, crop):
    """torchvision's Resize of the shorter side to side / crop, bicubic by Pillow, and CenterCrop, written out."""
    height, width = size
    shorter = int(np.floor(side / crop))
    if width <= height:
        new_width, new_height = shorter, int(shorter * height / width)
    else:
        new_height, new_width = shorter, int(shorter * width / height)
    resized = Image.fromarray(photo(size)).resize((new_width, new_height), Image.Resampling.BICUBIC)
    top, left = round((new_height - side) / 2), round((new_width - side) / 2)
    expected = resized.crop((left, top, left + side, top + side))
    preparation = replace(Preparation.of("timm", side), crop=crop, **IMAGENET)
    close(prepare_photo(photo(size), preparation), normalised(expected, **IMAGENET), 3e-6)


def test_timms_habits():
    assert [Preparation.of("timm", size).crop for size in (160, 224, 225, 384)] == [0.9, 0.9, 1.0, 1.0]
    assert Preparation.of("timm", 224) == Preparation(224, "bicubic", True, 0.9, HALF, HALF)
    middle = np.zeros((248, 248, 3), np.uint8)  # 224 / 0.9 rounded down: nothing is resized
    middle[12:236, 12:236] = 255
    assert (prepare_photo(middle, Preparation.of("timm", 224)) == 1).all()
    larger = np.zeros((249, 248, 3), np.uint8)  # half a pixel is rounded to the even side
    larger[12:236, 12:236] = 255
    assert (prepare_photo(larger, Preparation.of("timm", 224)) == 1).all()


@every_size
def test_googles_recipe(size):
    """tf.image.resize without antialiasing: linear between the centres of pixels, and flat beyond the outermost."""
    pixels = photo(size).astype(float)
    for axis, old in enumerate(size):
        places = (np.arange(16) + 0.5) * old / 16 - 0.5
        line = lambda values, places=places, old=old: np.interp(places, np.arange(old), values)  # noqa: E731
        pixels = np.apply_along_axis(line, axis, pixels)
    close(prepare_photo(photo(size), Preparation.of("google", 16)), (pixels - 127.5) / 127.5, 2e-6)


def test_the_sources_differ():
    found = [prepare_photo(photo((97, 61)), Preparation.of(source, 16)) for source in ("google", "timm", "huggingface")]
    for i, one in enumerate(found):
        assert all(abs(one - other).mean() > 0.01 for other in found[:i])


@pytest.mark.parametrize("source", ["google", "timm", "huggingface"])
@pytest.mark.parametrize("size", [(16, 16), (40, 1000), (1000, 40), (1, 1), (1, 900)], ids=str)
def test_every_shape_fits(size, source):
    found = prepare_photo(photo(size), Preparation.of(source, 16))
    assert found.shape == (16, 16, 3) and found.dtype == np.float32 and abs(found).max() <= 1


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.floats(0.06, 1))
def test_the_middle_is_always_whole(height, width, side, crop):
    """A single colour stays that colour, whatever is resized and cut off."""
    picture = np.full((height, width, 3), (200, 30, 90), np.uint8)
    found = prepare_photo(picture, Preparation(side, "bicubic", crop=crop))
    close(found, np.broadcast_to(normalised((200, 30, 90)), (side, side, 3)))


def test_the_same_size_is_not_resized():
    expected = normalised(photo((16, 16)))
    for source in ("google", "huggingface"):
        close(prepare_photo(photo((16, 16)), Preparation.of(source, 16)), expected)
    close(prepare_photo(photo((16, 16)), Preparation(16, "lanczos", crop=1.0)), expected)


@pytest.mark.parametrize("size", [(3, 3001), (3001, 3)])
def test_what_would_vanish(size):
    with pytest.raises(DataError, match=f"picture of {size[1]} x {size[0]} pixels"):
        prepare_photo(photo(size), Preparation(16))


@pytest.mark.parametrize("source", ["google", "timm", "huggingface"])
def test_grey(source):
    """A grey picture is its copy in three colours; a model of grey pictures gets colours weighed as the eye does."""
    preparation = Preparation.of(source, 16)
    grey = photo((37, 53), channels=1)
    copy = np.repeat(grey, 3, axis=2)
    assert_same_bits(prepare_photo(grey, preparation), prepare_photo(copy, preparation))
    one = prepare_photo(grey, preparation, channels=1)
    close(one, prepare_photo(copy, preparation)[..., :1])
    coloured = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    flat = np.full((16, 16, 1), luma / 127.5 - 1)
    close(prepare_photo(coloured, Preparation.of("huggingface", 16), channels=1), flat)


def test_through_read_image(tmp_path):
    """Upright as EXIF says, transparent on white, a palette's colours."""
    preparation, pixels = Preparation.of("timm", 16), photo((37, 53))
    expected = prepare_photo(pixels, preparation)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "turned.png", exif=exif)
    assert_same_bits(prepare_photo(read_image(tmp_path / "turned.png"), preparation), expected)

    alpha = np.full((37, 53, 1), 255, np.uint8)
    alpha[:, :20] = 0
    Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(tmp_path / "alpha.png")
    on_white = np.where(alpha == 0, 255, pixels).astype(np.uint8)
    found = prepare_photo(read_image(tmp_path / "alpha.png"), preparation)
    assert_same_bits(found, prepare_photo(on_white, preparation))
    assert found[0, 0].tolist() == [1, 1, 1]

    few = Image.fromarray(pixels).quantize(7)
    few.save(tmp_path / "palette.png")
    found = prepare_photo(read_image(tmp_path / "palette.png"), preparation)
    assert_same_bits(found, prepare_photo(np.asarray(few.convert("RGB")), preparation))

    Image.fromarray(pixels).convert("L").save(tmp_path / "grey.png")
    found = prepare_photo(read_image(tmp_path / "grey.png"), preparation)
    assert found.shape == (16, 16, 3) and (found[..., 0] == found[..., 1]).all()


def test_descriptions():
    timm = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "interpolation": "bilinear", "crop_pct": 0.95, "input_size": [3]}
    found = Preparation.of("timm", 224).as_described(timm)
    assert found == Preparation(224, "bilinear", True, 0.95, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    assert Preparation.of("timm", 224).as_described({}) == Preparation.of("timm", 224)
    assert Preparation(224).as_described({"resample": 3, "image_mean": [0, 0, 0]}).mean == (0, 0, 0)
    assert [Preparation(9).as_described({"resample": i}).resample for i in range(4)] == [
        "nearest",
        "lanczos",
        "bilinear",
        "bicubic",
    ]


def test_a_crop_by_the_shorter_side():
    """The side is the one that is said, to the pixel, though the crop is kept as a quotient."""
    for side, edge in ((224, 256), (224, 375), (224, 439), (16, 93), (384, 384)):
        said = {"do_center_crop": True, "size": {"shortest_edge": edge}}
        picture = np.zeros((edge, edge, 3), np.uint8)
        begin = round((edge - side) / 2)
        picture[begin : begin + side, begin : begin + side] = 255
        assert (prepare_photo(picture, Preparation(side).as_described(said)) == 1).all()


@pytest.mark.parametrize(
    "described",
    [
        {"mean": "abc"},
        {"mean": [0.5]},
        {"std": [0, 1, 1]},
        {"std": [-1, 1, 1]},
        {"image_mean": [0.5]},
        {"image_mean": "0.5"},
        {"crop_pct": 0.9, "crop_mode": "border"},
        {"interpolation": "random"},
        {"resample": []},
        {"crop_pct": 0.01},
        {"rescale_factor": 1 / 127.5},
        {"crop_pct": 1.5},
        {"crop_pct": []},
        {"do_center_crop": True, "size": {"shortest_edge": 0}},
        ["mean"],
    ],
    ids=str,
)
def test_descriptions_that_cannot_be(described):
    with pytest.raises(DataError, match="cannot be read"):
        Preparation(224).as_described(described)


@pytest.mark.parametrize("size", [256, {"height": 256, "width": 256}])
def test_both_sides_resized_and_the_middle_cut_out(size):
    """As facebook/deit-base-patch16-224 asks for: 256 x 256, then the middle 224 x 224."""
    said = {"size": size, "do_center_crop": True, "crop_size": 224, "resample": 3}
    found = Preparation.of("huggingface", 224).as_described(said)
    assert found.squash and found.resample == "bicubic"
    pixels = photo((300, 200))
    squashed = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC), np.float32)[
        16:240, 16:240
    ]
    np.testing.assert_allclose(prepare_photo(pixels, found), squashed / 127.5 - 1, atol=1e-6)


def test_what_is_not_to_be_done():
    usual = Preparation.of("huggingface", 224)
    found = usual.as_described({"do_normalize": False})
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))
    for step in ("do_resize", "do_rescale"):
        with pytest.raises(DataError, match=f"{step} is false"):
            usual.as_described({step: False})
    with pytest.raises(DataError, match="expected 4 channels"):
        prepare_photo(photo((8, 8)), Preparation(8), 4)
