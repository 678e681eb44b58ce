"""Sequence models in the training of all: the task, the same bits for any workers, what is refused."""

import numpy as np
import pytest

import tinyvit
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.data.text import joined, padded, read_text
from tinyvit.errors import DataError, UsageError
from tinyvit.models import bert
from tinyvit.models.bert import BERTConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.model import SEQUENCE_MODELS, model_of, name_of
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.models.writing import write_gpt
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.token_cross_entropy import NO_TARGET
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.recipe import Recipe
from tinyvit.training.writing import look_at_writing

SIZES = dict(source_tokens=9, target_tokens=9, source_length=4, target_length=5)
STACK = dict(dim=16, heads=2, mlp_dim=32, depth=1)
CONFIGS = {
    "seq2seq": Seq2SeqConfig(**SIZES, dim=24),
    "attention": AttentionConfig(**SIZES, dim=24, score="dot"),
    "transformer": TransformerConfig(**SIZES, **STACK),
    "gpt": GPTConfig(tokens=9, length=9, **STACK),
    "bert": BERTConfig(tokens=9, length=9, **STACK, norm="pre", corrupted=0.5),
}
RECIPE = Recipe(epochs=2, batch=32, micro_batch=16, learning_rate=5e-3, ema_decay=0.9)
every_model = pytest.mark.parametrize("name", SEQUENCE_MODELS)
of_pairs = pytest.mark.parametrize("name", ["seq2seq", "attention", "transformer"])
of_one_stack = pytest.mark.parametrize("name", ["gpt", "bert"])


def copies(count, seed=0):
    """Sequences of one to four tokens, to be copied."""
    rng = np.random.default_rng(seed)
    source = rng.integers(3, 9, (count, 4))
    length = rng.integers(1, 5, count)
    source[np.arange(4) >= length[:, None]] = PADDING
    target = np.concatenate([source, np.full((count, 1), PADDING)], axis=1)
    target[np.arange(count), length] = END
    return {"source": source, "target": target}


