"""Cases for what works on sequences: recurrent cells and layers, token embedding, alignment."""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.checks.case import B, Case, D, S, T, drawing
from tinyvit.layers.alignment import ALIGNMENTS
from tinyvit.layers.decoder_block import DECODER_BLOCKS, decoder_block_init
from tinyvit.layers.gru_cell import gru_after_cell_backward, gru_cell_backward
from tinyvit.layers.lstm_cell import lstm_cell_backward
from tinyvit.layers.recurrence import CELLS, recurrence, recurrence_backward, recurrence_init
from tinyvit.layers.recurrent_stack import (
    last_states,
    recurrent_stack,
    recurrent_stack_backward,
    recurrent_stack_init,
)
from tinyvit.layers.token_embedding import (
    token_embedding,
    token_embedding_backward,
    token_embedding_init,
    token_scores,
    token_scores_backward,
)
from tinyvit.models.bert import BERTConfig, bert, bert_backward, bert_init
from tinyvit.models.gpt import GPTConfig, gpt, gpt_backward, gpt_init
from tinyvit.models.seq2seq import Seq2SeqConfig, seq2seq, seq2seq_backward, seq2seq_init
from tinyvit.models.text import text_masks
from tinyvit.models.token_tasks import token_loss, token_loss_backward
from tinyvit.models.transformer import (
    TransformerConfig,
    transformer,
    transformer_backward,
    transformer_init,
    transformer_masks,
)
from tinyvit.ops.sigmoid import sigmoid, sigmoid_backward
from tinyvit.ops.token_cross_entropy import NO_TARGET, token_cross_entropy, token_cross_entropy_backward

H, V = 4, 6  # width of a state, tokens of the vocabulary
ONE_STEP = {  # of each cell: its name, and the gradients of one step, the parameters' with them
    "gru": ("gru_cell", gru_cell_backward),
    "gru_after": ("gru_after_cell", gru_after_cell_backward),
    "lstm": ("lstm_cell", lstm_cell_backward),
}


def sequence_cases(rng):
    """Cases with sequences of 5, 3 and 1 tokens, padded, and without padding."""
    array, randomised = drawing(rng)
    mask = np.arange(S) < np.array([[5], [3], [1]])
    x, targets = array(3, S, D), np.where(mask, rng.integers(V, size=mask.shape), NO_TARGET)
    table = randomised(token_embedding_init(None, V, D))
    found = {
        "sigmoid": Case(sigmoid, sigmoid_backward, (2 * array(B, D),)),
        "token_cross_entropy": Case(token_cross_entropy, token_cross_entropy_backward, (array(3, S, V), targets)),
        "token_cross_entropy/smoothing": Case(
            token_cross_entropy, token_cross_entropy_backward, (array(3, S, V), targets), dict(smoothing=0.1)
        ),
        "token_embedding": Case(token_embedding, token_embedding_backward, (rng.integers(V, size=(B, S)), table)),
        "token_scores": Case(token_scores, token_scores_backward, (array(B, T, D), table)),
    }
    found["token_embedding"].inputs[0][0, :3] = 2  # one token in several places
    for kind, (name, backward) in ONE_STEP.items():
        cell = CELLS[kind]
        p = randomised(cell.init(None, H))
        inputs = (array(3, cell.inputs * H), array(3, cell.states * H), p)
        found[name] = Case(cell.forward, backward, inputs)
    for name in CELLS:
        p = randomised(recurrence_init(None, D, H, cell=name))
        start = array(3, CELLS[name].states * H)
        found[f"recurrence/{name}"] = _recurrence(name, x, start, p)
        found[f"recurrence/{name} padded"] = _recurrence(name, x, start, p, mask=mask)
    found["recurrent_stack"] = _stack(x, randomised(recurrent_stack_init(None, D, H, layers=2)), rng)
    both = randomised(recurrent_stack_init(None, D, H, layers=2, both=True, cell="lstm"))
    found["recurrent_stack/both directions"] = _stack(x, both, rng, cell="lstm", mask=mask)
    block = randomised(decoder_block_init(None, D, 7))
    future = np.where(np.tri(T), 0, -np.inf)
    for name, (forward, backward) in DECODER_BLOCKS.items():
        keywords = dict(heads=4, gelu="tanh", bias=future, memory_bias=np.where(mask, 0, -np.inf)[:, None, None])
        name = {"pre": "decoder_block", "post": "post_norm_decoder_block"}[name]
        found[name] = Case(forward, backward, (array(3, T, D), x, block), keywords)
    for name, alignment in ALIGNMENTS.items():
        wide = D if name == "dot" else H
        bias = np.where(mask, array(3, S), -np.inf)[:, None]
        inputs = (array(3, T, wide), x, randomised(alignment.init(None, wide, D)))
        found[f"{name}_alignment"] = Case(alignment.forward, alignment.backward, inputs)
        found[f"{name}_alignment/padded"] = Case(alignment.forward, alignment.backward, inputs, dict(bias=bias))
    return found


