"""What the commands' options share."""

import argparse
import dataclasses
import inspect
import os
import re
import sys
import textwrap
from pathlib import Path

from tinyvit import json_files
from tinyvit.arrays import DEVICES
from tinyvit.data.text import is_text
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.models.model import ALL_MODELS, model_named, name_of
from tinyvit.models.presets import PRESETS, VIT_PRESETS
from tinyvit.models.sizes import ImageSize
from tinyvit.names import expected, nearest
from tinyvit.training.checkpoint import saved_config
from tinyvit.training.recipe import RENAMED, USUAL_MODELS

FROM_THE_DATA = ("image", "channels", "classes")  # sizes of the data set; the images' may be another, by resizing
NO_OPTIONS = ("channels", "classes", "source_tokens", "target_tokens", "source_length", "target_length")
NO_OPTIONS += ("tokens", "length", "types")  # settings that follow from the data, always
OF_OTHER_MODELS = PRESETS.keys() - VIT_PRESETS.keys()  # presets that say which model is meant
LEARNED = {"masked": "vit"}  # what is taken of a model that is fine-tuned, if not itself
ELSEWHERE = {  # what other programs call an option
    "--lr": "--learning-rate",
    "--bs": "--batch",
    "--wd": "--weight-decay",
    "--hidden-size": "--dim",
    "--embed-dim": "--dim",
    "--layers": "--depth",
    "--num-layers": "--depth",
    "--cuda": "--device",
    "--gpu": "--device",
    "--output": "--out",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others, and whose help begins with what most people need.

    One with `add_model_options` reads --model first, and then has the options of that model. Its help shows the options
    `most_used` before all others.
    """

    add_model_options, most_used = None, ()

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self.register("type", int, worded(int, "a whole number"))
        self.register("type", float, worded(float, "a number"))

    def parse_known_args(self, args=None, namespace=None):
        model = None
        if self.add_model_options:
            first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
            first.add_argument("--model", nargs="?")  # that a name is missing, the whole parser will say
            first.add_argument("--out", type=os.path.expanduser)
            first.add_argument("--from", dest="weights")
            first.add_argument("--data-dir")
            first.add_argument("--resume", action="store_true")
            add, self.add_model_options = self.add_model_options, None
            asked, rest = first.parse_known_args(args)
            model = asked.model or (asked.resume and asked.out and saved_model(asked.out))
            if any(action.dest == "preset" and not action.option_strings for action in self._actions):
                model = model or next((name_of(PRESETS[word]) for word in args or () if word in OF_OTHER_MODELS), None)
            model = model or next(
                (USUAL_MODELS.get(word, USUAL_MODELS["pairs"]) for word in rest if is_text(word)), None
            )
            model = model or (asked.weights and LEARNED.get(saved := saved_model(asked.weights), saved)) or "vit"
            add(self, model)
        found, unknown = super().parse_known_args(args, namespace)
        if model:
            self._refuse_settings_of_others(model, unknown)
        if self._subparsers is None and (options := [word for word in unknown if word.startswith("-")]):
            self.error(self._no_option(options[0].partition("=")[0]))
        return found, unknown

    def _no_option(self, name):
        known = [option for option in self._option_string_actions if option.startswith("--")]
        meant = ELSEWHERE.get(name)
        meant = meant if meant in known else nearest(name, known)
        return f"there is no option {name}" + (f": did you mean {meant}?" if meant else "")

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            names = [str(name) for name in action.choices]
            raise argparse.ArgumentError(action, f"found {str(value)!r}: {expected(value, names)}")

    def format_help(self):
        """What it does; its arguments and most used options; all other options; examples."""
        shown = [action for action in self._actions if action.help is not argparse.SUPPRESS]
        first = [action for action in shown if not action.option_strings]
        first += [action for name in self.most_used for action in shown if name in action.option_strings]
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, first, ())
        formatter.add_text(self.description and textwrap.fill(self.description, formatter._width))
        for group in self._action_groups:
            title = {"positional arguments": "most used", "options": "more options"}.get(group.title, group.title)
            rest = [action for action in group._group_actions if action in shown and action not in first]
            formatter.start_section(title)
            formatter.add_arguments(first if title == "most used" else rest)  # argparse leaves out an empty section
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _refuse_settings_of_others(self, model, unknown):
        """An error that names the model's own settings, if an option is of another model's."""
        settings = {name: _option(name) for other in ALL_MODELS.values() for name in other.config.settings()}
        own = [settings[name] for name in ALL_MODELS[model].config.settings() if name not in NO_OPTIONS]
        for option in unknown:
            if (name := option.partition("=")[0]) in settings.values():
                self.error(f"{name}: {ALL_MODELS[model].title} has no such setting, it has {', '.join(own)}")

    def error(self, message):
        raise UsageError(f"{message}{' See' if message.endswith('?') else '; see'} {self.prog} --help")


def saved_model(folder):
    """The name of the model of the run in a folder, or of tinyvit's own file; None if it does not say."""
    path = Path(os.path.expanduser(folder))
    try:
        if path.is_file():
            return name_of(saved_config(path))
        values = json_files.read(path / "config.json")
    except CheckpointError:  # whoever opens it will say what is wrong
        return None
    name = values.get("model") if isinstance(values, dict) else None
    return name if name in list(ALL_MODELS) else None


def worded(kind, expected):
    """The type of an option, `kind` of its text, with an error in words."""

    def value(text):
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}") from None

    return value


