"""Weights that are damaged, forged, or no model: one line that names the file, and neither memory nor a model."""

import dataclasses
import json
import os
import pickle
import signal
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.compare import assert_same_bits, cast, random_vit
from tests.reference.forgery import Trap, npy, refused_in_one_line, write_zip
from tests.training.helpers import call
from tinyvit import json_files, npz, trees
from tinyvit.errors import CheckpointError, DataError, TinyvitError, UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.weights.load import load_weights
from tinyvit.weights.naming import written
from tinyvit.weights.safetensors import LONGEST_HEADER
from tinyvit.weights.sources import SOURCES

TINY = ViTConfig(image=4, channels=3, patch=2, dim=4, depth=2, heads=2, mlp_dim=8, classes=3)
CLS, POS = "vit.embeddings.cls_token", "vit.embeddings.position_embeddings"
PATCH = "vit.embeddings.patch_embeddings.projection"
FC1 = "vit.encoder.layer.0.intermediate.dense"
QUERY = "vit.encoder.layer.1.attention.attention.query.weight"
POSEMBED = "Transformer/posembed_input/pos_embedding"
MANY = 10**30
UNREADABLE = (CheckpointError, DataError, UsageError)


def arrays(source="huggingface", **changed):
    """The arrays of TINY under a source's names; {name: None} leaves one out."""
    found = written(cast(random_vit(TINY), np.float32), SOURCES[source], TINY) | changed
    return {name: array for name, array in found.items() if array is not None}


def described(entries):
    """The header of these arrays, and their bytes."""
    header, data = {}, b""
    for name, array in entries.items():
        kind = {"f": "F", "i": "I", "u": "U"}[array.dtype.kind] + str(8 * array.dtype.itemsize)
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    return header, data


def write(path, header, data, length=None):
    """A .safetensors file whose header, a table or bytes, says whatever it likes, and so does its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


def write_arrays(path, entries):
    """A file of these arrays, of the kind that the path says."""
    if path.suffix == ".npz":
        np.savez(path, **entries)
    else:
        write(path, *described(entries))


@pytest.fixture
def path(tmp_path):
    """Where model.safetensors is, or is to be."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def google(tmp_path):
    """Where model.npz is, or is to be."""
    return tmp_path / "model.npz"


def refused(path, *words, heads=2, error=CheckpointError, **asked):
    refused_in_one_line(lambda: load_weights(path, heads=heads, **asked), path, *words, error=error)


# ---- what the bad ones are made from is good


@pytest.mark.parametrize("source", SOURCES)
def test_the_good_file(tmp_path, source):
    path = tmp_path / ("model.npz" if source == "google" else "model.safetensors")
    write_arrays(path, arrays(source))
    p, config, notes = load_weights(path, heads=2)
    assert notes.source == source and dataclasses.replace(config, gelu="erf", eps=TINY.eps) == TINY
    assert_same_bits(p, cast(random_vit(TINY), np.float32))


# ---- paths


def test_no_file(path):
    refused(path, "no file", "expected")
    refused(path.with_suffix(".npz"), "no file", "expected")


def test_a_folder_without_weights(tmp_path):
    refused(tmp_path, "no model.safetensors", "expected")


@pytest.mark.parametrize("name", ["x.safetensors", "x.npz"])
def test_a_folder_of_the_name_of_a_file(tmp_path, name):
    (tmp_path / name).mkdir()
    refused(tmp_path / name, "no model.safetensors")


def test_a_folder_where_the_file_should_be(tmp_path, path):
    path.mkdir()
    refused(tmp_path, "no ordinary file")


@pytest.mark.parametrize("name", ["model.bin", "model", "model.safetensors.part", "model.NPZ.txt"])
def test_another_ending(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, "an empty file", "expected")


