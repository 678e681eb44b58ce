"""Forged files by the thousand: are all of them read, or refused in one line, within their memory and time?

    python -m tests.reliability.forged --files 10000           attack, and show the table
    python -m tests.reliability.forged --files 10000 --write   and put it into docs/reliability.md
    python -m tests.reliability.forged --only 4711             one file again, with the error's whole story

A file is known by its number, from which its format and its damage follow. The files are read in a process of its own,
so that one which brings it down, or never ends, is a line of the table like all others.
"""

import argparse
import json
import select
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

from docs.measure import replace
from tests.reliability.formats import FORMATS
from tests.reliability.judge import BOMBS, SECONDS, Outcome, judged, made, name_of, prepared, put
from tinyvit.training.machine import machine

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
WAIT = 10 * SECONDS  # for a file, on a busy machine
MOST_MEMORY = 8 * 2**30  # bytes of addresses that the process may have: a bomb shall not take the machine along


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    parser.add_argument("--only", type=int, help="one file, by its number")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.files)
    if args.only is not None:
        again(args.only)
    elif args.worker:
        work(numbers)
    else:
        outcomes = list(attacked(numbers))
        lines = table(outcomes)
        print("\n".join(lines))
        if args.write:
            replace(PAGE, "forged", lines)
        return int(any(outcome.fault for outcome in outcomes))
    return 0


def work(numbers):
    """Judge these files, and write each outcome on a line."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with tempfile.TemporaryDirectory() as folder, prepared(folder):
        for number in numbers:
            print(json.dumps(judged(number, Path(folder) / "files")), flush=True)


def attacked(numbers):
    """Yield the Outcome of each file; whichever brings its process down, or to a halt, is followed by a new one."""
    number, stop = numbers.start, numbers.stop
    while number < stop:
        words = ["--worker", "--first", str(number), "--files", str(stop - number)]
        command = [sys.executable, "-m", "tests.reliability.forged", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            while number < stop:
                ready, _, _ = select.select([process.stdout], [], [], WAIT)
                line = process.stdout.readline() if ready else b""
                if line:
                    outcome = Outcome(*json.loads(line))
                else:
                    process.kill()
                    fault = f"exit status {process.wait()}" if ready else f"no end within {WAIT} seconds"
                    outcome = Outcome(number, name_of(number), False, "", 0.0, 0.0, fault)
                if outcome.fault:
                    print(f"{outcome.number} {outcome.name}: {outcome.fault}: {outcome.line}", file=sys.stderr)
                yield outcome
                number += 1
                if not line:
                    break


def again(number):
    """One file again."""
    with tempfile.TemporaryDirectory() as folder, prepared(folder):
        here = Path(folder) / "files"
        print(judged(number, here))
        files, form = made(number)
        put(files, here)
        for name, data in files.items():
            print(name, len(data), data[:300])
        try:
            form.read(here)
        except Exception:
            traceback.print_exc()


def table(outcomes):
    """The outcomes by format, in Markdown."""
    rows = ["| format | files | read | refused | faults | longest line | slowest (s) | most memory (MB) |"]
    rows += ["|---|---|---|---|---|---|---|---|"]
    groups = {name: [outcome for outcome in outcomes if outcome.name == name] for name in FORMATS}
    groups["bombs made by hand"] = [outcome for outcome in outcomes if outcome.name in BOMBS]
    for name, group in [*groups.items(), ("**all**", outcomes)]:
        if group:
            faults, read = sum(bool(o.fault) for o in group), sum(o.accepted and not o.fault for o in group)
            most = [max(o.seconds for o in group), max(o.megabytes for o in group)]
            counts = [len(group), read, len(group) - read - faults, faults, max(len(o.line) for o in group)]
            rows.append(f"| {name} | {' | '.join(map(str, counts))} | {most[0]:.1f} | {most[1]:.0f} |")
    kinds = Counter(outcome.fault for outcome in outcomes if outcome.fault)
    said = "".join(f" {count} of them: {fault}." for fault, count in kinds.most_common())
    return [*rows, "", f"{machine()}.{said}"]


if __name__ == "__main__":
    warnings.simplefilter("error")
    sys.exit(main())
