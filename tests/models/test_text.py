"""BERT, GPT and the Transformer: what they see, their sizes, what BERT is asked."""

import math

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.errors import DataError, UsageError
from tinyvit.layers.decoder_block import DECODER_BLOCKS, decoder_block_init
from tinyvit.models.bert import BERTConfig, asked_counts, bert, bert_init, hide
from tinyvit.models.decoding import generate
from tinyvit.models.gpt import GPTConfig, gpt, gpt_init, gpt_prompt, gpt_step
from tinyvit.models.seq2seq import Seq2SeqConfig, seq2seq, seq2seq_init
from tinyvit.models.text import check_text_config, text_masks
from tinyvit.models.transformer import TransformerConfig, embed, transformer, transformer_init, transformer_masks
from tinyvit.ops.token_cross_entropy import NO_TARGET
from tinyvit.ops.tokens import END, PADDING, SPECIAL, START

SIZES = dict(length=9, dim=12, depth=2, heads=3, mlp_dim=20)
TOKENS = np.array([[3, 7, 4, 4, 9], [5, 6, 8, 0, 0]])


@pytest.mark.parametrize("norm", DECODER_BLOCKS)
@pytest.mark.parametrize("branch, last", [("msa", "o"), ("cross", "o"), ("mlp", "fc2")])
def test_a_decoder_blocks_mask_leaves_out_its_own_branch(rng, norm, branch, last):
    """As if the branch's last layer were zero."""
    p, (forward, _) = randomised(decoder_block_init(None, 8, 5)), DECODER_BLOCKS[norm]
    z, memory, ones = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 4, 8)), np.ones((2, 3, 8))
    masks = {"msa": ones, "cross": ones, "mlp": {"fc2": ones}}
    masks[branch] = {"fc2": 0 * ones} if branch == "mlp" else 0 * ones
    found, _ = forward(z, memory, p, heads=2, masks=masks)
    p[branch][last] = trees.map(np.zeros_like, p[branch][last])
    assert_close(found, forward(z, memory, p, heads=2)[0], 1e-14)


BATCH = {"source": TOKENS, "target": TOKENS[:, :4]}
DROPPED = {  # (configuration, init, forward, masks), of a model with dropout
    "gpt": (GPTConfig(tokens=11, **SIZES, dropout=0.5), gpt_init, gpt, text_masks),
    "bert": (BERTConfig(tokens=11, **SIZES, dropout=0.5), bert_init, bert, text_masks),
    "transformer": (TransformerConfig(dim=12, heads=3, dropout=0.5), transformer_init, transformer, transformer_masks),
}


@pytest.mark.parametrize("name", DROPPED)
def test_every_dropout_mask_is_drawn_by_itself_and_used(rng, name):
    config, init, forward, draw = DROPPED[name]
    p, batch = randomised(init(None, config)), BATCH if name == "transformer" else TOKENS
    masks = draw(rng, config, batch if name == "transformer" else TOKENS.shape, dtype="float64")
    drawn = trees.named(masks)
    assert len({mask.tobytes() for mask in drawn.values()}) == len(drawn)
    assert {float(x) for mask in drawn.values() for x in np.unique(mask)} == {0, 2}
    ones = trees.map(np.ones_like, masks)
    whole, _ = forward(batch, p, config, masks=ones)
    assert_same_bits(whole, forward(batch, p, config)[0])
    for one in drawn:
        masks = trees.map(np.ones_like, ones)
        trees.named(masks)[one][:] = 0
        assert (forward(batch, p, config, masks=masks)[0] != whole).any(), one


def random_gpt():
    config = GPTConfig(tokens=11, **SIZES)
    return config, randomised(gpt_init(None, config))


def test_gpt_sees_no_token_that_comes_later():
    config, p = random_gpt()
    changed = TOKENS.copy()
    changed[:, 3] = 10
    found, expected = (gpt(tokens, p, config)[0] for tokens in (changed, TOKENS))
    assert_same_bits(found[:, :3], expected[:, :3])
    assert (found[:, 3:] != expected[:, 3:]).all()


def test_gpt_step_by_step_is_all_at_once():
    config, p = random_gpt()
    expected, _ = gpt(TOKENS, p, config)
    state = {"past": []}
    for i in range(TOKENS.shape[1]):
        scores, state = gpt_step(TOKENS[:, i], state, p, config)
        assert_close(scores, expected[:, i], 1e-12)


def test_gpt_goes_on_to_its_last_position_and_no_further():
    config, p = random_gpt()
    state = {"past": []}
    for _ in range(config.length):
        _, state = gpt_step(np.array([3, 4]), state, p, config)
    with pytest.raises(UsageError, match="found 10 tokens: the model has positions for 9"):
        gpt_step(np.array([3, 4]), state, p, config)


def test_gpt_goes_on_from_a_prompt():
    config, p = random_gpt()
    prompt = np.array([[3, 4, 5], [6, 0, 0]])
    written = generate(lambda tokens, state: gpt_step(tokens, state, p, config), {"past": []}, 2, 6, prompt=prompt)
    first = np.full((2, 1), 1)
    scores, _ = gpt(np.concatenate([first, written], axis=1)[:, :-1], p, config)
    chosen = scores.argmax(-1)
    np.testing.assert_array_equal(written[0, 3:], chosen[0, 3:])
    np.testing.assert_array_equal(written[1, 1:], chosen[1, 1:])