@pytest.mark.parametrize("name", ["a" * 300 + ".safetensors", "a\0.npz"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(CheckpointError, match="cannot read") as caught:
        load_weights(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.fixture
def impatient():
    """Whoever waits for five seconds, fails."""

    def stop(*_):
        pytest.fail("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are POSIX")
@pytest.mark.parametrize("name", ["model.safetensors", "model.npz", "config.json", "preprocessor_config.json"])
def test_a_pipe_is_not_waited_for(tmp_path, path, name, impatient):
    write_arrays(path, arrays())
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    bad = tmp_path / name
    refused_in_one_line(lambda: load_weights(path if bad.suffix == ".json" else bad, heads=2), bad, "no ordinary file")
    if bad.suffix != ".json":
        assert call("predict", bad, "picture.png").code == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("closed", ["model.safetensors", "model.npz", "config.json", "."])
def test_no_permission(closed):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        paths = {suffix: folder / f"model{suffix}" for suffix in (".safetensors", ".npz")}
        write_arrays(paths[".safetensors"], arrays())
        write_arrays(paths[".npz"], arrays("google"))
        (folder / "config.json").write_text("{}")
        folder.chmod(0o755)
        (folder / closed).chmod(0)
        path = paths[".npz" if closed.endswith("npz") else ".safetensors"]
        root = os.geteuid() == 0
        try:
            if root:  # who may read everything
                os.seteuid(65534)
            where = path if closed == "." else folder / closed
            refused_in_one_line(lambda: load_weights(path, heads=2), where, "cannot read", "ermission denied")
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


# ---- safetensors: the length, the header, the places


def test_truncated_safetensors(path):
    header, data = described(arrays())
    write(path, header, data)
    valid = path.read_bytes()
    start = len(valid) - len(data)
    ends = {place["data_offsets"][1] + start for place in header.values()} - {len(valid)}
    for length in sorted({0, 1, 7, 8, 9, 100, start - 1, start, start + 1, *ends, len(valid) - 1}):
        path.write_bytes(valid[:length])
        refused(path)
    path.write_bytes(valid + b"\0")
    refused(path, "damaged")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1, LONGEST_HEADER + 1])
def test_a_header_of_another_length(path, length):
    write(path, *described(arrays()), length=length)
    refused(path, f"header of {length} bytes")


def test_a_header_that_is_too_long_is_not_read(path):
    with open(path, "wb") as file:
        file.write((200_000_000).to_bytes(8, "little"))
        file.truncate(300_000_000)
    refused(path, "header of 200000000 bytes")


ENTRY = '{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
TEXTS = {
    "empty": b"  ",
    "no JSON": b"{dtype: F32}",
    "no text": b'{"\xff\xfe": 1}',
    "UTF-16": "{}".encode("utf-16"),
    "half": b'{"a": {"dtype": "F32"',
    "a list": b"[]",
    "a number": b"12",
    "nothing": b"null",
    "deep lists": b"[" * 100_000,
    "deep tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "no number": b'{"layer_norm_eps": NaN}',
    "an infinite number": b'{"image_std": [1e999]}',
    "a number without end": b'{"a": ' + b"9" * 10_000 + b"}",
    "a name twice": f'{{"a": {ENTRY}, "a": {ENTRY}}}'.encode(),
    "a key twice": b'{"a": {"dtype": "F32", "dtype": "F64", "shape": [1], "data_offsets": [0, 4]}}',
    "many lists": b"[" + b"[]," * 300_000 + b"[]]",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_header_that_is_none(path, text):
    write(path, text, bytes(4))
    wanted = "damaged or no safetensors file"
    refused_in_one_line(lambda: load_weights(path), path, wanted, little=40_000_000)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\ud800", "a" * 300], ids=["line", "escape", "half", "long"])
def test_a_name_that_cannot_be_shown(path, name):
    header, data = described(arrays())
    write(path, {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}} | header, data)
    refused(path, "no name of an array")


WRONG_ENTRIES = {
    "no table": 1,
    "a list": [],
    "null": None,
    "a text": "F32",
    "empty": {},
    "no dtype": {"dtype": ...},
    "no shape": {"shape": ...},
    "no places": {"data_offsets": ...},
    "dtype a list": {"dtype": ["F32"]},
    "dtype null": {"dtype": None},
    "dtype unknown": {"dtype": "F8_E4M3"},
    "dtype small": {"dtype": "f32"},
    "dtype long": {"dtype": "F" * 10_000},
    "shape negative": {"shape": [-1, -1, -4]},
    "shape a fraction": {"shape": [1, 1, 4.0]},
    "shape true": {"shape": [True, True, 4]},
    "shape text": {"shape": ["1", "1", "4"]},
    "shape one text": {"shape": "114"},
    "shape a table": {"shape": {}},
    "shape a number": {"shape": 4},
    "shape null": {"shape": None},
    "shape huge": {"shape": [MANY, 1, 4]},
    "shape a large product": {"shape": [2**62] * 8},
    "shape a huge product": {"shape": [MANY] * 400},
    "shape of many axes": {"shape": [1] * 400 + [4]},
    "shape a zero and huge": {"shape": [0, MANY]},
    "shape a zero and many axes": {"shape": [0] * 1000},
    "places huge": {"data_offsets": [MANY, MANY + 16]},
    "places negative": {"data_offsets": [-16, 0]},
    "places reversed": {"data_offsets": [16, 0]},
    "places fractions": {"data_offsets": [0.0, 16.0]},
    "places texts": {"data_offsets": ["0", "16"]},
    "places true": {"data_offsets": [False, 16]},
    "one place": {"data_offsets": [0]},
    "three places": {"data_offsets": [0, 16, 32]},
    "places null": {"data_offsets": None},
    "places a table": {"data_offsets": {"begin": 0, "end": 16}},
    "far outside": {"data_offsets": [2**62, 2**62 + 16]},
}


@pytest.mark.parametrize("change", WRONG_ENTRIES.values(), ids=WRONG_ENTRIES)
def test_a_tensor_that_is_described_wrongly(path, change):
    header, data = described(arrays())
    entry = header[CLS] | change if isinstance(change, dict) and change else change
    header[CLS] = {key: x for key, x in entry.items() if x is not ...} if isinstance(entry, dict) else entry
    write(path, header, data)
    refused(path, CLS)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1, 5), (2, 4), (10**9, 4), (0,), ()], ids=str)
