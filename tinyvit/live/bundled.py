"""The bundled model, which reads MNIST's digits. Its source, and that of its pictures, is in mnist.txt."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tinyvit import trees
from tinyvit.data.datasets import DATASETS, scale
from tinyvit.live.page import Live
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init

FILE = Path(__file__).with_name("mnist.npz")
TITLE = "MNIST"


def about() -> dict[str, Any]:
    """What is known of the model.

    Returns
    -------
    {config, dataset, command, seed, accuracy, measured_on}
        The command that trained it, and the share that it reads of so many test images, with the parameters as they are
        in the file.
    """
    with np.load(FILE, allow_pickle=False) as packed:
        return json.loads(packed["about"].tobytes())


def load() -> Live:
    """The page of the model, with a hundred of MNIST's test images."""
    known = about()
    config, dataset = ViTConfig.from_dict(known["config"]), DATASETS[known["dataset"]]
    with np.load(FILE, allow_pickle=False) as packed:
        p = trees.from_names({name: a.astype(np.float32) for name, a in packed.items()}, vit_init(None, config))
        images, labels = scale(packed["images"], dataset.maximum), packed["labels"]
    measured = known["accuracy"], known["measured_on"]
    return Live(p, config, dataset, images, labels, title=TITLE, accuracy=measured, command=known["command"])


def pack(page: Live, seed: int) -> dict[str, np.ndarray]:
    """The arrays of the file by name, from a page whose parameters are as float16; `load` makes the same page."""
    if page.dtype != "float16" or page.before is None:
        raise ValueError("expected a page with parameters as float16, and measured")
    known = {
        "config": dataclasses.asdict(page.config),
        "dataset": page.dataset.name,
        "command": page.before["command"],
        "seed": seed,
        "accuracy": page.before["accuracy"],
        "measured_on": page.before["images"],
    }
    arrays = {name: a.astype(np.float16) for name, a in trees.walk(page.p)}
    arrays |= {"images": page.levels, "labels": page.labels.astype(np.uint8)}
    return {"about": np.frombuffer(json.dumps(known).encode(), np.uint8)} | arrays
