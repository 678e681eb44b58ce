"""What training knows of a model: how it starts, its two passes, and what is drawn for a step. So it trains any.

A configuration's class says which model it is of; a further model is a further entry in the table MODELS.
"""

from collections.abc import Callable
from typing import NamedTuple

from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks


class Model(NamedTuple):
    """One model.

    config                                                  the class of its configurations
    init(rng, config)                                       its parameters; with rng=None, their shapes
    forward(images, p, config, *, masks, full, keep)        -> y [n, K], c; as of `vit`
    backward(dy, p, c, config)                              -> dimages, g
    draw(rng, config, images, labels, *, full, dtype)       -> masks for the forward pass, and the targets [n] of y
    """

    config: type
    init: Callable
    forward: Callable
    backward: Callable
    draw: Callable


def _draw_vit(rng, config, images, labels, *, full, dtype):
    return vit_masks(rng, config, len(images), full=full, dtype=dtype), labels


MODELS = {"vit": Model(ViTConfig, vit_init, vit, vit_backward, _draw_vit)}


def name_of(config):
    """The name, in MODELS, of the model that a configuration is of."""
    return next(name for name, model in MODELS.items() if type(config) is model.config)


def model_of(config):
    """The model that a configuration is of."""
    return MODELS[name_of(config)]


def parameter_count(config):
    """How many parameters a configuration has, without making any."""
    return trees.count(model_of(config).init(None, config))
