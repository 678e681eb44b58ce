"""tinyvit features"""

import os
import sys

import numpy as np

from tinyvit.commands.models import add_inputs, add_model, check_is_transformer, open_for_pictures
from tinyvit.commands.options import count, new_command
from tinyvit.commands.pictures import add_pictures, in_parts
from tinyvit.errors import UsageError
from tinyvit.files import replacing
from tinyvit.training.features import POOLS, features_of


def add(commands):
    """Declare the options."""
    examples = [
        "features model.safetensors photos/",
        "features runs/mnist-1 *.png --layer 1 --pool mean",
    ]
    parser = new_command(commands, "features", run, examples)
    add_model(parser)
    add_inputs(parser)
    add_pictures(parser)
    parser.add_argument(
        "--out",
        type=os.path.expanduser,
        metavar="FILE",
        default="features.npy",
        help="an .npy file (default %(default)s)",
    )
    parser.add_argument("--layer", type=count, metavar="L", help="after this block (default: what the head reads)")
    parser.add_argument(
        "--pool", choices=POOLS, help="of a layer: class token or mean of the patches (default: as the head)"
    )


def run(args):
    """Write the features of pictures, a row for each, as an .npy file."""
    if not args.out.endswith(".npy"):
        raise UsageError(f"--out {args.out}: expected a name that ends in .npy")
    model = open_for_pictures(args)
    for line in model.notes:
        print(line, file=sys.stderr)
    check_is_transformer(model, "asked for features")
    found, read, failed = [], [], 0
    for ready, wrong in in_parts(model, args.image):
        failed, read = failed or wrong, [*read, *(path for path, _, _ in ready)]
        if ready:
            images = np.stack([image for _, image, _ in ready])
            found.append(features_of(images, model.p, model.config, layer=args.layer, pool=args.pool))
    if not found:  # every picture's own line has said so
        return failed
    table = np.concatenate(found)
    with replacing(args.out) as file:
        np.save(file, table)
    print("\n".join(read))
    print(f"{args.out}: {list(table.shape)}, a row for each picture named above", file=sys.stderr)
    return failed
