"""What the README shows is what the project does, and the Chinese one shows the same."""

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest
from PIL import Image

import tinyvit
from tests.golden.make_weights import FOLDER
from tests.training.helpers import call
from tinyvit.checks import cases
from tinyvit.data.photos import imagenet_names

ROOT = Path(__file__).parents[1]
README, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/README.zh.md"))


def blocks(language):
    """The code blocks of a language; "" are those of none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def functions(text):
    """{name: source} of the functions in a text, without their docstrings and comments."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            node.body = node.body[1:] if ast.get_docstring(node) else node.body
            found[node.name] = ast.unparse(node)
    return found


def test_the_layer_shown_is_the_layer():
    shown = functions(blocks("python")[0])
    source = functions((ROOT / "tinyvit/layers/encoder_block.py").read_text(encoding="utf-8"))
    assert list(shown) == ["encoder_block", "encoder_block_backward"]
    for name, text in shown.items():
        assert text == source[name]


def test_the_exercise_shown_is_marked_as_shown():
    names = {}
    code, _, shown = blocks("python")[1].partition("# ")
    exec(code.replace("print(exercises.check(", "verdict = (exercises.check("), names)
    assert repr(names["verdict"]).splitlines() == shown.strip().split("\n# ")


def test_a_photograph_is_classified_as_shown(tmp_path):
    """On a small model of transformers' and a small picture; for those named there one needs the file."""
    photo = tmp_path / "cat.jpg"
    Image.new("RGB", (50, 40), "green").save(photo)
    text = blocks("python")[2]
    for name, here in (("vit-base-patch16-224", FOLDER / "classifier"), ("cat.jpg", photo)):
        assert f'"{name}"' in text
        text = text.replace(f'"{name}"', repr(str(here)))
    names, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(text, names)
    assert out.getvalue().strip() in imagenet_names()
    assert names["notes"].source == "huggingface" and names["image"].shape == (32, 32, 3)


def test_the_python_shown_runs():
    names = {}
    exec(blocks("python")[3], names)
    assert names["dimages"].shape == (32, 8, 8, 1)
    assert float(names["loss"]) == pytest.approx(2.302585)


def test_every_notebook_is_in_the_reading_path():
    notebooks = [f"notebooks/{file.name}" for file in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert re.findall(r"^\| \[.+?\]\((.+?)\) \|", README, re.MULTILINE) == notebooks


def test_the_dataflow_shown_is_the_commands():
    shown = [line for line in blocks("")[0].splitlines() if line != "..."]
    assert [line.rstrip() for line in call("shapes").out.splitlines() if line in shown] == shown


def test_every_gradient_check_is_in_the_table():
    table = README.partition("<!-- gradients -->")[2].partition("<!-- /gradients -->")[0]
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\S+) \|$", table, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(cases())
    assert all(float(error) < 1e-7 for _, _, error in rows)


def test_the_results_are_of_the_presets_as_they_are():
    table = README.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
    rows = re.findall(r"^\| (\S+) \| ([\d,]+) \| (\d+) \| \*\*(\S+) %\*\* \| (.+?) \|", table, re.MULTILINE)
    assert [row[0] for row in rows] == ["digits", "mnist-quick", "mnist", "mnist-best"]
    for name, parameters, epochs, mean, each in rows:
        assert int(parameters.replace(",", "")) == tinyvit.parameter_count(tinyvit.PRESETS[name])
        assert int(epochs) == tinyvit.RECIPES[name].epochs
        seeds = [float(accuracy) for accuracy in each.split(", ")]
        assert len(seeds) == 3 and float(mean) == pytest.approx(sum(seeds) / 3, abs=0.011)


@pytest.mark.parametrize(("text", "folder"), [(README, "."), (CHINESE, "docs")], ids=["README", "README.zh"])
def test_every_link_inside_leads_somewhere(text, folder):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / folder / link).exists()] == []


@pytest.mark.parametrize(
    "part", ["^```.*?^```$", "<!-- results -->.*<!-- /results -->", "<!-- speed -->.*<!-- /speed -->"]
)
def test_the_chinese_readme_shows_the_same(part):
    english, chinese = (re.findall(part, text, re.MULTILINE | re.DOTALL) for text in (README, CHINESE))
    assert english
    assert chinese == english


def test_the_chinese_readme_has_every_section_and_one_of_its_own():
    english, chinese = (re.findall("^## .+", text, re.MULTILINE) for text in (README, CHINESE))
    own = [title for title in chinese if "笔记" in title]
    assert len(own) == 1
    assert len(chinese) == len(english) + len(own)


def test_ci_runs_the_command_that_the_readme_gives():
    commands = [line for line in README.splitlines() if "-m pytest" in line]
    assert commands[0] in blocks("sh")[1]
    assert "grep -m 1 -- '-m pytest' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
