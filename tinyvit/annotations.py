"""Names for the type hints of public functions."""

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

Array: TypeAlias = Any  # of NumPy or CuPy, which have no type in common
Tree: TypeAlias = dict[str, Any]  # nested dictionaries and lists of arrays: parameters, caches, gradients
Masks: TypeAlias = Mapping[str, Any]  # the same, of dropout masks; or NO_MASKS
Batch: TypeAlias = dict[str, Array]  # the arrays of a batch by name
Data: TypeAlias = tuple[Any, Any]  # the training part and the test part, each (images, labels) or a Batch
Path: TypeAlias = str | os.PathLike[str]
