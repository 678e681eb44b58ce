"""tinyvit train"""

import argparse
import dataclasses
import os
import shlex
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from tinyvit.arrays import choose_device
from tinyvit.commands.models import check_is_transformer, feeding, open_model
from tinyvit.commands.options import (
    FROM_THE_DATA,
    add_data_dir,
    add_device,
    add_model_settings,
    add_options,
    fields,
    given,
    new_command,
    refuse_beside_ranks,
    saved_model,
)
from tinyvit.commands.runs import data_of, save_figure
from tinyvit.commands.texts import OPTIONS, add_text_options, refuse_text_options, text_settings
from tinyvit.data import DATASETS, dataset_named, held_out_count, read_data
from tinyvit.data.rules import RULES
from tinyvit.data.text import is_text
from tinyvit.errors import CheckpointError, TinyvitError, UsageError
from tinyvit.lock import locked
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import MODELS, model_named, model_of, name_of, parameter_count
from tinyvit.models.presets import VIT_PRESETS
from tinyvit.training.batches import example_count
from tinyvit.training.cores import workers_for
from tinyvit.training.folders import check_empty, next_folder
from tinyvit.training.loop import fit
from tinyvit.training.recipe import RECIPES, USUAL_MODELS, Recipe, check_recipe, fine_tuning, note_of_changes, recipe_of
from tinyvit.training.run import latest_run, new_run, open_run
from tinyvit.training.settings import FREE, Settings
from tinyvit.training.stopping import stop_requests
from tinyvit.weights.adapt import adapt, fitting_image

FEW_STEPS = 300  # of the optimiser, below which a model from random numbers has hardly begun to learn


def add(commands):
    """Declare the options."""
    examples = ["train", "train mnist --out runs/first --seed 1", "train --out runs/first --resume"]
    examples += ["train mnist --preset mnist-best", "train mnist --from model.safetensors --freeze 6"]
    examples += ["train digits --model cnn", "train digits --model masked", "train photos/ --image 64 --patch 8"]
    examples += ["train numerals", "train copy --model seq2seq --length 16", "train pairs.tsv --model transformer"]
    parser = new_command(commands, "train", run, examples)
    parser.add_argument(
        "data",
        nargs="?",
        help=f"data set: {', '.join(DATASETS)}, or a folder or .zip of pictures, CLASS/*.jpg or train/CLASS/*.jpg and "
        f"test/CLASS/*.jpg; of text, {', '.join(RULES)}, or a file of pairs (.tsv), one a line, a tab between; "
        "without, the preset's, or digits, which is bundled",
    )
    parser.add_argument(
        "--out", type=os.path.expanduser, metavar="DIR", help="run folder; runs/DATA-1, -2, ... without"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, or with the latest that is not finished"
    )
    parser.add_argument("--force", action="store_true", help="replace the run in --out")
    parser.add_argument(
        "--from",
        dest="weights",
        metavar="WEIGHTS",
        help="fine-tune published weights, or a model of tinyvit's own, under a fresh head; see also --freeze",
    )
    parser.add_argument("--seed", type=int, help="of everything random (default 0)")
    parser.add_argument(
        "--preset", metavar="NAME", choices=RECIPES, help="model and training: %(choices)s; the data set's without"
    )
    add_model_settings(parser, "the model (default: the preset's)")
    add_text_options(parser)
    add_options(parser, "the training (default: the preset's)", Recipe)
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    add_data_dir(parser)
    add_device(parser)


def run(args):
    """Train a model, or go on with a run."""
    refuse_beside_ranks(args)
    name = args.data if args.data is None or args.data in (*DATASETS, *RULES) else run_name(args.data)
    folder = Path(args.out) if args.out else latest_run(name) if args.resume else None
    found = _resumed(args, folder) if args.resume and folder and (folder / "config.json").exists() else None
    if found and found.metrics():
        print(f"{found.folder} is finished", file=sys.stderr)
        return _print_result(found)
    if found:
        found.refuse_diverged()
    with locked(found.folder, "training") if found else nullcontext():
        return _train(args, found, folder)


