"""CIFAR-10 from either of its archives, packed or not; a pickle in it may ask for nothing but an array."""

import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits
from tinyvit.data import DATASETS, Pixels, cifar, load_data, prepare, read_data
from tinyvit.data.cifar import FORMS, TEST, TRAIN
from tinyvit.errors import DataError

BINARY, PYTHON = FORMS
COUNT = 12  # images in a batch
RNG = np.random.default_rng(0)
BATCHES = {
    name: (RNG.integers(0, 256, (COUNT, 3072), dtype=np.uint8), RNG.permutation(COUNT) % 10) for name in (*TRAIN, TEST)
}


@pytest.fixture(autouse=True)
def nothing_elsewhere(no_sets, monkeypatch):
    """Batches of a dozen images, no archive but those that a test writes, and no test that reaches for the internet."""

    def refuse(file, mirrors, checksum, folder):
        raise DataError(f"cannot download {file} (refused by the test)")

    monkeypatch.setattr(cifar, "download", refuse)
    monkeypatch.setattr(cifar, "IMAGES", COUNT)
    return no_sets


def binary(rows, labels):
    return np.concatenate([labels[:, None].astype(np.uint8), rows], axis=1).tobytes()


def python_2(rows, labels):
    """A batch as Python 2.7 and its NumPy wrote it, operation by operation."""

    def text(data):
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    def number(value):
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"tR"
    kind = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR("
    kind += number(3) + text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + number(0) + b"tb"
    shape = number(len(rows)) + number(3072) + b"\x86"
    array += b"(" + number(1) + shape + kind + b"\x89" + text(rows.tobytes()) + b"tb"
    items = text(b"batch_label") + text(b"training batch 1 of 5")
    items += text(b"labels") + b"](" + b"".join(map(number, labels.tolist())) + b"e"
    items += text(b"data") + array + text(b"filenames") + b"](" + text(b"a.png") * len(labels) + b"e"
    return b"\x80\x02}(" + items + b"u."


def python_3(rows, labels):
    return pickle.dumps({b"data": rows, b"labels": labels.tolist()}, protocol=2)


WRITERS = {"binary": (BINARY, binary), "python 2": (PYTHON, python_2), "python 3": (PYTHON, python_3)}


@pytest.fixture(params=WRITERS)
def published(request, monkeypatch):
    """write(folder, packed): a small CIFAR-10 in one of its forms; returns its path."""
    form, encode = WRITERS[request.param]

    def write(folder, packed=True):
        files = {name + form.suffix: encode(*batch) for name, batch in BATCHES.items()}
        if not packed:
            return unpack(folder / form.folder, files)
        path = pack(folder / form.archive, {f"{form.folder}/{name}": data for name, data in files.items()})
        trust(monkeypatch, path)
        return path

    return write


def unpack(folder, files):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def pack(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("readme.html"))
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def trust(monkeypatch, path):
    """Take this archive's checksum for the published one."""
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    forms = [cifar.Form(f.archive, md5 if f.archive == path.name else f.md5, f.folder, f.suffix) for f in cifar.FORMS]
    monkeypatch.setattr(cifar, "FORMS", tuple(forms))


def line_of(*arguments):
    with pytest.raises(DataError) as caught:
        load_data("cifar-10", *arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check(data):
    (x, y), (x_test, y_test) = data
    assert isinstance(x, Pixels) and x.shape == (5 * COUNT, 32, 32, 3) and x_test.shape == (COUNT, 32, 32, 3)
    assert y.dtype == y_test.dtype == np.int64
    np.testing.assert_array_equal(y, np.concatenate([BATCHES[name][1] for name in TRAIN]))
    np.testing.assert_array_equal(y_test, BATCHES[TEST][1])
    for images, number, name in ((x, COUNT + 3, TRAIN[1]), (x_test, 3, TEST)):
        row = BATCHES[name][0][3]
        for channel, i, j in ((0, 0, 1), (1, 5, 0), (2, 31, 31), (1, 7, 20)):
            assert images[number][i, j, channel] == np.float32((row[1024 * channel + 32 * i + j] - 127.5) / 127.5)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["cifar-10", "."])
def test_every_form_in_every_place(tmp_path, published, place, packed):
    published(tmp_path / place, packed)
    check(load_data("cifar-10", tmp_path))
    loaded = read_data("cifar-10", str(tmp_path))
    assert loaded.dataset is DATASETS["cifar-10"] and loaded.dataset.class_names[3] == "cat"


def test_order_data_dir_then_variable_then_cache_then_download(tmp_path, published, nothing_elsewhere, monkeypatch):
    cache = nothing_elsewhere / "cifar-10"
    said = "CIFAR-10 was not found on this machine: cannot download cifar-10-binary.tar.gz (refused by the test); "
    or_name = "or name a folder that holds the file with --data-dir or $TINYVIT_DATA"
    assert line_of() == f"{said}put the file into {cache} by hand, {or_name}"
    path, asked = published(tmp_path / "fetched"), []
    first = [form for form in cifar.FORMS if form.archive == path.name]
    monkeypatch.setattr(cifar, "FORMS", (*first, *(form for form in cifar.FORMS if form not in first)))
    monkeypatch.setattr(cifar, "download", lambda *arguments: asked.append(arguments) or path)
    check(load_data("cifar-10"))
    assert asked == [(path.name, ("https://www.cs.toronto.edu/~kriz/",), f"md5:{first[0].md5}", cache)]
    published(cache)
    check(load_data("cifar-10"))
    monkeypatch.setenv("TINYVIT_DATA", str(tmp_path / "nowhere"))
    check(load_data("cifar-10"))
    assert len(asked) == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    assert line_of(empty) == (
        f"CIFAR-10 not found: looked in {empty}/cifar-10 and {empty}, expected one of "
        + ", ".join(f"{form.archive}, {form.folder}/" for form in cifar.FORMS)
    )


def test_a_cached_archive_that_was_damaged_is_fetched_again(tmp_path, published, nothing_elsewhere, monkeypatch):
    path = published(nothing_elsewhere / "cifar-10")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert "found the MD5 sum" in line_of()  # without a network
    monkeypatch.setattr(cifar, "download", lambda *arguments: path.write_bytes(whole) and path)
    check(load_data("cifar-10"))
    published(tmp_path / "own").write_bytes(whole[:-5])
    assert "found the MD5 sum" in line_of(tmp_path / "own")  # one's own file is left as it is


def test_the_checksums_and_names_as_published():
    assert BINARY.md5 == "c32a1d4ab5d03f1284b67883e8d87530" and PYTHON.md5 == "c58f30108f718f92721af3b95e74349a"
    assert (BINARY.archive, PYTHON.archive) == ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")


def test_another_size_and_one_picture_alike(tmp_path, published):
    published(tmp_path, packed=False)
    (x, _), _ = load_data("cifar-10", tmp_path)
    (small, _), _ = load_data("cifar-10", tmp_path, size=16)
    assert small.shape == (5 * COUNT, 16, 16, 3) and small[3:5].shape == (2, 16, 16, 3)
    image, notes = prepare(x.stored[7], DATASETS["cifar-10"])
    assert notes == []
    assert_same_bits(image, x[7])


def test_an_archive_of_another_checksum(tmp_path, published, monkeypatch):
    path = published(tmp_path)
    with open(path, "ab") as file:
        file.write(b"\0")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert line_of(tmp_path).startswith(f"{path}: found the MD5 sum {md5}, expected ")
    assert line_of(tmp_path).endswith(": copy or download the file again")


def test_damaged_archives(tmp_path, published, monkeypatch):
    path = published(tmp_path)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"no archive", b""):
        path.write_bytes(data)
        trust(monkeypatch, path)
        assert line_of(tmp_path).startswith(f"{path}: ")
    pack(path, {"elsewhere/data_batch_1": b""})
    trust(monkeypatch, path)
    assert line_of(tmp_path).startswith(f"{path}: damaged, or not {path.name}: ")


