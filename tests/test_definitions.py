"""A module defines a name once: where two branches each add to a table, a merge may keep both lines, and one counts."""

import ast
from collections import Counter

import pytest

from tests.package_layers import ROOT


def defined_twice(text):
    """The names that a module, at its top level, defines more than once."""
    found = Counter()
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] += 1
        for target in statement.targets if isinstance(statement, ast.Assign) else []:
            names = (node for node in ast.walk(target) if isinstance(node, ast.Name))
            found.update(node.id for node in names if isinstance(node.ctx, ast.Store))
    return [name for name, count in found.items() if count > 1]


def test_no_module_defines_a_name_twice():
    modules = sorted(ROOT.rglob("*.py"))
    assert len(modules) > 100
    found = {str(path.relative_to(ROOT)): defined_twice(path.read_text(encoding="utf-8")) for path in modules}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A = {1: 2}\nA = {1: 3}", ["A"]),
        ("A, B = 1, 2\nB = 3", ["B"]),
        ("def f(): pass\nclass f: pass", ["f"]),
        ("A = {1: 2}\nA |= {1: 3}\nA[1] = 4", []),
        ("def f():\n    a = 1\n    a = 2", []),
    ],
)
def test_the_test_finds_them(text, names):
    assert defined_twice(text) == names
