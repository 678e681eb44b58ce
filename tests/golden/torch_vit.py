"""A small Vision Transformer in PyTorch's own functions, on tinyvit's parameters: the independent witness.

Imported only where torch is installed; `make_torch_vit.py` writes what it says to a file, so that everyone can compare.
"""

import torch
import torch.nn.functional as F

from tinyvit import trees

torch.set_num_threads(1)  # for so small a model more threads only wait, and the sums keep one order


def _linear(x, p):
    return F.linear(x, p["w"].T, p["b"])


def _layer_norm(x, p, config):
    return F.layer_norm(x, (config.dim,), p["gamma"], p["beta"], config.eps)


def _heads(x, config):
    return x.unflatten(-1, (config.heads, -1)).transpose(1, 2)


def _block(z, p, config):
    y = _layer_norm(z, p["ln1"], config)
    q, k, v = (_heads(_linear(y, p["msa"][name]), config) for name in "qkv")
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    z = z + _linear(y, p["msa"]["o"])
    y = _linear(_layer_norm(z, p["ln2"], config), p["mlp"]["fc1"])
    return z + _linear(F.gelu(y, approximate={"erf": "none", "tanh": "tanh"}[config.gelu]), p["mlp"]["fc2"])


def vit(images, p, config):
    """The logits; images are tinyvit's [B, H, W, C]."""
    P, C, D = config.patch, config.channels, config.dim
    kernel = p["patch"]["w"].reshape(P, P, C, D).permute(3, 2, 0, 1)
    z = F.conv2d(images.permute(0, 3, 1, 2), kernel, p["patch"]["b"], stride=P).flatten(2).transpose(1, 2)
    z = torch.cat([p["cls"].expand(len(z), 1, D), z], dim=1)
    if config.position == "1d":
        z = z + p["pos"]
    for block in p["blocks"]:
        z = _block(z, block, config)
    y = _layer_norm(z, p["ln"], config)[:, 0]
    if config.pre_logits:
        y = torch.tanh(_linear(y, p["pre_logits"]))
    return _linear(y, p["head"])


def _tensors(tree):
    return trees.map(lambda a: torch.tensor(a, requires_grad=True), tree)


def gradients(images, labels, p, config, *, smoothing):
    """Logits, loss, gradient of the images, and the tree of gradients, as NumPy arrays."""
    images, p = _tensors(images), _tensors(p)
    logits = vit(images, p, config)
    loss = F.cross_entropy(logits, torch.tensor(labels), label_smoothing=smoothing)
    loss.backward()
    g = trees.map(lambda t: t.grad.numpy(), p)
    return logits.detach().numpy(), loss.detach().numpy(), images.grad.numpy(), g


def train(images, labels, p, config, *, smoothing, steps, learning_rate, weight_decay, limit):
    """The parameters after some steps of torch.optim.AdamW, with clipping, and decay of the matrices only."""
    images, labels, p = torch.tensor(images), torch.tensor(labels), _tensors(p)
    decayed = [t for name, t in trees.walk(p) if name.endswith("/w")]
    others = [t for name, t in trees.walk(p) if not name.endswith("/w")]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=learning_rate)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(vit(images, p, config), labels, label_smoothing=smoothing).backward()
        torch.nn.utils.clip_grad_norm_(trees.leaves(p), limit)
        optimiser.step()
    return trees.map(lambda t: t.detach().numpy(), p)
