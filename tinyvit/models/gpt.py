"""GPT: the next token, from those before it (Radford et al. 2018; in GPT-2's form, Radford et al. 2019).

One stack of the Vision Transformer's own blocks, under a causal mask. No encoder, no labels: text is its own target,
shifted by one.
"""

from dataclasses import dataclass

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.encoder_stack import encoder_stack, encoder_stack_backward, encoder_stack_init, kept
from tinyvit.layers.initializers import normal
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.token_embedding import (
    token_embedding,
    token_embedding_backward,
    token_embedding_init,
    token_scores,
    token_scores_backward,
)
from tinyvit.models.config import Config
from tinyvit.models.text import check_text_config
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward
from tinyvit.ops.patterns import causal, pattern_bias


@dataclass(frozen=True)
class GPTConfig(Config):
    """The configuration of a GPT.

    Parameters
    ----------
    tokens : int
        V: the size of the vocabulary.
    length : int
        Tokens at most: every place has a learned position.
    dim : int
        D: width of the tokens.
    depth : int
        Number of blocks.
    heads : int
        h; divides dim.
    mlp_dim : int
        Hidden width of the MLPs.
    gelu : str
        "tanh", as in GPT-2, "erf" or "relu".
    eps : float
        Added to the variance in every LayerNorm.
    dropout : float
        Rate, in [0, 1), after the embeddings, and after every branch of a block.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    tokens: int = 50257
    length: int = 1024
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    gelu: str = "tanh"
    eps: float = 1e-5
    dropout: float = 0.0

    def __post_init__(self):
        check_text_config(self)


def gpt_init(rng, config, *, dtype="float32"):
    """The parameters.

    Returns
    -------
    p : {tokens {w}, pos [L, D], blocks, ln}
        The table of the tokens also makes the scores.
    """
    return {
        "tokens": token_embedding_init(rng, config.tokens, config.dim, dtype=dtype),
        "pos": normal(rng, (config.length, config.dim), config.dim**-0.5, dtype),
        "blocks": encoder_stack_init(rng, config.dim, config.mlp_dim, config.depth, dtype=dtype),
        "ln": layer_norm_init(rng, config.dim, dtype=dtype),
    }


def gpt(tokens, p, config, *, past=None, masks=NO_MASKS, all_rows=True, keep_cache=True):
    """The scores of the token after each: in one pass for all places, since none sees what follows.

        z_0 = E tokens + E_pos,    z_l = block(z_{l-1}), causal,    logits = LN(z_L) E^T

    Padding behind a sequence needs no mask: nobody before it looks at it.

    Parameters
    ----------
    tokens : integer array [B, T]
    p : the tree of `gpt_init`
    config : GPTConfig
    past : list of {k, v}, optional
        Keys and values of the tokens before these, for decoding step by step.
    masks : tree, optional
        Dropout masks, of `text_masks`, for training.
    all_rows : bool
        Without, the scores after the last token alone, for decoding: the cache is then none for `gpt_backward`.
    keep_cache : bool or "inputs"
        Of the blocks, as in `vit`.

    Returns
    -------
    logits : array [B, T or 1, V], and the cache {tokens, dropout, blocks, ln, scores}

    Raises
    ------
    UsageError
        If there are more tokens than positions.
    """
    first = past[0]["k"].shape[2] if past else 0
    last = first + tokens.shape[1]
    if last > config.length:
        raise UsageError(f"found {last} tokens: the model has positions for {config.length}, expected at most that")
    c = {}
    z, c["tokens"] = token_embedding(tokens, p["tokens"])
    z, c["dropout"] = dropout(z + p["pos"][first:last], masks.get("stem"))
    bias = xp_of(z).asarray(pattern_bias(causal(last)[first:], z.dtype))
    choices = dict(heads=config.heads, gelu=config.gelu, eps=config.eps, bias=bias)
    z, c["blocks"] = encoder_stack(
        z, p["blocks"], past=past, masks=masks.get("blocks"), keep_cache=keep_cache, **choices
    )
    z, c["ln"] = layer_norm(z if all_rows else z[:, -1:], p["ln"], eps=config.eps)
    logits, c["scores"] = token_scores(z, p["tokens"])
    return logits, c


def gpt_backward(dlogits, p, c):
    """The forward pass in reverse. The table has two gradients, as scores and as embedding. Returns g."""
    g = {}
    dz, of_scores = token_scores_backward(dlogits, p["tokens"], c["scores"])
    dz, g["ln"] = layer_norm_backward(dz, p["ln"], c["ln"])
    dz, g["blocks"] = encoder_stack_backward(dz, p["blocks"], c["blocks"])
    dz = dropout_backward(dz, c["dropout"])
    g["pos"] = xp_of(dz).zeros_like(p["pos"])
    g["pos"][: dz.shape[1]] = dz.sum(axis=0)
    of_tokens = token_embedding_backward(dz, p["tokens"], c["tokens"])
    return g | {"tokens": {"w": of_scores["w"] + of_tokens["w"]}}


def gpt_prompt(tokens, p, config):
    """Read a prompt at once: all of its keys and values, but the scores of what comes after its last token alone.

    Parameters
    ----------
    tokens : integer array [B, T]
        Prompts of one length.

    Returns
    -------
    scores : array [B, V], and the state for `gpt_step`

    Raises
    ------
    UsageError
        If there are no tokens, or more than positions.
    """
    if not tokens.shape[1]:
        raise UsageError("the prompt has no tokens: expected at least one")
    logits, c = gpt(tokens, p, config, all_rows=False)
    return logits[:, -1], {"past": kept(c["blocks"])}


def gpt_step(tokens, state, p, config):
    """The scores [B, V] of the token after these, [B]; and the state after them, from {past: []} at the start."""
    logits, c = gpt(tokens[:, None], p, config, past=state["past"])
    return logits[:, -1], {"past": kept(c["blocks"])}