def test_a_shape_that_does_not_fit_its_bytes(path, shape):
    header, data = described(arrays())
    header[CLS]["shape"] = list(shape)
    write(path, header, data)
    refused(path, CLS, "takes 16 bytes", "expected")


@pytest.mark.parametrize("shape", [{}, ""], ids=repr)
def test_a_shape_that_is_no_list(path, shape):
    header, data = described(arrays())
    header["extra"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4]}
    write(path, header, data + bytes(4))
    refused(path, "extra has no dtype, shape and offsets")


def moved(header, by, name=CLS):
    begin, end = header[name]["data_offsets"]
    header[name]["data_offsets"] = [begin + by, end + by]


def test_places_that_overlap_or_leave_a_gap(path):
    names = list(arrays())
    for name, by in ((names[0], 4), (names[3], -4), (names[3], 4), (names[-1], 4), (names[-1], -4)):
        header, data = described(arrays())
        moved(header, by, name)
        write(path, header, data + bytes(8))
        refused(path)
    for extra in (b"\0", bytes(1000)):
        header, data = described(arrays())
        write(path, header, data + extra)
        refused(path, f"of {len(data) + len(extra)}")


def test_two_tensors_in_one_place(path):
    header, data = described(arrays())
    header["copy"] = dict(header[CLS])
    write(path, header, data)
    refused(path, "begins at byte")


def test_places_need_not_be_in_the_order_of_the_names(path):
    header, data = described(arrays())
    write(path, dict(reversed(header.items())), data)
    assert load_weights(path, heads=2)[1].depth == 2


@pytest.mark.parametrize("dtype", ["I8", "U8", "BOOL", "I16", "U32", "I64", "U64"])
def test_whole_numbers(path, dtype):
    whole = dtype.replace("BOOL", "U8").replace("I", "int").replace("U", "uint")
    header, data = described(arrays(**{CLS: np.zeros((1, 1, 4), whole)}))
    header[CLS]["dtype"] = dtype
    write(path, header, data)
    refused(path, CLS, dtype, "expected one of")


# ---- npz: the archive, its entries, their headers


