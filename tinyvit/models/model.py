"""The interface between models and all that trains, saves, lists and examines them.

The type of a configuration determines the model. To add a model, write a file and add an entry to MODELS.
"""

import math
from collections.abc import Mapping
from typing import Any

from tinyvit import trees
from tinyvit.annotations import Array, Batch, Tree
from tinyvit.errors import UsageError
from tinyvit.models import views
from tinyvit.models.cnn import CNNConfig, cnn, cnn_backward, cnn_init
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.convstem import ConvStemConfig, convstem, convstem_backward, convstem_init
from tinyvit.models.entry import Model
from tinyvit.models.hybrid import HybridConfig, hybrid, hybrid_backward, hybrid_init
from tinyvit.models.masked import MaskedConfig, masked, masked_backward, masked_colours, masked_init, masked_masks
from tinyvit.models.presets import PRESETS
from tinyvit.models.sequences import SEQUENCE_MODELS
from tinyvit.models.swin import SwinConfig, swin, swin_backward, swin_init, swin_masks
from tinyvit.models.task import classification, colour_prediction
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.names import expected, nearest
from tinyvit.ops.dropout import NO_MASKS


def _of_images(backward):
    """The backward pass of a model of images in the form that MODELS has: the gradient of the images by their name."""

    def backward_of_batch(dy, p, c, config, **keywords):
        dimages, g = backward(dy, p, c, config, **keywords)
        return {} if dimages is None else {"images": dimages}, g

    return backward_of_batch


def _vit(batch, p, config, **keywords):
    return vit(batch["images"], p, config, **keywords)


