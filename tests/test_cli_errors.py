"""What is damaged or fails while a command runs: one line, an exit status of 1 or 2, and files left as they were.

The mistakes in what is typed are in tests/test_mistakes.py.
"""

import gzip
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.training import helpers
from tests.training.helpers import (
    CONFIG,
    SMALL,
    call,
    changed_json,
    command,
    contents,
    environment,
    fails,
    isolated,
    put_run,
    small_run,
    toy_run,
)
from tinyvit import save, vit_init


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, no data set to be found by accident, and no network."""
    return isolated(tmp_path, monkeypatch)


@pytest.mark.parametrize("argv", [["train"], ["eval", "run"], ["predict", "run", "plain.png"]], ids=lambda a: a[0])
def test_no_gpu(here, argv, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    put_run("run")
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save("plain.png")
    fails(here, [*argv, "--device", "gpu"], "no GPU", "--device cpu", code=1)


def test_the_folder_of_all_runs_cannot_be_made(here):
    (here / "runs").write_text("mine")
    fails(here, ["train", *SMALL], "runs/digits-1", "--out")


# ---- a run's files

DAMAGES = {"empty": lambda data: b"", "junk": lambda data: b"junk" * 99, "truncated": lambda data: data[:-700]}


MODELS = {
    "a missing array": ({"cls": None}, "cls is missing"),
    "a wrong shape": ({"cls": np.zeros((8, 1), np.float32)}, "cls is float32 [8, 1], expected float32 [1, 8]"),
    "not a number": ({"head/b": np.full(10, np.nan, np.float32)}, "head/b holds nan at [0], expected finite numbers"),
    "a pickle": ({"cls": np.array([print])}, "cls is object [1], expected float32 [1, 8]"),
}


@pytest.mark.parametrize("argv", [["eval", "run"], ["predict", "run", "a.png"]], ids=lambda a: a[0])
@pytest.mark.parametrize(("change", "words"), MODELS.values(), ids=MODELS)
def test_a_model_with_wrong_arrays(here, argv, change, words):
    put_run("run")
    with np.load("run/model.npz") as file:
        arrays = {name: array for name, array in (dict(file) | change).items() if array is not None}
    np.savez("run/model.npz", **arrays)
    fails(here, argv, words, code=1)


@pytest.mark.parametrize("argv", [["eval", "run"], ["predict", "run", "a.png"]], ids=lambda a: a[0])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(here, argv, damage):
    put_run("run", model=DAMAGES[damage](small_run()["model.npz"]))
    fails(here, argv, "run/model.npz", "expected", code=1)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_not_trained_over(here, damage):
    put_run("run", checkpoint=DAMAGES[damage](small_run()["checkpoint.npz"]), model=None, metrics=None)
    before = contents(here)
    result = call("train", "--resume", "--out", "run")
    assert result.code == 1 and "Traceback" not in result.err
    assert "run/checkpoint.npz" in result.err.splitlines()[-1]
    assert contents(here) == before


BAD_CONFIGS = {
    "empty": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "nothing in it": b"{}",
    "unknown data": {"data": "cifar"},
    "data of another kind": {"data": ["digits"]},
    "a seed of text": {"seed": "zero"},
    "a seed below 0": {"seed": -1},
    "a recipe of text": {"recipe": "fast"},
    "a config of text": {"config": "large"},
    "heads": {"config": {"heads": 5}},
    "epochs": {"recipe": {"epochs": 0}},
}
EVERY_COMMAND = [["eval", "run"], ["predict", "run", "a.png"], ["train", "--resume", "--out", "run"]]


@pytest.mark.parametrize("argv", EVERY_COMMAND, ids=lambda a: a[0])
@pytest.mark.parametrize("change", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_damaged_configuration(here, argv, change):
    data = change if isinstance(change, bytes) else changed_json(small_run()["config.json"], **change)
    put_run("run", config=data, metrics=None)
    fails(here, argv, "config.json", code=1)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"epochs": 1}'])
def test_damaged_metrics(here, data):
    put_run("run", metrics=data)
    fails(here, ["train", "--resume", "--out", "run"], "metrics.json", code=1)


def test_a_model_that_does_not_fit_the_data(here):
    """Someone copied another run's model here."""
    put_run("run")
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save("a.png")
    save("run/model.npz", vit_init(np.random.default_rng(0), CONFIG), CONFIG)
    for argv in (["eval", "run"], ["predict", "run", "a.png"]):
        fails(here, argv, "is of another model than")


@pytest.mark.parametrize(
    "option", ["--epochs=2", "--seed=4", "--dim=16", "--learning-rate=0.1", "mnist", "--clip-norm=9", "--model=cnn"]
)
def test_an_option_that_contradicts_the_saved_run(here, option):
    put_run("run", model=None, metrics=None)
    name, _, value = option.partition("=")
    fails(here, ["train", "--resume", "--out", "run", option], name, value, "contradicts", code=2)


# ---- data


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + np.asarray(array, np.uint8).tobytes()


