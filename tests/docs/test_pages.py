"""What the pages in docs/ say is so: their code is the package's, and runs; their tables list what there is."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import measure
from docs.compare import blocks
from tinyvit import ViTConfig
from tinyvit.exercises.mistakes import FORGOTTEN, mistakes
from tinyvit.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
DERIVATIONS = sorted((ROOT / "docs/derivations").glob("*.md"))
UNLEARNED = {  # no gradient that one could get wrong
    "sinusoids",  # its is the identity's
    "muon",  # an optimiser's step: see test_muon_page.py
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fences(text):
    """The blocks of Python in a page."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def links(text):
    """Where the relative links and pictures of a page lead, without anchors; what stands in code is no link."""
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)|\b(?:src|srcset|href)=\"([^\"]+)\"", text)
    targets = [(one or other).partition("#")[0] for one, other in found]
    return [target for target in targets if target and not re.match(r"\w+:", target)]


def stripped(text):
    """The lines without indentation; blank ones are left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def in_order(lines, source):
    """Whether all lines occur in the source, in this order."""
    rest = iter(stripped(source))
    return all(line in rest for line in lines)


def section(text, title):
    """What stands below a heading, up to the next one."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("page", DERIVATIONS, ids=lambda page: page.stem)
def test_the_code_shown_is_the_packages(page):
    text = page.read_text(encoding="utf-8")
    sources = [(page.parent / link).read_text(encoding="utf-8") for link in links(text) if link.endswith(".py")]
    excerpts = [block for block in fences(text) if block not in blocks(text)]  # the others run: test_derivations.py
    assert excerpts and sources
    assert [block for block in excerpts if not any(in_order(stripped(block), source) for source in sources)] == []


@pytest.mark.parametrize("name", ["gradient_checks"])
def test_the_code_of_a_page_runs(name):
    blocks = fences((ROOT / f"docs/{name}.md").read_text(encoding="utf-8"))
    assert len(blocks) > 5
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"], input="\n".join(blocks), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", DERIVATIONS, ids=lambda page: page.stem)
def test_the_tables_of_mistakes_list_what_is_known(page):
    """Each mistake and both codes, not what the check says; of GELU's forward pass those of the derivative alone."""
    text, expected, shown = page.read_text(encoding="utf-8"), [], []
    for names, table in re.findall(r"<!-- mistakes (.+?) -->\n(.*?)<!-- /mistakes \1 -->", text, re.DOTALL):
        for mistake in (mistake for name in names.split() for mistake in mistakes(name)):
            if mistake.function != "gelu" or "derivative" in mistake.says:
                wrong = "forgotten" if mistake.wrong == FORGOTTEN else measure.code(mistake.wrong)
                expected.append(f"| {measure.prose(mistake.says)} | {measure.code(mistake.right)} | {wrong} |")
        rows = [line for line in table.splitlines() if line.startswith("| ")]
        shown += [row.removesuffix("|").rpartition("|")[0] + "|" for row in rows[1:]]
    assert len(expected) > 2 or page.stem in UNLEARNED
    assert shown == expected, f"{page.name} is out of date: run `python docs/measure.py mistakes`"


def test_cells_survive_markdown():
    markdown_it = pytest.importorskip("markdown_it", reason="needs the extra docs: pip install -e '.[docs]'")
    says, right = "a*b*c_d_e, `x` | [y](z) <b> $p$ \\ ~~q~~", "a | b\n    c = `d`"
    text = f"| one | two |\n|---|---|\n| {measure.prose(says)} | {measure.code(right)} |\n"
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    cells = [token.children for token in tokens if token.type == "inline"][2:]
    assert len(cells) == 2
    assert "".join(token.content for token in cells[0]) == says
    assert [token.content for token in cells[1]] == ["a | b", "<br>", "c = `d`"]


def test_notation_has_every_setting():
    text = (ROOT / "docs/notation.md").read_text(encoding="utf-8")
    sizes = re.findall(r"^\|(?:[^|]*\|){2} `(\w+)` \|", section(text, "Sizes"), re.MULTILINE)
    choices = re.findall(r"^\| `(\w+)` \|", section(text, "Choices that are not sizes"), re.MULTILINE)
    assert sorted(sizes + choices) == sorted(field.name for field in dataclasses.fields(ViTConfig))
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", section(text, "Settings of a training run"), re.MULTILINE)
    defaults = {name: ast.literal_eval(value) for name, value in rows}
    assert defaults == {field.name: field.default for field in dataclasses.fields(Recipe)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    assert [link for link in links(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()] == []


def test_links_are_found():
    text = '[a](b.md#c), ![d](e/f.png), [g](https://h.i), [j](#k), `[l](m)`\n\n```\n[n](o)\n```\n<img src="p.svg">'
    assert links(text) == ["b.md", "e/f.png", "p.svg"]
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 100