def _draw_vit(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    masks = vit_masks(rng, config, len(batch["images"]), all_rows=all_rows, dtype=dtype) if training else NO_MASKS
    return batch, masks


def _cnn(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    """`cnn`, which has no masks and no rows to leave out, and whose cache is small."""
    return cnn(batch["images"], p, config)


def _draw_nothing(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    return batch, NO_MASKS


def _masked(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True, freeze=0):
    """`masked`, which reads patches all over the image: no row could be left out."""
    return masked(batch["images"], p, config, masks=masks, keep_cache=keep_cache)


def _masked_backward(dy, p, c, config, *, freeze=0):
    """`masked_backward`, which goes all the way: the mask is below the blocks, and never frozen."""
    return masked_backward(dy, p, c, config)


def _draw_masked(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    """The masks, and as labels the colours of the masked patches."""
    masks = masked_masks(rng, config, len(batch["images"]), dropout=training, dtype=dtype)
    return batch | {"labels": masked_colours(batch["images"], masks, config)}, masks


def _cnn_preset(config):
    return CNNConfig(image=config.image, channels=config.channels, classes=config.classes)


def _swin(batch, p, config, *, all_rows=True, **keywords):
    """`swin`, which reads the mean of all tokens: no row could be left out."""
    return swin(batch["images"], p, config, **keywords)


def _draw_swin(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    return batch, swin_masks(rng, config, len(batch["images"]), dtype=dtype) if training else NO_MASKS


def _swin_preset(config):
    """Two stages, of half of the ViT's width and of the whole; small windows on small maps."""
    sizes = dict(image=config.image, channels=config.channels, classes=config.classes)
    patch = 4 if config.size[0] >= 28 else 2  # of one pixel, LayerNorm would leave the sign
    side, heads = config.size[0] // patch, max(2, config.dim // 64)
    window = 2 if side <= 4 else 4 if side < 56 else 7
    return SwinConfig(**sizes, patch=patch, dim=config.dim // 2, depths=(2, 2), heads=(heads, 2 * heads), window=window)


def preset_config(preset: str, model: str | None = None) -> Config:
    """The configuration of that name, or for its data one of a model.

    Raises
    ------
    UsageError
        If there is none, or it is of another model than the one asked for, and of no ViT that could be turned into it.
    """
    config = PRESETS[preset]
    if isinstance(config, ViTConfig):
        chosen = model_named(model or "vit")
        if model in SEQUENCE_MODELS:
            raise UsageError(f"the preset {preset} is for images: {chosen.title} takes none")
        return chosen.preset(config)
    if model not in (None, name_of(config)):
        raise UsageError(f"the preset {preset} is of {model_of(config).title}: leave --model {model} out")
    return config


def _hybrid(batch, p, config, **keywords):
    return hybrid(batch["images"], p, config, **keywords)


def _convstem(batch, p, config, **keywords):
    return convstem(batch["images"], p, config, **keywords)


def _convstem_preset(config):
    """The ViT on a map of about as many places as it has patches; the stem's channels double up to the ViT's width."""
    halvings = max(1, round(math.log2(config.patch)))
    widths = tuple(max(1, config.dim // 2**i) for i in reversed(range(halvings)))
    return ConvStemConfig(config.changed(image=1, patch=1), config.image, config.channels, widths)


def _draw_on_map(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    masks = vit_masks(rng, config.vit, len(batch["images"]), all_rows=all_rows, dtype=dtype) if training else NO_MASKS
    return batch, masks


def _hybrid_preset(config):
    """The ViT on the map of a stem and two units, which divide the sides by 8; of tiny images one, and by 4."""
    sizes = dict(image=config.image, channels=config.channels)
    units = (1, 1) if config.size[0] >= 28 else (1,)
    return HybridConfig(config.changed(image=1, patch=1), **sizes, units=units, width=16, groups=4)


MODELS = {
    "vit": Model(
        title="a Vision Transformer",
        config=ViTConfig,
        init=vit_init,
        forward=_vit,
        backward=_of_images(vit_backward),
        draw=_draw_vit,
        task=classification,
        preset=lambda config: config,
        views=views.VIT,
        block_options=True,
    ),
    "cnn": Model(
        title="a convolutional network",
        config=CNNConfig,
        init=cnn_init,
        forward=_cnn,
        backward=_of_images(cnn_backward),
        draw=_draw_nothing,
        task=classification,
        preset=_cnn_preset,
        views={},
    ),
    "swin": Model(
        title="a Swin Transformer",
        config=SwinConfig,
        init=swin_init,
        forward=_swin,
        backward=_of_images(swin_backward),
        draw=_draw_swin,
        task=classification,
        preset=_swin_preset,
        views=views.SWIN,
        block_options=True,
    ),
    "hybrid": Model(
        title="a hybrid of a ResNet and a Vision Transformer",
        config=HybridConfig,
        init=hybrid_init,
        forward=_hybrid,
        backward=_of_images(hybrid_backward),
        draw=_draw_on_map,
        task=classification,
        preset=_hybrid_preset,
        views=views.HYBRID,
        block_options=True,
    ),
    "convstem": Model(
        title="a Vision Transformer with a convolutional stem",
        config=ConvStemConfig,
        init=convstem_init,
        forward=_convstem,
        backward=_of_images(convstem_backward),
        draw=_draw_on_map,
        task=classification,
        preset=_convstem_preset,
        views=views.CONVSTEM,
        block_options=True,
    ),
    "masked": Model(
        title="a Vision Transformer that predicts masked patches",
        config=MaskedConfig,
        init=masked_init,
        forward=_masked,
        backward=_of_images(_masked_backward),
        draw=_draw_masked,
        task=colour_prediction,
        preset=MaskedConfig,
        views=views.MASKED,
        block_options=True,
        evaluation_draws=True,
    ),
}


ALL_MODELS = MODELS | SEQUENCE_MODELS


def model_named(name: str) -> Model:
    """The entry of ALL_MODELS with that name.

    Raises
    ------
    UsageError
        If this version has no such model; the line names those it has.
    """
    if name not in ALL_MODELS:
        raise UsageError(f"no model is named {name!r} in this version: {expected(name, ALL_MODELS)}")
    return ALL_MODELS[name]


def name_of(config: Config) -> str:
    """The name, in ALL_MODELS, of the model of a configuration.

    Raises
    ------
    UsageError
        If it is not the configuration of any of them.
    """
    for name, model in ALL_MODELS.items():
        if type(config) is model.config:
            return name
    meant = nearest(config, PRESETS) if isinstance(config, str) else None
    raise UsageError(f"found {config!r}: expected a configuration, such as tinyvit.PRESETS[{meant or 'digits'!r}]")


def model_of(config: Config) -> Model:
    """The model of a configuration."""
    return model_named(name_of(config))


def forward(batch: Batch, p: Tree, config: Config, **keywords: Any) -> tuple[Array, Tree]:
    """The forward pass of any model, found by its configuration.

    Parameters
    ----------
    batch : {name: array}
        The arrays of the model's task: {"images" [B, H, W, C]}, or {"source" [B, S], "target" [B, T]}, and whatever
        else.
    p : tree
    config : the configuration of one of MODELS
    keywords
        masks, all_rows and keep_cache, as of `vit`; and freeze, where the model has it.

    Returns
    -------
    y, c
        The output, whose shape is the task's, and the cache.

    Raises
    ------
    UsageError
        If the batch is not one: images have a name in it.
    """
    model = model_of(config)
    wanted = [name for name in model.task.arrays(config) if name != "labels"]  # these are the loss's
    if not isinstance(batch, Mapping) or not set(wanted) <= set(batch):
        found = sorted(batch) if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        raise UsageError(f"found {found}: expected a batch by name, {{{', '.join(f'{n!r}: {n}' for n in wanted)}}}")
    return model.forward(batch, p, config, **keywords)


def backward(dy: Array, p: Tree, c: Tree, config: Config, **keywords: Any) -> tuple[Batch, Tree]:
    """The backward pass of any model. Returns dbatch, the gradients of the batch's real arrays by name, and g.

    A keyword is freeze, as of `vit`, where the model has it.
    """
    return model_of(config).backward(dy, p, c, config, **keywords)


def parameter_count(config: Config) -> int:
    """How many parameters a configuration has, without making any."""
    return trees.count(model_of(config).init(None, config))


def check_parameters(p: Tree, config: Config, what: str) -> None:
    """Raise UsageError, which begins with `what` p is, unless it has the configuration's names and shapes."""
    found, expected = trees.named(p), trees.named(model_of(config).init(None, config))
    for name in [*expected, *found]:
        shapes = [list(tree[name].shape) if name in tree else "absent" for tree in (found, expected)]
        if shapes[0] != shapes[1]:
            raise UsageError(f"{what}: {name} is {shapes[0]}, the model expects {shapes[1]}")