def test_truncated_npz(google):
    np.savez(google, **arrays("google"))
    valid = google.read_bytes()
    records = [at for at in range(len(valid)) if valid[at : at + 4] in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")]
    for length in {0, 1, 21, 22, *records[::9], records[-1] + 21, len(valid) // 2, len(valid) - 1}:
        google.write_bytes(valid[:length])
        refused(google)


@pytest.mark.parametrize("data", [b"", b"junk" * 100, b"PK\x05\x06" + bytes(18), b"\x93NUMPY" + bytes(100)])
def test_no_archive(google, data):
    google.write_bytes(data)
    refused(google)


@pytest.mark.parametrize("name", ["cls", POSEMBED, "head/kernel", "extra"])
def test_a_pickle_is_never_opened(google, tmp_path, name):
    np.savez(google, **arrays("google", **{name: np.array([Trap(str(tmp_path / "sprung"))], object)}))
    refused(google, name)
    google.write_bytes(zipped_pickle(tmp_path))
    refused(google)
    assert not (tmp_path / "sprung").exists()


def zipped_pickle(folder):
    """An archive whose class token is a bare pickle."""
    write_zip(folder / "pickle.zip", arrays("google", cls=pickle.dumps(Trap(str(folder / "sprung")))))
    return (folder / "pickle.zip").read_bytes()


@pytest.mark.parametrize("shape", [(1, 1, 4), (1,), ()])
def test_an_array_of_objects(google, shape):
    np.savez(google, **arrays("google", cls=np.full(shape, None, object)))
    refused(google, "cls")


def test_a_bomb(google):
    zeros = npy((1, 1, 10**9), data=bytes(100_000_000))
    for name in ("cls", "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel", "unused"):
        write_zip(google, arrays("google", **{name: zeros}), zipfile.ZIP_DEFLATED)
        assert google.stat().st_size < 200_000
        refused(google, "declares", "in a file of")


def test_a_bomb_whose_data_begin_with_a_header(google):
    """NumPy would read a header of the length that it states, before anything else is looked at."""
    long = b"\x93NUMPY\x02\x00" + (100_000_000).to_bytes(4, "little")
    data = npy((1, 1, 10**9), data=bytes(100_000_000))
    for zeros in (long + bytes(100_000_000), long + data):
        padding = np.random.default_rng(0).bytes(20_000_000)  # so that the archive may unpack to so much
        write_zip(google, arrays("google", cls=zeros), zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(google, "a") as archive:
            archive.writestr("padding.npy", npy((20_000_000,), "|u1", data=padding))
        refused(google, "cls", "declares 100000000 bytes, expected at most 65536")


def test_a_bomb_of_many_entries(google):
    entries = {f"a{i}": npy((10_000,), data=bytes(40_000)) for i in range(300)}
    write_zip(google, entries, zipfile.ZIP_DEFLATED)
    refused(google, "declares", "in a file of")


def test_more_arrays_than_any_model_has(path, google, monkeypatch):
    monkeypatch.setattr(npz, "MOST_ARRAYS", 100)
    for file in (path, google):
        write_arrays(file, {str(i): np.zeros(0, np.float32) for i in range(101)})
        refused(file, "101 arrays", "at most 100")


def test_a_deflated_stream_longer_than_it_declares(google):
    write_zip(google, arrays("google", cls=npy((1, 1, 4), data=bytes(50_000_000))), zipfile.ZIP_DEFLATED)
    data = bytearray(google.read_bytes())
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"cls.npy"))
    data[at + 24 : at + 28] = len(npy((1, 1, 4), data=bytes(16))).to_bytes(4, "little")
    google.write_bytes(data)
    refused(google)


@pytest.mark.parametrize("field", [20, 24, 42], ids=["compressed", "plain", "offset"])
@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_directory_that_lies(google, field, value):
    np.savez(google, **arrays("google"))
    data = bytearray(google.read_bytes())
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"cls.npy"))
    data[at + field : at + field + 4] = value.to_bytes(4, "little")
    google.write_bytes(data)
    refused(google)


@pytest.mark.parametrize("place", [0, 8, 16])
@pytest.mark.parametrize("value", [2**63 - 1, 2**63, 2**64 - 1])
def test_a_directory_that_lies_in_64_bits(google, place, value):
    np.savez(google, **arrays("google"))
    data = google.read_bytes()
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"cls.npy"))
    extra = bytearray(b"\x01\x00\x18\x00" + bytes(24))
    extra[4 + place : 12 + place] = value.to_bytes(8, "little")
    record, rest = bytearray(data[at : at + 46 + 7]), data[at + 46 + 7 :]
    record[20:28], record[42:46] = b"\xff" * 8, b"\xff" * 4
    record[30:32] = len(extra).to_bytes(2, "little")
    end = bytearray(rest)
    size = int.from_bytes(end[-10:-6], "little") + len(extra)
    end[-10:-6] = size.to_bytes(4, "little")
    google.write_bytes(data[:at] + record + extra + end)
    refused(google)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_compression_that_numpy_does_not_use(google, compression):
    write_zip(google, arrays("google"), compression)
    refused(google, "as NumPy compresses")


def test_what_numpy_compresses_is_read(google):
    np.savez_compressed(google, **arrays("google"))
    assert load_weights(google)[1].depth == 2


def test_a_name_twice(google):
    np.savez(google, **arrays("google"))
    with zipfile.ZipFile(google, "a") as archive:
        archive.writestr("cls", npy((1, 1, 4), data=bytes(16)))  # NumPy takes it for cls.npy
    refused(google, "one of each")


