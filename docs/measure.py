"""Measure what the README and docs/ say, and write it there: nobody types these tables.

    python docs/measure.py gradients     every gradient check -> README.md
    python docs/measure.py speed         tinyvit bench -> docs/speed.md, and its short form in README.md
    python docs/measure.py results       test accuracy and training time, three seeds -> README.md, docs/results.json
    python docs/measure.py figure        accuracy against seconds, from docs/results.json -> docs/figures/mnist.png
    python docs/measure.py inside RUN    tinyvit plot of a finished run -> docs/inside.md, README.md, docs/figures

`results NAME...` measures these presets only and keeps the others' results. Each table replaces what stands between
<!-- NAME --> and <!-- /NAME --> in its file.
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
from PIL import Image

from tinyvit.data import load_data
from tinyvit.training.run import open_run

DOCS = Path(__file__).parent
README, SPEED, RESULTS = DOCS.parent / "README.md", DOCS / "speed.md", DOCS / "results.json"
PRESETS = ("digits", "mnist-quick", "mnist", "mnist-best")
SEEDS = (0, 1, 2)
INSIDE = ("attention", "rollout", "distance", "positions", "filters", "mistakes")  # figures of docs/inside.md
TITLES = {"seconds": "ms", "ratio": "ratio to torch eager", "memory_mb": "MB", "images_per_second": "images/s"}
TITLES |= {"share_of_peak": "share of peak"}
OTHERS = [  # published by others: seconds, test accuracy in %, whose
    (278, 96.59, "ViT-NumPy, 3,742 parameters"),
    (5354, 98.22, "ViT-NumPy, 28,106 parameters"),
]


def machine():
    """This machine, these versions, today."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    processor = names[0] if names else platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}; {versions}; {datetime.date.today()}"


def tinyvit(*words, check=True):
    """The standard output of the command."""
    return subprocess.run(
        [sys.executable, "-m", "tinyvit", *words], check=check, stdout=subprocess.PIPE, text=True
    ).stdout


def gradients():
    """A table of every gradient check."""
    rows = json.loads(tinyvit("gradcheck", "--json"))
    lines = ["| layer | entries checked | worst error |", "|---|--:|--:|"]
    lines += [f"| {row['name']} | {row['entries']} | {row['worst_error']:.1e} |" for row in rows]
    replace(README, "gradients", [*lines, "", f"`tinyvit gradcheck`, {machine()}."])


def speed():
    """Tables of the benchmark: whole in docs/speed.md, the training rows and B/16 on all cores in the README."""
    before = os.getloadavg()[0]
    rows = json.loads(tinyvit("bench", "--json"))
    torch = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True
    ).stdout.strip()
    where = f"`tinyvit bench`, {machine()}; PyTorch {torch or 'not installed'}; load before {before:.1f}."
    replace(SPEED, "speed", [*table(rows, tuple(rows[0])), "", where])
    most = max(row["cores"] for row in rows)
    cells = {}
    for row in rows:
        if row["cores"] in (1, most) and (row["task"] == "train" or row["model"] == "B/16"):
            cells.setdefault(tuple(row[name] for name in ("model", "task", "batch", "cores")), {})[row["contender"]] = (
                row
            )
    lines = [
        "| model | | batch | cores | tinyvit | PyTorch | class row | tinyvit / PyTorch | tinyvit / class row | MB |"
    ]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for which, row in cells.items():
        ms = [1000 * row[name]["seconds"] for name in ("tinyvit", "torch eager", "torch class row")]
        shares = [row["tinyvit"]["ratio"], ms[0] / ms[2]]
        words = [*map(str, which), *(f"{t:,.1f} ms" for t in ms), f"**{shares[0]:.2f}**", f"{shares[1]:.2f}"]
        memory = " / ".join(f"{row[name]['memory_mb']:.0f}" for name in ("tinyvit", "torch eager"))
        lines.append(f"| {' | '.join([*words, memory])} |")
    replace(README, "speed", [*lines, "", where])


def table(rows, columns):
    """The rows of a benchmark as lines of Markdown."""
    left = ("model", "task", "contender")
    lines = ["| " + " | ".join(TITLES.get(name, name) for name in columns) + " |"]
    lines += ["|" + "|".join("---" if name in left else "--:" for name in columns) + "|"]
    shown = {"seconds": "{:,.1f}", "ratio": "{:.2f}", "memory_mb": "{:.0f}", "images_per_second": "{:,.0f}"}
    shown |= {"share_of_peak": "{:.0%}"}
    for row in rows:
        row = row | {"seconds": 1000 * row["seconds"], "ratio": float("nan") if row["ratio"] is None else row["ratio"]}
        lines.append("| " + " | ".join(shown.get(name, "{}").format(row[name]) for name in columns) + " |")
    return lines


