"""The command `tinyvit`: words to function calls, results to standard output, progress and errors to standard error.

Exit status: 0 well, 1 failed, 2 wrong usage, 130 and 143 interrupted (after saving).
"""

import argparse
import dataclasses
import inspect
import json
import re
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import tinyvit
from tinyvit.arrays import DEVICES, choose_device, to_device, to_host, xp_of
from tinyvit.data import DATASETS, held_out_count, load_data, prepare, read_image
from tinyvit.errors import CheckpointError, DataError, TinyvitError, UsageError
from tinyvit.files import clear_side_files, replacing
from tinyvit.models.config import PRESETS, ViTConfig
from tinyvit.training.cores import usable_cores, workers_for
from tinyvit.training.recipe import RECIPES, Recipe
from tinyvit.training.run import Settings, latest_run, new_run, next_folder, open_run

FROM_THE_DATA = ("image", "channels", "classes")  # sizes that no option sets


def train(args):
    """Train a model, or go on with a run."""
    from tinyvit.viz.curves import curves

    name = args.data or "digits"
    folder = Path(args.out) if args.out else latest_run(name) if args.resume else None
    run = _resumed(args, folder) if args.resume and folder and (folder / "config.json").exists() else None
    if run and run.metrics():
        print(f"{run.folder} is finished", file=sys.stderr)
        return _print_result(run)
    if args.resume and not (run and run.checkpoint.exists()):
        print(f"nothing saved in {folder or 'runs'} yet: starting from the beginning", file=sys.stderr)
    settings = run.settings if run else _settings(args)
    device = choose_device(args.device)
    workers = workers_for(settings.recipe, args.workers, device)
    data = load_data(settings.data, args.data_dir)
    held_out_count(len(data[0][0]), settings.recipe.validation)  # fails before there is a folder, if it does
    run = run or new_run(folder or next_folder(name), settings, force=args.force)
    config, images = settings.config, len(data[0][0])
    about = f"{settings.data}: {images} images to learn from, {len(data[1][0])} to test"
    where = device if device == "gpu" else f"{workers} worker{'s' * (workers > 1)}"
    print(f"{about}; {tinyvit.parameter_count(config)} parameters; {where}; {run.folder}", file=sys.stderr)

    def draw(history):
        _save_figure(curves(history, title=f"{settings.data}, seed {settings.seed}"), run.curves)

    with _stop_requests() as stop:
        how = {"recipe": settings.recipe, "seed": settings.seed, "workers": workers, "device": device}
        tinyvit.fit(config, data, **how, run=run, draw=draw, stop=stop)
    return _print_result(run)


def _print_result(run):
    metrics = run.metrics()
    print(f"run {run.folder}: {metrics['epochs']} epochs in {metrics['seconds']:.1f} s", end=", ")
    print(f"validation accuracy {100 * metrics['validation_accuracy']:.2f} %")
    print(f"test accuracy {100 * metrics['test_accuracy']:.2f} %")


def _settings(args):
    """What the options ask for, over the data set's presets."""
    name = args.data or "digits"
    preset = args.preset or name
    sizes = {size: getattr(PRESETS[name], size) for size in FROM_THE_DATA}
    config = dataclasses.replace(PRESETS[preset], **sizes | _given(args, ViTConfig))
    return Settings(name, config, dataclasses.replace(RECIPES[preset], **_given(args, Recipe)), args.seed or 0)


def _given(args, cls):
    """The options of a dataclass that the user gave."""
    values = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


def _resumed(args, folder):
    """The saved run; its own settings win, and an option that contradicts them is an error."""
    run = open_run(folder)
    clear_side_files(folder)
    asked = {"data": args.data, "seed": args.seed}
    if args.preset:
        asked |= {k: v for k, v in vars(PRESETS[args.preset]).items() if k not in FROM_THE_DATA}
        asked |= vars(RECIPES[args.preset])
    asked |= _given(args, ViTConfig) | _given(args, Recipe)
    run.refuse_other({name: value for name, value in asked.items() if value is not None})
    return run


