"""tinyvit lab"""

import json
import os
import shlex
import sys
from pathlib import Path

from tinyvit.commands.options import add_data_dir, add_json, add_workers, count, new_command, refuse_beside_ranks
from tinyvit.data import DATASETS
from tinyvit.errors import Interrupted, UsageError, signal_number
from tinyvit.lab.bottleneck import TEXTS
from tinyvit.lab.job import BUDGETS
from tinyvit.lab.run import EXPERIMENTS, FIGURE, RESULTS, experiment_named, report_of, source_of, table, write
from tinyvit.lab.run import run as run_experiment
from tinyvit.training.cores import usable_cores

OF_TEXT = [experiment.name for experiment in EXPERIMENTS.values() if experiment.texts]


def add(commands):
    """Declare the options."""
    parser = new_command(
        commands, "lab", run, ["lab position", "lab pooling --data mnist --seeds 5 --budget full", "lab"]
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help=f"{', '.join(EXPERIMENTS)}; what they are without")
    parser.add_argument(
        "--data",
        metavar="NAME_OR_PATH",
        help=f"data set: {', '.join(DATASETS)} (default digits), or a folder or .zip of pictures, as for train; of "
        f"{', '.join(OF_TEXT)} {', '.join(TEXTS)} (default {TEXTS[0]})",
    )
    parser.add_argument(
        "--seeds", type=count, default=3, metavar="N", help="runs of each setting (default %(default)s)"
    )
    parser.add_argument(
        "--budget", choices=BUDGETS, default="quick", help="a quick look, or the full recipe (default %(default)s)"
    )
    parser.add_argument(
        "--out", type=os.path.expanduser, metavar="DIR", help="folder of the results; runs/lab/NAME-DATA-BUDGET without"
    )
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    add_data_dir(parser)
    add_workers(parser)
    add_json(parser)


def run(args):
    """Repeat one of the paper's experiments, with error bars."""
    if args.name is None:
        rows = [{"name": e.name, "question": e.question, "source": e.source} for e in EXPERIMENTS.values()]
        lines = [f"{row['name']:18} {row['question']} ({row['source']})" for row in rows]
        print(json.dumps(rows) if args.json else "\n".join(lines))
        return
    refuse_beside_ranks(args)
    experiment = experiment_named(args.name)
    args.data = args.data or experiment.usual_data
    experiment.check_data(args.data)
    if experiment.texts and (args.skip_broken or args.data_dir):
        option = "skip-broken" if args.skip_broken else "data-dir"
        raise UsageError(f"--{option}: {experiment.name} has data by rule, which are in no file: leave it out")
    source = source_of(args.data, skip_broken=args.skip_broken)
    for note in source.notes:
        print(note, file=sys.stderr)
    folder = Path(args.out or Path("runs") / "lab" / f"{args.name}-{source.name}-{args.budget}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: choose another --out")
    what = {"budget": args.budget, "seeds": args.seeds, "data_dir": args.data_dir}
    workers = args.ranks.count if args.ranks else args.workers or usable_cores()
    where = {"workers": workers, "ranks": args.ranks, "folder": folder}
    with _Progress(args, folder) as progress:
        records = run_experiment(experiment, source, **what, **where, watch=progress.begin)
    report = report_of(experiment, records, folder / RESULTS)
    sure = f"{args.seeds} seeds, 95 % intervals" if args.seeds > 1 else "1 seed, and so no intervals"
    about = f"{experiment.question} ({experiment.source}.) `{_command(args)}`, {sure}."
    text = table(report, records, about)
    write(folder, report, text)
    if args.json:
        print(json.dumps([{k: v for k, v in record.items() if k != "key"} for record in records]))
    else:
        print(text, end="")
    print(f"{folder / RESULTS}, {folder / FIGURE}", file=sys.stderr)


def _command(args):
    """What a user types for this experiment; of pictures, only their name: where they lie is nobody else's business."""
    data = shlex.quote(Path(args.data).resolve().name)
    return f"tinyvit lab {args.name} --data {data} --seeds {args.seeds} --budget {args.budget}"


class _Progress:
    """A bar over all runs, by the work that each is; and what is said when the lab is stopped."""

    def __init__(self, args, folder):
        self.args, self.folder, self.bar, self.done, self.all = args, folder, None, 0, 0

    def begin(self, missing, kept):
        """The runs that are to do are known, and how many were done before."""
        from tqdm import tqdm

        self.done, self.all = kept, kept + len(missing)
        shape = "{l_bar}{bar}| [{elapsed}<{remaining}]"
        total = sum(job.work for job in missing)
        self.bar = tqdm(total=total, bar_format=shape, disable=not missing)
        self._say()
        return self._advance

    def _advance(self, job):
        self.done += 1
        self.bar.update(job.work)
        self._say()

    def _say(self):
        self.bar.set_description(f"{self.args.name}, {self.done} of {self.all} runs")

    def __enter__(self):
        return self

    def __exit__(self, kind, stop, _):
        if self.bar is None:
            return
        self.bar.close()
        if isinstance(stop, KeyboardInterrupt):
            kept = f"{self.done} of {self.all} runs are done and kept in {self.folder}; the same command goes on"
            raise Interrupted(f"stopped: {kept}", signal_number(stop)) from None
