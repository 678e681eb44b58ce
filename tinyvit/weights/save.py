"""The way back: a model as safetensors under timm's or Hugging Face's names, with the config.json that they ask for."""

import json
import math
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyvit.annotations import Tree
from tinyvit.arrays import to_host
from tinyvit.data.datasets import Dataset
from tinyvit.data.inputs import ANSWERS, Inputs
from tinyvit.data.photos import PILLOW, Preparation
from tinyvit.errors import UsageError, WriteError
from tinyvit.files import replacing
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import check_parameters
from tinyvit.ops.resize import both_sides
from tinyvit.weights.naming import written
from tinyvit.weights.sources import SOURCES

ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}
TARGETS = ("huggingface", "timm")
PUBLISHED = {  # the choices of a config for which published models have a place
    "pool": ("class",),  # of Hugging Face's; timm has them all
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
    problem_type: str = ANSWERS[0],
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
        Those of the data set, if it is left out.
    dataset : Dataset, optional
        What the model was trained on here, kept in config.json under a key of our own, which others ignore.
    preparation : Preparation, optional
        Of photographs: `load_weights` returns it among its notes. Without it, they are resized and scaled to -1 ... 1.
    problem_type : str, optional
        What the logits stand for, as `load_weights` returns it among its notes: "single_label_classification" (softmax
        over the classes), "multi_label_classification" (sigmoid of each) or "regression" (the numbers themselves).

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
    if problem_type not in ANSWERS:
        raise UsageError(f"problem_type is {problem_type!r}: expected one of {', '.join(ANSWERS)}")
    if config.pre_logits:
        raise UsageError(f"the model has a pre-logits layer, for which {SOURCES[target].source} has no place")
    for name, choices in PUBLISHED.items():
        free = (name == "position_at" and config.position == "none") or (name == "pool" and target == "timm")
        if getattr(config, name) not in choices and not free:
            raise UsageError(
                f"the model's {name} is {getattr(config, name)}, for which {SOURCES[target].source} has no place: "
                f"expected {' or '.join(choices)}; tinyvit's own .npz holds any"
            )
    try:
        from safetensors.numpy import save
    except ImportError:
        raise UsageError("writing safetensors needs the package of that name: pip install safetensors") from None
    numbered = (f"class {k}" for k in range(config.classes))
    names = list(class_names or (dataset.class_names if dataset else numbered))
    if len(names) != config.classes:
        raise UsageError(f"found {len(names)} names of classes, expected one for each of the model's {config.classes}")
    check_parameters(p, config, "the parameters to save")
    p, config = _with_positions(to_host(p), config)
    folder = Path(os.path.expanduser(folder))
    preparation = preparation or Preparation(config.image)
    if target == "huggingface" and preparation.crop is not None and not isinstance(preparation.size, int):
        raise UsageError("Hugging Face cuts the middle out of square images only: expected a preparation without crop")
    answers = {"problem_type": problem_type} if problem_type != ANSWERS[0] else {}
    inputs = {"tinyvit": Inputs(dataset).as_dict()} if dataset else {}
    described = {"config.json": DESCRIBED[target](config, names, preparation) | inputs | answers}
    if target == "huggingface":
        described["preprocessor_config.json"] = _preprocessor(preparation)
    arrays = written(p, SOURCES[target], config)
    if config.pool.endswith("_norm"):  # timm's name of the one after the mean
        arrays = {re.sub(r"^norm\.", "fc_norm.", name): array for name, array in arrays.items()}
    files = {"model.safetensors": save(arrays, metadata={"format": "pt"})}
    files |= {name: json.dumps(content, indent=2).encode() for name, content in described.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(folder, error) from None
    with ExitStack() as stack:  # all of them are written before the first takes its place, and that is the weights'
        for name, content in reversed(files.items()):
            file = stack.enter_context(replacing(folder / name))
            file.write(content)
            file.flush()
    lost = []
    if target == "timm" and config.eps != SOURCES["timm"].eps:
        lost.append(
            f"timm's LayerNorm has eps {SOURCES['timm'].eps:g}, the model {config.eps:g}: logits will differ a little"
        )
    if answers and target == "timm":
        lost.append(f"timm knows no {problem_type}: tinyvit reads it from config.json, others must be told")
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
        "image_size": _plain(config.image),
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
    pooled = (
        {}
        if config.pool == "class"
        else {
            "class_token": config.class_token,
            "global_pool": "avg",
            "fc_norm": config.pool.endswith("_norm"),
        }
    )
    return {
        "architecture": "vit_base_patch16_224",  # whose sizes the arguments replace
        "num_classes": config.classes,
        "global_pool": "avg" if pooled else "token",
        "num_attention_heads": config.heads,
        "layer_norm_eps": config.eps,
        "model_args": {
            "img_size": _plain(config.image),
            "patch_size": config.patch,
            "in_chans": config.channels,
            "embed_dim": config.dim,
            "depth": config.depth,
            "num_heads": config.heads,
            "mlp_ratio": math.nextafter(config.mlp_dim / config.dim, math.inf),  # timm rounds dim * mlp_ratio down
            "act_layer": {"erf": "gelu", "tanh": "gelu_tanh"}[config.gelu],
            **pooled,
        },
        "pretrained_cfg": {
            "input_size": [config.channels, *config.size],
            "mean": list(preparation.mean),
            "std": list(preparation.std),
            "interpolation": preparation.resample,
            "crop_pct": preparation.crop or 1.0,
            "crop_mode": "squash" if preparation.crop is None or preparation.squash else "center",
        },
        "label_names": list(names),
    }


def _plain(image):
    """An image size as JSON has it."""
    return image if isinstance(image, int) else list(image)


def _preprocessor(preparation):
    (height, width), crop = both_sides(preparation.size), preparation.crop
    edges = [side if crop is None else math.floor(side / crop) for side in (height, width)]
    resized = {"height": edges[0], "width": edges[1]}
    if crop is not None and not preparation.squash:
        resized = {"shortest_edge": edges[0]}
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": resized,
        "resample": next(number for number, name in PILLOW.items() if name == preparation.resample),
        "do_center_crop": crop is not None,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preparation.mean),
        "image_std": list(preparation.std),
    }


DESCRIBED = {"huggingface": _hugging_face, "timm": _timm}