def test_gpt_reads_a_prompt_at_once():
    """The same scores, keys and values as token by token."""
    config, p = random_gpt()
    prompt, state = np.array([[3, 4, 5, 9], [6, 2, 8, 8]]), {"past": []}
    for tokens in prompt.T:
        expected, state = gpt_step(tokens, state, p, config)
    scores, read = gpt_prompt(prompt, p, config)
    assert_close(scores, expected, 1e-12)
    for found, one_by_one in zip(trees.leaves(read), trees.leaves(state), strict=True):
        assert found.shape == one_by_one.shape
        assert_close(found, one_by_one, 1e-12)


def test_what_follows_a_prompt_is_what_decoding_without_a_cache_finds():
    config, p = random_gpt()
    prompt = np.array([[3, 4, 5], [6, 2, 8]])
    scores, state = gpt_prompt(prompt, p, config)
    written = generate(lambda t, state: gpt_step(t, state, p, config), state, 2, 6, scores=scores, end=-1)
    whole = prompt
    for _ in range(6):
        whole = np.concatenate([whole, gpt(whole, p, config)[0][:, -1:].argmax(-1)], axis=1)
    np.testing.assert_array_equal(written, whole[:, 3:])


def test_a_prompt_without_a_token_is_refused():
    config, p = random_gpt()
    with pytest.raises(UsageError, match="the prompt has no tokens: expected at least one"):
        gpt_prompt(np.zeros((2, 0), int), p, config)


def test_bert_sees_both_sides_and_no_padding():
    config = BERTConfig(tokens=11, **SIZES)
    p = randomised(bert_init(None, config))
    expected, _ = bert(TOKENS, p, config)
    changed = TOKENS.copy()
    changed[0, 4] = 10
    assert (bert(changed, p, config)[0][0, 0] != expected[0, 0]).any()
    alone, _ = bert(TOKENS[1:, :3], p, config)
    assert_close(expected[1:, :3], alone, 1e-12)


def test_bert_looks_at_no_token_that_the_mask_leaves_out():
    config = BERTConfig(tokens=11, **SIZES)
    p, mask = randomised(bert_init(None, config)), np.ones(TOKENS.shape, bool)
    mask[:, 1] = False
    changed = TOKENS.copy()
    changed[:, 1] = 10
    found, expected = (bert(tokens, p, config, mask=mask)[0] for tokens in (changed, TOKENS))
    assert_same_bits(found[:, 2:], expected[:, 2:])
    assert (found[:, 1] != expected[:, 1]).all() and (bert(TOKENS, p, config)[0][0, 2:] != expected[0, 2:]).any()


def test_bert_takes_all_for_the_first_segment_unless_told():
    config = BERTConfig(tokens=11, **SIZES)
    p = randomised(bert_init(None, config))
    found, first, second = (bert(TOKENS, p, config, types=types)[0] for types in (None, 0 * TOKENS, 0 * TOKENS + 1))
    assert_same_bits(found, first)
    assert (second != first).all()


def test_what_bert_is_asked(rng):
    tokens = rng.integers(len(SPECIAL) + 1, 40, (400, 30))
    tokens[:, 25:] = PADDING
    given, targets = hide(rng, tokens, 3, 40)
    asked = targets != NO_TARGET
    assert not asked[:, 25:].any() and asked.any(axis=1).all()
    np.testing.assert_array_equal(targets[asked], tokens[asked])
    np.testing.assert_array_equal(given[~asked], tokens[~asked])
    assert (asked.sum(axis=1) == round(0.15 * 25)).all()
    assert asked[:, :25].any(axis=0).all(), "every place, now and then"
    hidden, kept = given[asked] == 3, given[asked] == tokens[asked]
    assert abs(hidden.mean() - 0.8) < 0.03 and abs(kept.mean() - 0.1) < 0.02
    assert (given[asked] >= len(SPECIAL)).all()


@pytest.mark.parametrize(
    ("real", "share", "asked"), [(1, 0.15, 1), (10, 0.15, 2), (7, 0.5, 4), (3, 1.0, 3), (0, 0.5, 0)]
)
def test_how_many_are_asked_does_not_depend_on_chance(rng, real, share, asked):
    tokens = np.array([[7] * real + [PADDING] * 2])
    assert asked_counts(tokens, share).tolist() == [asked]
    for _ in range(5):
        _, targets = hide(rng, tokens, 3, 40, share=share)
        assert (targets != NO_TARGET).sum() == asked


def test_what_begins_and_ends_a_text_is_never_asked(rng):
    tokens = rng.integers(len(SPECIAL) + 1, 40, (200, 6))
    tokens[:, 0], tokens[:, -2], tokens[:, -1] = START, END, PADDING
    given, targets = hide(rng, tokens, 3, 40)
    special = tokens < len(SPECIAL)
    assert (targets[special] == NO_TARGET).all() and (given[special] == tokens[special]).all()


