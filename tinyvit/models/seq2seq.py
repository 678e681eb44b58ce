"""From sequence to sequence (Sutskever et al. 2014; Cho et al. 2014), and with attention (Bahdanau et al. 2015).

An encoder reads, a decoder writes. Without attention, everything that the decoder knows of the source is the state in
which the encoder ended: one vector, however long the source. With attention it looks at all states of the encoder, for
each token anew. The arrangement is Luong's (Luong et al. 2015, section 3): the decoder's state looks, and what it finds
joins it before the output, so that in training all steps look at once.
"""

from dataclasses import dataclass

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.alignment import ALIGNMENTS
from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.layers.recurrence import CELLS
from tinyvit.layers.recurrent_stack import (
    last_states,
    recurrent_stack,
    recurrent_stack_backward,
    recurrent_stack_init,
)
from tinyvit.layers.token_embedding import token_embedding, token_embedding_backward, token_embedding_init
from tinyvit.models.config import Config
from tinyvit.models.sizes import check_whole
from tinyvit.ops.patterns import pattern_bias
from tinyvit.ops.tanh import tanh, tanh_backward
from tinyvit.ops.tokens import no_padding, shifted

SCORES = ("none", *ALIGNMENTS)


@dataclass(frozen=True)
class Seq2SeqConfig(Config):
    """The configuration of a recurrent encoder and decoder.

    Parameters
    ----------
    source_tokens, target_tokens : int
        The sizes of the two vocabularies.
    source_length, target_length : int
        Tokens of a sequence at most, the one that ends it included.
    dim : int
        H: width of the states and of the embeddings.
    cell : str
        "gru", "gru_after" (the reset gate after the product) or "lstm".
    layers : int
        Recurrent layers of the encoder, and of the decoder.
    both : bool
        Whether the encoder reads in both directions.
    score : str
        "none" is without attention; "dot", "general" or "additive" is how a decoder's state is matched with an
        encoder's.

    Raises
    ------
    UsageError
        If a value is not possible.
    """

    source_tokens: int = 13
    target_tokens: int = 13
    source_length: int = 16
    target_length: int = 17
    dim: int = 32
    cell: str = "gru"
    layers: int = 1
    both: bool = False
    score: str = "none"

    def __post_init__(self):
        for name in ("source_tokens", "target_tokens", "source_length", "target_length", "dim", "layers"):
            check_whole(name, getattr(self, name))
        for name, choices in (("cell", tuple(CELLS)), ("score", SCORES)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(choices)}")
        if type(self.both) is not bool:
            raise UsageError(f"both is {self.both!r}: expected True or False")
        if self.score == "dot" and self.both:
            raise UsageError(
                "score is 'dot': it needs states of one width, and both directions give two: use 'general'"
            )

    @property
    def memory_dim(self):
        """The width of what the encoder shows of each token."""
        return self.dim * (1 + self.both)


@dataclass(frozen=True)
class AttentionConfig(Seq2SeqConfig):
    """The configuration of a recurrent encoder and decoder with attention: as Seq2SeqConfig, with another default.

    Parameters
    ----------
    score : str
        How a decoder's state is matched with an encoder's: "additive", "general" or "dot".
    """

    score: str = "additive"

    def __post_init__(self):
        super().__post_init__()
        if self.score == "none":
            raise UsageError(
                f"score is 'none': expected one of {', '.join(ALIGNMENTS)}; without attention it is a seq2seq"
            )

    @classmethod
    def settings(cls):
        """Those of Seq2SeqConfig, which describes them, and the score."""
        return Seq2SeqConfig.settings() | {"score": (cls, str)}


def seq2seq_init(rng, config, *, dtype="float32"):
    """The parameters.

    Returns
    -------
    p : {source {w}, encoder, bridge [{w, b} for each layer], target {w}, decoder, alignment, attended {w, b}, head}
        bridge is there where the encoder reads in both directions, alignment and attended where there is attention.
    """
    dim, both, layers, cell = config.dim, config.both, config.layers, config.cell
    options = dict(layers=layers, cell=cell, dtype=dtype)
    p = {"source": token_embedding_init(rng, config.source_tokens, dim, dtype=dtype)}
    p["encoder"] = recurrent_stack_init(rng, dim, dim, both=both, **options)
    if both:
        state = CELLS[cell].states * dim
        p["bridge"] = [linear_init(rng, 2 * state, state, dtype=dtype) for _ in range(layers)]
    p["target"] = token_embedding_init(rng, config.target_tokens, dim, dtype=dtype)
    p["decoder"] = recurrent_stack_init(rng, dim, dim, **options)
    if config.score != "none":
        p["alignment"] = ALIGNMENTS[config.score].init(rng, dim, config.memory_dim, dtype=dtype)
        p["attended"] = linear_init(rng, dim + config.memory_dim, dim, dtype=dtype)
    p["head"] = linear_init(rng, dim, config.target_tokens, dtype=dtype)
    return p


def seq2seq(batch, p, config):
    """The scores of every next token, given the true ones before it (teacher forcing).

    Parameters
    ----------
    batch : {source [B, S], target [B, T]}
        Tokens, PADDING behind the end of each.
    p : the tree of `seq2seq_init`
    config : Seq2SeqConfig

    Returns
    -------
    logits : array [B, T, V], and the cache {encoder, decoder}
        The alignment map is c["decoder"]["alignment"]["att"]["a"], [B, T, S].
    """
    c = {}
    memory, c["encoder"] = encode(batch["source"], p, config)
    logits, _, c["decoder"] = decode(shifted(batch["target"]), memory["states"], memory, p, config)
    return logits, c


