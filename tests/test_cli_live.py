"""`tinyvit live`: the page of a run, or of the bundled model; and one line for what it cannot show."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.live.test_live import data_in, values_of
from tests.training.helpers import SMALL, call, fails, isolated, put_run
from tinyvit import trees
from tinyvit.data import load_data
from tinyvit.live import bundled
from tinyvit.training.checkpoint import load
from tinyvit.training.run import open_run

LARGE = ["--epochs=1", "--dim=256", "--depth=1", "--heads=2", "--mlp-dim=1024", "--batch=256"]
TEXT = ["sums", "--largest=20", "--examples=60", "--epochs=1", "--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8"]
OTHERS = {  # options of a training, and what the line says of its model
    "cnn": ([*SMALL[:1], "--model=cnn"], "found a convolutional network: the live page shows a Vision Transformer"),
    "masked": ([*SMALL, "--model=masked"], "found a Vision Transformer that predicts masked patches"),
    "text": (TEXT, "found a GPT"),
    "variants": (
        [*SMALL, "--pool=mean_norm", "--norm=post"],
        "found pool mean_norm, norm post; expected pool class or",
    ),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    return isolated(tmp_path, monkeypatch)


def page(path):
    return Path(path).read_text(encoding="utf-8")


def test_without_a_run_it_is_the_bundled_model_in_this_folder(here):
    result = call("live")
    assert (result.code, result.out, result.err) == (0, "open live.html in a browser\n", "")
    assert page("live.html") == bundled.load().html()
    assert [file.name for file in here.iterdir()] == ["live.html"]


def test_of_a_run_it_is_its_model_beside_it(here):
    run = put_run(here / "runs" / "digits-1")
    result = call("live", "runs/digits-1")
    assert result.code == 0 and result.out == f"open {Path('runs/digits-1/live.html')} in a browser\n"
    data, (p, config) = data_in(page(run / "live.html")), load(run / "model.npz")
    assert data["title"] == "digits-1" and data["config"] == dataclasses.asdict(config)
    found = values_of(data)
    assert all(np.array_equal(found[name], a) for name, a in trees.walk(p)) and data["dtype"] == "float32"
    metrics = open_run(run).metrics()
    assert data["before"]["accuracy"] == pytest.approx(metrics["test_accuracy"]) and data["before"]["images"] == 360
    assert (
        data["before"]["command"] == open_run(run).settings.command
        and data["labels"] == load_data("digits")[1][1][:100].tolist()
    )


def test_a_run_named_by_its_model_and_a_page_elsewhere(here):
    put_run(here / "run")
    assert call("live", "run/model.npz").code == 0 and Path("run/live.html").exists()
    assert call("live", "run", "--out", "mine.html").out == "open mine.html in a browser\n"
    assert page("mine.html") == page("run/live.html")
    assert call("live", "--out", here / "brought.html").code == 0
    assert data_in(page("brought.html"))["title"] == "MNIST"


def test_a_run_that_has_lost_its_result_still_has_a_page(here):
    put_run(here / "run", metrics=None)
    assert call("live", "run").code == 0


def test_a_run_that_is_replaced_loses_its_page(here):
    run = put_run(here / "run")
    assert call("live", run).code == 0
    assert call("train", *SMALL, "--out", run, "--force").code == 0
    assert not (run / "live.html").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_of_models_that_it_cannot_show(here, name):
    options, words = OTHERS[name]
    assert call("train", *options, "--workers=1", "--out", "run").code == 0
    fails(here, ["live", "run"], words, code=2)


def test_a_large_model_is_refused_with_its_size_and_written_when_forced(here):
    assert call("train", *LARGE, "--workers=1", "--out", "run").code == 0
    fails(here, ["live", "run"], "MB, expected at most 1 MB", "parameters", "--force", code=2)
    assert call("live", "run", "--force").code == 0
    assert Path("run/live.html").stat().st_size > 1_000_000


def test_a_page_that_cannot_be_finished_leaves_the_old_one(here, monkeypatch):
    put_run(here / "run")
    assert call("live", "run").code == 0
    before = page("run/live.html")

    def half(self):
        raise OSError(28, "No space left on device", "run")

    monkeypatch.setattr("tinyvit.live.page.Live.html", half)
    result = call("live", "run")
    assert result.code == 1 and result.err.count("\n") == 1
    assert page("run/live.html") == before and [file.name for file in Path("run").glob("live*")] == ["live.html"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["live", "nowhere"], ["no run in nowhere: there is no such folder"]),
        (["live", "unfinished"], ["the run in unfinished is not finished: go on with"]),
        (["live", "run", "--out", "run"], ["--out run is a directory: name a file"]),
        (["live", "--out", "."], ["--out . is a directory: name a file"]),
        (["live", "--out", "nowhere/page.html"], ["--out nowhere/page.html: there is no such folder"]),
        (["live", "run/config.json"], ["no run in run/config.json: it is a file"]),
        (["live", "run", "other"], ["other"]),
        (["live", "--data-dir", "d"], ["--data-dir d without a RUN: the bundled model brings its images"]),
        (["live", "--workers", "2"], ["--workers 2 without a RUN: the bundled model brings its images"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there(here, argv, words):
    put_run(here / "run")
    put_run(here / "unfinished", model=None, metrics=None)
    fails(here, argv, *words)


def test_its_data_may_have_moved(here):
    put_run(here / "run")
    settings = json.loads(Path("run/config.json").read_text())
    assert settings["data"] == "digits", "which are bundled: nothing is asked of --data-dir"
    assert call("live", "run", "--data-dir", "nowhere").code == 0
