"""The summary: what the papers say, what a real run holds, and what the described ledger of 9cae6f3 said of ViTs."""

import ast
import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.layers.embedding import patch_embedding, patch_embedding_backward, patch_embedding_init
from tinyvit.layers.encoder_block import encoder_block_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.mlp import mlp, mlp_backward
from tinyvit.layers.multi_head_attention import multi_head_attention, multi_head_attention_backward
from tinyvit.models.bert import BERTConfig
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import ViTConfig
from tinyvit.models.convstem import ConvStemConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.model import ALL_MODELS, MODELS, SEQUENCE_MODELS, Model, model_of, name_of, parameter_count
from tinyvit.models.presets import PRESETS
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig
from tinyvit.models.task import classification
from tinyvit.models.transformer import TransformerConfig
from tinyvit.viz.observe import einsum_work
from tinyvit.viz.observe import observed as watched
from tinyvit.viz.summary import shapes
from tinyvit.viz.trace import Run

GIGA = {"Ti/16": 1.25, "S/32": 1.14, "B/16": 17.56, "B/8": 78.15, "L/16": 61.55, "H/14": 167.3}
CONFIG = ViTConfig(image=8, channels=1, patch=2, dim=12, depth=3, heads=3, mlp_dim=20, classes=7)
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "shapes.json").read_text(encoding="utf-8"))
VARIANTS = {
    name: PRESETS.get(name) or dataclasses.replace(CONFIG, **ast.literal_eval(name)) for name in GOLDEN["digests"]
}
OTHERS = {"cnn": CNNConfig(image=9, channels=2, classes=5, widths=(3, 4)), "masked": MaskedConfig(CONFIG, 0.4)}
OTHERS["convstem"] = ConvStemConfig(CONFIG.changed(patch=1), image=9, channels=2, widths=(3, 4))
SMALL = {name: config for name, config in (VARIANTS | OTHERS).items() if config.image < 100}
PAIRS = dict(source_tokens=11, target_tokens=13, source_length=4, target_length=5)
ONE = dict(tokens=11, length=6, dim=12, depth=2, heads=3, mlp_dim=20)
TEXT = {
    "seq2seq": Seq2SeqConfig(**PAIRS, dim=6, cell="lstm", layers=2, both=True),
    "attention": AttentionConfig(**PAIRS, dim=6, score="dot"),
    "additive": AttentionConfig(**PAIRS, dim=6),
    "transformer": TransformerConfig(**PAIRS, dim=12, heads=3, mlp_dim=20),
    "post-norm": TransformerConfig(
        **PAIRS | dict(target_tokens=11), dim=12, heads=3, mlp_dim=20, norm="post", shared=True, dropout=0.1
    ),
    "gpt": GPTConfig(**ONE, dropout=0.1),
    "bert": BERTConfig(**ONE),
}
MODEL = pytest.mark.parametrize("config", (SMALL | TEXT).values(), ids=SMALL | TEXT)


observed = functools.cache(functools.partial(shapes, backward=True))


@pytest.mark.parametrize("name", GIGA)
def test_totals(name):
    parameters, multiply_adds, _ = shapes(PRESETS[name]).totals
    assert parameters == parameter_count(PRESETS[name])
    assert f"{multiply_adds / 1e9:.10f}".startswith(f"{GIGA[name]}"[:-1])
    assert round(multiply_adds / 1e9, len(str(GIGA[name]).partition(".")[2])) == GIGA[name]


def test_the_rows_of_b16():
    """Its ends, first and last block, in every field; the order of inputs is not compared.

    Since then the cache has the parts of the readout under a name of their own.
    """
    rows = {row.name: row for row in observed(PRESETS["B/16"])}
    found = {name: [*rows[name][1:7], sorted(rows[name].inputs)] for name in GOLDEN["rows of B/16"] if name in rows}
    assert json.loads(json.dumps(found).replace('"readout/', '"')) == GOLDEN["rows of B/16"]


