"""A run with text, looked into: what is said is what the model wrote."""

import re

import numpy as np
import pytest

from tests.report.test_page import Outline
from tests.training.helpers import call
from tinyvit.ops.tokens import END, PADDING
from tinyvit.report import text_inside
from tinyvit.report.page import page
from tinyvit.report.text_inside import RIGHT, WRONG, answers, look_inside_text, text_pictures
from tinyvit.training.checkpoint import load
from tinyvit.training.run import open_run

NAMES = ["curves", "lengths", "exposure", "attention", "dataflow"]
OPTIONS = ["--largest=1000", "--examples=300", "--dim=16", "--depth=2", "--heads=2", "--mlp-dim=16", "--epochs=4"]


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    from tinyvit.commands.texts import text_data

    folder = tmp_path_factory.mktemp("runs") / "run <1> & 2"
    assert call("train", "numerals", *OPTIONS, "--workers=1", "--out", folder).code == 0
    run = open_run(folder)
    p, config = load(run.model)
    return look_inside_text(run, p, config, text_data(run.settings)[1])


def planted(inside, written, forced=None):
    """The same run, had it written this."""
    true = inside.writing.true[:, : written.shape[1]]
    questions, lengths = inside.questions[: len(written)], inside.writing.lengths[: len(written)]
    writing = inside.writing._replace(true=true[: len(written)], written=written, forced=forced, lengths=lengths)
    return inside._replace(writing=writing, questions=questions)


def test_every_figure_has_a_title_and_two_sentences(inside):
    drawn = text_pictures(inside)
    assert list(drawn) == NAMES
    for picture in drawn.values():
        assert picture.words.count(". ") == 1 and picture.words.endswith("."), picture.words
        assert picture.figure.axes and "image" not in picture.words


def test_the_lengths_said_are_those_of_this_run(inside, monkeypatch):
    true = inside.writing.true
    written = np.where(np.arange(len(true))[:, None] % 3 == 0, 5, true)
    inside = planted(inside, written, forced=true)
    rows = inside.writing.rows()
    (most,) = [row for row in rows if row["count"] >= text_inside.FEW]
    words = text_pictures(inside)["lengths"].words
    assert f"How many of {len(inside.questions):,} test answers" in words
    assert f"Of those with {most['length']} tokens, {most['accuracy']:.1%} are right." in words
    monkeypatch.setattr(text_inside, "FEW", 1)
    words = text_pictures(inside)["lengths"].words
    assert f"to questions of {rows[0]['length']} token" in words and f", {rows[0]['accuracy']:.1%} are right" in words
    assert f"to those of {rows[-1]['length']} tokens {rows[-1]['accuracy']:.1%}." in words


def test_what_its_own_mistakes_cost(inside):
    true = inside.writing.true
    written = true.copy()
    written[: len(true) // 2, 0] = 3 + (true[: len(true) // 2, 0] - 2) % 5
    found = text_pictures(planted(inside, written, forced=true))["exposure"].words
    own = (written == true)[true != PADDING].mean()
    assert f"In all 100.00% and {own:.2%}: {1 - own:.1%} of the tokens are wrong because it went on" in found
    assert "lead to hardly any other" in text_pictures(planted(inside, true, forced=true))["exposure"].words


def test_wrong_answers_come_first_and_one_without_an_end_is_cut(inside):
    true = inside.writing.true
    written = true.copy()
    written[3] = 5
    found = answers(planted(inside, written, forced=true))
    source, target = inside.dataset.source, inside.dataset.target
    first = (source.decode(inside.questions[3]), target.decode(true[3]), target.decode(written[3]) + " …")
    assert found[0] == first and len(found) == 1 + RIGHT
    assert found[1] == (source.decode(inside.questions[0]), target.decode(true[0]), target.decode(true[0]))
    many = np.full_like(true, END)
    assert len(answers(planted(inside, many, forced=true))) == WRONG


def test_attention_is_that_of_the_first_answers(inside):
    assert len(inside.looked) == 2 and all(len(found) == 32 for found in inside.looked)
    assert inside.looked[0][0].title == inside.dataset.source.decode(inside.questions[0])
    words = text_pictures(inside)["attention"].words
    sharp = [
        np.concatenate([one.maps[head].max(axis=-1) for one in f]).mean() for f in inside.looked for head in (0, 1)
    ]
    assert f"gives {min(sharp):.0%} of its attention" in words and f"{max(sharp):.0%} in the sharpest" in words


def test_the_page_is_whole_and_needs_nothing_else(inside):
    html, outline = page(inside), Outline()
    outline.feed(html)
    assert outline.open == [] and len(set(outline.ids)) == len(outline.ids)
    assert all(anchor[0] == "#" and anchor[1:] in outline.ids for anchor in outline.anchors)
    assert all(source.startswith("data:image/png;base64,") for source in outline.sources) and len(outline.sources) == 5
    total = inside.writing.total()
    assert f'<span class="answer">{100 * total["accuracy"]:.2f} %</span> of {total["count"]:,} test answers' in html
    question, true, _ = answers(inside)[0]
    assert f"<td>{question}</td><td>{true}</td>" in html and "run &lt;1&gt; &amp; 2: a Transformer looked into" in html


def test_of_a_run_without_a_mistake_that_is_said(inside):
    perfect = planted(inside, inside.writing.true, forced=inside.writing.true)
    assert re.search(r"<p>All \d+ test answers are right; some of them:</p>", page(perfect))
