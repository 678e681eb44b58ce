"""Sequence layers and models against PyTorch and transformers: the committed file, and live where they are."""

import importlib.util

import numpy as np
import pytest

from tests.golden.make_sequences import FILE, flat
from tests.reference.compare import assert_close
from tinyvit import trees
from tinyvit.layers.decoder_block import DECODER_BLOCKS, decoder_block_init
from tinyvit.layers.recurrent_stack import recurrent_stack, recurrent_stack_backward, recurrent_stack_init
from tinyvit.models.bert import BERTConfig, bert, bert_backward, bert_init
from tinyvit.models.gpt import GPTConfig, gpt, gpt_backward, gpt_init

SIZES = dict(tokens=11, length=9, dim=12, depth=2, heads=3, mlp_dim=20)
TOKENS, TYPES = np.array([[3, 7, 4, 4, 9], [5, 6, 8, 0, 0]]), np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
THERE = {name: bool(importlib.util.find_spec(name)) for name in ("torch", "transformers")}


def upstream(shape):
    return np.cos(np.arange(np.prod(shape))).reshape(shape)


def our_gpt(found):
    config = GPTConfig(**SIZES)
    p = read(found, gpt_init(None, config))
    logits, c = gpt(TOKENS, p, config)
    return logits, trees.named(gpt_backward(upstream(logits.shape), p, c))


def our_bert(found):
    config, asked = BERTConfig(**SIZES), (TOKENS != 0)[..., None]
    p = read(found, bert_init(None, config))
    logits, c = bert(TOKENS, p, config, types=TYPES)
    return logits * asked, trees.named(bert_backward(upstream(logits.shape) * asked, p, c, config))


def our_decoder_block(norm):
    def block(found):
        past, padding = np.tri(4), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
        forward, backward = DECODER_BLOCKS[norm]
        p = read(found, decoder_block_init(None, 12, 20))
        hidden = dict(bias=np.where(past, 0, -np.inf), memory_bias=np.where(padding, 0, -np.inf)[:, None, None])
        y, c = forward(found["inputs:z"], found["inputs:memory"], p, heads=3, **hidden)
        dz, dmemory, g = backward(upstream(y.shape), p, c)
        return y, trees.named(g) | {"z": dz, "memory": dmemory}

    return block


def our_recurrent_stack(cell):
    def stack(found):
        p = read(found, recurrent_stack_init(None, 4, 6, layers=2, both=True, cell=cell))
        y, c = recurrent_stack(found["inputs:x"], p, cell=cell)
        dx, _, g = recurrent_stack_backward(upstream(y.shape), p, c, cell=cell)
        return y, trees.named(g) | {"x": dx}

    return stack


MODELS = {  # name: how we compute the output and the gradients from what is found
    "gpt": our_gpt,
    "bert": our_bert,
    "decoder_block/pre": our_decoder_block("pre"),
    "decoder_block/post": our_decoder_block("post"),
    "recurrent_stack/gru_after": our_recurrent_stack("gru_after"),
    "recurrent_stack/lstm": our_recurrent_stack("lstm"),
}


def read(found, like):
    """The parameters, all of which must be there, and no others."""
    p = {name.removeprefix("p:"): array for name, array in found.items() if name.startswith("p:")}
    assert p.keys() == trees.named(like).keys()
    return trees.from_names(p, like)


def agrees(name, found):
    y, g = MODELS[name](found)
    assert_close(y, found["y:"], 1e-10)
    expected = {key.removeprefix("g:"): array for key, array in found.items() if key.startswith("g:")}
    assert len(expected) > 2
    assert_close({key: g[key] for key in expected}, expected, 1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_the_committed_numbers(name):
    with np.load(FILE) as file:
        found = {key.removeprefix(f"{name}:"): file[key] for key in file.files if key.startswith(f"{name}:")}
    agrees(name, found)


@pytest.mark.parametrize("name", MODELS)
def test_live(name):
    needed = "transformers" if name in ("gpt", "bert") else "torch"
    if not (THERE["torch"] and THERE[needed]):
        pytest.skip(f"{needed} is not installed")
    from tests.golden import torch_sequences

    found = flat(name, torch_sequences.MODELS[name]())
    agrees(name, {key.removeprefix(f"{name}:"): array for key, array in found.items()})


def test_every_model_of_the_file_is_compared():
    with np.load(FILE) as file:
        assert {key.partition(":")[0] for key in file.files} == MODELS.keys()
