"""The models of text, by name: they are given tokens, and their presets are for a data set of text."""

from typing import Any

from tinyvit.layers.attend import attention_map
from tinyvit.models.bert import BERTConfig, bert, bert_backward, bert_init, hide
from tinyvit.models.entry import Model
from tinyvit.models.gpt import GPTConfig, gpt, gpt_backward, gpt_init
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig, seq2seq, seq2seq_backward, seq2seq_init
from tinyvit.models.text import text_masks
from tinyvit.models.token_tasks import behind_the_sign, hidden_token, hide_answers, next_token, translation
from tinyvit.models.transformer import (
    TransformerConfig,
    transformer,
    transformer_backward,
    transformer_init,
    transformer_masks,
)
from tinyvit.models.writing import write_bert, write_gpt, write_seq2seq, write_transformer
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.tokens import HIDDEN, PADDING, SPECIAL_JOINED, shifted


def _of_tokens(backward):
    """The backward pass of a model of tokens, which have no gradient, in the form that MODELS has.

    It goes all the way, whatever `freeze` is: the table of tokens makes the scores too, and is never frozen.
    """
    return lambda dy, p, c, config, *, freeze=0: ({}, backward(dy, p, c, config))


def _trimmed(batch):
    """The batch without the columns in which all of its sequences are over."""
    return {name: x[:, : int((x != PADDING).sum(axis=1).max())] for name, x in batch.items()}


def _seq2seq(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    return seq2seq(batch, p, config)


def _draw_seq2seq(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    return (_trimmed(batch) if training else batch), NO_MASKS


def _seq2seq_maps(c, config):
    """Where each step of the decoder looked."""
    return {} if config.score == "none" else {"decoder": c["decoder"]["alignment"]["att"]["a"][:, None]}


def _transformer(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    return transformer(batch, p, config, masks=masks)


def _draw_transformer(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    if not training:
        return batch, NO_MASKS
    batch = _trimmed(batch)
    return batch, transformer_masks(rng, config, batch, dtype=dtype)


def _transformer_maps(c, config):
    """Where each block of the decoder looked in the source."""
    return {f"decoder {i}": attention_map(b["cross"]["att"]) for i, b in enumerate(c["decoder"]["blocks"])}


def _gpt(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True, freeze=0):
    """The scores of each token of the sequence, from START and those before it."""
    return gpt(shifted(batch["tokens"]), p, config, masks=masks, keep_cache=keep_cache)


def _gpt_backward(dy, p, c, config):
    return gpt_backward(dy, p, c)


def _draw_gpt(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    if not training:
        return batch, NO_MASKS
    batch = _trimmed(batch)
    return batch, text_masks(rng, config, batch["tokens"].shape, dtype=dtype)


def _block_maps(c, config):
    """Where each block looked in the sequence itself."""
    return {f"block {i}": attention_map(block["msa"]["att"]) for i, block in enumerate(c["blocks"])}


def _bert(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True, freeze=0):
    return bert(batch["tokens"], p, config, masks=masks, keep_cache=keep_cache)


def _draw_bert(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    """Hide what is asked: some tokens, or all of the answer; in an evaluation the answer, unless a text has none."""
    tokens, masks = batch["tokens"], NO_MASKS
    if training:
        tokens = _trimmed(batch)["tokens"]
        masks = text_masks(rng, config, tokens.shape, dtype=dtype)
    if config.asked == "answer" or not (training or behind_the_sign(tokens).all()):
        tokens, targets = hide_answers(tokens)
    else:
        how = dict(share=config.corrupted, first=len(SPECIAL_JOINED))
        tokens, targets = hide(rng, tokens, HIDDEN, config.tokens, **how)
    return batch | {"tokens": tokens, "targets": targets}, masks


def _pair_sizes(dataset):
    return {
        "source_tokens": len(dataset.source.tokens),
        "target_tokens": len(dataset.target.tokens),
        "source_length": dataset.source_length,
        "target_length": dataset.target_length,
    }


def _sequence_sizes(dataset):
    return {"tokens": len(dataset.source.tokens), "length": dataset.length}


SMALL: dict[str, Any] = dict(dim=64, depth=2, heads=4, mlp_dim=256)
SEQUENCE_MODELS = {
    "seq2seq": Model(
        title="a recurrent encoder and decoder",
        config=Seq2SeqConfig,
        init=seq2seq_init,
        forward=_seq2seq,
        backward=_of_tokens(seq2seq_backward),
        draw=_draw_seq2seq,
        task=translation,
        preset=lambda dataset: Seq2SeqConfig(**_pair_sizes(dataset), dim=64),
        views={"write": write_seq2seq, "maps": _seq2seq_maps},
    ),
    "attention": Model(
        title="a recurrent encoder and decoder with attention",
        config=AttentionConfig,
        init=seq2seq_init,
        forward=_seq2seq,
        backward=_of_tokens(seq2seq_backward),
        draw=_draw_seq2seq,
        task=translation,
        preset=lambda dataset: AttentionConfig(**_pair_sizes(dataset), dim=32),
        views={"write": write_seq2seq, "maps": _seq2seq_maps},
    ),
    "transformer": Model(
        title="a Transformer",
        config=TransformerConfig,
        init=transformer_init,
        forward=_transformer,
        backward=_of_tokens(transformer_backward),
        draw=_draw_transformer,
        task=translation,
        preset=lambda dataset: TransformerConfig(**_pair_sizes(dataset), **SMALL),
        views={"write": write_transformer, "maps": _transformer_maps},
    ),
    "gpt": Model(
        title="a GPT",
        config=GPTConfig,
        init=gpt_init,
        forward=_gpt,
        backward=_of_tokens(_gpt_backward),
        draw=_draw_gpt,
        task=next_token,
        preset=lambda dataset: GPTConfig(**_sequence_sizes(dataset), **SMALL),
        views={"write": write_gpt, "maps": _block_maps},
        block_options=True,
    ),
    "bert": Model(
        title="a BERT",
        config=BERTConfig,
        init=bert_init,
        forward=_bert,
        backward=_of_tokens(bert_backward),
        draw=_draw_bert,
        task=hidden_token,
        preset=lambda dataset: BERTConfig(**_sequence_sizes(dataset), **SMALL, norm="pre", asked="answer"),
        views={"write": write_bert, "maps": _block_maps},
        block_options=True,
        evaluation_draws=True,
    ),
}
