"""Decoding: every way against the search over all sequences, and step by step against all at once."""

import itertools

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit.errors import DataError, UsageError
from tinyvit.models import seq2seq as s
from tinyvit.models import transformer as t
from tinyvit.models.decoding import beam_search, generate, greedy, sampler
from tinyvit.ops.tokens import END, PADDING, START, shifted

SOURCE = np.array([[3, 4, 5, 3], [5, 4, 0, 0], [4, 0, 0, 0]])
TARGET = np.array([[5, 4, 3, 2], [3, 2, 0, 0], [2, 0, 0, 0]])
VOCABULARY = 6


def models():
    """{name: (config, p, start, step, all at once)}, float64, random."""
    found = {}
    for name, choices in {"no attention": {}, "additive": dict(score="additive", both=True, layers=2)}.items():
        config = s.Seq2SeqConfig(source_tokens=6, target_tokens=VOCABULARY, dim=5, **choices)
        p = randomised(s.seq2seq_init(None, config))
        found[name] = config, p, s.seq2seq_start, s.seq2seq_step, s.seq2seq
    for name, choices in {"pre-norm": {}, "post-norm": dict(norm="post")}.items():
        config = t.TransformerConfig(source_tokens=6, target_tokens=VOCABULARY, dim=6, heads=2, mlp_dim=7, **choices)
        p = randomised(t.transformer_init(None, config))
        found[name] = config, p, t.transformer_start, t.transformer_step, t.transformer
    return found


MODELS = models()
every_model = pytest.mark.parametrize("name", MODELS)


def started(name, source=SOURCE):
    config, p, start, step, _ = MODELS[name]
    return (lambda tokens, state: step(tokens, state, p, config)), start(source, p, config), len(source)


def scores_of(name, target, source=SOURCE):
    config, p, _, _, model = MODELS[name]
    return model({"source": source, "target": target}, p, config)[0]


@every_model
def test_step_by_step_is_all_at_once(name):
    """With keys and values kept, every step's scores are those of the whole sequence."""
    step, state, _ = started(name)
    expected = scores_of(name, TARGET)
    for i, tokens in enumerate(shifted(TARGET).T):
        scores, state = step(tokens, state)
        assert_close(scores, expected[:, i], 1e-12)


@every_model
def test_no_score_knows_what_comes_later(name):
    changed = TARGET.copy()
    changed[:, 2] = 4  # the input of the scores at 3
    found, expected = scores_of(name, changed), scores_of(name, TARGET)
    assert_same_bits(found[:, :3], expected[:, :3])
    assert (found[:, 3] != expected[:, 3]).any()


@every_model
def test_padding_changes_nothing(name):
    expected = scores_of(name, TARGET)
    for b, (n, m) in enumerate([(4, 4), (2, 2), (1, 1)]):
        alone = scores_of(name, TARGET[b : b + 1, :m], SOURCE[b : b + 1, :n])
        assert_close(expected[b : b + 1, :m], alone, 1e-12)


@every_model
def test_greedy_takes_the_best_token_each_time(name):
    step, state, count = started(name)
    written = generate(step, state, count, 5)
    scores = scores_of(name, np.where(written == PADDING, END, written))
    for b in range(count):
        n = list(written[b]).index(END) + 1 if END in written[b] else written.shape[1]
        np.testing.assert_array_equal(written[b, :n], scores[b, :n].argmax(-1))
        assert (written[b, n:] == PADDING).all()


def every_sequence(longest):
    """All that end within so many tokens."""
    others = [v for v in range(VOCABULARY) if v != END]
    for n in range(longest):
        for body in itertools.product(others, repeat=n):
            yield [*body, END]


@every_model
@pytest.mark.parametrize("alpha", [0, 0.6, 2])
def test_a_beam_of_all_finds_the_best_of_all(name, alpha):
    """With room for every beginning, the search is exhaustive."""
    longest, step, state, count = 3, *started(name)
    found, scores = beam_search(step, state, count, longest, width=VOCABULARY**2, alpha=alpha)
    for b in range(count):
        best = max((log_probability(name, y, b) / ((5 + len(y)) / 6) ** alpha, y) for y in every_sequence(longest))
        assert scores[b] == pytest.approx(best[0], rel=1e-12)
        assert [int(v) for v in found[b] if v != PADDING or END not in found[b]][: len(best[1])] == best[1]


def log_probability(name, y, b, given=0):
    """Of the tokens behind the first `given`."""
    logits = scores_of(name, np.array([y]), SOURCE[b : b + 1])[0]
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return sum(logs[i, v] for i, v in enumerate(y) if i >= given)


@every_model
@pytest.mark.parametrize("alpha", [0, 2])
def test_a_beam_goes_on_behind_a_prompt(name, alpha):
    """Prompts of unequal length: their tokens cost nothing, and do not count in the penalty."""
    prompts, longest, (step, state, count) = [[4, 3], [5], []], 4, started(name)
    padded = np.array([[4, 3], [5, PADDING], [PADDING, PADDING]])
    found, scores = beam_search(step, state, count, longest, width=VOCABULARY**3, alpha=alpha, prompt=padded)
    for b, prompt in enumerate(prompts):
        n = len(prompt)
        possible = [y for y in every_sequence(longest) if y[:n] == prompt and len(y) > n]
        best = max((log_probability(name, y, b, n) / ((5 + len(y) - n) / 6) ** alpha, y) for y in possible)
        assert scores[b] == pytest.approx(best[0], rel=1e-10)
        assert found[b, : len(best[1])].tolist() == best[1]


