"""Measure what the README and docs/ say, and write it there: nobody types these tables.

    python docs/measure.py gradients     every gradient check -> docs/gradient_checks.md
    python docs/measure.py speed         tinyvit bench -> docs/speed.md
    python docs/measure.py pyramids      tinyvit bench Swin-T R50+B/16 --cores 2 -> docs/speed.md
    python docs/measure.py sequences     tinyvit bench transformer seq2seq ... --cores 1 -> docs/speed.md
    python docs/measure.py large_training   tinyvit bench B/16-train --cores 2 -> docs/speed.md
    python docs/measure.py ablation      the time of S without each cause of its speed -> docs/speed.md
    python docs/measure.py operations    the functions of S beside PyTorch's, one by one -> docs/speed.md
    python docs/measure.py long          attention over many tokens, whole and in blocks -> docs/speed.md
    python docs/measure.py ranks         1, 2, 4 ranks over MPI beside worker processes, and bytes -> docs/speed.md
    python docs/measure.py fine_tuning   steps with frozen blocks, with recomputed ones -> docs/speed.md
    python docs/measure.py trials        what python -m docs.records has tried -> docs/records.md
    python docs/measure.py results       test accuracy and training time, three seeds -> docs/{results,text,records}.md
    python docs/measure.py figure        accuracy against seconds -> docs/figures/mnist.png
    python docs/measure.py inside RUN    tinyvit plot of a finished run -> docs/inside.md, docs/figures
    python docs/measure.py commands      tinyvit COMMAND --help -> docs/commands.md
    python docs/measure.py exercises     the notebooks' exercises -> tinyvit/exercises/notebooks.txt
    python docs/measure.py architecture  packages and their imports -> docs/architecture.md, docs/figures
    python docs/measure.py mistakes      what the gradient check says of each known mistake -> docs/derivations
    python docs/measure.py numerics      tinyvit numerics of a model trained for it -> docs/weights.md
    python docs/measure.py patterns      attention patterns: pairs, time, memory -> docs/derivations/patterns.md
    python docs/measure.py live [RUN]    a run as the bundled model of tinyvit live -> tinyvit/live, docs/live.md
    python docs/measure.py live_picture  that page in a browser -> docs/figures/live.png
    python docs/measure.py live_times    seconds of that page in a browser -> docs/live.md
    python docs/measure.py lab [RUNS]    results of tinyvit lab --data mnist --budget full -> docs/lab.md, docs/figures
    python docs/measure.py readme        both READMEs' tables, from what was measured before

gradients, speed, results, inside and lab also keep their numbers (docs/results.json, docs/lab) and write the READMEs'
tables. `lab` reads the folders NAME-mnist-full, of text NAME-copy-full, and those of OTHER_DATA in RUNS; where one is
not there, and without RUNS, the results that it kept. `live` without RUN measures the page of the bundled model.

`results NAME...` measures these presets only and keeps the others' results. Each table replaces what stands between
<!-- NAME --> and <!-- /NAME --> in its file.
"""

import argparse
import ast
import base64
import inspect
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from docs import ablation, asked, commands, fine_tuning, long, operations, patterns, ranks, readme, records
from docs.readme import DOCS, LAB, PRESETS, RECORDS, TEXTS, TRAINED, replace
from tests.browser import BROWSER, OPTIONS, driven
from tests.package_layers import PACKAGES, ROOT, imports, modules
from tinyvit import trees
from tinyvit.bench.compare import LARGE_TRAINED, SEQUENCES
from tinyvit.commands.runs import data_of, finished_model
from tinyvit.data import DATASETS, load_data
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.mistakes import FORGOTTEN
from tinyvit.exercises.mistakes import mistakes as known_mistakes
from tinyvit.exercises.source import edited, planted
from tinyvit.gradcheck import gradcheck
from tinyvit.lab.experiment import Results
from tinyvit.lab.job import Pictures
from tinyvit.lab.run import EXPERIMENTS
from tinyvit.lab.run import RESULTS as LAB_RESULTS
from tinyvit.lab.run import table as lab_table
from tinyvit.lab.store import Store
from tinyvit.live import bundled
from tinyvit.live.page import Live
from tinyvit.training.cores import usable_cores
from tinyvit.training.machine import machine
from tinyvit.training.run import open_run

