"""A .zip of pictures: read as the folder is, and an archive that means harm is refused in a line."""

import stat
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from tests.data.paint import paint, picture
from tests.reference.compare import assert_same_bits
from tinyvit.data import archive, read_data
from tinyvit.errors import DataError


@pytest.fixture(autouse=True)
def no_cache(no_sets):
    return no_sets


GOOD = {f"{name}/{number}.png": picture(number + 10 * label) for label, name in enumerate("xy") for number in range(5)}


def pack(path, files, method=zipfile.ZIP_DEFLATED):
    """Write a .zip of {name: bytes}, or {ZipInfo: bytes}."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as packed:
        warnings.simplefilter("ignore")  # a name twice
        for name, data in files.items() if isinstance(files, dict) else files:
            packed.writestr(name, data)
    return path


def line_of(path, **how):
    with pytest.raises(DataError) as caught:
        read_data(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_archive_of_a_version_to_come(tmp_path):
    path = pack(tmp_path / "a.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 6] = 148
    path.write_bytes(data)
    assert line_of(path).startswith(f"{path}: not a zip archive, or damaged (zip file version 14.8)")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("wrapped", ["", "top/", "top/deeper/"])
def test_an_archive_is_its_folder(tmp_path, wrapped, method):
    root = paint(tmp_path / "a", {"train/猫 猫": 3, "train/dog": 2, "test/dog": 2, "train/dog/.cache": 1})
    files = [path for path in root.rglob("*") if path.is_file()]
    path = pack(
        tmp_path / "my pets.v2.zip", {wrapped + f.relative_to(root).as_posix(): f.read_bytes() for f in files}, method
    )
    folder, packed = read_data(root, size=8), read_data(path, size=8)
    assert packed.dataset.name == "my pets.v2"
    assert packed.dataset.class_names == folder.dataset.class_names == ("dog", "猫 猫")
    for part, other in zip(packed[1:3], folder[1:3], strict=True):
        assert_same_bits(part[0][:], other[0][:])
        np.testing.assert_array_equal(part[1], other[1])


def test_names_that_are_utf_8_without_saying_so(tmp_path):
    """As macOS packs them."""
    path = pack(tmp_path / "a.zip", {name.replace("x/", "鱼/"): data for name, data in GOOD.items()})
    data = path.read_bytes()
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for place in [i for i in range(len(data)) if data[i : i + 4] == signature]:
            flags = struct.unpack_from("<H", data, place + offset)[0] & ~0x800
            data = data[: place + offset] + struct.pack("<H", flags) + data[place + offset + 2 :]
    path.write_bytes(data)
    assert zipfile.ZipFile(path).namelist()[0] != "鱼/0.png"
    assert read_data(path).dataset.class_names == ("y", "鱼")


def test_names_with_backslashes_are_paths(tmp_path):
    path = pack(tmp_path / "a.zip", {name.replace("/", "\\"): data for name, data in GOOD.items()})
    assert read_data(path).dataset.class_names == ("x", "y")


@pytest.mark.parametrize(
    "name", ["../x.png", "x/../../y.png", "/etc/x.png", "C:/x.png", "c:x.png", "..\\x.png", "\\\\host\\x", "x/.."]
)
def test_path_tricks(tmp_path, name):
    path = pack(tmp_path / "a.zip", GOOD | {name: b""})
    assert line_of(path) == (
        f"{path}: the entry {name!a} leads out of the archive, expected CLASS/picture; pack the pictures again"
    )


def test_a_zero_byte_in_a_name(tmp_path):
    path = pack(tmp_path / "a.zip", GOOD | {"x/zero#.png": picture(0)})
    path.write_bytes(path.read_bytes().replace(b"zero#", b"zero\0"))
    assert "the entry 'x/zero\\x00.png' leads out of the archive" in line_of(path)


def test_a_link(tmp_path):
    info = zipfile.ZipInfo("x/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = pack(tmp_path / "a.zip", [*GOOD.items(), (info, "/etc/passwd")])
    assert line_of(path).startswith(f"{path}: the entry 'x/link.png' is a link, expected a picture")


def test_a_name_twice(tmp_path):
    path = pack(tmp_path / "a.zip", [*GOOD.items(), ("x/0.png", picture(9))])
    assert line_of(path).startswith(f"{path}: found two files named 'x/0.png', expected one")


def test_an_encrypted_archive(tmp_path):
    path = pack(tmp_path / "a.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert line_of(path).startswith(f"{path}: 'x/0.png' is encrypted, expected an archive without password")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_have_no_limit(tmp_path, method):
    path = pack(tmp_path / "a.zip", GOOD, method)
    expected = f"is packed by method {method}, expected the ordinary one (deflate)"
    assert line_of(path).startswith(f"{path}: 'x/0.png' {expected}")


def test_a_file_that_declares_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_FILE", 10_000)
    path = pack(tmp_path / "a.zip", GOOD | {"x/big.png": bytes(10_001)})
    expected = "'x/big.png' unpacks to 10001 bytes, expected at most 10000, as a picture has"
    assert line_of(path) == f"{path}: {expected}; pack the pictures again"


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", GOOD | {"x/big.png": bytes(2_000_000)})
    monkeypatch.setattr(archive, "SMALL", 2_000_000)
    size = path.stat().st_size
    total = 2_000_000 + sum(map(len, GOOD.values()))
    expected = f"found {size} bytes that unpack to {total}, expected at most 100 times its size, as pictures have"
    assert line_of(path) == f"{path}: {expected}; pack the pictures again"
    monkeypatch.setattr(archive, "SMALL", 3_000_000)
    assert "1 of 11 pictures cannot be read" in line_of(path)


def test_a_file_that_is_longer_than_it_declares_is_never_unpacked_whole(tmp_path):
    path = pack(tmp_path / "a.zip", GOOD | {"x/bomb.png": bytes(50_000_000)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 900)))
    tracemalloc.start()
    said = line_of(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"{path}/x/bomb.png: damaged in the archive: Bad CRC-32" in said and "1 of 11 pictures" in said
    assert most < 10_000_000
    assert len(read_data(path, skip_broken=True).train[1]) == 8


def test_damaged_files_are_broken_pictures(tmp_path):
    path = pack(tmp_path / "a.zip", GOOD, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 255
    path.write_bytes(data)
    assert line_of(path).startswith(f"{path}/x/0.png: damaged in the archive: Bad CRC-32 for file 'x/0.png'; 1 of 10")
    loaded = read_data(path, skip_broken=True)
    assert len(loaded.train[1]) == 7 and "left out 1 of 10 pictures" in loaded.notes[0]


def test_no_archive(tmp_path):
    path = tmp_path / "a.zip"
    for data in (b"", b"no archive at all", pack(tmp_path / "b.zip", GOOD).read_bytes()[:200]):
        path.write_bytes(data)
        assert line_of(path) == (
            f"{path}: not a zip archive, or damaged (File is not a zip file); expected a folder or .zip of pictures"
        )
    assert "found no folders in it" in line_of(pack(tmp_path / "empty.zip", {}))
    assert "found one class, 'x'" in line_of(pack(tmp_path / "one.zip", {"x/0.png": picture(0), "x/1.png": picture(1)}))


def test_an_empty_class_folder_in_an_archive(tmp_path):
    path = pack(tmp_path / "a.zip", GOOD | {"z/": b""})
    assert line_of(path).startswith(f"{path}: found no pictures in the class 'z'")
