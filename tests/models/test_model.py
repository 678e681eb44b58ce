"""The interface between models and all that trains and examines them: the table MODELS, batches and tasks."""

import dataclasses
import json

import numpy as np
import pytest

import tinyvit
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.errors import DataError, UsageError
from tinyvit.gradcheck import gradcheck
from tinyvit.layers.pool import WITHOUT_CLASS_TOKEN
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import ViTConfig
from tinyvit.models.convstem import ConvStemConfig
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.masked import MaskedConfig, patch_colours
from tinyvit.models.model import (
    MODELS,
    SEQUENCE_MODELS,
    check_parameters,
    model_named,
    model_of,
    name_of,
    parameter_count,
)
from tinyvit.models.swin import SwinConfig
from tinyvit.models.task import check_batch

VIT = ViTConfig(image=4, channels=2, patch=2, dim=4, depth=1, heads=2, mlp_dim=3, classes=5, dropout=0.2, gelu="tanh")
CONFIGS = {
    "vit": VIT,
    "cnn": CNNConfig(image=3, channels=2, classes=5, widths=(3, 4)),
    "swin": SwinConfig(
        image=4,
        channels=2,
        classes=5,
        patch=1,
        dim=4,
        depths=(2, 1),
        heads=(2, 4),
        window=2,
        drop_path=0.4,
        gelu="tanh",
    ),
    "hybrid": HybridConfig(
        VIT.changed(image=1, patch=1), image=9, channels=2, units=(1,), width=4, groups=2, standardise="var"
    ),
    "convstem": ConvStemConfig(VIT.changed(image=1, patch=1), image=7, channels=2, widths=(3, 6)),
    "masked": MaskedConfig(dataclasses.replace(VIT, channels=1), corrupted=0.75),
}
OTHER = {  # a setting of each, changed
    "vit": dict(position="2d"),
    "cnn": dict(widths=[2, 3]),
    "swin": dict(window=1),
    "hybrid": dict(width=8, position="2d"),
    "convstem": dict(widths=[3, 4], position="2d"),
    "masked": dict(corrupted=1, pool="mean"),
}
VIEWS = {"attention", "patterns", "windows", "pool", "grid", "filters", "blocks", "cut", "stream", "encoder"}
every_model = pytest.mark.parametrize("name", MODELS)
B = 3


def batch_for(name):
    config = CONFIGS[name]
    images = np.random.default_rng(0).uniform(-1, 1, (B, config.image, config.image, config.channels))
    batch = {"images": images, "labels": np.array([1, 4, 0])}
    return {key: batch[key] for key in MODELS[name].task.arrays(config)}


def drawn(name, **options):
    """A model, its configuration, random parameters, a batch with what is drawn for a step, and the masks."""
    model, config = MODELS[name], CONFIGS[name]
    batch, masks = model.draw(np.random.default_rng(1), batch_for(name), config, dtype=np.float64, **options)
    return model, config, randomised(model.init(None, config)), batch, masks


def test_every_model_is_tested():
    assert set(MODELS) == set(CONFIGS) == set(OTHER)


@every_model
def test_a_configuration_says_which_model_it_is_of(name):
    config = CONFIGS[name]
    assert name_of(config) == name and model_of(config) is MODELS[name] is model_named(name)
    assert MODELS[name].title.startswith(("a ", "an "))


def test_an_unknown_model_is_refused_in_one_line():
    with pytest.raises(UsageError) as error:
        model_named("vgg")
    assert (
        str(error.value)
        == f"no model is named 'vgg' in this version: expected one of {', '.join(MODELS | SEQUENCE_MODELS)}"
    )


@every_model
def test_there_and_back_through_json(name):
    """So a configuration comes to a worker, and out of a file."""
    config = CONFIGS[name]
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    for found in (type(config).from_dict(values), type(config)(**values)):
        assert found == config and hash(found) == hash(config)
    with pytest.raises(UsageError) as error:
        type(config).from_dict(values | {"dims": 8})
    assert str(error.value).startswith(f"not a {type(config).__name__}: unknown ['dims'], expected some of ")


@every_model
def test_settings_have_values_and_can_be_changed(name):
    config = CONFIGS[name]
    settings, values = config.settings(), config.values()
    assert settings.keys() == values.keys()
    for setting, (where, kind) in settings.items():
        assert f"    {setting} : " in where.__doc__, f"{setting} is not described"
        assert isinstance(values[setting], kind)
    assert config.changed() == config == config.changed(**values)
    changed = config.changed(**OTHER[name])
    difference = {setting: value for setting, value in changed.values().items() if value != values[setting]}
    assert {key: list(value) if type(value) is tuple else value for key, value in difference.items()} == OTHER[name]
    with pytest.raises(UsageError, match="image is 0: expected a whole number"):
        config.changed(image=0)


@every_model
def test_a_configuration_for_the_data_of_a_vits(name):
    made = MODELS[name].preset(VIT)
    assert type(made) is MODELS[name].config and (made.image, made.channels) == (VIT.image, VIT.channels)
    if "labels" in MODELS[name].task.arrays(made):
        assert made.classes == VIT.classes


