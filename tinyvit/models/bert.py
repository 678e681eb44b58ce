"""BERT: the hidden token, from those on both sides of it (Devlin et al. 2019).

One stack of blocks without a causal mask: everybody looks at everybody, as in the Vision Transformer. So the next token
would be no riddle, and BERT hides some tokens instead and asks for those.
"""

from dataclasses import dataclass

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.encoder_stack import encoder_stack, encoder_stack_backward, encoder_stack_init
from tinyvit.layers.initializers import normal, zeros
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.layers.mlp import ACTIVATIONS
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
from tinyvit.ops.gelu import gelu_backward
from tinyvit.ops.patterns import pattern_bias
from tinyvit.ops.sums import column_sums
from tinyvit.ops.token_cross_entropy import NO_TARGET
from tinyvit.ops.tokens import SPECIAL, no_padding

FIRST = len(SPECIAL)
MASKED, RANDOM = 0.8, 0.1  # of the tokens that are asked, the shares that are hidden, and replaced by any other


@dataclass(frozen=True)
class BERTConfig(Config):
    """The configuration of a BERT.

    Parameters
    ----------
    tokens : int
        V: the size of the vocabulary.
    length : int
        Tokens at most: every place has a learned position.
    types : int
        Kinds of segments, such as the first and the second of two sentences.
    dim : int
        D: width of the tokens.
    depth : int
        Number of blocks.
    heads : int
        h; divides dim.
    mlp_dim : int
        Hidden width of the MLPs.
    gelu : str
        "erf", as in BERT, "tanh" or "relu".
    norm : str
        Where LayerNorm stands in a block: "post", as in BERT, or "pre".
    eps : float
        Added to the variance in every LayerNorm.
    dropout : float
        Rate, in [0, 1), after the embeddings, and after every branch of a block.
    asked : str
        What is asked in training: "tokens", some of all, as in BERT; "answer", all of what stands behind the question,
        as a fine-tuned BERT is asked.
    corrupted : float
        The share of the tokens that is asked, above 0, at most 1, where some are.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    tokens: int = 30522
    length: int = 512
    types: int = 2
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    gelu: str = "erf"
    norm: str = "post"
    eps: float = 1e-12
    dropout: float = 0.0
    asked: str = "tokens"
    corrupted: float = 0.15

    def __post_init__(self):
        check_text_config(self)
        if self.asked not in ("tokens", "answer"):
            raise UsageError(f"asked is {self.asked!r}: expected one of tokens, answer")
        if type(self.corrupted) not in (int, float) or not 0 < self.corrupted <= 1:
            raise UsageError(f"corrupted is {self.corrupted!r}: expected a share of the tokens above 0, at most 1")


def bert_init(rng, config, *, dtype="float32"):
    """The parameters.

    Returns
    -------
    p : {tokens {w}, pos [L, D], types {w}, ln, blocks, transform {w, b}, transform_ln, bias [V]}
        The table of the tokens also makes the scores, with a bias.
    """
    dim = config.dim
    return {
        "tokens": token_embedding_init(rng, config.tokens, dim, dtype=dtype),
        "pos": normal(rng, (config.length, dim), dim**-0.5, dtype),
        "types": token_embedding_init(rng, config.types, dim, dtype=dtype),
        "ln": layer_norm_init(rng, dim, dtype=dtype),
        "blocks": encoder_stack_init(rng, dim, config.mlp_dim, config.depth, dtype=dtype),
        "transform": linear_init(rng, dim, dim, dtype=dtype),
        "transform_ln": layer_norm_init(rng, dim, dtype=dtype),
        "bias": zeros(rng, (config.tokens,), dtype),
    }


def bert(tokens, p, config, *, mask=None, types=None, masks=NO_MASKS, keep_cache=True):
    """The scores of the token that stands at each place, or stood there before it was hidden.

        z_0 = LN(E tokens + E_pos + E_types),    z_l = block(z_{l-1}),    logits = LN(GELU(z_L w + b)) E^T + bias

    Parameters
    ----------
    tokens : integer array [B, T]
    p : the tree of `bert_init`
    config : BERTConfig
    mask : bool array [B, T], optional
        Where there is a token; nobody looks at the others. Without it, wherever there is no PADDING.
    types : integer array [B, T], optional
        Which segment a token is of; 0 without.
    masks : tree, optional
        Dropout masks, of `text_masks`, for training.
    keep_cache : bool or "inputs"
        Of the blocks, as in `vit`.

    Returns
    -------
    logits : array [B, T, V], and the cache {tokens, types, ln, dropout, blocks, transform, gelu, transform_ln, scores}

    Raises
    ------
    UsageError
        If there are more tokens than positions.
    DataError
        If a sequence is padding alone, and there is no mask.
    """
    if (T := tokens.shape[1]) > config.length:
        raise UsageError(f"found {T} tokens: the model has positions for {config.length}, expected at most that")
    c, mask = {}, no_padding(tokens, "tokens") if mask is None else mask
    z, c["tokens"] = token_embedding(tokens, p["tokens"])
    of_types, c["types"] = token_embedding(np.zeros(tokens.shape, int) if types is None else types, p["types"])
    z, c["ln"] = layer_norm(z + p["pos"][:T] + of_types, p["ln"], eps=config.eps)
    z, c["dropout"] = dropout(z, masks.get("stem"))
    bias = xp_of(z).asarray(pattern_bias(mask[:, None, None], z.dtype))
    choices = dict(norm=config.norm, heads=config.heads, gelu=config.gelu, eps=config.eps, bias=bias)
    z, c["blocks"] = encoder_stack(z, p["blocks"], masks=masks.get("blocks"), keep_cache=keep_cache, **choices)
    z, c["transform"] = linear(z, p["transform"])
    z, c["gelu"] = ACTIVATIONS[config.gelu](z)
    z, c["transform_ln"] = layer_norm(z, p["transform_ln"], eps=config.eps)
    logits, c["scores"] = token_scores(z, p["tokens"])
    return logits + p["bias"], c


def bert_backward(dlogits, p, c, config):
    """The forward pass in reverse. Returns g."""
    g = {"bias": column_sums(dlogits)}
    dz, of_scores = token_scores_backward(dlogits, p["tokens"], c["scores"])
    dz, g["transform_ln"] = layer_norm_backward(dz, p["transform_ln"], c["transform_ln"])
    dz = gelu_backward(dz, c["gelu"])
    dz, g["transform"] = linear_backward(dz, p["transform"], c["transform"])
    dz, g["blocks"] = encoder_stack_backward(dz, p["blocks"], c["blocks"], norm=config.norm)
    dz = dropout_backward(dz, c["dropout"])
    dz, g["ln"] = layer_norm_backward(dz, p["ln"], c["ln"])
    g["types"] = token_embedding_backward(dz, p["types"], c["types"])
    g["pos"] = xp_of(dz).zeros_like(p["pos"])
    g["pos"][: dz.shape[1]] = dz.sum(axis=0)
    of_tokens = token_embedding_backward(dz, p["tokens"], c["tokens"])
    return g | {"tokens": {"w": of_scores["w"] + of_tokens["w"]}}


def hide(rng, tokens, mask_token, vocabulary, *, share=0.15, first=FIRST):
    """Choose what is asked: 15 % of the tokens; of these, 80 % are hidden, 10 % replaced, 10 % left as they are.

    If all were hidden, the model would never see what it is later used on, a text without hidden tokens; and because it
    cannot know which of the seen ones are asked, it has to represent them all. The loss counts all that are asked.

    Parameters
    ----------
    rng : numpy.random.Generator
    tokens : integer array [B, T]
    mask_token : int
        The token that says: hidden.
    vocabulary : int
        V.
    share : float
        Of the tokens that are asked.
    first : int
        The first token that is not special: none below it is asked, or replaces another.

    Returns
    -------
    tokens, targets : integer arrays [B, T]
        targets are NO_TARGET wherever nothing is asked. Each sequence is asked at least once.
    """
    real = tokens >= first
    chance = np.where(real, rng.random(tokens.shape), np.inf)
    rank = chance.argsort(axis=1).argsort(axis=1)
    asked = rank < asked_counts(tokens, share, first)[:, None]
    how, others = rng.random(tokens.shape), rng.integers(first, vocabulary, tokens.shape)
    given = np.where(how < MASKED, mask_token, np.where(how < MASKED + RANDOM, others, tokens))
    return np.where(asked, given, tokens), np.where(asked, tokens, NO_TARGET)


def asked_counts(tokens, share=0.15, first=FIRST):
    """How many tokens of each sequence `hide` asks: the share of the real ones, rounded, at least one; int array [B].

    As Google's code has it. That the number is no matter of chance lets a batch be divided: each part knows its share.
    """
    real = (tokens >= first).sum(axis=1)
    return np.minimum(real, np.maximum(1, np.rint(share * real).astype(int)))
