"""The page about the house shows the house as it is."""

import re
import shutil
from xml.etree import ElementTree

import pytest

from docs import measure
from tests.package_layers import FLOORS, HOUSE, modules

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
    said = f"docs/{name} is out of date: run `python docs/measure.py architecture`"
    assert fresh.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8"), said


def test_every_room_and_every_import_is_drawn(drawn):
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring((drawn / "figures/architecture.svg").read_text(encoding="utf-8"))
    words = " ".join(text.text for text in root.iter(f"{svg}text"))
    house = measure.rooms()
    assert {room.name for room in house} == {name.partition(".")[0] for name in modules(HOUSE)}
    for name in modules(HOUSE):
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", words), name
    dots = [circle for circle in root.iter(f"{svg}circle")]
    assert len(dots) == sum(len(room.uses) for room in house) > 50


def test_the_rooms_stand_from_the_top_floor_down():
    floors = [room.floor for room in measure.rooms()]
    assert floors == sorted(floors, reverse=True) and set(floors) == set(range(len(FLOORS)))
