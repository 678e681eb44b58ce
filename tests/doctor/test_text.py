"""The doctor of models of text: planted faults are found, by the check that is meant for them; health is none."""

import dataclasses
import functools

import numpy as np
import pytest

from tinyvit import trees
from tinyvit.data.text import joined, read_text
from tinyvit.doctor import text_data, text_model
from tinyvit.doctor.examine import examination, examine
from tinyvit.models import bert, gpt, seq2seq, transformer
from tinyvit.models.model import ALL_MODELS, SEQUENCE_MODELS, model_of
from tinyvit.ops.patterns import full
from tinyvit.ops.tokens import END, PADDING
from tinyvit.training.loop import fit
from tinyvit.training.recipe import recipe_of
from tinyvit.training.writing import Writing

ON_DATA = ("vocabulary", "lengths", "repeats", "leakage", "answers")
OF_THE_MODEL = ("first loss", "input", "future", "gradients", "sizes")
RULES = {
    "copy": dict(length=(3, 7), symbols=8),
    "reverse": {},
    "sort": dict(length=6),
    "numerals": dict(largest=10_000),
    "numerals-back": dict(largest=10_000),
    "sums": {},
}


@functools.cache
def loaded(rule="copy", one_stack=False, examples=600):
    data = read_text(rule, examples=examples, **RULES[rule])
    return joined(data) if one_stack else data


@functools.cache
def case(name, rule="copy"):
    """A small model, and data for it."""
    model = SEQUENCE_MODELS[name]
    data = loaded(rule, "tokens" in model.task.arrays(model.config()))
    small = dict(dim=16) | (dict(depth=1, heads=2, mlp_dim=32) if "depth" in model.config.settings() else {})
    return model.preset(data.dataset).changed(**small), data


def findings(name, *checks, rule="copy", train=None, test=None, **how):
    """{check: words} of what is found; train and test change the parts."""
    config, data = case(name, rule)
    parts = [(change or (lambda part: part))(dict(part)) for change, part in ((train, data.train), (test, data.test))]
    how = dict(recipe=recipe_of("copy", name), dataset=data.dataset) | how
    return {finding.check: finding.words for finding in examine(config, tuple(parts), only=checks or None, **how)}


every_model = pytest.mark.parametrize("name", SEQUENCE_MODELS)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["transformer", "gpt"])
def test_data_by_rule_are_no_fault(rule, name):
    for seed in range(3):
        assert findings(name, *ON_DATA, rule=rule, seed=seed) == {}


@every_model
def test_fresh_models_are_no_fault(name):
    for seed in range(2):
        assert findings(name, *OF_THE_MODEL, "overfit", seed=seed) == {}


@every_model
def test_recipes_are_no_fault(name):
    assert findings(name, "learning rate", "clipping") == {}


def test_what_is_looked_at_of_each_model():
    for name in SEQUENCE_MODELS:
        config, data = case(name)
        done = examination(config, (data.train, data.test), recipe=recipe_of("copy", name), only=("gradients", "input"))
        assert [one.check for one in done] == ["input", "gradients"], "in the order in which one would look"
    of = {name: _checks(name) for name in SEQUENCE_MODELS}
    assert {name for name in of if "future" not in of[name]} == {"bert"}
    assert {name for name in of if "attention" not in of[name]} == {"seq2seq"}
    assert {name for name in of if "units" not in of[name]} == {"seq2seq", "attention"}
    assert not {"images", "labels", "classes", "augmentation"} & of["gpt"]


def _checks(name):
    """The names of all checks of a model; none is done."""
    config, data = case(name)
    names = []

    def watch(found):
        names.extend(found)
        return ()

    assert not list(examination(config, (data.train, data.test), recipe=recipe_of("copy", name), watch=watch))
    return {*names}


# ---- faults in the data


def of_others(part):
    """Each question has the answer of another one."""
    return part | {"target": part["target"][np.random.default_rng(0).permutation(len(part["target"]))]}


