"""The shape ledger: what the papers say, to the digits that they print, and what a real cache holds."""

import dataclasses

import numpy as np
import pytest

from tinyvit import trees
from tinyvit.layers import encoder_block, multi_head_attention, pool, post_norm_block
from tinyvit.layers.identity import nothing
from tinyvit.layers.pool import POOL
from tinyvit.layers.position import POSITIONS
from tinyvit.models import vit as vit_module
from tinyvit.models.blocks import NORM
from tinyvit.models.config import ViTConfig
from tinyvit.models.presets import PRESETS
from tinyvit.models.model import parameter_count
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.scale import SCALE
from tinyvit.viz.ledger import shapes

GIGA = {"Ti/16": 1.25, "S/16": 4.60, "S/32": 1.14, "B/32": 4.41, "B/16": 17.56, "B/8": 78.15, "L/16": 61.55}
GIGA |= {"L/32": 15.38, "H/14": 167.3}
CONFIG = ViTConfig(image=8, channels=1, patch=2, dim=12, depth=3, heads=3, mlp_dim=20, classes=7)
OPTIONS = [{}, dict(position="none"), dict(pre_logits=5), dict(gelu="tanh"), dict(dropout=0.2), dict(depth=1)]
OPTIONS += [dict(pool="mean"), dict(norm="post"), dict(scale="none"), dict(position="2d"), dict(position="sinusoidal")]
OPTIONS += [
    dict(position=kind, position_at=place)
    for kind in ("1d", "2d", "sinusoidal", "relative", "none")
    for place in ("layers", "shared")
]
OPTIONS += [
    dict(pool="mean", norm="post", scale="none", position="relative", position_at="shared", dropout=0.2),
    dict(pool="mean", norm="post", position="2d", position_at="layers", pre_logits=5),
]
VARIANTS = pytest.mark.parametrize("options", OPTIONS, ids=str)


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


@pytest.mark.parametrize("scale", SCALE)
def test_heads_are_views_but_for_the_scaled_queries(scale, monkeypatch):
    """What linear returned, and what attention is given, are the same memory where the ledger says so."""
    config, made = dataclasses.replace(CONFIG, scale=scale, depth=1), []
    linear = multi_head_attention.linear
    monkeypatch.setattr(multi_head_attention, "linear", lambda x, p: made.append(linear(x, p)) or made[-1])
    _, c, _ = run(config)
    rows = {row.name: row for row in shapes(config)}
    for name, (y, _) in zip("qkv", made, strict=False):
        same = rows[f"blocks/0/msa/att/{name}"].memory == f"blocks/0/msa/{name}"
        assert np.shares_memory(y, c["blocks"][0]["msa"]["att"][name]) == same == (name != "q" or scale == "none")


@pytest.mark.parametrize(("place", "tables"), [("layers", [1, 1, 1]), ("shared", [1, 0, 0])])
def test_relative_positions_are_a_product_with_all_offsets(place, tables):
    config = dataclasses.replace(CONFIG, position="relative", position_at=place)
    rows, T, D = {row.name: row for row in shapes(config, backward=True)}, config.tokens, config.dim
    for i, table in enumerate(tables):
        products = rows[f"blocks/{i}/msa/r"]
        assert products.shape == (3, T, 2 * T - 1) and products.multiply_adds == T * (2 * T - 1) * D
        assert products.parameters == table * (2 * T - 1) * D
    used = {name: row.multiply_adds for name, row in rows.items() if name.startswith("g/pos")}
    once = T * (2 * T - 1) * D
    assert used == ({f"g/pos/{i}": once for i in range(3)} if place == "layers" else {"g/pos": 3 * once})


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
    parameters = {id(owner(leaf)) for leaf in trees.leaves(p)}
    cache = {name: array for name, array in trees.walk(c) if id(owner(array)) not in parameters}
    assert set(trees.named(c)) - set(cache) == {name for name in trees.named(c) if name.endswith("msa/r/r")}
    rows, seen = shapes(config, 2, backward=True), {}
    kept = [row for row in rows if row.cached]
    assert sorted(name for row in kept for name in row.cached) == sorted(cache)
    for row in kept:
        owners = {id(owner(cache[name])) for name in row.cached}
        assert len(owners) == 1, f"{row.name} is in several places"
        assert not owners & set(seen), f"{row.name} is the same memory as {seen[owners.pop()]}"
        seen |= dict.fromkeys(owners, row.name)
        for name in row.cached:
            views = ("patch/linear/x", "/att/q", "/att/k", "/att/v", "/r/q")  # kept in another shape than made in
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


def gradient(name):
    """blocks/0/ln1 -> blocks/0/dln1"""
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}d{last}"


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
    names = [row.name for row in backward]
    assert names[:2] == ["dhead", "g/head/w"]
    after = [name for name, _ in trees.walk(vit_init(None, config)) if name.startswith("pos")]
    assert names[names.index("dimage") + 1 :] == ([f"g/{n}" for n in after] if config.position_at == "shared" else [])
    work = {row.name: row.multiply_adds for row in backward}
    D, T, N = config.dim, config.tokens, config.grid**2
    (x,) = by_name["blocks/0/msa/q"].inputs
    assert work[gradient(x)] == 3 * T * D * D, "q, k and v each hand one back"
    assert work["dpatches"] == work["g/patch/w"] == N * 4 * D
    assert work["blocks/0/msa/att/dv"] == work["blocks/0/msa/att/da"] == T * T * D


