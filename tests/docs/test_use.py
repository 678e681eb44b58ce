"""The pages on using it: commands, Python, what the summary of a model looks like, and notebooks in Jupyter."""

import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from docs import commands
from tests.docs.test_pages import ROOT, fences, links
from tests.training.helpers import call, put_run
from tinyvit.cli import COMMANDS
from tinyvit.models.config import CHOICES


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_commands_are_as_they_are():
    shown = page("docs/commands.md").partition("<!-- commands -->\n")[2].partition("<!-- /commands -->")[0]
    assert re.findall(r"^### tinyvit (\w+)$", shown, re.MULTILINE) == list(COMMANDS)
    assert plain(shown) == plain("\n".join(commands.lines())), "run `python docs/measure.py commands`"


def plain(text):
    """The words of a help: Python 3.13 says `--a, --b FILE`, older ones `--a FILE, --b FILE`."""
    return re.sub(r"(--[\w-]+) [A-Z]+, (?=--)", r"\1, ", text).split()


def test_the_width_of_the_commands_page_is_nobody_elses(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert commands.helped("train").startswith("usage: tinyvit train [--preset NAME]")
    assert max(map(len, commands.lines())) <= int(commands.WIDTH)
    assert "COLUMNS" not in os.environ


@pytest.mark.parametrize("name", CHOICES)
def test_the_help_names_all_that_a_setting_may_be(name):
    assert [value for value in CHOICES[name] if f'"{value}"' not in commands.helped("shapes")] == []


@pytest.fixture(scope="module")
def python_page(tmp_path_factory):
    """The names that the page's blocks leave behind, and what they print."""
    folder, before = tmp_path_factory.mktemp("python"), os.getcwd()
    put_run(folder / "runs/digits-1")
    names, out = {"__name__": "page"}, io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.chdir(folder):
        for block in fences(page("docs/python.md")):
            exec(compile(block, "docs/python.md", "exec"), names)
    assert os.getcwd() == before
    return names, out.getvalue()


def test_the_python_shown_runs_on_a_trained_model(python_page):
    names, out = python_page
    assert names["dimages"].shape == (32, 8, 8, 1) and names["seen"].shape == (360, 16)
    assert abs(names["g"]["patch"]["w"]).max() > 1e-6, "the gradient reaches what lies before the head"
    assert "gradients agree" in out and "total" in out


def test_the_exercise_shown_is_marked_as_shown(python_page):
    shown = re.findall(r"^```text\n(.*?)^```$", page("docs/python.md"), re.MULTILINE | re.DOTALL)
    assert python_page[1].endswith(shown[-1])


def test_the_dataflow_shown_is_the_commands():
    listing = re.findall(r"^```\n(name .*?)^```$", page("docs/inside.md"), re.MULTILINE | re.DOTALL)[0]
    shown = [line for line in listing.splitlines() if line != "..."]
    assert len(shown) > 8
    assert [line.rstrip() for line in call("shapes").out.splitlines() if line in shown] == shown


def jupyter_line(name):
    """The line of a page that starts Jupyter, as words."""
    (line,) = (line for line in page(name).splitlines() if line.startswith(".venv") and "jupyter lab" in line)
    return shlex.split(line.rpartition("&& ")[2])


def notebook_links():
    """(notebook, link) of each relative link in a notebook."""
    for file in sorted((ROOT / "notebooks").glob("*.py")):
        for link in links(re.sub("^# ?", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)):
            yield file.with_suffix(".ipynb").name, link


@pytest.mark.parametrize("name", ["README.md", "docs/README.zh.md", "docs/install.md"])
def test_jupyter_serves_all_that_the_notebooks_lead_to(name):
    """A server gives out nothing above its root, which is the first notebook's folder, unless another one is named."""
    words = jupyter_line(name)
    root = next(word.partition("=")[2] for word in words if word.startswith("--ServerApp.root_dir="))
    served = (ROOT / root).resolve()
    assert (ROOT / words[-1]).is_file() and (ROOT / words[-1]).resolve().is_relative_to(served)
    found = [(ROOT / "notebooks" / link).resolve() for _, link in notebook_links()]
    assert sum(not path.is_relative_to(ROOT / "notebooks") for path in found) > 40
    assert [path for path in found if not (path.exists() and path.is_relative_to(served))] == []


def test_a_real_server_serves_them(tmp_path):
    """The same with Jupyter itself, where it is installed."""
    pytest.importorskip("jupyterlab", reason="needs the extra notebooks")
    options = [word for word in jupyter_line("README.md")[2:] if word.startswith("--")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=t",
    ]
    command = [sys.executable, "-m", "jupyterlab", *options, *quiet, jupyter_line("README.md")[-1]]
    with open(tmp_path / "said", "wb") as said:
        server = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
    try:
        place = f"http://127.0.0.1:{port}/api/contents/"
        for notebook, link in notebook_links():
            path = (ROOT / "notebooks" / link).resolve().relative_to(ROOT).as_posix()
            assert asked(f"{place}{path}?content=0&token=t", server) == 200, (notebook, link)
        assert asked(f"{place}nothing.md?content=0&token=t", server) == 404
    finally:
        server.terminate()
        server.wait(30)


def asked(address, server, seconds=60):
    """The status with which a server answers, once it has started."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.3)
