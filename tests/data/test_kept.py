"""Pictures are read once: the second start opens none of them, and a cache that fails is done without."""

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.paint import paint, picture
from tests.reference.compare import assert_same_bits
from tinyvit.data import kept, pictures, read_data
from tinyvit.errors import DataError


@pytest.fixture
def place(no_sets):
    """The folder in which pictures are kept."""
    return no_sets / "pictures"


@pytest.fixture(params=["folder", "zip"])
def source(request, tmp_path, place):
    root = paint(tmp_path / "a", {"x": 8, "y": 8})
    if request.param == "folder":
        return root
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for path in sorted(root.rglob("*.png")):
            packed.write(path, path.relative_to(root))
    return tmp_path / "a.zip"


@pytest.fixture
def opened(monkeypatch):
    """The pictures that are decoded, as they are."""
    real, names = pictures.decoded, []
    monkeypatch.setattr(pictures, "decoded", lambda path, *more: names.append(path) or real(path, *more))
    return names


def same(loaded, other):
    assert loaded.dataset == other.dataset and loaded.notes == other.notes
    for part, expected in zip(loaded[1:3], other[1:3], strict=True):
        assert_same_bits(part[0][:], expected[0][:])
        np.testing.assert_array_equal(part[1], expected[1])


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_the_second_start_reads_no_picture(source, opened, place):
    first = read_data(source)
    assert len(opened) == 16 and len(list(place.iterdir())) == 1
    opened.clear()
    second = read_data(source)
    assert opened == []
    same(second, first)
    assert type(second.train[0][:3]) is np.ndarray  # a batch is an array like any other
    assert is_mapped(first.train[0].stored) and is_mapped(second.test[0].stored)


def test_a_zip_is_not_even_opened(source, opened, monkeypatch):
    if source.is_dir():
        pytest.skip("a folder has no archive")
    first = read_data(source)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *arguments: 1 / 0)
    same(read_data(source), first)


def test_another_size_is_another_reading_and_both_are_kept(source, opened, place):
    sizes = [read_data(source, size=size).train[0].shape[1] for size in (8, 12, 8, 12)]
    assert sizes == [8, 12, 8, 12] and len(opened) == 32 and len(list(place.iterdir())) == 2


def change_date(root):
    os.utime(root / "x" / "00.png", ns=(1, 1))


def change_name(root):
    (root / "x" / "00.png").rename(root / "x" / "zero.png")


def add(root):
    (root / "x" / "new.png").write_bytes(picture(77))


def remove(root):
    (root / "x" / "00.png").unlink()


def change_size(root):
    path = root / "x" / "00.png"
    before = path.stat()
    path.write_bytes(picture(5, (3, 3)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def move_to_the_other_class(root):
    (root / "x" / "00.png").rename(root / "y" / "z.png")


def name_a_class_anew(root):
    (root / "x").rename(root / "w")


@pytest.mark.parametrize(
    "change", [change_date, change_name, add, remove, change_size, move_to_the_other_class, name_a_class_anew]
)
def test_a_change_is_read_and_replaces_what_was_kept(tmp_path, place, opened, change):
    root = paint(tmp_path / "a", {"x": 8, "y": 8})
    read_data(root)
    (before,) = place.iterdir()
    opened.clear()
    change(root)
    loaded = read_data(root)
    assert len(opened) == len(loaded.train[1]) + len(loaded.test[1]) == len(list(root.rglob("*.png")))
    (after,) = place.iterdir()
    assert after != before


def test_a_zip_that_changes_is_read_again(tmp_path, place, opened):
    for number in (1, 2):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
            for name in ("x/0", "x/1", "y/0", "y/1"):
                packed.writestr(f"{name}.png", picture(number))
        os.utime(tmp_path / "a.zip", ns=(number, number))
        read_data(tmp_path / "a.zip")
    assert len(opened) == 8 and len(list(place.iterdir())) == 1


def test_a_copy_elsewhere_is_not_taken_for_it(tmp_path, place, opened):
    for name, shade in (("a", 1), ("b", 2)):
        for folder in ("x", "y"):
            (tmp_path / name / folder).mkdir(parents=True)
            for number in range(2):
                path = tmp_path / name / folder / f"{number}.ppm"
                path.write_bytes(b"P6 1 1 255\n" + bytes([shade] * 3))
                os.utime(path, ns=(1, 1))
    shades = [read_data(tmp_path / name).train[0].stored[0, 0, 0, 0] for name in ("a", "b", "a")]
    assert shades == [1, 2, 1] and len(opened) == 8


def cut(data):
    return data[:-1]


def cut_in_the_images(data):
    return data[:2000]


def lengthen(data):
    return data + b"\0"


def flip_the_header(data):
    return b"\x93NUMPY\xff" + data[7:]


def other_counts(data):
    return data.replace(b'"counts": [[6', b'"counts": [[7')


def other_classes(data):
    return data.replace(b'["x", "y"]', b'["x xy"  ]')


def other_shape(data):
    return data.replace(b"(16, 32, 32, 3)", b"(48, 32, 32, 1)")


def nothing(data):
    return b""


def no_description(data):
    return data[: data.rindex(b"{")] + b"}" * (len(data) - data.rindex(b"{"))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        cut_in_the_images,
        lengthen,
        flip_the_header,
        other_counts,
        other_classes,
        other_shape,
        nothing,
        no_description,
    ],
)
def test_a_damaged_cache_is_made_again(tmp_path, place, opened, damage):
    root = paint(tmp_path / "a", {"x": 8, "y": 8})
    expected = read_data(root)
    images = [part[0][:] for part in expected[1:3]]
    (path,) = place.iterdir()
    data = path.read_bytes()
    assert damage(data) != data
    path.unlink()
    path.write_bytes(damage(data))
    opened.clear()
    loaded = read_data(root)
    assert len(opened) == 16 and path.read_bytes() == data
    for part, image in zip(loaded[1:3], images, strict=True):
        assert_same_bits(part[0][:], image)