def write_mnist(folder, name, spoilt):
    """Four small files of MNIST's form, of which one holds other bytes, or is not there."""
    arrays = {"train-images-idx3": np.ones((20, 28, 28)), "train-labels-idx1": np.arange(20) % 10}
    arrays |= {"t10k-images-idx3": np.ones((5, 28, 28)), "t10k-labels-idx1": np.arange(5)}
    folder.mkdir()
    for file, data in ({file: gzip.compress(idx(array)) for file, array in arrays.items()} | {name: spoilt}).items():
        if data is not None:
            (folder / f"{file}-ubyte.gz").write_bytes(data)


WHOLE = gzip.compress(idx(np.ones((20, 28, 28))), mtime=0)
BAD_DATA = {
    "missing": ("t10k-labels-idx1", None),
    "empty": ("t10k-labels-idx1", b""),
    "truncated gzip": ("train-images-idx3", WHOLE[:-9]),
    "corrupted gzip": ("train-images-idx3", WHOLE[:40] + b"\xff\xff" + WHOLE[42:]),
    "truncated idx": ("train-images-idx3", gzip.compress(idx(np.ones((20, 28, 28)))[:-1])),
    "another format": ("train-images-idx3", gzip.compress(b"P5 28 28 255 " + bytes(999))),
    "another size": ("train-images-idx3", gzip.compress(idx(np.ones((20, 27, 28))))),
    "a label out of range": ("train-labels-idx1", gzip.compress(idx(np.full(20, 10)))),
    "too few labels": ("t10k-labels-idx1", gzip.compress(idx(np.arange(4)))),
}


@pytest.mark.parametrize(("name", "data"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data(here, name, data):
    write_mnist(here / "data", name, data)
    fails(here, ["train", "mnist", *SMALL, "--data-dir", "data"], name, code=1)


def test_no_network(here):
    result = call("train", "mnist", *SMALL)
    assert result.code == 1 and not result.out
    last = result.err.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("tinyvit: ") and "--data-dir" in last and "Traceback" not in result.err
    assert not [path for path, data in contents(here).items() if data is not None], "half a download was left"


# ---- pictures

BAD_PICTURES = {
    "folder.png": ...,
    "empty.jpg": b"",
    "text.npy": b"this is no array",
    "cut.npy": b"\x93NUMPY\x01\x00\x76",
}


@pytest.mark.parametrize(("name", "data"), BAD_PICTURES.items(), ids=BAD_PICTURES)
def test_a_picture_that_is_none(here, name, data):
    put_run("run")
    if data is ...:
        (here / name).mkdir()
    else:
        (here / name).write_bytes(data)
    fails(here, ["predict", "run", name], name, code=1)


NO_PICTURES = np.zeros(5), np.zeros((2, 3, 4, 5)), np.full((4, 4), np.nan), np.eye(4) * 300, np.ones((4, 4))


@pytest.mark.parametrize("array", NO_PICTURES, ids=["one axis", "four axes", "nan", "too bright", "blank"])
def test_an_array_that_is_no_picture(here, array):
    put_run("run")
    np.save("picture.npy", array)
    fails(here, ["predict", "run", "picture.npy"], "picture.npy", code=1)


# ---- while it runs


def test_a_loss_that_becomes_nan(here):
    result = call("train", *SMALL, "--epochs=3", "--learning-rate=1e8", "--out", "run")
    assert result.code == 1 and not result.out and "Traceback" not in result.err
    last = result.err.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("tinyvit: the loss is not a number at step ") and "--learning-rate" in last
    assert not (here / "run/model.npz").exists() and not list(here.glob("run/*.part"))


FULL_DISK = """
import resource, signal, sys
from tinyvit.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
sys.exit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are POSIX")
def test_a_full_disk(here):
    """The run's checkpoint is too large for what is left: the one line says so, and the old run's files stay whole."""
    argv = ["train", *SMALL, "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *argv], cwd=here, env=environment(), capture_output=True, text=True
    )
    last = done.stderr.replace("\r", "\n").splitlines()[-1]
    assert done.returncode == 1 and not done.stdout and "Traceback" not in done.stderr, done.stderr
    assert last.startswith("tinyvit: cannot write run/checkpoint.npz: File too large; "), last
    assert sorted(os.listdir("run")) == ["config.json", "history.jsonl"]
    assert call("train", "--resume", "--out", "run").code == 0, "with room on the disk it goes on"


def test_data_that_do_not_fit_the_saved_model(here):
    toy_run(here / "run")
    fails_after_progress(["train", "--resume", "--out", "run"], "labels", "expected 0 to 2")


def fails_after_progress(argv, *words):
    result = call(*argv)
    assert result.code in (1, 2) and not result.out and "Traceback" not in result.err
    last = result.err.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("tinyvit: ") and all(word in last for word in words), result.err


def test_in_a_process_of_its_own(here):
    result = command("train", "--patch=3", cwd=here)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("tinyvit: patch 3 does not divide") and result.err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_nobody_reads_on(tmp_path):
    program = f"{shlex.quote(sys.executable)} -m tinyvit shapes L/16 --json --backward | head -c 10"
    done = subprocess.run(program, shell=True, cwd=tmp_path, env=helpers.environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ('[{"name": ', "")