def sequences(count, seed=0):
    """One to three tokens, ANSWER, the tokens again, END."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(5, 9, n).tolist() for n in rng.integers(1, 4, count)]
    return {"tokens": padded([[*row, ANSWER, *row, END] for row in rows], 9)}


def data_for(name, count, seed=0):
    return sequences(count, seed) if name in ("gpt", "bert") else copies(count, seed)


def fit(name, data, **options):
    return tinyvit.fit(CONFIGS[name], data, recipe=RECIPE, progress=False, **options)


def test_every_model_is_tested():
    assert CONFIGS.keys() == SEQUENCE_MODELS.keys()
    for name, config in CONFIGS.items():
        assert name_of(config) == name


def test_it_learns_to_copy():
    recipe = Recipe(epochs=12, batch=32, micro_batch=32, learning_rate=1e-2, ema_decay=0.95)
    config = AttentionConfig(**SIZES | dict(source_length=2, target_length=3), dim=24, score="dot")
    parts = copies(1200), copies(200, seed=1)
    for part in parts:  # one or two tokens
        part["source"], part["target"] = part["source"][:, :2], part["target"][:, :3]
        part["target"][(part["target"] != PADDING).all(axis=1) & (part["target"][:, 2] != END), 2] = END
    _, history = tinyvit.fit(config, parts, recipe=recipe, progress=False)
    assert history[-1]["test_accuracy"] > 0.95 and history[-1]["test_token_accuracy"] > 0.98


@every_model
def test_the_bits_do_not_depend_on_the_workers(name):
    data = data_for(name, 96), data_for(name, 20, seed=1)
    (p, _), (q, _) = (fit(name, data, workers=workers) for workers in (1, 2))
    assert_same_bits(p, q)


@every_model
def test_the_gradient_is_that_of_the_mean_over_all_tokens(name, monkeypatch):
    """Micro-batches with unequally many tokens, each without the columns that are padding alone."""
    config, batch = CONFIGS[name], data_for(name, 7)
    p = randomised(model_of(config).init(None, config), noise=0.3)
    if name in ("gpt", "bert"):
        batch["tokens"][4:] = padded([[5, ANSWER, 6, END]] * 3, 9)
    else:
        batch["source"][4:], batch["target"][4:] = 0, 0
        batch["source"][4:, 0], batch["target"][4:, :2] = 5, (5, END)
    if name == "bert":  # what is hidden is drawn for each micro-batch: where all is hidden, nothing is
        config = config.changed(corrupted=1.0)
        monkeypatch.setattr(bert, "MASKED", 1.0)
    (loss, gradient), (expected_loss, expected) = (
        batch_gradient(batch, p, config, Recipe(micro_batch=size), seed=0, step=1) for size in (4, 7)
    )
    assert_close([loss, gradient], [expected_loss, expected], 1e-12)


@every_model
def test_the_loss_may_be_smoothed(name):
    """A share of it is the mean surprise at all tokens, wherever one is asked."""
    config, batch = CONFIGS[name], data_for(name, 6)
    model = model_of(config)
    batch, _ = model.draw(np.random.default_rng(0), batch, config, training=False)
    y = np.random.default_rng(1).normal(size=(6, *model.task.output(config)))
    none = NO_TARGET if "targets" in batch else PADDING
    asked = next(batch[key] for key in ("targets", "target", "tokens") if key in batch) != none
    surprise = np.log(np.exp(y).sum(axis=-1, keepdims=True)) - y
    plain, smooth = (model.task.loss(y, batch, label_smoothing=share)[0] for share in (0.0, 0.3))
    assert_close(smooth, 0.7 * plain + 0.3 * surprise[asked].mean(axis=-1).sum(), 1e-12)


@pytest.mark.parametrize("name", ["transformer", "gpt", "bert"])
def test_dropout_is_for_training_and_reaches_the_scores(name):
    config, batch = CONFIGS[name].changed(dropout=0.5), data_for(name, 6)
    model = model_of(config)
    p = randomised(model.init(None, config))
    drawn, masks = model.draw(np.random.default_rng(0), batch, config)
    dropped, plain = (model.forward(drawn, p, config, masks=some)[0] for some in (masks, NO_MASKS))
    assert abs(dropped - plain).max() > 0.01
    assert model.draw(np.random.default_rng(0), batch, config, training=False)[1] is NO_MASKS


@of_pairs
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


@of_pairs
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


@of_pairs
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
    config, batch = CONFIGS[name], data_for(name, 3)
    p = model_of(config).init(np.random.default_rng(0), config)
    y, c = tinyvit.forward(batch, p, config)
    dbatch, g = tinyvit.backward(np.ones_like(y), p, c, config)
    assert y.shape == (3, *model_of(config).task.output(config)) and not dbatch
    assert trees.named(g).keys() == trees.named(p).keys()
    with pytest.raises(UsageError, match=r"expected a batch by name, \{'(source|tokens)': "):
        tinyvit.forward({"images": y}, p, config)


@of_one_stack
def test_scores_of_one_sequence(name):
    """The loss counts what the objective asks; right is a whole answer, whatever is made of its question."""
    config, rows = CONFIGS[name], np.array([[5, 6, ANSWER, 6, END, 0], [7, 8, ANSWER, 8, END, 0]])
    batch = {"tokens": rows}
    if name == "bert":
        batch = model_of(config).draw(None, batch, config, training=False)[0]
        assert batch["tokens"].tolist() == [[5, 6, ANSWER, HIDDEN, END, 0], [7, 8, ANSWER, HIDDEN, END, 0]]
    y = 10 * np.eye(9)[rows]
    y[0, 0], y[1, 3] = 10 * np.eye(9)[7], 10 * np.eye(9)[7]  # of a question, and of an answer
    scores = model_of(config).task.score(y, batch)
    tokens = {"gpt": 4, "bert": 2}[name]  # of the answers; BERT is not asked for their ends
    assert scores["accuracy"] == (1, 2) and scores["token_accuracy"] == (tokens - 1, tokens)
    assert scores["loss"][1] == {"gpt": 10, "bert": 2}[name] == model_of(config).task.count(batch, config)


def test_bert_is_asked_for_some_tokens_in_training_and_the_answer_in_an_evaluation():
    config, batch = CONFIGS["bert"], sequences(40)
    model = model_of(config)
    drawn, _ = model.draw(np.random.default_rng(0), batch, config)
    asked = drawn["targets"] != NO_TARGET
    assert (asked & (batch["tokens"][:, : asked.shape[1]] == ANSWER)).sum() == 0
    assert asked.sum() == model.task.count(batch, config) == model.task.count(drawn, config)
    questions = asked & (np.cumsum(batch["tokens"][:, : asked.shape[1]] == ANSWER, axis=1) == 0)
    assert questions.any() and (asked & ~questions).any()
    plain = {"tokens": padded([[5, 6, 7, END]], 9)}
    drawn, _ = model.draw(np.random.default_rng(0), plain, config, training=False)
    assert (drawn["targets"] != NO_TARGET).sum() == 2, "a text without an answer: half of three tokens"
    for training in (True, False):
        drawn, _ = model.draw(np.random.default_rng(0), batch, config.changed(asked="answer"), training=training)
        hidden = drawn["tokens"] == HIDDEN
        width = hidden.shape[1]
        np.testing.assert_array_equal(
            hidden,
            (np.cumsum(batch["tokens"] == ANSWER, axis=1) > 0)[:, :width] & (batch["tokens"][:, :width] > HIDDEN),
        )
        np.testing.assert_array_equal(drawn["targets"], np.where(hidden, batch["tokens"][:, :width], NO_TARGET))
        count = model.task.count(batch, config.changed(asked="answer"))
        assert count == hidden.sum() == model.task.count(drawn, config)


@every_model
def test_what_it_writes_alone_is_what_its_scores_say(name):
    """Whole answers are as many by teacher forcing as by greedy decoding, where none but right tokens came before."""
    config, test = CONFIGS[name], data_for(name, 60, seed=1)
    epochs = 5 if name == "gpt" else 20  # which learns soonest: some answers are to be wrong
    recipe = Recipe(epochs=epochs, batch=32, micro_batch=32, learning_rate=1e-2, ema_decay=0.9)
    p, _ = tinyvit.fit(config, (data_for(name, 400), test), recipe=recipe, workers=1, progress=False)
    writing = look_at_writing(test, p, config)
    assert 0 < writing.whole.mean() < 1
    assert writing.whole.mean() == writing.scores["accuracy"] == writing.total()["accuracy"]
    rows = writing.rows()
    assert sum(row["count"] for row in rows) == 60 and [row["length"] for row in rows] == sorted(
        {row["length"] for row in rows}
    )
    total = writing.total()
    if name != "bert":
        assert total["forced_token_accuracy"] == pytest.approx(writing.scores["token_accuracy"])
        assert total["token_accuracy"] <= total["forced_token_accuracy"]
    else:
        assert total["token_accuracy"] == pytest.approx(writing.scores["token_accuracy"])
    places = writing.places()
    weighed = sum(place["count"] * place["token_accuracy"] for place in places) / sum(p["count"] for p in places)
    assert weighed == pytest.approx(total["token_accuracy"])
    assert places[0]["count"] == 60


@pytest.mark.parametrize("beam", [None, 3])
def test_gpt_goes_on_behind_questions_of_unequal_length(beam):
    """A batch against each alone."""
    config = CONFIGS["gpt"]
    p = randomised(model_of(config).init(None, config), noise=0.5)
    rows = [[5, ANSWER], [5, 6, 7, ANSWER], [8, 6, ANSWER]]
    together = write_gpt({"tokens": padded(rows, 4)}, p, config, beam=beam)
    for row, written in zip(rows, together, strict=True):
        alone = write_gpt({"tokens": np.array([row])}, p, config, beam=beam)[0]
        alone, written = (tokens[tokens != PADDING][: config.length - 4] for tokens in (alone, written))
        np.testing.assert_array_equal(written, alone)


def test_writing_never_looks_at_the_answer():
    for name in SEQUENCE_MODELS:
        config, test = CONFIGS[name], data_for(name, 12, seed=1)
        p = randomised(model_of(config).init(None, config), noise=0.3)
        other = {key: array.copy() for key, array in test.items()}
        answers = other.get("target", other.get("tokens"))
        hidden = answers > HIDDEN
        if "tokens" in other:
            hidden &= np.cumsum(answers == ANSWER, axis=1) > 0
        answers[hidden] = 5 + (answers[hidden] - 4) % 4
        write = model_of(config).views["write"]
        np.testing.assert_array_equal(write(test, p, config), write(other, p, config))


@pytest.mark.parametrize("name", ["transformer", "gpt"])
@pytest.mark.parametrize("beam", [None, 4])
def test_writing_is_counted_by_the_length_of_the_question_without_its_end(name, beam):
    loaded = read_text("copy", length=(2, 3), examples=60)
    loaded = joined(loaded) if name == "gpt" else loaded
    config = model_of(CONFIGS[name]).preset(loaded.dataset).changed(**STACK)
    p = randomised(model_of(config).init(None, config), noise=1.0)
    writing = look_at_writing(loaded.test, p, config, beam=beam)
    assert [row["length"] for row in writing.rows()] == [2, 3]
    written = model_of(config).views["write"](loaded.test, p, config, beam=beam)
    for mine, row in zip(writing.written, written, strict=True):
        np.testing.assert_array_equal(mine[mine != PADDING], row[row != PADDING])
