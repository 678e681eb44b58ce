"""tinyvit numerics"""

import json
import sys

from tinyvit.commands.models import add_inputs, add_model, check_is_transformer, open_for_pictures, prepared
from tinyvit.commands.options import add_json, new_command
from tinyvit.data import fitted, read_image
from tinyvit.data.inputs import ANSWERS
from tinyvit.errors import UsageError
from tinyvit.weights.numerics import drifts, numerics


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "numerics", run, ["numerics model.safetensors cat.jpg"])
    add_model(parser)
    add_inputs(parser)
    parser.add_argument("image", metavar="IMAGE", help="a picture")
    add_json(parser)


def run(args):
    """How far do the logits drift under another GELU, eps, resize or precision? One picture, one change at a time."""
    model = open_for_pictures(args)
    check_is_transformer(model, "changed in these ways")
    if model.problem_type != ANSWERS[0]:
        raise UsageError(f"{args.model} is for {model.problem_type}: expected one that answers with a single class")
    if not model.has_head:
        raise UsageError(f"{args.model} has no head, so it has no logits that could drift")
    if model.dataset:  # pictures are arranged as the data set's are, whatever other sources do
        x, _ = prepared(model, args.image)
        rows = drifts(model.p, model.config, model.source, lambda size: fitted(x[None], size)[0])
    else:
        rows = numerics(model.p, model.config, model.preparation, model.source, read_image(args.image))
    for line in model.notes:
        print(line, file=sys.stderr)
    if args.json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    lines = [("what", "usual", "other"), *((row.what, row.usual, row.other) for row in rows)]
    what, usual, other = (max(map(len, column)) for column in zip(*lines, strict=True))
    print(f"{'what':{what}}  {'usual':{usual}}  {'other':{other}} {'logits':>9} {'probability':>12}  best class")
    for row in rows:
        words = f"{row.what:{what}}  {row.usual:{usual}}  {row.other:{other}}"
        print(f"{words} {row.logits:9.1e} {row.probability:+12.1e}  {'the same' if row.same_class else 'ANOTHER'}")
