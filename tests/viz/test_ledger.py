"""The shape ledger: what the papers say, to the digits that they print, and what a real cache holds."""

import dataclasses

import numpy as np
import pytest

from tinyvit import trees
from tinyvit.layers import encoder_block, multi_head_attention
from tinyvit.models import vit as vit_module
from tinyvit.models.config import PRESETS, ViTConfig
from tinyvit.models.model import parameter_count
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.viz.ledger import shapes

GIGA = {"Ti/16": 1.25, "S/16": 4.60, "S/32": 1.14, "B/32": 4.41, "B/16": 17.56, "B/8": 78.15, "L/16": 61.55}
GIGA |= {"L/32": 15.38, "H/14": 167.3}
CONFIG = ViTConfig(image=8, channels=1, patch=2, dim=12, depth=3, heads=3, mlp_dim=20, classes=7)
VARIANTS = [{}, dict(position="none"), dict(pre_logits=5), dict(gelu="tanh"), dict(dropout=0.2), dict(depth=1)]
VARIANTS = pytest.mark.parametrize("options", VARIANTS, ids=str)


@pytest.mark.parametrize("name", GIGA)
def test_totals(name):
    parameters, multiply_adds, _ = shapes(PRESETS[name]).totals
    assert parameters == parameter_count(PRESETS[name])
    decimals = len(str(GIGA[name]).partition(".")[2])
    assert round(multiply_adds / 1e9, decimals) == GIGA[name]


@pytest.mark.parametrize(("name", "width"), [("B/16", 768), ("S/16", 384)])
def test_the_dataflow_of_the_stem(name, width):
    assert [(row.name, row.shape) for row in shapes(PRESETS[name])[:6]] == [
        ("image", (224, 224, 3)),
        ("patches", (14, 14, 16, 16, 3)),
        ("patch", (14, 14, width)),
        ("sequence", (196, width)),
        ("cls", (197, width)),
        ("pos", (197, width)),
    ]


def test_a_block():
    rows = {row.name: row for row in shapes(PRESETS["S/16"])}
    assert rows["blocks/3/msa/att/a"].shape == (6, 197, 197)
    assert rows["blocks/3/msa/q"].shape == (197, 384) and rows["blocks/3/msa/att/q"].shape == (6, 197, 64)
    assert rows["blocks/3/msa/q"].multiply_adds == 197 * 384 * 384
    assert rows["blocks/3/msa/att/scores"].multiply_adds == rows["blocks/3/msa/att"].multiply_adds == 6 * 197 * 197 * 64
    assert rows["blocks/3/mlp/fc1"].parameters == 384 * 1536 + 1536
    assert rows["blocks/3/mlp/fc2"].shape == (197, 384)


def test_the_batch_multiplies_work_and_bytes_but_not_shapes_parameters_and_their_gradients():
    for one, five in zip(shapes(CONFIG, backward=True), shapes(CONFIG, 5, backward=True), strict=True):
        assert one._replace(multiply_adds=0, bytes=0) == five._replace(multiply_adds=0, bytes=0)
        assert five.multiply_adds == 5 * one.multiply_adds
        assert five.bytes == (1 if one.name.startswith("g/") else 5) * one.bytes


