"""Reading pictures: every kind that users have, and one line for every kind of damage."""

import io
import os
import pickle
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from tests.reference.forgery import npy, refused_in_one_line
from tinyvit.data import image_arrays, images, read_image
from tinyvit.errors import DataError

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def save(path, picture, mode=None, **options):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def line_of(path):
    with pytest.raises(DataError) as caught:
        read_image(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and not line.endswith(": ")
    return line.removeprefix(f"{path}: ")


def check(path, expected, atol=0):
    pixels = read_image(path)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.flags.writeable
    assert type(pixels) is np.ndarray
    np.testing.assert_allclose(pixels.astype(int), np.asarray(expected).reshape(pixels.shape), atol=atol)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg"])
def test_formats(tmp_path, ending):
    flat = np.full((16, 24, 3), (200, 30, 90), dtype=np.uint8)
    options = {"lossless": True} if ending == "webp" else {}
    check(save(tmp_path / f"a.{ending}", flat, **options), flat, atol=4 if ending == "jpg" else 0)


def test_grey_stays_grey_and_colour_colour(tmp_path):
    check(save(tmp_path / "grey.png", GREY), GREY)
    assert read_image(tmp_path / "grey.png").shape == (5, 7, 1)
    check(save(tmp_path / "colour.png", COLOUR), COLOUR)
    check(str(save(tmp_path / "text.png", GREY)), GREY)  # a path as text


def test_black_and_white(tmp_path):
    bits = GREY > 100
    check(save(tmp_path / "bits.png", bits), bits * 255)


def test_palette(tmp_path):
    image = Image.fromarray(COLOUR).quantize(35)
    image.save(tmp_path / "a.png")
    check(tmp_path / "a.png", np.asarray(image.convert("RGB")))
    assert len(np.unique(read_image(tmp_path / "a.png").reshape(-1, 3), axis=0)) > 20


def test_sixteen_bits(tmp_path):
    deep = np.array([[0, 257, 65535], [128, 129, 257 * 200]], dtype=np.uint16)
    check(save(tmp_path / "a.png", deep), [[0, 1, 255], [0, 1, 200]])
    check(save(tmp_path / "a.tiff", deep), [[0, 1, 255], [0, 1, 200]])
    image = Image.open(io.BytesIO((tmp_path / "a.tiff").read_bytes())).convert("I")
    check(save(tmp_path / "b.tiff", image), [[0, 1, 255], [0, 1, 200]])


def test_floats(tmp_path):
    check(save(tmp_path / "a.tiff", np.array([[0, 0.5, 1]], dtype=np.float32)), [[0, 128, 255]])
    line = line_of(save(tmp_path / "b.tiff", np.array([[0, 300]], dtype=np.float32)))
    assert line == "found values from 0 to 300, expected floats 0 to 1"


def test_cmyk(tmp_path):
    image = Image.fromarray(np.full((8, 8, 3), (10, 200, 60), dtype=np.uint8)).convert("CMYK")
    check(save(tmp_path / "a.tiff", image), np.asarray(image.convert("RGB")))


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.zeros((5, 7), dtype=np.uint8)
    alpha[:, 1], alpha[:, 2] = 255, 128
    colour = save(tmp_path / "rgba.png", np.dstack([COLOUR, alpha]))
    over = COLOUR * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    check(colour, over, atol=1)
    grey = save(tmp_path / "la.png", np.dstack([GREY, alpha]))
    check(grey, GREY * (alpha / 255) + 255 * (1 - alpha / 255), atol=1)
    assert read_image(grey).shape == (5, 7, 1)


def test_transparent_palette_and_transparent_grey(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), "P")
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "p.png", transparency=0)
    check(tmp_path / "p.png", [[[255] * 3, [10, 20, 30]], [[10, 20, 30], [255] * 3]])
    save(tmp_path / "l.png", np.array([[0, 7]], dtype=np.uint8), transparency=0)
    check(tmp_path / "l.png", [[255, 7]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(tmp_path, orientation):
    undo = [  # what the camera did to the upright picture, by the EXIF standard's table
        lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud,
        lambda a: a.T, lambda a: np.rot90(a), lambda a: np.rot90(a, 2).T, lambda a: np.rot90(a, -1),
    ]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", np.ascontiguousarray(undo[orientation - 1](GREY)), exif=exif)
    check(tmp_path / "a.png", GREY)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, ">i4"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_arrays_of_whole_numbers(tmp_path, dtype, shape):
    np.save(tmp_path / "a.npy", GREY.astype(dtype).reshape(shape))
    check(tmp_path / "a.npy", GREY)


def test_arrays_of_floats_and_colour_and_fortran_order(tmp_path):
    np.save(tmp_path / "a.npy", (GREY / 255).astype(np.float32))
    check(tmp_path / "a.npy", GREY)
    np.save(tmp_path / "b.npy", np.asfortranarray(COLOUR))
    check(tmp_path / "b.npy", COLOUR)
    np.save(tmp_path / "c.NPY".lower(), np.array([[0.5, 0.499]]))
    check(tmp_path / "c.npy", [[128, 127]])


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (np.zeros(5), "found an array of shape [5], expected [H, W], [H, W, 1] or [H, W, 3]"),
        (np.zeros((5, 5, 4)), "found an array of shape [5, 5, 4], expected [H, W], [H, W, 1] or [H, W, 3]"),
        (np.zeros((1, 5, 5, 1)), "found an array of shape [1, 5, 5, 1], expected [H, W], [H, W, 1] or [H, W, 3]"),
        (np.zeros((0, 5)), "found an array of shape [0, 5], expected [H, W], [H, W, 1] or [H, W, 3]"),
        (np.zeros((2, 2), bool), "found an array of bool, expected whole numbers 0 to 255 or floats 0 to 1"),
        (np.zeros((2, 2), "c8"), "found an array of complex64, expected whole numbers 0 to 255 or floats 0 to 1"),
        (np.array([["a"]]), "found an array of <U1, expected whole numbers 0 to 255 or floats 0 to 1"),
        (np.array([[-1.0, 1.0]]), "found values from -1 to 1, expected floats 0 to 1"),
        (np.array([[0.0, 255.0]]), "found values from 0 to 255, expected floats 0 to 1"),
        (np.array([[0, 1.0000001]], np.float32), "found values from 0 to 1.0000001, expected floats 0 to 1"),
        (np.array([[-1e-9, 0.1]]), "found values from -1e-09 to 0.1, expected floats 0 to 1"),
        (np.array([[0, np.nan]]), "found values from nan to nan, expected floats 0 to 1"),
        (np.array([[0, 256]]), "found values from 0 to 256, expected whole numbers 0 to 255"),
        (np.array([[-1, 5]]), "found values from -1 to 5, expected whole numbers 0 to 255"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path, array, line):
    np.save(tmp_path / "a.npy", array)
    assert line_of(tmp_path / "a.npy") == line


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


def test_no_pickle_is_run(tmp_path):
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb()))
    assert "it begins with" in line_of(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([[Bomb()]]), allow_pickle=True)
    expected = "expected whole numbers 0 to 255 or floats 0 to 1"
    assert line_of(tmp_path / "b.npy") == f"found an array of Python objects, {expected}"


