"""tinyvit live"""

import os
from pathlib import Path

from tinyvit.commands.options import add_data_dir, add_workers, new_command
from tinyvit.commands.runs import data_of, finished_model
from tinyvit.errors import UsageError
from tinyvit.files import replacing
from tinyvit.live import bundled
from tinyvit.live.page import Live, check_known
from tinyvit.training.cores import usable_cores


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "live", run, ["live", "live runs/mnist-1 --out mine.html"])
    about = "folder of a finished run (default: the bundled model, which reads MNIST)"
    parser.add_argument("run", type=os.path.expanduser, metavar="RUN", nargs="?", help=about)
    about = "the page (default: live.html, in the run's folder, or without a run in this one)"
    parser.add_argument("--out", type=os.path.expanduser, metavar="FILE", help=about)
    parser.add_argument("--force", action="store_true", help="also write a page of more than 1 MB")
    add_data_dir(parser)
    add_workers(parser)


def run(args):
    """Write a page in which a Vision Transformer is watched, turned around and taught: draw, see, press learn."""
    if args.out and Path(args.out).is_dir():
        raise UsageError(f"--out {args.out} is a directory: name a file")
    if args.out and not Path(args.out).parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no such folder, make it first")
    if not args.run and (args.data_dir or args.workers):
        option = f"--data-dir {args.data_dir}" if args.data_dir else f"--workers {args.workers}"
        raise UsageError(f"{option} without a RUN: the bundled model brings its images along; leave it out")
    folder = Path(args.run or ".")
    live = _of_run(args) if args.run else bundled.load()
    path = Path(args.out) if args.out else (folder if folder.is_dir() else folder.parent) / "live.html"
    with replacing(path, "w") as file:
        file.write(live.html())
    print(f"open {path} in a browser")


def _of_run(args):
    """The page of a finished run."""
    trained, p, config = finished_model(args.run, "cpu")
    check_known(config)  # before its data are read
    settings = trained.settings
    _, (images, labels) = data_of(settings, args.data_dir)
    how = {"title": trained.folder.resolve().name, "command": settings.command, "force": args.force}
    return Live(p, config, settings.dataset, images, labels, **how, workers=args.workers or usable_cores())
