"""A run that version 0.1.0 stopped at step 29 opens, goes on, is measured and asked as version 0.1.0 did it.

golden/run_of_version_0.1.0 holds the run's folder as that version left it, with its own names of settings and none of
a model, and beside it what it made of the run itself: the finished model.npz, and expected.json, its metrics.
"""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.golden.make_weights import FOLDER
from tests.reference.compare import assert_close
from tests.training.helpers import call, isolated
from tinyvit import trees
from tinyvit.ops.softmax import softmax
from tinyvit.training.run import open_run

OLD = FOLDER.parent / "run_of_version_0.1.0"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture
def old(tmp_path, monkeypatch):
    """The stopped run, copied into the working folder."""
    isolated(tmp_path, monkeypatch)
    shutil.copytree(OLD, "run", ignore=shutil.ignore_patterns("model.npz", "expected.json"))
    return tmp_path / "run"


def test_it_opens_with_todays_names(old):
    settings = open_run(old).settings
    assert (settings.data, settings.seed, settings.config.dim) == ("digits", 3, 8)
    recipe = settings.recipe
    assert (recipe.label_smoothing, recipe.clip_norm, recipe.ema_decay) == (0.05, 1.0, 0.99)
    assert settings.command.startswith("tinyvit train digits --seed 3 ")
    p, config = tinyvit.load(old / "checkpoint.npz")
    assert config == settings.config and trees.count(p) == EXPECTED["parameters"]


@pytest.mark.smoke
def test_it_goes_on_to_the_same_numbers(old):
    """The numbers are the old ones to the bit on the machine that made them; another BLAS adds in another order.

    The bias of the keys is left out: softmax does not see it, its gradient is rounding alone, and Adam makes steps of
    ordinary length of that.
    """
    assert call("train", "--resume", "--out", "run").code == 0
    p, config = tinyvit.load(old / "model.npz")
    expected, same = tinyvit.load(OLD / "model.npz")
    assert config == same
    found, expected = (
        {name: leaf for name, leaf in trees.walk(tree) if not name.endswith("k/b")} for tree in (p, expected)
    )
    assert_close(found, expected, 1e-4)
    metrics = open_run(old).metrics()
    assert metrics.keys() == EXPECTED.keys()
    for name in EXPECTED.keys() - {"seconds"}:
        assert metrics[name] == pytest.approx(EXPECTED[name], abs=0.003), name


def test_its_model_is_measured_and_asked(old):
    shutil.copy(OLD / "model.npz", "run/model.npz")
    (old / "metrics.json").write_text((OLD / "expected.json").read_text())
    scores = json.loads(call("eval", "run", "--json").out)
    assert (scores["data"], scores["model"], scores["images"]) == ("digits", "vit", 360)
    for name in ("test_loss", "test_accuracy"):
        assert scores[name] == pytest.approx(EXPECTED[name], rel=1e-5)
    _, (x, _) = tinyvit.load_data("digits")
    Image.fromarray(((x[0, :, :, 0] + 1) * 127.5).round().astype(np.uint8)).save("a.png")
    (best, *_) = json.loads(call("predict", "run", "a.png", "--json").out)[0]["classes"]
    p, config = tinyvit.load(OLD / "model.npz")
    probabilities = softmax(tinyvit.vit(x[:1], p, config)[0])[0][0]
    assert best["class"] == str(probabilities.argmax())
    assert best["probability"] == pytest.approx(probabilities.max(), abs=1e-3), "8 bits of grey"
    assert call("train", "--resume", "--out", "run").code == 0, "it is finished"


@pytest.mark.parametrize("option", ["--clip=1", "--clip-norm=1", "--smoothing=0.05", "--average=0.99"])
def test_old_and_new_options_agree_with_it(old, option):
    result = call("train", "--resume", "--out", "run", option)
    assert result.code == 0 and "contradicts" not in result.err
