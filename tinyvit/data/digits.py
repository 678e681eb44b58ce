"""The bundled data set: 1797 real handwritten digits of 8 x 8 pixels. Its source and licence are in digits.txt."""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("digits.npz")


def load():
    """The digits as they were packed, split into 1437 for training and 360 for testing.

    Returns
    -------
    (images, labels), (test_images, test_labels) : uint8 [B, 8, 8], uint8 [B]
        A pixel counts, from 0 to 16, the inked points in a 4 x 4 block of the scanned form.
    """
    with np.load(FILE, allow_pickle=False) as packed:
        images, labels = packed["images"], packed["labels"]
        test = np.zeros(len(labels), dtype=bool)
        test[packed["test"]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])
