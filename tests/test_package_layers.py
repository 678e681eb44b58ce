"""A module imports from lower layers and from its own package: never upwards, across, or in a circle."""

import ast
import graphlib
import subprocess
import sys

import pytest

from tests.package_layers import PACKAGES, ROOT, imports, modules


def problems(root):
    """Everything that is wrong with the imports of all modules below a folder, a line each."""
    known, found, arrows = modules(root), [], {}
    for name, file in known.items():
        if (part := name.partition(".")[0]) not in PACKAGES:
            found.append(f"{name} belongs to no layer: give {part} one in PACKAGE_LAYERS")
            continue
        layer, package = PACKAGES[part]
        arrows[name] = set()
        for target, line in imports(name, file, known):
            arrows[name].add(target)
            to_layer, to_package = PACKAGES.get(target.partition(".")[0], (0, None))
            if to_layer > layer:
                found.append(f"{name}:{line} imports {target}: upwards, from layer {layer} to {to_layer}")
            elif to_layer == layer and to_package != package:
                found.append(f"{name}:{line} imports {target}: another package of layer {layer}")
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' <- '.join(error.args[1])}")
    return found


def test_no_import_goes_upwards_across_or_in_a_circle():
    assert len(modules(ROOT)) > 30
    assert not problems(ROOT)


def test_the_packages_init_holds_public_names_only():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body[1:]:
        names = [ast.unparse(t) for t in node.targets] if isinstance(node, ast.Assign) else [getattr(node, "name", "")]
        allowed = isinstance(node, ast.Import | ast.ImportFrom) or all(n.startswith("__") for n in names)
        assert allowed, f"line {node.lineno}: {ast.unparse(node)}"


BAD = {
    "upwards": ({"ops/a.py": "from tinyvit.layers.b import f", "layers/b.py": ""}, "ops.a:1 imports layers.b"),
    "upwards within a function": ({"trees.py": "def f():\n    import tinyvit.cli", "cli.py": ""}, "trees:2 "),
    "upwards, relative": ({"ops/a.py": "from ..layers import b", "layers/b.py": ""}, "upwards, from layer 1 to 2"),
    "a public name": ({"training/a.py": "from tinyvit import vit"}, "training.a:1 imports tinyvit: upwards"),
    "across": ({"data/a.py": "from tinyvit import models", "models/__init__.py": ""}, "another package of layer 3"),
    "across, between files": (
        {"checks.py": "from tinyvit.viz.a import f", "viz/a.py": ""},
        "another package of layer 4",
    ),
    "a circle in a folder": (
        {
            "ops/a.py": "from . import b",
            "ops/b.py": "from tinyvit.ops import c",
            "ops/c.py": "def f():\n    from .a import g",
        },
        "a circle: ops.",
    ),
    "the command in a circle": ({"__init__.py": "from .cli import main", "cli.py": "import tinyvit"}, "a circle: "),
    "a circle over the folder's init": (
        {"data/__init__.py": "from tinyvit.data.a import f", "data/a.py": "from tinyvit.data import g"},
        "a circle: data",
    ),
    "a module that imports itself": ({"ops/a.py": "from tinyvit.ops.a import f"}, "a circle: ops.a"),
    "a package without a layer": ({"attic/a.py": ""}, "attic.a belongs to no layer"),
}

GOOD = {
    "downwards, within a package, and above all layers": {
        "__init__.py": "from tinyvit.models.a import vit\nfrom tinyvit.trees import map",
        "__main__.py": "from tinyvit.cli import main",
        "cli.py": "import tinyvit\nfrom tinyvit import trees, report\nimport numpy.linalg",
        "models/a.py": "import tinyvit.ops.a as a",
        "report.py": "from tinyvit.ops.a import f",
        "ops/__init__.py": "",
        "ops/a.py": "from .b import g\nfrom tinyvit.arrays import xp_of",
        "ops/b.py": "import tinyvitality",
        "arrays.py": "from tinyvit import trees",
        "trees.py": "",
    }
}


def build(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("files, problem", BAD.values(), ids=BAD)
def test_the_test_finds_a_bad_import(files, problem, tmp_path):
    found = problems(build(tmp_path, files))
    assert len(found) == 1 and problem in found[0], found


@pytest.mark.parametrize("files", GOOD.values(), ids=GOOD)
def test_the_test_accepts_good_imports(files, tmp_path):
    assert not problems(build(tmp_path, files))


def test_importing_tinyvit_imports_numpy_and_nothing_heavy():
    heavy = "matplotlib PIL pooch tqdm scipy torch cupy sklearn pandas"
    program = f"import sys, tinyvit; print(*[name for name in {heavy.split()} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent, check=True)
    assert not run.stdout.strip()
