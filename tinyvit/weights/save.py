"""The way back: a model as safetensors under timm's or Hugging Face's names, with the config.json that they ask for."""

import json
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyvit.annotations import Tree
from tinyvit.arrays import to_host
from tinyvit.data.datasets import Dataset
from tinyvit.data.inputs import Inputs
from tinyvit.data.photos import PILLOW, Preparation
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.files import replacing
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import check_parameters
from tinyvit.weights.naming import written
from tinyvit.weights.sources import SOURCES

ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}
TARGETS = ("huggingface", "timm")
PUBLISHED = {  # the choices of a config for which published models have a place
    "pool": ("class",),
    "position": ("1d", "none"),
    "position_at": ("stem",),
    "norm": ("pre",),
    "scale": ("sqrt",),
}


def save_weights(
    folder: str | os.PathLike[str],
    p: Tree,
    config: ViTConfig,
    target: str = "huggingface",
    *,
    class_names: Sequence[str] | None = None,
    preparation: Preparation | None = None,
    dataset: Dataset | None = None,
) -> list[str]:
    """Write model.safetensors and config.json into a folder, which is made if it is not there.

    With target "huggingface", `transformers.ViTForImageClassification.from_pretrained(folder)` opens it. With "timm",
    `timm.create_model(name, checkpoint_path=".../model.safetensors", num_classes=K, ...)` does, with the arguments that
    config.json names.

    Parameters
    ----------
    folder : path
    p, config : the model
    target : "huggingface" or "timm"
    class_names : list of str, optional
    dataset : Dataset, optional
        What the model was trained on here, kept in config.json under a key of our own, which others ignore.
    preparation : Preparation, optional
        Of photographs: `load_weights` returns it among its notes. Without it, they are resized and scaled to -1 ... 1.

    Returns
    -------
    list of str
        What the target's description cannot say, a sentence each.

    Raises
    ------
    UsageError
        If the target has no place for something in the model, or parameters or names do not fit the configuration.
    CheckpointError
        If a file cannot be written.
    """
    if target not in TARGETS:
        raise UsageError(f"no target {target!r}: expected one of {', '.join(TARGETS)}")
    if config.pre_logits:
        raise UsageError(f"the model has a pre-logits layer, for which {SOURCES[target].source} has no place")
    for name, choices in PUBLISHED.items():
        if getattr(config, name) not in choices and not (name == "position_at" and config.position == "none"):
            raise UsageError(
                f"the model's {name} is {getattr(config, name)}, for which {SOURCES[target].source} has no place: "
                f"expected {' or '.join(choices)}; tinyvit's own .npz holds any"
            )
    try:
        from safetensors.numpy import save
    except ImportError:
        raise UsageError("writing safetensors needs the package of that name: pip install safetensors") from None
    names = list(class_names or (f"class {k}" for k in range(config.classes)))
    if len(names) != config.classes:
        raise UsageError(f"found {len(names)} names of classes, expected one for each of the model's {config.classes}")
    check_parameters(p, config, "the parameters to save")
    p, config = _with_positions(to_host(p), config)
    folder = Path(folder).expanduser()
    preparation = preparation or Preparation(config.image)
    inputs = {"tinyvit": Inputs(dataset).as_dict()} if dataset else {}
    described = {"config.json": DESCRIBED[target](config, names, preparation) | inputs}
    if target == "huggingface":
        described["preprocessor_config.json"] = _preprocessor(preparation)
    files = {"model.safetensors": save(written(p, SOURCES[target], config), metadata={"format": "pt"})}
    files |= {name: json.dumps(content, indent=2).encode() for name, content in described.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:  # all of them are written before the first takes its place, and that is the weights'
            for name, content in reversed(files.items()):
                file = stack.enter_context(replacing(folder / name))
                file.write(content)
                file.flush()
    except OSError as error:
        raise CheckpointError(f"cannot write into {folder}: {error.strerror or error}; choose another place") from None
    lost = []
    if target == "timm" and config.eps != SOURCES["timm"].eps:
        lost.append(
            f"timm's LayerNorm has eps {SOURCES['timm'].eps:g}, the model {config.eps:g}: logits will differ a little"
        )
    if not preparation.antialias:
        lost.append("pictures will be resized over all pixels, as Pillow does, not over the nearest four")
    return lost


def _with_positions(p, config):
    """Without positions there is no table; a table of zeros is the same model."""
    if config.position == "1d":
        return p, config
    table = np.zeros((config.tokens, config.dim), p["patch"]["w"].dtype)
    return p | {"pos": table}, replace(config, position="1d", position_at="stem")


def _hugging_face(config, names, preparation):
    return {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "image_size": config.image,
        "patch_size": config.patch,
        "num_channels": config.channels,
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": ACTIVATIONS[config.gelu],
        "layer_norm_eps": config.eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
        "id2label": {str(k): name for k, name in enumerate(names)},
        "label2id": {name: k for k, name in enumerate(names)},
    }


def _timm(config, names, preparation):
    return {
        "architecture": "vit_base_patch16_224",  # whose sizes the arguments replace
        "num_classes": config.classes,
        "num_attention_heads": config.heads,
        "layer_norm_eps": config.eps,
        "model_args": {
            "img_size": config.image,
            "patch_size": config.patch,
            "in_chans": config.channels,
            "embed_dim": config.dim,
            "depth": config.depth,
            "num_heads": config.heads,
            "mlp_ratio": math.nextafter(config.mlp_dim / config.dim, math.inf),  # timm rounds dim * mlp_ratio down
            "act_layer": {"erf": "gelu", "tanh": "gelu_tanh"}[config.gelu],
        },
        "pretrained_cfg": {
            "input_size": [config.channels, config.image, config.image],
            "mean": list(preparation.mean),
            "std": list(preparation.std),
            "interpolation": preparation.resample,
            "crop_pct": preparation.crop or 1.0,
            "crop_mode": "squash" if preparation.crop is None or preparation.squash else "center",
        },
        "label_names": list(names),
    }


def _preprocessor(preparation):
    size, crop = preparation.size, preparation.crop
    square = {"height": size, "width": size}
    edge = size if crop is None else math.floor(size / crop)
    resized = {"height": edge, "width": edge} if crop is None or preparation.squash else {"shortest_edge": edge}
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": resized,
        "resample": next(number for number, name in PILLOW.items() if name == preparation.resample),
        "do_center_crop": crop is not None,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preparation.mean),
        "image_std": list(preparation.std),
    }


DESCRIBED = {"huggingface": _hugging_face, "timm": _timm}