def test_unpacked_batches_that_are_missing_or_short(tmp_path):
    files = {f"{name}.bin": binary(*batch) for name, batch in BATCHES.items()}
    folder = unpack(tmp_path / BINARY.folder, files)
    (folder / "data_batch_3.bin").write_bytes(files["data_batch_3.bin"][:-1])
    expected = f"found {COUNT * 3073 - 1} bytes, expected {COUNT} images of 3073 bytes each: copy or download"
    assert line_of(tmp_path).startswith(f"{folder}/data_batch_3.bin: {expected}")
    (folder / "data_batch_3.bin").unlink()
    expected = "cannot be read: No such file or directory; unpack cifar-10-binary.tar.gz again"
    assert line_of(tmp_path) == f"{folder}/data_batch_3.bin: {expected}"


def test_a_label_that_is_none(tmp_path):
    files = {f"{name}.bin": binary(*batch) for name, batch in BATCHES.items()}
    files["test_batch.bin"] = b"\x0a" + files["test_batch.bin"][1:]
    folder = unpack(tmp_path / BINARY.folder, files)
    assert line_of(tmp_path) == f"{folder}/test_batch.bin: found label 10 at index 0, expected 0 to 9"


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


ROWS, LABELS = BATCHES[TEST]
BAD = {
    "a list": [1],
    "no labels": {b"data": ROWS},
    "fewer labels": {b"data": ROWS, b"labels": [1]},
    "other numbers": {b"data": ROWS.astype(np.int64), b"labels": LABELS.tolist()},
    "signed numbers": {b"data": ROWS.view(np.int8), b"labels": LABELS.tolist()},
    "fewer pixels": {b"data": ROWS[:, 1:].copy(), b"labels": LABELS.tolist()},
    "by columns": {b"data": np.asfortranarray(ROWS), b"labels": LABELS.tolist()},
    "objects": {b"data": np.array([[1, "a"]], dtype=object), b"labels": LABELS.tolist()},
    "labels of text": {b"data": ROWS, b"labels": ["cat"] * COUNT},
    "no array": {b"data": b"pixels", b"labels": LABELS.tolist()},
    "a function": {b"data": ROWS, b"labels": len},
    "a number too large": {b"data": ROWS, b"labels": [2**70] * COUNT},
}