def test_a_name_in_the_archive_that_cannot_be_shown(google):
    np.savez(google, **arrays("google", **{"a\nb": np.zeros(1)}))
    refused(google, "no name of an array")


LIARS = {
    "huge": npy((10**12, 1, 4)),
    "beyond all": npy((MANY, MANY, MANY)),
    "negative": npy((-1, -1, 4), data=bytes(16)),
    "short": npy((1, 1, 4), data=bytes(15)),
    "long": npy((1, 1, 4), data=bytes(17)),
    "empty": b"",
    "junk": b"junk" * 99,
    "version": b"\x93NUMPY\x09\x00" + bytes(99),
    "a long header": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(99),
    "no Python": b"\x93NUMPY\x01\x00\x84\x03" + b"(" * 900,
}


@pytest.mark.parametrize("entry", LIARS.values(), ids=LIARS)
def test_an_entry_that_is_no_array(google, entry):
    write_zip(google, arrays("google", cls=entry))
    refused(google, "cls")


@pytest.mark.parametrize("dtype", ["i4", "u1", "?", "c8", "U4", "S4", "M8[s]", "f4,f4", "V4", "V2", np.longdouble])
def test_no_floating_point_numbers(google, dtype):
    np.savez(google, **arrays("google", cls=np.zeros((1, 1, 4), dtype)))
    if dtype == "V2":  # how NumPy keeps bfloat16
        assert not load_weights(google)[0]["cls"].any()
    else:
        refused(google, "cls is of", "expected floating-point numbers")


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8"])
def test_other_floating_point_numbers(google, dtype):
    expected = arrays("google")["cls"].astype(dtype)
    np.savez(google, **arrays("google", cls=expected))
    found = load_weights(google)[0]["cls"]
    assert found.dtype.isnative and (found == expected[0]).all()


def test_columns_first(google):
    names = {name: np.asfortranarray(array) for name, array in arrays("google").items()}
    np.savez(google, **names)
    assert (load_weights(google)[0]["head"]["w"] == names["head/kernel"]).all()


# ---- names and shapes


@pytest.mark.parametrize("count", [0, 1, 9])
def test_names_that_are_nobodys(path, google, count):
    entries = {f"conv{i}.weight": np.zeros(9, np.float32) for i in range(count)}
    for file in (path, google):
        write_arrays(file, entries)
        refused(file, f"its {len(entries)} names", "nobody's", *(SOURCES[s].rules["patch/w"][0] for s in SOURCES))


@pytest.mark.parametrize("source", SOURCES)
def test_every_missing_array_is_named(tmp_path, source):
    path = tmp_path / ("model.npz" if source == "google" else "model.safetensors")
    patch = SOURCES[source].rules["patch/w"][0]
    for name in arrays(source).keys() - {patch}:
        if name.endswith(("query.bias", "key.bias", "value.bias", "query/bias", "key/bias", "value/bias", "qkv.bias")):
            continue  # some sources have none
        write_arrays(path, arrays(source, **{name: None}))
        refused(path, f"{name} is missing")


@pytest.mark.parametrize("source", SOURCES)
def test_biases_are_there_in_all_blocks_or_in_none(tmp_path, source):
    """A model without them is one in which they are zero; a file that lacks one of them is cut short."""
    path = tmp_path / ("model.npz" if source == "google" else "model.safetensors")
    rule = SOURCES[source].rules["blocks/{i}/msa/q/b"][0]
    write_arrays(path, arrays(source, **{rule.replace("{i}", "1"): None}))
    refused(path, f"{rule.replace('{i}', '1')} is missing")
    write_arrays(path, arrays(source, **{rule.replace("{i}", str(i)): None for i in range(TINY.depth)}))
    p = load_weights(path, heads=2)[0]
    assert not any(block["msa"]["q"]["b"].any() for block in p["blocks"])


@pytest.mark.parametrize("source", SOURCES)
def test_every_misshapen_array_is_named(tmp_path, source):
    path = tmp_path / ("model.npz" if source == "google" else "model.safetensors")
    for name, array in arrays(source).items():
        write_arrays(path, arrays(source, **{name: np.zeros((*array.shape, 7), np.float32)}))
        refused(path, name, str([*array.shape, 7]), "expected")
        empty = (*array.shape[:-1], 0)
        write_arrays(path, arrays(source, **{name: np.zeros(empty, np.float32)}))
        refused(path, name, str(list(empty)), "expected")


