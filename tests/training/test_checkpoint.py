"""Checkpoints: bits in, bits out; every file that is not one is refused in one line, before memory is spent on it."""

import dataclasses
import json
import os
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.compare import assert_same_bits, random_vit
from tests.reference.forgery import Trap, npy, refused_in_one_line, write_zip
from tests.training.helpers import CONFIG, VARIANTS, environment
from tinyvit import trees
from tinyvit.errors import CheckpointError
from tinyvit.models.config import ViTConfig
from tinyvit.training.checkpoint import load, load_training, save

TINY = ViTConfig(image=4, channels=1, patch=2, dim=4, depth=1, heads=2, mlp_dim=4, classes=2)
LONG = dataclasses.replace(TINY, image=16, patch=16)  # its second array has 4096 bytes, more than zipfile reads ahead
STATE = {"moment1": np.arange(3.0), "step": np.int64(7)}
STATE_FORM = {"moment1": ((3,), None), "step": ((), "int64")}
STATE_ARRAYS = {"training/moment1": np.arange(3, dtype=np.float32), "training/step": np.array(7, np.int64)}


def description(**changed):
    """The entry `config` of a checkpoint, as an array of bytes."""
    values = {"format": 1, "config": dataclasses.asdict(TINY)} | changed
    return as_bytes(json.dumps(values).encode())


def as_bytes(data):
    return np.frombuffer(data, np.uint8)


def arrays(dtype="float32", **changed):
    """All entries of a checkpoint of TINY, by name; changed={"cls": None} leaves one out."""
    entries = {"config": description()} | {name: x.astype(dtype) for name, x in trees.walk(random_vit(TINY))} | changed
    return {name: x for name, x in entries.items() if x is not None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture
def valid(path):
    """The bytes of a checkpoint of TINY, which lies at `path`."""
    save(path, trees.map(np.float32, random_vit(TINY)), TINY)
    return path.read_bytes()


def refused(path, *words, like=None):
    """The file is refused in one line with these words, and little memory is taken."""
    refused_in_one_line(lambda: load(path) if like is None else load_training(path, like), path, *words)


# ---- what is written


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_to_the_bit(path, variant, dtype):
    config = dataclasses.replace(CONFIG, dropout=0.1, eps=1e-5, **VARIANTS[variant])
    p = trees.map(np.dtype(dtype).type, random_vit(config))
    save(path, p, config)
    found, found_config = load(str(path))
    assert found_config == config
    assert_same_bits(found, p)
    for leaf in trees.leaves(found):
        assert leaf.dtype == np.dtype(dtype) and leaf.flags.writeable


@pytest.mark.smoke
def test_training_state_round_trip(path):
    p = random_vit(TINY)
    save(path, p, TINY, training=STATE)
    found, config, state = load_training(path, STATE_FORM)
    assert_same_bits(found, p)
    assert config == TINY and state.keys() == STATE.keys()
    assert state["step"] == 7 and state["step"].dtype == np.int64
    assert (state["moment1"] == STATE["moment1"]).all()
    assert load_training(path, lambda c: STATE_FORM if c == TINY else None)[2].keys() == STATE.keys()
    assert_same_bits(load(path)[0], p)


def test_the_layout_in_memory_does_not_show(path):
    p = random_vit(TINY)
    save(path, p, TINY)
    expected = path.read_bytes()
    save(path, trees.map(np.asfortranarray, p), TINY)
    assert path.read_bytes() == expected


def test_the_same_model_gives_the_same_bytes_at_another_time(tmp_path, monkeypatch):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    save(first, random_vit(TINY), TINY, training=STATE)
    now = time.time() + 86_400 * 400
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(now))
    save(second, random_vit(TINY), TINY, training=STATE)
    assert first.read_bytes() == second.read_bytes()


