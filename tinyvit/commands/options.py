"""What the commands' options share."""

import argparse
import dataclasses
import inspect
import re

from tinyvit.arrays import DEVICES
from tinyvit.errors import UsageError

FROM_THE_DATA = ("image", "channels", "classes")  # sizes of the data set; the images' may be another, by resizing


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others."""

    def error(self, message):
        raise UsageError(f"{message}; see {self.prog} --help")


def count(text):
    """A whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 1")
    return number


def documented(cls):
    """The first sentence on each field, from the class's own docstring."""
    entries = re.findall(r"^(\w[\w, ]*) : .*\n((?:    .*\n)+)", inspect.getdoc(cls), re.MULTILINE)
    return {
        name: re.split(r"[.;]\s", " ".join(text.split()) + " ")[0]
        for names, text in entries
        for name in names.split(", ")
    }


def add_options(parser, title, cls):
    """An option for each field of a dataclass."""
    group, texts = parser.add_argument_group(title), documented(cls)
    for f in dataclasses.fields(cls):
        if f.name not in ("channels", "classes"):
            group.add_argument(
                "--" + f.name.replace("_", "-"), type=f.type, metavar=f.type.__name__.upper(), help=texts[f.name]
            )


def given(args, cls):
    """{name: value} of those options of a dataclass that the user gave."""
    values = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


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
