"""The notebooks: each agrees with its twin, shows what a run of it showed, and runs from top to bottom.

One whose outputs are of just these sources and libraries has run already; the others are run here.
"""

import ast
import functools
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyvit.layers
import tinyvit.models
import tinyvit.ops
from tinyvit.data import mnist

nbformat = pytest.importorskip("nbformat", reason="the notebooks need the extra dev: pip install -e '.[dev]'")
jupytext = pytest.importorskip("jupytext", reason="the notebooks need the extra dev: pip install -e '.[dev]'")
pytest.importorskip("nbclient", reason="the notebooks need the extra dev: pip install -e '.[dev]'")
pytest.importorskip("ipykernel", reason="the notebooks need the extra dev: pip install -e '.[dev]'")

from notebooks import twins  # noqa: E402

NAMES = twins.NAMES
LARGEST = 1_000_000  # bytes
LONGEST = 2_200  # words of prose
NEEDS_MNIST = {"10_training_on_mnist"}
ABSOLUTE = r"(?<![\w/:.<+=-])/[A-Za-z]\w*/\w|\b[A-Z]:\\"  # a path of the machine that ran it
SPOILT = re.compile(rf"Traceback|Warning:|site-packages| at 0x[0-9a-f]+|{ABSOLUTE}")


@functools.cache
def committed(name):
    return nbformat.read(twins.HERE / f"{name}.ipynb", as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def words(output):
    """All of an output that is text."""
    data = output.get("data", {})
    return "\n".join([output.get("text", ""), *(str(data[kind]) for kind in data if kind.startswith("text/"))])


def package_functions():
    """The names of all functions of ops, layers and models; but not `forward` and `backward`, which are any model's."""
    found = set()
    for package in (tinyvit.ops, tinyvit.layers, tinyvit.models):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            found |= {name for name, value in vars(importlib.import_module(module.name)).items() if callable(value)}
    return found - {"forward", "backward"}


def with_a_body(source):
    """The names of the functions that a cell defines, and does not leave to be written."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and not (len(node.body) == 1 and ast.get_docstring(node)):
            yield node.name


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with a fresh run of every notebook that must and can run here, and what was said of the others."""
    folder = tmp_path_factory.mktemp("notebooks")
    names = [name for name in NAMES if not twins.is_of_today(name) and (name not in NEEDS_MNIST or has_mnist())]
    command = [sys.executable, twins.__file__, *names, "--one-core", "--out", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, timeout=900).stdout


@functools.cache
def has_mnist():
    """Whether the files are on this machine: no test downloads anything."""
    folders = [Path(os.environ["TINYVIT_DATA"])] if "TINYVIT_DATA" in os.environ else []
    return any(mnist.find("mnist", folder) for folder in [*folders, mnist.cache_folder("mnist")])


def check_run(notebook):
    """What must hold of a notebook's outputs, committed or fresh."""
    for output in outputs(notebook):
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output.text
        assert not SPOILT.search(words(output)), SPOILT.search(words(output))
    assert not any(kind.startswith("application/vnd") for o in outputs(notebook) for kind in o.get("data", {}))


def test_every_notebook_has_a_twin_and_every_twin_a_notebook():
    assert len(NAMES) >= 12
    assert sorted(file.stem for file in twins.HERE.glob("*.ipynb")) == NAMES


def test_the_first_cell_of_all_is_short():
    first = code(committed("00_start_here"))[0].source
    assert len(re.findall("^(?:from|import) ", first, re.MULTILINE)) <= 3, "a notebook begins with its subject"


@pytest.mark.parametrize("name", NAMES)
def test_the_twins_agree(name):
    """In every cell, its kind and its id: a rerun would leave no diff in the sources."""
    twin, notebook = twins.written(name), committed(name)
    assert [(c.cell_type, c.id, c.source) for c in notebook.cells] == [
        (c.cell_type, c.id, c.source) for c in twin.cells
    ]
    assert notebook.metadata == {**twin.metadata, **{name: notebook.metadata.get(name) for name in ("digest", "twice")}}
    assert all(cell.metadata == {} for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_committed_and_clean(name):
    notebook = committed(name)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    check_run(notebook)
    assert (twins.HERE / f"{name}.ipynb").stat().st_size < LARGEST


def untrusted(html):
    """What JupyterLab shows of an output where scripts may not run: the words, and an <img> for each picture."""
    html = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"<(?!img\b[^>]*src=\"data:)[^>]*>", "", html).strip()


@pytest.mark.parametrize("name", NAMES)
def test_every_output_shows_something_where_scripts_may_not_run(name):
    pages = [output.data["text/html"] for output in outputs(committed(name)) if "text/html" in output.get("data", {})]
    assert all(untrusted(html) for html in pages)


def test_an_output_that_needs_its_script_is_seen():
    assert not untrusted("<style>p {}</style><div id='a'></div><script>draw('a')</script><img src='none.png'>")
    assert untrusted('<div><img alt="a" src="data:image/png;base64,AA"><script>draw()</script></div>')


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_read_in_one_sitting(name):
    prose = [cell.source for cell in committed(name).cells if cell.cell_type == "markdown"]
    assert len(" ".join(prose).split()) <= LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_shown_not_copied(name):
    """No notebook defines a function that the package has; what a learner is to write is left empty."""
    defined = {function for cell in code(committed(name)) for function in with_a_body(cell.source)}
    assert not defined & package_functions()
    assert not any(function.startswith("my_") for function in defined)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_asks_first_and_asserts_last(name):
    notebook = committed(name)
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    last = [node for node in ast.parse(code(notebook)[-1].source).body if isinstance(node, ast.Assert)]
    assert last, "the last code cell asserts what the notebook has shown"


def links(notebook):
    """(path, anchor) of each relative link in the prose."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"\]\(([^)#: ]*)#?([^) ]*)\)", re.sub(r"\]\(\w+:[^)]*\)|```.*?```", "", prose, flags=re.DOTALL))


@functools.cache
def tracked():
    """The files of a fresh clone, as paths from the repository's root."""
    root = twins.HERE.parent
    if not (root / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split("\0"))


def anchors(file):
    """The anchors of a page's sections, or of a notebook's, as GitHub and the site make them."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown")
    titles = re.findall("^#+ (.+)$", re.sub("^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def dead(notebook):
    """The links of which JupyterLab, in a fresh clone, says that there is no such file, or that it is a folder."""
    for path, anchor in links(notebook):
        if os.path.normpath(f"notebooks/{path}").replace(os.sep, "/") not in tracked():
            yield path
        elif anchor and anchor not in anchors(twins.HERE / path):
            yield f"{path}#{anchor}"


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_of_the_clone_and_to_a_section_of_it(name):
    """tests/docs/test_use.py asks a real server for them."""
    assert list(dead(committed(name))) == []


def test_dead_links_are_seen():
    good = [
        "07_the_vision_transformer.ipynb#the-block-whole",
        "../docs/lab.md#class-token-or-average",
        "https://x.org/y#z",
    ]
    missing, section, folder, untracked = "../docs/none.md", "../docs/lab.md#nothing", "../tinyvit/viz", "../.git"
    bad = [missing, section, folder, untracked, "../../elsewhere.md"]
    prose = nbformat.v4.new_markdown_cell(" ".join(f"[words]({link})" for link in good + bad))
    assert list(dead(nbformat.v4.new_notebook(cells=[prose]))) == bad


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs(name, request):
    if not twins.is_of_today(name):
        if name in NEEDS_MNIST and not has_mnist():
            pytest.skip("needs MNIST, which is not on this machine")
        folder, said = request.getfixturevalue("runs")
        assert (folder / f"{name}.ipynb").exists(), said
        check_run(nbformat.read(folder / f"{name}.ipynb", as_version=4))
    else:
        check_run(committed(name))


def test_a_notebook_is_of_today_while_nothing_that_it_ran_with_has_changed(tmp_path, monkeypatch):
    """A twin, a file of the package, a library's version: each of them makes another digest."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tinyvit").mkdir()
    twin, module = tmp_path / "notebooks/a.py", tmp_path / "tinyvit/layer.py"
    twin.write_text("# %%\n1")
    module.write_text("x = 1")
    monkeypatch.setattr(twins, "HERE", twin.parent)
    nbformat.write(nbformat.v4.new_notebook(metadata={"digest": twins.digest("a")}), tmp_path / "notebooks/a.ipynb")
    assert twins.is_of_today("a")
    for file in (twin, module):
        text = file.read_text()
        file.write_text(text + " ")
        assert not twins.is_of_today("a")
        file.write_text(text)
    monkeypatch.setattr(twins.numpy, "__version__", "1.0")
    assert not twins.is_of_today("a")


def test_what_spoils_an_output_is_seen():
    def holding(**output):
        cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output(**output)])
        return nbformat.v4.new_notebook(cells=[cell])

    check_run(holding(output_type="stream", text="fine: blocks/0/msa/q/w, q/k/v, 1/sqrt(d)"))
    for bad in (
        dict(output_type="stream", name="stderr", text="a progress bar"),
        dict(output_type="stream", text="UserWarning: deprecated"),
        dict(output_type="error", ename="E", evalue="", traceback=[]),
        dict(output_type="execute_result", data={"text/plain": "<object at 0x7f00>"}),
        dict(output_type="stream", text=f"written to {Path(__file__).resolve()}"),
        dict(output_type="stream", text=r"written to C:\\Users\\me"),
        dict(output_type="display_data", data={"application/vnd.jupyter.widget-view+json": {}}),
    ):
        with pytest.raises(AssertionError):
            check_run(holding(**bad))
    assert list(with_a_body('def my_f(x):\n    """To write."""\n\ndef g(x):\n    return x')) == ["g"]
    assert {"softmax", "linear_backward", "vit"} <= package_functions()


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_has_been_run_a_second_time(name):
    """By the command that wrote the notebook, whenever its code had changed: a run of all takes minutes."""
    assert twins.has_run_twice(name), f"python notebooks/twins.py {name}"


