"""A model by any path: a finished run, a checkpoint of tinyvit's own, or published weights."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvit import npz
from tinyvit.arrays import to_device
from tinyvit.commands.runs import finished_model
from tinyvit.data import Dataset, fitted, prepare, read_image
from tinyvit.data.photos import HALF, Preparation, imagenet_names, prepare_photo
from tinyvit.errors import CheckpointError, DataError, UsageError
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.masked import MaskedConfig, encoder_of
from tinyvit.models.model import model_of
from tinyvit.training.checkpoint import load
from tinyvit.training.run import no_run
from tinyvit.weights.load import load_weights


class OpenedModel(NamedTuple):
    """A model, and what is to be known to use it."""

    p: dict
    config: Config
    source: str  # whose defaults it follows: "google", "timm", "huggingface", or "tinyvit"
    notes: tuple  # about the weights, sentences
    preparation: Preparation  # of a photograph
    class_names: tuple
    has_head: bool = True
    dataset: Dataset | None = None  # which it was trained on here: pictures are arranged as the set's are


def add_model(parser):
    """Add MODEL and the options that complete or override its metadata."""
    parser.add_argument(
        "model", metavar="MODEL", help="a finished run, an .npz file of tinyvit's or Google's, or .safetensors weights"
    )
    parser.add_argument("--heads", type=int, metavar="H", help="attention heads, where the weights do not say")
    parser.add_argument("--gelu", choices=("erf", "tanh"), help="in place of the source's")
    parser.add_argument("--eps", type=float, help="of LayerNorm, in place of the source's")


def open_model(path, args, device="cpu"):
    """The model at a path; args has the options of `add_model`, each in place of what the model says."""
    path, chosen = Path(path), {name: getattr(args, name, None) for name in ("heads", "gelu", "eps")}
    asked = {name: value for name, value in chosen.items() if value is not None}
    if path.name == "model.npz" and (path.parent / "history.jsonl").exists():
        path = path.parent  # a run's own: it knows how pictures are arranged
    if (path.is_dir() or not path.suffix) and not (path / "model.safetensors").exists():
        if not (path / "config.json").exists():
            raise no_run(path, "what `tinyvit train` makes, or model.safetensors")
        run, p, config = finished_model(path, device)
        return _own(p, config, asked, run.settings.dataset)
    if _is_own(path):
        p, config = load(path)
        return _own(to_device(p, device), config, asked)
    p, config, notes = load_weights(path, **chosen)
    names = notes.class_names or (imagenet_names() if config.classes == 1000 else _numbered(config))
    about = (notes.source, notes.lines, notes.preparation, names, notes.has_head)
    return OpenedModel(to_device(p, device), config, *about)


def _own(p, config, asked, dataset=None):
    """A model that was trained here. Of masked patch prediction, the encoder: a ViT without a head."""
    notes, has_head = (), model_of(config).task.answer is not None
    if isinstance(config, MaskedConfig):
        p, config = encoder_of(p, config, np.random.default_rng(0)), config.vit
        notes = ("the model was trained to predict masked patches: its encoder is taken, under a head of zeros",)
    if unknown := [name for name in asked if name not in config.settings()]:
        raise UsageError(f"--{unknown[0]}: {model_of(config).title} has no such setting, leave it out")
    names = dataset.class_names if dataset else _numbered(config)
    config = config.changed(**asked)
    preparation = Preparation(config.image, crop=1.0 if dataset and dataset.photos else None)
    return OpenedModel(p, config, "tinyvit", notes, preparation, names, has_head, dataset)


def check_is_vit(model, what):
    """Raise UsageError unless the model is a Vision Transformer, which alone can be `what`."""
    if not isinstance(model.config, ViTConfig):
        raise UsageError(f"only a Vision Transformer can be {what}: this is {model_of(model.config).title}")


def prepared(model, path):
    """The picture in a file as the model's input [H, W, C], and what was done to it, a list of sentences."""
    image = read_image(path)
    try:
        if model.dataset is None:
            return prepare_photo(image, model.preparation, model.config.channels), []
        image, notes = prepare(image, model.dataset)
        return fitted(image[None], model.config.image)[0], notes
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _numbered(config):
    return tuple(f"class {k}" for k in range(config.classes))


def _is_own(path):
    """Whether a file is a checkpoint that tinyvit wrote."""
    try:
        with npz.opened(path, "") as archive:
            return "config.npy" in archive.namelist()
    except CheckpointError:  # which load_weights will say better
        return False


def feeding(model):
    """A sentence on images that are fed from -1 to 1 to a model that was trained on others; or none."""
    if (model.preparation.mean, model.preparation.std) == (HALF, HALF):
        return ()
    return (f"images go in from -1 to 1; the weights were trained with {model.preparation.normalisation}",)
