"""tinyvit eval"""

import json

from tinyvit.commands.options import add_data_dir, add_device, add_json, add_run, new_command
from tinyvit.commands.runs import data_of, finished_model
from tinyvit.models.model import name_of
from tinyvit.training.cores import usable_cores
from tinyvit.training.evaluation import evaluate
from tinyvit.training.writing import look_at_writing

SHARES = ("accuracy", "token_accuracy", "forced_token_accuracy")


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "eval", run, ["eval runs/digits-1", "eval runs/numerals-1 --json"])
    add_run(parser)
    add_data_dir(parser)
    add_device(parser)
    add_json(parser)


def run(args):
    """Measure a finished run on the test set."""
    trained, p, config = finished_model(args.run, args.device)
    _, test = data_of(trained.settings, args.data_dir)
    workers = args.workers or usable_cores()
    if trained.settings.text:
        return print_writing(trained, look_at_writing(test, p, config, workers=workers), as_json=args.json)
    scores = evaluate(test, p, config, workers=workers)
    result = {"data": trained.settings.data, "model": name_of(config), "images": len(test[1])}
    result |= {f"test_{name}": value for name, value in scores.items()}
    text = f"test loss {scores['loss']:.4f}\ntest accuracy {100 * scores['accuracy']:.2f} %"
    print(json.dumps(result) if args.json else text)


def print_writing(trained, writing, *, as_json):
    """The accuracy of the answers and of their tokens, by the length of the question."""
    total, loss, name = writing.total(), writing.scores["loss"], name_of(trained.settings.config)
    if as_json:
        result = {"data": trained.settings.data, "model": name, "pairs": total.pop("count"), "test_loss": loss}
        result |= {f"test_{score}": value for score, value in total.items()}
        print(json.dumps(result | {"by_length": writing.rows(), "by_place": writing.places()}))
        return
    print(f"test loss {loss:.4f}")
    print(f"test accuracy {100 * total['accuracy']:.2f} % of {total['count']} whole answers")
    forced = "forced_token_accuracy" in total
    print(f"{'length':>6} {'pairs':>6} {'answers':>9} {'tokens':>9} {'forced' if forced else '':>9}".rstrip())
    for row in [*writing.rows(), total | {"length": "all"}]:
        shares = [f"{100 * row[score]:.2f} %" for score in SHARES if score in row]
        print(f"{row['length']:>6} {row['count']:>6} " + " ".join(f"{share:>9}" for share in shares))
    words = "answers and tokens as the model writes them"
    print(f"{words}; forced: tokens, where the true ones before are given" if forced else "right answers and tokens")