def _recurrence(cell, x, start, p, mask=None):
    def forward(x, start, p):
        return recurrence(x, p, cell=cell, start=start, mask=mask)

    return Case(forward, lambda dy, p, c: recurrence_backward(dy, p, c, cell=cell), (x, start, p))


def _stack(x, p, rng, cell="gru", mask=None):
    """A stack whose output has, behind those of the last layer, the last states of all."""
    start = [[rng.standard_normal((len(x), CELLS[cell].states * H)) for _ in layer] for layer in p]

    def forward(x, start, p):
        y, c = recurrent_stack(x, p, cell=cell, start=start, mask=mask)
        return _flat([y, last_states(c)]), {"stack": c, "y": y}

    def backward(dy, start, p, c):
        dy, dlast = _unflat(dy, [c["y"], last_states(c["stack"])])
        return recurrent_stack_backward(dy, p, c["stack"], cell=cell, dlast=dlast)

    return Case(forward, backward, (x, start, p))


def _flat(tree):
    """All leaves side by side, [B, ...]."""
    leaves = trees.leaves(tree)
    return xp_of(leaves[0]).concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def _unflat(flat, like):
    """`_flat` in reverse."""
    parts, start = [], 0
    for leaf in trees.leaves(like):
        size = leaf[0].size
        parts.append(flat[:, start : start + size].reshape(leaf.shape))
        start += size
    parts = iter(parts)
    return trees.map(lambda _: next(parts), like)


def sequence_models(rng):
    """Cases for whole models, on sequences of unequal length."""
    _, randomised = drawing(rng)
    source = np.array([[3, 4, 5, 3], [5, 4, 0, 0]])
    batch = {"source": source, "target": np.array([[5, 4, 2], [3, 2, 0]])}
    asked = np.array([[5, 4, 2], [3, 2, NO_TARGET]])
    found = {
        "token_loss": Case(lambda y: token_loss(y, asked, 0.1), token_loss_backward, (rng.standard_normal((2, 3, 7)),))
    }
    recurrent = {
        "": {},
        "/dot": dict(score="dot", layers=2),
        "/additive": dict(score="additive", both=True, cell="lstm"),
    }
    for name, choices in recurrent.items():
        config = Seq2SeqConfig(source_tokens=6, target_tokens=7, dim=4, **choices)
        found["seq2seq" + name] = _model(
            seq2seq, seq2seq_backward, batch, randomised(seq2seq_init(None, config)), config
        )
    small = dict(source_tokens=6, target_tokens=6, dim=6, depth=2, heads=2, mlp_dim=3)
    for name, choices in {
        "": {},
        "/post-norm, shared": dict(norm="post", shared=True, gelu="tanh", dropout=0.2),
    }.items():
        config = TransformerConfig(**small | choices)
        masks = transformer_masks(rng, config, batch, dtype=np.float64)
        p = randomised(transformer_init(None, config))
        found["transformer" + name] = _model(transformer, transformer_backward, batch, p, config, masks=masks)
    for name, choices in {"": {}, "/dropout": dict(dropout=0.2)}.items():
        config = GPTConfig(tokens=6, length=5, dim=4, depth=2, heads=2, mlp_dim=5, **choices)
        masks = text_masks(rng, config, source.shape, dtype=np.float64)
        p = randomised(gpt_init(None, config))
        found["gpt" + name] = _model(
            gpt, lambda dy, p, c, config: gpt_backward(dy, p, c), source, p, config, masks=masks
        )
        config = BERTConfig(tokens=6, length=5, dim=4, depth=2, heads=2, mlp_dim=5, **choices)
        masks = text_masks(rng, config, source.shape, dtype=np.float64)
        found["bert" + name] = _model(
            bert, bert_backward, source, randomised(bert_init(None, config)), config, masks=masks
        )
    return found


def _model(forward, backward, batch, p, config, **keywords):
    """A model whose batch is no input of the check: tokens have no gradient."""
    return Case(
        lambda p, **keywords: forward(batch, p, config, **keywords),
        lambda dy, p, c: backward(dy, p, c, config),
        (p,),
        keywords,
    )
