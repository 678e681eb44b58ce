"""tinyvit report"""

import os
from pathlib import Path

from tinyvit.commands.options import new_command
from tinyvit.commands.runs import add_finished_run, finished_run
from tinyvit.errors import UsageError
from tinyvit.files import replacing
from tinyvit.report.page import page


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "report", run, ["report runs/digits-1", "report runs/mnist-1 --out mnist.html"])
    add_finished_run(parser)
    parser.add_argument(
        "--out", type=os.path.expanduser, metavar="FILE", help="the page (default: report.html, in the run's folder)"
    )


def run(args):
    """Write a page about a finished run: one file, for any browser, without a network."""
    if args.out and Path(args.out).is_dir():
        raise UsageError(f"--out {args.out} is a directory: name a file")
    if args.out and not Path(args.out).parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no such folder, make it first")
    inside = finished_run(args)
    path = Path(args.out) if args.out else inside.run.folder / "report.html"
    with replacing(path, "w") as file:
        file.write(page(inside))
    print(f"open {path} in a browser")
