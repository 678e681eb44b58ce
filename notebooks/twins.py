"""The notebooks and their twins: NAME.py is what is written and reviewed, NAME.ipynb is NAME.py run, with its outputs.

    python notebooks/twins.py              run every twin whose notebook is not of these sources, and write its notebook
    python notebooks/twins.py --all
    python notebooks/twins.py 03_attention 07_the_vision_transformer
    python notebooks/twins.py --all --twice

A notebook runs in an empty folder, so it leaves nothing behind and finds nothing of the tree it lies in. A cell's id is
its number, and no times are recorded: to run a notebook again changes nothing but what it measured.

Notebooks run side by side, one for each core. Those that tell how many seconds something takes run after them, alone;
but not with --one-core, which is for tests.

A notebook bears the digest of what it was run with: its twin, the package's files, and the versions of Python, NumPy
and matplotlib. While that digest is the one of today, a run would tell nothing new, and the tests do without.

A reader runs a cell again, perhaps after later ones. So a notebook whose code has changed is run twice: after its last
cell all cells are run once more, from the last to the first, so that each meets what later cells have left behind; their
outputs are thrown away. That takes as long again, so the digest of the code that passed is kept in the notebook, and
code that has passed is not run twice any more, unless --twice asks for it.
"""

import argparse
import hashlib
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import jupytext
import matplotlib
import nbformat
import numpy
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
NAMES = sorted(file.stem for file in HERE.glob("[0-9]*.py"))
TIMED = (
    "12_speed",
    "15_who_looks_at_whom",
    "19_from_recurrence_to_the_transformer",
)  # they tell seconds: run last, alone
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def digest(name):
    """Of all that the outputs of a notebook follow from."""
    found = hashlib.sha256(" ".join([platform.python_version(), numpy.__version__, matplotlib.__version__]).encode())
    package = HERE.parent / "tinyvit"
    for file in [HERE / f"{name}.py", *sorted(f for f in package.rglob("*") if f.is_file() and f.suffix != ".pyc")]:
        found.update(file.relative_to(HERE.parent).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def is_of_today(name):
    """Whether NAME.ipynb was run with the sources and the libraries that there are."""
    notebook = HERE / f"{name}.ipynb"
    return notebook.exists() and nbformat.read(notebook, as_version=4).metadata.get("digest") == digest(name)


def code_digest(notebook):
    """Of the source of all code cells."""
    return hashlib.sha256("\0".join(cell.source for cell in code(notebook)).encode()).hexdigest()[:16]


def code(notebook):
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def has_run_twice(name):
    """Whether every cell of the twin, as it is now, has been run a second time."""
    notebook = HERE / f"{name}.ipynb"
    recorded = nbformat.read(notebook, as_version=4).metadata.get("twice") if notebook.exists() else None
    return recorded == code_digest(written(name))


def written(name):
    """The notebook that a twin describes, without outputs."""
    notebook = jupytext.read(HERE / f"{name}.py", fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells, 1):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    return notebook


def run(name, twice=False):
    """The notebook with its outputs, after a second run of all its cells if it has had none yet, or `twice` is set.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; with a note, if it is the second time that it runs.
    """
    notebook, digest_of_the_run = written(name), digest(name)
    records = {"digest": digest_of_the_run, "twice": code_digest(notebook)}
    count, second = len(notebook.cells), []
    if twice or not has_run_twice(name):
        second = [nbformat.v4.new_code_cell(cell.source) for cell in reversed(code(notebook))]
    notebook.cells += second
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=600,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=40"],
        )
        try:
            client.execute(env=environment())
        except CellExecutionError as error:
            if any(output.output_type == "error" for cell in second for output in cell.outputs):
                error.add_note("It ran well the first time, and not again after the cells that follow it.")
            raise
    del notebook.cells[count:]
    notebook.metadata = nbformat.from_dict(METADATA | records)  # the kernel adds its own
    return notebook


def environment():
    """What a kernel finds: one BLAS thread, and the data where they are from here, if the path is a relative one."""
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return env | ({"TINYVIT_DATA": os.path.abspath(env["TINYVIT_DATA"])} if "TINYVIT_DATA" in env else {})


def pin(cores):
    """Give this thread, and the kernels that it starts, the next core; with none to give, leave it as it is."""
    if cores:
        os.sched_setaffinity(0, {cores.pop()})


def main():
    """Run what the command line names, side by side."""
    parser = argparse.ArgumentParser(description="run the twins, and write their notebooks")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; if none is named, those to renew"
    )
    parser.add_argument("--all", action="store_true", help="run those as well that are of these sources")
    parser.add_argument("--out", metavar="DIR", type=Path, default=HERE, help="where to write them (default: beside)")
    parser.add_argument("--one-core", action="store_true", help="each on a core of its own: less work in all")
    parser.add_argument("--twice", action="store_true", help="a second run of every cell, also of code that has had it")
    options = parser.parse_args()
    names = options.names or [name for name in NAMES if options.all or not is_of_today(name)]
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no notebook {unknown[0]}: expected one of {', '.join(NAMES)}")
    options.out.mkdir(parents=True, exist_ok=True)  # before the first has run for minutes
    cores = sorted(os.sched_getaffinity(0)) if options.one_core and hasattr(os, "sched_getaffinity") else []
    alone = [] if options.one_core else [name for name in names if name in TIMED]
    written = []
    with ThreadPoolExecutor(len(cores) or os.cpu_count(), initializer=pin, initargs=(cores,)) as pool:
        runs = {pool.submit(timed, name, options.twice): name for name in names if name not in alone}
        for outcome in as_completed(runs):
            written.append(write(runs[outcome], outcome.result, options.out))
    for name in alone:
        written.append(write(name, lambda name=name: timed(name, options.twice), options.out))
    raise SystemExit(not all(written))


def timed(name, twice):
    """The notebook, run, and the seconds that it took."""
    start = time.perf_counter()
    return run(name, twice), time.perf_counter() - start


def write(name, outcome, folder):
    """Write a notebook that has been run, and say so, or what became of it; whether it was written."""
    try:
        notebook, seconds = outcome()
    except CellExecutionError as error:
        print(f"{name}: not written; this cell failed with {error.ename}: {error.evalue}")
        print(*getattr(error, "__notes__", []), error, sep="\n", flush=True)
        return False
    except (TimeoutError, RuntimeError) as error:  # a cell that does not end, or a kernel that died
        print(f"{name}: not written; {type(error).__name__}: {error}", flush=True)
        return False
    nbformat.write(notebook, folder / f"{name}.ipynb")
    print(f"{name}: written, {seconds:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    main()
