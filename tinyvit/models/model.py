"""The interface between models and all that trains, saves, lists and examines them.

The type of a configuration determines the model. To add a model, write a file and add an entry to MODELS.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tinyvit import trees
from tinyvit.annotations import Array, Batch, Tree
from tinyvit.errors import UsageError
from tinyvit.models import views
from tinyvit.models.cnn import CNNConfig, cnn, cnn_backward, cnn_init
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.hybrid import HybridConfig, hybrid, hybrid_backward, hybrid_init
from tinyvit.models.masked import MaskedConfig, masked, masked_backward, masked_colours, masked_init, masked_masks
from tinyvit.models.presets import PRESETS
from tinyvit.models.seq2seq import Seq2SeqConfig, seq2seq, seq2seq_backward, seq2seq_init
from tinyvit.models.swin import SwinConfig, swin, swin_backward, swin_init, swin_masks
from tinyvit.models.task import Task, classification, colour_prediction
from tinyvit.models.tokens import PADDING
from tinyvit.models.transformer import (
    TransformerConfig,
    transformer,
    transformer_backward,
    transformer_init,
    transformer_masks,
)
from tinyvit.models.translation import translation
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.names import expected, nearest
from tinyvit.ops.dropout import NO_MASKS


class Model(NamedTuple):
    """One model.

    title      what it is called in a sentence
    config     the class of its configurations
    init       (rng, config, *, dtype)                                   -> p; with rng=None, the shapes alone
    forward    (batch, p, config, *, masks, all_rows, keep_cache)        -> y, c; the keywords as of `vit`
    backward   (dy, p, c, config)                                        -> dbatch, g
    draw       (rng, batch, config, *, training, all_rows, dtype)        -> batch, masks: the random part of a step;
               without dropout while not training
    task       what is asked of y
    preset     (vit_config) -> config: a configuration for the data, and about the size, that a ViT's is for; None of a
               model of sequences
    views      what can be looked at inside, and used without the head, by name: see views.py
    evaluation_draws   whether `draw` is random in an evaluation, too
    """

    title: str
    config: type[Config]
    init: Callable[..., Tree]
    forward: Callable[..., tuple[Array, Tree]]
    backward: Callable[[Array, Tree, Tree, Any], tuple[Batch, Tree]]
    draw: Callable[..., tuple[Batch, Tree]]
    task: Task
    preset: Callable[[ViTConfig], Config] | None
    views: dict[str, Callable]
    evaluation_draws: bool = False


def _of_images(backward):
    """The backward pass of a model of images in the form that MODELS has: the gradient of the images by their name."""

    def backward_of_batch(dy, p, c, config):
        dimages, g = backward(dy, p, c, config)
        return {"images": dimages}, g

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


def _masked(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    """`masked`, which reads patches all over the image: no row could be left out."""
    return masked(batch["images"], p, config, masks=masks, keep_cache=keep_cache)


def _draw_masked(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    """The masks, and as labels the colours of the masked patches."""
    masks = masked_masks(rng, config, len(batch["images"]), dropout=training, dtype=dtype)
    return batch | {"labels": masked_colours(batch["images"], masks, config)}, masks


def _cnn_preset(config):
    return CNNConfig(image=config.image, channels=config.channels, classes=config.classes)


def _swin(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    """`swin`, which reads the mean of all tokens: no row could be left out."""
    return swin(batch["images"], p, config, masks=masks, keep_cache=keep_cache)


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
        if chosen.preset is None:
            raise UsageError(f"the preset {preset} is for images: {chosen.title} takes none")
        return chosen.preset(config)
    if model not in (None, name_of(config)):
        own = name_of(config)
        raise UsageError(f"the preset {preset} is of {MODELS[own].title}: leave --model {model} out")
    return config


def _hybrid(batch, p, config, **keywords):
    return hybrid(batch["images"], p, config, **keywords)


def _draw_hybrid(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
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
    ),
    "hybrid": Model(
        title="a hybrid of a ResNet and a Vision Transformer",
        config=HybridConfig,
        init=hybrid_init,
        forward=_hybrid,
        backward=_of_images(hybrid_backward),
        draw=_draw_hybrid,
        task=classification,
        preset=_hybrid_preset,
        views=views.HYBRID,
    ),
    "masked": Model(
        title="a Vision Transformer that predicts masked patches",
        config=MaskedConfig,
        init=masked_init,
        forward=_masked,
        backward=_of_images(masked_backward),
        draw=_draw_masked,
        task=colour_prediction,
        preset=MaskedConfig,
        views=views.MASKED,
        evaluation_draws=True,
    ),
}


def _of_tokens(backward):
    """The backward pass of a model of tokens, which have no gradient, in the form that MODELS has."""
    return lambda dy, p, c, config: ({}, backward(dy, p, c, config))


def _trimmed(batch):
    """The batch without the columns in which all of its sequences are over."""
    return {name: x[:, : int((x != PADDING).sum(axis=1).max())] for name, x in batch.items()}


def _seq2seq(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    return seq2seq(batch, p, config)


def _draw_seq2seq(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    return (_trimmed(batch) if training else batch), NO_MASKS


def _transformer(batch, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True):
    return transformer(batch, p, config, masks=masks)


def _draw_transformer(rng, batch, config, *, training=True, all_rows=True, dtype="float32"):
    if not training:
        return batch, NO_MASKS
    batch = _trimmed(batch)
    return batch, transformer_masks(rng, config, batch, dtype=dtype)


SEQUENCE_MODELS = {
    "seq2seq": Model(
        title="a recurrent encoder and decoder",
        config=Seq2SeqConfig,
        init=seq2seq_init,
        forward=_seq2seq,
        backward=_of_tokens(seq2seq_backward),
        draw=_draw_seq2seq,
        task=translation,
        preset=None,
        views={},
    ),
    "transformer": Model(
        title="a Transformer",
        config=TransformerConfig,
        init=transformer_init,
        forward=_transformer,
        backward=_of_tokens(transformer_backward),
        draw=_draw_transformer,
        task=translation,
        preset=None,
        views={},
    ),
}


def model_named(name: str) -> Model:
    """The entry of MODELS, or of SEQUENCE_MODELS, with that name.

    Raises
    ------
    UsageError
        If this version has no such model; the line names those it has.
    """
    models = MODELS | SEQUENCE_MODELS
    if name not in models:
        raise UsageError(f"no model is named {name!r} in this version: {expected(name, models)}")
    return models[name]


def name_of(config: Config) -> str:
    """The name, in MODELS, of the model of a configuration.

    Raises
    ------
    UsageError
        If it is not the configuration of any of them.
    """
    for name, model in (MODELS | SEQUENCE_MODELS).items():
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
        masks, all_rows and keep_cache, as of `vit`.

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


def backward(dy: Array, p: Tree, c: Tree, config: Config) -> tuple[Batch, Tree]:
    """The backward pass of any model. Returns dbatch, the gradients of the batch's real arrays by name, and g."""
    return model_of(config).backward(dy, p, c, config)


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