def test_no_folder_to_keep_them_in(source, place, opened):
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    place.parent.write_bytes(b"a file where the folder would be")
    loaded = read_data(source)
    assert len(loaded.train[1]) == 13 and loaded.train[0].shape == (13, 32, 32, 3)
    assert loaded.notes[0].startswith(f"the pictures will be read anew at each start: {place} cannot be written (")
    opened.clear()
    assert read_data(source).notes == loaded.notes and len(opened) == 16


def test_a_full_disk(source, place, opened, monkeypatch):
    class Full(io.FileIO):
        written = 0

        def write(self, data):
            self.written += memoryview(data).nbytes
            if self.written > 20_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr("tinyvit.files.open", lambda path, mode, **text: Full(path, mode), raising=False)
    full = read_data(source)
    assert full.notes == (
        f"the pictures will be read anew at each start: {place} cannot be written (No space left on device)",
    )
    assert list(place.iterdir()) == []  # nothing half-written is left
    monkeypatch.undo()
    monkeypatch.setattr("pooch.os_cache", lambda project: place.parent)
    roomy = read_data(source)
    assert_same_bits(full.train[0][:], roomy.train[0][:])
    assert_same_bits(full.test[0][:], roomy.test[0][:])


def test_what_fails_half_way_leaves_nothing(tmp_path, place):
    root = paint(tmp_path / "a", {"x": 8, "y": 8})
    (root / "y" / "05.png").write_bytes(b"none")
    with pytest.raises(DataError):
        read_data(root)
    assert list(place.iterdir()) == []


def test_what_is_kept_can_be_written_down(tmp_path):
    blocks = [np.full((2, 4, 4, 3), value % 256, np.uint8) for value in range(600)]
    path = tmp_path / "deep" / f"{'0' * 16}-{'1' * 16}.npy"
    about = {"class_names": ["a"], "counts": [[1000], [200]], "grey": False, "notes": [], "skipped": False}
    kept.save(path, 4, iter(blocks), lambda: about)
    images, description = kept.load(path, 4)
    assert description == about and is_mapped(images)
    np.testing.assert_array_equal(images, np.concatenate(blocks))
    assert kept.load(path, 5) is None and kept.load(tmp_path / "none.npy", 4) is None
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_where_they_are_kept_depends_on_the_place_the_size_and_the_state(place, tmp_path):
    paths = {kept.kept_path(Path(where), size, state) for where in ("a", "b") for size in (1, 2) for state in (1, 2)}
    assert len(paths) == 8 and all(path.parent == place for path in paths)
    assert len({path.name[:17] for path in paths}) == 4
