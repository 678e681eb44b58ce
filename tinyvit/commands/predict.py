"""tinyvit predict"""

import json
import math
import os
import sys

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.commands.models import add_inputs, add_model, check_is_transformer, open_for_pictures
from tinyvit.commands.options import add_device, add_json, count, new_command
from tinyvit.commands.pictures import add_pictures, in_parts
from tinyvit.commands.runs import check_figure, save_figure
from tinyvit.commands.text_predict import is_text_model, predict_text
from tinyvit.commands.text_weights import add_writing, check_no_writing, holds_text, predict_published
from tinyvit.errors import UsageError
from tinyvit.models.model import forward, model_of
from tinyvit.training.cores import usable_cores
from tinyvit.training.evaluation import predict
from tinyvit.viz.attention import answers_row, who_answers
from tinyvit.viz.look import look
from tinyvit.viz.picture import readable
from tinyvit.viz.pyramid import over_patches

DRAWN = 16  # pictures in a figure, at most


def add(commands):
    """Declare the options."""
    examples = ["predict runs/mnist-1 seven.png", "predict runs/mnist-1 *.png --figure look.png"]
    examples += ["predict model.safetensors cat.jpg --top 5", "predict Ti_16.npz photos/ --json"]
    examples += ["predict runs/numerals-1 三千零五十 --figure look.png", "predict runs/sums-1 12+30 --beam 4"]
    examples += ['predict gpt2 "The capital of France is"', 'predict bert "Paris is the [MASK] of France."']
    parser = new_command(commands, "predict", run, examples)
    add_model(parser)
    add_inputs(parser)
    add_pictures(parser, "IMAGE|TEXT", "; for a model of text, the text itself")
    parser.add_argument("--top", type=count, metavar="N", help="classes to name (default: 5 of many, 3 of ten)")
    parser.add_argument(
        "--figure",
        "--attention",
        type=os.path.expanduser,
        metavar="FILE",
        help="draw image, patches and attention, or the attention between tokens (PNG, SVG or PDF)",
    )
    parser.add_argument("--beam", type=count, metavar="N", help="of text: search with so many sequences at once")
    add_device(parser)
    add_json(parser)
    add_writing(parser)


def run(args):
    """Classify pictures; of a model of text, answer texts, go on with them, or fill their gaps."""
    if holds_text(args.model):
        return predict_published(args)
    check_no_writing(args)
    if is_text_model(args.model):
        return predict_text(args)
    if args.figure:
        check_figure(args.figure)
    model = open_for_pictures(args, args.device)
    if not model.has_head:
        raise UsageError(f"{args.model} has no head that was trained, so it names no classes: try tinyvit features")
    if model.notes:
        print("\n".join(model.notes), file=sys.stderr)
    if args.figure:
        check_is_transformer(model, "drawn with its attention")
    drawn, results, failed = [], [], 0
    for ready, wrong in in_parts(model, args.image):
        failed = failed or wrong
        results += _classified(model, ready, args)
        drawn += [image for _, image, _ in ready][: DRAWN - len(drawn)] if args.figure else []
    if args.json:
        print(json.dumps(results))
    elif results:
        print("\n".join(map(_in_words, results)))
    if drawn:
        names = dict(zip(model.class_names, readable(model.class_names), strict=True))
        titles = [_title(result, names) for result in results]
        images = _drawable(drawn, model.preparation)
        views, attention = model_of(model.config).views, _attention(model, drawn)
        who = who_answers(attention.shape[-1], views["pool"](model.config))
        patch = images.shape[1] // views["grid"](model.config)[0]
        save_figure(look(images, attention, patch, titles[:DRAWN], who), args.figure)
        print(f"{args.figure}: written", file=sys.stderr)
    return failed


def _attention(model, images):
    """Where the answer looks in each image, over its patches; one at a time, for each keeps its whole cache."""
    attention, xp, views = [], xp_of(model.p["head"]["w"]), model_of(model.config).views
    for image in images:
        _, c = forward({"images": xp.asarray(image[None])}, model.p, model.config, all_rows=False)
        (last,) = views["attention"](c, model.config, last=True)
        look = to_host(answers_row(last, views["pool"](model.config)).mean(axis=1))
        attention.append(over_patches(look, math.prod(views["grid"](model.config))))
    return np.concatenate(attention)


def _drawable(images, preparation):
    """The inputs as a figure shows them, from -1 to 1."""
    means, deviations = (np.array(three, np.float32) for three in (preparation.mean, preparation.std))
    grey = images[0].shape[-1] == 1
    mean, deviation = (means.mean(), deviations.mean()) if grey else (means, deviations)
    return 2 * (np.stack(images) * deviation + mean) - 1


def _classified(model, ready, args):
    """A result for each picture."""
    if not ready:
        return []
    images = np.stack([image for _, image, _ in ready])
    how = {"problem_type": model.problem_type, "workers": args.workers or usable_cores()}
    answers = predict(images, model.p, model.config, **how)
    top = args.top or (5 if len(model.class_names) > 10 else 3)
    return [
        {"image": path, **_best(row, model, top), "notes": notes}
        for (path, _, notes), row in zip(ready, answers, strict=True)
    ]


def _best(answers, model, top):
    """The most probable classes, best first; of a regression, every number."""
    if model.problem_type == "regression":
        return {"values": dict(zip(model.class_names, map(float, answers), strict=True))}
    best = (-answers).argsort(kind="stable")[:top]
    return {"classes": [{"class": model.class_names[k], "probability": round(float(answers[k]), 6)} for k in best]}


def _title(result, names):
    """The first answer, for a figure."""
    if "values" in result:
        name, value = next(iter(result["values"].items()))
        return f"{_short(names[name])} {value:.4g}"
    return _short(names[result["classes"][0]["class"]])


def _short(name):
    """The first of a class's names."""
    return name.partition(",")[0]


def _in_words(result):
    """A result in words."""
    if "values" in result:
        words = ", ".join(f"{_short(name)} {value:.4g}" for name, value in result["values"].items())
    else:
        words = ", ".join(f"{_short(r['class'])} ({100 * r['probability']:.1f} %)" for r in result["classes"])
    return "\n".join([f"{result['image']}: {words}", *(f"  {note}" for note in result["notes"])])
