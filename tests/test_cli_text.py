"""Models of text from the command: a run of each is trained, evaluated, asked, looked into, and examined."""

import json
import re

import numpy as np
import pytest

from tests.training.helpers import call
from tinyvit.models.model import SEQUENCE_MODELS, parameter_count
from tinyvit.training.checkpoint import load
from tinyvit.training.run import open_run

SMALL = ["--dim=8", "--epochs=2", "--batch=64", "--workers=1"]
BLOCKS = ["--depth=2", "--heads=2", "--mlp-dim=16"]
OF = {  # data and options; the question, and what it looks like filled in
    "seq2seq": (["copy", "--length=2-4", "--examples=300"], "abc"),
    "attention": (["numerals", "--largest=1000", "--examples=300"], "三百零五"),
    "transformer": (["numerals", "--largest=1000", "--examples=300", *BLOCKS], "三百零五"),
    "gpt": (["sums", "--largest=30", "--examples=300", *BLOCKS], "12+13"),
    "bert": (["sums", "--largest=30", "--examples=300", *BLOCKS], "12+13=__"),
}
FIGURES = ["curves", "lengths", "exposure", "attention", "dataflow"]
every_model = pytest.mark.parametrize("name", SEQUENCE_MODELS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A short run of every model."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (options, _) in OF.items():
        done = call("train", *options, "--model", name, *SMALL, "--out", folder / name)
        assert done.code == 0, done.err
    return folder


def test_every_model_is_here():
    assert OF.keys() == SEQUENCE_MODELS.keys()


@every_model
def test_a_run_speaks_of_pairs(runs, name):
    metrics = open_run(runs / name).metrics()
    p, config = load(runs / name / "model.npz")
    assert metrics["parameters"] == parameter_count(config) and "training_images" not in metrics
    assert 0 < metrics["training_examples"] <= 300 and metrics["test_token_accuracy"] >= 0
    assert np.isfinite(p["tokens" if "tokens" in p else "target"]["w"]).all()


@every_model
def test_eval_and_predict(runs, name):
    done = call("eval", runs / name, "--workers=1")
    assert done.code == 0 and re.search(r"test accuracy \d+\.\d\d % of \d+ whole answers", done.out)
    written = call("predict", runs / name, OF[name][1])
    assert written.code == 0 and len(written.out.splitlines()) == 1


@pytest.mark.parametrize("name", ["seq2seq", "bert"])
def test_plot_draws_what_there_is(runs, name, tmp_path):
    done = call("plot", runs / name, "--out", tmp_path, "--workers=1")
    assert done.code == 0, done.err
    expected = [figure for figure in FIGURES if figure != "attention" or name != "seq2seq"]
    assert [line.partition(":")[0] for line in done.out.splitlines()] == expected
    assert {path.name for path in tmp_path.iterdir()} == {f"{f}.{form}" for f in expected for form in ("png", "svg")}
    assert "image" not in done.out


@every_model
def test_the_report_speaks_of_pairs_and_shows_some(runs, name):
    assert call("report", runs / name, "--workers=1").code == 0
    html = (runs / name / "report.html").read_text(encoding="utf-8")
    words = re.sub(r"<[^>]*>|data:image", " ", html)
    assert " pairs, 2 epochs, " in words and "What does it write?" in words and "Every tensor" in words
    assert not re.search(r"\bimages?\b", re.sub(r"<style>.*?</style>|img-src|image/png", "", html, flags=re.DOTALL))
    assert ("has no attention" in words) == (name == "seq2seq") == ("Where does it look?" not in words)


@every_model
def test_the_doctor_looks_at_a_run(runs, name):
    done = call("doctor", runs / name, "--json")
    found = json.loads(done.out)
    assert done.code == (1 if found["findings"] else 0)
    looked_at = {**found["looked_at"], **{finding["check"]: finding["words"] for finding in found["findings"]}}
    assert {"vocabulary", "lengths", "answers", "gradients", "predictions", "progress"} <= looked_at.keys()
    assert found["skipped"] == {} and not any(re.search(r"\bimages?\b", words) for words in looked_at.values())


def test_the_doctor_of_a_run_that_is_not_finished(runs, tmp_path):
    (tmp_path / "config.json").write_bytes((runs / "gpt" / "config.json").read_bytes())
    found = json.loads(call("doctor", tmp_path, "--json").out)
    assert found["skipped"].keys() == {"weights", "predictions", "progress"}


@pytest.fixture
def few(monkeypatch):
    """Data sets by rule are small: those of the usual size take a second each."""
    monkeypatch.setattr("tinyvit.data.text.EXAMPLES", 300)


def test_shapes_of_text(few):
    done = call("shapes", "copy", "--dim=8")
    assert done.code == 0 and "decoder/alignment/att/a" in done.out, "attention is what copy is learned with"
    assert call("shapes", "sums", "--model=bert", "--backward").out.splitlines()[-1].startswith("total")
    assert call("shapes", "gpt2").out.splitlines()[-1].split()[1] == "124,439,808"


@pytest.mark.parametrize(
    "words, expected",
    [
        ("copy --model vit", "copy is text: a Vision Transformer takes none, choose seq2seq, attention"),
        ("gpt2 --model vit", "the preset gpt2 is of a GPT: leave --model vit out"),
        ("mnist --model gpt", "the preset mnist is for images: a GPT takes none"),
        ("sums --patterns a.png", "--patterns: a GPT takes text, patterns are of images: leave it out"),
        ("numerals --patch 4", "--patch: a Transformer has no such setting"),
    ],
)
def test_shapes_that_are_none(few, words, expected):
    done = call("shapes", *words.split())
    assert done.code == 2 and done.err.startswith(f"tinyvit: {expected}") and len(done.err.splitlines()) == 1
