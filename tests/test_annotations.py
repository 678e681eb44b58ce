"""Every public name has its type hints; whether they are true, mypy says (.ci/run)."""

import inspect
import typing

import pytest

import tinyvit
import tinyvit.data
from tinyvit import gradcheck
from tinyvit.models import entry, model, task

HINTED = (entry, model, task, inspect.getmodule(gradcheck))  # whose own names are all public but _these


def public_names():
    """{name: value} of what the package, its data sets and the modules HINTED offer."""
    values = {f"tinyvit.{name}": getattr(tinyvit, name) for name in tinyvit.__all__}
    values |= {f"tinyvit.data.{name}": getattr(tinyvit.data, name) for name in tinyvit.data.__all__}
    for module in HINTED:
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_"):
                values[f"{module.__name__}.{name}"] = value
    return values


def functions(name, value):
    """A function itself; of a class its __init__, its public methods and properties, also those that it inherits."""
    if inspect.isfunction(value):
        yield name, value
    for cls in value.__mro__ if inspect.isclass(value) else ():
        for key, member in vars(cls).items() if cls.__module__.startswith("tinyvit") else ():
            member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(member) and (key == "__init__" or not key.startswith("_")):
                yield f"{name}.{key}", member


def missing(function):
    """The parameters without a hint, and "return"."""
    hints = typing.get_type_hints(function)  # an error, if a hint names what is not there
    wanted = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    wanted += [] if function.__name__ == "__init__" else ["return"]
    return [name for name in wanted if name not in hints]


FUNCTIONS = dict(pair for name, value in public_names().items() for pair in functions(name, value))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_and_result_has_its_hint(name):
    assert not missing(FUNCTIONS[name])


def test_the_walk_finds_functions_methods_and_properties():
    expected = {"tinyvit.fit", "tinyvit.vit_backward", "tinyvit.Explorer.__init__", "tinyvit.ViTConfig.tokens"}
    expected |= {"tinyvit.ViTConfig.from_dict", "tinyvit.data.augment", "tinyvit.models.model.model_of"}
    assert expected <= set(FUNCTIONS) and len(FUNCTIONS) > 60


def test_the_test_finds_a_missing_hint():
    def half(x: int, y, *, z=1, **more) -> int: ...

    def unfinished(x: int): ...

    assert missing(half) == ["y", "z", "more"]
    assert missing(unfinished) == ["return"]
