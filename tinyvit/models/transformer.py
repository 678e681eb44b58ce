"""The Transformer (Vaswani et al. 2017, "Attention Is All You Need"): an encoder reads, a decoder writes.

No recurrence: every token looks at every other at once, so that training has no loop over time. The encoder is that of
the Vision Transformer, with tokens of text in place of patches, and runs its very block.
"""

import math
from dataclasses import dataclass

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.decoder_block import DECODER_BLOCKS, decoder_block_init
from tinyvit.layers.encoder_stack import block_masks, encoder_stack, encoder_stack_backward, encoder_stack_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.position import sinusoidal_position
from tinyvit.layers.token_embedding import (
    token_embedding,
    token_embedding_backward,
    token_embedding_init,
    token_scores,
    token_scores_backward,
)
from tinyvit.models.config import Config
from tinyvit.models.text import check_text_config
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward, dropout_mask
from tinyvit.ops.patterns import causal, pattern_bias
from tinyvit.ops.tokens import no_padding, shifted


@dataclass(frozen=True)
class TransformerConfig(Config):
    """The configuration of an encoder-decoder Transformer.

    Parameters
    ----------
    source_tokens, target_tokens : int
        The sizes of the two vocabularies.
    source_length, target_length : int
        Tokens of a sequence at most, the one that ends it included.
    dim : int
        D: width of the tokens; even, since positions are pairs of sine and cosine.
    depth : int
        Blocks of the encoder, and of the decoder.
    heads : int
        h; divides dim.
    mlp_dim : int
        Hidden width of the MLPs.
    norm : str
        Where LayerNorm stands in a block: "post", as in the paper, or "pre", which has one more after the last block.
    shared : bool
        Whether source and target have one table of embeddings; then the vocabularies are one.
    gelu : str
        What stands between the MLPs' two layers: "relu", as in the paper, "erf" or "tanh".
    eps : float
        Added to the variance in every LayerNorm.
    dropout : float
        Rate, in [0, 1), after the embeddings with their positions, and after every branch of a block.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    source_tokens: int = 13
    target_tokens: int = 13
    source_length: int = 16
    target_length: int = 17
    dim: int = 32
    depth: int = 2
    heads: int = 4
    mlp_dim: int = 128
    norm: str = "pre"
    shared: bool = False
    gelu: str = "relu"
    eps: float = 1e-5
    dropout: float = 0.0

    def __post_init__(self):
        check_text_config(self)
        if type(self.shared) is not bool:
            raise UsageError(f"shared is {self.shared!r}: expected True or False")
        if self.dim % 2:
            raise UsageError(f"dim is {self.dim}: expected an even number, for pairs of sine and cosine")
        if self.shared and self.source_tokens != self.target_tokens:
            raise UsageError(
                f"source_tokens is {self.source_tokens}, target_tokens {self.target_tokens}: "
                "expected as many, since they share one table"
            )


def transformer_init(rng, config, *, dtype="float32"):
    """The parameters.

    Returns
    -------
    p : {source {w}, encoder [blocks], encoder_ln, target {w}, decoder [blocks], decoder_ln}
        source is left out where the table is shared, the two norms where blocks are post-norm. The target's table also
        makes the scores.
    """
    sizes = (config.dim, config.mlp_dim)
    p = {} if config.shared else {"source": token_embedding_init(rng, config.source_tokens, config.dim, dtype=dtype)}
    p["encoder"] = encoder_stack_init(rng, *sizes, config.depth, dtype=dtype)
    p["target"] = token_embedding_init(rng, config.target_tokens, config.dim, dtype=dtype)
    p["decoder"] = [decoder_block_init(rng, *sizes, dtype=dtype) for _ in range(config.depth)]
    if config.norm == "pre":
        p |= {name: layer_norm_init(rng, config.dim, dtype=dtype) for name in ("encoder_ln", "decoder_ln")}
    return p


def transformer(batch, p, config, *, masks=NO_MASKS):
    """The scores of every next token, given the true ones before it (teacher forcing).

    Parameters
    ----------
    batch : {source [B, S], target [B, T]}
        Tokens, PADDING behind the end of each.
    p : the tree of `transformer_init`
    config : TransformerConfig
    masks : tree, optional
        Dropout masks, of `transformer_masks`, for training.

    Returns
    -------
    logits : array [B, T, V], and the cache {encoder, decoder}
    """
    c = {}
    memory, c["encoder"] = encode(batch["source"], p, config, masks=masks)
    logits, c["decoder"] = decode(shifted(batch["target"]), memory, p, config, masks=masks)
    return logits, c


def embed(tokens, table, *, first=0):
    """Embeddings times sqrt(D), plus sinusoids of their positions (section 3.4 and 3.5): [B, T] -> [B, T, D].

    The table also makes the scores, for which its numbers have a variance of 1 / D; as inputs they are to have 1.
    """
    x, c = token_embedding(tokens, table)
    return sinusoidal_position(x * math.sqrt(x.shape[-1]), {}, first=first)[0], c


def embed_backward(dx, table, c):
    """The gradient of the table; positions have none."""
    return token_embedding_backward(dx * math.sqrt(dx.shape[-1]), table, c)


def encode(source, p, config, *, masks=NO_MASKS):
    """Read the source.

    Returns
    -------
    memory : {tokens [B, S, D], bias [B, 1, 1, S]}, and the cache
        The bias hides padding; a source without padding has none.

    Raises
    ------
    DataError
        If a source is padding alone.
    """
    c = {}
    z, c["source"] = embed(source, p.get("source", p["target"]))
    z, c["dropout"] = dropout(z, masks.get("source"))
    mask, memory = no_padding(source, "source"), {}
    if not mask.all():
        memory["bias"] = xp_of(z).asarray(pattern_bias(mask[:, None, None], z.dtype))
    choices = dict(norm=config.norm, heads=config.heads, gelu=config.gelu, eps=config.eps) | memory
    z, c["blocks"] = encoder_stack(z, p["encoder"], masks=masks.get("encoder"), **choices)
    if "encoder_ln" in p:
        z, c["ln"] = layer_norm(z, p["encoder_ln"], eps=config.eps)
    return {"tokens": z} | memory, c


def decode(tokens, memory, p, config, *, past=None, masks=NO_MASKS):
    """The scores of the token after each of these.

    A token sees itself and those before it: all places are asked at once in training, and none knows its answer.

    Parameters
    ----------
    tokens : integer array [B, T]
    memory : of `encode`
    past : list of {msa {k, v}, cross {k, v}}, optional
        What `kept` took from the cache of the tokens before these: their keys and values are not computed again.

    Returns
    -------
    logits : array [B, T, V], and the cache {target, dropout, blocks, ln, scores}
    """
    forward, _ = DECODER_BLOCKS[config.norm]
    first = past[0]["msa"]["k"].shape[2] if past else 0
    choices = dict(heads=config.heads, gelu=config.gelu, eps=config.eps, memory_bias=memory.get("bias"))
    c = {"blocks": []}
    z, c["target"] = embed(tokens, p["target"], first=first)
    z, c["dropout"] = dropout(z, masks.get("target"))
    allowed = causal(first + z.shape[1])[first:]
    choices["bias"] = xp_of(z).asarray(pattern_bias(allowed, z.dtype))
    source = memory["tokens"][:, :0] if past else memory["tokens"]  # asked once, its keys are kept
    for i, block in enumerate(p["decoder"]):
        own = dict(past=past[i] if past else NO_MASKS, masks=masks["decoder"][i] if masks else NO_MASKS)
        z, c_block = forward(z, source, block, **own, **choices)
        c["blocks"].append(c_block)
    if "decoder_ln" in p:
        z, c["ln"] = layer_norm(z, p["decoder_ln"], eps=config.eps)
    logits, c["scores"] = token_scores(z, p["target"])
    return logits, c


def kept(c):
    """The keys and values of every decoder block, from the cache of `decode`: its `past` for the tokens that follow."""
    return [{name: {t: block[name]["att"][t] for t in "kv"} for name in ("msa", "cross")} for block in c["blocks"]]


def transformer_start(source, p, config):
    """The state in which decoding begins: what the encoder gave. Every array of a state has an example in each row."""
    memory, _ = encode(source, p, config)
    return {"memory": memory, "past": []}


def transformer_step(tokens, state, p, config):
    """The scores [B, V] of the token after these, the last ones so far, [B]; and the state after them."""
    logits, c = decode(tokens[:, None], state["memory"], p, config, past=state["past"])
    return logits[:, -1], state | {"past": kept(c)}


def transformer_backward(dlogits, p, c, config):
    """The forward pass in reverse. Every decoder block asked the source, so its gradient is the sum over them.

    Parameters
    ----------
    dlogits : array [B, T, V]

    Returns
    -------
    g : a tree like p
        The gradient of the target's table has up to three parts: as embedding of the target, as scores, and as
        embedding of the source, where it is shared.
    """
    _, backward = DECODER_BLOCKS[config.norm]
    g = {"decoder": [{}] * config.depth}
    of_decoder, of_encoder = c["decoder"], c["encoder"]
    dz, of_scores = token_scores_backward(dlogits, p["target"], of_decoder["scores"])
    if "decoder_ln" in p:
        dz, g["decoder_ln"] = layer_norm_backward(dz, p["decoder_ln"], of_decoder["ln"])
    dmemory = 0
    for i in reversed(range(config.depth)):
        dz, dm, g["decoder"][i] = backward(dz, p["decoder"][i], of_decoder["blocks"][i])
        dmemory = dmemory + dm
    dz = dropout_backward(dz, of_decoder["dropout"])
    of_target = embed_backward(dz, p["target"], of_decoder["target"])
    if "encoder_ln" in p:
        dmemory, g["encoder_ln"] = layer_norm_backward(dmemory, p["encoder_ln"], of_encoder["ln"])
    dz, g["encoder"] = encoder_stack_backward(dmemory, p["encoder"], of_encoder["blocks"], norm=config.norm)
    dz = dropout_backward(dz, of_encoder["dropout"])
    g["target"] = {"w": of_scores["w"] + of_target["w"]}
    if "source" in p:
        g["source"] = embed_backward(dz, p["source"], of_encoder["source"])
    else:
        g["target"]["w"] += embed_backward(dz, p["target"], of_encoder["source"])["w"]
    return g


def transformer_masks(rng, config, batch, *, dtype="float32"):
    """Draw the dropout masks of one training step: the tree that `transformer` takes; none at rate 0.

    Parameters
    ----------
    batch : {source [B, S], target [B, T]}
    """
    if not config.dropout:
        return NO_MASKS

    def mask(tokens):
        return dropout_mask(rng, (*tokens.shape, config.dim), config.dropout, dtype)

    source, target = batch["source"], batch["target"]
    return {
        "source": mask(source),
        "target": mask(target),
        "encoder": [block_masks(lambda: mask(source)) for _ in range(config.depth)],
        "decoder": [block_masks(lambda: mask(target)) | {"cross": mask(target)} for _ in range(config.depth)],
    }
