"""The Transformer and the recurrent encoder-decoder in PyTorch, as most who use PyTorch write them: the other side.

The first is made of the layers of nn.Transformer as they come, the second of nn.GRU with packed sequences, so that
padding is not read; both with masks, teacher forcing and a loss that ignores padding. Imported only where PyTorch is
installed, by the contender that it is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tinyvit.layers.position import sinusoidal_position
from tinyvit.ops.tokens import PADDING, SPECIAL, START


class Transformer(nn.Module):
    """The model of a pre-norm TransformerConfig, whose score for a token is a product with its embedding."""

    def __init__(self, config):
        super().__init__()
        D, length = config.dim, max(config.source_length, config.target_length)
        self.source, self.target = nn.Embedding(config.source_tokens, D), nn.Embedding(config.target_tokens, D)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=D**-0.5)
        waves, _ = sinusoidal_position(np.zeros((1, length, D)), {})
        self.register_buffer("positions", torch.from_numpy(waves[0]).float())
        sizes = (D, config.heads, config.mlp_dim)
        choices = dict(dropout=0.0, layer_norm_eps=config.eps, batch_first=True, norm_first=True)
        encoder, decoder = (
            make(*sizes, **choices) for make in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
        )
        norms = [nn.LayerNorm(D, config.eps) for _ in range(2)]
        self.encoder = nn.TransformerEncoder(encoder, config.depth, norms[0], enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder, config.depth, norms[1])

    def forward(self, source, target):
        return self.decode(shifted(target), *self.encode(source))

    def encode(self, source):
        padding = source == PADDING
        return self.encoder(self.embed(source, self.source), src_key_padding_mask=padding), padding

    def decode(self, tokens, memory, padding):
        ahead = torch.ones(2 * tokens.shape[1:], dtype=torch.bool).triu(1)
        masks = dict(tgt_mask=ahead, tgt_is_causal=True, memory_key_padding_mask=padding)
        z = self.decoder(self.embed(tokens, self.target), memory, **masks)
        return F.linear(z, self.target.weight)

    def embed(self, tokens, table):
        x = table(tokens)
        return x * x.shape[-1] ** 0.5 + self.positions[: x.shape[1]]


class Seq2Seq(nn.Module):
    """The model of a Seq2SeqConfig of one direction whose cell is nn.GRU's, with no attention, dot or additive."""

    def __init__(self, config):
        super().__init__()
        H, self.score = config.dim, config.score
        self.source, self.target = nn.Embedding(config.source_tokens, H), nn.Embedding(config.target_tokens, H)
        self.encoder, self.decoder = (nn.GRU(H, H, config.layers, batch_first=True) for _ in range(2))
        if self.score == "additive":
            self.q, self.k, self.v = (nn.Linear(H, n, bias=False) for n in (H, H, 1))
        if self.score != "none":
            self.attended = nn.Linear(2 * H, H)
        self.head = nn.Linear(H, config.target_tokens)

    def forward(self, source, target):
        padding = source == PADDING
        packed = pack_padded_sequence(self.source(source), (~padding).sum(1), True, enforce_sorted=False)
        shown, state = self.encoder(packed)
        s, _ = self.decoder(self.target(shifted(target)), state)
        if self.score != "none":
            shown, _ = pad_packed_sequence(shown, True, total_length=source.shape[1])
            s = torch.tanh(self.attended(torch.cat([s, self.look(s, shown, padding)], -1)))
        return self.head(s)

    def look(self, s, shown, padding):
        if self.score == "dot":
            scores = s @ shown.transpose(1, 2)
        else:
            scores = self.v(torch.tanh(self.q(s)[:, :, None] + self.k(shown)[:, None]))[..., 0]
        return scores.masked_fill(padding[:, None], float("-inf")).softmax(-1) @ shown


def shifted(target):
    """The start token, then the true tokens but the last."""
    return F.pad(target[:, :-1], (1, 0), value=START)


def decode_step(model, source, length):
    """A function that writes so many tokens for each source, greedily; the decoder reads all before again for each."""
    model, source = model.eval(), torch.from_numpy(source)

    def step():
        with torch.inference_mode():
            memory, tokens = model.encode(source), torch.full((len(source), 1), START)
            for _ in range(length):
                scores = model.decode(tokens, *memory)[:, -1, len(SPECIAL) :]
                tokens = torch.cat([tokens, scores.argmax(-1, keepdim=True) + len(SPECIAL)], 1)
            return tokens[:, 1:].numpy()

    return step
