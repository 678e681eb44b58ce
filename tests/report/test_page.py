"""The page and the commands that write it."""

import base64
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.training import helpers
from tests.training.helpers import call
from tinyvit.errors import UsageError
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import ViTConfig
from tinyvit.models.swin import SwinConfig, swin_init
from tinyvit.models.vit import vit_init
from tinyvit.report import explorer as explorer_module
from tinyvit.report.explorer import BUDGET, Explorer
from tinyvit.report.inside import pictures
from tinyvit.report.page import page

VOID = {"meta", "img", "input", "br", "link"}


class Outline(HTMLParser):
    """Every tag is closed in its turn; what the page links to is collected."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.anchors, self.sources, self.headings = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.anchors += [attributes["href"]] if "href" in attributes else []
        self.sources += [attributes["src"]] if "src" in attributes else []
        if tag == "img":
            assert attributes.get("alt"), "a picture without words"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(inside):
    return page(inside)


def test_it_is_whole_and_needs_nothing_else(html):
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert outline.anchors and all(anchor[0] == "#" and anchor[1:] in outline.ids for anchor in outline.anchors)
    assert outline.sources and all(source.startswith("data:image/png;base64,") for source in outline.sources)
    assert not re.search(r"https?://(?!www\.w3\.org)", html) and "$" not in re.sub(
        r"<script.*?</script>", "", html, flags=re.S
    )
    assert """content="default-src 'none'; img-src data:;""" in html, "the browser itself refuses any request"
    assert len(html) < 3_000_000


def test_it_answers_what_a_reader_asks(html, inside):
    metrics, drawn = inside.run.metrics(), pictures(inside)
    text = re.sub(r"<[^>]*>", " ", html)
    wrong = int((inside.probabilities.argmax(-1) != inside.labels).sum())
    assert f"of 360 test images are classified correctly; {wrong} are not." in re.sub(r"\s+", " ", text)
    assert "6 epochs, " in text
    for label, said in list(zip(inside.labels, inside.probabilities.argmax(-1), strict=True))[:8]:
        assert (f"An image of {label}, taken for {said}" in html) == (label != said)
    assert f"{100 * metrics['test_accuracy']:.2f} %" in text and "run &lt;1&gt; &amp; 2" in html
    for picture in drawn.values():
        assert picture.title in text
        assert picture.words.split(".")[0].replace("'", "&#x27;") in text
    assert "learning_rate" in text and "blocks/0/msa/att/a" in text and "as blocks/0" in text


def test_the_explorers_maps_are_the_models(inside):
    explorer = Explorer(inside.images[:3], inside.p, inside.config)
    data = explorer.data()
    maps = np.frombuffer(base64.b64decode(data["maps"]), "<u2") / 65535
    T, expected = inside.config.tokens, np.stack([a[:3] for a in inside.maps], axis=1)
    layer = {"side": inside.config.grid, "heads": inside.config.heads, "window": 0, "shift": 0}
    assert data["layers"] == [layer] * inside.config.depth and data["first"] == 1
    np.testing.assert_allclose(maps.reshape(3, -1, inside.config.heads, T, T), expected, atol=1e-5)
    assert [image["title"] for image in data["images"]] == ["image 1", "image 2", "image 3"]


