"""PyTorch's files, read without PyTorch: from committed files that it wrote, forged ones, and live where it is."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.golden import make_weights
from tests.golden.make_torch_files import FOLDER, SIZES
from tests.golden.make_weights import FOLDER as WEIGHTS
from tests.reference.compare import assert_same_bits
from tests.reference.forgery import Trap, refused_in_one_line
from tests.reference.torch_files import ORDERED, Call, Made, Name, Stored, pickled, save_torch
from tests.training.helpers import call
from tests.weights.tables import logits, pictures
from tinyvit import load_weights
from tinyvit.errors import CheckpointError, TinyvitError
from tinyvit.pickles import LARGEST
from tinyvit.weights.tensors import open_tensors
from tinyvit.weights.torchfile import DEEPEST

ARRAYS = load_file(WEIGHTS / "features" / "model.safetensors")  # float32, of one small block
NUMBERS = np.arange(24, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vit.pth"


def contents(path):
    """{name: array} of a file."""
    with open_tensors(path) as tensors:
        return {name: tensor.read() for name, tensor in tensors.items()}


def refused(path, *words, **how):
    refused_in_one_line(lambda: contents(path), path, *words, **how)


def same(found, expected):
    """Both have the same names, shapes, types and bits."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype, name
        assert found[name].tobytes() == array.tobytes(), name


# ---- what PyTorch wrote


def test_the_files_are_small():
    sizes = {file: file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()}
    assert max(sizes.values()) < 30_000 and sum(sizes.values()) < 80_000


def test_a_training_scripts_file():
    with np.load(FOLDER / "answers.npz") as golden:
        images, expected = golden["images"] / np.float32(8), golden["logits"]
    p, config, notes = load_weights(FOLDER / "training.pth", heads=2, eps=1e-12)
    assert abs(logits(p, config, images) - expected).max() < 1e-5 < abs(expected).max()
    assert "model.module." in notes.lines[0] and "not model_ema.*" in notes.lines[1]
    assert "model_ema, optimizer" in notes.lines[2]


def test_every_kind_of_number_and_of_view():
    with np.load(FOLDER / "kinds.npz") as golden, open_tensors(FOLDER / "kinds.pth") as tensors:
        assert len(golden) == 11
        same({name: tensors[name].read() for name in golden}, dict(golden))
        unsupported = {name: tensors[name] for name in tensors if name not in golden}
        assert len(unsupported) == 5
        for name, tensor in unsupported.items():
            with pytest.raises(CheckpointError, match=rf"{name} is of .*, which is not supported: expected one of F64"):
                tensor.read()


def test_numbers_stay_in_the_file():
    with open_tensors(FOLDER / "kinds.pth") as tensors:
        for name in ("row by row", "float64"):
            array = tensors[name].read()
            assert not array.flags.owndata and not array.flags.writeable and array.flags.aligned, name
        assert tensors["transposed"].read().flags.c_contiguous


def test_the_form_from_before_version_1_6():
    refused(FOLDER / "old.pth", "before version 1.6", "save it again")


# ---- the same model as from safetensors, to the bit