def test_another_width_is_named_with_both_shapes(path):
    write_arrays(path, arrays(**{QUERY: np.zeros((4, 5), np.float32)}))
    refused(path, f"{QUERY} is [4, 5], expected [4, 4]")


def test_an_array_that_is_left_over(path, google):
    for file, source, name in (
        (path, "huggingface", "vit.extra"),
        (google, "google", "Transformer/encoderblock/extra"),
    ):
        write_arrays(file, arrays(source, **{name: np.zeros((2, 2), np.float32)}))
        refused(file, f"{name} has no place in a ViT with 2 blocks")


def renumbered(number):
    """The arrays with the second block under another number."""
    return {name.replace("layer.1.", f"layer.{number}."): array for name, array in arrays().items()}


@pytest.mark.parametrize("number", [2, 7, 9999])
def test_a_gap_in_the_blocks(path, number):
    write_arrays(path, renumbered(number))
    refused(path, "vit.encoder.layer.1.layernorm_before.weight is missing", f"up to number {number}")


@pytest.mark.parametrize("number", ["10000", "x", "-1", "١"])
def test_a_number_that_is_none(path, number):
    write_arrays(path, renumbered(number))
    refused(path, f"layer.{number}.", "no place in a ViT with 1 block ")


def test_a_number_with_a_zero_before_it(path):
    write_arrays(path, renumbered("01"))
    refused(path, "layer.1.layernorm_before.weight is missing")


def test_no_blocks(path):
    write_arrays(path, {name: array for name, array in arrays().items() if ".layer." not in name})
    refused(path, "vit.encoder.layer.0.layernorm_before.weight is missing", "no blocks")


@pytest.mark.parametrize("rows", [0, 1, 4, 6, 9])
def test_positions_of_no_square_grid(path, rows):
    write_arrays(path, arrays(**{POS: np.zeros((1, rows, 4), np.float32)}))
    refused(path, POS, f"{rows} rows" if rows else "none of them 0")


def test_a_table_without_the_class_tokens_row(google):
    """big_vision's name for the table, with two tables, or none."""
    for shape in ((2, 4, 4), (0, 4, 4), (4, 4), (1, 3, 4)):
        write_arrays(google, arrays("google", **{POSEMBED: None, "pos_embedding": np.zeros(shape, np.float32)}))
        refused(google, "pos_embedding")


@pytest.mark.parametrize("shape", [(4, 3, 2, 3), (4, 3, 3, 2), (3, 3, 2, 2), (4, 3, 0, 0), (4, 12)])
def test_patches_that_are_not_square_or_do_not_fit(path, shape):
    write_arrays(path, arrays(**{f"{PATCH}.weight": np.zeros(shape, np.float32)}))
    refused(path, f"{PATCH}.weight", str(list(shape)), "expected")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(path, google, value):
    for file, source, name in ((path, "huggingface", FC1 + ".weight"), (google, "google", "head/kernel")):
        array = arrays(source)[name]
        array[2, 1] = value
        write_arrays(file, arrays(source, **{name: array}))
        refused(file, f"{name} holds {value} at [2, 1]", "expected finite")


def stacked(**changed):
    """Google's arrays with both blocks in one."""
    good = arrays("google")
    found = {name: array for name, array in good.items() if "encoderblock" not in name}
    for name in good:
        if "encoderblock_0" in name:
            both = good[name], good[name.replace("encoderblock_0", "encoderblock_1")]
            found[name.replace("encoderblock_0", "encoderblock")] = np.stack(both)
    return found | changed


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (0, 4), (4,), (2, 0), (10**6, 0), (10**12, 0), ()], ids=str)
def test_stacked_blocks_that_do_not_fit(google, shape):
    np.savez(google, **stacked())
    assert load_weights(google)[1].depth == 2
    np.savez(google, **stacked(**{"Transformer/encoderblock/LayerNorm_0/scale": np.zeros(shape, np.float32)}))
    refused(google, "Transformer/encoderblock")


def test_a_stack_of_everything(google):
    many = {f"Transformer/encoderblock/{i}": np.zeros((10**9, 0), np.float32) for i in range(100)}
    np.savez(google, **stacked(**many))
    refused(google, "Transformer/encoderblock/0 has no place")


# ---- config.json and preprocessor_config.json


