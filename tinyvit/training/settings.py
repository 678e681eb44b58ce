"""The settings of a run: what was asked for."""

import dataclasses
import shlex

from tinyvit.data import DATASETS, Dataset, dataset_named
from tinyvit.data.rules import RULES
from tinyvit.data.text import TextDataset
from tinyvit.errors import UsageError
from tinyvit.models.config import Config
from tinyvit.models.model import SEQUENCE_MODELS, model_named, model_of, name_of
from tinyvit.models.presets import VIT_PRESETS
from tinyvit.training.recipe import USUAL_MODELS, Recipe, fine_tuning, recipe_of

FREE = (
    "image",
    "heads",
    "gelu",
    "eps",
    "dropout",
    "drop_path",
)  # still free when fine-tuning; the weights fix the rest


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is: the same settings give the same model, to the bit."""

    data: str  # the name of a data set, or the absolute path of a folder or .zip of pictures, or of a file of pairs
    config: Config
    recipe: Recipe
    seed: int = 0
    weights: str | None = None  # the file of the parameters that it started from
    pictures: Dataset | None = None  # the description of a data set of one's own pictures
    fingerprint: str | None = None  # of these pictures, or of all pairs of text, see `Loaded`
    skip_broken: bool = False  # whether pictures that cannot be read were left out
    text: TextDataset | None = None  # the description of a data set of text
    examples: int | None = None  # of it, to learn from; None is as many as there usually are

    def __post_init__(self):
        if self.text is not None:
            self._check_text()
        elif self.pictures is None and dataset_named(self.data) is None:
            raise UsageError(f"data is {self.data!r}: expected one of {', '.join(DATASETS)}")
        if self.pictures is not None:
            self._check_pictures()
        if type(self.seed) is not int or self.seed < 0:
            raise UsageError(f"seed is {self.seed!r}: expected a whole number of at least 0")
        if not isinstance(self.weights, str | None):
            raise UsageError(f"weights is {self.weights!r}: expected the name of a file")

    def _check_pictures(self):
        """Raise UsageError unless the description of the pictures is one, and fits the model."""
        names, sizes = self.pictures.class_names, self.config.values()
        if not isinstance(self.data, str):
            raise UsageError("the path of the pictures: expected text")
        for name, value in (
            ("channels", self.pictures.channels),
            ("classes", len(names)),
            ("image", self.pictures.side),
        ):
            if sizes.get(name, value) != value and not self.weights:
                raise UsageError(f"{name} is {sizes[name]!r}: expected {value}, as the pictures have")

    def _check_text(self):
        """Raise UsageError unless the description of the text fits the model."""
        if not isinstance(self.data, str):
            raise UsageError("the data set of text: expected its name or path")
        if self.examples is not None and (type(self.examples) is not int or self.examples < 1):
            raise UsageError(f"examples is {self.examples!r}: expected a whole number of at least 1")
        sizes = model_of(self.config).preset(self.text).values() if self.of_text else {}
        if self.pictures or not self.of_text:
            raise UsageError(f"{model_of(self.config).title} takes no text")
        for name in ("source_tokens", "target_tokens", "source_length", "target_length", "tokens", "length"):
            if (value := getattr(self.config, name, None)) != (expected := sizes.get(name)):
                raise UsageError(f"{name} is {value!r}: expected {expected}, as the data set {self.text.name} has")

    @property
    def of_text(self):
        """Whether the model is one of text."""
        return name_of(self.config) in SEQUENCE_MODELS

    @classmethod
    def from_dict(cls, values):
        """Settings as config.json has them; version 0.1 knew no model but the ViT, and did not say so."""
        if not isinstance(values, dict):
            raise UsageError(f"found a {type(values).__name__}, expected an object")
        config = model_named(values.get("model", "vit")).config.from_dict(values["config"])
        recipe, pictures = Recipe.from_dict(values["recipe"]), values.get("pictures")
        if pictures is not None:
            pictures = Dataset.from_dict(pictures)
        text = values.get("text")
        if text is not None:
            text = TextDataset.from_dict(text)
        how = {name: values[name] for name in ("weights", "fingerprint", "skip_broken", "examples") if name in values}
        return cls(values["data"], config, recipe, values["seed"], **how, pictures=pictures, text=text)

    def as_dict(self):
        """The settings as config.json has them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {"config": dataclasses.asdict(self.config), "recipe": dataclasses.asdict(self.recipe)}
        described = {name: values.pop(name) for name in ("pictures", "fingerprint", "skip_broken", "text", "examples")}
        if self.pictures is not None:
            own = {"pictures": dataclasses.asdict(self.pictures)}
            values |= own | {name: described[name] for name in ("fingerprint", "skip_broken")}
        if self.text is not None:
            own = {"text": dataclasses.asdict(self.text)}
            values |= own | {name: described[name] for name in ("fingerprint", "examples")}
        return {"data": values.pop("data"), "model": name_of(self.config)} | values

    @property
    def dataset(self):
        """The description of the data set."""
        return self.text or self.pictures or DATASETS[self.data]

    @property
    def preset(self):
        """The name, in PRESETS and RECIPES, of the settings that are usual for these data."""
        if self.text:
            return self.data if self.data in RULES else "pairs"
        return "pictures" if self.pictures else self.data

    @property
    def _usual_config(self):
        """The configuration of these data's preset, for the model."""
        return model_of(self.config).preset(self.text or VIT_PRESETS[self.preset])

    @property
    def command(self):
        """What a user types for a run with these settings: what differs from the data set's presets."""
        model, usual, asked = self.config.values(), self._usual_config.values(), {}
        recipe = recipe_of(self.preset, "vit" if self.weights else name_of(self.config))
        if self.weights:  # whose defaults are unknown here: every option is given
            model = {name: model[name] for name in FREE if name in model}
            usual, recipe = {"dropout": 0.0, "drop_path": 0.0}, fine_tuning(recipe)
            asked = {"from": (shlex.quote(self.weights), None)}
        usual_model = USUAL_MODELS[self.preset] if self.text else "vit"
        asked |= {"model": (name_of(self.config), name_of(self.config) if self.weights else usual_model)}
        asked |= {"seed": (self.seed, 0)}
        options = [name for name in model if name not in ("channels", "classes")]  # these are the data set's
        asked |= {name: (model[name], usual.get(name)) for name in options}
        if isinstance(getattr(self.config, "image", None), tuple):
            asked["image"] = (self.config.image, None)
        asked |= {name: (value, getattr(recipe, name)) for name, value in vars(self.recipe).items()}
        options = [typed(name, own) for name, (own, usual) in asked.items() if own != usual]
        if self.skip_broken:
            options.append("--skip-broken")
        if self.text:
            options += self._text_options()
        return " ".join(["tinyvit train", shlex.quote(self.data), *options])

    def _text_options(self):
        """The options of the data, those that differ from the rule's."""
        own = {"examples": self.examples} if self.examples else {}
        if self.text.rule:
            usual = self.text.rule.defaults
            own |= {name: value for name, value in self.text.options.items() if value != usual[name]}
        return [typed(name, value) for name, value in own.items()]


def typed(name, value):
    """An option as it is typed: --shared, --no-shared, --length 4-16, --units 1,2."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return option if value else option.replace("--", "--no-")
    return f"{option} {typed_value(name, value)}"


def typed_value(name, value):
    """A value as it is typed: several numbers with what stands between them, or the word none for no number."""
    if not isinstance(value, tuple):
        return str(value)
    numbers = dict.fromkeys(value) if name == "length" else value  # 16 for 16-16
    return {"length": "-", "image": "x"}.get(name, ",").join(map(str, numbers)) or "none"
