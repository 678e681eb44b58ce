"""tinyvit eval"""

import json

from tinyvit.commands.options import add_data_dir, add_device, add_json, add_run, new_command
from tinyvit.commands.runs import data_of, finished_model
from tinyvit.models.model import name_of
from tinyvit.training.cores import usable_cores
from tinyvit.training.evaluation import evaluate


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "eval", run, ["eval runs/digits-1"])
    add_run(parser)
    add_data_dir(parser)
    add_device(parser)
    add_json(parser)


def run(args):
    """Measure a finished run on the test set."""
    trained, p, config = finished_model(args.run, args.device)
    _, test = data_of(trained.settings, args.data_dir)
    scores = evaluate(test, p, config, workers=args.workers or usable_cores())
    result = {"data": trained.settings.data, "model": name_of(config), "images": len(test[1])}
    result |= {f"test_{name}": value for name, value in scores.items()}
    text = f"test loss {scores['loss']:.4f}\ntest accuracy {100 * scores['accuracy']:.2f} %"
    print(json.dumps(result) if args.json else text)
