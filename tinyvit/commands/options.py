"""What the commands' options share."""

import argparse
import dataclasses
import inspect
import json
import re
import sys
from pathlib import Path

from tinyvit.arrays import DEVICES
from tinyvit.errors import UsageError
from tinyvit.models.model import MODELS, model_named
from tinyvit.training.recipe import RENAMED

FROM_THE_DATA = ("image", "channels", "classes")  # sizes of the data set; the images' may be another, by resizing


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others.

    One with `add_model_options` reads --model first, and then has the options of that model.
    """

    add_model_options = None

    def __init__(self, *args, **keywords):
        super().__init__(*args, **keywords)
        self.register("type", int, worded(int, "a whole number"))
        self.register("type", float, worded(float, "a number"))

    def parse_known_args(self, args=None, namespace=None):
        if self.add_model_options:
            first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
            first.add_argument("--model", nargs="?")  # that a name is missing, the whole parser will say
            first.add_argument("--out")
            first.add_argument("--resume", action="store_true")
            add, self.add_model_options = self.add_model_options, None
            asked, _ = first.parse_known_args(args)
            add(self, asked.model or (asked.resume and asked.out and saved_model(asked.out)) or "vit")
        return super().parse_known_args(args, namespace)

    def error(self, message):
        raise UsageError(f"{message}; see {self.prog} --help")


def saved_model(folder):
    """The name of the model of the run in a folder; None if the folder does not say."""
    try:
        name = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("model")
        return name if name in MODELS else None
    except (OSError, ValueError, AttributeError, TypeError):  # whoever opens the run will say what is wrong
        return None


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
    """The first sentence on each field, from the class's own docstring."""
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
    titles = "; ".join(f"{name}, {model.title}" for name, model in MODELS.items())
    about = f"{titles} (default vit); what it can be set to: --model NAME --help"
    parser.add_argument("--model", choices=MODELS, help=about)
    parser.add_model_options = lambda parser, name: _add_settings(parser, texts, model_named(name).config.settings())


def _add_settings(parser, title, settings):
    group = parser.add_argument_group(title)
    for name, (cls, kind) in settings.items():
        if name not in ("channels", "classes"):
            how = {"type": whole_numbers, "metavar": "N,N,..."} if kind is tuple else {"type": kind}
            how = {"metavar": kind.__name__.upper()} | how
            group.add_argument("--" + name.replace("_", "-"), help=documented(cls)[name], **how)
    for old, new in RENAMED.items():
        if new in settings:
            group.add_argument(f"--{old}", dest=new, type=settings[new][1], action=Renamed, help=argparse.SUPPRESS)


class Renamed(argparse.Action):
    """An option's old name, which still works, with a notice."""

    def __call__(self, parser, namespace, value, option):
        print(f"tinyvit: {option} is now --{self.dest.replace('_', '-')}; the old name will go", file=sys.stderr)
        setattr(namespace, self.dest, value)


def whole_numbers(text):
    """Whole numbers with commas between."""
    return worded(lambda text: tuple(map(int, text.split(","))), "whole numbers with commas between")(text)


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
    return command


def add_run(parser):
    """RUN"""
    parser.add_argument("run", metavar="RUN", help="folder of a finished run")


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


def add_json(parser):
    """--json"""
    parser.add_argument("--json", action="store_true", help="print JSON")