@pytest.fixture
def beside(path):
    """Writes a file beside good weights of Hugging Face's."""
    write_arrays(path, arrays())

    def write_beside(content, name="config.json"):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (path.parent / name).write_bytes(data)
        return path.parent / name

    return write_beside


DAMAGED = {
    "empty": b"",
    "half": b'{"num_attention_heads": ',
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "deep": b"[" * 100_000,
    "no number": b'{"layer_norm_eps": NaN}',
    "an infinite number": b'{"image_std": [1e999]}',
    "a number without end": b'{"a": ' + b"9" * 10_000 + b"}",
    "huge": b" " * json_files.LONGEST + b"{}",
}


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_description(path, beside, name, data):
    place = beside(data, name)
    refused_in_one_line(lambda: load_weights(path, heads=2), place)


def test_a_folder_for_a_description(path, beside):
    (path.parent / "config.json").mkdir()
    refused_in_one_line(lambda: load_weights(path, heads=2), path.parent / "config.json", "no ordinary file")


NONSENSE = {
    "num_attention_heads": [0, -1, 3, "2", True, 2.0, None, [2], {}, 10**9, MANY],
    "layer_norm_eps": ["x", "1e-6", 0, 1e9, -1e-6, None, True, [], {}, MANY],
    "hidden_act": [["gelu"], {"gelu": 1}, "relu", "", "x" * 10_000, 1, True, "a\nb"],
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_config(path, beside, name):
    for value in NONSENSE[name]:
        beside({"num_attention_heads": 2} | {name: value})
        refused_in_one_line(lambda: load_weights(path), path.parent, "config.json")


NAMES = [
    *(None, [], "ab", 3, {"a": "b", "0": "c", "1": "d"}),
    *({"0": "a", "1": "b", "2": name} for name in (["x"], {}, None, "a\nb", "\x1b[2J", "\ud800")),
]


@pytest.mark.parametrize("names", NAMES, ids=range(len(NAMES)))
def test_class_names_that_are_none_are_left_out(path, beside, names):
    beside({"num_attention_heads": 2, "id2label": names})
    assert load_weights(path)[2].class_names is None


PREPARATIONS = [
    *(
        {"image_std": std}
        for std in (0, [0, 0, 0], [0.5, 0, 0.5], [-1, 1, 1], [], [1, 1], [1e-300] * 3, "111", {}, True)
    ),
    *({"image_mean": mean} for mean in ("abc", "000", ["0.5"] * 3, [None] * 3, [0.5], [[0.5]] * 3, [True] * 3)),
    {"image_mean": [0.5, 1e99, 0.5]},
    {"image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]},  # of pixels from 0 to 255
    {"image_mean": [0, 0, 0], "image_std": [255, 255, 255]},
    {"image_mean": [0.5] * 100_000},
    *({"resample": value} for value in (99, -1, "x", [2], {}, 4)),
    *({"do_center_crop": True, "size": {"shortest_edge": value}} for value in (0, -4, "x", None, 1e9, MANY, [])),
]


@pytest.mark.parametrize("content", PREPARATIONS, ids=range(len(PREPARATIONS)))
def test_nonsense_in_preprocessor_config(path, beside, content):
    place = beside(content, "preprocessor_config.json")
    refused_in_one_line(lambda: load_weights(path, heads=2), place, "prepared", error=DataError)


@pytest.mark.parametrize("size", [None, 3, "x", [], {}, {"height": None}, {"shortest_edge": 0}])
def test_a_size_that_is_not_used_does_not_matter(path, beside, size):
    beside({"size": size}, "preprocessor_config.json")
    assert load_weights(path, heads=2)[2].preparation.size == TINY.image


CROPS = [{"crop_pct": value} for value in (0, 2, -1, MANY, "x", [])]


@pytest.mark.parametrize("value", [[1], "x", 3, {"mean": {}}, {"interpolation": "random"}, *CROPS], ids=str)
def test_nonsense_in_pretrained_cfg(path, beside, value):
    write_arrays(path, arrays("timm"))
    place = beside({"pretrained_cfg": value})
    refused_in_one_line(lambda: load_weights(path, heads=2), place, "prepared", error=DataError)


# ---- what is asked for


@pytest.mark.parametrize("heads", [3, 0, -1, 5, 10**9, "2", True, 2.0])
def test_heads_that_cannot_be(path, heads):
    write_arrays(path, arrays())
    refused(path, "heads", heads=heads, error=UsageError)


def test_heads_that_nobody_says(path, google):
    write_arrays(path, arrays())
    refused(path, "width 4", "heads=", heads=None, error=UsageError)
    query = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel"
    write_arrays(google, arrays("google", **{query: np.zeros((4, 4), np.float32)}))
    refused(google, query, heads=None)


ASKED = [{"gelu": "relu"}, {"eps": 0}, {"image": 5}, {"image": -4}, {"channels": 2}, {"classes": 0}]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_what_cannot_be_asked_for(path, google, asked):
    write_arrays(path, arrays())
    write_arrays(google, arrays("google"))
    for file in (path, google):
        with pytest.raises(UsageError) as caught:
            load_weights(file, heads=2, **asked)
        assert "\n" not in str(caught.value) and "damaged" not in str(caught.value)


def test_the_command_says_one_line(path, google):
    write_arrays(path, {name: array for name, array in arrays().items() if name != CLS})
    google.write_bytes(b"PK\x05\x06" + b"\xff" * 18)
    for file, word in ((path, CLS), (google, str(google))):
        result = call("predict", file, "picture.png", "--heads", "2")
        assert result.code == 1 and not result.out
        assert result.err.count("\n") == 1 and word in result.err


# ---- fuzz


@pytest.fixture(scope="module", params=["model.safetensors", "stored.npz", "deflated.npz"])
def fuzzed(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / request.param
    if path.name == "deflated.npz":
        np.savez_compressed(path, **arrays("google"))
    else:
        write_arrays(path, arrays("google" if path.suffix == ".npz" else "huggingface"))
    return path


SHARE = st.floats(0, 1, exclude_max=True)


def loads_or_is_refused(good, data):
    path = good.with_name(f"bad{good.suffix}")
    path.write_bytes(data)
    try:
        p, config, _ = load_weights(path, heads=2)
    except UNREADABLE as error:
        assert "\n" not in str(error) and str(path) in str(error) and len(str(error)) < 1000
        return
    assert config.depth == 2 and all(np.isfinite(leaf).all() for leaf in trees.leaves(p))


@settings(max_examples=150)
@given(part=st.integers(0, 2), changes=st.lists(st.tuples(SHARE, st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(fuzzed, part, changes):
    valid = fuzzed.read_bytes()
    end = len(valid)
    start, end = [(0, end), (0, min(300, end)), (max(0, end - 3000), end)][part]
    data = bytearray(valid)
    for where, value in changes:
        data[start + int(where * (end - start))] = value
    loads_or_is_refused(fuzzed, bytes(data))


@settings(max_examples=100)
@given(a=SHARE, b=SHARE, middle=st.binary(max_size=40))
def test_cut_and_pasted(fuzzed, a, b, middle):
    valid = fuzzed.read_bytes()
    loads_or_is_refused(fuzzed, valid[: int(a * len(valid))] + middle + valid[int(b * len(valid)) :])


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SIMPLE | st.sampled_from([2, 0, 0.5, "gelu"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
CONFIG_KEYS = ["num_attention_heads", "layer_norm_eps", "hidden_act", "id2label", "pretrained_cfg", "model_args"]
CONFIG_KEYS += [
    "image_size",
    "patch_size",
    "problem_type",
    "model_type",
    "architecture",
    "architectures",
    "global_pool",
]
CONFIG_KEYS += ["num_labels", "label_names", "tinyvit"]
PICTURE_KEYS = [
    "image_mean",
    "image_std",
    "mean",
    "std",
    "size",
    "resample",
    "interpolation",
    "crop_pct",
    "do_center_crop",
]


@settings(max_examples=200)
@given(
    config=st.dictionaries(st.sampled_from(CONFIG_KEYS), VALUES, max_size=4),
    pictures=st.dictionaries(st.sampled_from(PICTURE_KEYS), VALUES, max_size=3),
    nested=st.booleans(),
)
def test_any_description(tmp_path_factory, config, pictures, nested):
    folder = tmp_path_factory.getbasetemp() / "described"
    path = folder / "model.safetensors"
    if not folder.exists():
        folder.mkdir()
        write_arrays(path, arrays())
    (folder / "config.json").write_text(json.dumps(config | ({"pretrained_cfg": pictures} if nested else {})))
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    try:
        load_weights(path, heads=None if "num_attention_heads" in config else 2)
    except TinyvitError as error:
        assert "\n" not in str(error) and str(folder) in str(error) and len(str(error)) < 1000
