"""tinyvit doctor"""

import json
import os
import sys
import textwrap

from tinyvit.commands.options import add_data_dir, add_json, new_command
from tinyvit.commands.runs import check_same_model, data_of
from tinyvit.doctor.examine import examination
from tinyvit.models.presets import VIT_PRESETS
from tinyvit.training.checkpoint import load
from tinyvit.training.recipe import RECIPES
from tinyvit.training.run import open_run
from tinyvit.training.settings import Settings

UNSEEN = "docs/doctor.md"
WIDTH = 100  # of a line, in characters


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "doctor", run, ["doctor", "doctor runs/digits-1"])
    parser.add_argument(
        "run",
        type=os.path.expanduser,
        metavar="RUN",
        nargs="?",
        help="folder of a run, finished or not; without, the preset for digits",
    )
    add_data_dir(parser)
    add_json(parser)


def run(args):
    """Why does it not train? Checks data, model and training; exit status 1 if there is a finding."""
    from tqdm import tqdm

    p, history = None, []
    settings = Settings("digits", VIT_PRESETS["digits"], RECIPES["digits"], 0)
    if args.run:
        found = open_run(args.run)
        settings, history = found.settings, found.history()
        path = next((path for path in (found.model, found.checkpoint) if path.exists()), None)
        if path:
            p, config = load(path)
            check_same_model(found, path, config)
    bars = []

    def watch(checks):
        bars.append(tqdm(checks, unit="check", leave=False, disable=None))
        return bars[0]

    data = data_of(settings, args.data_dir)
    done = []
    how = {"recipe": settings.recipe, "seed": settings.seed, "fine_tuned": settings.weights is not None}
    how["dataset"] = settings.text
    for checked in examination(settings.config, data, **how, p=p, history=history, watch=watch):
        done.append(checked)
        if not args.json:
            bars[0].clear()
            for finding in checked.findings:
                print(f"{finding.check}: {finding.words}", flush=True)
    findings = [finding for checked in done for finding in checked.findings]
    if args.json:
        print(json.dumps(_as_json(done)))
    else:
        _print_well(done)
    if not findings:
        print(f"{len(done)} checks, nothing found; what they do not see: {UNSEEN}", file=sys.stderr)
    return 1 if findings else 0


def _as_json(done):
    """{"findings": [{"check", "words"}], "looked_at": {check: words}, "skipped": {check: words}}."""
    return {
        "findings": [finding._asdict() for checked in done for finding in checked.findings],
        "looked_at": {checked.check: checked.looked_at for checked in done if not checked.skipped},
        "skipped": {checked.check: checked.skipped for checked in done if checked.skipped},
    }


def _print_well(done):
    """What was looked at and found well, and what was not looked at."""
    well = {checked.check: checked.looked_at for checked in done if not checked.findings and checked.looked_at}
    skipped = {checked.check: checked.skipped for checked in done if checked.skipped}
    for title, said in (("looked at, and found well:", well), ("not looked at:", skipped)):
        if said:
            print(title)
        for name, words in said.items():
            print(textwrap.fill(f"  {name:<14} {words}", WIDTH, subsequent_indent=" " * 17, break_on_hyphens=False))
