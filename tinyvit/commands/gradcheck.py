"""tinyvit gradcheck"""

import json

from tinyvit.checks import cases
from tinyvit.commands.options import add_json, new_command
from tinyvit.errors import UsageError


def add(commands):
    """Declare the options."""
    parser = new_command(commands, "gradcheck", run, ["gradcheck", "gradcheck layer_norm attention"])
    parser.add_argument("name", metavar="NAME", nargs="*", help="ops, layers, models; all without")
    add_json(parser)


def run(args):
    """Check the gradients of every op, layer and model."""
    try:
        chosen = cases(args.name)
    except KeyError as error:
        raise UsageError(f"no gradient check is named {error}: expected some of {', '.join(cases())}") from None
    rows = []
    if not args.json:
        print(f"{'layer':<32} {'entries':>8} {'worst error':>12}  verdict")
    for name, case in chosen.items():
        report = case.check()
        rows.append({"name": name, "entries": report.entries, "worst_error": report.worst_error, "ok": report.ok})
        if not args.json:
            print(
                f"{name:<32} {report.entries:>8} {report.worst_error:>12.1e}  {'ok' if report else 'WRONG'}", flush=True
            )
    wrong = [row["name"] for row in rows if not row["ok"]]
    if args.json:
        print(json.dumps(rows))
    else:
        total = (
            f"{sum(row['entries'] for row in rows)} entries, worst error {max(row['worst_error'] for row in rows):.1e}"
        )
        print(f"{total}: {'WRONG: ' + ', '.join(wrong) if wrong else 'every gradient agrees'}")
    return int(bool(wrong))
