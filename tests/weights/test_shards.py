"""A model in several files is one model, however it is named; and which file a folder means."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.golden.make_torch_files import FOLDER
from tests.reference.compare import assert_same_bits
from tests.reference.forgery import refused_in_one_line
from tests.reference.torch_files import save_torch
from tests.training.helpers import call
from tests.weights.tables import logits
from tinyvit import load_weights
from tinyvit.weights.tensors import FILES, found_weights, open_tensors

GOLDEN_RUN = FOLDER.with_name("run_of_version_0.1.0")
SAFE, BIN = FOLDER / "sharded", FOLDER / "sharded_bin"
INDEX = {SAFE: "model.safetensors.index.json", BIN: "pytorch_model.bin.index.json"}
STATE = {name: x for shard in sorted(SAFE.glob("*.safetensors")) for name, x in load_file(shard).items()}
SHARD, OTHER = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path):
    """The model in two shards, with their index."""
    names = sorted(STATE)
    parts = {SHARD: names[:9], OTHER: names[9:]}  # the head in one, the class token in the other
    for shard, part in parts.items():
        save_file({name: STATE[name] for name in part}, tmp_path / shard)
    write_index(tmp_path, {name: shard for shard, part in parts.items() for name in part})
    shutil.copy(SAFE / "config.json", tmp_path)
    return tmp_path


def write_index(folder, weight_map):
    (folder / INDEX[SAFE]).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


def read_index(folder):
    return json.loads((folder / INDEX[SAFE]).read_text())["weight_map"]


def refused(path, *words):
    refused_in_one_line(lambda: load_weights(path), path, *words)


@pytest.mark.parametrize("where", [SAFE, BIN], ids=["safetensors", "bin"])
def test_the_libraries_own_shards(where):
    with np.load(FOLDER / "answers.npz") as golden:
        images, expected = golden["images"] / np.float32(8), golden["logits"]
    p, config, notes = load_weights(where)
    assert abs(logits(p, config, images) - expected).max() < 1e-5 < abs(expected).max()
    assert config.heads == 2 and config.classes == 3 and "shard" not in str(notes)
    for path in (where / INDEX[where], *where.glob("*-of-*")):
        q, same, notes = load_weights(path)
        assert same == config and (f"{path.name} is one of" in str(notes)) == (path.suffix != ".json")
        assert_same_bits(q, p)


def test_shards_without_their_index(folder):
    p, config, _ = load_weights(folder)
    (folder / INDEX[SAFE]).unlink()
    for shard in (SHARD, OTHER):
        q, same, notes = load_weights(folder / shard)
        assert same == config and f"{shard} is one of 2 shards: all are read" in notes.lines
        assert_same_bits(q, p)


def test_a_missing_shard_is_named(folder):
    (folder / OTHER).unlink()
    for path in (folder, folder / SHARD):
        refused_in_one_line(
            lambda path=path: load_weights(path), folder, f"the shard {OTHER} is not beside it", "1 of 2"
        )
    (folder / INDEX[SAFE]).unlink()
    refused(folder / SHARD, f"the shard {OTHER} is not beside it")


def test_a_damaged_shard_is_named(folder):
    (folder / OTHER).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(folder, str(folder / OTHER), "a git-lfs pointer", "git lfs pull")


def test_an_array_that_is_not_in_its_shard(folder):
    for name, shard in (("classifier.bias", OTHER), ("x", SHARD)):
        write_index(folder, read_index(folder) | {name: shard})
        refused(folder, f"{name} is not in {shard}, expected it there")
        write_index(folder, {name: shard for name, shard in read_index(folder).items() if name != "x"})
        write_index(folder, read_index(folder) | {"classifier.bias": SHARD})


def test_an_array_in_two_shards(folder):
    twice = load_file(folder / OTHER) | {"classifier.bias": STATE["classifier.bias"]}
    save_file(twice, folder / OTHER)
    refused(folder, f"{len(STATE) + 1} arrays of {len(STATE)} names")


PLACES = [
    "../secret.safetensors",
    "/etc/passwd",
    "a/b.safetensors",
    "..",
    ".",
    "",
    "a\\b",
    "C:x",
    "a\0b",
    "x" * 201,
    3,
    None,
]


@pytest.mark.parametrize("place", [*PLACES, ["a"], {}], ids=str)
def test_a_shard_lies_beside_its_index(folder, place):
    save_file({"a": np.zeros(1)}, folder.parent / "secret.safetensors")
    write_index(folder, read_index(folder) | {"a": place})
    refused(folder, "expected a file beside it")


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "1", '{"weight_map": {}}', '{"weight_map": []}', '{"weight_map": null}', "{", "[" * 9999, "\xff"],
)
def test_an_index_that_is_none(folder, text):
    (folder / INDEX[SAFE]).write_text(text, encoding="latin-1")
    refused(folder, INDEX[SAFE])


def test_too_many_shards(folder):
    write_index(folder, {f"a{i}": f"{i}.safetensors" for i in range(1001)})
    refused(folder, "more than 1000 shards")
    many = folder / "model-00001-of-99999.safetensors"  # which this index does not name
    shutil.copy(folder / SHARD, many)
    refused(many, "more than 1000 shards")


def test_a_shard_that_is_a_folder(folder):
    (folder / OTHER).unlink()
    (folder / OTHER).mkdir()
    refused(folder, "no ordinary file")


# ---- which file a folder means


def test_the_first_of_several(folder):
    """safetensors before PyTorch's, one file before shards; what is left out is said."""
    shutil.copytree(BIN, folder, dirs_exist_ok=True)
    save_torch(folder / "pytorch_model.bin", STATE)
    save_file(STATE, folder / "model.safetensors")
    for number, name in enumerate(FILES):
        path, notes = found_weights(folder)
        assert path.name == name and load_weights(folder)[1].classes == 3
        rest = " or ".join(FILES[number + 1 :])
        assert notes == ([f"{name} is read, not {rest} beside it"] if rest else [])
        path.unlink()
    refused(folder, "no model.safetensors", f"which holds {SHARD}")