@every_model
def test_a_beam_of_one_is_greedy(name):
    step, state, count = started(name)
    expected = generate(step, state, count, 6)
    found, _ = beam_search(step, state, count, 6, width=1)
    for b in range(count):
        if END in expected[b]:
            np.testing.assert_array_equal(found[b, : expected.shape[1]], expected[b][: found.shape[1]])


def test_each_example_is_searched_by_itself():
    step, state, count = started("pre-norm")
    together, scores = beam_search(step, state, count, 5, width=3)
    for b in range(count):
        step, state, _ = started("pre-norm", SOURCE[b : b + 1])
        alone, score = beam_search(step, state, 1, 5, width=3)
        assert score[0] == pytest.approx(scores[b], rel=1e-10)
        np.testing.assert_array_equal(together[b, : alone.shape[1]], alone[0])


def told(probabilities):
    """A step that has these probabilities [B, T, V], whatever was written; its state, and B."""
    with np.errstate(divide="ignore"):
        scores = np.log(probabilities)

    def step(tokens, state):
        return scores[state["example"], state["time"]], state | {"time": state["time"] + 1}

    return step, {"example": np.arange(len(scores)), "time": np.zeros(len(scores), int)}, len(scores)


ON, OFF = [0, 0, 0, 1], [0, 0, 1, 0]  # of PADDING, START, END and another token


def test_what_has_no_end_by_then_is_cut_and_its_score_is_that_of_its_length():
    found, score = beam_search(*told([[[0.1, 0.2, 0, 0.7]] * 3] * 2), 3, width=2)
    assert found.tolist() == [[3, 3, 3]] * 2
    np.testing.assert_allclose(score, 3 * np.log(0.7) / (8 / 6) ** 0.6, rtol=1e-12)


@pytest.mark.parametrize("alpha, best", [(0, [END]), (2, [3, 3, END])])
def test_a_longer_sequence_wins_that_the_penalty_puts_before_a_likelier_one(alpha, best):
    """0.55 ends at once and 0.45 goes on: the search must not stop because one that ended is likelier so far."""
    found, _ = beam_search(*told([[[0, 0, 0.55, 0.45], ON, OFF]]), 3, width=2, alpha=alpha)
    assert found.tolist() == [best]


@pytest.mark.parametrize("search", [lambda *of: generate(*of), lambda *of: beam_search(*of, width=2)[0]])
def test_one_example_goes_on_when_another_has_ended(search):
    found = search(*told([[OFF, ON, ON], [ON, ON, OFF]]), 3)
    assert found.tolist() == [[END, PADDING, PADDING], [3, 3, END]]


def test_samples_come_as_often_as_they_are_likely(rng):
    scores = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))
    counts = np.bincount(sampler(rng)(scores.repeat(20_000, 0)), minlength=4) / 20_000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.15, 0.05], atol=0.012)
    counts = np.bincount(sampler(rng, top_p=0.79)(scores.repeat(20_000, 0)), minlength=4) / 20_000
    np.testing.assert_allclose(counts, [0.625, 0.375, 0, 0], atol=0.012)
    counts = np.bincount(sampler(rng, top_p=0.81)(scores.repeat(20_000, 0)), minlength=4)
    assert counts[2] and not counts[3]
    cold = sampler(rng, temperature=0.01)(scores.repeat(100, 0))
    np.testing.assert_array_equal(cold, greedy(scores).repeat(100))
    assert (sampler(rng, top_p=0.01)(scores.repeat(100, 0)) == 0).all()
    assert (sampler(rng, top_p=0.5)(np.zeros((100, 2))) == 0).all(), "one of two is enough for one half"


def test_a_prompt_is_written_first():
    step, state, count = started("pre-norm")
    prompt = np.array([[5, 4], [3, PADDING], [4, 4]])
    written = generate(step, state, count, 4, prompt=prompt)
    np.testing.assert_array_equal(written[[0, 2], :2], prompt[[0, 2]])
    assert written[1, 0] == 3
    expected = scores_of("pre-norm", written)[1, 1].argmax()
    assert written[1, 1] == expected


def test_scores_of_what_was_read_choose_the_first_token_and_another_vocabularys_end_ends():
    step, state, count = told([[OFF, ON, [1, 0, 0, 0]]])
    assert generate(step, state, count, 3, scores=np.array([[0, 1, 0, 0]]), end=3).tolist() == [[1, END, 3]]
    assert generate(step, state, count, 5, scores=np.array([[0, 0, 0, 1]]), end=3).tolist() == [[3]]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: sampler(np.random.default_rng(0), temperature=0), "temperature is 0: expected a positive"),
        (lambda: sampler(np.random.default_rng(0), top_p=1.5), "top_p is 1.5: expected a share"),
        (lambda: beam_search(None, {}, 1, 1, width=0), "width is 0: expected a whole number of at least 1"),
        (lambda: generate(None, {}, 1, 0), "longest is 0: expected a whole number of tokens of at least 1"),
        (lambda: generate(None, {}, 1, 2.5), "longest is 2.5: expected a whole number"),
        (lambda: beam_search(None, {}, 1, -1), "longest is -1: expected a whole number"),
    ],
)
def test_settings_that_do_not_fit(call, words):
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize("search", [generate, beam_search])
@every_model
def test_an_empty_batch_is_refused(name, search):
    step, state, count = started(name, SOURCE[:0])
    with pytest.raises(DataError, match="found no sequence to write for: expected at least one example"):
        search(step, state, count, 5)


def test_the_start_token_comes_first():
    np.testing.assert_array_equal(shifted(TARGET)[:, 0], START)
    np.testing.assert_array_equal(shifted(TARGET)[:, 1:], TARGET[:, :-1])
