"""What the doctor is asked about in the tests: a model, its data and its recipe, healthy until a fault is planted."""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from tinyvit.data import load_data
from tinyvit.models.presets import PRESETS
from tinyvit.training.loop import fit
from tinyvit.training.recipe import RECIPES


class Case(NamedTuple):
    """A patient."""

    config: Any
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    recipe: Any
    p: Any = None
    history: tuple = ()

    @property
    def data(self):
        """As `fit` and `examine` take it."""
        return (self.x, self.y), (self.x_test, self.y_test)


class Fault(NamedTuple):
    """A fault: what it is, the checks of which one should report it, and how it is planted.

    plant(case) -> case. `trained` faults are planted into a case with a trained model and its history.
    """

    name: str
    checks: str
    plant: Any
    trained: bool = False


@functools.cache
def digits():
    """The bundled digits with their preset and recipe, as `tinyvit train` has them."""
    (x, y), (x_test, y_test) = load_data("digits")
    return Case(PRESETS["digits"], x, y, x_test, y_test, RECIPES["digits"])


@functools.cache
def trained(seed=0):
    """The same after half of its usual training."""
    case = digits()
    case = case._replace(recipe=dataclasses.replace(case.recipe, epochs=30))
    p, history = fit(case.config, case.data, recipe=case.recipe, seed=seed, workers=1, progress=False)
    return case._replace(p=p, history=tuple(history))
