"""A folder of pictures as a data set: its classes, its parts, and pictures of every size and kind."""

import dataclasses
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from tests.data.paint import encoded, paint, painted, picture
from tests.reference.compare import assert_same_bits
from tinyvit.data import DATASETS, Pixels, dataset_named, load_data, prepare, read_data, read_image
from tinyvit.data.pictures import Loaded
from tinyvit.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def no_cache(no_sets):
    return no_sets


def line_of(*arguments, **how):
    with pytest.raises(DataError) as caught:
        read_data(*arguments, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_predicted(path, dataset):
    return prepare(read_image(path), dataset)[0]


def test_classes_by_name_and_every_picture_once(tmp_path):
    root = paint(tmp_path / "pets", {"dogs": 10, "cats": 5, "小 鸟": 5})
    dataset, (x, y), (x_test, y_test), notes = read_data(root)
    assert dataset.class_names == ("cats", "dogs", "小 鸟") and dataset.classes == 3 and dataset.name == "pets"
    assert (dataset.side, dataset.channels, dataset.maximum, dataset.ink_box, dataset.photos) == (
        32,
        3,
        255,
        None,
        True,
    )
    assert notes == ()
    assert y.dtype == y_test.dtype == np.int64
    assert np.bincount(y).tolist() == [4, 8, 4] and np.bincount(y_test).tolist() == [1, 2, 1]
    assert isinstance(x, Pixels) and x.shape == (16, 32, 32, 3) and x_test.shape == (4, 32, 32, 3)
    expected = {}
    for label, name in enumerate(dataset.class_names):
        for path in (root / name).iterdir():
            expected[as_predicted(path, dataset).tobytes()] = label
    found = {image.tobytes(): label for image, label in zip([*x, *x_test], [*y, *y_test], strict=True)}
    assert found == expected and len(found) == 20


def test_the_parts_are_fixed_and_a_fifth(tmp_path):
    root = paint(tmp_path / "a", {"x": 10, "y": 10})
    _, train, test, _ = read_data(root)
    again = load_data(str(root))
    for part, other in zip((train, test), again, strict=True):
        assert_same_bits(part[0][:], other[0][:])
        np.testing.assert_array_equal(part[1], other[1])
    dataset = read_data(root).dataset
    for place, image in zip(("x/02", "x/07", "y/02", "y/07"), test[0], strict=True):
        assert_same_bits(image, as_predicted(root / f"{place}.png", dataset))


def test_the_only_picture_of_a_class_is_learned(tmp_path):
    root = paint(tmp_path / "a", {f"class {k}": 1 for k in range(9)} | {"many": 3})
    _, (_, y), (_, y_test), _ = read_data(root)
    assert np.bincount(y).tolist() == [1] * 9 + [2] and y_test.tolist() == [9]


@pytest.mark.parametrize("wrapped", ["", "top", "top/inner"])
def test_train_and_test_as_they_lie(tmp_path, wrapped):
    root = paint(tmp_path / "a" / wrapped, {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 4})
    dataset, (x, y), (x_test, y_test), notes = read_data(tmp_path / "a", size=8)
    assert (y.tolist(), y_test.tolist(), notes) == ([0, 0, 0, 1, 1], [0, 1, 1, 1, 1], ())
    assert_same_bits(x[4], as_predicted(root / "train/dog/01.png", dataset))
    assert_same_bits(x_test[4], as_predicted(root / "test/dog/03.png", dataset))


def test_a_class_may_lack_tests_and_train_alone_is_divided(tmp_path):
    root = paint(tmp_path / "a", {"train/cat": 5, "train/dog": 5, "test/dog": 1})
    assert read_data(root).test[1].tolist() == [1]
    root = paint(tmp_path / "b", {"train/cat": 5, "train/dog": 5})
    assert read_data(root).dataset.class_names == ("cat", "dog") and len(read_data(root).test[1]) == 2


def test_classes_called_train_and_test_are_classes_too(tmp_path):
    assert read_data(paint(tmp_path / "a", {"train": 3, "test": 3})).dataset.class_names == ("test", "train")


def kinds():
    """Pictures of every size and mode, as files {name: bytes}."""
    rotated = Image.Exif()
    rotated[0x0112] = 6
    deep = Image.fromarray(np.random.default_rng(1).integers(0, 65536, (12, 20), dtype=np.uint16))
    tall = painted(5, (10, 40))
    return {
        "16-bit.png": encoded(deep),
        "palette.png": encoded(painted(2, (33, 20)).quantize(7)),
        "alpha.png": encoded(painted(3, (20, 33), "RGBA")),
        "grey alpha.png": encoded(painted(4, (20, 20), "LA")),
        "cmyk.jpg": encoded(painted(6, (64, 48), "CMYK"), "JPEG"),
        "rotated.JPG": encoded(tall, "JPEG", exif=rotated),
        "grey.bmp": encoded(painted(7, (5, 90), "L"), "BMP"),
        "large.webp": encoded(painted(8, (300, 200)), "WEBP"),
        "one pixel.gif": encoded(painted(9, (1, 1), "L"), "GIF"),
        "exact.tiff": encoded(painted(10, (16, 16)), "TIFF"),
    }


def test_every_size_and_mode_to_the_bit_as_predict_prepares_it(tmp_path):
    root = paint(tmp_path / "a", {"train/plain": 1, "test/plain": 1, "train/mixed": 0})
    for name, data in kinds().items():
        (root / "train/mixed" / name).write_bytes(data)
    dataset, (x, _), _, _ = read_data(root, size=16)
    for image, name in zip(x, sorted(kinds()), strict=False):
        assert_same_bits(image, as_predicted(root / "train/mixed" / name, dataset))
    exact = np.asarray(painted(10, (16, 16)), np.float32)
    assert_same_bits(x[sorted(kinds()).index("exact.tiff")], (exact - 127.5) / 127.5)  # nothing to do, nothing done


def test_the_shorter_side_is_resized_and_the_middle_cut_out(tmp_path):
    root = paint(tmp_path / "a", {"x": 2, "y": 2}, size=(50, 20))
    dataset, (x, _), _, _ = read_data(root, size=10)
    wide = painted(0, (50, 20)).resize((25, 10), Image.Resampling.BILINEAR)
    paths = [path for path in sorted(root.glob("*/*.png")) if np.array_equal(as_predicted(path, dataset), x[0])]
    seed = {"x/00": 0, "x/01": 1, "y/00": 2, "y/01": 3}[paths[0].relative_to(root).with_suffix("").as_posix()]
    wide = painted(seed, (50, 20)).resize((25, 10), Image.Resampling.BILINEAR)
    pixels = np.asarray(wide)[:, 8:18]
    np.testing.assert_array_equal(x.stored[0], pixels)
    image, notes = prepare(read_image(paths[0]), dataset)
    assert notes == ["cut to the square in the middle", "resized from 50x20 to 10x10"]
    assert_same_bits(image, x[0])


@pytest.mark.parametrize("kind", ["grey file", "grey colours"])
def test_grey_pictures_have_one_channel(tmp_path, kind):
    root = paint(tmp_path / "a", {"x": 5, "y": 5}, mode="L", size=(40, 30))
    if kind == "grey colours":
        for path in root.glob("*/*"):
            Image.open(path).convert("RGB").save(path)
    dataset, (x, _), _, _ = read_data(root, size=16)
    assert dataset.channels == 1 and x.shape == (8, 16, 16, 1)
    assert_same_bits(x[0], as_predicted(root / "x/00.png", dataset))
    colour = painted(99, (40, 30))
    image, notes = prepare(np.asarray(colour), dataset)
    assert image.shape == (16, 16, 1) and "converted from colour to grey" in notes
    colour.save(root / "x" / "00.png")
    assert read_data(root, size=16).dataset.channels == 3


def test_one_picture_in_colour_among_many_grey_ones(tmp_path):
    root = paint(tmp_path / "a", {"x": 80, "y": 2}, mode="L", size=(2, 2))
    (root / "x" / "00.png").write_bytes(picture(0, (2, 2)))  # many are read at a time, and this is among the first
    assert read_data(root, size=2).dataset.channels == 3


def test_a_dark_or_blank_photograph_is_left_as_it_is():
    image, notes = prepare(np.full((32, 32, 3), 7, np.uint8), DATASETS["cifar-10"])
    assert notes == [] and (image == np.float32((7 - 127.5) / 127.5)).all()


def test_hidden_files_are_nothing_and_others_are_said(tmp_path):
    root = paint(tmp_path / "a", {"x": 5, "y": 5, ".git": 1, "__MACOSX/x": 1})
    for name in ("x/.DS_Store", "x/notes.txt", "x/list.csv", "y/a.npy", "y/readme", "README.md", "stray.png"):
        (root / name).write_bytes(b"")
    notes = read_data(root).notes
    assert notes[0].startswith("ignored 4 of the classes' files, whose names are no pictures': x/list.csv, x/notes.txt")
    assert notes[0].endswith("and 1 more") and notes[1] == "ignored 1 beside the classes' folders: stray.png"
    assert read_data(root).notes == notes  # from the cache as well
    root = paint(tmp_path / "b", {"train/x": 1, "train/y": 1, "test/x": 1, "val/x": 1})
    assert read_data(root).notes == ("ignored 1 beside the classes' folders: val/",)


def test_two_thousand_pictures_and_a_name_in_chinese(tmp_path, monkeypatch):
    root, names = tmp_path / "many", ["猫 和 狗", "plain", "ελληνικά", "عربي"]
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(500):
            colour = (label, number % 256, number // 256)
            (root / name / f"{number}.png").write_bytes(encoded(Image.new("RGB", (2, 2), colour)))
    dataset, (x, y), (x_test, y_test), _ = read_data(root, size=2)
    assert dataset.class_names == tuple(sorted(names)) and (len(x), len(x_test)) == (1600, 400)
    assert np.bincount(y).tolist() == [400] * 4 and np.bincount(y_test).tolist() == [100] * 4
    stored, labels = np.concatenate([x.stored, x_test.stored]), np.concatenate([y, y_test])
    assert len(np.unique(stored.reshape(2000, -1), axis=0)) == 2000
    np.testing.assert_array_equal(stored[:, 0, 0, 0], [names.index(dataset.class_names[label]) for label in labels])


def test_the_bar_is_shown_when_asked_for(tmp_path, monkeypatch, capfd):
    import tqdm

    monkeypatch.setattr(tqdm, "tqdm", lambda *a, real=tqdm.tqdm, delay=0, **how: real(*a, **how, delay=0))
    root = paint(tmp_path / "a", {"x": 30, "y": 30})
    read_data(root)
    assert capfd.readouterr() == ("", "")
    read_data(root, size=4, progress=True)
    out, said = capfd.readouterr()
    assert out == "" and "reading a: 100%" in said and "60/60" in said


NO_CLASS = "expected CLASS/picture, or train/CLASS/picture and test/CLASS/picture"


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"x": 3}, f"found one class, 'x', expected two or more: {NO_CLASS}"),
        ({".": 3}, f"found no folders in it, one for each class: {NO_CLASS}"),
        ({}, f"found no folders in it, one for each class: {NO_CLASS}"),
        ({"x": 3, "y": 0}, "found no pictures in the class 'y', expected names that end in .png"),
        ({"x": 1, "y": 1}, "found one picture in each class, expected more, so that one can be tested"),
        (
            {"Cat": 3, "cat": 3, "dog": 1},
            "'Cat' and 'cat' differ in case or in the form of an accent only, and would be",
        ),
        ({"x": 3, "y/deep": 3}, f"found folders within a class, 'y/deep': {NO_CLASS}"),
        (
            {"train/x": 1, "train/y": 1, "test/z": 1, "test/x": 1},
            "found the class 'z' in test, expected one of train's: x, y",
        ),
        ({"x\ny": 3, "z": 3}, r"the folder 'x\ny' cannot be shown as a class: give it another name"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_folders_that_are_no_classes(tmp_path, counts, line):
    root = tmp_path / "a"
    root.mkdir()
    paint(root, counts)
    assert line_of(root).startswith(f"{root}: {line}")


def test_parts_that_are_no_classes(tmp_path):
    root = paint(tmp_path / "a", {"train/x": 2, "train/y": 2, "test/x": 1, "test/y": 0})
    assert line_of(root).startswith(f"{root}/test: found no pictures in the class 'test/y'")
    root = paint(tmp_path / "b", {"train/x": 2, "test/x": 2})
    assert line_of(root).startswith(f"{root}/train: found one class, 'x'")


def test_accents_in_either_form_are_one_name(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    root = paint(tmp_path / "a", {f"train/{composed}": 1, "train/x": 1, f"test/{apart}": 1})
    loaded = read_data(root)
    assert loaded.dataset.class_names == ("x", composed) and loaded.test[1].tolist() == [1]
    if len(os.listdir(paint(tmp_path / "b", {composed: 2, apart: 2, "x": 1}))) == 3:
        assert "differ in case or in the form of an accent only" in line_of(tmp_path / "b")


@pytest.fixture
def broken(tmp_path):
    """Ten pictures each of two classes, three of which are none."""
    root = paint(tmp_path / "a", {"x": 10, "y": 10})
    (root / "x" / "03.png").write_bytes(b"no picture")
    (root / "x" / "07.png").write_bytes((root / "x" / "07.png").read_bytes()[:70])
    (root / "y" / "09.png").write_bytes(b"")
    return root


def test_pictures_that_cannot_be_read_are_named_and_counted(broken):
    first = f"{broken}/x/03.png: not a picture that can be read; expected PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM or .npy"
    rest = "3 of 20 pictures cannot be read: mend or remove them, or leave them out with --skip-broken"
    assert line_of(broken) == f"{first}; {rest}"
    assert line_of(broken) == f"{first}; {rest}"  # nothing was kept


def test_and_left_out_if_asked(broken):
    for _ in ("read", "kept"):
        dataset, (x, y), (x_test, y_test), notes = read_data(broken, skip_broken=True)
        assert np.bincount(y).tolist() == [7, 7] and np.bincount(y_test).tolist() == [1, 2]
        assert_same_bits(x[2], as_predicted(broken / "x" / "04.png", dataset))
        assert_same_bits(x_test[0], as_predicted(broken / "x" / "02.png", dataset))
        assert len(notes) == 1 and notes[0].startswith(
            f"left out 3 of 20 pictures that cannot be read; {broken}/x/03.png:"
        )
    assert "3 of 20 pictures cannot be read: mend or remove them" in line_of(broken)


def test_a_class_of_broken_pictures_only(tmp_path):
    root = paint(tmp_path / "a", {"x": 5, "y": 1})
    (root / "y" / "00.png").write_bytes(b"none")
    said = line_of(root, skip_broken=True)
    assert said.startswith(f"{root}/y/00.png: not a picture") and said.endswith(
        "; no picture of the class 'y' can be read: put some there"
    )
    root = paint(tmp_path / "b", {"train/x": 1, "train/y": 1, "test/x": 1})
    (root / "test" / "x" / "00.png").write_bytes(b"none")
    assert line_of(root, skip_broken=True).endswith("; no picture for testing can be read: put some there")


def test_a_link_to_nowhere_and_a_ribbon_are_broken_pictures(tmp_path):
    root = paint(tmp_path / "a", {"x": 2, "y": 2})
    (root / "x" / "zz.png").symlink_to(tmp_path / "nowhere")
    (root / "y" / "zz.png").write_bytes(picture(0, (2100, 2)))
    said = line_of(root)
    assert said.startswith(f"{root}/x/zz.png: cannot be read: No such file or directory; 2 of 6 pictures")


def test_a_pipe_is_not_waited_for(tmp_path):
    root = paint(tmp_path / "a", {"x": 2, "y": 2})
    os.mkfifo(root / "x" / "pipe.png")
    assert len(read_data(root).train[1]) == 3


def test_a_link_in_a_circle_ends(tmp_path):
    root = paint(tmp_path / "a", {"x": 2, "y": 2})
    (root / "z").symlink_to(root)
    assert "found folders within a class, 'z/x'" in line_of(root)


def test_a_name_wins_and_a_path_is_none_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paint(tmp_path, {"digits/x": 3, "digits/y": 3})
    assert dataset_named("digits") is DATASETS["digits"] is read_data("digits").dataset
    assert dataset_named("./digits") is None and read_data("./digits").dataset.name == "digits"
    assert read_data(tmp_path / "digits").dataset.classes == 2
    for name in ("nowhere", "", "zero\0byte", 5):
        with pytest.raises(UsageError) as caught:
            dataset_named(name)
        assert str(caught.value).endswith("mnist, fashion-mnist, cifar-10, or a folder or .zip of pictures")


@pytest.mark.parametrize("size", [0, -4, 5000, 2.5, True])
def test_impossible_sizes(tmp_path, size):
    with pytest.raises(UsageError) as caught:
        read_data(paint(tmp_path / "a", {"x": 2, "y": 2}), size=size)
    assert str(caught.value) == f"size is {size!r}: expected a whole number of pixels from 1 to 4096"


def test_read_data_of_the_sets_that_have_names():
    loaded = read_data("digits", size=16)
    assert loaded.dataset == DATASETS["digits"] and loaded.notes == ()
    for (x, y), (other, labels) in zip((loaded.train, loaded.test), load_data("digits", size=16), strict=True):
        assert_same_bits(x, other)
        np.testing.assert_array_equal(y, labels)
    assert dataclasses.asdict(DATASETS["digits"])["photos"] is False


def test_the_fingerprint_changes_with_the_last_image_and_label_of_either_part():
    x, y = np.zeros((300, 1, 1, 1), np.float32), np.zeros(300, np.int64)
    loaded = Loaded(None, (x, y), (x, y))
    found = {loaded.fingerprint}
    for part in ("train", "test"):
        for place in (0, 1):
            changed = (x.copy(), y.copy())
            changed[place][-1] = 1
            found.add(loaded._replace(**{part: changed}).fingerprint)
    assert len(found) == 5


def test_classes_are_in_the_order_of_their_composed_names(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert apart < "x" < composed
    assert read_data(paint(tmp_path / "a", {apart: 2, "x": 2})).dataset.class_names == ("x", composed)
