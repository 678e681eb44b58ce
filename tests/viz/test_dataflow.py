"""The dataflow's picture is the summary's rows: each a box with its shape, joined to what it is made from."""

import dataclasses

import pytest
from matplotlib.patches import Rectangle

from tinyvit.models.bert import BERTConfig
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import ViTConfig
from tinyvit.models.convstem import ConvStemConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.presets import PRESETS
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.viz.dataflow import dataflow_figure
from tinyvit.viz.summary import block_number, shapes

CONFIG = ViTConfig(image=8, channels=1, patch=2, dim=12, depth=3, heads=3, mlp_dim=20, classes=7)
VARIANTS = [{}, dict(depth=1), dict(position="none"), dict(pre_logits=5), dict(dropout=0.2)]
VARIANTS += [dict(pool="mean", norm="post", position="relative", position_at="shared"), dict(position_at="layers")]
VARIANTS += [dict(norm="post", scale="none", position="2d", position_at="layers", dropout=0.2)]


def boxes(axes):
    """(text, box) of all boxes, in the order in which they are drawn."""
    found = []
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and patch.get_width() < 1:
            centre = (patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2)
            (text,) = [t.get_text() for t in axes.texts if t.get_position() == pytest.approx(centre)]
            found.append((text, patch))
    return found


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("backward", [False, True])
def test_every_tensor_of_the_first_block_is_a_box_with_its_shape(options, backward):
    summary = shapes(dataclasses.replace(CONFIG, **options), backward=backward)
    (axes,) = dataflow_figure(summary).axes
    rows = [row for row in shapes(dataclasses.replace(CONFIG, **options)) if block_number(row) in (None, 0)]
    found = boxes(axes)
    assert len(found) == len(rows)
    for row, (text, box) in zip(rows, found, strict=True):
        assert text == f"{row.name.removeprefix('blocks/0/')}\n{list(row.shape)}"
        assert (box.get_linestyle() == "--") == (row.bytes == 0)
        assert (box.get_facecolor() != (1, 1, 1, 1)) == (row.memory == "kept")
    corners = {(box.get_x(), box.get_y()) for _, box in found}
    assert len(corners) == len(found), "two boxes in one place"
    joined = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(joined) == sum(len(row.inputs) for row in rows)


def test_the_numbers_beside_are_those_of_the_line_and_of_the_whole_model():
    (axes,) = dataflow_figure(shapes(PRESETS["B/16"])).axes
    texts = [text.get_text() for text in axes.texts]
    for expected in ("1,771,776", "348,585,984", "86,567,656", "17,563,828,224", "block × 12"):
        assert expected in texts, expected


def test_products_with_relative_positions_are_not_on_the_way_of_the_keys():
    (axes,) = dataflow_figure(shapes(dataclasses.replace(CONFIG, position="relative", position_at="shared"))).axes
    x = {text.partition("\n")[0]: box.get_x() for text, box in boxes(axes)}
    assert x["msa/r"] == x["msa/att/bias"] == x["msa/att/q"] < x["msa/att/k"] == x["msa/att/scores"]


OTHERS = {
    "cnn": CNNConfig(widths=(3, 4)),
    "convstem": ConvStemConfig(CONFIG.changed(patch=1), image=9, widths=(3, 4)),
    "masked": MaskedConfig(CONFIG),
    "seq2seq": Seq2SeqConfig(source_length=4, target_length=5, both=True),
    "attention": AttentionConfig(source_length=4, target_length=5),
    "transformer": TransformerConfig(source_length=4, target_length=5),
    "gpt": GPTConfig(tokens=11, length=6, dim=12, depth=2, heads=3, mlp_dim=20),
    "bert": BERTConfig(tokens=11, length=6, dim=12, depth=2, heads=3, mlp_dim=20),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_the_picture_of_another_model(config):
    summary = shapes(config, backward=True)
    (axes,) = dataflow_figure(summary).axes
    shown = sum(len(rows) for _, rows, _ in summary.forward.alike())
    assert len(boxes(axes)) == len({(box.get_x(), box.get_y()) for _, box in boxes(axes)}) == shown
    assert f"{summary.forward.totals[1]:,}" in [text.get_text() for text in axes.texts]


def test_encoder_and_decoder_stand_beside_each_other_and_meet_where_the_decoder_looks():
    (axes,) = dataflow_figure(shapes(OTHERS["transformer"])).axes
    place = {text.partition("\n")[0]: (box.get_x(), box.get_y()) for text, box in boxes(axes)}
    assert place["encoder/source"][1] == place["decoder/target"][1] and "encoder/block × 2" in label(axes)
    columns = [place[name][0] for name in ("encoder/source", "encoder/ln", "cross/k")]
    assert len({*columns}) == 1 and place["decoder/target"][0] == place["decoder/scores"][0] > columns[0] + 2
    assert place["cross/att/scores"][1] > max(place[name][1] for name in ("cross/att/k", "cross/att/q"))


def test_steps_that_are_alike_are_drawn_once():
    assert "step × 4" in label(dataflow_figure(shapes(OTHERS["attention"])).axes[0])


def label(axes):
    return [text.get_text() for text in axes.texts]
