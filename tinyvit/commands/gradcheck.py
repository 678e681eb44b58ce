"""tinyvit gradcheck"""

import json
import sys

from tinyvit.checks import cases
from tinyvit.commands.options import add_json, new_command
from tinyvit.errors import UsageError
from tinyvit.names import nearest


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "gradcheck", run, ["gradcheck", "gradcheck layer_norm attention"])
    parser.add_argument("name", metavar="NAME", nargs="*", help="ops, layers, models; all without")
    parser.add_argument("--list", action="store_true", help="only print the names")
    add_json(parser)


def run(args):
    """Check the gradients of every op, layer and model."""
    from tqdm import tqdm

    chosen = _chosen(args.name)
    if args.list:
        print(json.dumps(list(chosen)) if args.json else "\n".join(chosen))
        return 0
    rows = []
    if not args.json:
        print(f"{'layer':<32} {'entries':>8} {'worst error':>12}  verdict")
    for name, case in tqdm(chosen.items(), unit="check", leave=False, disable=None):
        report = case.check()
        rows.append({"name": name, "entries": report.entries, "worst_error": report.worst_error, "ok": report.ok})
        if not args.json:
            tqdm.write(f"{name:<32} {report.entries:>8} {report.worst_error:>12.1e}  {'ok' if report else 'WRONG'}")
            sys.stdout.flush()
    wrong = [row["name"] for row in rows if not row["ok"]]
    if args.json:
        print(json.dumps(rows))
    else:
        total = (
            f"{sum(row['entries'] for row in rows)} entries, worst error {max(row['worst_error'] for row in rows):.1e}"
        )
        print(f"{total}: {'WRONG: ' + ', '.join(wrong) if wrong else 'every gradient agrees'}")
    return int(bool(wrong))


def _chosen(names):
    """The cases of these names, or an error that says the nearest name to an unknown one."""
    try:
        return cases(names)
    except KeyError as error:
        (unknown,) = error.args
        meant = nearest(unknown, dict.fromkeys(name.partition("/")[0] for name in cases()))
        hint = f"did you mean {meant}? " if meant else ""
        raise UsageError(f"no gradient check is named {unknown!r}: {hint}all names: tinyvit gradcheck --list") from None
