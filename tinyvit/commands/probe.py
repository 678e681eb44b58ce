"""tinyvit probe"""

import argparse
import json
import sys

import numpy as np

from tinyvit.commands.models import add_model, check_is_transformer, feeding, open_model
from tinyvit.commands.options import Renamed, add_data_dir, add_json, count, new_command
from tinyvit.data import DATASETS, fitted, read_data
from tinyvit.errors import UsageError
from tinyvit.training.features import features_of
from tinyvit.training.probe import L2, accuracy, ridge, shots
from tinyvit.weights.adapt import adapt

SHOTS = (1, 2, 5, 10, 25)
DRAWS = 3  # of which images the shots are


def add(commands):
    """Declare the options."""
    parser = new_command(
        commands, "probe", run, ["probe runs/mnist-1 digits", "probe model.safetensors mnist --shots 5"]
    )
    add_model(parser)
    parser.add_argument(
        "data", metavar="DATA", help=f"data set: {', '.join(DATASETS)}, or a folder or .zip of pictures by class"
    )
    parser.add_argument(
        "--shots", type=count, nargs="+", default=SHOTS, metavar="N", help="images of each class (default 1 2 5 10 25)"
    )
    parser.add_argument("--test", type=count, default=1000, metavar="N", help="test images (default %(default)s)")
    parser.add_argument("--image", type=count, metavar="SIDE", help="side of the images (default: the model's)")
    parser.add_argument("--l2", type=float, default=L2, help="strength of the regularisation (default %(default)s)")
    parser.add_argument("--strength", dest="l2", type=float, action=Renamed, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help="of which images (default %(default)s)")
    add_data_dir(parser)
    add_json(parser)


def run(args):
    """Few-shot accuracy of frozen features: a linear map, fitted in closed form to a few images of each class."""
    if not 0 <= args.l2 < 1e9 or args.seed < 0:
        raise UsageError("--l2 and --seed: expected ordinary numbers of at least 0")
    opened = open_model(args.model, args)
    check_is_transformer(opened, "probed")
    size = None if args.data in DATASETS else args.image or opened.config.image
    dataset, (x, y), (x_test, y_test), data_notes = read_data(args.data, args.data_dir, size=size, progress=True)
    channels = dataset.channels if opened.config.channels != dataset.channels else None
    p, config, notes = adapt(opened.p, opened.config, opened.source, image=args.image, channels=channels)
    for line in (*data_notes, *opened.notes, *notes, *feeding(opened)):
        print(line, file=sys.stderr)
    x_test, y_test = fitted(x_test[: args.test], config.image), y_test[: args.test]
    drawn = [shots(np.random.default_rng([args.seed, draw]), y, max(args.shots)) for draw in range(DRAWS)]
    test = features_of(x_test, p, config)
    rows = {n: [] for n in args.shots}
    for draw, indices in enumerate(drawn):
        features = features_of(fitted(x[indices], config.image), p, config)
        for n in args.shots:
            few = shots(np.random.default_rng([args.seed, draw, n]), y[indices], n)
            head = ridge(features[few], y[indices][few], dataset.classes, args.l2)
            rows[n].append(accuracy(head, test, y_test))
    results = [
        {"shots": n, "images": _there(n, y), "accuracy": float(np.mean(a)), "spread": float(np.std(a, ddof=1))}
        for n, a in rows.items()
    ]
    if args.json:
        print(json.dumps(results))
    else:
        for row in results:
            print(f"{row['images']:>4} of each class: {100 * row['accuracy']:.1f} % (spread {100 * row['spread']:.1f})")


def _there(shots, labels):
    """How many images of each class are drawn, in words: where a class has fewer than so many, all of them."""
    counts = np.unique(labels, return_counts=True)[1]
    least, most = (min(shots, int(count)) for count in (counts.min(), counts.max()))
    return f"{least}" if least == most else f"{least} to {most}"