def leaked(part):
    data = loaded().test
    return {name: np.concatenate([x[: len(x) // 2], data[name]]) for name, x in part.items()}


def repeated(part):
    return {name: np.concatenate([x, x[:100]]) for name, x in part.items()}


def with_two_answers(part):
    """A tenth of the questions once more, each with an answer that is turned round its first two tokens."""
    other = part["target"][:60].copy()
    other[:, :2] = other[:, 1::-1]
    return {
        "source": np.concatenate([part["source"], part["source"][:60]]),
        "target": np.concatenate([part["target"], other]),
    }


def without_token_5(part):
    kept = ~(part["source"] == 5).any(axis=1)
    return {name: x[kept] for name, x in part.items()}


def short(part):
    kept = (part["source"] > END).sum(axis=1) <= 5
    return {name: x[kept] for name, x in part.items()}


def mostly_one(part):
    target = part["target"].copy()
    target[: 2 * len(target) // 3] = target[0]
    return part | {"target": target}


DATA = {
    "leakage": (leaked, None, "leakage", "120 of 120 test questions stand in the training part"),
    "repeats": (repeated, None, "repeats", "100 of 700 training pairs are repeats"),
    "two answers": (with_two_answers, None, "repeats", "training questions have several answers"),
    "new token": (without_token_5, None, "vocabulary", "'c' stands in "),
    "longer": (short, None, "lengths", "are longer than all to learn from (5 tokens)"),
    "one answer": (mostly_one, None, "answers", "67% of the training answers are the same"),
    "training answers of others": (of_others, None, "answers", "the training answers have nothing to do with their"),
    "test answers of others": (None, of_others, "answers", "the test answers have nothing to do with their questions"),
}


@pytest.mark.parametrize("fault", DATA)
def test_faults_in_the_data(fault):
    train, test, check, words = DATA[fault]
    found = findings("transformer", *ON_DATA, train=train, test=test)
    assert words in found.pop(check)
    allowed = {"new token": {"lengths"}, "one answer": {"lengths", "vocabulary"}}.get(fault, set())
    assert found.keys() <= allowed, found


def test_tokens_without_a_data_set_go_by_number():
    assert findings("transformer", "vocabulary", train=without_token_5, dataset=None)["vocabulary"].startswith(
        "token 5"
    )


# ---- faults in the model


def change_init(monkeypatch, name, change):
    """Let a model start otherwise."""
    model = SEQUENCE_MODELS[name]

    def init(rng, config, **how):
        p = model.init(rng, config, **how)
        return p if rng is None else change(p)

    for table in (SEQUENCE_MODELS, ALL_MODELS):
        monkeypatch.setitem(table, name, model._replace(init=init))


def test_embeddings_that_are_too_large(monkeypatch):
    change_init(monkeypatch, "gpt", lambda p: p | {"tokens": {"w": 30 * p["tokens"]["w"]}})
    assert "deviation of 1 / sqrt(dim)" in findings("gpt", "first loss")["first loss"]


def test_a_model_without_positions(monkeypatch):
    change_init(monkeypatch, "bert", lambda p: p | {"pos": 0 * p["pos"]})
    assert "the order of a question's tokens makes no difference" in findings("bert", "input")["input"]


def test_a_decoder_that_does_not_look_at_the_question(monkeypatch):
    def blind(p):
        for block in p["decoder"]:
            block["cross"]["v"] = trees.map(np.zeros_like, block["cross"]["v"])
        return p

    change_init(monkeypatch, "transformer", blind)
    assert "the same for all questions" in findings("transformer", "input")["input"]


@pytest.mark.parametrize("name, module", [("transformer", transformer), ("bert", bert), ("attention", seq2seq)])
def test_padding_that_is_looked_at(monkeypatch, name, module):
    monkeypatch.setattr(module, "no_padding", lambda tokens, source: np.ones(tokens.shape, bool))
    assert "padding changes the scores" in findings(name, "input")["input"]


@pytest.mark.parametrize("name, module", [("gpt", gpt), ("transformer", transformer)])
def test_a_model_that_looks_ahead(monkeypatch, name, module):
    monkeypatch.setattr(module, "causal", full)
    assert "scores depend on tokens that come later" in findings(name, "future")["future"]


@pytest.mark.parametrize("name, module", [("seq2seq", seq2seq), ("transformer", transformer)])
def test_a_target_that_is_not_shifted(monkeypatch, name, module):
    monkeypatch.setattr(module, "shifted", lambda target: target)
    assert "check the causal mask, and that the target is shifted" in findings(name, "future")["future"]


@every_model
def test_a_gradient_that_is_missing(monkeypatch, name):
    module = {"seq2seq": seq2seq, "attention": seq2seq, "transformer": transformer, "gpt": gpt, "bert": bert}[name]
    monkeypatch.setattr(module, "token_embedding_backward", lambda dy, p, c: {"w": np.zeros_like(p["w"])})
    assert "is " in (words := findings(name, "gradients")["gradients"]) and "nearer to the image" not in words


def test_a_head_and_a_layer_that_are_too_narrow():
    config, data = case("gpt")
    config = config.changed(dim=4, heads=2, mlp_dim=3)
    words = [f.words for f in examine(config, (data.train, data.test), recipe=recipe_of("copy"), only=("sizes",))]
    assert len(words) == 3 and "each of the 2 heads is 2 wide" in words[0] and "dim 4 is too narrow" in words[2]


# ---- faults in training


@pytest.mark.parametrize(
    "name, rate, words",
    [("attention", 1.0, "too high"), ("transformer", 1.0, "too high"), ("transformer", 1e-6, "too low")],
)
def test_a_learning_rate_of_quite_another_size(name, rate, words):
    recipe = dataclasses.replace(recipe_of("copy", name), learning_rate=rate)
    assert words in findings(name, "learning rate", recipe=recipe)["learning rate"]


def test_settings_speak_of_pairs():
    recipe = dataclasses.replace(recipe_of("copy", "gpt"), batch=2000)
    assert "exceeds all 562 training pairs" in findings("gpt", "settings", recipe=recipe)["settings"]


@functools.cache
def trained():
    """A Transformer that has learned to copy, and its history."""
    config, data = case("transformer")
    recipe = dataclasses.replace(recipe_of("copy", "transformer"), epochs=60, batch=64, learning_rate=1e-2)
    p, history = fit(config, (data.train, data.test), recipe=recipe, workers=1, progress=False)
    assert history[-1]["test_accuracy"] > 0.8
    return p, history, recipe


TRAINED = ("weights", "units", "attention", "predictions", "progress", "clipping")


def test_a_trained_model_is_no_fault():
    p, history, recipe = trained()
    assert findings("transformer", *TRAINED, p=p, history=history, recipe=recipe) == {}


def test_weights_of_another_run():
    _, history, _ = trained()
    fresh = model_of(case("transformer")[0]).init(np.random.default_rng(9), case("transformer")[0])
    found = findings("transformer", "predictions", p=fresh, history=history)["predictions"]
    assert "is never written where it belongs" in found or "the run's history says" in found
    words = [f.words for f in text_model_findings(fresh, history)]
    assert any("these are other pairs, or other weights" in line for line in words)


def text_model_findings(p, history):
    config, data = case("transformer")
    return examine(
        config, (data.train, data.test), recipe=recipe_of("copy"), p=p, history=history, only=("predictions",)
    )


def test_numbers_that_are_none():
    p, _, _ = trained()
    broken = trees.map(np.array, p)
    broken["target"]["w"][3, 2] = np.nan
    assert "not finite" in findings("transformer", "weights", "predictions", p=broken)["weights"]


@pytest.mark.parametrize(
    "scale, words", [(0.0, "attention is uniform in decoder 0"), (None, "attention has collapsed")]
)
def test_attention_that_asks_nothing(scale, words):
    """Queries that are zero ask nothing; all alike they stare where the keys are largest, and these are by place."""
    p = trees.map(np.array, trained()[0])
    cross = p["decoder"][0]["cross"]
    cross["q"] = trees.map(np.zeros_like, cross["q"])
    if scale is None:
        c_maps = {"decoder 0": np.tile(np.eye(8)[2], (2, 2, 8, 1))}
        found = _attention_findings(c_maps)
    else:
        found = findings("transformer", "attention", p=p)["attention"]
    assert words in found


def _attention_findings(maps, name="transformer", padded=False):
    """Of a model whose attention is this, [2, h, 8, 8]; padded: one text ends early."""
    config, data = case(name)
    batch = {part: np.where(x[:2, :8] == PADDING, 5, x[:2, :8]) for part, x in data.train.items()}
    if padded:
        for x in batch.values():
            x[1, 5:] = PADDING
    model = model_of(config)
    p = model.init(np.random.default_rng(0), config)
    views = model.views | {"maps": lambda c, config: maps}
    with pytest.MonkeyPatch.context() as patch:
        for table in (SEQUENCE_MODELS, ALL_MODELS):
            patch.setitem(table, name, model._replace(views=views))
        return next(text_model.check_attention(batch, p, config), None)


def test_padding_and_what_comes_later_are_no_choice():
    """Alike to all that there is; a padded query, which is nobody's, stares."""
    padded = np.full((2, 2, 8, 8), 1 / 8)
    padded[1] = np.where(np.arange(8) < 5, 1 / 5, 0)
    padded[1, :, 5:] = np.eye(8)[0]
    assert "attention is uniform" in _attention_findings({"decoder 0": padded}, padded=True)
    causal = np.tril(np.ones((8, 8))) / (1 + np.arange(8))[:, None]
    assert "attention is uniform" in _attention_findings({"block 0": np.tile(causal, (2, 2, 1, 1))}, "gpt")
    rng = np.random.default_rng(0)
    some = np.tril(rng.random((2, 2, 8, 8)))
    assert _attention_findings({"block 0": some / some.sum(axis=-1, keepdims=True)}, "gpt") is None


def test_without_attention_the_bottleneck_is_named():
    config, data = case("seq2seq")
    p = model_of(config).init(np.random.default_rng(0), config)
    found = list(text_model.check_predictions(data.train, data.test, p, config, []))
    assert any("a state of 16 numbers: try --model attention" in words for words in found)


def test_learned_by_heart():
    (words,) = text_model._check_gap([1.0, 0.3], [400, 400])
    assert words.startswith("100% of the training answers are right, and 30% of the test answers")
    assert not list(text_model._check_gap([1.0, 0.9], [400, 400]))


def test_a_token_that_is_never_written():
    true = np.tile([4, 5, END], (30, 1))
    written = np.tile([4, 4, END], (30, 1))
    writing = Writing(np.full(30, 2), true, written, written, {})
    (words,) = text_model._check_never(writing, None)
    assert words.startswith("token 5 is never written")


def test_pairs_are_found_again_in_one_sequence():
    apart, together = loaded(), loaded(one_stack=True)
    texts = [[] for _ in range(2)]
    for found, data in zip(texts, (apart, together), strict=True):
        pairs = text_data.pairs_of(data.test)
        sides = zip(pairs, (data.dataset.source, data.dataset.target), strict=True)
        found += [[vocabulary.decode(text) for text in side] for side, vocabulary in sides]
    assert texts[0] == texts[1]
