"""Pack scikit-learn's digits into tinyvit/data/digits.npz.

    python -m tests.data.pack_digits

Run once; the file is committed. scikit-learn is not a dependency: the test that repacks is skipped without it.
"""

import numpy as np

from tinyvit.data.digits import FILE
from tinyvit.data.split import stratified


def pack():
    """The arrays of digits.npz, by name."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {
        "images": digits.images.astype(np.uint8),
        "labels": digits.target.astype(np.uint8),
        "test": stratified(digits.target, 360).astype(np.uint16),
    }


if __name__ == "__main__":
    np.savez_compressed(FILE, **pack())
