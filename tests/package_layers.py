"""The layers of tinyvit: the packages of each, their modules, and which module imports which.

A package here is a folder, or a group of files beside each other: the files of the lowest layer are one, and so are the
command and the public names. Imports within functions count: an import that is hidden is still an arrow.
Read by tests/test_package_layers.py, by docs/measure.py, which draws the layers, and by docs/conf.py, which lists the
modules.
"""

import ast
from pathlib import Path

import tinyvit

ROOT = Path(tinyvit.__file__).parent
TOP = "tinyvit"  # the package's __init__: public names, above all layers
PACKAGE_LAYERS = [  # the packages of each layer, from the lowest, by the first parts of their modules' names
    [
        (
            "annotations",
            "arrays",
            "trees",
            "gradcheck",
            "errors",
            "names",
            "files",
            "lock",
            "npz",
            "pickles",
            "recognise",
            "json_files",
            "startup",
            "gradient_report",
            "contract",
        )
    ],
    [("ops",)],
    [("layers",)],
    [("models",), ("data",)],
    [("checks",), ("training",), ("weights",), ("viz",)],
    [("report", "live"), ("doctor",), ("bench",), ("exercises",), ("lab",)],
    [("commands",)],
    [("cli", "__main__", TOP)],
]
PACKAGES = {
    part: (layer, package) for layer, packages in enumerate(PACKAGE_LAYERS) for package in packages for part in package
}


def modules(root):
    """Every module below a folder: its file by its name without `tinyvit.`; the folder's own __init__ is TOP."""
    found = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or TOP] = file
    return found


def imports(name, file, known):
    """The modules of tinyvit that a module imports, anywhere in its file, with the line."""
    package = ["tinyvit"] + ([] if name == TOP else name.split("."))
    if file.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            parts = target.split(".")
            if parts[0] == "tinyvit":
                module = ".".join(parts[1:])
                while module and module not in known:  # a name in a module, not a module
                    module = module.rpartition(".")[0]
                yield module or TOP, node.lineno