@every_model
def test_parameters_are_counted_without_making_any(rng, name):
    p = MODELS[name].init(rng, CONFIGS[name])
    assert parameter_count(CONFIGS[name]) == tinyvit.parameter_count(CONFIGS[name]) == trees.count(p)
    check_parameters(p, CONFIGS[name], "the model")
    with pytest.raises(UsageError, match=r"^what it is: head/w is absent, the model expects \[[48], \d\]$"):
        check_parameters(p | {"head": {"b": p["head"]["b"]}}, CONFIGS[name], "what it is")


@every_model
def test_one_seed_gives_one_model(name):
    first, second, other = (MODELS[name].init(np.random.default_rng(seed), CONFIGS[name]) for seed in (1, 1, 2))
    assert_same_bits(first, second)
    assert any(not np.array_equal(a, b) for a, b in zip(*map(trees.leaves, (first, other)), strict=True))


@every_model
@pytest.mark.parametrize("all_rows", [True, False])
def test_a_step_as_training_takes_it(name, all_rows):
    model, config, p, batch, masks = drawn(name, all_rows=all_rows)
    y, c = model.forward(batch, p, config, masks=masks, all_rows=all_rows)
    assert y.shape == (B, *model.task.output(config))
    assert batch["labels"].shape == y.shape[:-1] and batch["labels"].max() < y.shape[-1]
    total, c_loss = model.task.loss(y, batch, label_smoothing=0.1)
    dy = model.task.loss_backward(1 / model.task.count(batch, config), c_loss)
    assert np.shape(total) == () and dy.shape == y.shape
    dbatch, g = model.backward(dy, p, c, config)
    assert {key: array.shape for key, array in dbatch.items()} == {"images": batch["images"].shape}
    assert {key: leaf.shape for key, leaf in trees.walk(g, p)} == {key: leaf.shape for key, leaf in trees.walk(p)}
    assert_same_bits(tinyvit.forward(batch, p, config, masks=masks, all_rows=all_rows), (y, c))
    assert_same_bits(tinyvit.backward(dy, p, c, config), (dbatch, g))


@every_model
def test_an_evaluation_as_training_asks_for_it(name):
    """Nothing is dropped, and nothing is kept for a backward pass; the scores are sums with their counts."""
    model, config, p, batch, masks = drawn(name, training=False)
    assert not set(masks) & {"stem", "blocks"}
    y, _ = model.forward(batch, p, config, masks=masks, all_rows=False, keep_cache=False)
    assert_close(y, model.forward(batch, p, config, masks=masks)[0])
    score, count = model.task.score(y, batch), model.task.count(batch, config)
    assert tuple(score) == model.task.scores
    assert {of for _, of in score.values()} == {count}
    assert score["loss"][0] == pytest.approx(float(model.task.loss(y, batch)[0]))
    right = [label == row.argmax() for label, row in zip(batch["labels"].flat, y.reshape(count, -1), strict=True)]
    assert score["accuracy"][0] == sum(right)
    if model.task.answer:
        assert model.task.answer(y, config).tolist() == [row.argmax() for row in y]


@every_model
def test_gradients_of_the_tasks_loss_together_with_the_model(name):
    """From the mean loss, with label smoothing, to every parameter and every pixel."""
    model, config, p, batch, masks = drawn(name)
    count = model.task.count(batch, config)

    def loss(images, p):
        y, c = model.forward(batch | {"images": images}, p, config, masks=masks)
        total, c_loss = model.task.loss(y, batch, label_smoothing=0.1)
        return total / count, {"model": c, "loss": c_loss}

    def loss_backward(dloss, p, c):
        dy = model.task.loss_backward(dloss / count, c["loss"])
        dbatch, g = model.backward(dy, p, c["model"], config)
        return dbatch["images"], g

    report = gradcheck(loss, loss_backward, batch["images"], p)
    assert report.ok, f"\n{report}"


@every_model
def test_micro_batches_of_unequal_size_add_up_to_the_batch(name):
    model, config, p, batch, masks = drawn(name)
    count = model.task.count(batch, config)

    def part(rows):
        some, drawn_for_some = ({key: trees.map(lambda x: x[rows], x) for key, x in d.items()} for d in (batch, masks))
        y, c = model.forward(some, p, config, masks=drawn_for_some)
        total, c_loss = model.task.loss(y, some, label_smoothing=0.1)
        dy = model.task.loss_backward(1 / count, c_loss)
        return [total, model.task.count(some, config), model.task.score(y, some), model.backward(dy, p, c, config)[1]]

    total, counted, score, g = part(slice(None))
    first, second = part(slice(1)), part(slice(1, B))
    assert first[1] != second[1] and first[1] + second[1] == counted == count
    assert float(first[0] + second[0]) == pytest.approx(float(total), rel=1e-12)
    for key, (value, of) in score.items():
        assert sum(one[2][key][0] for one in (first, second)) == pytest.approx(value)
        assert sum(one[2][key][1] for one in (first, second)) == of
    assert_close(trees.map(lambda a, b: a + b, first[3], second[3]), g)


