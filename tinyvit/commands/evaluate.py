"""tinyvit eval"""

import json

from tinyvit.commands.options import add_data_dir, add_device, add_json, add_run, new_command
from tinyvit.commands.runs import data_of, finished_model
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
    _, (x, y) = data_of(trained.settings, args.data_dir)
    loss, accuracy = evaluate(x, y, p, config, workers=args.workers or usable_cores())
    result = {"data": trained.settings.data, "images": len(y), "test_loss": loss, "test_accuracy": accuracy}
    print(json.dumps(result) if args.json else f"test loss {loss:.4f}\ntest accuracy {100 * accuracy:.2f} %")
