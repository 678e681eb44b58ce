"""tinyvit shapes"""

import json
import os
import sys

from tinyvit.commands.options import add_json, add_model_settings, count, given, new_command
from tinyvit.commands.runs import save_figure
from tinyvit.commands.texts import for_model
from tinyvit.data.rules import RULES
from tinyvit.data.text import read_text
from tinyvit.errors import UsageError
from tinyvit.models.model import SEQUENCE_MODELS, model_named, model_of, name_of, preset_config
from tinyvit.models.presets import PRESETS
from tinyvit.training.recipe import USUAL_MODELS
from tinyvit.viz.patterns import distinct, pairs_in_words, patterns_figure
from tinyvit.viz.pyramid import stage_grid
from tinyvit.viz.summary import shapes


def add(commands):
    """Declare the options."""
    examples = ["shapes", "shapes S/16 --batch 8 --backward", "shapes digits --figure digits.svg", "shapes Swin-T"]
    examples += ["shapes S/16 --attention axial --patterns axial.png"]
    examples += ["shapes B/16 --pool mean --position relative --position-at shared", "shapes mnist --model cnn"]
    examples += ["shapes gpt2", "shapes numerals --model transformer"]
    parser = new_command(commands, "shapes", run, examples)
    parser.add_argument(
        "preset",
        metavar="PRESET",
        nargs="?",
        default="B/16",
        choices=(*PRESETS, *RULES),
        help=f"{', '.join(PRESETS)} (default %(default)s); or data by rule: {', '.join(RULES)}",
    )
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="examples (default %(default)s)")
    parser.add_argument("--backward", action="store_true", help="the gradients as well")
    parser.add_argument(
        "--figure", type=os.path.expanduser, metavar="FILE", help="also draw the forward pass, as .svg, .png or .pdf"
    )
    parser.add_argument(
        "--patterns",
        type=os.path.expanduser,
        metavar="FILE",
        help="also draw which keys the queries of each block may look at, and count them",
    )
    add_model_settings(parser, "the model (default: the preset's)")
    add_json(parser)


def run(args):
    """Show every tensor of a model: name, shape, parameters, work, memory."""
    config = text_config(args.preset, args.model) if args.preset in RULES else preset_config(args.preset, args.model)
    config = config.changed(**given(args, config.settings()))
    rows = shapes(config, args.batch, backward=args.backward)
    if args.figure:
        from tinyvit.viz.dataflow import dataflow_figure

        save_figure(dataflow_figure(rows), args.figure)
        print(f"written to {args.figure}", file=sys.stderr)
    if args.patterns:
        draw_patterns(config, args.patterns)
    print(json.dumps([row._asdict() for row in rows]) if args.json else rows)


def text_config(rule, model):
    """The configuration of a small model of text, for data by rule."""
    name = model or USUAL_MODELS[rule]
    if name not in SEQUENCE_MODELS:
        raise UsageError(f"{rule} is text: {model_named(name).title} takes none, choose {', '.join(SEQUENCE_MODELS)}")
    return model_named(name).preset(for_model(read_text(rule), name).dataset)


def draw_patterns(config, path):
    """Draw the patterns of a model's blocks, and say how many pairs each allows."""
    views = model_of(config).views
    if name_of(config) in SEQUENCE_MODELS:
        raise UsageError(f"--patterns: {model_of(config).title} takes text, patterns are of images: leave it out")
    if "patterns" not in views:
        raise UsageError(f"--patterns: the model {name_of(config)} has no attention: choose another --model")
    grid = views["grid"](config)
    found = distinct(views["patterns"](config))
    grids = [stage_grid(len(allowed), grid, 1)[0] for allowed in found.values()]
    save_figure(patterns_figure(found, grids), path)
    for blocks, allowed in found.items():
        print(f"{blocks}: {len(allowed):,} tokens, {pairs_in_words(allowed)}", file=sys.stderr)
    print(f"written to {path}", file=sys.stderr)
