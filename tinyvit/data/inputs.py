"""What a model must be fed, as its file keeps it: without that, a picture would be shown to it as none that it learned.

A model that was trained here keeps the description of its data set, of text with its vocabularies; published weights
keep how their source prepares a photograph. Either way the names of the classes come along.
"""

import dataclasses
from typing import NamedTuple

from tinyvit.data.datasets import Dataset
from tinyvit.data.photos import Preparation
from tinyvit.data.text import TextDataset
from tinyvit.errors import DataError, UsageError

ANSWERS = ("single_label_classification", "multi_label_classification", "regression")  # Hugging Face's problem_type
NAMED = {"mean": "mean", "std": "std", "resample": "interpolation", "crop": "crop_pct"}  # our names, and timm's


class Inputs(NamedTuple):
    """What a file says; all None in a file of version 0.2, which does not say."""

    dataset: Dataset | TextDataset | None = None
    preparation: Preparation | None = None
    class_names: tuple | None = None
    problem_type: str = ANSWERS[0]  # what the logits stand for

    @property
    def of_text(self):
        """Whether the model is fed text."""
        return isinstance(self.dataset, TextDataset)

    def as_dict(self):
        """As it is written; {} if there is nothing to say."""
        if self.dataset:
            return {"text" if self.of_text else "dataset": dataclasses.asdict(self.dataset)}
        if not self.preparation:
            return {}
        photo = self.preparation
        values = {theirs: getattr(photo, ours) for ours, theirs in NAMED.items() if getattr(photo, ours) is not None}
        values |= {"antialias": photo.antialias, "crop_mode": "squash" if photo.squash else "center"}
        if self.problem_type != ANSWERS[0]:
            values["problem_type"] = self.problem_type
        return {"photos": values | ({"class_names": self.class_names} if self.class_names else {})}

    @classmethod
    def from_dict(cls, values, size):
        """As it was written, for a model of images of this size.

        Raises
        ------
        UsageError
            If it is nothing that `as_dict` writes.
        """
        if "text" in values:
            return cls(TextDataset.from_dict(values["text"]))
        if "dataset" in values:
            dataset = Dataset.from_dict(values["dataset"])
            return cls(dataset, class_names=dataset.class_names)
        if "photos" not in values:
            return cls()
        photo = values["photos"]
        if not isinstance(photo, dict) or type(photo.get("antialias")) is not bool:
            raise UsageError("not a description of how photographs are prepared")
        names = photo.get("class_names")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise UsageError("the names of the classes: expected a list of text")
        if (answer := photo.get("problem_type", ANSWERS[0])) not in list(ANSWERS):
            raise UsageError(f"problem_type: expected one of {', '.join(ANSWERS)}")
        try:
            preparation = Preparation(size, antialias=photo["antialias"]).as_described(photo)
        except DataError as error:
            raise UsageError(str(error)) from None
        return cls(None, preparation, names and tuple(names), answer)
