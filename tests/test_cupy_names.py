"""Every name that tinyvit takes from an array module exists in CuPy: by a committed list, and live where installed.

In ops/, layers/ and models/, where arrays may live on the device, what is taken from NumPy itself is element-wise
(those functions go where their arguments live) or is used on the host only.
"""

import ast
import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tinyvit
from tests.strict import MODULE_NAMES, cupy_names

SOURCE = Path(tinyvit.__file__).parent
ON_THE_HOST = {  # NumPy's own functions in files that also see device arrays, and why they never get one
    "layers/attend.py": {"arange", "concatenate", "ones"},  # a pattern is made on the host
    # parameters are drawn on the CPU
    "layers/initializers.py": {"asarray", "broadcast_to", "concatenate", "diag", "linalg"},
    "layers/token_embedding.py": {"argwhere", "asarray"},  # tokens come on the host, and are checked there
    "models/bert.py": {"rint", "where", "zeros"},  # tokens are on the host, also when some are hidden
    "models/decoding.py": {  # scores come to the host, where tokens are chosen
        *("arange", "argsort", "array", "concatenate", "flatnonzero", "full", "repeat", "stack"),
        *("take_along_axis", "where", "zeros"),
    },
    "models/masked.py": {"arange", "where", "zeros"},  # masks are drawn on the CPU
    "models/swin.py": {"linspace"},  # rates of drop path
    "models/task.py": {"asarray"},  # answers are given on the host
    "models/token_tasks.py": {"where"},  # targets are on the host
    "models/writing.py": {"full", "where"},  # and so is what was written
    "ops/labels.py": {"asarray"},  # labels on the host are checked there
    "ops/patterns.py": {"arange", "asarray", "ones", "shape", "stack", "zeros"},  # a pattern is made on the host
    "ops/sparse_attention.py": {  # and its groups
        *("append", "arange", "argsort", "array", "cumsum", "flatnonzero", "setdiff1d", "split", "unique", "zeros")
    },
    "ops/token_cross_entropy.py": {"asarray", "nonzero"},  # so are targets
    "ops/window_bias.py": {"arange"},  # where in the table each pair is
    "ops/windows.py": {"arange", "nonzero", "roll", "where", "zeros"},  # the mask and the labels that it follows from
}
MODULES = [pytest.param(MODULE_NAMES, id="committed names")]
if importlib.util.find_spec("cupy"):
    MODULES.append(pytest.param(frozenset(dir(importlib.import_module("cupy"))), id="installed CuPy"))


def names_taken(text, *modules):
    """(name, line) of every attribute that a text takes from an array module: from xp.name, or from xp_of(...).name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            value = node.value
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                value = value.func
            if isinstance(value, ast.Name) and value.id in modules:
                yield node.attr, node.lineno


def source(*folders):
    """(path, text) of every file of tinyvit, or of some of its folders."""
    for file in sorted(SOURCE.rglob("*.py")):
        path = file.relative_to(SOURCE).as_posix()
        if not folders or path.startswith(folders):
            yield path, file.read_text(encoding="utf-8")


def device_names():
    """(name, place) of all taken from xp, xp_of(...), cupy, gpu_module(), and of NumPy's ufuncs in the mathematics."""
    for path, text in source():
        for name, line in names_taken(text, "xp", "xp_of", "cupy", "gpu_module"):
            yield name, f"{path}:{line}"
    for path, text in source("ops/", "layers/", "models/"):
        for name, line in names_taken(text, "np"):
            if isinstance(found := getattr(np, name), np.ufunc):
                yield found.__name__, f"{path}:{line}"


def test_the_scan_sees_what_it_should():
    text = "xp = xp_of(x)\ny = xp.ones(3) + xp_of(x).zeros(3) + np.exp(x) + x.sum() + xp.random.f()"
    assert set(names_taken(text, "xp", "xp_of")) == {("ones", 2), ("zeros", 2), ("random", 2)}
    assert {name for name, _ in device_names()} >= {"ones", "einsum", "concatenate", "asarray", "exp", "sqrt"}


@pytest.mark.parametrize("names", MODULES)
def test_every_name_exists_in_cupy(names):
    missing = [f"{where}: {name}" for name, where in device_names() if name not in names]
    assert not missing


def test_numpys_own_functions_meet_no_device_array():
    wrong = []
    for path, text in source("ops/", "layers/", "models/"):
        for name, line in names_taken(text, "np"):
            found = getattr(np, name)
            harmless = isinstance(found, np.ufunc | type | float) or name in ON_THE_HOST.get(path, ())
            if not harmless:
                wrong.append(f"{path}:{line}: np.{name}: take it from xp_of(x), or use a method")
    assert not wrong


def test_the_lists_of_names_are_cupys():
    assert {"asnumpy", "einsum", "cuda", "get_array_module"} <= MODULE_NAMES
    assert not {"errstate", "vecdot", "unstack"} & MODULE_NAMES
    assert {"get", "reshape", "swapaxes"} <= cupy_names("ndarray") and "__len__" not in cupy_names("ndarray")
    assert "standard_normal" in cupy_names("generator") and "normal" not in cupy_names("generator")
