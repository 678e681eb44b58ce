"""The house, floor by floor: its rooms, their modules, and who imports whom.

A room is a folder, or a file that stands alone on its floor. The ground floor's files form one room, and so do the
command and the package's public names. Imports within functions count: an import that is hidden is still an arrow.
Read by tests/test_floors.py, by docs/measure.py, which draws the house, and by docs/conf.py, which lists its modules.
"""

import ast
from pathlib import Path

import tinyvit

HOUSE = Path(tinyvit.__file__).parent
TOP = "tinyvit"  # the package's __init__: public names, over all floors
FLOORS = [  # each floor's rooms, by the first parts of their modules' names
    [("annotations", "arrays", "trees", "gradcheck", "errors", "files", "npz")],
    [("ops",)],
    [("layers",)],
    [("models",), ("data",)],
    [("checks",), ("training",), ("weights",), ("viz",)],
    [("report",), ("doctor",), ("bench",), ("exercises",), ("lab",)],
    [("commands",)],
    [("cli", "__main__", TOP)],
]
ROOMS = {part: (floor, room) for floor, rooms in enumerate(FLOORS) for room in rooms for part in room}


def modules(house):
    """Every module of a house: its file by its name without `tinyvit.`; the __init__ of the house is TOP."""
    found = {}
    for file in sorted(house.rglob("*.py")):
        parts = file.relative_to(house).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or TOP] = file
    return found


def imports(name, file, known):
    """The modules of the house that a module imports, anywhere in its file, with the line."""
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
