"""Where MNIST's files are looked for, in which order, and what is said when they are not there or not right."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest

from tinyvit.data import load_data, mnist
from tinyvit.data.sources import FILES, SOURCES
from tinyvit.errors import DataError


@pytest.fixture(autouse=True)
def nothing_elsewhere(no_sets, monkeypatch):
    """No set but those that a test writes, and no test that reaches for the internet."""

    def refuse(file, mirrors, sha256, folder):
        raise DataError(f"cannot download {file} (refused by the test)")

    monkeypatch.setattr(mnist, "download", refuse)


def line_of(*arguments):
    with pytest.raises(DataError) as caught:
        load_data(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check_same(data, arrays):
    images, labels, test_images, test_labels = arrays
    for (x, y), image, label in zip(data, (images, test_images), (labels, test_labels), strict=True):
        np.testing.assert_array_equal(x, ((image.astype(np.float32) - 127.5) / 127.5)[..., None])
        np.testing.assert_array_equal(y, label)
        assert x.dtype == np.float32 and y.dtype == np.int64


SPELLINGS = ["{file}.gz", "{file}", "{dotted}", "{dotted}.gz"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("mnist", "."),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("fashion-mnist", "."),
    ],
)
def test_found_in_data_dir(tmp_path, write_set, name, folder, spelling):
    arrays = write_set(tmp_path / "d" / folder, spelling)
    check_same(load_data(name, tmp_path / "d"), arrays)
    check_same(load_data(name, str(tmp_path / "d")), arrays)


def test_the_sets_own_folder_comes_first_if_it_is_complete(tmp_path, write_set):
    torchvisions, here = write_set(tmp_path / "MNIST" / "raw", seed=2), write_set(tmp_path, seed=3)
    check_same(load_data("mnist", tmp_path), torchvisions)
    own = write_set(tmp_path / "mnist", seed=1)
    check_same(load_data("mnist", tmp_path), own)
    (tmp_path / "mnist" / f"{FILES[3]}.gz").unlink()
    check_same(load_data("mnist", tmp_path), torchvisions)
    check_same(load_data("fashion-mnist", tmp_path), here)


def test_order_data_dir_then_variable_then_cache(tmp_path, write_set, no_sets, monkeypatch):
    given, by_variable, cached = (write_set(tmp_path / "a", seed=1), write_set(tmp_path / "b" / "mnist", seed=2), None)
    cached = write_set(no_sets / "mnist", seed=3)
    check_same(load_data("mnist"), cached)
    monkeypatch.setenv("TINYVIT_DATA", str(tmp_path / "b"))
    check_same(load_data("mnist"), by_variable)
    check_same(load_data("mnist", tmp_path / "a"), given)
    monkeypatch.setenv("TINYVIT_DATA", str(tmp_path / "nowhere"))
    check_same(load_data("mnist"), cached)
    monkeypatch.setenv("TINYVIT_DATA", "")
    check_same(load_data("mnist"), cached)


def test_given_folder_without_the_files_is_an_error_and_no_download(tmp_path, write_set, no_sets):
    write_set(no_sets / "mnist")  # not a reason to use it: the user named another place
    place = tmp_path / "d"
    place.mkdir()
    looked = f"MNIST not found: looked in {place} and its folders mnist and MNIST/raw; "
    assert line_of("mnist", place) == f"{looked}d/mnist lacks {', '.join(FILES)} (.gz or unpacked)"
    write_set(place)
    (place / f"{FILES[3]}.gz").unlink()
    assert line_of("mnist", place) == f"{looked}d lacks t10k-labels-idx1-ubyte (.gz or unpacked)"
    assert line_of("mnist", place / "none") == f"{place}/none: no such folder; expected one with MNIST's files"


@pytest.mark.parametrize("name", ["mnist", "cifar-10"])
def test_the_home_of_nobody(name):
    assert line_of(name, "~nouser/x").startswith(
        {"mnist": "~nouser/x: no such folder", "cifar-10": "CIFAR-10 not found: looked in ~nouser/x"}[name]
    )


def test_nowhere_to_be_found(no_sets):
    assert line_of("fashion-mnist") == (
        f"Fashion-MNIST was not found on this machine: cannot download {FILES[0]}.gz (refused by the test); "
        f"put its four .gz files into {no_sets}/fashion-mnist by hand, "
        "or name a folder that holds its four .gz files with --data-dir or $TINYVIT_DATA"
    )


@pytest.fixture
def known_mnist(tmp_path, write_set, monkeypatch):
    """A small set in a folder, entered as if it were MNIST as published."""
    arrays = write_set(tmp_path / "known")
    sums = tuple(hashlib.sha256((tmp_path / "known" / f"{file}.gz").read_bytes()).hexdigest() for file in FILES)
    monkeypatch.setitem(SOURCES, "mnist", dataclasses.replace(SOURCES["mnist"], sha256=sums))
    return tmp_path / "known", arrays


def test_the_other_sets_files(known_mnist, no_sets, monkeypatch):
    folder, arrays = known_mnist
    said = "found MNIST's file, expected Fashion-MNIST's; the two sets' files bear the same names"
    assert line_of("fashion-mnist", folder) == f"{folder}/train-images-idx3-ubyte.gz: {said}"
    check_same(load_data("mnist", folder), arrays)
    monkeypatch.setenv("TINYVIT_DATA", str(folder))
    assert "cannot download" in line_of("fashion-mnist")  # the variable need not hold every set
    shutil.copytree(folder, no_sets / "fashion-mnist")
    assert said in line_of("fashion-mnist")


def test_one_file_of_the_other_set_among_four(known_mnist, tmp_path, write_set):
    write_set(tmp_path / "mixed", seed=9)
    shutil.copy(known_mnist[0] / f"{FILES[1]}.gz", tmp_path / "mixed")
    said = "found MNIST's file, expected Fashion-MNIST's"
    assert line_of("fashion-mnist", tmp_path / "mixed").startswith(f"{tmp_path}/mixed/{FILES[1]}.gz: {said}")


def test_real_mnist_is_not_fashion(real_mnist):
    said = "train-images-idx3-ubyte.gz: found MNIST's file, expected Fashion-MNIST's"
    assert said in line_of("fashion-mnist", f"{real_mnist}/mnist")


def replace(folder, index, data):
    (folder / FILES[index]).write_bytes(data)


def test_parts_that_do_not_fit(tmp_path, write_set, to_idx):
    write_set(tmp_path, "{file}")
    good = (tmp_path / FILES[1]).read_bytes()
    images = (tmp_path / FILES[0]).read_bytes()
    replace(tmp_path, 1, to_idx(np.zeros(5, dtype=np.uint8)))
    expected = "found 5 labels, expected 6, one for each image in train-images-idx3-ubyte"
    assert line_of("mnist", tmp_path) == f"{tmp_path}/{FILES[1]}: {expected}"
    replace(tmp_path, 1, to_idx(np.array([0, 1, 2, 10, 4, 5], dtype=np.uint8)))
    assert line_of("mnist", tmp_path) == f"{tmp_path}/{FILES[1]}: found label 10 at index 3, expected 0 to 9"
    replace(tmp_path, 1, good)
    replace(tmp_path, 0, to_idx(np.zeros((6, 27, 28), dtype=np.uint8)))
    assert line_of("mnist", tmp_path) == f"{tmp_path}/{FILES[0]}: found 6 x 27 x 28, expected images of 28 x 28 pixels"
    replace(tmp_path, 0, to_idx(np.zeros((0, 28, 28), dtype=np.uint8)))
    assert line_of("mnist", tmp_path) == f"{tmp_path}/{FILES[0]}: found 0 x 28 x 28, expected images of 28 x 28 pixels"
    replace(tmp_path, 0, images[:-100])
    said = "declares 6 x 28 x 28 entries, more than a file of 4620 bytes can hold; it is cut short"
    assert said in line_of("mnist", tmp_path)
    replace(tmp_path, 0, images[:-1])
    said = "declares 6 x 28 x 28 entries but holds 4703; it is damaged: copy or download the file again"
    assert line_of("mnist", tmp_path) == f"{tmp_path}/{FILES[0]}: {said}"


@pytest.mark.parametrize("module", ["mnist", "idx"])
def test_a_file_one_may_not_read(tmp_path, write_set, monkeypatch, module):
    def forbid(path, mode):
        raise PermissionError(13, "Permission denied", path)

    write_set(tmp_path)
    monkeypatch.setattr(f"tinyvit.data.{module}.open", forbid, raising=False)  # root may read whatever its mode says
    assert line_of("mnist", tmp_path) == f"{tmp_path}/{FILES[0]}.gz: cannot be read: Permission denied"


def test_what_is_published_is_entered_right(real_mnist):
    for file, sha256 in zip(FILES, SOURCES["mnist"].sha256, strict=True):
        with open(f"{real_mnist}/mnist/{file}.gz", "rb") as packed:
            assert hashlib.file_digest(packed, "sha256").hexdigest() == sha256


def test_no_two_published_files_are_the_same():
    sums = [sha256 for source in SOURCES.values() for sha256 in source.sha256]
    assert len(set(sums)) == 8 and all(len(sha256) == 64 and int(sha256, 16) for sha256 in sums)
