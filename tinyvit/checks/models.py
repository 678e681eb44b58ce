"""Cases for the whole models: every entry of every parameter, and of the images."""

import numpy as np

from tinyvit.checks.case import B, Case, D, S, drawing
from tinyvit.layers.convolutions import convolutions, convolutions_backward, convolutions_init
from tinyvit.models.cnn import CNNConfig, cnn, cnn_backward, cnn_init
from tinyvit.models.config import ViTConfig
from tinyvit.models.convstem import ConvStemConfig, convstem, convstem_backward, convstem_init
from tinyvit.models.masked import MaskedConfig, masked, masked_backward, masked_init, masked_masks
from tinyvit.models.task import label_loss, label_loss_backward
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops import convolution
from tinyvit.ops.corrupt import corrupt, corrupt_backward
from tinyvit.ops.take_rows import take_rows, take_rows_backward
from tinyvit.ops.unfold import unfold, unfold_backward

SMALL = dict(image=4, patch=2, channels=2, dim=4, depth=2, heads=2, mlp_dim=3, classes=7)  # of 4 patches, 5 tokens
QUICK = dict(gelu="tanh")  # erf, term by term, takes half of the time; each is right by itself, and in `vit`
DISTINCT = dict(dim=6, heads=3)  # with which no two of N, T, D, M, K are the same
IMAGES = 3


def models(array, randomised):
    """Cases for the whole model: every entry of every parameter, and of the images."""
    return _vits(
        {
            "vit": ({}, True),
            "vit/class row": (QUICK | DISTINCT, False),
            "vit/no position": (QUICK | dict(position="none", depth=1), True),
            "vit/dropout, pre_logits, tanh": (dict(dropout=0.3, pre_logits=5, gelu="tanh"), False),
        },
        array,
        randomised,
    )


def model_variants(rng):
    """Cases for the whole model in its variants: each kind of position, place, readout, block and scale in one of them.

    Two blocks where tables of several blocks are concerned, one where one will do. Not every combination: that a block
    and its positions are right is known from the cases of `block`, and how blocks follow each other does not depend on
    the kind.
    """
    two = {
        "vit/1d, shared": (dict(position="1d", position_at="shared"), False),
        "vit/2d, layers": (dict(position="2d", position_at="layers"), False),
        "vit/relative, layers": (dict(position="relative", position_at="layers"), False),
    }
    one = {
        "vit/sinusoidal, shared": dict(position="sinusoidal", position_at="shared"),
        "vit/mean, 2d, dropout": dict(pool="mean", position="2d", dropout=0.3),
        "vit/rectangle": dict(image=(2, 6)),
        "vit/norm after the mean": dict(pool="mean_norm"),
        "vit/mean beside a class token": dict(pool="patch_mean"),
        "vit/post-norm, no scale": dict(norm="post", scale="none"),
        "vit/mean, relative, post-norm": dict(pool="mean", position="relative", position_at="shared", norm="post"),
    }
    variants = two | {name: (options | {"depth": 1}, False) for name, options in one.items()}
    return _vits({name: (QUICK | options, all_rows) for name, (options, all_rows) in variants.items()}, *drawing(rng))


def _vits(variants, array, randomised):
    """A case of the whole model for each variant: what its config has other than SMALL, and whether it runs in full."""
    cases = {}
    for name, (options, all_rows) in variants.items():
        config = ViTConfig(**SMALL | options)
        masks = vit_masks(np.random.default_rng(1), config, IMAGES, all_rows=all_rows, dtype=np.float64)
        cases[name] = Case(
            vit,
            lambda dy, p, c, config=config: vit_backward(dy, p, c, config),
            (array(IMAGES, *config.size, config.channels), randomised(vit_init(None, config))),
            dict(config=config, masks=masks, all_rows=all_rows),
        )
    return cases


def convolutional(rng):
    """Cases for convolutions whose windows overlap, end at the image's edge, or leave gaps; for stacks of them, for the
    CNN, and for a ViT with a convolutional stem.
    """
    array, randomised = drawing(rng)
    x, config = array(B, 5, 6, 4), CNNConfig(image=5, channels=2, classes=6, widths=(3, 4))
    cases = {}
    for variant, kernel, stride in ("", 3, 1), ("/stride", 3, 2), ("/even", 2, 1), ("/gaps", 2, 3):
        cases["unfold" + variant] = Case(
            unfold,
            lambda dy, c, stride=stride: unfold_backward(dy, c, stride),
            (x,),
            dict(kernel=kernel, stride=stride),
        )
        cases["convolution" + variant] = Case(
            convolution.convolution,
            lambda dy, c, stride=stride: convolution.convolution_backward(dy, c, stride),
            (x, array(kernel, kernel, 4, 3), array(3)),
            dict(stride=stride),
        )
    p = randomised(cnn_init(None, config))
    model = Case(cnn, lambda dy, p, c: cnn_backward(dy, p, c, config), (array(2, 5, 5, 2), p), dict(config=config))
    p = randomised(convolutions_init(None, 2, (3, 4)))
    cases |= {"cnn": model, "convolutions": Case(convolutions, convolutions_backward, (array(B, 5, 6, 2), p))}
    vit = ViTConfig(image=2, patch=2, dim=4, depth=1, heads=2, mlp_dim=3, classes=3, **QUICK)
    stem = ConvStemConfig(vit, image=6, channels=2, widths=(3, 5))  # the map has 2 x 2 places, in one patch
    cases["convstem"] = Case(
        convstem,
        lambda dy, p, c: convstem_backward(dy, p, c, stem),
        (array(B, 6, 6, 2), randomised(convstem_init(None, stem))),
        dict(config=stem),
    )
    return cases


def masked_patches(rng):
    """Cases for rows that are taken twice or not at all, and for masked patch prediction."""
    array, randomised = drawing(rng)
    rows, source = np.array([[2, 0, 2, 1], [4, 4, 4, 3]]), np.array([[5, 1, 1, 3, 5], [0, 4, 2, 5, 4]])
    found = {
        "take_rows": Case(take_rows, take_rows_backward, (array(B, S, D), rows)),
        "corrupt": Case(corrupt, corrupt_backward, (array(B, S, D), array(D), source)),
        "label_loss": Case(
            lambda y, labels, **options: label_loss(y, {"labels": labels}, **options),
            label_loss_backward,
            (array(2, 4, D), rows),
            dict(label_smoothing=0.1),
        ),
    }
    variants = {
        "masked": {},
        "masked/mean, relative, post-norm": dict(pool="mean", position="relative", position_at="shared", norm="post"),
        "masked/dropout": dict(dropout=0.3, depth=1),
    }
    for name, options in variants.items():
        sizes = SMALL | QUICK | DISTINCT | dict(channels=1)
        config = MaskedConfig(ViTConfig(**sizes | options), corrupted=0.75)
        images = array(IMAGES, 4, 4, 1)
        found[name] = Case(
            masked,
            lambda dy, p, c, config=config: masked_backward(dy, p, c, config),
            (images, randomised(masked_init(None, config))),
            dict(config=config, masks=masked_masks(rng, config, len(images), dtype=np.float64)),
        )
    return found