def encode(source, p, config):
    """Read the source.

    Parameters
    ----------
    source : integer array [B, S]

    Returns
    -------
    memory : {shown [B, S, E], bias [B, 1, S], states [[array [B, S H]] for each layer]}
        What the decoder may look at, the bias that hides padding, and the states from which it starts.
    c : {source, encoder, bridge}

    Raises
    ------
    DataError
        If a source is padding alone.
    """
    c = {}
    mask = no_padding(source, "source")
    x, c["source"] = token_embedding(source, p["source"])
    shown, c["encoder"] = recurrent_stack(x, p["encoder"], cell=config.cell, mask=mask)
    states = last_states(c["encoder"])
    if "bridge" in p:
        c["bridge"] = []
        for number, layer in enumerate(states):
            state, c_linear = linear(xp_of(shown).concatenate(layer, axis=1), p["bridge"][number])
            state, c_tanh = tanh(state)
            states[number] = [state]
            c["bridge"].append({"linear": c_linear, "tanh": c_tanh})
    bias = xp_of(shown).asarray(pattern_bias(mask[:, None], shown.dtype))
    return {"shown": shown, "bias": bias, "states": states}, c


def encode_backward(dshown, dstates, p, c, config):
    """The encoder's gradients: of what it showed, [B, S, E] or None, and of the states it ended in. Returns g."""
    g = {}
    if "bridge" in p:
        g["bridge"] = []
        for number, (dstate,) in enumerate(dstates):
            dstate = tanh_backward(dstate, c["bridge"][number]["tanh"])
            dstate, of_layer = linear_backward(dstate, p["bridge"][number], c["bridge"][number]["linear"])
            g["bridge"].append(of_layer)
            half = dstate.shape[1] // 2
            dstates[number] = [dstate[:, :half], dstate[:, half:]]
    dx, _, g["encoder"] = recurrent_stack_backward(dshown, p["encoder"], c["encoder"], cell=config.cell, dlast=dstates)
    return g | {"source": token_embedding_backward(dx, p["source"], c["source"])}


def decode(tokens, states, memory, p, config):
    """The scores of the token after each of these, from the decoder's states on; in decoding, one token at a time.

        s_t = cell(E y_{t-1}, s_{t-1})
        c_t = alignment of s_t with what the encoder showed
        h_t = tanh([s_t; c_t] W_c),    logits = h_t W

    Without attention, h_t is s_t.

    Parameters
    ----------
    tokens : integer array [B, T]
    states : [[array [B, S H]] for each layer]
    memory : of `encode`

    Returns
    -------
    logits : array [B, T, V]
    states : as states, after the last token
    c : {target, decoder, alignment, attended, tanh, head}
    """
    c = {}
    x, c["target"] = token_embedding(tokens, p["target"])
    s, c["decoder"] = recurrent_stack(x, p["decoder"], cell=config.cell, start=states)
    if config.score != "none":
        look = ALIGNMENTS[config.score].forward
        found, c["alignment"] = look(s, memory["shown"], p["alignment"], bias=memory["bias"])
        s, c["attended"] = linear(xp_of(s).concatenate([s, found], axis=-1), p["attended"])
        s, c["tanh"] = tanh(s)
    logits, c["head"] = linear(s, p["head"])
    return logits, last_states(c["decoder"]), c


def seq2seq_start(source, p, config):
    """The state in which decoding begins. Every array of a state has an example in each row."""
    memory, _ = encode(source, p, config)
    return {"memory": memory, "states": memory["states"]}


def seq2seq_step(tokens, state, p, config):
    """The scores [B, V] of the token after these, the last ones so far, [B]; and the state after them."""
    logits, states, _ = decode(tokens[:, None], state["states"], state["memory"], p, config)
    return logits[:, -1], state | {"states": states}


def seq2seq_backward(dlogits, p, c, config):
    """The forward pass in reverse. Tokens have no gradient.

    Parameters
    ----------
    dlogits : array [B, T, V]

    Returns
    -------
    g : a tree like p
    """
    g, of_decoder = {}, c["decoder"]
    ds, g["head"] = linear_backward(dlogits, p["head"], of_decoder["head"])
    shown = c["encoder"]["encoder"][-1]
    B, S = shown[0]["states"].shape[:2]
    dshown = xp_of(dlogits).zeros((B, S, config.memory_dim), dlogits.dtype)
    if config.score != "none":
        ds = tanh_backward(ds, of_decoder["tanh"])
        ds, g["attended"] = linear_backward(ds, p["attended"], of_decoder["attended"])
        ds, dfound = ds[..., : config.dim], ds[..., config.dim :]
        look_backward = ALIGNMENTS[config.score].backward
        dquery, dshown, g["alignment"] = look_backward(dfound, p["alignment"], of_decoder["alignment"])
        ds = ds + dquery
    dx, dstates, g["decoder"] = recurrent_stack_backward(ds, p["decoder"], of_decoder["decoder"], cell=config.cell)
    g["target"] = token_embedding_backward(dx, p["target"], of_decoder["target"])
    return g | encode_backward(dshown, dstates, p, c["encoder"], config)
