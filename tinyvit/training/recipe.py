"""How a model is trained, apart from what it is."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from tinyvit.errors import UsageError
from tinyvit.models.model import model_named, model_of
from tinyvit.names import Named, expected
from tinyvit.training.adamw import block_names
from tinyvit.training.schedule import SCHEDULES

OPTIMIZERS = ("adamw", "muon")
AUGMENTATION = ("shift", "rotate", "zoom", "shear", "mirror", "crop")
SHARES = ("warmup", "label_smoothing", "ema_decay", "validation", "zoom", "shear", "mirror")
BELOW = dict.fromkeys(SHARES, 1) | {"rotate": 360}  # of the others, any ordinary number
RENAMED = {"smoothing": "label_smoothing", "clip": "clip_norm", "average": "ema_decay"}  # since version 0.1


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Parameters
    ----------
    epochs : int
        Passes over the training examples.
    batch : int
        Examples in a step.
    micro_batch : int
        Examples whose gradient is computed at once. It bounds the memory, and fixes the order in which gradients are
        added: it is part of what a run is, and never follows from the machine.
    learning_rate : float
        At the peak of the schedule.
    weight_decay : float
        Of the matrices, per step and unit of learning rate.
    warmup : float
        Share of the run over which the learning rate rises, in [0, 1).
    label_smoothing : float
        Share of the target that is spread over all classes, in [0, 1).
    clip_norm : float
        Largest norm of a gradient.
    ema_decay : float
        Decay, in [0, 1), of the exponential moving average of the weights, which the run delivers; 0 delivers the last
        weights.
    validation : float
        Share of the training set held out, in (0, 1), to choose settings on.
    shift : int
        Random shifts, up to so many pixels.
    rotate : float
        Random rotations, up to so many degrees.
    zoom : float
        Random scalings, up or down by up to such a share.
    shear : float
        Random shears, up to so many pixels across for each pixel down.
    freeze : int
        Blocks, from the first, that stay as they are, and with them the embedding before them; 0 trains everything.
        The backward pass ends above them; of models of text and of masked patches it goes all the way.
    mirror : float
        Share of the images that are flipped left to right, in [0, 1).
    crop : int
        Random crops after padding with mid-grey, by so many pixels on each side.
    schedule : str
        How the learning rate falls after the warm-up: "cosine" or "linear", to zero, or "noam", as in the Transformer's
        paper.
    optimizer : str
        "adamw", or "muon" for the matrices of stacked layers and AdamW for the rest.
    recompute : bool
        Whether each block keeps its input alone, and backward computes it again: less memory, about a third more time,
        the same bits.

    Raises
    ------
    UsageError
        If a value is not possible.
    """

    epochs: int = 10
    batch: int = 128
    micro_batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    validation: float = 0.1
    shift: int = 0
    rotate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    freeze: int = 0
    mirror: float = 0.0
    crop: int = 0
    schedule: str = "cosine"
    recompute: bool = False
    optimizer: str = "adamw"

    def __post_init__(self):
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            if (value := getattr(self, name)) not in list(known):
                raise UsageError(f"{name} is {value!r}: {expected(value, known)}")
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.type is str:
                continue
            if f.type is bool:
                if type(value) is not bool:
                    raise UsageError(f"{f.name} is {value!r}: expected True or False")
                continue
            whole, most = f.type is int, BELOW.get(f.name, 1e9)
            least = 1 if f.name in ("epochs", "batch", "micro_batch") else 0
            good = type(value) is int if whole else type(value) in (int, float)
            if not good or not least <= value < most:
                kind = "a whole number" if whole else "a number"
                raise UsageError(f"{f.name} is {value!r}: expected {kind} from {least} to below {most:g}")

    @property
    def augmentation(self) -> dict[str, float]:
        """The amounts of the random changes, as `augment` takes them."""
        return {name: getattr(self, name) for name in AUGMENTATION}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The recipe that `dataclasses.asdict` took apart; names of version 0.1 are understood.

        Raises
        ------
        UsageError
            If a name is unknown or a value is not possible.
        """
        if not isinstance(values, dict):
            raise UsageError(f"not a recipe: {values!r}")
        values = {RENAMED.get(name, name): value for name, value in values.items()}
        if unknown := values.keys() - {f.name for f in dataclasses.fields(cls)}:
            raise UsageError(f"not a recipe: unknown {', '.join(sorted(unknown))}")
        return cls(**values)


def fine_tuning(recipe):
    """The recipe for a model that has learned already: gentle steps, so as not to undo it."""
    return dataclasses.replace(recipe, learning_rate=recipe.learning_rate / 10)


def check_recipe(config, recipe):
    """Raise UsageError if a recipe asks for more blocks, or for larger shifts, than the model and its images have."""
    if not isinstance(recipe, Recipe):
        raise UsageError(f"found {recipe!r}: expected a recipe, such as tinyvit.RECIPES['digits']")
    blocks = len(block_names(model_of(config).init(None, config)))
    if recipe.freeze > blocks:
        raise UsageError(
            f"freeze is {recipe.freeze}: the model has {blocks} block{'s' * (blocks != 1)}, expected at most that"
        )
    if recipe.recompute and not model_of(config).block_options:
        raise UsageError(f"recompute is True: {model_of(config).title} keeps its cache, expected False")
    if "images" not in model_of(config).task.arrays(config):
        if changed := [name for name, amount in recipe.augmentation.items() if amount]:
            raise UsageError(f"{changed[0]} changes images: {model_of(config).title} has none, expected 0")
        return
    side = min(config.size)
    for name in ("shift", "crop"):
        if (pixels := getattr(recipe, name)) >= side:
            raise UsageError(f"{name} is {pixels}: the images have {side} pixels, expected less")


OF_TEXT: dict[str, Any] = {
    "batch": 64,
    "weight_decay": 0.01,
    "label_smoothing": 0.0,
    "ema_decay": 0.99,
    "validation": 1 / 16,
}
RECIPES: dict[str, Recipe] = Named(
    "recipe",
    {
        "digits": Recipe(epochs=60, batch=64, learning_rate=5e-3, ema_decay=0.99, rotate=10.0, zoom=0.15, shear=0.15),
        "mnist-quick": Recipe(epochs=4, learning_rate=5e-3, shift=1, validation=1 / 12),
        "mnist": Recipe(epochs=14, learning_rate=5e-3, shift=1, validation=1 / 12),
        "mnist-best": Recipe(
            epochs=80, learning_rate=3e-3, shift=2, rotate=12.0, zoom=0.15, shear=0.15, validation=1 / 12
        ),
        "fashion-mnist": Recipe(epochs=14, learning_rate=5e-3, shift=1, validation=1 / 12),
        "cifar-10": Recipe(epochs=30, learning_rate=2e-3, mirror=0.5, crop=4),
        "pictures": Recipe(epochs=30, learning_rate=2e-3, mirror=0.5, crop=4),
        **{name: Recipe(epochs=3, learning_rate=5e-3, **OF_TEXT) for name in ("copy", "reverse")},
        "sort": Recipe(epochs=4, learning_rate=5e-3, **OF_TEXT),
        **{name: Recipe(epochs=6, **OF_TEXT) for name in ("numerals", "numerals-back")},
        "pairs": Recipe(epochs=30, **OF_TEXT),
        "sums": Recipe(epochs=25, **OF_TEXT),
    },
)
USUAL_MODELS = {  # for data of text
    **dict.fromkeys(("copy", "reverse", "sort"), "attention"),
    **dict.fromkeys(("numerals", "numerals-back", "pairs"), "transformer"),
    "sums": "gpt",
}

SMALL_BATCHES = {"batch": 64, "learning_rate": 3e-3}
MUON = {"optimizer": "muon", "learning_rate": 1e-2, "schedule": "linear"}
DRAWN = {"shift": 2, "rotate": 12.0, "zoom": 0.15, "shear": 0.15}  # as in mnist-best
OF_MODELS = {  # what a model does otherwise than a recipe says, chosen on held-out examples
    "swin": {"mnist": {"epochs": 12} | SMALL_BATCHES, "mnist-quick": SMALL_BATCHES},
    "hybrid": {"mnist": {"epochs": 10}},
    "convstem": {
        "mnist-quick": {"epochs": 3} | MUON,
        "mnist": {"epochs": 16} | DRAWN | MUON,
        "cifar-10": {"epochs": 16} | MUON,
    },
    "transformer": {name: {"epochs": 1} for name in ("copy", "reverse", "sort")},
}


def recipe_of(preset, model="vit"):
    """The recipe of that name, as it is for a model, by its name in MODELS."""
    return dataclasses.replace(RECIPES[preset], **changes_of(preset, model))


def changes_of(preset, model):
    """{setting: value} of what a model does otherwise than the recipe of that name says."""
    return OF_MODELS.get(model, {}).get(preset, {})


def note_of_changes(preset, model, asked):
    """The sentence, or none, on what a model does otherwise than the recipe says, but for what was asked for."""
    changes = {name: value for name, value in changes_of(preset, model).items() if name not in asked}
    own = [f"{name.replace('_', ' ')} {v if type(v) is str else format(v, 'g')}" for name, v in changes.items()]
    return [f"the recipe {preset} for {model_named(model).title}: {', '.join(own)}"] if own else []
