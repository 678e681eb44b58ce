"""The tools of notebooks and pages: what they say to wrong words, and how they show what they return."""

import sys

import numpy as np
import pytest

from docs import measure
from tinyvit.exercises import museum
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init
from tinyvit.report.explorer import Explorer


def test_a_report_is_shown_as_its_table():
    report = museum.EXHIBITS[0].check()
    assert repr(report) == str(report) and repr(report).startswith("tensor ")


@pytest.mark.parametrize("count, words", [(1, "1 image, 1 layer, 2 heads"), (2, "2 images, 1 layer, 2 heads")])
def test_an_explorer_counts_in_words(count, words):
    config = ViTConfig(image=4, channels=1, patch=2, dim=4, depth=1, heads=2, mlp_dim=3, classes=3)
    images = np.zeros((count, 4, 4, 1), np.float32)
    assert repr(Explorer(images, vit_init(np.random.default_rng(0), config), config)) == f"Explorer({words})"


@pytest.mark.parametrize(
    "words, said",
    [
        (["nothing"], "invalid choice: 'nothing'"),
        (["results", "minst"], "no preset minst: expected one of digits, "),
        (["inside"], "found no name: inside takes the folder"),
        (["inside", "nowhere"], "found nowhere: inside takes the folder"),
        (["gradients", "softmax"], "found softmax: gradients takes no names"),
    ],
)
def test_wrong_words_are_answered_in_one_line(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["measure.py", *words])
    with pytest.raises(SystemExit):
        measure.main()
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_one_notebook_that_fails_does_not_lose_the_others(tmp_path, monkeypatch, capsys):
    twins = pytest.importorskip("notebooks.twins", reason="the notebooks need the extra dev: pip install -e '.[dev]'")
    exceptions = pytest.importorskip("nbclient.exceptions")
    fails = {
        "a": exceptions.CellTimeoutError.error_from_timeout_and_cell(
            "timed out", 600, twins.nbformat.v4.new_code_cell()
        ),
        "b": exceptions.DeadKernelError("the kernel died"),
    }

    def run(name, twice):
        if name in fails:
            raise fails[name]
        return twins.nbformat.v4.new_notebook()

    monkeypatch.setattr(twins, "NAMES", ["a", "b", "c"])
    monkeypatch.setattr(twins, "TIMED", ("b",))
    monkeypatch.setattr(twins, "run", run)
    monkeypatch.setattr(sys, "argv", ["twins.py", "--out", str(tmp_path / "new" / "folder")])
    with pytest.raises(SystemExit) as ended:
        twins.main()
    said = capsys.readouterr().out
    assert ended.value.code and [file.name for file in (tmp_path / "new" / "folder").iterdir()] == ["c.ipynb"]
    assert "a: not written; CellTimeoutError" in said and "\nc: written, 0 s\n" in "\n" + said
    assert said.splitlines()[-1] == "b: not written; DeadKernelError: the kernel died", "what is timed runs last"