def test_a_single_token_is_asked(rng):
    _, targets = hide(rng, np.array([[5, 0, 0]]), 3, 40)
    np.testing.assert_array_equal(targets, [[5, NO_TARGET, NO_TARGET]])


def test_embeddings_are_scaled_and_each_place_has_its_sinusoids(rng):
    """Number by number: sqrt(D) w, plus sine and cosine of the place over 10000^(2i / D)."""
    table, tokens, D = {"w": rng.standard_normal((11, 6))}, TOKENS[:1], 6
    x, _ = embed(tokens, table, first=2)
    for t, token in enumerate(tokens[0]):
        for i in range(D // 2):
            angle = (t + 2) / 10_000 ** (2 * i / D)
            for j, wave in ((2 * i, math.sin(angle)), (2 * i + 1, math.cos(angle))):
                assert x[0, t, j] == pytest.approx(math.sqrt(D) * table["w"][token, j] + wave, abs=1e-12)


def test_one_table_for_source_target_and_scores():
    config = TransformerConfig(source_tokens=9, target_tokens=9, dim=8, heads=2, mlp_dim=6, shared=True)
    p = randomised(transformer_init(None, config))
    assert "source" not in p
    batch = {"source": TOKENS % 9, "target": TOKENS % 9}
    logits, _ = transformer(batch, p, config)
    apart = TransformerConfig(source_tokens=9, target_tokens=9, dim=8, heads=2, mlp_dim=6)
    assert_same_bits(transformer(batch, p | {"source": p["target"]}, apart)[0], logits)


def test_the_papers_base_model_has_its_parameters():
    """65 million in table 3, rounded: 37,000 tokens of one table, 6 + 6 blocks, and the attentions' biases."""
    base = dict(source_tokens=37_000, target_tokens=37_000, dim=512, depth=6, heads=8, mlp_dim=2048)
    config = TransformerConfig(**base, norm="post", shared=True)
    assert trees.count(transformer_init(None, config)) == 44_138_496 + 37_000 * 512


def test_published_sizes():
    assert trees.count(gpt_init(None, GPTConfig())) == 124_439_808  # GPT-2, as transformers counts it
    assert trees.count(bert_init(None, BERTConfig())) == 109_514_298  # bert-base-uncased with its head


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: GPTConfig(heads=5), "heads 5 does not divide dim 768"),
        (lambda: BERTConfig(norm="both"), "norm is 'both': expected one of pre, post"),
        (lambda: GPTConfig(gelu="swish"), "gelu is 'swish': expected one of erf, tanh, relu"),
        (lambda: GPTConfig(dropout=1), "dropout is 1: expected a number from 0 to below 1"),
        (lambda: GPTConfig(tokens=0), "tokens is 0"),
        (lambda: GPTConfig(eps=0), "eps is 0: expected a number from 1e-30 to below 1"),
        (lambda: TransformerConfig(dim=9, heads=3), "dim is 9: expected an even number"),
        (lambda: TransformerConfig(shared=1), "shared is 1: expected True or False"),
        (lambda: Seq2SeqConfig(cell="rnn"), "cell is 'rnn': expected one of gru, gru_after, lstm"),
        (lambda: Seq2SeqConfig(score="cosine"), "score is 'cosine': expected one of none, dot, general, additive"),
        (lambda: Seq2SeqConfig(both=1), "both is 1: expected True or False"),
        (lambda: Seq2SeqConfig(both=True, score="dot"), "score is 'dot': it needs states of one width"),
        (lambda: Seq2SeqConfig(layers=0), "layers is 0"),
        (lambda: TransformerConfig(source_tokens=5, shared=True), "source_tokens is 5, target_tokens 13: expected as"),
    ],
)
def test_sizes_that_do_not_fit(make, words):
    with pytest.raises(UsageError, match=words):
        make()


@pytest.mark.parametrize("forward, init, config", [(gpt, gpt_init, GPTConfig), (bert, bert_init, BERTConfig)])
def test_more_tokens_than_positions(forward, init, config):
    config = config(tokens=11, **SIZES)
    check_text_config(config)
    with pytest.raises(UsageError, match="found 10 tokens: the model has positions for 9"):
        forward(np.full((1, 10), 3), init(None, config), config)


NOTHING = np.array([[3, 4], [0, 0]])


@pytest.mark.parametrize(
    "forward, init, config, batch, name",
    [
        (bert, bert_init, BERTConfig(tokens=11, **SIZES), NOTHING, "tokens"),
        (transformer, transformer_init, TransformerConfig(), {"source": NOTHING, "target": NOTHING}, "source"),
        (seq2seq, seq2seq_init, Seq2SeqConfig(score="dot"), {"source": NOTHING, "target": NOTHING}, "source"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_sequence_without_a_token_is_refused(rng, forward, init, config, batch, name):
    """Its softmax would have nothing to choose from, and its scores would be no numbers."""
    with pytest.raises(DataError, match=f"{name}: sequence 1 is padding alone, expected at least one token"):
        forward(batch, init(rng, config), config)
