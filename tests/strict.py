"""A stand-in for CuPy that runs on the CPU and keeps CuPy's rules, so that code for the GPU can be tested without one.

What NumPy forgives and a GPU does not is refused here, with a TypeError or an AttributeError:

- No conversion to NumPy behind the back: np.asarray(x) and assignment into a NumPy array are refused; the way is
  x.get().
- No mixing of host and device: operators, element-wise functions, indices, assignments and `out=` take device arrays
  and plain numbers, never NumPy arrays or lists.
- No np.function(x) but the element-wise ones (ufuncs), which go where their arguments live. CuPy itself forwards most
  of the others; tinyvit takes them from xp_of(x), so that nobody needs to know which.
- No name that CuPy lacks, on the module, its arrays or its random generator: golden_cupy/ lists them.

As with CuPy, reductions and single elements are arrays without axes, slices are views, and whatever needs a value on
the host waits for the device: float(), int(), bool(), .get(), masks. Those waits are counted in SYNCHRONISATIONS.

Speed, streams and a GPU's rounding are not imitated. Importing this file makes the module `strict_cupy`, where xp_of
finds it; the fixture strict_as_cupy of conftest.py lends it the name `cupy`.
"""

import operator
import sys
import types
from collections import Counter
from pathlib import Path

import numpy as np


def cupy_names(which):
    """The public names of CuPy's module ("cupy"), array class ("ndarray") or random generator ("generator")."""
    file = Path(__file__).parent / "golden_cupy" / f"{which}_names.txt"
    return frozenset(file.read_text(encoding="utf-8").split())


MODULE_NAMES, ARRAY_NAMES, GENERATOR_NAMES = map(cupy_names, ("cupy", "ndarray", "generator"))
SYNCHRONISATIONS = Counter()  # how often the host waited for the device, by what made it wait
SHAPED_BY_VALUES = {"argwhere", "compress", "extract", "flatnonzero", "nonzero", "unique"}  # so the host waits


def on_host(x):
    """The NumPy array behind a device array, also within tuples, lists, dictionaries. A NumPy array is a mistake."""
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: expected an array on the device, or a number")
    if isinstance(x, ndarray):
        return x._data
    if type(x) in (tuple, list):
        return type(x)(map(on_host, x))
    return {key: on_host(value) for key, value in x.items()} if type(x) is dict else x


def operand(x):
    """on_host, for an argument of an operator or ufunc: a list will not do there."""
    if isinstance(x, tuple | list):
        raise TypeError(f"Unsupported type {type(x)}: expected an array on the device, or a number")
    return on_host(x)


def on_device(result):
    """What NumPy returned, as CuPy returns it: arrays on the device, and numbers as arrays without axes."""
    if isinstance(result, np.ndarray | np.generic):
        return ndarray(np.asarray(result))
    return type(result)(map(on_device, result)) if type(result) in (tuple, list) else result


def device_function(f, name):
    """A function or method of NumPy, over device arrays."""

    def wrapped(*args, **keywords):
        SYNCHRONISATIONS.update({name} & SHAPED_BY_VALUES)
        result = on_device(f(*on_host(args), **on_host(keywords)))
        return result if keywords.get("out") is None else keywords["out"]

    wrapped.__name__ = name
    return wrapped


class ndarray:
    """An array on the pretended device, around a NumPy array that nobody else sees. Its operators follow the class."""

    __module__ = "strict_cupy"
    __slots__ = ("_data",)

    def __init__(self, data):
        self._data = data

    def __array__(self, *args, **keywords):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function, types, args, keywords):
        raise TypeError(f"np.{function.__name__} of a device array: take {function.__name__} from xp_of(x)")

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        if ufunc.__name__ not in MODULE_NAMES:
            raise TypeError(f"CuPy has no {ufunc.__name__}")
        result = on_device(getattr(ufunc, method)(*map(operand, inputs), **on_host(keywords)))
        return keywords["out"][0] if "out" in keywords else result

    def __getattr__(self, name):  # NumPy asks for names like __array_interface__, which would give the data away
        if name not in ARRAY_NAMES:
            raise AttributeError(f"a CuPy array has no attribute {name!r}")
        found = getattr(self._data, name)
        return device_function(found, name) if callable(found) else on_device(found)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, ndarray) and i.dtype == bool for i in index):
            SYNCHRONISATIONS["mask"] += 1
        if not any(i is Ellipsis for i in index):
            index = (*index, ...)  # makes a single element a view without axes, as in CuPy
        return on_device(self._data[on_host(index)])

    def __setitem__(self, index, value):
        self._data[on_host(index)] = on_host(value)

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"strict_cupy.{self._data!r}"

    def get(self):
        SYNCHRONISATIONS["get"] += 1
        return self._data.copy()