def results(names):
    """A table of accuracy and time: one line for each preset, over all seeds."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        load = os.getloadavg()[0]
        runs = [run(name, seed) for seed in SEEDS]
        known[name] = {"machine": f"{machine()}; load before {load:.1f}", "runs": runs}
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    lines = ["| preset | parameters | epochs | test accuracy | each seed | training time |"]
    lines += ["|---|--:|--:|--:|---|--:|"]
    for name in (name for name in PRESETS if name in known):
        runs = known[name]["runs"]
        accuracy = [100 * r["test_accuracy"] for r in runs]
        each = ", ".join(f"{a:.2f}" for a in accuracy)
        seconds = statistics.mean(r["seconds"] for r in runs)
        sizes = f"{runs[0]['parameters']:,} | {runs[0]['epochs']}"
        lines.append(f"| {name} | {sizes} | **{statistics.mean(accuracy):.2f} %** | {each} | {seconds:.0f} s |")
    machines = {}
    for name in PRESETS:
        if name in known:
            machines.setdefault(known[name]["machine"], []).append(name)
    lines += [
        "",
        "`tinyvit train --preset PRESET --seed SEED` for the seeds 0, 1 and 2; accuracy and seconds are means.",
    ]
    lines += [f"{', '.join(names)}: {where}." for where, names in machines.items()]
    replace(README, "results", lines)


def inside(folder):
    """The figures of a run, and what each means."""
    with tempfile.TemporaryDirectory() as drawn:
        said = tinyvit("plot", folder, "--out", drawn)
        for name in INSIDE:
            (DOCS / "figures" / f"{name}.png").write_bytes(Path(drawn, f"{name}.png").read_bytes())
        tinyvit("predict", folder, *digits(drawn), "--figure", str(DOCS / "figures" / "look.png"))
        tinyvit("train", "--learning-rate", "1", "--epochs", "10", "--out", f"{drawn}/ill")
        diagnosis = tinyvit("doctor", f"{drawn}/ill", check=False).splitlines()
    tinyvit("shapes", "--figure", str(DOCS / "figures" / "dataflow.svg"))
    words = dict(line.split(": ", 1) for line in said.splitlines())
    run = open_run(folder)
    accuracy = 100 * run.metrics()["test_accuracy"]
    of = f"Of the model that `{run.settings.command}` trains, test accuracy {accuracy:.2f} %."
    lines = [of]
    for name in INSIDE:
        lines += ["", f"![{name}](figures/{name}.png)", "", words[name]]
    replace(DOCS / "inside.md", "inside", [*lines, "", f"`tinyvit plot`, {machine()}."])
    ill = "`tinyvit train --learning-rate 1 --epochs 10`, then `tinyvit doctor`:"
    replace(DOCS / "inside.md", "doctor", [ill, "", "```", *diagnosis, "```"])
    replace(README, "inside", [of, words["attention"], words["distance"]])


def digits(folder):
    """MNIST's first test image of each of three digits, as files."""
    _, (x, y) = load_data("mnist")
    paths = [str(Path(folder, f"{k}.png")) for k in (7, 2, 0)]
    for path in paths:
        image = x[np.flatnonzero(y == int(Path(path).stem))[0], :, :, 0]
        Image.fromarray(np.round(127.5 * (image + 1)).astype(np.uint8)).save(path)
    return paths


def run(name, seed):
    """The metrics of one training run."""
    with tempfile.TemporaryDirectory() as folder:
        tinyvit("train", "--preset", name, "--seed", str(seed), "--out", f"{folder}/run")
        return json.loads(Path(folder, "run", "metrics.json").read_text())


def figure():
    """Test error against training time, ours and others'."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(7, 4), layout="constrained")
    axes = canvas.add_subplot(xscale="log", yscale="log")
    known = json.loads(RESULTS.read_text())
    for name in (name for name in PRESETS if name in known and name.startswith("mnist")):
        runs = known[name]["runs"]
        seconds, errors = zip(*((r["seconds"], 100 - 100 * r["test_accuracy"]) for r in runs), strict=True)
        axes.plot(seconds, errors, "o", color="#0072b2", alpha=0.5, markersize=5)
        words = f"{name}: {100 - statistics.mean(errors):.2f} % in {statistics.mean(seconds):.0f} s"
        axes.annotate(words, (max(seconds), statistics.mean(errors)), (8, 0), textcoords="offset points", va="center")
    for seconds, accuracy, who in OTHERS:
        axes.plot(seconds, 100 - accuracy, "s", color="#d55e00", markersize=6)
        words = f"{who}:\n{accuracy} % in {seconds:,} s"
        axes.annotate(words, (seconds, 100 - accuracy), (-8, 0), textcoords="offset points", ha="right", va="center")
    axes.set(xlim=(8, 10_000), ylim=(0.3, 5), xlabel="training time in seconds", ylabel="test error on MNIST in %")
    axes.set_xticks([10, 30, 100, 300, 1000, 3000, 10_000], ["10", "30", "100", "300", "1000", "3000", "10,000"])
    axes.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(DOCS / "figures" / "mnist.png", dpi=160)


def replace(path, name, lines):
    """Put the lines between the markers of this name in a file."""
    text = path.read_text(encoding="utf-8")
    block = "\n".join([f"<!-- {name} -->", *lines, f"<!-- /{name} -->"])
    text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)
    if not found:
        sys.exit(f"{path} has no <!-- {name} --> ... <!-- /{name} -->")
    path.write_text(text, encoding="utf-8")
    print(block)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("gradients", "speed", "results", "figure", "inside"))
    parser.add_argument("names", nargs="*", help="presets, for results (default: all); a folder, for inside")
    args = parser.parse_args()
    if args.what == "results":
        results(args.names or list(PRESETS))
    else:
        globals()[args.what](*args.names)
