"""tinyvit exercises"""

import inspect
import json

from tinyvit.commands.options import add_json, new_command
from tinyvit.errors import UsageError
from tinyvit.names import nearest


def add(commands):
    """Declare the options."""
    examples = ["exercises", "exercises softmax", "exercises softmax --hint 2", "exercises softmax --solution"]
    parser = new_command(commands, "exercises", run, examples)
    parser.add_argument("name", metavar="NAME", nargs="?", help="a function to write; all without")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--hint", metavar="N", type=int, nargs="?", const=1, help="open a hint; the first without N")
    what.add_argument("--solution", action="store_true", help="print the package's own source")
    add_json(parser)


def run(args):
    """List the exercises by notebook with what is right so far; of one, say what to write, open hints."""
    from tinyvit.exercises.progress import progress, rows

    if args.name is None:
        if args.hint is not None or args.solution:
            option = "--solution" if args.solution else "--hint"
            raise UsageError(f"{option}: found no NAME, expected an exercise: tinyvit exercises softmax {option}")
        print(json.dumps(rows()) if args.json else progress())
        return 0
    row = next((row for row in rows() if row["name"] == args.name), None)
    if row is None:
        meant = nearest(args.name, (row["name"] for row in rows()))
        hint = f"did you mean {meant}? " if meant else ""
        raise UsageError(f"no exercise is named {args.name!r}: {hint}all names: tinyvit exercises")
    found = _said(row, args)
    print(json.dumps(row | found) if args.json else "\n".join(found.values()))
    return 0


def _said(row, args):
    """{what: words} of the one exercise: the hint, the solution, or what is to be written."""
    from tinyvit.exercises import solution
    from tinyvit.exercises.catalogue import exercises
    from tinyvit.exercises.hints import hints

    name, all_hints = row["name"], hints(row["name"])
    if args.hint is not None:
        if not 1 <= args.hint <= len(all_hints):
            last = f"from 1 to {len(all_hints)}" if len(all_hints) > 1 else "1"
            raise UsageError(f"--hint: found {args.hint}, expected {last}, for so many has {name}")
        number = f"{args.hint} of {len(all_hints)}"
        return {"hint": f"{number}: {all_hints[args.hint - 1]}"}
    if args.solution:
        return {"solution": str(solution(name))}
    function = exercises()[name].function
    state = {None: "not tried yet", "tried": "tried, not right yet", "right": "right"}[row["state"]]
    count = f"{len(all_hints)} hint{'s' * (len(all_hints) != 1)}"
    return {
        "signature": f"def {name}{inspect.signature(function)}:",
        "docstring": inspect.cleandoc(function.__doc__ or ""),
        "how": f"\n{row['notebook']}: {state}. {count}. Marked by: from tinyvit import exercises; "
        f'exercises.check("{name}", yours)',
    }
