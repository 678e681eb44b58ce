"""The page about the packages shows them as they are."""

import re
import shutil
from xml.etree import ElementTree

import pytest

from docs import measure
from tests.package_layers import PACKAGE_LAYERS, ROOT, modules

DOCS = measure.DOCS


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A copy of the page and the drawing, freshly made."""
    (tmp_path / "figures").mkdir()
    shutil.copy(DOCS / "architecture.md", tmp_path)
    monkeypatch.setattr(measure, "DOCS", tmp_path)
    measure.architecture()
    return tmp_path


@pytest.mark.parametrize("name", ["architecture.md", "figures/architecture.svg"])
def test_the_page_is_up_to_date(drawn, name):
    fresh, committed = (folder / name for folder in (drawn, DOCS))
    hint = f"docs/{name} is out of date: run `python docs/measure.py architecture`"
    assert fresh.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8"), hint


def test_every_package_and_every_import_is_drawn(drawn):
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring((drawn / "figures/architecture.svg").read_text(encoding="utf-8"))
    words = " ".join(text.text for text in root.iter(f"{svg}text"))
    stack = measure.packages()
    assert {package.name for package in stack} == {name.partition(".")[0] for name in modules(ROOT)}
    for name in modules(ROOT):
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", words), name
    dots = [circle for circle in root.iter(f"{svg}circle")]
    assert len(dots) == sum(len(package.uses) for package in stack) > 50


def test_the_packages_stand_from_the_highest_layer_down():
    layers = [package.layer for package in measure.packages()]
    assert layers == sorted(layers, reverse=True) and set(layers) == set(range(len(PACKAGE_LAYERS)))
