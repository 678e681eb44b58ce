"""What training knows of a model: how it starts, its two passes, and what is drawn for a step. So it trains any.

A configuration's class says which model it is of; a further model is a further entry in the table MODELS.
"""

from collections.abc import Callable
from typing import NamedTuple

from tinyvit import trees
from tinyvit.models.cnn import CNNConfig, cnn, cnn_backward, cnn_init
from tinyvit.models.config import ViTConfig
from tinyvit.models.hiding import hidden_colours, masked_masks
from tinyvit.models.masked import MaskedConfig, masked, masked_backward, masked_init
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.dropout import NO_MASKS


class Model(NamedTuple):
    """One model.

    config                                                  the class of its configurations
    init(rng, config)                                       its parameters; with rng=None, their shapes
    forward(images, p, config, *, masks, full, keep)        -> y [n, K], c; as of `vit`
    backward(dy, p, c, config)                              -> dimages, g
    draw(rng, config, images, labels, *, full, dtype)       -> masks for the forward pass, and the targets [n] of y
    classifies                                              y has a row for each image, and a column for each label
    """

    config: type
    init: Callable
    forward: Callable
    backward: Callable
    draw: Callable
    classifies: bool = True


def _draw_vit(rng, config, images, labels, *, full, dtype):
    return vit_masks(rng, config, len(images), full=full, dtype=dtype), labels


def _cnn(images, p, config, *, masks=NO_MASKS, full=True, keep=True):
    """`cnn`, which has no masks, no rows that it could leave out, and a cache that is small."""
    return cnn(images, p, config)


def _draw_nothing(rng, config, images, labels, *, full, dtype):
    return NO_MASKS, labels


def _masked(images, p, config, *, masks=NO_MASKS, full=True, keep=True):
    """`masked`, which reads patches all over the image: no row could be left out."""
    return masked(images, p, config, masks=masks, keep=keep)


def _draw_masked(rng, config, images, labels, *, full, dtype):
    """What is hidden, and what is to be found there: the labels are not looked at."""
    masks = masked_masks(rng, config, images, dtype=dtype)
    return masks, hidden_colours(images, masks, config)


MODELS = {
    "vit": Model(ViTConfig, vit_init, vit, vit_backward, _draw_vit),
    "cnn": Model(CNNConfig, cnn_init, _cnn, cnn_backward, _draw_nothing),
    "masked": Model(MaskedConfig, masked_init, _masked, masked_backward, _draw_masked, classifies=False),
}


def name_of(config):
    """The name, in MODELS, of the model that a configuration is of."""
    return next(name for name, model in MODELS.items() if type(config) is model.config)


def model_of(config):
    """The model that a configuration is of."""
    return MODELS[name_of(config)]


def parameter_count(config):
    """How many parameters a configuration has, without making any."""
    return trees.count(model_of(config).init(None, config))