def test_colours_are_found_in_the_images_that_are_given_and_no_label_is_read():
    model, config, batch = MODELS["masked"], CONFIGS["masked"], batch_for("masked")

    def draw(**arrays):
        return model.draw(np.random.default_rng(1), batch | arrays, config)

    (found, masks), (other, other_masks) = draw(), draw(images=-batch["images"], labels=np.array([1, 4, 0]))
    assert_same_bits(masks, other_masks)
    assert_same_bits(found["labels"] + other["labels"], np.full((B, 3), 7))  # the level, and 7 - level
    assert_same_bits(found["labels"], np.take_along_axis(patch_colours(batch["images"], 2), masks["chosen"], axis=1))


@every_model
def test_a_batch_as_the_model_takes_it_is_accepted_with_more_arrays_than_that(name):
    batch = batch_for(name) | {"names": np.array(["a", "b", "c"])}
    found = check_batch(batch, CONFIGS[name], MODELS[name].task)
    assert found.keys() == batch.keys()
    assert_same_bits(found["images"], batch["images"])
    if "labels" in MODELS[name].task.arrays(CONFIGS[name]):
        found = check_batch(batch | {"labels": batch["labels"].astype(np.uint8)}, CONFIGS[name], MODELS[name].task)
        assert found["labels"].dtype == np.int64


IMAGES = np.zeros((B, 4, 4, 2), np.float32)
BAD = {  # what is changed in a batch of the ViT, and the line
    "no labels": (dict(labels=None), "the data has images: the model takes images, labels, so labels is missing"),
    "no images": (dict(images=None), "the data has labels: the model takes images, labels, so images is missing"),
    "no example": (
        dict(images=IMAGES[:0], labels=np.zeros(0, int)),
        "the data has no example: expected at least one",
    ),
    "larger images": (
        dict(images=np.zeros((B, 5, 4, 2))),
        "the data: images are [3, 5, 4, 2], the model and 3 examples expect [3, 4, 4, 2]",
    ),
    "grey images": (
        dict(images=IMAGES[..., 0]),
        "the data: images are [3, 4, 4], the model and 3 examples expect [3, 4, 4, 2]",
    ),
    "too few labels": (dict(labels=np.array([1, 2])), "the data: labels are [2], the model and 3 examples expect [3]"),
    "a list of images": (dict(images=[1, 2, 3]), "the data: images are None, the model and 3 examples expect"),
}


@pytest.mark.parametrize("changes, line", BAD.values(), ids=BAD)
def test_a_batch_that_does_not_fit_is_refused_in_one_line(changes, line):
    batch = {key: array for key, array in (batch_for("vit") | changes).items() if array is not None}
    with pytest.raises(DataError) as error:
        check_batch(batch, VIT, MODELS["vit"].task)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


@pytest.mark.parametrize("labels", [np.array([0, 1, 5]), np.array([0, -1, 2]), np.array([0.5, 1, 2])], ids=str)
def test_labels_that_are_none_are_refused_in_one_line(labels):
    with pytest.raises(DataError) as error:
        check_batch(batch_for("vit") | {"labels": labels}, VIT, MODELS["vit"].task)
    assert "label" in str(error.value) and "\n" not in str(error.value)


@every_model
def test_what_can_be_looked_at(name):
    """Attention maps [B, h, T, T], whose rows sum to 1 and are zero where the pattern is; the readout's input."""
    model, config, p, batch, masks = drawn(name, training=False)
    _, c = model.forward(batch, p, config, masks=masks)
    assert set(model.views) <= VIEWS
    if not model.views:
        return
    maps, patterns = model.views["attention"](c, config), model.views["patterns"](config)
    (last,) = model.views["attention"](c, config, last=True)
    np.testing.assert_array_equal(last, maps[-1])
    for a, allowed in zip(maps, patterns, strict=True):
        assert a.shape == (B, a.shape[1], *allowed.shape)
        np.testing.assert_allclose(a.sum(axis=-1), 1, rtol=1e-5)
        assert not a[:, :, ~allowed].any()
    rows, columns = model.views["grid"](config)
    assert len(maps[0][0, 0]) == rows * columns + (model.views["pool"](config) not in WITHOUT_CLASS_TOKEN)
    if "encoder" in model.views:
        encoder = model.views["encoder"](config)
        assert isinstance(encoder, ViTConfig) and encoder.grid_size == (rows, columns)
        assert [a.shape[1:] for a in maps] == [(encoder.heads, encoder.tokens, encoder.tokens)] * encoder.depth
    if "cut" in model.views:
        blocks = model.views["blocks"](config)
        assert blocks == len(maps)
        whole = model.views["stream"](c, config)
        _, c_cut = model.forward(batch, *model.views["cut"](p, config, blocks), masks=masks)
        np.testing.assert_array_equal(model.views["stream"](c_cut, config), whole)
