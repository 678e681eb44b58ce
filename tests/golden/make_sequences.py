"""Write sequences.npz, what PyTorch computes with models of sequences: python -m tests.golden.make_sequences

Run once, where both are installed; the file is committed, so that no test needs them. An array's name is that of the
model, of the part of what `torch_sequences` returns, and of the leaf: gpt:p:blocks/0/msa/q/w.
"""

from pathlib import Path

import numpy as np

from tinyvit import trees

FILE = Path(__file__).with_name("sequences.npz")


def flat(name, found):
    """The arrays of a model, by their names in the file."""
    arrays = {f"{name}:y:": found["y"]}
    for part in ("p", "inputs", "g"):
        arrays |= {f"{name}:{part}:{leaf}": array for leaf, array in trees.walk(found[part])}
    return arrays


def make():
    """The arrays of the file, by name."""
    from tests.golden.torch_sequences import MODELS

    return {key: array for name, model in MODELS.items() for key, array in flat(name, model()).items()}


if __name__ == "__main__":
    np.savez_compressed(FILE, **make())
