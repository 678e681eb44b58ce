"""The shape ledger: the dataflow of a Vision Transformer, row by row.

The shapes are not formulas: the model runs, with one block, on one blank image, and they are read from its cache. All
blocks are alike, so the block's rows are then repeated.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.models.vit import vit, vit_init


class Row(NamedTuple):
    """One step of the dataflow; the shape is of one image, multiply-adds and bytes are of the batch."""

    name: str
    shape: tuple
    parameters: int
    multiply_adds: int
    bytes: int  # of the result, in float32


def ledger(config, batch=1):
    """Every step of the forward pass: name, shape of its result, parameters, multiply-adds (of matrix products), bytes.

    Parameters
    ----------
    config : ViTConfig
    batch : int
        Images.

    Returns
    -------
    list of Row
    """
    single = dataclasses.replace(config, depth=1)
    p = trees.map(np.array, vit_init(None, single))
    image = np.zeros((1, config.image, config.image, config.channels), np.float32)
    logits, c = vit(image, p, single)

    def row(name, result, p=None, multiply_adds=0):
        """A step whose result has the shape of this array, less the batch."""
        parameters = 0 if p is None else trees.count(p)
        return Row(name, result.shape[1:], parameters, batch * multiply_adds, batch * result[0].nbytes)

    def linear(name, result, p):
        """A linear layer: each number of its result is a sum over the rows of w."""
        return row(name, result, p, result[0].size * p["w"].shape[0])

    rows = [*_stem(c, p, row, linear)]
    for i in range(config.depth):
        rows += [r._replace(name=f"blocks/{i}/{r.name}") for r in _block(c["blocks"][0], p["blocks"][0], row, linear)]
    rows += [row("class_row", c["class_row"]["z"][:, 0]), row("ln", c["ln"]["xhat"], p["ln"])]
    if "pre_logits" in p:
        rows.append(linear("pre_logits", c["pre_logits"]["tanh"]["y"], p["pre_logits"]))
    return [*rows, linear("head", logits, p["head"])]


def _stem(c, p, row, linear):
    """From the image to z_0: equation 1."""
    image, tokens = c["patch"]["patches"]["x"], c["blocks"][0]["ln1"]["xhat"]
    patches = c["patch"]["linear"]["x"]
    projected = tokens[:, 1:]
    _, H, W, C = image.shape
    P = round((patches.shape[-1] / C) ** 0.5)
    grid = (1, H // P, W // P)
    return (
        row("image", image),
        row("patches", patches.reshape(*grid, P, P, C)),
        linear("patch", projected.reshape(*grid, -1), p["patch"]),
        row("sequence", projected),
        row("cls", tokens, p["cls"]),
        row("pos", tokens, p["pos"]),
    )


def _block(c, p, row, linear):
    """One encoder block: equations 2 and 3."""
    q, a, stream = c["msa"]["att"]["q"], c["msa"]["att"]["a"], c["ln2"]["xhat"]
    hidden = c["mlp"]["gelu"]["dydx"]
    inner = a[0].size * q.shape[-1]  # multiply-adds of q k^T, and of a v
    return (
        row("ln1", c["ln1"]["xhat"], p["ln1"]),
        *(row(f"msa/{name}", q, p["msa"][name], q[0].size * p["msa"][name]["w"].shape[0]) for name in "qkv"),
        row("msa/att/a", a, multiply_adds=inner),
        row("msa/att", q, multiply_adds=inner),
        linear("msa/o", stream, p["msa"]["o"]),
        row("ln2", stream, p["ln2"]),
        linear("mlp/fc1", hidden, p["mlp"]["fc1"]),
        row("mlp/gelu", hidden),
        linear("mlp/fc2", stream, p["mlp"]["fc2"]),
    )