def owner(array):
    """The array whose memory a view shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def run(config, batch=2):
    """A forward and backward pass: parameters, cache, gradients."""
    rng = np.random.default_rng(0)
    p = vit_init(rng, config)
    images = rng.normal(size=(batch, config.image, config.image, config.channels)).astype(np.float32)
    logits, c = vit(images, p, config, masks=vit_masks(rng, config, batch))
    return p, c, vit_backward(np.ones_like(logits), p, c, config)[1]


@VARIANTS
def test_every_buffer_of_a_real_cache_stands_in_it_once_under_all_its_names(options):
    config = dataclasses.replace(CONFIG, **options)
    p, c, g = run(config)
    cache, rows, seen = trees.named(c), shapes(config, 2, backward=True), {}
    kept = [row for row in rows if row.cached]
    assert sorted(name for row in kept for name in row.cached) == sorted(cache)
    for row in kept:
        owners = {id(owner(cache[name])) for name in row.cached}
        assert len(owners) == 1, f"{row.name} is in several places"
        assert not owners & set(seen), f"{row.name} is the same memory as {seen[owners.pop()]}"
        seen |= dict.fromkeys(owners, row.name)
        for name in row.cached:
            views = ("patch/linear/x", "/att/k", "/att/v")  # kept in another shape than they are made in
            assert cache[name].shape[1:] == row.shape or name.endswith(views)
            assert cache[name].nbytes == row.bytes
    assert rows.kept == sum(row.bytes for row in kept)
    assert rows.totals[0] == trees.count(p)
    gradients = {f"g/{name}": array.shape for name, array in trees.walk(g)}
    assert {row.name: row.shape for row in rows if row.name.startswith("g/")} == gradients


@VARIANTS
def test_names_are_unique_and_inputs_come_before(options):
    seen = set()
    for row in shapes(dataclasses.replace(CONFIG, **options), backward=True):
        assert row.name not in seen
        assert set(row.inputs) <= seen, row
        assert row.memory in seen | {"kept", "passing", "gradient"} and (row.bytes > 0) != (row.memory in seen)
        seen.add(row.name)


@VARIANTS
def test_the_backward_pass(options):
    config = dataclasses.replace(CONFIG, **options)
    forward, both = shapes(config), shapes(config, backward=True)
    backward = both[len(forward) :]
    assert both[: len(forward)] == forward
    by_name = {row.name: row for row in forward}
    for row in backward:
        if not row.name.startswith("g/"):
            path, _, last = row.name.rpartition("/")
            assert last[0] == "d"
            assert by_name[f"{path}/{last[1:]}".lstrip("/")].shape == row.shape
    assert sum(row.multiply_adds for row in backward) == 2 * forward.totals[1]
    assert [row.name for row in backward[:2]] == ["dhead", "g/head/w"] and backward[-1].name == "dimage"
    work = {row.name: row.multiply_adds for row in backward}
    D, T, N = config.dim, config.tokens, config.tokens - 1
    assert work["blocks/0/dln1"] == 3 * T * D * D, "q, k and v each hand one back"
    assert work["dpatches"] == work["g/patch/w"] == N * 4 * D
    assert work["blocks/0/msa/att/dv"] == work["blocks/0/msa/att/da"] == T * T * D


def captured(config, monkeypatch):
    """The gradients that a backward pass hands from function to function, by their names in the ledger."""
    seen, block = {}, iter(reversed(range(config.depth)))

    def watch(module, function, came, went, each=lambda: None):
        """Note a function's first argument and its first results under these names; None is not noted."""
        whole = getattr(module, function)

        def watched(dy, *rest):
            each()
            prefix = watched.prefix()
            result = whole(dy, *rest)
            results = result if isinstance(result, tuple) else (result,)
            names, arrays = (came(), *went()), (dy, *results)
            seen.update({prefix + name: a for name, a in zip(names, arrays, strict=False) if name})
            return result

        watched.prefix = lambda: f"blocks/{state['block']}/" if module is not vit_module else ""
        monkeypatch.setattr(module, function, watched)

    state = {"block": None}
    norms, linears = [], []

    def one(*names):
        return lambda: names

    def previous():
        return (f"blocks/{state['block'] - 1}/dz" if state["block"] else "dpos",)

    def enter():
        state["block"], norms[:], linears[:] = next(block), ["ln2", "ln1"], ["o", "v", "k", "q"]

    watch(vit_module, "encoder_block_backward", lambda: f"blocks/{state['block']}/dz", previous, enter)
    watch(encoder_block, "mlp_backward", lambda: "mlp/dfc2", one("dln2"))
    watch(encoder_block, "dropout_backward", lambda: "dz'", one("msa/do"))
    # dx is made of dxhat in place, so what comes out of a LayerNorm is both.
    watch(encoder_block, "layer_norm_backward", lambda: f"d{norms[0]}", lambda: (f"{norms.pop(0)}/dxhat",))
    watch(vit_module, "layer_norm_backward", lambda: "dln", one("ln/dxhat"))

    def projected():
        return ("msa/dconcat",) if linears.pop(0) == "o" else (None,)

    watch(multi_head_attention, "linear_backward", lambda: f"msa/d{linears[0]}", projected)
    watch(multi_head_attention, "attention_backward", lambda: "msa/datt", one("msa/att/dq", "msa/att/dk", "msa/att/dv"))
    watch(vit_module, "class_row_backward", lambda: "dclass_row", one(f"blocks/{config.depth - 1}/dz"))
    watch(vit_module, "class_token_backward", lambda: "dcls", one("dsequence"))
    watch(vit_module, "patch_embedding_backward", lambda: "dpatch", one("dimage"))
    run(config)
    return seen


@pytest.mark.parametrize("options", [{}, dict(depth=1), dict(position="none")], ids=str)
def test_gradients_share_memory_as_it_says(options, monkeypatch):
    config = dataclasses.replace(CONFIG, **options)
    rows = {row.name: row for row in shapes(config, backward=True)}
    seen = captured(config, monkeypatch)
    assert len(seen) >= 12 * config.depth + 5

    def holder(name):
        """The row whose memory this one's is, at the end of the chain."""
        return holder(rows[name].memory) if rows[name].memory in rows else name

    for one in seen:
        assert seen[one].shape[1:] == rows[one].shape or one in ("dpatch",), one
        for other in seen:
            assert np.shares_memory(seen[one], seen[other]) == (holder(one) == holder(other)), (one, other)


def test_a_table_shows_a_block_once_and_adds_up():
    text = str(shapes(PRESETS["B/16"], backward=True))
    lines = text.splitlines()
    assert sum("blocks/0/msa/att/a " in line for line in lines) == 1 and "blocks/1/" not in text
    assert any(line.startswith("blocks/1 to 11") for line in lines)
    assert any(line.startswith("blocks/10 to 0") for line in lines), "the backward pass meets block 11 first"
    assert "blocks/11/msa/att/da" in text
    assert max(map(len, lines)) <= 120
    for column in (2, 3, 4):
        rows = shapes(PRESETS["B/16"], backward=True)
        assert sum(row[column] for row in rows.folded()) == rows.totals[column - 2]
    assert "blocks/1 " in str(shapes(dataclasses.replace(CONFIG, depth=2)))
