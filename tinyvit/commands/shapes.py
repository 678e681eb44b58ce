"""tinyvit shapes"""

import json

from tinyvit.commands.options import add_json, count, new_command
from tinyvit.models.config import PRESETS
from tinyvit.viz.ledger import ledger


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "shapes", run, ["shapes", "shapes S/16 --batch 8"])
    parser.add_argument(
        "preset", metavar="PRESET", nargs="?", default="B/16", choices=PRESETS, help=f"{', '.join(PRESETS)}"
    )
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="images (default %(default)s)")
    add_json(parser)


def run(args):
    """Show the dataflow of a model, row by row."""
    rows = ledger(PRESETS[args.preset], args.batch)
    if args.json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    line = "{:<20} {:>22} {:>13} {:>17} {:>14}"
    print(line.format("name", "shape", "parameters", "multiply-adds", "bytes"))
    for row in rows:
        print(line.format(row.name, str(list(row.shape)), *(f"{n:,}" if n else "" for n in row[2:])))
    print(line.format("total", "", *(f"{sum(row[i] for row in rows):,}" for i in (2, 3, 4))))
