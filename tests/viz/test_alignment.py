"""Attention between tokens: the maps are the model's, rows and columns have the tokens that they stand for."""

import numpy as np
import pytest

from tests.reference.compare import assert_close, randomised
from tinyvit.data.text import joined, read_text
from tinyvit.models.model import SEQUENCE_MODELS
from tinyvit.ops.tokens import ANSWER, END, HIDDEN
from tinyvit.viz.alignment import ACROSS, BLANK, LONGEST, Alignment, alignment_figure, alignments

SMALL = dict(dim=8, depth=2, heads=2, mlp_dim=12)


def model(name, rule="numerals", **options):
    """Parameters, configuration, data set, and the first questions and answers to test, as tokens."""
    loaded, entry = read_text(rule, examples=60, **options), SEQUENCE_MODELS[name]
    if "tokens" in entry.task.arrays(entry.config()):
        loaded = joined(loaded)
        rows = [[token for token in row if token] for row in loaded.test["tokens"][:3].tolist()]
        questions = [row[: row.index(ANSWER)] for row in rows]
        answers = [row[row.index(ANSWER) + 1 :] for row in rows]
    else:
        questions = [[token for token in row if token > END] for row in loaded.test["source"][:3].tolist()]
        answers = [[token for token in row if token] for row in loaded.test["target"][:3].tolist()]
    config = entry.preset(loaded.dataset)
    config = config.changed(**(SMALL if "depth" in config.values() else {"dim": 8}))
    return randomised(entry.init(None, config), noise=1.0), config, loaded.dataset, questions, answers


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_rows_are_the_answer_and_columns_what_is_looked_at(name):
    p, config, dataset, questions, answers = model(name)
    found = alignments(dataset, questions, answers, p, config)
    if name == "seq2seq":
        assert found == []
        return
    for one, question, answer in zip(found, questions, answers, strict=True):
        asked, given = [dataset.source.tokens[k] for k in question], [dataset.target.tokens[k] for k in answer]
        columns = {"gpt": ["<start>", *asked, "→", *given[:-1]], "bert": [*asked, "→", *[BLANK] * (len(given) - 1)]}
        columns["bert"].append("<end>")
        assert one.columns == columns.get(name, [*asked, "<end>"]) and one.title == "".join(asked)
        assert one.rows == given and given[-1] == "<end>"
        assert one.maps.shape == (2 if "heads" in config.values() else 1, len(one.rows), len(one.columns))
        assert_close(one.maps.sum(axis=-1), np.ones(one.maps.shape[:2]), 1e-12)


def test_each_block_has_its_own_maps_the_last_without_a_number():
    p, config, dataset, questions, answers = model("transformer")
    first, last, default = (alignments(dataset, questions, answers, p, config, block)[0] for block in (0, 1, None))
    batch = {"source": np.array([[*questions[0], END]]), "target": np.array(answers[:1])}
    _, c = SEQUENCE_MODELS["transformer"].forward(batch, p, config)
    for one, block in ((first, 0), (last, 1), (default, 1)):
        np.testing.assert_array_equal(one.maps, c["decoder"]["blocks"][block]["cross"]["att"]["a"][0])


def test_a_gpt_looks_at_nothing_that_it_has_not_written_yet():
    p, config, dataset, questions, answers = model("gpt", "sums")
    for one, question in zip(alignments(dataset, questions, answers, p, config), questions, strict=True):
        for row in range(len(one.rows)):
            own = len(question) + 1 + row  # the column of the token before the one that is written here
            assert (one.maps[:, row, : own + 1] > 0).all() and not one.maps[:, row, own + 1 :].any()


def test_a_bert_has_looked_at_blanks_not_at_what_it_filled_in():
    p, config, dataset, questions, answers = model("bert", "sums")
    others = [[token if token == END else 1 + max(token, HIDDEN) for token in answer] for answer in answers]
    for one, other in zip(*(alignments(dataset, questions, a, p, config) for a in (answers, others)), strict=True):
        np.testing.assert_array_equal(one.maps, other.maps)


def example(heads, rows, columns, title="a title"):
    return Alignment(np.full((heads, len(rows), len(columns)), 0.5), [*rows], [*columns], title)


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def test_a_panel_for_each_head_with_the_tokens_as_labels():
    figure = alignment_figure([example(2, ["three", "<end>"], "三百"), example(1, "ab", "cd")])
    panels = [axes for axes in figure.axes if axes.get_visible()][:-1]  # the last is the colours'
    assert [axes.get_title() for axes in panels] == ["head 1", "head 2", "head 1"]
    assert labels(panels[0].get_xticklabels()) == ["三", "百"] or "class" in labels(panels[0].get_xticklabels())[0]
    assert labels(panels[0].get_yticklabels()) == ["three", "<end>"] and panels[0].get_ylabel() == "a title"
    if labels(panels[0].get_xticklabels()) == ["三", "百"]:  # without a font that has them, longer names stand upright
        assert {tick.get_rotation() for tick in panels[0].get_xticklabels()} == {0.0}
    assert panels[0].images[0].get_clim() == (0, 1)


def test_maps_of_one_head_stand_in_lines_under_their_titles():
    figure = alignment_figure([example(1, "ab", ["cd", "e"], f"text {i}") for i in range(ACROSS + 1)])
    panels = [axes for axes in figure.axes if axes.get_visible()][:-1]
    assert [axes.get_title() for axes in panels] == [f"text {i}" for i in range(ACROSS + 1)]
    assert len(figure.axes) == 2 * ACROSS + 1
    assert [tick.get_rotation() for tick in panels[0].get_xticklabels()] == [90.0, 0.0]


def test_of_a_long_text_the_first_tokens_are_drawn():
    figure = alignment_figure([example(1, "a" * 500, "b" * 2000, "long " * 100)])
    panel = figure.axes[0]
    assert len(panel.get_xticklabels()) == len(panel.get_yticklabels()) == LONGEST
    assert panel.images[0].get_array().shape == (LONGEST, LONGEST) and panel.get_title().endswith(" …")
    assert max(figure.get_size_inches()) < 30


def test_a_bert_is_shown_with_the_blanks_that_it_was_given():
    """Some of the answer may stand there, and some of the question not."""
    p, config, dataset, questions, answers = model("bert", "sums")
    seen = [[*question, ANSWER, *answer] for question, answer in zip(questions, answers, strict=True)]
    for row in seen:
        row[0] = HIDDEN
    found = alignments(dataset, questions, answers, p, config, seen=seen)
    for one, row, question in zip(found, seen, questions, strict=True):
        assert one.columns.count(BLANK) == 1 and one.columns[0] == BLANK
        _, c = SEQUENCE_MODELS["bert"].forward({"tokens": np.array([row])}, p, config)
        np.testing.assert_array_equal(one.maps, c["blocks"][-1]["msa"]["att"]["a"][0][:, len(question) + 1 :])