def test_cells_that_cannot_be_run_again_are_found(tmp_path, monkeypatch):
    """With two kernels, whose start takes its time. The first twin loses a name that its middle cell needs."""
    monkeypatch.setattr(twins, "HERE", tmp_path)
    twin, notebook = tmp_path / "a.py", tmp_path / "a.ipynb"
    twin.write_text("# %%\nx = [1, 2]\n\n# %%\nprint(sum(x))\n\n# %%\nx = None\n")
    with pytest.raises(twins.CellExecutionError) as failed:
        twins.run("a")
    assert "sum(x)" in str(failed.value) and "ran well the first time" in failed.value.__notes__[0]

    twin.write_text(twin.read_text().replace("x = None", "y = None"))
    ran = twins.run("a")
    assert [cell.source for cell in ran.cells] == [cell.source for cell in twins.written("a").cells]
    assert [cell.execution_count for cell in ran.cells] == [1, 2, 3] and outputs(ran)[0].text == "3\n"
    nbformat.write(ran, notebook)
    assert twins.has_run_twice("a")
    twin.write_text("# %% [markdown]\n# Other words.\n\n" + twin.read_text())
    assert twins.has_run_twice("a"), "prose is not run"
    twin.write_text(twin.read_text() + "\n# %%\nx = None\n")
    assert not twins.has_run_twice("a")
