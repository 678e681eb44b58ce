"""The bundled model, which reads MNIST's digits. Where its data are from, and their licence, is in mnist.txt."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from tinyvit import trees
from tinyvit.data.datasets import DATASETS, scale
from tinyvit.live.page import Live
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init

FILE = Path(__file__).with_name("mnist.npz")
ABOUT = "about"  # the array that holds {config, dataset, command, seed, accuracy, images}, as JSON
TITLE = "MNIST"


def load() -> Live:
    """The page of the bundled model, with a hundred of MNIST's test images."""
    with np.load(FILE, allow_pickle=False) as packed:
        about = json.loads(packed[ABOUT].tobytes())
        config = ViTConfig.from_dict(about["config"])
        p = trees.from_names({name: packed[name].astype(np.float32) for name in packed.files}, vit_init(None, config))
        images, labels = packed["images"], packed["labels"]
    dataset = DATASETS[about["dataset"]]
    measured = (about["accuracy"], about["measured_on"])
    how = {"title": TITLE, "accuracy": measured, "command": about["command"]}
    return Live(p, config, dataset, scale(images, dataset.maximum), labels, **how)


def pack(live: Live, seed: int) -> dict[str, np.ndarray]:
    """The arrays of the file, by name, from the page of a run: `load` makes the same page of them."""
    measured = live.before or {}
    about = {
        "config": dataclasses.asdict(live.config),
        "dataset": live.dataset.name,
        "command": measured["command"],
        "seed": seed,
        "accuracy": measured["accuracy"],
        "measured_on": measured["images"],
    }
    arrays = {name: a.astype(np.float16) for name, a in trees.walk(live.p)}
    arrays |= {"images": live.levels, "labels": live.labels.astype(np.uint8)}
    return {ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)} | arrays
