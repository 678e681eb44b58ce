"""tinyvit convert"""

import os
import sys
from pathlib import Path

from tinyvit.commands.models import add_inputs, add_model, open_model
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
    add_inputs(parser)
    parser.add_argument(
        "out",
        type=os.path.expanduser,
        metavar="OUT",
        help="a folder for model.safetensors, or an .npz file, tinyvit's own",
    )
    parser.add_argument("--to", choices=TARGETS, default=TARGETS[0], help="whose names (default %(default)s)")


def run(args):
    """Write a model as safetensors under Hugging Face's or timm's names, as Google's .npz, or as tinyvit's own."""
    if args.out.endswith(".npz") and args.to == "google":
        raise UsageError(f"{args.out}: name a folder; Google's file in it will be model.npz")
    if not args.out.endswith(".npz"):
        _check_folder(Path(args.out))
    model = open_model(args.model, args)
    p, config, lost = model.p, model.config, []
    how = {"class_names": model.class_names, "preparation": model.preparation} if model.knows_inputs else {}
    how |= {"problem_type": model.problem_type} if model.knows_inputs else {}
    if args.out.endswith(".npz"):
        save(args.out, p, config, dataset=model.dataset, **how)
    else:
        lost = save_weights(args.out, p, config, args.to, dataset=model.dataset, **how)
    if not model.knows_inputs:
        lost.append(f"{args.model} does not say how pictures are prepared, so what is written does not (see --data)")
    elif model.dataset and not model.dataset.photos and not args.out.endswith(".npz"):
        lost.append("tinyvit arranges pictures as the data set's are (light on dark, centred); others must be told to")
    for line in (*model.notes, *lost):
        print(line, file=sys.stderr)
    if not model.has_head:
        print(f"the head that is written is of zeros, for {config.classes} classes", file=sys.stderr)
    print(f"{args.out}: written")


def _check_folder(folder):
    """Raise UsageError unless the weights and their config.json may be written there."""
    if folder.suffix == ".safetensors":
        raise UsageError(f"{folder}: name the folder; the file in it will be model.safetensors, beside its config.json")
    if (folder / "config.json").exists() and not (folder / "model.safetensors").exists():
        raise UsageError(f"{folder} holds a config.json that is not of weights: choose another folder")
