"""The way back: a model as safetensors under timm's or Hugging Face's names, with the config.json that they ask for."""

import functools
import io
import json
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tinyvit.annotations import Tree
from tinyvit.arrays import to_host
from tinyvit.data.datasets import Dataset
from tinyvit.data.inputs import ANSWERS, Inputs
from tinyvit.data.photos import Preparation
from tinyvit.errors import UsageError, WriteError
from tinyvit.files import replacing
from tinyvit.models.config import Config
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.model import check_parameters, model_of, name_of
from tinyvit.models.swin import SwinConfig
from tinyvit.weights.described import DESCRIBED, preprocessor
from tinyvit.weights.naming import written
from tinyvit.weights.targets import lost, naming_of

LIBRARIES = ("huggingface", "timm")
TARGETS = (*LIBRARIES, "google")
WRITTEN = {model for model, _ in DESCRIBED}


def save_weights(
    folder: str | os.PathLike[str],
    p: Tree,
    config: Config,
    target: str = "huggingface",
    *,
    class_names: Sequence[str] | None = None,
    preparation: Preparation | None = None,
    dataset: Dataset | None = None,
    problem_type: str = ANSWERS[0],
) -> list[str]:
    """Write model.safetensors and config.json into a folder, which is made if it is not there; of Google's, model.npz.

    With target "huggingface", `transformers.ViTForImageClassification.from_pretrained(folder)` opens it, or
    SwinForImageClassification; for hybrids transformers has no class any more. With "timm",
    `timm.create_model(name, checkpoint_path=".../model.safetensors", num_classes=K, ...)` does, with the arguments that
    config.json names.

    Parameters
    ----------
    folder : path
    p, config : the model, a ViT, a Swin or a hybrid
    target : "huggingface", "timm" or "google"
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
    model = name_of(config)
    if model not in WRITTEN:
        which = "only a ViT, a Swin or a hybrid can be written for other libraries"
        raise UsageError(f"{which}: this is {model_of(config).title}; tinyvit's own .npz holds any")
    naming = naming_of(config, target)
    save = _npz if target == "google" else _safetensors()
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
    described = {}
    if target != "google":
        described["config.json"] = DESCRIBED[model, target](config, names, preparation) | inputs | answers
    if target == "huggingface":
        described["preprocessor_config.json"] = preprocessor(preparation)
    arrays = written(p, naming, config)
    if config.values().get("pool", "").endswith("_norm"):  # timm's name of the one after the mean
        arrays = {re.sub(r"^norm\.", "fc_norm.", name): array for name, array in arrays.items()}
    files = {"model.npz" if target == "google" else "model.safetensors": save(arrays)}
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
    lines = lost(config, target)
    if target == "google":
        lines.append("Google's files name no classes, and do not say how pictures are prepared")
    if answers and target != "huggingface":
        here = "" if target == "google" else "tinyvit reads it from config.json, "
        lines.append(f"{naming.source} knows no {problem_type}: {here}others must be told")
    if target != "google" and not preparation.antialias:
        lines.append("pictures will be resized over all pixels, as Pillow does, not over the nearest four")
    return lines


def _safetensors():
    """(arrays) -> the bytes of a .safetensors file."""
    try:
        from safetensors.numpy import save
    except ImportError:
        raise UsageError("writing safetensors needs the package of that name: pip install safetensors") from None
    return functools.partial(save, metadata={"format": "pt"})


def _npz(arrays):
    """The bytes of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _with_positions(p, config):
    """Without positions there is no table; a table of zeros is the same model."""
    vit = config.vit if isinstance(config, HybridConfig) else config
    if isinstance(config, SwinConfig) or vit.position == "1d":
        return p, config
    table = np.zeros((vit.tokens, vit.dim), p["patch"]["w"].dtype)
    return p | {"pos": table}, config.changed(position="1d", position_at="stem")