@pytest.mark.parametrize("name", VARIANTS)
def test_names_shapes_parameters_work_and_memory_of_every_variant(name):
    rows = observed(VARIANTS[name])
    fields = sorted([row.name, list(row.shape), row.parameters, row.multiply_adds, row.memory] for row in rows)
    assert hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16] == GOLDEN["digests"][name]


def run(config, batch):
    """A real forward and backward pass: cache, parameters and their gradients."""
    model, rng = model_of(config), np.random.default_rng(0)
    p = model.init(rng, config)
    wanted, vocabularies = model.task.arrays(config), model.task.vocabularies(config)
    inputs = {
        name: rng.integers(5, vocabularies[name], (batch, *shape))
        if name in vocabularies
        else rng.normal(size=(batch, *shape)).astype(dtype)
        for name, (shape, dtype) in wanted.items()
        if name != "labels"
    }
    batch, masks = model.draw(rng, inputs, config)
    y, c = model.forward(batch, p, config, masks=masks)
    return p, c, model.backward(np.ones_like(y), p, c, config)[1]


def owner(array):
    """The array whose memory a view shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@MODEL
def test_every_buffer_of_a_real_cache_stands_in_it_once_under_all_its_names(config):
    p, c, g = run(config, 2)
    parameters = {id(owner(leaf)) for leaf in trees.leaves(p)}
    cache = {name: owner(array) for name, array in trees.walk(c) if id(owner(array)) not in parameters}
    rows = observed(config, 2)
    kept = [row for row in rows if row.memory == "kept"]
    assert sorted(name for row in kept for name in row.cached) == sorted(cache)
    for row in kept:
        (size,) = {cache[name].nbytes for name in row.cached if cache[name] is cache[row.cached[0]]}
        assert size == row.bytes and all(cache[name] is cache[row.cached[0]] for name in row.cached), row
    assert rows.kept == sum({id(array): array.nbytes for array in cache.values()}.values())
    assert rows.totals[0] == trees.count(p)
    gradients = {f"g/{name}": array.shape for name, array in trees.walk(g)}
    assert {row.name: row.shape for row in rows if row.name.startswith("g/")} == gradients


@MODEL
def test_names_inputs_gradients_and_work(config):
    both, seen = observed(config), {}
    forward = both.forward
    for row in both:
        assert row.name not in seen and set(row.inputs) <= set(seen), row
        assert row.memory in seen or row.memory in ("kept", "passing", "gradient")
        assert (row.bytes > 0) != (row.memory in seen), row
        seen[row.name] = row.shape
    for row in both[len(forward) :]:
        path, slash, last = row.name.rpartition("/")
        assert row.name.startswith("g/") or (seen[f"{path}{slash}{last[1:]}"] == row.shape and last[0] == "d")
    if config is not TEXT["additive"]:  # v has no product of its own there
        assert sum(row.multiply_adds for row in both) == 3 * forward.totals[1], "dx and dw for each y = x w"
    last = {"seq2seq": "decoder/head", "attention": "decoder/head", "transformer": "decoder/scores", "gpt": "scores"}
    assert ("dimage" in seen) == (config not in TEXT.values())
    assert forward[-1].name == (last | {"bert": "logits"}).get(name_of(config), "head")


@pytest.mark.parametrize("config", [CONFIG, *OTHERS.values(), *TEXT.values()], ids=str)
def test_the_batch_multiplies_work_and_bytes_but_not_shapes_parameters_and_their_gradients(config):
    assert shapes(config) == observed(config).forward
    for one, five in zip(observed(config), shapes(config, 5, backward=True), strict=True):
        assert one._replace(multiply_adds=0, bytes=0) == five._replace(multiply_adds=0, bytes=0)
        assert five.multiply_adds == 5 * one.multiply_adds
        causal = one.name in ("bias", "decoder/bias") and one.shape[0] > 1  # the same for all
        assert five.bytes == (1 if one.name.startswith("g/") or causal else 5) * one.bytes


def test_every_model_of_text_is_here():
    assert {name_of(config) for config in TEXT.values()} == SEQUENCE_MODELS.keys()


def test_the_multiply_adds_of_a_gpt_are_those_of_its_equations():
    """Of T tokens: 12 T D^2 in each block, with an MLP of 4 D, and 2 T^2 D for attention; T D V for the scores."""
    T, D, L, V = 1024, 768, 12, 50257
    assert shapes(PRESETS["gpt2"]).totals[1] == L * (12 * T * D * D + 2 * T * T * D) + T * D * V


def test_what_all_blocks_share_stands_before_them_and_steps_that_are_alike_stand_in_one_line():
    names = [row.name for row in shapes(TEXT["transformer"])]
    assert "bias" not in names, "nothing is padding, so that nothing hides it"
    assert names.index("decoder/bias") < names.index("decoder/blocks/0/ln1")
    (bias,) = (row for row in shapes(TEXT["transformer"]) if row.name == "decoder/bias")
    assert bias.shape == (5, 5) and bias.cached == tuple(f"decoder/blocks/{i}/msa/att/bias" for i in (0, 1))
    folded = [row.name for row in shapes(TEXT["attention"]).folded()]
    assert "encoder/encoder/0/0/c/steps/1 to 2" in folded and "encoder/encoder/0/0/c/steps/0/gates" in folded
    assert {row.name: row.shape for row in shapes(TEXT["attention"])}["encoder/encoder/0/0/c/x"] == (4, 18), (
        "not (4, 1, 18)"
    )
    blocks = [row.name for row in shapes(TEXT["gpt"]).folded()]
    assert "blocks/1" in blocks and not any(name.startswith("blocks/1/") for name in blocks)


def test_a_tables_gradient_is_made_from_those_of_all_that_read_it():
    found = {row.name: row.inputs for row in observed(TEXT["post-norm"])}
    assert found["g/target/w"] == ("decoder/dscores", "decoder/dtarget", "encoder/dsource"), "one table for all"
    assert {row.name: row.inputs for row in observed(TEXT["seq2seq"])}["g/source/w"] == ("encoder/dsource",)


def test_a_cnn():
    rows = {row.name: row for row in shapes(OTHERS["cnn"])}
    assert rows["convolutions/0/convolution"].shape == (5, 5, 3) and rows["convolutions/1/gelu"].shape == (3, 3, 4)
    assert rows["convolutions/1/convolution"].multiply_adds == 9 * (9 * 3) * 4
    assert rows["mean_row"].inputs == ("convolutions/1/gelu",)


class NewConfig(NamedTuple):
    """Sizes of a model that the package does not have."""

    image: int = 8
    channels: int = 1


def parallel(batch, p, config, **options):
    """A model of one block, whose attention and MLP read the same tokens, written in the model itself."""
    c = {}
    z, c["patch"] = patch_embedding(batch["images"], p["patch"], patch=2)
    y, c["ln1"] = layer_norm(z, p["ln1"])
    attended, c["msa"] = multi_head_attention(y, y, p["msa"], heads=3)
    y, c["ln2"] = layer_norm(z, p["ln2"])
    y, c["mlp"] = mlp(y, p["mlp"])
    return z + attended + y, c


def parallel_backward(dz, p, c, config):
    g = {}
    dy, g["mlp"] = mlp_backward(dz, p["mlp"], c["mlp"])
    dy, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])
    dq, dkv, _, g["msa"] = multi_head_attention_backward(dz, p["msa"], c["msa"])
    dx, g["ln1"] = layer_norm_backward(dq + dkv, p["ln1"], c["ln1"])
    dx, g["patch"] = patch_embedding_backward(dx + dy + dz, p["patch"], c["patch"])
    return {"images": dx}, g


def test_a_model_that_nobody_has_described(monkeypatch):
    def init(rng, config):
        return {"patch": patch_embedding_init(rng, 2, 1, 12), **encoder_block_init(rng, 12, 20)}

    def draw(rng, batch, config, **options):
        return batch, {}

    images = classification._replace(arrays=lambda config: {"images": ((8, 8, 1), "float32")})
    new = Model("a new model", NewConfig, init, parallel, parallel_backward, draw, images, None, {})
    monkeypatch.setitem(ALL_MODELS, "new", new)
    rows = shapes(NewConfig(), backward=True)
    by_name = {row.name: row for row in rows}
    assert by_name["z"].inputs == ("sequence", "msa/o", "mlp/fc2") and by_name["z"].shape == (16, 12)
    assert by_name["ln1/xhat"].inputs == by_name["ln2/xhat"].inputs == ("sequence",)
    work = 16 * (4 * 12 + 4 * 12 * 12 + 2 * 16 * 12 + 2 * 12 * 20)
    assert rows.forward.totals[1] == work and rows.totals[1] == 3 * work
    assert by_name["dsequence"].inputs == ("ln1/dxhat", "ln2/dxhat", "dz")

    def wasteful(batch, p, config, **options):
        z, c = parallel(batch, p, config)
        z @ z.swapaxes(1, 2)
        return z, c

    monkeypatch.setitem(ALL_MODELS, "new", new._replace(forward=wasteful))
    assert shapes(NewConfig()).totals[1] == work + 16 * 16 * 12, "what nobody reads is counted too"


def test_what_would_escape_observation_is_refused(monkeypatch):
    def unobserved(batch, p, config, **options):
        np.zeros(batch["images"].shape)[:] = batch["images"]

    model = MODELS["cnn"]._replace(config=NewConfig, init=lambda rng, config: {}, forward=unobserved)
    monkeypatch.setitem(ALL_MODELS, "new", model)
    with pytest.raises(TypeError, match="xp_of"):
        shapes(NewConfig())


def test_a_table_shows_a_block_once_and_adds_up():
    rows = observed(PRESETS["B/16"])
    lines = str(rows).splitlines()
    assert sum("blocks/0/msa/att/a " in line for line in lines) == 1 and "blocks/1/" not in str(rows)
    assert any(line.startswith("blocks/1 to 11") for line in lines)
    assert any(line.startswith("blocks/10 to 0") for line in lines), "the backward pass meets block 11 first"
    assert max(map(len, lines)) <= 120
    layers = shapes(dataclasses.replace(CONFIG, position="1d", position_at="layers"), backward=True)
    assert [line.split()[0] for line in str(layers).splitlines() if line.startswith("g/pos")] == ["g/pos/2"]
    convolutions = shapes(OTHERS["cnn"], backward=True)
    assert convolutions.folded() == convolutions, "none is like another"
    for table in (rows, layers):
        for column in (2, 3, 4):
            assert sum(row[column] for row in table.folded()) == table.totals[column - 2]


@pytest.mark.parametrize(
    ("formula", "sizes", "work"),
    [
        ("bik, bkj -> bij", [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        ("bd,bd->b", [(6, 3), (1, 3)], 6 * 3),
        ("...d,...d->...", [(2, 6, 3), (6, 3)], 2 * 6 * 3),
        ("i...k,kj->i...j", [(2, 7, 3), (3, 5)], 2 * 7 * 3 * 5),
    ],
)
def test_the_work_of_an_einsum_is_the_product_of_the_lengths_of_its_axes(formula, sizes, work):
    assert einsum_work(formula, *map(np.empty, sizes)) == work


def test_the_work_of_a_tensordot_and_of_a_product_in_batches():
    with Run():
        a, b = (watched(np.empty(shape), "input") for shape in ((2, 3, 4), (4, 5)))
        assert xp_of(a).tensordot(a, b, axes=1).node.work == (a @ b).node.work == 2 * 3 * 4 * 5
