"""tinyvit bench"""

import json
import sys

from tinyvit.bench.compare import BASE, not_installed, races
from tinyvit.bench.compare import run as race_rows
from tinyvit.commands.options import add_json, count, new_command


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "bench", run, ["bench", "bench S M --cores 1 4", "bench transformer --cores 1"])
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="*",
        help="some of S, M, B/16, B/16-train, Swin-T, R50+B/16, transformer, seq2seq, dot, additive, "
        "decoding; the first three without",
    )
    parser.add_argument("--cores", type=count, nargs="+", metavar="N", help="how many; 1, 2 and all without")
    add_json(parser)


def percent(share):
    """A share in a column; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.0f}%"


def run(args):
    """Measure speed and memory, beside PyTorch's where it is installed."""
    from tqdm import tqdm

    programme = races(args.model or None, args.cores)
    rows, line = [], "{:<16} {:>5} {:>6} {:>5}  {:<26} {:>9} {:>10} {:>6} {:>11} {:>8} {:>5} {:>5}"
    if not args.json:
        names = ("model", "batch", "task", "cores", "contender", "ms", "examples/s", "ratio", "quartiles", "MB")
        names += ("peak", "load")
        print(line.format(*names), flush=True)
    for race in tqdm(programme, unit="race", leave=False):
        for row in race_rows(race):
            rows.append(row)
            if not args.json:
                numbers = f"{1000 * row['seconds']:.1f}", f"{row['examples_per_second']:.0f}", row["ratio"] or "-"
                spread = "{:.3f}-{:.3f}".format(*row["quartiles"]) if row["quartiles"] else "-"
                sizes = f"{row['memory_mb']:.0f}", percent(row["share_of_peak"]), row["load"]
                where = (row[key] for key in ("model", "batch", "task", "cores", "contender"))
                tqdm.write(line.format(*where, *map(str, (*numbers, spread, *sizes))))
    if args.json:
        print(json.dumps(rows))
        return
    if lacking := not_installed(programme):
        print(
            f"not installed: {', '.join(lacking)}; for all ratios to PyTorch, install its CPU build (pytorch.org says "
            "how), and for Swin and the hybrid transformers",
            file=sys.stderr,
        )
    if any(row["ratio"] is not None for row in rows):
        print(f"ratio: seconds over {BASE}'s, round by round: the median; quartiles: half of them lie between")
        print("peak: share of the speed of one large matrix product")
