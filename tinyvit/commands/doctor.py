"""tinyvit doctor"""

import json
import sys

from tinyvit.commands.options import add_data_dir, add_json, new_command
from tinyvit.commands.runs import data_of
from tinyvit.doctor.examine import examine
from tinyvit.errors import CheckpointError
from tinyvit.models.presets import VIT_PRESETS
from tinyvit.training.checkpoint import load
from tinyvit.training.recipe import RECIPES
from tinyvit.training.run import open_run
from tinyvit.training.settings import Settings


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "doctor", run, ["doctor", "doctor runs/digits-1"])
    parser.add_argument(
        "run", metavar="RUN", nargs="?", help="folder of a run, finished or not; without, the preset for digits"
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
            if config != settings.config:
                raise CheckpointError(f"{path} is of another model than {found.folder / 'config.json'}: restore either")
    bars = []

    def watch(checks):
        bars.append(tqdm(checks, unit="check", leave=False, disable=None))
        return bars[0]

    data = data_of(settings, args.data_dir)
    findings = []
    how = {"recipe": settings.recipe, "seed": settings.seed, "fine_tuned": settings.weights is not None}
    for finding in examine(settings.config, data, **how, p=p, history=history, watch=watch):
        findings.append(finding)
        if not args.json:
            bars[0].clear()
            print(f"{finding.check}: {finding.words}", flush=True)
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings]))
    if not findings:
        print(f"{bars[0].total} checks, nothing found", file=sys.stderr)
    return 1 if findings else 0