SEEDS = (0, 1, 2)
DATA = os.environ.get("TINYVIT_DATA")  # where the archive of a preset's name lies, too
INSIDE = ("attention", "rollout", "distance", "positions", "filters", "mistakes")  # figures of docs/inside.md
TITLES = {"seconds": "ms", "ratio": "ratio to torch eager", "memory_mb": "MB"}
TITLES |= {"examples_per_second": "examples/s", "share_of_peak": "share of peak"}
MODULES = {"PyTorch": "torch"}  # the module's name, where it is another
OTHER_DATA = {  # kept results of experiments that were asked about two data sets: the folder of their run
    "backbone-cifar": "backbone-cifar10-jpg-full",
    "fewshot-digits": "fewshot-digits-full",
}
SEEN_IN = {"gelu": "gelu_backward", "unpatchify": "patchify_backward"}  # forward functions: in whose check they show
OTHERS = [  # published by others: seconds, test accuracy in %, whose
    (278, 96.59, "ViT-NumPy, 3,742 parameters"),
    (5354, 98.22, "ViT-NumPy, 28,106 parameters"),
]


def tinyvit(*words, check=True, cwd=None):
    """The standard output of the command."""
    command = [sys.executable, "-m", "tinyvit", *words]
    return subprocess.run(command, check=check, stdout=subprocess.PIPE, text=True, cwd=cwd).stdout


def gradients():
    """A table of every gradient check."""
    rows = json.loads(tinyvit("gradcheck", "--json"))
    lines = ["| layer | entries checked | worst error |", "|---|--:|--:|"]
    lines += [f"| {row['name']} | {row['entries']} | {row['worst_error']:.1e} |" for row in rows]
    replace(DOCS / "gradient_checks.md", "gradients", [*lines, "", f"`tinyvit gradcheck`, {machine()}."])
    about = {"checks": len(rows), "entries": sum(row["entries"] for row in rows)}
    about |= {"worst_error": max(row["worst_error"] for row in rows), "allowed": allowed()}
    readme.keep("gradients", about)


def allowed():
    """The error that a gradient check allows."""
    return inspect.signature(gradcheck).parameters["rtol"].default


def speed():
    """The tables of the benchmark: this machine's anew, those of others as they were."""
    rows, where = benchmark("PyTorch")
    processor, cores, *_ = machine().split(", ")
    name = f"{re.sub(r'[(]R[)]| Processor', '', processor)}, {cores}"
    measured = readme.numbers()["speed"] | {name: {"where": where, "rows": rows}}
    lines = [line for known in measured.values() for line in (*table_of(known), "")]
    replace(DOCS / "speed.md", "speed", lines[:-1])
    readme.keep("speed", measured)


def table_of(known):
    """A kept benchmark, and where it was measured."""
    return [*table(known["rows"], tuple(known["rows"][0])), "", known["where"]]


def pyramids():
    """The table of Swin and the hybrid."""
    rows, where = benchmark("PyTorch", "transformers", words=("Swin-T", "R50+B/16", "--cores", "2"))
    replace(DOCS / "speed.md", "pyramids", [*table(rows, tuple(rows[0])), "", where])


def sequences():
    """The table of the sequence models, and of decoding."""
    rows, where = benchmark("PyTorch", words=(*SEQUENCES, "--cores", "1"))
    columns = tuple(name for name in rows[0] if name not in ("cores", "memory_mb", "share_of_peak"))
    replace(DOCS / "speed.md", "sequences", [*table(rows, columns), "", where])


def large_training():
    """The table of a training step of B/16."""
    rows, where = benchmark("PyTorch", words=(LARGE_TRAINED, "--cores", "2"))
    replace(DOCS / "speed.md", "large_training", [*table(rows, tuple(rows[0])), "", where])


