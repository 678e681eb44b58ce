"""What models of text write: as long as asked, only the answer, no special token."""

import numpy as np
import pytest

from tests.reference.compare import randomised
from tinyvit.data.text import padded
from tinyvit.models.bert import BERTConfig, bert_init
from tinyvit.models.gpt import GPTConfig, gpt_init
from tinyvit.models.model import model_of
from tinyvit.models.seq2seq import AttentionConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.models.writing import answers_in, fill, write_gpt
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING

STACK = dict(dim=8, heads=2, mlp_dim=12, depth=1)
SIZES = dict(source_tokens=9, target_tokens=9, source_length=4, target_length=5)
GPT, BERT = GPTConfig(tokens=9, length=9, **STACK), BERTConfig(tokens=9, length=9, **STACK)


def fives(scores):
    return np.full(len(scores), 5)


@pytest.mark.parametrize("longest", [1, 2, 6, 7, 20, None])
def test_a_gpt_writes_so_many_tokens_behind_its_question(longest):
    """Up to its last place."""
    p = randomised(gpt_init(None, GPT))
    written = write_gpt({"tokens": np.array([[6, ANSWER]])}, p, GPT, choose=fives, longest=longest)
    np.testing.assert_array_equal(written, [[5] * min(longest or 7, 7)])


@pytest.mark.parametrize("config", [AttentionConfig(**SIZES, dim=8), TransformerConfig(**SIZES, **STACK)])
@pytest.mark.parametrize("longest", [1, 8, None])
def test_a_pair_is_as_long_as_asked_or_as_the_longest_that_was_learned(config, longest):
    model = model_of(config)
    source = {"source": np.array([[6, 7, END], [6, END, PADDING]])}
    written = model.views["write"](source, randomised(model.init(None, config)), config, choose=fives, longest=longest)
    np.testing.assert_array_equal(written, np.full((2, longest or 5), 5))


def test_no_special_token_fills_a_blank():
    p = randomised(bert_init(None, BERT))
    p["bias"][: HIDDEN + 1] = 100
    tokens = padded([[6, ANSWER, HIDDEN, HIDDEN, END], [HIDDEN, ANSWER, 7, END]], 5)
    filled = fill(tokens, p, BERT)
    assert (filled[tokens == HIDDEN] > HIDDEN).all()
    np.testing.assert_array_equal(filled[tokens != HIDDEN], tokens[tokens != HIDDEN])


def test_answers_are_what_stands_behind_the_sign_up_to_the_end():
    tokens = padded([[5, ANSWER, 6, 7, END], [5, 8, ANSWER, 6], [ANSWER, END, 7, 7, END, 5], [7, 8, END]], 7)
    np.testing.assert_array_equal(answers_in(tokens), [[6, 7, END], [6, 0, 0], [END, 0, 0], [7, 8, END]])
    np.testing.assert_array_equal(answers_in(padded([[5, ANSWER, 6]], 6)), [[6]], "no end, and no padding")