def _train(args, found, folder):
    """Train the run that was found, or a new one in a folder; in the first free one, if it is None."""
    settings, p, notes = _start(args, found)
    if args.resume and not (found and found.checkpoint.exists()):
        notes = [f"nothing saved in {folder or 'runs'} yet: starting from the beginning", *notes]
    check_recipe(settings.config, settings.recipe)
    device = "cpu" if args.ranks else choose_device(args.device)
    asked = args.ranks.count if args.ranks else args.workers
    workers = workers_for(settings.recipe, asked, device)
    if not (found or args.force or folder is None):
        check_empty(folder)
    data = data_of(settings, args.data_dir)
    held_out = held_out_count(
        example_count(data[0]), settings.recipe.validation
    )  # fails before there is a folder, if it does
    folder = found.folder if found else folder or next_folder(settings.dataset.name)
    with locked(folder, "training"), stop_requests(signal.SIGINT, signal.SIGTERM) as stop:
        run = found or new_run(folder, settings, force=args.force)
        for line in notes:
            print(line, file=sys.stderr)
        _say_what_comes(args, run, data, held_out, workers if device == "cpu" else device, fine_tuned=p is not None)
        how = {"recipe": settings.recipe, "seed": settings.seed, "ranks": args.ranks}
        how |= {"workers": workers, "device": device}
        fit(settings.config, data, p=p, **how, run=run, draw=_drawing(run), stop=stop)
    return _print_result(run)