def benchmark(*packages, words=()):
    """The rows of `tinyvit bench`; and where, when and beside what they were measured."""
    before = os.getloadavg()[0]
    rows = json.loads(tinyvit("bench", *words, "--json"))
    beside = []
    for package in packages:
        code = f"import {MODULES.get(package, package)} as module; print(module.__version__)"
        found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout.strip()
        beside.append(f"{package} {found or 'not installed'}")
    command = " ".join(("tinyvit", "bench", *words))
    return rows, f"`{command}`, {machine()}; {', '.join(beside)}; load before {before:.1f}."


def table(rows, columns):
    """The rows of a benchmark as lines of Markdown."""
    left = ("model", "task", "contender")
    lines = ["| " + " | ".join(TITLES.get(name, name) for name in columns) + " |"]
    lines += ["|" + "|".join("---" if name in left else "--:" for name in columns) + "|"]
    shown = {"seconds": "{:,.1f}", "ratio": "{:.2f}", "memory_mb": "{:.0f}", "examples_per_second": "{:,.0f}"}
    shown |= {"share_of_peak": "{:.0%}", "quartiles": "{0[0]:.2f}–{0[1]:.2f}"}
    for row in rows:
        row = row | {"seconds": 1000 * row["seconds"]}
        cells = ("-" if row[name] is None else shown.get(name, "{}").format(row[name]) for name in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def results(names):
    """A table of accuracy and time: one line for each preset, over all seeds."""
    known = readme.numbers().get("presets", {})
    for name in names:
        load = os.getloadavg()[0]
        runs = [run(name, seed) for seed in SEEDS]
        known[name] = {"machine": f"{machine()}; load before {load:.1f}", "runs": runs}
        readme.keep("presets", known)
    write_results(known, TRAINED, "results.md", "results")
    write_results(known, TEXTS, "text.md", "results")
    write_results(known, RECORDS, "records.md", "records")


def write_results(known, names, page, mark):
    """The table of those of the names whose runs are known, over all seeds."""
    lines = ["| preset | parameters | epochs | test accuracy | each seed | training time |"]
    lines += ["|---|--:|--:|--:|---|--:|"]
    for name in (name for name in names if name in known):
        runs = known[name]["runs"]
        accuracy = [100 * r["test_accuracy"] for r in runs]
        each = ", ".join(f"{a:.2f}" for a in accuracy)
        alone = [r["seconds"] for r in runs if "beside" not in r]  # the others ran beside other work
        seconds = f"{statistics.mean(alone):.0f} s" if alone else "–"
        sizes = f"{runs[0]['parameters']:,} | {runs[0]['epochs']}"
        lines.append(f"| {name} | {sizes} | **{statistics.mean(accuracy):.2f} %** | {each} | {seconds} |")
    machines = {}
    for name in names:
        if name in known:
            machines.setdefault(known[name]["machine"], []).append(name)
    lines += ["", "`tinyvit train --preset PRESET --seed SEED`, seeds 0, 1 and 2; accuracy and seconds are means."]
    lines += [f"{', '.join(names)}: {where}." for where, names in machines.items()]
    replace(DOCS / page, mark, lines)


def inside(folder):
    """The figures of a run, and what each means."""
    with tempfile.TemporaryDirectory() as drawn:
        said = tinyvit("plot", folder, "--out", drawn)
        for name in INSIDE:
            (DOCS / "figures" / f"{name}.png").write_bytes(Path(drawn, f"{name}.png").read_bytes())
        tinyvit("predict", folder, *digits(drawn), "--figure", str(DOCS / "figures" / "look.png"))
        tinyvit("train", "--learning-rate", "1", "--epochs", "10", "--out", f"{drawn}/ill")
        diagnosis = tinyvit("doctor", f"{drawn}/ill", check=False).partition("looked at, ")[0].splitlines()
    tinyvit("shapes", "--figure", str(DOCS / "figures" / "dataflow.svg"))
    words = dict(line.split(": ", 1) for line in said.splitlines())
    run = open_run(folder)
    about = {"command": run.settings.command, "test_accuracy": run.metrics()["test_accuracy"]}
    of = f"Of the model that `{about['command']}` trains, test accuracy {100 * about['test_accuracy']:.2f} %."
    lines = [of]
    for name in INSIDE:
        lines += ["", f"![{name}](figures/{name}.png)", "", words[name]]
    replace(DOCS / "inside.md", "inside", [*lines, "", f"`tinyvit plot`, {machine()}."])
    ill = "`tinyvit train --learning-rate 1 --epochs 10`, then `tinyvit doctor`:"
    replace(DOCS / "inside.md", "doctor", [ill, "", "```", *diagnosis, "```"])
    readme.keep("inside", about)


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
        tinyvit("train", "--preset", *name.split(), "--seed", str(seed), "--out", f"{folder}/run", cwd=DATA)
        return json.loads(Path(folder, "run", "metrics.json").read_text())


def figure():
    """Test error against training time, ours and others'."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(7, 4), layout="constrained")
    axes = canvas.add_subplot(xscale="log", yscale="log")
    known = readme.numbers()["presets"]
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


class Package(NamedTuple):
    """A folder or a file of the package tinyvit."""

    layer: int
    name: str
    neighbours: tuple  # the names that stand beside it in one package of the layer, its own among them
    files: dict  # {module: its path}
    uses: list  # the names, in the order of the table, of the packages that it imports


def packages():
    """The packages from the highest layer down, read from their files."""
    known, found = modules(ROOT), []
    for name, (layer, neighbours) in PACKAGES.items():
        files = {module: path for module, path in known.items() if module.partition(".")[0] == name}
        targets = {t.partition(".")[0] for module, path in files.items() for t, _ in imports(module, path, known)}
        if files:
            found.append(Package(layer, name, neighbours, files, targets - {name}))
    found.sort(key=lambda package: -package.layer)
    return [package._replace(uses=[other.name for other in found if other.name in package.uses]) for package in found]


def architecture():
    """The packages in their layers and their imports: a drawing; and what the drawing cannot say: a table."""
    stack = packages()
    lines = ["| package | lines | what it holds |", "|---|--:|---|"]
    for package in stack:
        first = next(iter(package.files.values()))
        path = (first.parent if len(package.files) > 1 else first).relative_to(ROOT.parent).as_posix()
        size = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in package.files.values())
        about = ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or ""
        about = about.partition("\n")[0].replace("|", "\\|")
        lines.append(f"| [`{package.name}`](../{path}) | {round(size, -2) or '< 50'} | {about} |")
    replace(
        DOCS / "architecture.md",
        "packages",
        [*lines, "", "`python docs/measure.py architecture`; lines are in hundreds."],
    )
    (DOCS / "figures" / "architecture.svg").write_text(drawing(stack), encoding="utf-8")


STYLE = """
text { font: 11px system-ui, sans-serif; fill: #222 } .end { text-anchor: end }
.name { font-size: 13px; font-weight: 600 } .small { font-size: 10px; fill: #555 }
.paper { fill: #fff } .package { fill: #d6e9f5; stroke: #0072b2 } .dot { fill: #d55e00 }
.grid { stroke: #ddd } .never { fill: #eee }
@media (prefers-color-scheme: dark) {
text { fill: #e6e6e6 } .small { fill: #b5b5b5 } .paper { fill: #16191d } .package { fill: #12384f; stroke: #56b4e9 }
.grid { stroke: #33383e } .never { fill: #22262b } }
"""


def drawing(stack):
    """The packages in their layers as SVG, and below them a matrix of their imports."""
    width, left, line, parts, y = 860, 70, 13, [], 20
    for row in rows_of(stack, width - left - 20):
        gaps = [0] + [a.neighbours != b.neighbours for a, b in itertools.pairwise(row)]
        wide = (width - left - 20 - 14 * sum(gaps)) / len(row)
        texts = [
            textwrap.wrap(", ".join(m.partition(".")[2] for m in package.files if "." in m), int(wide / 6))
            for package in row
        ]
        high = 28 + line * max(map(len, texts))
        parts.append(f'<text class="small" x="14" y="{y + 18}">layer {row[0].layer}</text>')
        x = left
        for package, gap, text in zip(row, gaps, texts, strict=True):
            x += 14 * gap
            parts.append(f'<rect class="package" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{high}"/>')
            parts.append(f'<text class="name" x="{x + 8:.1f}" y="{y + 18}">{package.name}</text>')
            for i, words in enumerate(text):
                parts.append(f'<text class="small" x="{x + 8:.1f}" y="{y + 33 + line * i}">{words}</text>')
            x += wide
        y += high + 8
    y += 30
    words = "Who imports whom: a dot says that the row imports from the column. Upwards and across, all stays grey."
    parts.append(f'<text x="14" y="{y}">{words}</text>')
    return svg(width, *matrix(stack, y + 90, parts))


def rows_of(stack, width):
    """The packages of each layer, the highest first; in several rows, where names have no room beside each other."""
    for layer in sorted({package.layer for package in stack}, reverse=True):
        row = [package for package in stack if package.layer == layer]
        room = 20 + 8 * max(len(package.name) for package in row)  # of a letter, 8 at most
        count = -(-len(row) * room // width)
        yield from (row[i * len(row) // count : (i + 1) * len(row) // count] for i in range(count))


def matrix(stack, top, parts):
    """Draw the imports below `top`; returns where they end, and all parts."""
    left, cell = 110, 22
    end = cell * len(stack)
    for i, package in enumerate(stack):
        x, y = left + cell * i, top + cell * i
        allowed = [other.layer < package.layer or other.neighbours == package.neighbours for other in stack]
        for j in (j for j in range(len(stack)) if not allowed[j]):
            parts.append(f'<rect class="never" x="{left + cell * j}" y="{y}" width="{cell}" height="{cell}"/>')
        parts.append(f'<path class="grid" d="M{left} {y}h{end}M{x} {top}v{end}"/>')
        parts.append(f'<text class="end" x="{left - 8}" y="{y + 15}">{package.name}</text>')
        parts.append(f'<text transform="translate({x + 15} {top - 8}) rotate(-60)">{package.name}</text>')
    for i, package in enumerate(stack):
        for j, other in enumerate(stack):
            if other.name in package.uses:
                parts.append(f'<circle class="dot" cx="{left + cell * j + 11}" cy="{top + cell * i + 11}" r="5"/>')
    return top + end + 20, parts


def svg(width, height, parts):
    """The parts as a file that reads well on light and on dark."""
    title = "<title>The packages of tinyvit in their layers, and who imports whom</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    paper = '<rect class="paper" width="100%" height="100%"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", paper, *parts, "</svg>\n"])


def numerics():
    """How far the logits of a model drift: trained, saved as Hugging Face, and shown a digit of 280 x 280 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        tinyvit("train", "--preset", "mnist-quick", "--out", f"{folder}/run", cwd=DATA)
        tinyvit("convert", f"{folder}/run", f"{folder}/vit")
        picture = digits(folder)[0]
        Image.open(picture).resize((280, 280), Image.Resampling.NEAREST).save(picture)  # a model's input is smaller
        rows = json.loads(tinyvit("numerics", f"{folder}/vit", picture, "--json"))
    lines = ["| what | usual | other | logits | probability | best class |", "|---|---|---|--:|--:|---|"]
    for row in rows:
        same = "the same" if row["same_class"] else "**another**"
        words = [row["what"], row["usual"], row["other"], f"{row['logits']:.1e}", f"{row['probability']:+.1e}", same]
        lines.append(f"| {' | '.join(words)} |")
    model = "a model of `tinyvit train --preset mnist-quick`, saved by `tinyvit convert`"
    shown = "MNIST's first seven of the test set, each pixel a square of 10 x 10"
    where = f"`python docs/measure.py numerics`: {model}; {shown}. {machine()}."
    replace(DOCS / "weights.md", "numerics", [*lines, "", where])


def mistakes():
    """A table of the known mistakes of each derivation's functions: <!-- mistakes FUNCTION... --> names them."""
    where = "`python docs/measure.py mistakes`, each mistake alone. 1e-7 is allowed; without a mistake, all agree."
    for page in sorted((DOCS / "derivations").glob("*.md")):
        for names in re.findall(r"<!-- mistakes (.+?) -->", page.read_text(encoding="utf-8")):
            lines = ["| mistake | what stands there | what was written | what the gradient check says |"]
            lines += ["|---|---|---|---|"]
            for mistake in (m for name in names.split() for m in known_mistakes(name) if keeps_result(m)):
                wrong = "forgotten" if mistake.wrong == FORGOTTEN else code(mistake.wrong)
                lines.append(f"| {prose(mistake.says)} | {code(mistake.right)} | {wrong} | {verdict(mistake)} |")
            replace(page, f"mistakes {names}", [*lines, "", where])


def keeps_result(mistake):
    """Whether it is a matter of gradients: not a mistake of a forward pass that another y gives away."""
    exercise = exercises()[mistake.function]
    if exercise.backward or not exercise.has_cache:
        return True
    right, wrong = exercise.function, edited(exercise.function, mistake.edit)
    return all(
        np.array_equal(wrong(*inputs, **words)[0], right(*inputs, **words)[0]) for inputs, words in exercise.calls
    )


def verdict(mistake):
    """What the gradient check says of a mistake, in a cell: the worst over the exercise's calls.

    Calls at which the check cannot tell that the right function is right (a step is too coarse for them) say nothing.
    """
    right = exercises()[SEEN_IN.get(mistake.function, mistake.function)]
    function = exercises()[mistake.function].function
    found, stopped = {}, set()
    for call in (call for call in right.calls if right.case(right.backward, call).check()):
        try:
            with planted(function, mistake.edit):
                report = right.case(right.backward, call).check()
        except Exception as error:  # whatever shapes that do not fit raise
            stopped.add(f"`{type(error).__name__}`")
            continue
        stopped |= {prose(report.problem)} - {""}
        for row in (row for row in report.rows if row.error > report.rtol):
            found[row.name] = max(found.get(row.name, (0, "")), (row.error, row.problem))
    names = sorted(found, key=lambda name: -found[name][0])
    words = []
    if names:
        error, problem = found[names[0]]
        words.append(f"`{names[0]}`: {prose(problem) or f'{error:#.2g}'}")
        words += [f"also wrong: {', '.join(f'`{name}`' for name in names[1:])}"] if names[1:] else []
    if stopped:
        words.append(f"{'in other shapes it stops' if names else 'stops'}: {', '.join(sorted(stopped))}")
    return "; ".join(words) or "passes"


def prose(text):
    """Text in a cell, with no character that Markdown would read."""
    return re.sub(r"([\\`*_|<\[$~])", r"\\\1", text)


def code(text):
    """Lines of code in a cell: a bar ends a cell even within code, and code with backticks needs longer quotes."""
    quoted = []
    for line in text.replace("|", "\\|").splitlines():
        quoted.append(f"`` {line.strip()} ``" if "`" in line else f"`{line.strip()}`")
    return "<br>".join(quoted)


def live(folder=None):
    """The bundled model, from a run; and what the docs say of it."""
    if folder:
        run, p, config = finished_model(folder, "cpu")
        settings = run.settings
        p = trees.map(lambda a: a.astype(np.float16).astype(a.dtype), p)  # what is measured is what is bundled
        _, test = data_of(settings, None)
        page = Live(p, config, settings.dataset, *test, command=settings.command, workers=usable_cores())
        np.savez_compressed(bundled.FILE, **bundled.pack(page, settings.seed))
    page, about = bundled.load(), bundled.about()
    size, count = len(page.html().encode()), trees.count(page.p)
    parts = {"parameters, as float16": 2 * count, "pictures of the test set, as bytes": page.levels.size}
    parts = {name: len(base64.b64encode(bytes(part))) for name, part in parts.items()}
    parts |= {"scripts, style, words and the rest": size - sum(parts.values()), "together": size}
    trained = f"`{about['command']}` (seed {about['seed']}) trained it."
    share = f"**{100 * about['accuracy']:.2f} %** of MNIST's {about['measured_on']:,} test images."
    read = f"With its {count:,} parameters rounded to float16, as the page has them, it reads {share}"
    lines = [trained, read, "", "| of the page | bytes |", "|---|--:|"]
    lines += [f"| {name} | {part:,} |" for name, part in parts.items()]
    where = "`python docs/measure.py live`; numbers and pictures are base64, four bytes for three."
    replace(DOCS / "live.md", "live", [*lines, "", where])


def live_picture():
    """The live page as it opens, as docs/figures/live.png."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder, "live.html"), Path(folder, "live.png")
        page.write_text(bundled.load().html(), encoding="utf-8")
        how = ("--window-size=1040,1500", "--hide-scrollbars", "--virtual-time-budget=5000", f"--screenshot={picture}")
        command = [BROWSER, *OPTIONS, *how, f"--user-data-dir={folder}", page.as_uri()]
        subprocess.run(command, check=True, timeout=600)
        few = Image.open(picture).convert("RGB").quantize(128)
        few.save(DOCS / "figures" / "live.png", optimize=True)


TIMED = {  # on the page: what is timed, as a call
    "forward, with every map": "tinyvit.forward(image)",
    "forward and backward, every gradient": "tinyvit.backward(7, image)",
    "a step of learning": "tinyvit.learn(7, 1e-9, image)",
    "preparing a drawing": "tinyvit.prepared()",
    "a frame while one draws: prepare, forward, pictures": "(pen.down = true, update())",
    "a frame after that: backward, all stages, readouts": "(pen.down = false, update())",
}
TIMER = """
<script>
window.addEventListener("load", () => {
  const image = test_image(0), found = {};
  clearTimeout(counting);
  recount = () => {};                                  // which would count between the calls
  tinyvit.draw([{ points: [[70, 60], [210, 50], [120, 240]], width: 22 }]);
  for (const [name, call] of Object.entries($CALLS)) {
    const times = [];
    for (let i = 0; i < 220; i++) {
      const start = performance.now();
      call();
      times.push(performance.now() - start);
    }
    found[name] = times.slice(20);                     // by then the browser has compiled them
  }
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>
"""


def live_times():
    """How long the live page takes, in headless Chromium."""
    calls = ", ".join(f"{json.dumps(name)}: () => {call}" for name, call in TIMED.items())
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        driver = TIMER.replace("$CALLS", f"{{{calls}}}")
        found, _ = driven(bundled.load().html(), driver, Path(folder), virtual_time=False, timeout=600)
    version = subprocess.run([BROWSER, "--version"], capture_output=True, text=True).stdout.strip()
    lines = ["| the bundled model, one image | median of 200 | nine of ten within |", "|---|--:|--:|"]
    for name, times in found.items():
        lines.append(f"| {name} | {statistics.median(times):.1f} ms | {np.quantile(times, 0.9):.1f} ms |")
    where = f"`python docs/measure.py live_times`: {version}, headless; {machine()}; load before {load:.1f}."
    replace(DOCS / "live.md", "live-times", [*lines, "", where])


def lab(folder=None):
    """Table, verdict and figure of every experiment of the lab; its results are kept: the page can be made again."""
    folders = {name: f"{name}-{_data_of(experiment)}-full" for name, experiment in EXPERIMENTS.items()} | OTHER_DATA
    for name, its_folder in folders.items():
        kept = LAB / f"{name}.jsonl"
        if folder and (its_results := Path(folder, its_folder, LAB_RESULTS)).exists():
            kept.write_bytes(its_results.read_bytes())
        experiment, data, asked, words = _of_lab(name, kept)
        store = Store(kept, data)
        seeds = 1 + max(record["seed"] for record in store.records.values())
        jobs = experiment.runs(asked, "full", seeds)
        if missing := store.missing(jobs):
            sys.exit(f"{kept} lacks {len(missing)} of {len(jobs)} runs: finish tinyvit lab {experiment.name}")
        records = store.of(jobs)
        report = experiment.report(Results(records))
        report.figure.savefig(DOCS / "figures" / f"lab-{name}.png")
        about = f"`tinyvit lab {experiment.name} --data {words} --budget full --seeds {seeds}`, 95 % intervals:"
        about = about.replace(":", "; pictures of a JPEG copy of CIFAR-10:") if isinstance(asked, Pictures) else about
        picture = f"![{experiment.question}](figures/lab-{name}.png)"
        lines = [picture, "", *lab_table(report, records, about).splitlines()]
        replace(LAB.with_suffix(".md"), f"lab {name}", lines)
    readme.write()


def _data_of(experiment):
    """The data set of an experiment's results in the docs."""
    return experiment.usual_data if experiment.texts else "mnist"


def _of_lab(name, kept):
    """(experiment, label of its data in the results, what it is asked with, what a user types) of kept results."""
    if name not in OTHER_DATA:
        return EXPERIMENTS[name], *[_data_of(EXPERIMENTS[name])] * 3
    experiment = EXPERIMENTS[name.partition("-")[0]]
    label = json.loads(kept.read_text(encoding="utf-8").partition("\n")[0])["data"]
    if label in DATASETS:
        return experiment, *[label] * 3
    return experiment, label, Pictures(DATASETS["cifar-10"], 50_000), f"{label.partition(' ')[0]}.zip"


ALONE = {  # what needs no more words
    "gradients": gradients,
    "speed": speed,
    "figure": figure,
    "pyramids": pyramids,
    "sequences": sequences,
    "exercises": asked.write,
    "commands": lambda: replace(DOCS / "commands.md", "commands", commands.lines()),
    "architecture": architecture,
    "mistakes": mistakes,
    "numerics": numerics,
    "patterns": patterns.write,
    "live_picture": live_picture,
    "fine_tuning": fine_tuning.write,
    "live_times": live_times,
    "large_training": large_training,
    "ablation": ablation.write,
    "operations": operations.write,
    "long": long.write,
    "ranks": ranks.write,
    "trials": records.write,
    "readme": readme.write,
}


def main():
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "what",
        choices=(*ALONE, "results", "inside", "live", "lab"),
    )
    about = "presets, for results (default: all); a folder, for inside, live and lab"
    parser.add_argument("names", nargs="*", help=about)
    args = parser.parse_args()
    if args.what == "results":
        if unknown := [name for name in args.names if name not in (*TRAINED, *TEXTS, *RECORDS)]:
            parser.error(f"no preset {unknown[0]}: expected one of {', '.join((*TRAINED, *TEXTS, *RECORDS))}")
        results(args.names or [*TRAINED, *TEXTS, *RECORDS])
    elif args.what == "inside":
        if len(args.names) != 1 or not Path(args.names[0]).is_dir():
            parser.error(f"found {' '.join(args.names) or 'no name'}: inside takes the folder of one finished run")
        inside(args.names[0])
    elif args.what == "live":
        if len(args.names) > 1 or not all(Path(name).is_dir() for name in args.names):
            parser.error(f"found {' '.join(args.names)}: live takes the folder of one finished run, or none")
        live(*args.names)
    elif args.what == "lab":
        if len(args.names) > 1 or not all(Path(name).is_dir() for name in args.names):
            parser.error(f"found {' '.join(args.names)}: lab takes one folder of results, or none")
        lab(*args.names)
    elif args.names:
        parser.error(f"found {args.names[0]}: {args.what} takes no names")
    else:
        ALONE[args.what]()


if __name__ == "__main__":
    main()
