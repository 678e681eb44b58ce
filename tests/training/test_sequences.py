"""Sequence models in the training of all: the task, the same bits for any workers, what is refused."""

import numpy as np
import pytest

import tinyvit
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.errors import DataError, UsageError
from tinyvit.models.model import SEQUENCE_MODELS, model_of, name_of
from tinyvit.models.seq2seq import Seq2SeqConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.ops.tokens import END, PADDING
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.recipe import Recipe

SIZES = dict(source_tokens=9, target_tokens=9, source_length=4, target_length=5)
CONFIGS = {
    "seq2seq": Seq2SeqConfig(**SIZES, dim=24, score="dot"),
    "transformer": TransformerConfig(**SIZES, dim=16, heads=2, mlp_dim=32, depth=1),
}
RECIPE = Recipe(epochs=2, batch=32, micro_batch=16, learning_rate=5e-3, ema_decay=0.9)
every_model = pytest.mark.parametrize("name", SEQUENCE_MODELS)


def copies(count, seed=0):
    """Sequences of one to four tokens, to be copied."""
    rng = np.random.default_rng(seed)
    source = rng.integers(3, 9, (count, 4))
    length = rng.integers(1, 5, count)
    source[np.arange(4) >= length[:, None]] = PADDING
    target = np.concatenate([source, np.full((count, 1), PADDING)], axis=1)
    target[np.arange(count), length] = END
    return {"source": source, "target": target}


def fit(name, data, **options):
    return tinyvit.fit(CONFIGS[name], data, recipe=RECIPE, progress=False, **options)


def test_every_model_is_tested():
    assert CONFIGS.keys() == SEQUENCE_MODELS.keys()
    for name, config in CONFIGS.items():
        assert name_of(config) == name


def test_it_learns_to_copy():
    recipe = Recipe(epochs=12, batch=32, micro_batch=32, learning_rate=1e-2, ema_decay=0.95)
    config = Seq2SeqConfig(**SIZES | dict(source_length=2, target_length=3), dim=24, score="dot")
    parts = copies(1200), copies(200, seed=1)
    for part in parts:  # one or two tokens
        part["source"], part["target"] = part["source"][:, :2], part["target"][:, :3]
        part["target"][(part["target"] != PADDING).all(axis=1) & (part["target"][:, 2] != END), 2] = END
    _, history = tinyvit.fit(config, parts, recipe=recipe, progress=False)
    assert history[-1]["test_accuracy"] > 0.95 and history[-1]["test_token_accuracy"] > 0.98


@every_model
def test_the_bits_do_not_depend_on_the_workers(name):
    data = copies(96), copies(20, seed=1)
    (p, _), (q, _) = (fit(name, data, workers=workers) for workers in (1, 2))
    assert_same_bits(p, q)


@every_model
def test_the_gradient_is_that_of_the_mean_over_all_tokens(name):
    """Micro-batches with unequally many tokens, each without the columns that are padding alone."""
    config = CONFIGS[name]
    p, batch = randomised(model_of(config).init(None, config), noise=0.3), copies(7)
    batch["source"][4:], batch["target"][4:] = 0, 0
    batch["source"][4:, 0], batch["target"][4:, :2] = 5, (5, END)
    (loss, gradient), (expected_loss, expected) = (
        batch_gradient(batch, p, config, Recipe(micro_batch=size), seed=0, step=1) for size in (4, 7)
    )
    assert_close([loss, gradient], [expected_loss, expected], 1e-12)


@every_model
def test_scores(name):
    config = CONFIGS[name]
    batch = {"source": np.array([[3, 4, 0, 0]] * 3), "target": np.array([[3, 4, END, 0, 0]] * 3)}
    y = 10 * np.eye(9)[batch["target"]]
    y[1, 1] = 10 * np.eye(9)[7]  # one token wrong
    y[2, 4] = 10 * np.eye(9)[7]  # behind the end: nothing is asked there
    scores = model_of(config).task.score(y, batch)
    assert scores["accuracy"] == (2, 3) and scores["token_accuracy"] == (8, 9)
    assert scores["loss"][0] == pytest.approx(9 * np.log(1 + 8 * np.exp(-10)) + 10, rel=1e-9)
    assert model_of(config).task.count(batch, config) == 9


@pytest.mark.parametrize(
    "change, words",
    [
        ({"target": None}, "the training data has source: the model takes source, target, so target is missing"),
        ({"source": np.zeros((6, 7), int)}, r"source are \[6, 7\], the model and 6 examples expect \[6, 4\]"),
        ({"source": np.full((6, 4), 9)}, r"the training data: source: found 9 at \[0, 0\], expected 0 to 8"),
        ({"target": np.zeros((6, 5))}, "the training data: target: found float64 of shape"),
    ],
)
def test_data_that_are_none(change, words):
    data = {name: value for name, value in (copies(6) | change).items() if value is not None}
    with pytest.raises(DataError, match=words):
        fit("seq2seq", (data, copies(2)))


@every_model
def test_source_and_target_have_their_own_vocabularies(name):
    config = CONFIGS[name].changed(source_tokens=7, target_tokens=8)
    data = copies(6)
    data |= {part: np.where(data[part] > 4, 3, data[part]) for part in data}
    for part, largest in (("source", 6), ("target", 7)):
        wrong = data[part].copy()
        wrong[0, 0] = largest + 1
        words = f"the training data: {part}: found {largest + 1} at .0, 0., expected 0 to {largest}"
        with pytest.raises(DataError, match=words):
            tinyvit.fit(config, (data | {part: wrong}, data), recipe=RECIPE, progress=False)


@every_model
def test_a_batch_in_training_ends_with_its_longest_sequence(name):
    """No later, which would be work for nothing, and no sooner."""
    config = CONFIGS[name]
    batch = {
        "source": np.array([[3, 0, 0, 0], [4, 5, 6, 0]]),
        "target": np.array([[3, END, 0, 0, 0], [4, 5, 6, END, 0]]),
    }
    found, _ = model_of(config).draw(np.random.default_rng(0), batch, config)
    np.testing.assert_array_equal(found["source"], batch["source"][:, :3])
    np.testing.assert_array_equal(found["target"], batch["target"][:, :4])


def test_images_are_not_changed_where_there_are_none():
    with pytest.raises(UsageError, match="shift changes images: a Transformer has none, expected 0"):
        tinyvit.fit(CONFIGS["transformer"], (copies(6), copies(2)), recipe=Recipe(shift=1), progress=False)


@every_model
def test_it_is_saved_and_loaded(name, tmp_path):
    config = CONFIGS[name]
    p = model_of(config).init(np.random.default_rng(0), config)
    tinyvit.save(tmp_path / "model.npz", p, config)
    loaded, found = tinyvit.load(tmp_path / "model.npz")
    assert found == config
    assert_same_bits(loaded, p)


@every_model
def test_forward_and_backward_find_the_model(name):
    config, batch = CONFIGS[name], copies(3)
    p = model_of(config).init(np.random.default_rng(0), config)
    y, c = tinyvit.forward(batch, p, config)
    dbatch, g = tinyvit.backward(np.ones_like(y), p, c, config)
    assert y.shape == (3, 5, 9) and not dbatch
    assert trees.named(g).keys() == trees.named(p).keys()
    with pytest.raises(UsageError, match=r"expected a batch by name, \{'source': source, 'target': target\}"):
        tinyvit.forward({"images": batch["source"]}, p, config)