@pytest.mark.parametrize("batch", BAD.values(), ids=BAD)
def test_pickles_that_are_no_batch(tmp_path, batch):
    check_refused(tmp_path, pickle.dumps(batch, protocol=2))


def check_refused(tmp_path, data):
    files = {name: python_3(*batch) for name, batch in BATCHES.items()} | {"data_batch_1": data}
    folder = unpack(tmp_path / PYTHON.folder, files)
    line = line_of(tmp_path)
    assert line.startswith(f"{folder}/data_batch_1: ") and len(line) < 600
    return line


def test_a_pickle_that_would_run_something(tmp_path):
    made = tmp_path / "made"
    line = check_refused(tmp_path, pickle.dumps({b"data": ROWS, b"labels": Touch(str(made))}, protocol=2))
    assert (
        "cannot be read as a batch of CIFAR-10: it asks for 'io.open', which is not run here: expected arrays" in line
    )
    assert not made.exists()
    pickle.loads(pickle.dumps(Touch(str(made)))).close()
    assert made.exists()  # it would have


@pytest.mark.parametrize("name", [b"builtins\neval\n", b"os\nsystem\n", b"numpy\nload\n", b"_codecs\nlookup\n"])
def test_other_names_are_refused(tmp_path, name):
    line = check_refused(tmp_path, b"\x80\x02c" + name + b"(U\x04pathtR.")
    assert f"it asks for '{name.decode().strip().replace(chr(10), '.')}'" in line


@pytest.mark.parametrize(
    "data", [b"", b".", b"\x80\x02", b"no pickle", b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f."]
)
def test_damaged_pickles(tmp_path, data):
    check_refused(tmp_path, data)
