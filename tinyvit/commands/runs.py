"""What the commands that look at a finished run share."""

import os
from pathlib import Path

from tinyvit.arrays import to_device
from tinyvit.commands.options import add_data_dir, add_run, add_workers
from tinyvit.commands.texts import text_data
from tinyvit.data import read_data
from tinyvit.data.text import TextDataset
from tinyvit.errors import CheckpointError, DataError, UsageError
from tinyvit.files import replacing
from tinyvit.training.checkpoint import load_for_use
from tinyvit.training.cores import usable_cores
from tinyvit.training.run import open_run


def add_finished_run(parser):
    """The options that `finished_run` reads."""
    add_run(parser)
    add_data_dir(parser)
    add_workers(parser)


def finished_model(folder, device):
    """A finished run and its model, on a device; the run may be named by the model.npz in it."""
    folder = Path(folder)
    if folder.is_file():
        if folder.name != "model.npz" or not (folder.parent / "config.json").exists():
            raise CheckpointError(
                f"no run in {folder}: it is a file, expected the folder of a run, which knows its data"
            )
        folder = folder.parent
    run = open_run(folder)
    if not run.model.exists():
        run.refuse_diverged()
        raise CheckpointError(f"the run in {folder} is not finished: go on with `{run.resume_command}`")
    p, config, inputs, _ = load_for_use(run.model)
    check_same_model(run, run.model, config, inputs.dataset)
    return run, to_device(p, device), config


def check_same_model(run, file, config, dataset=None):
    """Raise CheckpointError unless a run's file has the configuration, and the data set, that the run was begun with.

    The data set is None where the file does not say.
    """
    ours = run.settings.dataset
    if dataset and not _same_data(dataset, ours):
        if dataset.name == ours.name:
            raise CheckpointError(
                f"{file} describes {ours.name} otherwise than {run.folder / 'config.json'}: restore either"
            )
        raise CheckpointError(f"{file} is of a model trained on {dataset.name}, the run is on {ours.name}: restore it")
    if config != run.settings.config:
        raise CheckpointError(f"{file} is of another model than {run.folder / 'config.json'}: restore either")


def _same_data(dataset, other):
    """Whether two descriptions are of the same data, as far as a model knows of them."""
    if isinstance(dataset, TextDataset) or isinstance(other, TextDataset):
        return dataset == other
    return (dataset.name, dataset.class_names) == (other.name, other.class_names)


def data_of(settings, data_dir):
    """The training and the test part of a run's data set, at the size that its model takes.

    Pictures, or pairs, of one's own are looked for where they were, or in data_dir.

    Raises
    ------
    DataError
        If they cannot be read, or are not the pictures that the run was begun with.
    """
    if settings.text:
        return text_data(settings, data_dir)
    how = {"size": settings.config.image, "skip_broken": settings.skip_broken, "progress": True}
    if not settings.pictures:
        loaded = read_data(settings.data, data_dir, **how)
        return loaded.train, loaded.test
    place = data_dir or settings.data
    if not Path(os.path.expanduser(place)).exists():
        raise DataError(f"the pictures of this run are gone from {place}: name their new place with --data-dir")
    try:
        loaded = read_data(os.path.abspath(os.path.expanduser(place)), **how)
    except DataError as error:  # its advice is for whoever begins a run
        raise DataError(
            f"{str(error).partition(': mend')[0]}: restore the pictures that the run was begun with"
        ) from None
    if (loaded.dataset.class_names, loaded.fingerprint) != (settings.dataset.class_names, settings.fingerprint):
        raise DataError(f"{place} has other pictures than this run was begun with: restore them, or start a new run")
    return loaded.train, loaded.test


def finished_run(args):
    """The finished run that a command's options name, looked into."""
    from tinyvit.report.inside import look_inside
    from tinyvit.report.text_inside import look_inside_text

    run, p, config = finished_model(args.run, "cpu")
    if run.metrics() is None:
        raise CheckpointError(f"the run in {args.run} has lost its metrics.json: train it again, with --force")
    _, test = data_of(run.settings, args.data_dir)
    return (look_inside_text if run.settings.text else look_inside)(
        run, p, config, test, workers=args.workers or usable_cores()
    )


def check_figure(path):
    """Raise UsageError unless a figure can be written under this name; asked before the work that leads to one."""
    from matplotlib.backend_bases import FigureCanvasBase

    form, known = Path(path).suffix[1:].lower(), {*FigureCanvasBase.get_supported_filetypes()} - {"pgf"}  # needs TeX
    if form not in known:
        raise UsageError(f"cannot draw {path}: expected a name that ends in one of {', '.join(sorted(known))}")
    if not Path(path).parent.is_dir():
        raise UsageError(f"cannot draw {path}: there is no folder {Path(path).parent}; make it, or choose another")
    if os.path.isdir(path):
        raise UsageError(f"cannot draw {path}: it is a folder; choose another name")
    return form


def save_figure(figure, path):
    """Write a figure in the format that the file's name asks for."""
    from matplotlib import rc_context

    form = check_figure(path)
    # The same figure is the same file: no date, and names in it that are not drawn by chance.
    with replacing(path) as file, rc_context({"svg.hashsalt": "tinyvit"}):
        figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)