def _define_operators():
    """Every operator acts on the arrays behind; in-place ones change the left one and return it."""

    def waits(name):
        def method(self):
            SYNCHRONISATIONS[name.strip("_")] += 1
            return getattr(self._data, name)()

        return method

    def unary(name):
        return lambda self: on_device(getattr(operator, name)(self._data))

    def binary(name):
        return lambda self, other: on_device(getattr(operator, name)(self._data, operand(other)))

    def reflected(name):
        return lambda self, other: on_device(getattr(operator, name)(operand(other), self._data))

    def in_place(name):
        def method(self, other):
            getattr(operator, name)(self._data, operand(other))
            return self

        return method

    for name in ["bool", "int", "float", "complex", "index"]:
        setattr(ndarray, f"__{name}__", waits(f"__{name}__"))
    for name in ("item", "tolist"):
        setattr(ndarray, name, waits(name))
    for name in ["neg", "pos", "abs", "invert"]:
        setattr(ndarray, f"__{name}__", unary(f"__{name}__"))
    for name in ["lt", "le", "eq", "ne", "gt", "ge"]:
        setattr(ndarray, f"__{name}__", binary(f"__{name}__"))
    for name in [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "matmul",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    ]:
        setattr(ndarray, f"__{name}__", binary(f"__{name}__"))
        setattr(ndarray, f"__r{name}__", reflected(f"__{name}__"))
        setattr(ndarray, f"__i{name}__", in_place(f"__i{name}__"))
    ndarray.__hash__ = None


_define_operators()


def array(x, dtype=None, order="K"):
    """A copy on the device: of a NumPy array, a device array, a number, or lists of numbers."""
    data = np.array(x if isinstance(x, np.ndarray) else on_host(x), dtype=dtype, order=order)
    if data.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {data.dtype}")
    return ndarray(data)


def asarray(x, dtype=None):
    """x itself, if it is on the device and of that dtype; else a copy there."""
    return x if isinstance(x, ndarray) and dtype in (None, x.dtype) else array(x, dtype)


class Generator:
    """A random generator with the methods that CuPy's has. The numbers are NumPy's, not CuPy's."""

    def __init__(self, seed=None):
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name):
        if name not in GENERATOR_NAMES:
            raise AttributeError(f"CuPy's Generator has no {name}: draw on the CPU and copy")
        return device_function(getattr(self._generator, name), name)


class Module(types.ModuleType):
    """NumPy's functions and constants over device arrays, as far as CuPy has them."""

    def __getattr__(self, name):
        if name not in MODULE_NAMES or not hasattr(np, name) or isinstance(getattr(np, name), types.ModuleType):
            raise AttributeError(f"module 'cupy' has no attribute {name!r}, or its stand-in lacks it")
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type):
            return found
        function = device_function(found, name)
        for method in ("at", "reduce", "accumulate") if isinstance(found, np.ufunc) else ():
            setattr(function, method, device_function(getattr(found, method), method))
        return function


module = Module("strict_cupy", __doc__)
module.ndarray, module.array, module.asarray = ndarray, array, asarray
module.asnumpy = lambda x: x.get() if isinstance(x, ndarray) else np.asarray(x)
module.get_array_module = lambda *args: module if any(isinstance(x, ndarray) for x in args) else np
module.cuda = types.SimpleNamespace(is_available=lambda: True)
module.random = types.SimpleNamespace(default_rng=Generator)
sys.modules["strict_cupy"] = module
