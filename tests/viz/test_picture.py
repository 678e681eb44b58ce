"""Names of any script in figures: letters, or numbers and a word why; never boxes, and no warning of matplotlib's."""

import io
import logging

import numpy as np
import pytest
from matplotlib import font_manager, rc_context, rcParams

from tinyvit.viz import picture
from tinyvit.viz.confusion import confusion_figure

CHINESE = ("猫", "飞机")


@pytest.fixture(autouse=True)
def fresh():
    """Fonts are looked for anew, and what is set is taken back."""
    picture._font_with.cache_clear()
    with rc_context():
        yield
    picture._font_with.cache_clear()


def test_letters_that_no_font_has_are_told_of_once(monkeypatch, caplog):
    """Matplotlib brings a font with a box for every letter, which is none."""
    usual = [font for font in font_manager.fontManager.ttflist if font.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", usual)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert picture.readable(["a dog", *CHINESE, "$"]) == ["a dog", "class 1", "class 2", r"\$"]
    assert picture.readable(CHINESE, "character")[1] == "character 1"
    assert [record.getMessage() for record in caplog.records] == [
        "no installed font has the letters 机猫飞: figures show numbers for names; Noto Sans CJK has them"
    ]


def test_a_font_that_has_them_draws_them():
    before = rcParams["font.family"]
    if picture.readable(CHINESE) != list(CHINESE):
        pytest.skip("no font with Chinese letters is installed")
    assert rcParams["font.family"][0] == "sans-serif" and "Last Resort" not in rcParams["font.family"][1]
    rcParams["font.family"] = before  # as before a figure is begun
    figure = confusion_figure(np.eye(2, dtype=int), CHINESE)  # pytest makes matplotlib's warnings errors
    figure.savefig(io.BytesIO(), format="png")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list(CHINESE)
