"""The Vision Transformer in PyTorch, as a good engineer would write it: what tinyvit is measured against.

Fused query-key-value projection, PyTorch's own attention, GELU and LayerNorm kernels. Imported only where PyTorch is
installed, by the contender that it is.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A pre-norm encoder block; rows=1 computes the class row alone, as tinyvit's last block does."""

    def __init__(self, config, rows=None):
        super().__init__()
        self.heads, self.rows, D = config.heads, rows, config.dim
        self.ln1, self.ln2 = (nn.LayerNorm(D, eps=config.eps) for _ in range(2))
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.fc1, self.fc2 = nn.Linear(D, config.mlp_dim), nn.Linear(config.mlp_dim, D)

    def forward(self, z):
        y, D = self.ln1(z), z.shape[-1]
        if self.rows:
            q = F.linear(y[:, : self.rows], self.qkv.weight[:D], self.qkv.bias[:D])
            k, v = F.linear(y, self.qkv.weight[D:], self.qkv.bias[D:]).chunk(2, -1)
        else:
            q, k, v = self.qkv(y).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        z = z[:, : self.rows] + self.out(y)
        return z + self.fc2(F.gelu(self.fc1(self.ln2(z))))


class ViT(nn.Module):
    """The model of a ViTConfig; images are [B, H, W, C], as tinyvit's."""

    def __init__(self, config, class_row=False):
        super().__init__()
        self.patch, D = config.patch, config.dim
        self.embed = nn.Linear(config.patch**2 * config.channels, D)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, D)), nn.Parameter(torch.randn(1, config.tokens, D) * 0.02)
        rows = [None] * (config.depth - 1) + [1 if class_row else None]
        self.blocks = nn.Sequential(*(Block(config, r) for r in rows))
        self.ln, self.head = nn.LayerNorm(D, eps=config.eps), nn.Linear(D, config.classes)

    def forward(self, x):
        x = x.unflatten(1, (-1, self.patch)).unflatten(3, (-1, self.patch)).swapaxes(2, 3)  # [B, H/P, W/P, P, P, C]
        z = self.embed(x.flatten(3).flatten(1, 2))
        z = torch.cat([self.cls.expand(len(z), -1, -1), z], 1) + self.pos
        return self.head(self.ln(self.blocks(z)[:, 0]))


def train_step(model, inputs, targets, ignored=-100):
    """A function that does one step of training: forward, backward, fused AdamW. It returns the loss.

    Inputs and targets are arrays; a target that is `ignored` does not count.
    """
    inputs, targets = [torch.from_numpy(x) for x in inputs], torch.from_numpy(targets).flatten()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)

    def step():
        optimiser.zero_grad()
        loss = F.cross_entropy(model(*inputs).flatten(0, -2), targets, ignore_index=ignored)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def infer_step(model, images):
    """A function that computes the logits once."""
    model, images = model.eval(), torch.from_numpy(images)

    def step():
        with torch.inference_mode():
            return model(images).numpy()

    return step
