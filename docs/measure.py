"""Measure what the README says, and write it there: nobody types these tables.

    python docs/measure.py gradients            every gradient check
    python docs/measure.py results digits mnist  test accuracy and training time, three seeds each

Each table replaces what stands between <!-- NAME --> and <!-- /NAME --> in README.md.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

README = Path(__file__).parent.parent / "README.md"
SEEDS = (0, 1, 2)


def machine():
    """This machine, these versions, today."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    processor = names[0] if names else platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}; {versions}; {datetime.date.today()}"


def tinyvit(*words):
    """The standard output of the command."""
    return subprocess.run(
        [sys.executable, "-m", "tinyvit", *words], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def gradients():
    """A table of every gradient check."""
    rows = json.loads(tinyvit("gradcheck", "--json"))
    lines = ["| layer | entries checked | worst error |", "|---|--:|--:|"]
    lines += [f"| {row['name']} | {row['entries']} | {row['worst_error']:.1e} |" for row in rows]
    return [*lines, "", f"`tinyvit gradcheck`, {machine()}."]


def results(names):
    """A table of accuracy and time: one line for each data set, over all seeds."""
    lines = ["| data | parameters | epochs | test accuracy | each seed | training time |", "|---|--:|--:|--:|---|--:|"]
    for name in names:
        runs = [run(name, seed) for seed in SEEDS]
        accuracy = [100 * r["test_accuracy"] for r in runs]
        each = ", ".join(f"{a:.2f}" for a in accuracy)
        seconds = statistics.mean(r["seconds"] for r in runs)
        sizes = f"{runs[0]['parameters']:,} | {runs[0]['epochs']}"
        lines.append(f"| {name} | {sizes} | **{statistics.mean(accuracy):.2f} %** | {each} | {seconds:.0f} s |")
    return [
        *lines,
        "",
        f"`tinyvit train DATA --seed 0, 1, 2`, one core, mean of seeds; {machine()}; load {os.getloadavg()[0]:.1f}.",
    ]


def run(name, seed):
    """The metrics of one training run."""
    with tempfile.TemporaryDirectory() as folder:
        tinyvit("train", name, "--seed", str(seed), "--out", f"{folder}/run")
        return json.loads(Path(folder, "run", "metrics.json").read_text())


def replace(name, lines):
    """Put the lines between the markers of this name."""
    text = README.read_text(encoding="utf-8")
    block = "\n".join([f"<!-- {name} -->", *lines, f"<!-- /{name} -->"])
    text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)
    if not found:
        sys.exit(f"README.md has no <!-- {name} --> ... <!-- /{name} -->")
    README.write_text(text, encoding="utf-8")
    print(block)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", choices=("gradients", "results"))
    parser.add_argument("data", nargs="*", default=["digits", "mnist"])
    args = parser.parse_args()
    replace(args.table, gradients() if args.table == "gradients" else results(args.data))
