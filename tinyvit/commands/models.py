"""A model by any path: a finished run, a checkpoint of tinyvit's own, or published weights."""

from typing import NamedTuple

import numpy as np

from tinyvit import npz
from tinyvit.arrays import to_device
from tinyvit.commands.runs import check_same_model
from tinyvit.data import DATASETS, Dataset, fitted, prepare, read_image
from tinyvit.data.inputs import ANSWERS, Inputs
from tinyvit.data.photos import HALF, Preparation, imagenet_names, prepare_photo
from tinyvit.errors import CheckpointError, DataError, UsageError
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.masked import MaskedConfig, encoder_of
from tinyvit.models.model import SEQUENCE_MODELS, model_of, name_of
from tinyvit.training.checkpoint import load_for_use
from tinyvit.training.folders import no_run
from tinyvit.training.run import open_run
from tinyvit.weights.load import load_weights
from tinyvit.weights.place import local
from tinyvit.weights.tensors import FILES, named_like_weights


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
    knows_inputs: bool = True  # whether it is known how pictures are to be prepared
    problem_type: str = ANSWERS[0]  # what the logits stand for


PHOTOS = "photos"  # for --data: photographs, of no data set that has a name
IMAGENET = 1000  # classes
RUN_FILES = ("model.npz", "checkpoint.npz")


def add_model(parser):
    """Add MODEL and the options that complete or override its metadata."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run, tinyvit's own .npz, or weights: .safetensors, .npz, .pth or their folder",
    )
    parser.add_argument("--heads", type=int, metavar="H", help="attention heads, where the weights do not say")
    parser.add_argument("--gelu", choices=("erf", "tanh"), help="in place of the source's")
    parser.add_argument("--eps", type=float, help="of LayerNorm, in place of the source's")


def add_inputs(parser):
    """--data, of a model that pictures are shown to."""
    parser.add_argument(
        "--data",
        dest="dataset",
        choices=(*DATASETS, PHOTOS),
        help="what an .npz file of tinyvit's own was trained on, where it does not say: pictures are prepared likewise",
    )


def open_model(path, args, device="cpu"):
    """The model at a path; args has the options of `add_model`, each in place of what the model says."""
    path, chosen = local(path), {name: getattr(args, name, None) for name in ("heads", "gelu", "eps")}
    asked = {name: value for name, value in chosen.items() if value is not None}
    if path.name in RUN_FILES and (path.parent / "history.jsonl").exists():
        return _of_run(path.parent, path, asked, args, device)
    if _may_be_run(path):
        if not (path / "config.json").exists():
            raise no_run(path, "what `tinyvit train` makes, or model.safetensors")
        return _of_run(path, None, asked, args, device)
    if _is_own(path):
        p, config, inputs, step = load_for_use(path)
        if inputs.dataset or inputs.preparation:
            _refuse_other_data(args, path, inputs.dataset.name if inputs.dataset else PHOTOS)
        else:
            inputs = _named_inputs(args, config) or inputs
        return _own(to_device(p, device), config, asked, inputs, [] if step is None else [_average(step)], path)
    if getattr(args, "dataset", None):
        raise UsageError(f"--data {args.dataset}: {path} is not a file of tinyvit's own, which alone may need it")
    p, config, notes = load_weights(path, **chosen)
    if notes.preparation is None:
        raise UsageError(f"{path} holds {model_of(config).title}, a model of text: only tinyvit predict takes it")
    names, lines = notes.class_names or _numbered(config), notes.lines
    if notes.class_names is None and notes.has_head and config.classes == IMAGENET:
        names, lines = imagenet_names(), (*lines, "the file names no classes: its 1,000 are taken to be ImageNet's")
    about = (notes.source, lines, notes.preparation, names, notes.has_head, notes.dataset)
    return OpenedModel(to_device(p, device), config, *about, problem_type=notes.problem_type)


def open_for_pictures(args, device="cpu"):
    """The model that args name, for pictures to be shown to.

    Raises
    ------
    UsageError
        If nothing says how they are to be prepared: an answer would only look like one.
    """
    model = open_model(args.model, args, device)
    if not model.knows_inputs:
        choices = ", ".join((*DATASETS, PHOTOS))
        raise UsageError(
            f"{args.model} does not say what the model was trained on, and so not how pictures are prepared for it: "
            f"say --data, one of {choices}; or give the run's folder in place of the file"
        )
    return model


def _of_run(folder, file, asked, args, device):
    """The model of a run, or its average so far; `file` says which of the two files, if one is meant."""
    run = open_run(folder)
    _refuse_other_data(args, f"the run in {folder}", run.settings.dataset.name)
    file = file or (run.model if run.model.exists() else run.checkpoint)
    if not file.exists():
        raise CheckpointError(f"the run in {folder} has saved nothing yet: go on with `{run.resume_command}`")
    p, config, inputs, step = load_for_use(file)
    check_same_model(run, file, config, inputs.dataset)
    notes = []
    if not run.model.exists():
        notes = [f"the run in {folder} is not finished: {_average(step)}; go on with `{run.resume_command}`"]
    return _own(to_device(p, device), config, asked, Inputs(run.settings.dataset), notes, file)


def _average(step):
    return f"the average of the weights after step {step} of training is taken"


def _refuse_other_data(args, model, known):
    """Raise UsageError if --data names something else than is known of the model."""
    if getattr(args, "dataset", None) not in (None, known):
        raise UsageError(f"--data {args.dataset}: {model} is on {known}, leave it out")


def _named_inputs(args, config):
    """The inputs that --data names, or None."""
    name = getattr(args, "dataset", None)
    if name == PHOTOS:
        names = _numbered(config)
        return Inputs(Dataset(name, config.image, config.channels, len(names), names, 255, None, None, photos=True))
    return Inputs(DATASETS[name]) if name else None


def _may_be_run(path):
    """Whether a path is a run's rather than that of weights: a folder without any, or nothing that is there."""
    if not path.is_dir():
        return not path.suffix and not path.exists()
    weights = {name for name in named_like_weights(path) if not name.endswith(".npz")}  # a run has its own
    return not weights or ((path / "history.jsonl").exists() and not weights & set(FILES))


