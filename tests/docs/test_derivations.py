"""Each step of a derivation is compared with numbers, the comparisons hold, and each would find a wrong sign."""

import ast
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from docs.compare import blocks, compare, slopes

ROOT = Path(__file__).parents[2]
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs/derivations").glob("*.md"))}
TEXTS = {
    page.name: page.read_text(encoding="utf-8") for page in [*ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.py")]
}
OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.USub: ast.UAdd}
UNSEEN = {  # signs that make no difference, which is what the step says
    "layer_norm": ["delta - 1 / D"],  # the mean's part drops out of the variance's derivative
    "patch_merging": ["a % 2 + 2 * (b % 2)"],  # NumPy counts the same quarters from the end
    "softmax": ["x + 3.0", "dy + 3.0"],  # a shift of all scores, or of all gradients
}


def run(tree):
    """Run a page's blocks, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(tree, "the page", "exec"), {})


def signs(tree):
    """Each + and - of what is computed; random inputs have none."""
    for statement in tree.body:
        if "rng" not in ast.unparse(statement):
            for node in ast.walk(statement):
                operator = getattr(node, "op", None)
                constant = isinstance(getattr(node, "operand", None), ast.Constant)
                if type(operator) in OTHER and not constant:
                    yield node


@pytest.mark.parametrize("name", PAGES)
def test_each_comparison_holds(name):
    code = "\n".join(blocks(PAGES[name]))
    assert code.count("compare(") > 5
    run(ast.parse(code))


@pytest.mark.parametrize("name", PAGES)
def test_each_wrong_sign_is_found(name):
    """A block that cannot fail says nothing: so each sign is exchanged alone. (A page has up to a hundred: slow.)"""
    tree, unseen = ast.parse("\n".join(blocks(PAGES[name]))), []
    for node in list(signs(tree)):
        right, shown = node.op, ast.unparse(node)
        node.op = OTHER[type(right)]()
        try:
            run(tree)
        except Exception:  # of any kind: a wrong sign may also be an index out of range
            pass
        else:
            unseen.append(shown)
        node.op = right
    assert unseen == UNSEEN.get(name, [])


@pytest.mark.parametrize("name", PAGES)
def test_each_step_and_each_example_is_compared(name):
    text = PAGES[name]
    steps = re.split(r"^\*\*Step \d", text, flags=re.MULTILINE)[1:]
    titles = r"By hand|A worked example|Deriv\w+|Backward"
    sections = re.findall(rf"^## (?:{titles})\b.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    parts = [step.partition("\n## ")[0] for step in steps] + sections
    assert [part[:60] for part in parts if not blocks(part)] == []


@pytest.mark.parametrize("name", PAGES)
def test_lines_of_comparisons_fit_their_column(name):
    assert [line for block in blocks(PAGES[name]) for line in block.splitlines() if len(line) > 110] == []


@pytest.mark.parametrize("text", [*PAGES.values(), *TEXTS.values()], ids=[*PAGES, *TEXTS])
def test_the_gradient_has_one_notation(text):
    r"""$dx$, and no other d: neither one of another shape, but in an integral, nor this one for another derivative."""
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
    shape = r"(?<!\\, )\\(?:mathrm|mathbf|mathsf|mathit|operatorname)\{d(?:[a-z]*s|loss|x|y|z|q|k|v)?\}"
    assert re.findall(shape, text) == []
    assert re.findall(r"\\frac\{d\w*\}\{d\w+\}|\bd\w / d\w\b", text) == []


@pytest.mark.parametrize("text", [*PAGES.values(), TEXTS["notation.md"]], ids=[*PAGES, "notation.md"])
def test_the_loss_has_one_letter(text):
    assert re.findall(r"\\partial L\b|\$L\$ is the loss|\\mathrm\{d?loss\}", text) == []


def test_compare_finds_what_differs():
    compare([1.0, 2e9], [1.0, 2e9 + 0.1])
    compare(0.22266, 0.2227, within=5e-5)
    for left, right in ([1.0, 2], [1.0, 2.1]), ([1.0, 1], 1.0), ([[1.0]], [1.0]), (np.nan, np.nan), (0.0, 1e-8):
        with pytest.raises(AssertionError):
            compare(left, right)
    with pytest.raises(AssertionError):
        compare(0.2226, 0.2227, within=5e-5)


def test_slopes_are_derivatives():
    w, x = np.arange(6.0).reshape(2, 3), np.array([0.5, -1, 2])
    compare(slopes(lambda x: w @ x, x), w)
    compare(slopes(lambda x: (x**3).sum(), x), 3 * x**2)
    compare(slopes(np.sin, 0.5), np.cos(0.5))
    assert slopes(lambda w: w @ x, w).shape == (2, 2, 3)