@contextmanager
def _stop_requests():
    """While this holds, Ctrl-C and SIGTERM are noted, for the loop to ask after. A second one has its usual effect."""
    noted = []

    def note(number, frame):
        noted.append(number)
        for name, handler in before.items():
            signal.signal(name, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: noted[0] if noted else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _model(folder, device):
    """A finished run and its model, on a device."""
    run = open_run(folder)
    if not run.model.exists():
        raise CheckpointError(f"the run in {folder} is not finished: go on with `{run.resume_command}`")
    p, config = tinyvit.load(run.model)
    return run.settings, to_device(p, device), config


def evaluate(args):
    """Measure a finished run on the test set."""
    from tinyvit.training.evaluation import evaluate as measure

    settings, p, config = _model(args.run, args.device)
    _, (x, y) = load_data(settings.data, args.data_dir)
    loss, accuracy = measure(x, y, p, config, workers=args.workers or usable_cores())
    result = {"data": settings.data, "images": len(y), "test_loss": loss, "test_accuracy": accuracy}
    print(json.dumps(result) if args.json else f"test loss {loss:.4f}\ntest accuracy {100 * accuracy:.2f} %")


def predict(args):
    """Classify pictures."""
    import numpy as np

    from tinyvit.training.evaluation import predict as probabilities
    from tinyvit.viz.look import class_attention, look

    settings, p, config = _model(args.run, args.device)
    dataset, prepared, failed = DATASETS[settings.data], {}, 0
    for path in args.image:
        try:
            image = read_image(path)
            prepared[path] = _prepared(path, image, dataset)
        except TinyvitError as error:  # the others are still classified
            print(f"tinyvit: {error}", file=sys.stderr)
            failed = error.exit_code
    results = []
    if prepared:
        images = np.stack([image for image, _ in prepared.values()])
        found = probabilities(images, p, config, workers=args.workers or usable_cores())
        results = [
            {"image": path, "classes": _best(row, dataset, args.top), "notes": notes}
            for (path, (_, notes)), row in zip(prepared.items(), found, strict=True)
        ]
    if args.json:
        print(json.dumps(results))
    elif results:
        print("\n".join(map(_said, results)))
    if args.figure and prepared:
        titles = [result["classes"][0]["class"] for result in results]
        _, c = tinyvit.vit(xp_of(p["cls"]).asarray(images), p, config, full=False)
        _save_figure(look(images, to_host(class_attention(c)), config.patch, titles), args.figure)
    return failed


def _prepared(path, image, dataset):
    """The picture as the data set's are, and what was done to it."""
    try:
        return prepare(image, dataset)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _best(probabilities, dataset, top):
    """The most probable classes, best first."""
    best = (-probabilities).argsort(kind="stable")[:top]
    return [{"class": dataset.class_names[k], "probability": round(float(probabilities[k]), 6)} for k in best]


def _said(result):
    """A result in words."""
    classes = ", ".join(f"{r['class']} ({100 * r['probability']:.1f} %)" for r in result["classes"])
    return "\n".join([f"{result['image']}: {classes}", *(f"  {note}" for note in result["notes"])])


def _save_figure(figure, path):
    """Write a figure in the format that the file's name asks for."""
    form, known = Path(path).suffix[1:].lower(), figure.canvas.get_supported_filetypes()
    if form not in known:
        raise UsageError(f"cannot draw {path}: expected a name that ends in one of {', '.join(sorted(known))}")
    try:
        with replacing(path) as file:
            figure.savefig(file, format=form)
    except OSError as error:
        raise TinyvitError(f"cannot write {path}: {error.strerror or error}; choose another place") from None


def gradcheck(args):
    """Check the gradients of every op, layer and model."""
    from tinyvit.checks import cases

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


def shapes(args):
    """Show the dataflow of a model, row by row."""
    from tinyvit.viz.ledger import ledger

    rows = ledger(PRESETS[args.preset], args.batch)
    if args.json:
        print(json.dumps([row._asdict() for row in rows]))
        return
    line = "{:<20} {:>22} {:>13} {:>17} {:>14}"
    print(line.format("name", "shape", "parameters", "multiply-adds", "bytes"))
    for row in rows:
        print(line.format(row.name, str(list(row.shape)), *(f"{n:,}" if n else "" for n in row[2:])))
    print(line.format("total", "", *(f"{sum(row[i] for row in rows):,}" for i in (2, 3, 4))))


def bench(args):
    """Measure speed and memory, beside PyTorch's where it is installed."""
    from tqdm import tqdm

    from tinyvit.bench.compare import BASE, races, run

    rows, line = [], "{:<6} {:>5} {:>5} {:>5}  {:<26} {:>9} {:>9} {:>6} {:>8} {:>5} {:>5}"
    if not args.json:
        names = ("model", "batch", "task", "cores", "contender", "ms", "images/s", "ratio", "MB", "peak", "load")
        print(line.format(*names), flush=True)
    for race in tqdm(races(args.model or None, args.cores), unit="race", leave=False):
        for row in run(race):
            rows.append(row)
            if not args.json:
                numbers = f"{1000 * row['seconds']:.1f}", f"{row['images_per_second']:.0f}", row["ratio"] or "-"
                sizes = f"{row['memory_mb']:.0f}", f"{100 * row['share_of_peak']:.0f}%", row["load"]
                where = (row[key] for key in ("model", "batch", "task", "cores", "contender"))
                tqdm.write(line.format(*where, *map(str, (*numbers, *sizes))))
    if args.json:
        print(json.dumps(rows))
    elif all(row["ratio"] is None for row in rows):
        print("PyTorch is not installed: no ratios; for them, pip install torch", file=sys.stderr)
    else:
        print(f"ratio: seconds over {BASE}'s; peak: share of the speed of one large matrix product")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others."""

    def error(self, message):
        raise UsageError(f"{message}; see {self.prog} --help")


def count(text):
    """A whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 1")
    return number


def _documented(cls):
    """The first sentence on each field, from the class's own docstring."""
    entries = re.findall(r"^(\w[\w, ]*) : .*\n((?:    .*\n)+)", inspect.getdoc(cls), re.MULTILINE)
    return {
        name: re.split(r"[.;]\s", " ".join(text.split()) + " ")[0]
        for names, text in entries
        for name in names.split(", ")
    }


def _add_options(parser, title, cls):
    """An option for each field of a dataclass."""
    group, texts = parser.add_argument_group(title), _documented(cls)
    for f in dataclasses.fields(cls):
        if f.name not in FROM_THE_DATA:
            group.add_argument(
                "--" + f.name.replace("_", "-"), type=f.type, metavar=f.type.__name__.upper(), help=texts[f.name]
            )


def _command(commands, function, examples):
    text = function.__doc__
    command = commands.add_parser(
        {"evaluate": "eval"}.get(function.__name__, function.__name__),
        help=text,
        description=text,
        epilog="examples:\n" + "\n".join(f"  tinyvit {e}" for e in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(function=function)
    return command


def parser():
    """The parser of all commands."""
    top = Parser(prog="tinyvit", description=tinyvit.__doc__.partition("\n")[0])
    top.add_argument("--version", action="version", version=f"tinyvit {tinyvit.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    add = _command(
        commands,
        train,
        [
            "train",
            "train mnist --out runs/first --seed 1",
            "train --out runs/first --resume",
            "train mnist --preset mnist-best",
        ],
    )
    add.add_argument(
        "data", nargs="?", choices=DATASETS, help="data set: %(choices)s; digits, which is bundled, if none is named"
    )
    add.add_argument("--out", metavar="DIR", help="run folder; runs/DATA-1, -2, ... without")
    add.add_argument("--resume", action="store_true", help="go on with the run in --out, or with the latest")
    add.add_argument("--force", action="store_true", help="replace the run in --out")
    add.add_argument("--seed", type=int, help="of everything random (default 0)")
    add.add_argument(
        "--preset", metavar="NAME", choices=RECIPES, help="model and training: %(choices)s; the data set's without"
    )
    _add_options(add, "the model (default: the preset's)", ViTConfig)
    _add_options(add, "the training (default: the preset's)", Recipe)
    with_data = [add]

    add = _command(commands, evaluate, ["eval runs/digits-1"])
    add.add_argument("run", metavar="RUN", help="folder of a finished run")
    with_data.append(add)
    for parser in with_data:
        parser.add_argument("--data-dir", metavar="DIR", help="folder with the data set's files")

    add_predict = _command(
        commands, predict, ["predict runs/mnist-1 seven.png", "predict runs/mnist-1 *.png --figure look.png"]
    )
    add_predict.add_argument("run", metavar="RUN", help="folder of a finished run")
    add_predict.add_argument("image", metavar="IMAGE", nargs="+", help="PNG, JPEG or .npy, of any size")
    add_predict.add_argument("--top", type=count, default=3, metavar="N", help="classes to name (default %(default)s)")
    add_predict.add_argument("--figure", metavar="FILE", help="draw image, patches and attention (PNG, SVG or PDF)")
    for parser in (*with_data, add_predict):
        parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to compute (default %(default)s)")
        parser.add_argument("--workers", type=count, metavar="N", help="cores to compute on (default: all)")

    add_check = _command(commands, gradcheck, ["gradcheck", "gradcheck layer_norm attention"])
    add_check.add_argument("name", metavar="NAME", nargs="*", help="ops, layers, models; all without")

    add_shapes = _command(commands, shapes, ["shapes", "shapes S/16 --batch 8"])
    add_shapes.add_argument(
        "preset", metavar="PRESET", nargs="?", default="B/16", choices=PRESETS, help=f"{', '.join(PRESETS)}"
    )
    add_shapes.add_argument("--batch", type=count, default=1, metavar="N", help="images (default %(default)s)")

    add_bench = _command(commands, bench, ["bench", "bench S M --cores 1 4"])
    add_bench.add_argument("model", metavar="MODEL", nargs="*", help="some of S, M, B/16; all without")
    add_bench.add_argument("--cores", type=count, nargs="+", metavar="N", help="how many; 1, 2 and all without")
    for parser in (with_data[1], add_predict, add_check, add_shapes, add_bench):
        parser.add_argument("--json", action="store_true", help="print JSON")
    return top


def main(argv=None):
    """Run the command; returns the exit status."""
    try:
        args = parser().parse_args(argv)
        return args.function(args) or 0
    except TinyvitError as error:
        print(f"tinyvit: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("tinyvit: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"tinyvit: {error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        return 1
