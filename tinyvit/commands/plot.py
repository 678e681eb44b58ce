"""tinyvit plot"""

import os
import sys
from pathlib import Path

from tinyvit.commands.options import new_command
from tinyvit.commands.runs import add_finished_run, finished_run, save_figure
from tinyvit.errors import UsageError
from tinyvit.report.page import drawn


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "plot", run, ["plot runs/digits-1", "plot runs/mnist-1 --out figures"])
    add_finished_run(parser)
    parser.add_argument(
        "--out", type=os.path.expanduser, metavar="DIR", help="folder for the figures (default: figures, in the run's)"
    )


def run(args):
    """Draw everything about a finished run, as PNG and SVG."""
    if args.out and Path(args.out).exists() and not Path(args.out).is_dir():
        raise UsageError(f"--out {args.out} is a file: name a folder for the figures")
    inside = finished_run(args)
    figures = drawn(inside)
    folder = Path(args.out) if args.out else inside.run.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in figures.items():
        for form in ("png", "svg"):
            save_figure(picture.figure, folder / f"{name}.{form}")
        print(f"{name}: {picture.words}")
    print(f"written to {folder}", file=sys.stderr)