def test_numpy_alone_can_read_it(path):
    p = random_vit(CONFIG)
    save(path, p, CONFIG, training=STATE)
    with np.load(path, allow_pickle=False) as file:
        names = set(file.files)
        assert {"blocks/0/msa/q/w", "blocks/1/mlp/fc2/b", "patch/w", "cls", "pos", "ln/gamma", "head/b"} < names
        assert names == {"config", "training/moment1", "training/step", *trees.named(p)}
        assert json.loads(file["config"].tobytes())["config"] == dataclasses.asdict(CONFIG)
        for name, leaf in trees.walk(p):
            assert (file[name] == leaf).all(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_alone_can_write_it(path, dtype):
    np.savez(path, **arrays(dtype))
    p, config = load(path)
    assert config == TINY
    assert_same_bits(trees.named(p), {name: x for name, x in arrays(dtype).items() if name != "config"})


def test_parameters_may_live_on_the_device(path, xp):
    p = random_vit(TINY)
    save(path, p, TINY)
    expected = path.read_bytes()
    save(path, trees.map(xp.asarray, p), TINY)
    assert path.read_bytes() == expected


# ---- what is refused


def test_no_file(path):
    refused(path, "no checkpoint", "expected")


def test_a_folder(tmp_path):
    refused(tmp_path, "cannot read")


def test_no_zip(path):
    path.write_bytes(b"not a zip file\n" * 100)
    refused(path, "a text that begins", "expected")


@pytest.mark.parametrize("length", [0, 1, 3, 100, 0.3, 0.7, 0.95, -100, -22, -1])
def test_truncated(path, valid, length):
    path.write_bytes(valid[: int(length * len(valid)) if isinstance(length, float) else length])
    refused(path)


def test_a_flipped_bit_in_an_array(path, valid):
    data = bytearray(valid)
    data[valid.find(random_vit(TINY)["patch"]["w"].astype(np.float32).tobytes()) + 5] ^= 4
    path.write_bytes(data)
    refused(path, "damaged")


@pytest.mark.parametrize("name", ["cls", "blocks/0/msa/q/w", "head/b"])
def test_a_missing_name(path, name):
    np.savez(path, **arrays(**{name: None}))
    refused(path, name, "missing")


@pytest.mark.parametrize("name", ["blocks/1/msa/q/w", "pre_logits/w", "extra"])
def test_an_unknown_name(path, name):
    np.savez(path, **arrays(**{name: np.zeros((4, 4), np.float32)}))
    refused(path, name, "does not belong")


def test_a_folder_inside(path):
    np.savez(path, **arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("blocks/", b"")
    refused(path, "blocks/", "does not belong")


@pytest.mark.parametrize("shape", [(4,), (1, 5), (2, 2), (1, 4, 1), ()])
def test_a_wrong_shape(path, shape):
    np.savez(path, **arrays(cls=np.zeros(shape, np.float32)))
    refused(path, "cls is float32", str(list(shape)), "expected float32 [1, 4]")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", ">f4", "complex64", "U1", "M8[s]", "?", "f4,f4"])
def test_a_wrong_dtype_among_others(path, dtype):
    np.savez(path, **arrays(cls=np.zeros((1, 4), dtype)))
    refused(path, "cls", "expected float32 [1, 4]")


@pytest.mark.parametrize("dtype", ["float16", "int64", ">f4", ">f8", "complex128", "?"])
def test_a_wrong_dtype_everywhere(path, dtype):
    np.savez(path, **arrays(dtype))
    refused(path, np.dtype(dtype).name if dtype[0] != ">" else dtype, "expected float32 or float64")


def test_fortran_order(path):
    name = "blocks/0/mlp/fc1/w"
    square = np.eye(4, dtype=np.float32)[[2, 0, 1, 3]]
    np.savez(path, **arrays(**{name: np.asfortranarray(square)}))
    assert np.array_equal(load(path)[0]["blocks"][0]["mlp"]["fc1"]["w"], square)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(path, value):
    pos = np.zeros((5, 4), np.float32)
    pos[3, 1] = value
    np.savez(path, **arrays(pos=pos))
    refused(path, "pos", f"{value} at [3, 1]", "expected finite")


@pytest.mark.parametrize("name", ["cls", "config", "head/b", "training/step"])
def test_a_pickle_is_never_opened(path, tmp_path, name):
    np.savez(path, **arrays(**STATE_ARRAYS | {name: np.array([Trap(str(tmp_path / "sprung"))], object)}))
    refused(path, like=STATE_FORM)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", STATE)
def test_training_state_that_is_missing_or_wrong(path, name):
    np.savez(path, **arrays(**STATE_ARRAYS | {f"training/{name}": None}))
    refused(path, f"training/{name}", "missing", like=STATE_FORM)
    np.savez(path, **arrays(**STATE_ARRAYS | {f"training/{name}": np.zeros(5, np.float32)}))
    refused(path, f"training/{name} is float32 [5]", "expected", like=STATE_FORM)


def test_compressed_arrays(path):
    np.savez_compressed(path, **arrays())
    refused(path, "uncompressed")


def test_a_compressed_bomb(path):
    write_zip(path, arrays(cls=npy((1, 4), data=bytes(50_000_000))), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    refused(path, "declares", "in a file of")


LIARS = npy((10**12, 4)), npy((2**62, 2**62)), npy((-1, 4)), npy((1, 4)), npy((1, 4), data=bytes(17))


@pytest.mark.parametrize("entry", LIARS, ids=range(len(LIARS)))
def test_a_header_that_declares_what_is_not_there(path, entry):
    write_zip(path, arrays(cls=entry))
    refused(path, "cls", "expected")


def test_a_directory_that_declares_more_than_the_file_holds(path, valid):
    record = valid.find(b"PK\x01\x02")
    data = bytearray(valid)
    data[record + 24 : record + 28] = (0x7FFFFFFF).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, "declares 2147483647 bytes", f"in a file of {len(valid)}")


def test_a_name_that_is_no_text(path, valid):
    record = valid.find(b"PK\x01\x02")
    data = bytearray(valid)
    data[record + 9] |= 8  # "the name is UTF-8"
    data[record + 46] = 0xFF  # its first byte
    path.write_bytes(data)
    refused(path, "damaged")


@pytest.mark.parametrize("offset", [1, 1000, 2**31, 2**32 - 2])
def test_a_directory_that_claims_to_be_elsewhere(path, valid, offset):
    path.write_bytes(valid[:-6] + offset.to_bytes(4, "little") + valid[-2:])
    refused(path, "damaged")


@pytest.mark.parametrize("entry", [b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00", b"junk" * 9, npy((1, 4), descr="<f4 ")])
def test_entries_that_are_no_arrays(path, entry):
    write_zip(path, arrays(cls=entry))
    refused(path, "cls")


NO_PYTHON = b"{'descr': '<f4', 'shape': (1, 4", b"(" * 900, b"{" * 60, b"\xff\xfe", b"  indent\n x", b"1" * 5000, b""


@pytest.mark.parametrize("header", NO_PYTHON, ids=range(len(NO_PYTHON)))
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_that_are_no_python(path, header, version):
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    write_zip(path, arrays(cls=b"\x93NUMPY" + bytes([version, 0]) + length + header))
    refused(path, "cls")


FORGED = {
    "huge sizes": dataclasses.asdict(TINY) | {"dim": 100_000, "mlp_dim": 100_000, "depth": 1000},
    "beyond all sizes": dataclasses.asdict(TINY) | {"dim": 10**30, "heads": 10**30},
    "another depth": dataclasses.asdict(TINY) | {"depth": 2},
    "unknown key": dataclasses.asdict(TINY) | {"wings": 2},
    "heads that do not divide": dataclasses.asdict(TINY) | {"heads": 3},
    "patch that does not divide": dataclasses.asdict(TINY) | {"patch": 3},
    "a size of text": dataclasses.asdict(TINY) | {"dim": "4"},
    "a size of truth": dataclasses.asdict(TINY) | {"depth": True},
    "a fraction": dataclasses.asdict(TINY) | {"dim": 4.0},
    "not a number": dataclasses.asdict(TINY) | {"eps": float("nan")},
    "a list for a word": dataclasses.asdict(TINY) | {"position": ["1d"]},
    "no dictionary": [1, 2],
    "nothing": None,
}


@pytest.mark.parametrize("config", FORGED.values(), ids=FORGED)
def test_a_forged_configuration(path, config):
    np.savez(path, **arrays(config=description(config=config)))
    refused(path)


TEXTS = {
    "no JSON": b"{format: 1}",
    "no text": b"\xff\xfe\x00",
    "empty": b"",
    "a list": b"[]",
    "a number": b"1",
    "nested without end": b"[" * 60_000,
    "a number without end": b'{"format": ' + b"9" * 60_000 + b"}",
    "no format": b'{"config": {}}',
    "no config": b'{"format": 1}',
    "too long": b" " * 70_000 + b"{}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_configuration_that_is_none(path, text):
    np.savez(path, **arrays(config=as_bytes(text)))
    refused(path, "configuration")


@pytest.mark.parametrize("number", [0, 2, "1", None, [1]])
def test_another_format(path, number):
    np.savez(path, **arrays(config=description(format=number)))
    refused(path, f"format {number!r}", "expected 1")


OTHER_FORMS = np.zeros((2, 2), np.uint8), np.zeros(8), np.zeros(9000), np.array("text"), npy((-3,), "|u1")


@pytest.mark.parametrize("entry", OTHER_FORMS, ids=range(len(OTHER_FORMS)))
def test_a_configuration_of_another_form(path, entry):
    write_zip(path, arrays(config=entry))
    refused(path, "configuration")


def test_no_configuration(path):
    np.savez(path, **arrays(config=None))
    refused(path, "no configuration")


# ---- fuzz


def assert_equal_or_refused(path, data):
    """A damaged file is refused, or the damage did not touch what it says; no other error, and no warning."""
    path.write_bytes(data)
    try:
        p, config = load(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
        return
    assert config == LONG
    assert_same_bits(p, trees.map(np.float32, random_vit(LONG)))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "model.npz"
    save(path, trees.map(np.float32, random_vit(LONG)), LONG)
    return path, path.read_bytes()


def test_every_byte_of_the_structure_matters(fuzzed):
    """All bytes before the numbers of the first two entries, of a record of the directory, and of its end."""
    path, valid = fuzzed
    second, directory = valid.find(b"PK\x03\x04", 1), valid.find(b"PK\x01\x02")
    starts = [*range(200), *range(second, second + 200), *range(directory, directory + 60)]
    for position in [*starts, *range(len(valid) - 80, len(valid))]:
        for value in {0, valid[position] ^ 128, valid[position] ^ 1}:
            assert_equal_or_refused(path, valid[:position] + bytes([value]) + valid[position + 1 :])


SHARE, BYTE = st.floats(0, 1, exclude_max=True), st.integers(0, 255)


@settings(max_examples=400)
@given(part=st.integers(0, 2), changes=st.lists(st.tuples(SHARE, BYTE), min_size=1, max_size=4))
def test_changed_bytes_are_refused_or_harmless(fuzzed, part, changes):
    path, valid = fuzzed
    second, directory = valid.find(b"PK\x03\x04", 1), valid.find(b"PK\x01\x02")
    start, end = [(0, len(valid)), (second, second + 200), (directory, len(valid))][part]
    data = bytearray(valid)
    for where, value in changes:
        data[start + int(where * (end - start))] = value
    assert_equal_or_refused(path, bytes(data))


@settings(max_examples=150)
@given(a=SHARE, b=SHARE, middle=st.binary(max_size=40))
def test_cut_and_pasted_files_are_refused_or_harmless(fuzzed, a, b, middle):
    path, valid = fuzzed
    assert_equal_or_refused(path, valid[: int(a * len(valid))] + middle + valid[int(b * len(valid)) :])


# ---- a full disk

FULL_DISK = """
import resource, signal, sys
import numpy as np
from tests.reference.compare import random_vit
from tests.training.test_checkpoint import TINY
from tinyvit.errors import CheckpointError
from tinyvit.training.checkpoint import save
p = random_vit(TINY)
p["cls"] += 1
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(sys.argv[1], p, TINY)
    except CheckpointError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are POSIX")
def test_a_full_disk_leaves_the_old_checkpoint(path):
    save(path, random_vit(TINY), TINY)
    old = path.read_bytes()
    limits = [0, 100, 1000, len(old) // 2, len(old) - 1000, len(old) - 1]
    argv = [sys.executable, "-c", FULL_DISK, path, *map(str, limits)]
    env = environment()
    env["PYTHONPATH"] += os.pathsep + os.getcwd()
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(limits)
    assert all(f"cannot write {path}" in line and "File too large" in line for line in lines)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name], "a side file was left"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="cannot write"):
        save(tmp_path / "nowhere" / "model.npz", random_vit(TINY), TINY)