WAYS = {
    "plain": {},
    "compressed": {"compression": zipfile.ZIP_DEFLATED},
    "big-endian": {"order": "big"},
    "said to be little-endian": {"order": "little"},
    "another root": {"root": "pytorch_model"},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_model_to_the_bit(path, way):
    p, config, notes = load_weights(WEIGHTS / "features")
    (path.parent / "config.json").write_bytes((WEIGHTS / "features" / "config.json").read_bytes())
    save_torch(path, ARRAYS, **WAYS[way])
    q, same_config, same_notes = load_weights(path)
    assert same_config == config and same_notes == notes
    assert_same_bits(q, p)
    images = pictures(config).astype(np.float32)
    assert np.array_equal(logits(q, config, images), logits(p, config, images))


def test_transposed_tensors_give_the_same_bits(path):
    """Every matrix as a view of its transpose: in another order of the same numbers products might round otherwise."""
    p, config, _ = load_weights(WEIGHTS / "features")
    (path.parent / "config.json").write_bytes((WEIGHTS / "features" / "config.json").read_bytes())
    storages, content = {}, {}
    for key, (name, array) in enumerate(ARRAYS.items()):
        turned = np.ascontiguousarray(array.T)
        storages[str(key)] = turned.tobytes()
        strides = tuple(step // 4 for step in turned.T.strides)
        content[name] = Stored(str(key), array.size, "Float", 0, array.shape, strides)
    save_torch(path, content, storages)
    q = load_weights(path)[0]
    assert_same_bits(q, p)
    images = pictures(config).astype(np.float32)
    assert np.array_equal(logits(q, config, images), logits(p, config, images))


def test_one_storage_of_all_tensors(path):
    """As of a flattened model: every tensor is a piece of one storage."""
    content, at = {}, 0
    for name, array in ARRAYS.items():
        strides = tuple(step // 4 for step in np.empty(array.shape, np.float32).strides)
        content[name] = Stored("all", sum(a.size for a in ARRAYS.values()), "Float", at, array.shape, strides)
        at += array.size
    save_torch(path, content, {"all": b"".join(array.tobytes() for array in ARRAYS.values())})
    same(contents(path), ARRAYS)


def test_what_stands_beside_the_tensors(path):
    beside = {
        "args": Made(
            Call(Name("argparse", "Namespace"), ()), {"lr": 0.1, "out": Call(Name("pathlib", "PosixPath"), ())}
        ),
        "seen": Call(Name("__builtin__", "set"), ([1, 2],)),
        "best": Call(Name("numpy.core.multiarray", "scalar"), (Call(Name("numpy", "dtype"), ("f8",)), "x")),
        "state": Call(Name("collections", "defaultdict"), (Name("__builtin__", "dict"),)),
        "draws": Call(Name("numpy.core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), "b")),
        "shape": Call(Name("torch", "Size"), ((1, 2),)),
        "device": Call(Name("torch", "device"), ("cuda", 0)),
        "dtype": Name("torch", "float32"),
        "epoch": 3,
    }
    save_torch(path, {"a": NUMBERS} | beside)
    same(contents(path), {"a": NUMBERS})


def test_a_dictionary_in_an_ordered_one(path):
    storages = {"0": NUMBERS.tobytes()}
    inner = Made(Call(ORDERED.function, ([("a", Stored("0", 24, "Float", 0, (24,), (1,)))],)), {"_metadata": {}})
    save_torch(path, {"model": inner}, storages)
    same(contents(path), {"model.a": NUMBERS})


def test_the_tensors_are_in_the_order_of_the_file(path):
    save_torch(path, {"b": NUMBERS, "a": {"d": NUMBERS, "c": NUMBERS}, "e": NUMBERS})
    assert list(contents(path)) == ["b", "a.d", "a.c", "e"]


def test_under_another_name(tmp_path):
    for name in ("model.safetensors", "vit.npz", "vit.ckpt", "3f2a"):
        save_torch(tmp_path / name, {"a": NUMBERS})
        same(contents(tmp_path / name), {"a": NUMBERS})


def test_checksums_that_were_not_written(path):
    save_torch(path, {"a": NUMBERS})
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            data[at + place : at + place + 4] = bytes(4)
    path.write_bytes(data)
    same(contents(path), {"a": NUMBERS})


# ---- what is refused


def test_nothing_that_a_file_names_is_run(path, tmp_path):
    canary = tmp_path / "sprung"
    trap = pickle.dumps({"model": {"a": Trap(str(canary))}}, 2)
    shell = Call(Name("posix", "system"), (f"touch {canary}",))
    through = Call(
        Name("torch._tensor", "_rebuild_from_type_v2"), (Name("os", "system"), None, (f"touch {canary}",), None)
    )
    for content, name in (
        (trap, "io.open"),
        ({"a": shell}, "posix.system"),
        ({"a": NUMBERS, "b": [(shell,)]}, "posix.system"),
        ({"a": Made(Call(Name("io", "FileIO"), ()), {"a": shell})}, "io.FileIO"),
        ({"a": Call(Name("builtins", "eval"), ("1",))}, "builtins.eval"),
        ({"a": through}, "os.system"),
        ({"a": Call(Name("torch._utils", "_rebuild_qtensor"), ())}, "torch._utils._rebuild_qtensor"),
        ({"a": Name("timm.models", "VisionTransformer")}, "timm.models.VisionTransformer"),
    ):
        save_torch(path, content)
        refused(path, f"it asks for '{name}'", "expected tensors")
    save_torch(path, {"a": Stored("0", 24, shell, 0, (24,), (1,))}, {"0": NUMBERS.tobytes()})
    refused(path, "it asks for 'posix.system'")
    result = call("predict", path, "picture.png")
    assert result.code == 1 and result.err.count("\n") == 1 and "posix.system" in result.err
    assert not canary.exists()


GOOD = dict(key="0", count=24, kind="Float", offset=0, shape=(2, 3), strides=(3, 1))
WRONG = {
    "behind the end": ({"offset": 19}, "in a storage of 24 numbers"),
    "far behind": ({"offset": 2**62}, "in a storage of 24 numbers"),
    "a long stride": ({"strides": (22, 1)}, "in a storage of 24 numbers"),
    "a huge shape": ({"shape": (2**40, 2**40)}, "in a storage of 24 numbers"),
    "numbers repeated without end": ({"shape": (2**40,), "strides": (0,)}, "in a storage of 24 numbers"),
    "many axes": ({"shape": (1,) * 9, "strides": (1,) * 9}, "shape and strides"),
    "axes without strides": ({"strides": (1,)}, "shape and strides"),
    "a negative stride": ({"strides": (-3, 1)}, "shape and strides"),
    "a negative offset": ({"offset": -1}, "shape and strides"),
    "a negative shape": ({"shape": (-2, -3)}, "shape and strides"),
    "a great number": ({"shape": (2**64, 3)}, "shape and strides"),
    "a shape of truths": ({"shape": (True, True)}, "shape and strides"),
    "a shape of fractions": ({"shape": (2.0, 3.0)}, "shape and strides"),
    "a shape that is a list": ({"shape": [2, 3]}, "shape and strides"),
    "a shape that is a number": ({"shape": 6}, "shape and strides"),
    "an offset that is a text": ({"offset": "0"}, "shape and strides"),
    "a count of nothing": ({"count": None}, "shape and strides"),
    "a greater count": ({"count": 25}, "in a storage of 96 bytes, expected 100"),
    "a smaller count": ({"count": 23}, "in a storage of 96 bytes, expected 92"),
    "another kind": ({"kind": "Double"}, "in a storage of 96 bytes, expected 192"),
    "no such storage": ({"key": "1"}, "lies in 'archive/data/1', which is not there"),
    "a long text for a storage": ({"key": "x\n" * 1000}, "which is not there"),
    "a path for a storage": ({"key": "../../etc/passwd"}, "which is not there"),
    "a number for a storage": ({"key": 0}, "damaged"),
    "a storage that is none": ({"kind": 3}, "damaged"),
    "a kind that is a function": ({"kind": Name("collections", "OrderedDict")}, "damaged"),
    "a tensor to be negated": ({"more": ({"neg": True},)}, "a lazy view of another", "resolve_neg"),
    "a kind that is no kind of numbers": ({"kind": Name("torch", "Tensor")}, "shape and strides"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_tensor_that_cannot_be(path, name):
    changed, *words = WRONG[name]
    save_torch(path, {"a": Stored(**GOOD)}, {"0": NUMBERS.tobytes()})
    assert contents(path)["a"].tolist() == NUMBERS[:6].reshape(2, 3).tolist()
    save_torch(path, {"a": Stored(**GOOD | changed)}, {"0": NUMBERS.tobytes()})
    refused(path, *words)


def test_tensors_that_share_more_than_there_is(path):
    many = {f"a{i}": Stored("0", 100_000, "Float", 0, (100_000,), (1,)) for i in range(9)}
    save_torch(path, many, {"0": bytes(400_000)})
    refused(path, "3600000 bytes of tensors", "at most 8 times")


def test_a_dictionary_in_itself(path):
    one = b"}q\x01X\x01\x00\x00\x00ah\x01s"
    save_torch(path, pickled(one))
    assert contents(path) == {}
    wide = b"}q\x01(" + b"".join(b"K" + bytes([i]) + b"h\x01" for i in range(100)) + b"u"
    save_torch(path, pickled(wide))
    refused(path, "its dictionaries hold more than", little=200_000_000)


def test_keys_that_are_no_names(path):
    """Texts and numbers name tensors; other keys would have to be written out, however long, again and again."""
    save_torch(path, {"a": NUMBERS, 3: {True: NUMBERS}, None: {"b": NUMBERS}, 1.5: NUMBERS})
    assert contents(path).keys() == {"a", "3.True"}


def test_dictionaries_deeper_than_any_models(path):
    content = NUMBERS
    for depth in range(DEEPEST + 1):
        assert depth == 0 or not save_torch(path, content)
        found = contents(path) if depth else None
        assert found is None or len(found) == 1
        content = {"a": content}
    save_torch(path, content)
    assert contents(path) == {}


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, "\x1b[2J"], ids=["line", "long", "escape"])
def test_a_name_that_cannot_be_shown(path, name):
    save_torch(path, {name: NUMBERS})
    refused(path, "no name of an array")


def test_one_name_for_two(path):
    save_torch(path, {"a.b": NUMBERS, "a": {"b": NUMBERS}})
    refused(path, "2 arrays of 1 names")


def test_archives_that_are_not_PyTorchs(path):
    save_torch(path, {"a": NUMBERS}, extra={"../other/data.pkl": b""}, root="archive")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    refused(path, "2 entries NAME/data.pkl")
    save_torch(path, {"a": NUMBERS}, extra={"byteorder": b"middle"})
    refused(path, "byteorder is b'middle'")
    save_torch(path, {"a": NUMBERS}, compression=zipfile.ZIP_LZMA)
    refused(path, "declares")
    save_torch(path, b"\x80\x02" + b"N0" * (LARGEST // 2) + b".")
    refused(path, f"expected at most {LARGEST}")


def test_a_compressed_storage_of_zeros(path):
    save_torch(path, {"a": np.zeros(10_000_000, np.float32)}, compression=zipfile.ZIP_DEFLATED)
    refused(path, "at most 8 times")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(path, value):
    save_torch(path, {"a": np.array([[1, 2], [value, 3]], np.float32)})
    refused(path, f"a holds {value} at [1, 0]")


def test_numbers_that_changed_in_the_file(path):
    save_torch(path, {"a": NUMBERS})
    data = bytearray(path.read_bytes())
    data[data.find(NUMBERS.tobytes()) + 50] ^= 1
    path.write_bytes(data)
    refused(path, "archive/data/0 has changed since it was written")


# ---- fuzz


def forged(rng, valid):
    """A file with bytes changed, cut out or copied; mostly in the pickle, or in the directory."""
    data, where = bytearray(valid), [(0, 2000), (len(valid) - 3000, len(valid)), (0, len(valid))]
    for _ in range(rng.integers(1, 4)):
        low, high = where[rng.integers(3)]
        a, b = sorted(rng.integers(np.clip(low, 0, len(data)), min(high, len(data)) + 1, 2))
        what = rng.integers(4)
        if what == 0:
            data[a : a + 1] = bytes([rng.integers(256)])
        elif what == 1:
            data[a : a + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, rng.integers(2**16)])).to_bytes(4, "little")
        elif what == 2:
            del data[a : b if rng.integers(2) else a + 1]
        else:
            data[a : a + 20] = data[b : b + 20]
    return bytes(data)


def unchecked(data):
    """The file without checksums, so that a change in the pickle is seen by who reads the pickle."""
    file = io.BytesIO(data)
    with zipfile.ZipFile(file) as archive:
        places = [(info.header_offset + 14, 4) for info in archive.infolist()]
        at = archive.start_dir
    data = bytearray(data)
    while data[at : at + 4] == b"PK\x01\x02":
        places.append((at + 16, 4))
        at += 46 + sum(int.from_bytes(data[at + k : at + k + 2], "little") for k in (28, 30, 32))
    for place, length in places:
        data[place : place + length] = bytes(length)
    return bytes(data)


def fuzz(path, valid, count, seed, expected=None):
    """How many of so many forged files are read, as expected; the others are refused in one line."""
    rng, read = np.random.default_rng(seed), 0
    for _ in range(count):
        path.write_bytes(forged(rng, valid))
        try:
            found = contents(path)
        except TinyvitError as error:
            assert "\n" not in str(error) and str(path) in str(error) and len(str(error)) < 1000, str(error)
        else:
            read += 1
            if expected is not None:
                same(found, expected)
            assert all(np.isfinite(array).all() for array in found.values())
    return read


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_forged_files(path, compression):
    save_torch(path, {"model": ARRAYS, "epoch": 3}, compression=compression)
    valid = path.read_bytes()
    expected = {f"model.{name}": array for name, array in ARRAYS.items()}
    assert 0 < fuzz(path, valid, 150, 0, expected) < 30
    if compression == zipfile.ZIP_STORED:
        assert 0 < fuzz(path, unchecked(valid), 150, 1) < 100


def test_a_file_that_ends_early(path):
    save_torch(path, {"a": NUMBERS})
    valid = path.read_bytes()
    for length in range(0, len(valid), 37):
        path.write_bytes(valid[:length])
        refused(path)


# ---- live


@pytest.mark.parametrize("how", [{}, {"pickle_protocol": 4}, {"crc": False}], ids=str)
def test_what_torch_saves_live(path, how):
    torch = pytest.importorskip("torch")
    draw = torch.Generator().manual_seed(0)
    state = {
        f"{i}.{kind}": torch.randn(3, i + 1, 2, generator=draw).to(getattr(torch, kind)).permute(2, 0, 1)
        for i in range(3)
        for kind in ("float32", "float64", "float16", "bfloat16")
    }
    crc = how.get("crc", True)
    torch.serialization.set_crc32_options(crc)
    torch.save(
        {"model": torch.nn.ParameterDict({"a": torch.ones(2)}).state_dict() | state},
        path,
        **{name: value for name, value in how.items() if name != "crc"},
    )
    torch.serialization.set_crc32_options(True)
    expected = torch.load(path, weights_only="pickle_protocol" not in how)["model"]
    wide = {name: x.double() if x.dtype == torch.float64 else x.float() for name, x in expected.items()}
    same(contents(path), {f"model.{name}": np.ascontiguousarray(x.numpy()) for name, x in wide.items()})


def test_the_committed_files_live():
    torch = pytest.importorskip("torch")
    expected = torch.load(FOLDER / "kinds.pth", weights_only=True)
    with np.load(FOLDER / "kinds.npz") as golden:
        for name, array in golden.items():
            assert np.array_equal(expected[name].detach().to(torch.float64).numpy(), array.astype(float)), name
    index = json.loads((FOLDER / "sharded_bin" / "pytorch_model.bin.index.json").read_text())["weight_map"]
    shards = {name: torch.load(FOLDER / "sharded_bin" / name, weights_only=True) for name in set(index.values())}
    same(contents(FOLDER / "sharded_bin"), {name: shards[shard][name].numpy() for name, shard in index.items()})


def test_a_training_script_live(path):
    """The names that a model has in memory, behind those of its wrapper, and what a script keeps beside it."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = make_weights.classifier(**SIZES)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3, 8, 8)).logits.sum().backward()
    optimiser.step()
    images = make_weights.pictures(8) / np.float32(8)
    expected = make_weights.answer(model, images, "float32")
    state = torch.nn.DataParallel(model).state_dict()
    torch.save({"state_dict": state, "optimizer": optimiser.state_dict(), "epoch": 1}, path)
    p, config, notes = load_weights(path, heads=2, eps=1e-12)
    assert abs(logits(p, config, images) - expected).max() < 1e-5
    assert "the names begin with state_dict.module., which is left out" in notes.lines
