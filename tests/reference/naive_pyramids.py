"""The plain twins of Swin and of the hybrid's ResNet, token by token and pixel by pixel. No tinyvit is imported here.

Swin's twin knows no roll and no mask: its windows are displaced where they are, and cut at the border of the map.
"""

import math

import numpy as np

from tests.reference import naive


def window_attention(x, p, heads, shift):
    """Every token asks those of its displaced window, each by its row and column."""
    B, H, W, C = x.shape
    M, d = (math.isqrt(len(p["table"])) + 1) // 2, C // heads
    q, k, v = (naive.linear(x, p[name]) for name in "qkv")
    y = np.zeros_like(x)
    for b in range(B):
        for i, j in np.ndindex(H, W):
            window = [
                (r, s)
                for r, s in np.ndindex(H, W)
                if (r - shift) // M == (i - shift) // M and (s - shift) // M == (j - shift) // M
            ]
            for h in range(heads):
                part = slice(h * d, (h + 1) * d)
                scores = [
                    float(q[b, i, j, part] @ k[b, r, s, part]) / math.sqrt(d)
                    + p["table"][(i - r + M - 1) * (2 * M - 1) + (j - s + M - 1), h]
                    for r, s in window
                ]
                weights = naive.softmax(np.array(scores))
                y[b, i, j, part] = sum(w * v[b, r, s, part] for w, (r, s) in zip(weights, window, strict=True))
    return naive.linear(y, p["o"])


def patch_merging(x, p, eps):
    """Four neighbours, the row running fastest; beyond an odd side, zeros."""
    B, H, W, C = x.shape
    y = np.zeros((B, -(-H // 2), -(-W // 2), 4 * C))
    for b, i, j in np.ndindex(*y.shape[:3]):
        for number, (r, s) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            if 2 * i + r < H and 2 * j + s < W:
                y[b, i, j, number * C : (number + 1) * C] = x[b, 2 * i + r, 2 * j + s]
    return naive.layer_norm(y, p["ln"], eps) @ p["reduction"]["w"]


def swin_block(x, p, heads, shift, activation, eps):
    x = x + window_attention(naive.layer_norm(x, p["ln1"], eps), p["msa"], heads, shift)
    return x + naive.mlp(naive.layer_norm(x, p["ln2"], eps), p["mlp"], activation)


def swin(images, p, *, patch, heads, window, eps, activation=naive.gelu):
    """From the paper: blocks whose windows stand, and are displaced, in turns."""
    x = naive.layer_norm(naive.linear(naive.patchify(images, patch), p["patch"]), p["patch_ln"], eps)
    x = x.reshape(len(x), images.shape[1] // patch, images.shape[2] // patch, -1)
    for stage, count in zip(p["stages"], heads, strict=True):
        several = x.shape[1] > window
        for number, block in enumerate(stage["blocks"]):
            x = swin_block(x, block, count, window // 2 if number % 2 and several else 0, activation, eps)
        if "merging" in stage:
            x = patch_merging(x, stage["merging"], eps)
    y = naive.layer_norm(x, p["ln"], eps).reshape(len(x), -1, x.shape[-1]).mean(axis=1)
    return naive.linear(y, p["head"])


def standardise(w, kind):
    """Each output channel by itself."""
    y = np.zeros_like(w)
    for o in range(w.shape[-1]):
        kernel = w[..., o]
        mean = kernel.sum() / kernel.size
        variance = ((kernel - mean) ** 2).sum() / kernel.size
        y[..., o] = (kernel - mean) / (math.sqrt(variance) + 1e-5 if kind == "std" else math.sqrt(variance + 1e-8))
    return y


def group_norm(x, p, groups, eps):
    """Each image and group by itself."""
    y, size = np.zeros_like(x), x.shape[-1] // groups
    for b, g in np.ndindex(len(x), groups):
        part = slice(g * size, (g + 1) * size)
        values = x[b, :, :, part]
        mean = values.sum() / values.size
        variance = ((values - mean) ** 2).sum() / values.size
        y[b, :, :, part] = (values - mean) / math.sqrt(variance + eps)
    return y * p["gamma"] + p["beta"]


def max_pool(x, kernel, stride):
    """Window by window, over those of its pixels that are in the image."""
    B, H, W, C = x.shape
    (top, _), (left, _) = (naive.same_padding(side, kernel, stride) for side in (H, W))
    y = np.zeros((B, -(-H // stride), -(-W // stride), C))
    for b, i, j, n in np.ndindex(*y.shape):
        inside = [
            x[b, r, s, n]
            for r in range(i * stride - top, i * stride - top + kernel)
            for s in range(j * stride - left, j * stride - left + kernel)
            if 0 <= r < H and 0 <= s < W
        ]
        y[b, i, j, n] = max(inside)
    return y


def standardised_convolution(x, p, stride, groups, eps, kind):
    w = standardise(p["w"], kind)
    y = naive.same_convolution(x, w, np.zeros(w.shape[-1]), stride)
    return group_norm(y, p["gn"], groups, eps)


def bottleneck(x, p, stride, *options):
    y = np.maximum(standardised_convolution(x, p["conv1"], 1, *options), 0)
    y = np.maximum(standardised_convolution(y, p["conv2"], stride, *options), 0)
    y = standardised_convolution(y, p["conv3"], 1, *options)
    shortcut = standardised_convolution(x, p["proj"], stride, *options) if "proj" in p else x
    return np.maximum(shortcut + y, 0)


def resnet(x, p, groups, eps, kind):
    x = max_pool(np.maximum(standardised_convolution(x, p["stem"], 2, groups, eps, kind), 0), 3, 2)
    for number, units in enumerate(p["stages"]):
        for i, unit in enumerate(units):
            x = bottleneck(x, unit, 2 if number and not i else 1, groups, eps, kind)
    return x