def _say_what_comes(args, run, data, held_out, where, *, fine_tuned):
    """The line that a run begins with, and what is unusual about it; `where` is "gpu", or the number of workers."""
    settings, (learned, tested) = run.settings, map(example_count, data)
    kind = "pairs" if settings.text else "images"
    recipe, numbers = settings.recipe, run.read_history()[1]
    if numbers:
        lines = f"line {numbers[0]} is" if len(numbers) == 1 else f"lines {', '.join(map(str, numbers))} are"
        print(f"{run.folder / 'history.jsonl'}: {lines} damaged and left out", file=sys.stderr)
    if fine_tuned:
        print(f"learning rate {recipe.learning_rate:g} (--learning-rate)", file=sys.stderr)
    steps = recipe.epochs * -(-(learned - held_out) // recipe.batch)
    if settings.pictures and steps < FEW_STEPS:
        print(f"{steps} steps in all are few: try a smaller --batch, or more --epochs", file=sys.stderr)
    if where != "gpu":
        asked, who = (args.ranks.count, "rank") if args.ranks else (args.workers, "worker")
        few = asked and where < asked
        where = f"{where} {who}{'s' * (where > 1)}"
        where += f" (a batch of {recipe.batch} has no more micro-batches)" * bool(few)
    counts = f"{learned - held_out} {kind} to learn from, {held_out} held out, {tested} to test"
    about = f"{settings.dataset.name}: {counts}; {parameter_count(settings.config)} parameters"
    print(f"{about}; {where}; {run.folder}", file=sys.stderr)


def _drawing(run):
    """What draws a run's curves from its history. Where they cannot be drawn that is said, and the run goes on."""
    try:
        from tinyvit.viz.curves import curves
        from tinyvit.viz.picture import readable

        title = f"{readable([run.settings.dataset.name])[0]}, seed {run.settings.seed}"
    except OSError as error:  # Matplotlib wants a folder for its cache, the user's or a temporary one
        print(f"tinyvit: no curves: {error}", file=sys.stderr)
        return None

    def draw(history):
        try:
            smoothed = run.settings.recipe.label_smoothing > 0
            save_figure(curves(history, title=title, smoothed=smoothed), run.curves)
        except (TinyvitError, OSError) as error:
            print(f"tinyvit: no curves: {error}", file=sys.stderr)

    return draw


def run_name(data):
    """The name that the runs of a folder or .zip of pictures begin with, unless --out says another."""
    path = Path(os.path.expanduser(data)).resolve()
    return path.stem if path.is_file() else path.name


def _print_result(run):
    metrics = run.metrics()
    epochs = f"{metrics['epochs']} epoch{'s' * (metrics['epochs'] != 1)}"
    print(f"run {run.folder}: {epochs} in {metrics['seconds']:.1f} s", end=", ")
    print(f"validation accuracy {100 * metrics['validation_accuracy']:.2f} %")
    print(f"test accuracy {100 * metrics['test_accuracy']:.2f} %", flush=True)
    print(f"look at it: tinyvit report {shlex.quote(str(run.folder))}", file=sys.stderr)


def _start(args, found):
    """The settings; the parameters to start from, if weights are given; and what was done to those."""
    settings, data_notes = (found.settings, ()) if found else _settings(args)
    if not settings.weights or (found and found.checkpoint.exists()):
        return settings, None, data_notes
    saved = {name: value for name, value in settings.config.values().items() if name in FREE}
    all_settings = {name for model in MODELS.values() for name in model.config.settings()}
    p, config, notes = _from_weights(settings, saved if found else given(args, all_settings))
    if found and config != settings.config:
        raise CheckpointError(f"{settings.weights} is no longer the model that {found.folder} started from: restore it")
    return dataclasses.replace(settings, config=config), p, (*data_notes, *notes)


def _settings(args):
    """What the options ask for, over the data set's presets; a preset's own data set if none is named."""
    if is_text(args.data or args.preset or ""):
        return text_settings(args)
    refuse_text_options(args, args.data or "digits")
    preset = args.preset or args.data or "digits"
    if preset in USUAL_MODELS:
        raise UsageError(f"the preset {preset} is for text: leave it out, or {args.data}")
    name = args.data or next((data for data in DATASETS if preset.startswith(data)), "digits")
    pictures, notes, fingerprint = None, (), None
    if preset == "pictures" and args.data is None:
        raise UsageError("the preset pictures is for pictures of your own: name their folder or .zip")
    if dataset_named(name) is None:
        loaded = _own_pictures(args)
        pictures, notes, fingerprint = loaded.dataset, loaded.notes, loaded.fingerprint
        name, preset = os.path.abspath(os.path.expanduser(name)), args.preset or "pictures"
    dataset = pictures or DATASETS[name]
    sizes = {"image": dataset.side, "channels": dataset.channels, "classes": dataset.classes}
    recipe, model = recipe_of(preset, args.model or "vit"), model_named(args.model or "vit")
    config = model.preset(VIT_PRESETS[preset])
    if args.weights:  # the model will be that of the weights
        if args.model not in (None, "vit"):
            raise UsageError(f"--from starts from the model of the weights: leave --model {args.model} out")
        if saved_model(args.weights) != "masked":  # it has learned nothing of classes yet
            recipe = fine_tuning(recipe)
    else:
        config = config.changed(**sizes | given(args, model.config.settings()))
    asked = given(args, fields(Recipe))
    notes = (*notes, *note_of_changes(preset, args.model, asked))
    recipe = dataclasses.replace(recipe, **asked)
    how = {"pictures": pictures, "fingerprint": fingerprint, "skip_broken": args.skip_broken and pictures is not None}
    return Settings(name, config, recipe, args.seed or 0, args.weights, **how), notes


def _own_pictures(args):
    """The pictures in a folder or .zip, which are read and kept.

    The side of the images is the one asked for; without, that of the weights to start from, or the preset's.
    """
    size = getattr(args, "image", None)
    if size is None and args.weights:
        size = open_model(args.weights, argparse.Namespace(**given(args, FREE))).config.image
    return read_data(args.data, size=size or VIT_PRESETS["pictures"].image, skip_broken=args.skip_broken, progress=True)


def _from_weights(settings, asked):
    """The parameters to start from, fitted to the data, their model, and what was done; `asked` has its options."""
    free = {name: asked.get(name) for name in FREE}
    opened = open_model(settings.weights, argparse.Namespace(**free))
    check_is_transformer(opened, "fine-tuned")
    dataset, config = settings.dataset, opened.config
    has = config.values()
    for name, value in asked.items():
        option = "--" + name.replace("_", "-")
        if name not in has:
            raise UsageError(f"{option}: {model_of(config).title} has no such setting, leave it out")
        if name not in FREE and value != has[name]:
            raise UsageError(f"{option} {value} contradicts the weights, which have {has[name]}: leave it out")
    least = fitting_image(config, dataset.side)
    image = least if free["image"] is None else free["image"]
    channels = dataset.channels if dataset.channels != config.channels else None
    p, config, notes = adapt(opened.p, config, opened.source, image=image, channels=channels, classes=dataset.classes)
    drops = {name: free[name] or 0.0 for name in ("dropout", "drop_path") if name in has}
    return p, config.changed(**drops), (*opened.notes, *notes, *feeding(opened))


def _resumed(args, folder):
    """The saved run; its own settings win, and an option that contradicts them is an error."""
    run = open_run(folder)
    asked = {"data": args.data, "model": args.model, "seed": args.seed, "from": args.weights}
    if args.preset and run.settings.text:
        asked |= vars(recipe_of(args.preset, name_of(run.settings.config)))
    elif args.preset:
        preset = model_named(name_of(run.settings.config)).preset(VIT_PRESETS[args.preset])
        asked |= {k: v for k, v in preset.values().items() if k not in FROM_THE_DATA}
        asked |= vars(recipe_of(args.preset, "vit" if run.settings.weights else name_of(run.settings.config)))
    asked |= given(args, [*ViTConfig.settings(), *run.settings.config.settings(), *fields(Recipe), *OPTIONS])
    run.refuse_other({name: value for name, value in asked.items() if value is not None})
    return run
