"""What the commands do otherwise where the data are text."""

import os

from tinyvit.commands.options import NO_OPTIONS, fields, given, length_range
from tinyvit.data.rules import RULES
from tinyvit.data.text import joined, read_text, with_one_vocabulary
from tinyvit.errors import DataError, UsageError
from tinyvit.models.model import SEQUENCE_MODELS, name_of
from tinyvit.training.recipe import USUAL_MODELS, Recipe, note_of_changes, recipe_of
from tinyvit.training.settings import Settings

OPTIONS = ("length", "symbols", "largest", "examples")


def add_text_options(parser):
    """--length, --symbols, --largest and --examples."""
    group = parser.add_argument_group("data by rule")
    group.add_argument(
        "--length", type=length_range, metavar="N or N-N", help="symbols of a sequence of copy, reverse, sort (16)"
    )
    group.add_argument("--symbols", type=int, metavar="N", help="different symbols of copy, reverse, sort (10)")
    group.add_argument(
        "--largest", type=int, metavar="N", help="numerals (1,000,000) and sums (100) are of numbers below it"
    )
    group.add_argument("--examples", type=int, metavar="N", help="pairs to learn from (32,000)")


def refuse_text_options(args, data):
    """Raise UsageError if there is an option of text for other data."""
    if found := given(args, OPTIONS):
        raise UsageError(f"--{next(iter(found))}: {data} is not made by rule, as {', '.join(RULES)} are: leave it out")
    if args.model in SEQUENCE_MODELS:
        title = SEQUENCE_MODELS[args.model].title
        raise UsageError(f"--model {args.model}: {title} learns from text, such as {', '.join(RULES)} or a .tsv file")


def text_settings(args):
    """The settings that the options ask for, and notes: of data by rule, or of a file of pairs."""
    data = args.data or args.preset
    for name in ("weights", "skip_broken", "data_dir"):
        if getattr(args, name):
            option = {"weights": "from"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} is for pictures: leave it out of a run with text")
    if args.preset and args.preset not in USUAL_MODELS:
        raise UsageError(f"the preset {args.preset} is for pictures: choose one of {', '.join(USUAL_MODELS)}")
    preset = args.preset or (data if data in RULES else "pairs")
    name = args.model or USUAL_MODELS[preset]
    if name not in SEQUENCE_MODELS:
        raise UsageError(f"--model {name} is for pictures: choose one of {', '.join(SEQUENCE_MODELS)}")
    model, options = SEQUENCE_MODELS[name], given(args, OPTIONS)
    loaded = read_text(data, **options)
    loaded = for_model(loaded, name, getattr(args, "shared", None))
    free = [name for name in model.config.settings() if name not in NO_OPTIONS]  # --length is the data's, not a GPT's
    config = model.preset(loaded.dataset).changed(**given(args, free))
    asked = given(args, fields(Recipe))
    notes = (*loaded.notes, *note_of_changes(preset, name, asked))
    recipe = recipe_of(preset, name)
    recipe = type(recipe)(**vars(recipe) | asked)
    path = data if data in RULES else os.path.abspath(os.path.expanduser(data))
    how = {"text": loaded.dataset, "fingerprint": loaded.fingerprint, "examples": options.get("examples")}
    return Settings(path, config, recipe, args.seed or 0, **how), notes


def for_model(loaded, name, shared=False):
    """The data in the form that a model takes: pairs, with one vocabulary or two; or one sequence each."""
    if "tokens" in SEQUENCE_MODELS[name].task.vocabularies(SEQUENCE_MODELS[name].config()):
        return joined(loaded)
    return with_one_vocabulary(loaded) if shared else loaded


def text_data(settings, place=None):
    """The training and the test part of a run with text.

    Raises
    ------
    DataError
        If its file is gone, or has other pairs than the run was begun with.
    """
    rule = settings.data in RULES
    where = settings.data if rule else os.path.expanduser(place or settings.data)
    if not rule and os.path.isdir(where):
        where = os.path.join(where, os.path.basename(settings.data))
    if not rule and not os.path.exists(os.path.expanduser(where)):
        raise DataError(f"the pairs of this run are gone from {where}: name their new place with --data-dir")
    how = settings.text.options | ({"examples": settings.examples} if settings.examples else {})
    loaded = for_model(read_text(where, **how), name_of(settings.config), getattr(settings.config, "shared", False))
    if (loaded.dataset.source, loaded.dataset.target, loaded.fingerprint) != (
        settings.text.source,
        settings.text.target,
        settings.fingerprint,
    ):
        raise DataError(f"{where} has other pairs than this run was begun with: restore them, or start a new run")
    return loaded.train, loaded.test