def noting(whole, calls, seen):
    """The function, whose first argument and first results are noted under the names of each call; None is not."""

    def noted(dy, *rest, **options):
        result = whole(dy, *rest, **options)
        arrays = (dy, *result) if isinstance(result, tuple) else (dy, result)
        seen.update({name: array for name, array in zip(calls.pop(0), arrays, strict=False) if name})
        return result

    return noted


def handed(config):
    """The gradients that a backward pass hands from function to function, by their names in the ledger.

    [(module, or entry of a table, where the function is; the function; names of its first argument and its first
    results, for each call)]
    """
    post, relative = config.norm == "post", config.position == "relative"
    position, readout = POSITIONS[config.position], POOL[config.pool]
    added, at_stem, with_class = position.forward not in (None, nothing), config.position_at == "stem", readout.tokens
    token = "dcls" if with_class else "dsequence"
    blocks = [f"blocks/{i}/" for i in range(config.depth)]
    ends = [f"{b}d{'ln2' if post else 'z'}" for b in blocks]
    begins = ["dpos" if added and at_stem else token, *ends[:-1]]
    entered = [f"{b}dpos" for b in blocks] if added and not at_stem else begins
    module, mha = (post_norm_block if post else encoder_block), multi_head_attention
    scores = ("k", "v", "scores")
    calls = [
        (vit_module, "patch_embedding_backward", [("dpatch", "dimage")]),
        ((NORM, config.norm), NORM[config.norm][1], list(zip(ends, entered, strict=True))),
        (module, "mlp_backward", [(f"{b}mlp/dfc2", None if post else f"{b}dln2") for b in blocks]),
        (module, "dropout_backward", [(f"{b}dsum1" if post else f"{b}dz'", f"{b}msa/do") for b in blocks]),
        # dx is made of dxhat in place, so what comes out of a LayerNorm is both.
        (module, "layer_norm_backward", [(f"{b}d{n}", f"{b}{n}/dxhat") for b in blocks for n in ("ln1", "ln2")]),
        (pool, "layer_norm_backward", [("dln", "ln/dxhat")]),
        (mha, "linear_backward", [(f"{b}msa/d{n}", f"{b}msa/dconcat" * (n == "o")) for b in blocks for n in "qkvo"]),
        (
            mha,
            "attention_backward",
            [
                (f"{b}msa/datt", "" if relative else f"{b}msa/att/dq", *(f"{b}msa/att/d{n}" for n in scores))
                for b in blocks
            ],
        ),
    ]
    if added:
        calls.append(
            (
                (POSITIONS, config.position),
                position.backward,
                [("dpos", token)] if at_stem else list(zip(entered, begins, strict=True)),
            )
        )
    if with_class:
        calls.append(((POOL, "class"), readout.token_backward, [("dcls", "dsequence")]))
        calls.append((pool, "class_row_backward", [("dclass_row", ends[-1])]))
    else:
        calls.append((pool, "mean_row_backward", [("dmean_row", "dln")]))
    if relative:
        calls.append((mha, "relative_bias_backward", [(f"{b}msa/att/dbias",) for b in blocks]))
    if config.scale == "sqrt":
        calls.append((mha, "scale_queries_backward", [(f"{b}msa/att/dq",) for b in blocks]))
    return calls


def captured(config, monkeypatch):
    """Those gradients, from a run; every call is met."""
    seen, calls = {}, handed(config)
    for where, function, names in calls:
        names.reverse()  # as the backward pass meets them
        if isinstance(where, tuple):
            table, key = where
            noted = [noting(f, names, seen) if f is function else f for f in table[key]]
            monkeypatch.setitem(table, key, getattr(table[key], "_make", tuple)(noted))
        else:
            monkeypatch.setattr(where, function, noting(getattr(where, function), names, seen))
    run(config)
    assert not any(names for _, _, names in calls), "not called"
    return seen


@pytest.mark.parametrize("options", [o for o in OPTIONS if "dropout" not in o], ids=str)
def test_gradients_share_memory_as_it_says(options, monkeypatch):
    config = dataclasses.replace(CONFIG, **options)
    rows = {row.name: row for row in shapes(config, backward=True)}
    seen = captured(config, monkeypatch)
    assert len(seen) >= 15 * config.depth + 4

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


@pytest.mark.parametrize("kind", ["1d", "2d", "relative"])
def test_the_positions_of_a_layer_fold_with_it(kind):
    ledger = shapes(dataclasses.replace(CONFIG, position=kind, position_at="layers"), backward=True)
    lines = str(ledger).splitlines()
    assert sum(line.startswith("blocks/1 to 0") for line in lines) == 1
    assert any(line.startswith("g/pos/2") for line in lines)
    assert not any(line.startswith(("g/pos/1", "g/pos/0")) for line in lines)
    for column in (2, 3, 4):
        assert sum(row[column] for row in ledger.folded()) == ledger.totals[column - 2]
