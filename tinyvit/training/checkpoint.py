"""tinyvit's own checkpoints: an .npz file that holds a model's configuration and its parameters by name.

Nothing in it depends on the time, the machine or who wrote it: the same model gives the same arrays, and with one
version of Python, which writes the headers of the zip archive, the same bytes. Nothing in a file
is believed before it is checked: names, shapes and dtypes are compared with what the configuration implies, from the
headers alone, before any array is read.
"""

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from tinyvit import json_files, npz, trees
from tinyvit.annotations import Array, Path, Tree
from tinyvit.arrays import to_host
from tinyvit.data.datasets import DATASETS, Dataset
from tinyvit.data.inputs import ANSWERS, Inputs
from tinyvit.data.photos import Preparation
from tinyvit.data.text import TextDataset
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.files import replacing
from tinyvit.models.config import Config
from tinyvit.models.model import check_parameters, model_named, model_of, name_of, parameter_count

FORMAT = 1
LONGEST_DESCRIPTION = 4_000_000  # bytes; ours have a few hundred, and the names of the classes
TRAINING = "training/"  # what a run needs to go on, beside the model
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can bear


def save(
    path: Path,
    p: Tree,
    config: Config,
    *,
    dataset: str | Dataset | TextDataset | None = None,
    preparation: Preparation | None = None,
    class_names: Sequence[str] | None = None,
    problem_type: str = ANSWERS[0],
    training: Mapping[str, Array] | None = None,
) -> None:
    """Write a checkpoint; the file that was there stays whole until the new one is.

    Parameters
    ----------
    path : str or Path
        Of just this name: .npz is added to none; ~ is your home.
    p : tree
        Parameters, on any device.
    config : the configuration of one of MODELS
    dataset : str or Dataset, optional
        What the model was trained on: a name in DATASETS, or `read_data(...).dataset`, or `read_text(...).dataset`.
        `tinyvit predict` then prepares pictures as this data set's, and names its classes, or has its vocabularies;
        without it, it must be told.
    preparation, class_names, problem_type : optional
        In place of a data set, for photographs: as `load_weights` returns them among its notes.
    training : {name: array}, optional
        State of a training run, kept under `training/`.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
    UsageError
        If there is no data set of that name.
    """
    check_parameters(p, config, "the parameters to save")
    if isinstance(dataset, str):
        if dataset not in DATASETS:
            raise UsageError(f"dataset is {dataset!r}: expected one of {', '.join(DATASETS)}, or a Dataset")
        dataset = DATASETS[dataset]
    arrays = trees.named(to_host(p)) | {TRAINING + name: to_host(a) for name, a in (training or {}).items()}
    inputs = Inputs(dataset, preparation, tuple(class_names) if class_names else None, problem_type).as_dict()
    described = {"format": FORMAT, "model": name_of(config), "config": dataclasses.asdict(config)} | inputs
    description = json.dumps(described, sort_keys=True)
    arrays = {"config": np.frombuffer(description.encode(), np.uint8)} | arrays
    path = os.path.expanduser(path)
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", EPOCH), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)


def load(path: Path) -> tuple[Tree, Config]:
    """Read a model: `p, config = tinyvit.load(path)`, from just that path; ~ is your home.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is damaged or not a checkpoint: which array, what was found, what was expected.
    """
    p, config, _ = load_training(path, {})
    return p, config


def saved_config(path):
    """The configuration of a model that tinyvit saved, without the model."""
    with _opened(path) as archive:
        return _read_description(path, archive, npz.entries(path, archive))[0]


def load_training(path, like):
    """Read a model and the state of its training.

    Parameters
    ----------
    path : str or Path
    like : {name: (shape, dtype)}, or a function of the configuration that returns one
        The training state expected; {} reads none.

    Returns
    -------
    p, config, {name: array}
    """
    with _opened(path) as archive:
        p, config, _, training = _read(path, archive, like)
    return p, config, training


def load_for_use(path):
    """Read a model that is to be asked, and what it must be fed.

    Returns
    -------
    p : tree
        Of a run's checkpoint, the average of the weights so far.
    config
    inputs : Inputs
    step : int or None
        Of a run's checkpoint, how far the run was.
    """
    with _opened(path) as archive:
        if f"{TRAINING}step.npy" not in archive.namelist():
            return *_read(path, archive, {})[:3], None
        p, config, inputs, training = _read(path, archive, _average)
    return trees.views(training["average"], like=p), config, inputs, int(training["step"])


def _average(config):
    return {"average": ((parameter_count(config),), None), "step": ((), "int64")}


def _opened(path):
    return npz.opened(os.path.expanduser(path), "an .npz file that tinyvit wrote")


def _read(path, archive, like):
    entries = npz.entries(path, archive)
    config, inputs = _read_description(path, archive, entries)
    form = model_of(config).init(None, config)
    expected = {name: (leaf.shape, None) for name, leaf in trees.walk(form)}
    state = like(config) if callable(like) else like
    expected |= {TRAINING + name: value for name, value in state.items()}
    _check_names(path, entries, expected)
    first = next(iter(expected))
    dtype = npz.header(path, archive, entries[first], first)[1]
    if dtype not in (np.float32, np.float64):
        raise CheckpointError(f"{path}: {first} has dtype {dtype}, expected float32 or float64")
    wanted = {name: (shape, np.dtype(kind or dtype)) for name, (shape, kind) in expected.items()}
    for name, shape_and_dtype in wanted.items():
        if (found := npz.header(path, archive, entries[name], name)) != shape_and_dtype:
            raise CheckpointError(f"{path}: {name} is {npz.form(*found)}, expected {npz.form(*shape_and_dtype)}")
    arrays = {name: npz.read(path, archive, entries[name], name) for name in wanted}
    p = trees.from_names(arrays, like=form)
    return p, config, inputs, {name: arrays[TRAINING + name] for name in state}


def _read_description(path, archive, entries):
    """The configuration in a checkpoint, itself checked, for everything else is judged by it; and what it is fed."""
    problem = "has no configuration"
    if "config" in entries and entries["config"].file_size <= LONGEST_DESCRIPTION:
        shape, dtype = npz.header(path, archive, entries["config"], "config")
        if dtype == np.uint8 and len(shape) == 1 and shape[0] <= LONGEST_DESCRIPTION:
            try:
                description = json_files.parse(npz.read(path, archive, entries["config"], "config").tobytes())
                if description["format"] == FORMAT:
                    model = model_named(description.get("model", "vit"))  # version 0.1 saved no other, and no name
                    config = model.config.from_dict(description["config"])
                    return config, Inputs.from_dict(description, getattr(config, "image", None))  # tokens have no size
                problem = f"has format {description['format']!r}, expected {FORMAT}"
            except (ValueError, KeyError, TypeError, UsageError) as error:
                problem = f"has a configuration that cannot be read ({error})"
    raise CheckpointError(f"{path} {problem}: expected an .npz file that this version of tinyvit wrote")


def _check_names(path, entries, expected):
    missing = [name for name in expected if name not in entries]
    if missing:
        raise CheckpointError(f"{path}: {missing[0]} is missing ({len(missing)} of {len(expected)} arrays are)")
    unknown = [name for name in entries if name not in expected and name != "config" and not name.startswith(TRAINING)]
    if unknown:
        raise CheckpointError(f"{path}: {unknown[0]} does not belong to its configuration ({len(unknown)} such arrays)")
