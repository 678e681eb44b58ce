"""The shape ledger: what the papers say, to the integer or to the digits that they print."""

import pytest

from tinyvit.models.config import PRESETS, ViTConfig
from tinyvit.models.vit import parameter_count
from tinyvit.viz.ledger import ledger

GIGA = {"Ti/16": 1.25, "S/16": 4.60, "S/32": 1.14, "B/32": 4.41, "B/16": 17.56, "B/8": 78.15, "L/16": 61.55}
GIGA |= {"L/32": 15.38, "H/14": 167.3}


@pytest.mark.parametrize("name", GIGA)
def test_totals(name):
    rows = ledger(PRESETS[name])
    assert sum(row.parameters for row in rows) == parameter_count(PRESETS[name])
    decimals = len(str(GIGA[name]).partition(".")[2])
    assert round(sum(row.multiply_adds for row in rows) / 1e9, decimals) == GIGA[name]


@pytest.mark.parametrize(("name", "width"), [("B/16", 768), ("S/16", 384)])
def test_the_dataflow_of_the_stem(name, width):
    shapes = [(row.name, row.shape) for row in ledger(PRESETS[name])[:6]]
    assert shapes == [
        ("image", (224, 224, 3)),
        ("patches", (14, 14, 16, 16, 3)),
        ("patch", (14, 14, width)),
        ("sequence", (196, width)),
        ("cls", (197, width)),
        ("pos", (197, width)),
    ]


def test_a_block():
    rows = {row.name: row for row in ledger(PRESETS["S/16"])}
    assert rows["blocks/3/msa/att/a"].shape == (6, 197, 197)
    assert rows["blocks/3/msa/q"].shape == (6, 197, 64)
    assert rows["blocks/3/msa/q"].multiply_adds == 197 * 384 * 384
    assert rows["blocks/3/msa/att/a"].multiply_adds == rows["blocks/3/msa/att"].multiply_adds == 6 * 197 * 197 * 64
    assert rows["blocks/3/mlp/fc1"].parameters == 384 * 1536 + 1536
    assert rows["blocks/3/mlp/fc2"].shape == (197, 384)


def test_the_batch_multiplies_work_and_bytes_but_not_shapes_and_parameters():
    config = ViTConfig(image=8, channels=1, patch=2, dim=12, depth=2, heads=3, mlp_dim=20, classes=7, pre_logits=5)
    for one, five in zip(ledger(config), ledger(config, batch=5), strict=True):
        assert (five.name, five.shape, five.parameters) == (one.name, one.shape, one.parameters)
        assert (five.multiply_adds, five.bytes) == (5 * one.multiply_adds, 5 * one.bytes)


@pytest.mark.parametrize("options", [dict(position="none"), dict(pre_logits=5), dict(gelu="tanh")])
def test_every_variant_adds_up(options):
    config = ViTConfig(image=8, channels=1, patch=2, dim=12, depth=2, heads=3, mlp_dim=20, classes=7, **options)
    assert sum(row.parameters for row in ledger(config)) == parameter_count(config)
