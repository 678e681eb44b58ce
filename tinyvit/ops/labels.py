"""Labels that someone hands in: is each of them one of the classes?"""

import numpy as np

from tinyvit.errors import DataError


def check_labels(labels, classes, source="labels"):
    """The labels as int64 [B], once each is known to be one of 0 to classes - 1.

    Checked here, on the CPU, because an index out of range is silent later: -1 is the last class to NumPy, and a GPU
    wraps it around.

    Raises
    ------
    DataError
        One line that begins with `source` (a file name, say): what was found, at which index, what was expected.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"found {labels.dtype} of shape {list(labels.shape)}"
        raise DataError(f"{source}: {found}, expected one whole number for each image")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        index = int(wrong.argmax())
        count = f" ({wrong.sum()} such labels)" if wrong.sum() > 1 else ""
        raise DataError(f"{source}: found label {labels[index]} at index {index}{count}, expected 0 to {classes - 1}")
    return labels.astype(np.int64)
