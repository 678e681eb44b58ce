"""A run of an experiment: all that decides how it ends, and nothing else."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from tinyvit.data import DATASETS, Dataset, read_data
from tinyvit.data.rules import RULES
from tinyvit.models.model import name_of, parameter_count
from tinyvit.models.presets import VIT_PRESETS
from tinyvit.training.recipe import RECIPES, RENAMED

BUDGETS = ("quick", "full")
FULL = {"digits": "digits", "mnist": "mnist-quick", "fashion-mnist": "mnist-quick"}  # recipes; of others, their own
FULL |= {"cifar-10": "cifar-10", "pictures": "pictures"}
CHANGES = {  # to these, by budget; photographs take long, and in few steps small batches learn more
    "quick": {"digits": {"epochs": 15}, "mnist": {"epochs": 2}, "cifar-10": {"epochs": 2, "batch": 64}},
    "full": {"digits": {}, "mnist": {}, "cifar-10": {"epochs": 6, "batch": 64}},
}
# not in version 0.1, and what they are when off
NEWER = {"mirror": 0.0, "crop": 0, "attention": "full", "reach": 1, "schedule": "cosine", "recompute": False}
NEWER |= {"optimizer": "adamw"}
QUICK_IMAGES = 10_000  # of which a quick look learns, at most


@dataclass(frozen=True)
class Pictures:
    """One's own pictures, as an experiment is asked about them in place of the name of a data set.

    dataset   their description
    images    how many there are to learn from
    """

    dataset: Dataset
    images: int


@dataclass(frozen=True)
class Job:
    """One run of one setting.

    setting     what the tables and figures call it, {name: value}
    task        which function of worker.py does it
    arguments   what that is called with, in JSON
    seed        of everything random
    work        how long it takes, in units of any size: for the time left
    """

    setting: dict
    task: str
    arguments: dict
    seed: int = 0
    work: float = 1.0

    @property
    def key(self):
        """A digest of what decides the outcome on a data set: jobs with one key are one run, by whatever name."""
        text = json.dumps([self.task, _as_in_version_0_1(self.arguments), self.seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_in_version_0_1(arguments):
    """The arguments by the names of version 0.1, without the settings that are newer and off.

    So the results that were kept then are found by the keys of today.
    """
    old_names = {new: old for old, new in RENAMED.items()}
    return {
        old_names.get(name, name): _as_in_version_0_1(value) if isinstance(value, dict) else value
        for name, value in arguments.items()
        if name not in NEWER or value != NEWER[name]
    }


def described(data):
    """The description of a data set: data is its name, or Pictures."""
    return data.dataset if isinstance(data, Pictures) else DATASETS[data]


def preset_of(data):
    """The name of the presets for a data set, and of its row in an experiment's own tables."""
    return "pictures" if isinstance(data, Pictures) else data


def base_config(data):
    """The model that the experiments vary: the data set's own preset."""
    dataset = described(data)
    sizes = dict(image=dataset.side, channels=dataset.channels, classes=dataset.classes)
    return VIT_PRESETS[preset_of(data)].changed(**sizes)


def base_recipe(data, budget, *, share=1.0, **changes):
    """How its runs are trained: a few epochs on part of the images for a quick look; more of them for the full.

    `share` is that of the epochs which the runs have: large models take long.
    """
    name = preset_of(data)
    budgeted = CHANGES[budget][{"fashion-mnist": "mnist", "pictures": "cifar-10"}.get(name, name)]
    recipe = dataclasses.replace(RECIPES[FULL[name]], **budgeted | changes)
    return dataclasses.replace(recipe, epochs=max(1, round(share * recipe.epochs)))


def base_images(data, budget):
    """How many training images a run has, at most; None is all."""
    return QUICK_IMAGES if budget == "quick" and data != "digits" else None


def there(sizes, data):
    """Those of these numbers of images that a data set has; of fewer pictures, a quarter of them and all."""
    if not isinstance(data, Pictures):
        return sizes
    found = tuple(n for n in sizes if n <= data.images)
    return found if len(found) > 1 else (max(1, data.images // 4), data.images)


def training(setting, config, recipe, images=None, *, task="train", **more):
    """A job that trains a model.

    Parameters
    ----------
    setting : dict
    config : ViTConfig or that of another of MODELS
    recipe : Recipe
    images : int, optional
        Only so many of the training images.
    task : str
    more
        Further arguments of the task.
    """
    arguments = _arguments(config, recipe) | {"images": images} | more
    return Job(setting, task, arguments, work=_work(config, recipe, images))


def text_training(setting, config, recipe, *, task, examples, **more):
    """A job that trains a model of text, on so many examples; the rest as in `training`."""
    work = recipe.epochs * examples * parameter_count(config)
    return Job(setting, task, _arguments(config, recipe) | {"examples": examples} | more, work=float(work))


def _arguments(config, recipe):
    return {
        "model": name_of(config),
        "config": dataclasses.asdict(config),
        "recipe": dataclasses.asdict(recipe),
    }


def task_data(data, data_dir=None, *, skip_broken=False):
    """What a task is given: ((x, y), (x_test, y_test)); of data by rule the name, for it draws what it asks for.

    Parameters
    ----------
    data, data_dir, skip_broken
        As in `read_data`.
    """
    if data in RULES:
        return data
    loaded = read_data(data, data_dir, skip_broken=skip_broken)
    return loaded.train, loaded.test


def _work(config, recipe, images):
    """Roughly proportional to the seconds that a training run takes: images seen, times the model's products."""
    seen = recipe.epochs * (images or 60_000)
    if not hasattr(config, "mlp_dim"):
        return seen * 2e6  # the CNN's products, about
    # By rule of thumb, a number that passes through memory takes as long as 60 multiply-adds.
    T, D, M, L = config.tokens, config.dim, config.mlp_dim, config.depth
    return seen * (T * (L * (4 * D * D + 2 * D * M + 2 * T * D) + 60 * L * (8 * D + M + T * config.heads)))