def test_an_explorer_keeps_to_its_budget(inside):
    per_image = inside.config.depth * inside.config.heads * inside.config.tokens**2
    images = np.repeat(inside.images[:1], BUDGET // per_image + 5, axis=0)
    assert len(Explorer(images, inside.p, inside.config).images) == BUDGET // per_image


def test_in_a_notebook_it_is_what_a_cell_returns_with_a_picture_for_where_scripts_do_not_run(inside):
    html = Explorer(inside.images[:2], inside.p, inside.config)._repr_html_()
    before, _, after = html.partition("<script")
    assert 'class="static"' in before and "data:image/png" in before and 'class="static"' not in after
    assert not re.search(r"https?://", html)


@pytest.mark.parametrize(("count", "titles"), [(0, None), (2, ["one"]), (1, ["one", "two"])])
def test_an_explorer_of_what_does_not_fit(inside, count, titles):
    with pytest.raises(UsageError, match=r"found \d images.*: expected at least one, and a title for each"):
        Explorer(inside.images[:count], inside.p, inside.config, titles)


def test_an_explorer_of_rectangles_is_refused_by_name():
    config = ViTConfig(image=(4, 8), patch=2, dim=4, depth=1, heads=2, mlp_dim=3, classes=2)
    images = np.zeros((1, 4, 8, 3), np.float32)
    with pytest.raises(UsageError, match="images of 4 x 8 pixels: the explorer shows square ones only"):
        Explorer(images, vit_init(np.random.default_rng(0), config), config)


def test_of_windows_only_what_they_allow_is_kept():
    """Swin-T's first layer has 9,834,496 pairs of tokens, of which its windows allow 153,664."""
    config = SwinConfig(image=24, patch=2, channels=1, dim=4, depths=(2, 1), heads=(1, 2), window=4, classes=3)
    explorer = Explorer(np.zeros((2, 24, 24, 1), np.float32), swin_init(np.random.default_rng(0), config), config)
    kept = len(base64.b64decode(explorer.data()["maps"])) // 2
    plain, displaced, merged = (3 * 4**2) ** 2, (2 * 4**2 + 2 * 2**2) ** 2, (4**2 + 2**2) ** 2  # rows times columns
    assert kept == 2 * (plain + displaced + 2 * merged), "two images, one head, then two"


def test_one_image_is_always_there_however_large_its_maps(inside, monkeypatch):
    monkeypatch.setattr(explorer_module, "BUDGET", 1)
    explorer = Explorer(inside.images[:3], inside.p, inside.config)
    assert len(explorer.images) == len(explorer.titles) == len(explorer.maps[0]) == 1


def test_of_a_pyramid_it_says_how_many_heads_there_are_at_least_and_at_most():
    config = SwinConfig(image=8, patch=2, channels=1, dim=4, depths=(2, 1), heads=(1, 2), window=4, classes=3)
    explorer = Explorer(np.zeros((2, 8, 8, 1), np.float32), swin_init(np.random.default_rng(0), config), config)
    assert repr(explorer) == "Explorer(2 images, 3 layers, 1 to 2 heads)"


def test_a_model_without_attention_is_refused_by_its_kind():
    config = CNNConfig(image=8, widths=(4,), classes=3)
    with pytest.raises(UsageError, match="a convolutional network has no attention: there is nothing to explore"):
        Explorer(np.zeros((1, 8, 8, 1), np.float32), {}, config)


def test_the_same_images_twice_on_a_page_are_two_explorers(inside):
    explorer = Explorer(inside.images[:1], inside.p, inside.config)
    first, second = (re.search(r'id="([^"]+)"', explorer.html())[1] for _ in range(2))
    assert first != second


# ---- the commands


def test_report(tmp_path, monkeypatch):
    run = helpers.put_run(tmp_path / "run")
    result = call("report", run)
    assert result.code == 0 and str(run / "report.html") in result.out
    assert "a Vision Transformer looked into" in (run / "report.html").read_text(encoding="utf-8")
    monkeypatch.setattr("tinyvit.commands.report.page", lambda inside: "the page")  # which takes a while to draw
    assert call("report", run, "--out", tmp_path / "other.html").code == 0
    assert (tmp_path / "other.html").read_text(encoding="utf-8") == "the page"


def test_plot(tmp_path):
    run = helpers.put_run(tmp_path / "run")
    result = call("plot", run, "--out", tmp_path / "figures")
    assert result.code == 0
    files = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert len(files) == 18 and "attention.png" in files and "dataflow.svg" in files
    before = {file: file.read_bytes() for file in (tmp_path / "figures").iterdir()}
    for file in (tmp_path / "figures").glob("*.svg"):
        ET.parse(file)
    assert call("plot", run, "--out", tmp_path / "figures").code == 0
    assert {file: file.read_bytes() for file in (tmp_path / "figures").iterdir()} == before
    assert "How far each head looks" in result.out


@pytest.mark.parametrize("command", ["plot", "report"])
def test_of_a_run_that_is_not_finished(tmp_path, command):
    run = helpers.put_run(tmp_path / "run", model=None, metrics=None)
    before = helpers.contents(run)
    result = call(command, run)
    assert result.code and result.err.count("\n") == 1 and "is not finished: go on with" in result.err
    assert helpers.contents(run) == before


@pytest.mark.parametrize("command", ["plot", "report"])
def test_of_a_run_without_its_result(tmp_path, command):
    result = call(command, helpers.put_run(tmp_path / "run", metrics=None))
    assert result.code and result.err.count("\n") == 1 and "has lost its metrics.json" in result.err
    assert not (tmp_path / "run" / "figures").exists()


def test_of_a_run_without_its_history_there_are_no_curves(tmp_path, monkeypatch):
    drawn = []  # but not written: that takes the longest
    monkeypatch.setattr("tinyvit.commands.plot.save_figure", lambda figure, path: drawn.append(path.name))
    run = helpers.put_run(tmp_path / "run", history=None)
    for command in ("plot", "report"):
        result = call(command, run)
        assert result.code == 0, result
    assert "attention.png" in drawn and "curves.png" not in drawn


def test_a_run_that_is_replaced_loses_its_report(tmp_path):
    run = helpers.put_run(tmp_path / "run")
    (run / "report.html").write_text("of the run before")
    assert call("train", *helpers.SMALL, "--out", run, "--force").code == 0
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("folder", [".", "/", "run"])
def test_report_into_a_folder(tmp_path, monkeypatch, folder):
    run = helpers.put_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    result = call("report", run, "--out", folder)
    assert result.code and result.err.count("\n") == 1 and "directory" in result.err.lower()


def test_report_where_it_cannot_be_written(tmp_path):
    run = helpers.put_run(tmp_path / "run")
    result = call("report", run, "--out", tmp_path / "none" / "page.html")
    assert result.code and result.err.count("\n") == 1 and "page.html" in result.err


def test_the_shapes_command(tmp_path):
    plain = call("shapes", "digits")
    both = call("shapes", "digits", "--backward", "--batch", "4", "--figure", tmp_path / "flow.svg")
    assert plain.code == both.code == 0 and "blocks/2/msa/att/da" in both.out and "att/da" not in plain.out
    ET.parse(tmp_path / "flow.svg")
    rows = json.loads(call("shapes", "digits", "--json", "--backward").out)
    assert rows[0]["name"] == "image" and rows[-1]["name"] == "dimage" and rows[0]["shape"] == [8, 8, 1]