def test_a_folder_of_another_librarys_weights(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "flax_model.msgpack").write_bytes(b"\x81\xa6params\x80")
    refused(tmp_path, "no model.safetensors", "which holds flax_model.msgpack")
    refused(tmp_path / "flax_model.msgpack", "a msgpack file, as Flax writes")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "shards", "flax_model.msgpack", "vit.pth"])
def test_the_commands_take_a_folder_of_weights_for_one(folder, name):
    """A config.json alone does not make a folder a run's."""
    if name != "shards":
        for file in folder.glob("model*"):
            file.unlink()
        save_torch(folder / name, STATE)
    result = call("predict", folder, "missing.png")
    assert result.code == 1 and "not a run's configuration" not in result.err
    assert ("missing.png" if name in (*FILES, "shards") else f"which holds {name}") in result.err


def test_a_run_stays_one_beside_other_files(tmp_path):
    """What was exported from a run may lie in its folder."""
    run = tmp_path / "run"
    shutil.copytree(GOLDEN_RUN, run)
    for name in ("model.onnx", "exported.pth", "vit.safetensors"):
        (run / name).write_bytes(b"")
    result = call("predict", run, "missing.png")
    assert "missing.png" in result.err and "holds" not in result.err
    save_file(STATE, run / "model.safetensors")
    assert "Hugging Face" in call("convert", run, tmp_path / "out.npz", "--heads", 2).err


def test_a_file_without_an_ending(folder, tmp_path):
    """As in the cache of Hugging Face's hub, where files are named by their checksum."""
    path = folder / "3f2a9c"
    save_file(STATE, path)
    assert load_weights(path)[1].classes == 3
    result = call("predict", path, "missing.png")
    assert "missing.png" in result.err and "no run" not in result.err


def test_the_notes_reach_the_command(folder, tmp_path):
    result = call("convert", folder / SHARD, tmp_path / "out.npz")
    assert result.code == 0, result.err
    assert f"{SHARD} is one of 2 shards: all are read" in result.err


def test_all_shards_are_open_while_they_are_read(folder):
    with open_tensors(folder) as tensors:
        assert {name: x.read().tolist() for name, x in tensors.items()} == {
            name: x.tolist() for name, x in STATE.items()
        }
