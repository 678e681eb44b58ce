"""tinyvit convert"""

import sys

from tinyvit.commands.models import add_model, open_model
from tinyvit.commands.options import new_command
from tinyvit.errors import UsageError
from tinyvit.training.checkpoint import save
from tinyvit.weights.save import TARGETS, save_weights


def add(commands):
    """Declare the options."""
    examples = [
        "convert runs/mnist-1 mnist-vit",
        "convert Ti_16.npz out --to timm",
        "convert model.safetensors vit.npz",
    ]
    parser = new_command(commands, "convert", run, examples)
    add_model(parser)
    parser.add_argument("out", metavar="OUT", help="a folder for model.safetensors, or an .npz file, tinyvit's own")
    parser.add_argument("--to", choices=TARGETS, default=TARGETS[0], help="whose names (default %(default)s)")


def run(args):
    """Write a model as safetensors under Hugging Face's or timm's names, or as tinyvit's own .npz."""
    model = open_model(args.model, args)
    p, config, preparation = model.p, model.config, model.preparation
    for line in model.said:
        print(line, file=sys.stderr)
    if args.out.endswith(".npz"):
        save(args.out, p, config)
    elif args.out.endswith(".safetensors"):
        raise UsageError(
            f"{args.out}: name the folder; the file in it will be model.safetensors, beside its config.json"
        )
    else:
        how = {"mean": preparation.mean, "std": preparation.std}
        save_weights(args.out, p, config, args.to, class_names=model.class_names, **how)
    print(f"{args.out}: written")