def _own(p, config, asked, inputs, notes, path):
    """A model that was trained here. Of masked patch prediction, the encoder: a ViT without a head."""
    if inputs.of_text or name_of(config) in SEQUENCE_MODELS:
        raise UsageError(f"{path}: {model_of(config).title} takes text, no pictures: try tinyvit predict")
    has_head, dataset = model_of(config).task.answer is not None, inputs.dataset
    if isinstance(config, MaskedConfig):
        p, config = encoder_of(p, config, np.random.default_rng(0)), config.vit
        notes.append("the model was trained to predict masked patches: its encoder is taken, under a head of zeros")
    if unknown := [name for name in asked if name not in config.settings()]:
        raise UsageError(f"--{unknown[0]}: {model_of(config).title} has no such setting, leave it out")
    names = dataset.class_names if dataset else inputs.class_names or _numbered(config)
    for name, value in asked.items():
        if value != (said := getattr(config, name)):
            notes.append(f"{name} {value}, as asked for, in place of {said}, as {path} says")
    channels = dataset.channels if dataset else config.channels
    if (has_head and len(names) != config.classes) or channels != config.channels:
        theirs = f"those of {dataset.name if dataset else 'its description'} are {len(names)} and {channels}"
        raise CheckpointError(f"{path}: its classes and channels are {config.classes} and {config.channels}, {theirs}")
    preparation = inputs.preparation or Preparation(config.image, crop=1.0 if dataset and dataset.photos else None)
    has_head = has_head and bool(p["head"]["w"].any())
    config, knows = config.changed(**asked), bool(dataset or inputs.preparation)
    about = (tuple(notes), preparation, names, has_head, dataset, knows, inputs.problem_type)
    return OpenedModel(p, config, "tinyvit", *about)


def check_is_vit(model, what):
    """Raise UsageError unless the model is a Vision Transformer, which alone can be `what`."""
    if not isinstance(model.config, ViTConfig):
        raise UsageError(f"only a Vision Transformer can be {what}: this is {model_of(model.config).title}")


def check_is_transformer(model, what):
    """Raise UsageError unless the model is one of blocks with attention, which alone can be `what`."""
    if "cut" not in model_of(model.config).views:
        raise UsageError(f"only a Transformer can be {what}: this is {model_of(model.config).title}")


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
