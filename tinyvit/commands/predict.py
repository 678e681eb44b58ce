"""tinyvit predict"""

import json
import sys

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.commands.options import add_device, add_json, add_run, count, new_command
from tinyvit.commands.runs import finished_model, save_figure
from tinyvit.data import DATASETS, prepare, read_image
from tinyvit.errors import DataError, TinyvitError
from tinyvit.models.vit import vit
from tinyvit.training.cores import usable_cores
from tinyvit.training.evaluation import predict
from tinyvit.viz.look import class_attention, look


def add(commands):
    """Declare the options."""
    examples = ["predict runs/mnist-1 seven.png", "predict runs/mnist-1 *.png --figure look.png"]
    parser = new_command(commands, "predict", run, examples)
    add_run(parser)
    parser.add_argument("image", metavar="IMAGE", nargs="+", help="PNG, JPEG or .npy, of any size")
    parser.add_argument("--top", type=count, default=3, metavar="N", help="classes to name (default %(default)s)")
    parser.add_argument("--figure", metavar="FILE", help="draw image, patches and attention (PNG, SVG or PDF)")
    add_device(parser)
    add_json(parser)


def run(args):
    """Classify pictures."""
    trained, p, config = finished_model(args.run, args.device)
    dataset, prepared, failed = DATASETS[trained.settings.data], {}, 0
    for path in args.image:
        try:
            image = read_image(path)
            prepared[path] = _prepared(path, image, dataset)
        except TinyvitError as error:  # the others are still classified
            print(f"tinyvit: {error}", file=sys.stderr)
            failed = error.exit_code
    results = []
    if prepared:
        images = np.stack([image for image, _ in prepared.values()])
        found = predict(images, p, config, workers=args.workers or usable_cores())
        results = [
            {"image": path, "classes": _best(row, dataset, args.top), "notes": notes}
            for (path, (_, notes)), row in zip(prepared.items(), found, strict=True)
        ]
    if args.json:
        print(json.dumps(results))
    elif results:
        print("\n".join(map(_said, results)))
    if args.figure and prepared:
        titles = [result["classes"][0]["class"] for result in results]
        _, c = vit(xp_of(p["cls"]).asarray(images), p, config, full=False)
        save_figure(look(images, to_host(class_attention(c)), config.patch, titles), args.figure)
    return failed


def _prepared(path, image, dataset):
    """The picture as the data set's are, and what was done to it."""
    try:
        return prepare(image, dataset)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _best(probabilities, dataset, top):
    """The most probable classes, best first."""
    best = (-probabilities).argsort(kind="stable")[:top]
    return [{"class": dataset.class_names[k], "probability": round(float(probabilities[k]), 6)} for k in best]


def _said(result):
    """A result in words."""
    classes = ", ".join(f"{r['class']} ({100 * r['probability']:.1f} %)" for r in result["classes"])
    return "\n".join([f"{result['image']}: {classes}", *(f"  {note}" for note in result["notes"])])
