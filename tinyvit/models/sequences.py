"""The models of sequences, by name: they are given tokens, and their presets are of no images."""

from tinyvit.models.entry import Model
from tinyvit.models.seq2seq import Seq2SeqConfig, seq2seq, seq2seq_backward, seq2seq_init
from tinyvit.models.transformer import (
    TransformerConfig,
    transformer,
    transformer_backward,
    transformer_init,
    transformer_masks,
)
from tinyvit.models.translation import translation
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.tokens import PADDING


def _of_tokens(backward):
    """The backward pass of a model of tokens, which have no gradient, in the form that MODELS has."""
    return lambda dy, p, c, config: ({}, backward(dy, p, c, config))


def _trimmed(batch):
    """The batch without the columns in which all of its sequences are over."""
    return {name: x[:, : int((x != PADDING).sum(axis=1).max())] for name, x in batch.items()}


def _seq2seq(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    return seq2seq(batch, p, config)


def _draw_seq2seq(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    return (_trimmed(batch) if training else batch), NO_MASKS


def _transformer(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    return transformer(batch, p, config, masks=masks)


def _draw_transformer(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    if not training:
        return batch, NO_MASKS
    batch = _trimmed(batch)
    return batch, transformer_masks(rng, config, batch, dtype=dtype)


SEQUENCE_MODELS = {
    "seq2seq": Model(
        title="a recurrent encoder and decoder",
        config=Seq2SeqConfig,
        init=seq2seq_init,
        forward=_seq2seq,
        backward=_of_tokens(seq2seq_backward),
        draw=_draw_seq2seq,
        task=translation,
        preset=None,
        views={},
    ),
    "transformer": Model(
        title="a Transformer",
        config=TransformerConfig,
        init=transformer_init,
        forward=_transformer,
        backward=_of_tokens(transformer_backward),
        draw=_draw_transformer,
        task=translation,
        preset=None,
        views={},
    ),
}