def test_damaged_arrays(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    whole = (tmp_path / "a.npy").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "a.npy").write_bytes(whole[:size])
        assert line_of(tmp_path / "a.npy").startswith("damaged")
    np.savez(tmp_path / "b.npz", GREY)
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    assert "damaged, or not what its name says" in line_of(tmp_path / "b.npy")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "a.png", GREY)
    check("~/a.png", GREY)
    with pytest.raises(DataError, match=r"^~nouser/a\.png: cannot be read: No such file"):
        read_image("~nouser/a.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert line_of(tmp_path / "a.png") == "no ordinary file, expected a picture"


def test_missing_and_folder(tmp_path):
    for ending in (".png", ".npy"):
        assert line_of(tmp_path / f"none{ending}") == "cannot be read: No such file or directory"
        (tmp_path / f"folder{ending}").mkdir()
        assert line_of(tmp_path / f"folder{ending}") == "cannot be read: Is a directory"


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.7"])
def test_not_a_picture(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    expected = "expected PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM or .npy"
    assert line_of(tmp_path / "a.png") == f"not a picture that can be read; {expected}"


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_a_truncated_picture(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert line_of(path) == "cannot be read: damaged or cut short"


def png_declaring(width, height):
    """A PNG whose header declares a size that its few bytes of data do not fill."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


@pytest.mark.parametrize(
    ("ending", "width", "height", "words"),
    [
        ("png", 10_000, 10_000, "cannot be read: damaged or cut short"),  # a photograph may be so large
        ("png", 60_000, 60_000, "found 60000 x 60000 pixels, expected at most 65536 on a side, and 268 million"),
        ("png", 70_000, 2, "found 70000 x 2 pixels, expected at most 65536 on a side"),
        ("png", 15_000, 15_000, "pixels of PNG, which take 900 MB to decode, expected at most 805 MB: make it smaller"),
        ("webp", 9_000, 9_000, "found 9000 x 9000 pixels of WEBP, which take 1296 MB to decode, expected at most 805"),
        ("tiff", 11_000, 11_000, "found 11000 x 11000 pixels of TIFF, which take 968 MB to decode"),
        ("jpg", 65_000, 5_000, "found 65000 x 5000 pixels, expected at most 65536 on a side, and 268 million"),
    ],
)
def test_what_takes_too_much_memory_is_refused_by_its_header(tmp_path, ending, width, height, words):
    path = tmp_path / f"a.{ending}"
    if ending == "png":
        path.write_bytes(png_declaring(width, height))
    else:
        path.write_bytes(
            resized(encoded({"jpg": "JPEG"}.get(ending, ending), np.zeros((9, 9), np.uint8)), width, height)
        )
    refused_in_one_line(lambda: read_image(path), path, words, error=DataError)


def resized(data, width, height):
    """An encoded picture of 9 x 9 pixels whose header says that it is of another size."""
    if data[:4] == b"RIFF":  # WEBP: 14 bits each, less one
        here = data.index(b"VP8 ") + 14
        return data[:here] + struct.pack("<2H", width, height) + data[here + 4 :]
    if data[:2] == b"II":  # TIFF: tags 256, 257 and 278, rows in a strip
        tags = ((256, width), (257, height), (278, height))
        for tag, value in tags:
            here = data.index(struct.pack("<H", tag) + b"\4\0\1\0\0\0") + 8
            data = data[:here] + struct.pack("<I", value) + data[here + 4 :]
        return data
    here = data.index(b"\xff\xc0") + 5  # JPEG
    return data[:here] + struct.pack(">2H", height, width) + data[here + 4 :]


NPYS = {  # the header of an .npy, and what is said of it
    "sparse": (npy((65_000, 65_000), "|u1"), "expected a picture of ordinary size"),
    "long": (npy((2**27, 3), "|u1"), "expected a picture of ordinary size"),
    "beyond all": (npy((10**30, 10**30), "|u1"), "expected a picture of ordinary size"),
    "more than there is": (npy((5_000, 5_000), "<f8"), "found 0 bytes of numbers, expected float64 [5000, 5000]"),
    "less than there is": (npy((5, 7), "|u1", data=bytes(36)), "found 36 bytes of numbers, expected uint8 [5, 7]"),
    "negative": (npy((-1, 5), "|u1"), "damaged"),
    "a true side": (npy((True, 5), "|u1"), "damaged"),
    "records": (npy((2, 2), [("a", "<f4")]), "expected whole numbers"),
    "a long header": (b"\x93NUMPY\2\0" + struct.pack("<I", 120_000_000), "declares 120000000 bytes, expected at most"),
    "a version to come": (b"\x93NUMPY\4\0" + bytes(100), "and a version"),
}


@pytest.mark.parametrize("name", NPYS)
def test_arrays_whose_header_is_not_so(tmp_path, name):
    header, words = NPYS[name]
    path = tmp_path / "a.npy"
    path.write_bytes(header)
    if name == "sparse":
        os.truncate(path, len(header) + 65_000**2)
    refused_in_one_line(lambda: read_image(path), path, words, error=DataError)


def test_an_array_takes_no_more_memory_than_its_picture(tmp_path):
    for name, array in (("c", np.zeros((1500, 2000, 3), np.float32)), ("f", np.zeros((2000, 1500, 3), order="F"))):
        np.save(tmp_path / f"{name}.npy", array)
        tracemalloc.start()
        assert read_image(tmp_path / f"{name}.npy").nbytes == 9_000_000
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 45_000_000  # that of the file is 36 or 72 million, of which a million numbers are read at a time


def test_a_photograph_of_108_megapixels(tmp_path):
    image = Image.new("RGB", (12_000, 9_000), (200, 30, 90))
    image.paste((20, 220, 10), (6_000, 0, 12_000, 4_500))
    pixels = read_image(save(tmp_path / "a.jpg", image))
    assert pixels.shape == (4_500, 6_000, 3)
    expected = [[[200, 30, 90], [20, 220, 10]], [[200, 30, 90], [200, 30, 90]]]
    np.testing.assert_allclose(pixels[1_000::2_500, 1_000::4_000].astype(int), expected, atol=3)


@pytest.mark.parametrize("ending", ["png", "tiff", "npy", "rgba.png", "16.png", "f.tiff"])
@pytest.mark.parametrize(("height", "width"), [(37, 50), (5, 400), (400, 5)])
def test_a_large_picture_is_halved_strip_by_strip(tmp_path, monkeypatch, ending, height, width):
    rng, path = np.random.default_rng(0), tmp_path / f"a.{ending}"
    whole = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if ending == "npy":
        np.save(path, whole)
    elif ending == "rgba.png":
        save(path, np.dstack([whole, rng.integers(0, 256, (height, width), dtype=np.uint8)]))
    elif ending == "16.png":
        save(path, whole[:, :, 0].astype(np.uint16) * 257)
    elif ending == "f.tiff":
        save(path, whole[:, :, 0].astype(np.float32) / 255)
    else:
        save(path, whole)
    plain = read_image(path)
    monkeypatch.setattr(images, "STRIP", 64)
    monkeypatch.setattr(image_arrays, "AT_ONCE", 64)
    np.testing.assert_array_equal(read_image(path), plain)
    monkeypatch.setattr(image_arrays, "LARGE", 200)
    by = 4  # the first that leaves at most 200 pixels
    expected = np.asarray(Image.fromarray(plain.squeeze()).reduce(by)).reshape(-(-height // by), -(-width // by), -1)
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("most", [100, 200])
def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch, most):
    """35 pixels, of which each takes four bytes."""
    monkeypatch.setattr(images, "BESIDE_OTHERS", most)
    locked, strip_pixels = [], images._strip_pixels
    monkeypatch.setattr(images, "_strip_pixels", lambda s: locked.append(images.ALONE.locked()) or strip_pixels(s))
    check(save(tmp_path / "a.png", GREY), GREY)
    assert locked == [most == 100] and not images.ALONE.locked()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_progressive_jpeg_takes_more_memory_to_decode(tmp_path, progressive):
    with Image.open(save(tmp_path / "a.jpg", COLOUR, progressive=progressive)) as image:
        assert images._size_decoded(image, "a.jpg") == (4 + 6 * progressive) * 35


def test_pillows_own_limit_is_what_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)  # not what an earlier test may have left
    read_image(save(tmp_path / "a.png", GREY))
    line_of(tmp_path / "none.png")
    assert Image.MAX_IMAGE_PIXELS == 1234


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(tmp_path, orientation):
    path = save(tmp_path / "a.tiff", COLOUR, tiffinfo={0x0112: orientation})
    check(path, np.asarray(ImageOps.exif_transpose(Image.open(path))))


def test_a_bomb_in_the_text_of_a_png(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 10), zip=True)
    save(tmp_path / "a.png", GREY, pnginfo=text)
    assert "damaged" in line_of(tmp_path / "a.png")


def encoded(ending, picture=COLOUR):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, ending)
    return stream.getvalue()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]).map(encoded), st.data())
def test_any_damage_is_a_picture_or_one_line(tmp_path_factory, data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage", numbered=True) / "a.img"
    path.write_bytes(damaged)
    try:
        pixels = read_image(path)
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (1, 3)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