def count(text):
    """A whole number from 1."""
    if (number := worded(int, "a whole number of at least 1")(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 1")
    return number


def documented(cls):
    """The first sentence on each field, from the class's own docstring; none where Python leaves those out (-OO)."""
    text = (inspect.getdoc(cls) or "") + "\n"
    entries = re.findall(r"^(\w[\w, ]*) : .*\n((?:    .*\n)+)", text, re.MULTILINE)
    return {
        name: re.split(r"[.;]\s", " ".join(text.split()) + " ")[0]
        for names, text in entries
        for name in names.split(", ")
    }


def add_options(parser, title, cls):
    """An option for each field of a dataclass."""
    _add_settings(parser, title, {f.name: (cls, f.type) for f in dataclasses.fields(cls)})


def add_model_settings(parser, texts):
    """--model, and the options of the model that it names; `texts` is the title of their group."""
    titles = "; ".join(f"{name}, {model.title}" for name, model in ALL_MODELS.items())
    about = f"{titles} (default vit, or the data's); what it can be set to: --model NAME --help"
    parser.add_argument("--model", choices=ALL_MODELS, help=about)
    parser.add_model_options = lambda parser, name: _add_settings(parser, texts, model_named(name).config.settings())


def _add_settings(parser, title, settings):
    group = parser.add_argument_group(title)
    for name, (cls, kind) in settings.items():
        if name not in NO_OPTIONS:
            how = SPECIAL.get(kind) or {"type": kind, "metavar": kind.__name__.upper()}
            group.add_argument(_option(name), help=documented(cls).get(name), **how)
    for old, new in RENAMED.items():
        if new in settings:
            group.add_argument(f"--{old}", dest=new, type=settings[new][1], action=Renamed, help=argparse.SUPPRESS)


def _option(name):
    return "--" + name.replace("_", "-")


class Renamed(argparse.Action):
    """An option's old name, which still works, with a notice."""

    def __call__(self, parser, namespace, value, option):
        print(f"tinyvit: {option} is now --{self.dest.replace('_', '-')}; the old name will go", file=sys.stderr)
        setattr(namespace, self.dest, value)


def whole_numbers(text):
    """Whole numbers with commas between, or the word none: a hybrid's units, of the stem alone."""
    numbers = worded(lambda text: tuple(map(int, text.split(","))), "whole numbers with commas between, or none")
    return () if text == "none" else numbers(text)


def length_range(text):
    """A length, or the least and the most: "16" or "4-16"."""
    try:
        lengths = tuple(map(int, text.split("-")))
    except ValueError:
        lengths = ()
    if len(lengths) not in (1, 2):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a length, 16, or the least and the most, 4-16")
    return lengths[0], lengths[-1]


def image_size(text):
    """A side of square images, or height and width: "224" or "32x128"."""
    try:
        sides = tuple(map(int, text.split("x")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected pixels: 32, or height and width, 32x128") from None
    return sides[0] if len(sides) == 1 else sides


SPECIAL = {  # of the settings of these types: how their options are declared
    bool: {"action": argparse.BooleanOptionalAction, "default": None},
    tuple: {"type": whole_numbers, "metavar": "N,N,..."},
    ImageSize: {"type": image_size, "metavar": "SIDE"},
}


def given(args, names):
    """{name: value} of those options, with one of these names, that the user gave."""
    values = {name: getattr(args, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def fields(cls):
    """The names of a dataclass's fields."""
    return [f.name for f in dataclasses.fields(cls)]


def new_command(commands, name, run, examples):
    """A parser for one more command; the docstring of `run` says what it does."""
    command = commands.add_parser(
        name,
        help=run.__doc__,
        description=run.__doc__,
        epilog="examples:\n" + "\n".join(f"  tinyvit {e}" for e in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(function=run)
    command.example = f"tinyvit {examples[0]}"
    return command


def add_run(parser):
    """RUN"""
    parser.add_argument("run", type=os.path.expanduser, metavar="RUN", help="folder of a finished run")


def add_data_dir(parser):
    """--data-dir"""
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the data set's files")


def add_device(parser):
    """--device and --workers"""
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to compute (default %(default)s)")
    add_workers(parser)


def add_workers(parser):
    """--workers"""
    parser.add_argument("--workers", type=count, metavar="N", help="cores to compute on (default: all that help)")


def refuse_beside_ranks(args):
    """Raise UsageError if processes were started by mpiexec, and options say otherwise where to compute."""
    if args.ranks and args.workers:
        raise UsageError(f"--workers {args.workers} beside mpiexec, which has started {args.ranks.count}: leave it out")
    if args.ranks and getattr(args, "device", "cpu") == "gpu":
        raise UsageError("--device gpu beside mpiexec: ranks compute on CPUs; leave either out")


def add_json(parser):
    """--json"""
    parser.add_argument("--json", action="store_true", help="print JSON")
