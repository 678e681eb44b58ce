"""A task: what is asked of a model's output, as a loss, scores and answers; and the batch that holds the question.

A batch is a dictionary of arrays whose first axis is the example: {"images" [B, H, W, C], "labels" [B]}. A loss is
returned as a sum, with the number of targets apart, so that micro-batches of different sizes combine to the exact mean
of the batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyvit.annotations import Array, Batch, Tree
from tinyvit.errors import DataError
from tinyvit.layers.token_embedding import check_tokens
from tinyvit.models.config import Config
from tinyvit.models.sizes import LARGEST
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.ops.labels import check_labels
from tinyvit.ops.resize import both_sides


class Task(NamedTuple):
    """One task.

    arrays(config)                           -> {name: (shape of one example, dtype)}: the arrays of a batch
    output(config)                           -> the shape of y for one example
    count(batch, config)                     -> how many targets the batch has
    loss(y, batch, label_smoothing=0.0)      -> the sum of the loss over all targets, in nats; c
    loss_backward(dloss, c)                  -> dy
    score(y, batch)                          -> {name: (sum over targets, their count)}, for each name in `scores`
    answer(y, config)                        -> the label of each example; None if the task has no such answer
    targets                                  what is counted, in words
    scores                                   the names of the scores; "loss" is among them
    vocabularies(config)                     -> {name: V}, of the arrays that hold tokens, 0 to V - 1
    """

    arrays: Callable[[Any], dict[str, tuple[tuple[int, ...], str]]]
    output: Callable[[Any], tuple[int, ...]]
    count: Callable[[Batch, Any], int]  # type: ignore[assignment]  # tuple has one, too
    loss: Callable[..., tuple[Array, Tree]]
    loss_backward: Callable[[Array, Tree], Array]
    score: Callable[[Array, Batch], dict[str, tuple[float, int]]]
    answer: Callable[[Array, Any], np.ndarray] | None
    targets: str
    scores: tuple[str, ...] = ("loss", "accuracy")
    vocabularies: Callable[[Any], dict[str, int]] = lambda config: {}


def label_loss(y: Array, batch: Batch, label_smoothing: float = 0.0) -> tuple[Array, Tree]:
    """The surprise at the true labels: y [..., K] are logits, batch["labels"] [...] integers. Returns its sum and c."""
    logits, labels = y.reshape(-1, y.shape[-1]), batch["labels"].reshape(-1)
    mean, c = cross_entropy(logits, labels, smoothing=label_smoothing)
    return mean * len(labels), c | {"y": y}


def label_loss_backward(dloss: Array, c: Tree) -> Array:
    """The gradient of the logits: that of a mean over as many targets, times their number."""
    return cross_entropy_backward(dloss * len(c["targets"]), c).reshape(c["y"].shape)


def label_score(y: Array, batch: Batch) -> dict[str, tuple[float, int]]:
    """The sum of the loss without smoothing, and how often the largest logit is the label's; each beside its count."""
    labels = batch["labels"]
    total, _ = label_loss(y, batch)
    return {"loss": (float(total), labels.size), "accuracy": (float((y.argmax(-1) == labels).sum()), labels.size)}


def check_batch(batch: Batch, config: Config, task: Task, what: str = "the data") -> Batch:
    """The batch with its labels as int64, once every array is known to be what the task takes.

    Parameters
    ----------
    batch : {name: array}
        It may have further arrays.
    config, task
        Of the model.
    what : str
        How an error calls the batch.

    Raises
    ------
    DataError
        If there is no example, an array is missing, or it has another shape or labels than the model takes.
    """
    wanted = task.arrays(config)
    if missing := [name for name in wanted if name not in batch]:
        there, takes = ", ".join(batch), ", ".join(wanted)
        raise DataError(f"{what} has {there}: the model takes {takes}, so {missing[0]} is missing")
    if not (count := len(batch[next(iter(wanted))])):
        raise DataError(f"{what} has no example: expected at least one")
    for name, (shape, _) in wanted.items():
        found, expected = list(batch[name].shape) if hasattr(batch[name], "shape") else None, [count, *shape]
        if name == "labels":
            batch = batch | {"labels": check_labels(batch["labels"], config.classes)}
            found = list(batch["labels"].shape)
        if found != expected:
            raise DataError(f"{what}: {name} are {found}, the model and {count} examples expect {expected}")
    for name, vocabulary in task.vocabularies(config).items():
        batch = batch | {name: check_tokens(batch[name], vocabulary, f"{what}: {name}")}
    if "labels" in batch and "labels" not in wanted:  # by which examples are held out, class by class
        batch = batch | {"labels": check_labels(batch["labels"], LARGEST)}
        if len(batch["labels"]) != count:
            raise DataError(
                f"{what}: there are {len(batch['labels'])} labels for {count} examples, expected one for each"
            )
    return batch


def _images(config):
    return {"images": ((*both_sides(config.image), config.channels), "float32")}


classification = Task(
    arrays=lambda config: _images(config) | {"labels": ((), "int64")},
    output=lambda config: (config.classes,),
    count=lambda batch, config: len(batch["labels"]),
    loss=label_loss,
    loss_backward=label_loss_backward,
    score=label_score,
    answer=lambda y, config: np.asarray(y).argmax(-1),
    targets="images",
)
colour_prediction = Task(  # of the masked patches: the labels are drawn with the masks, from the images
    arrays=_images,
    output=lambda config: (config.masked, config.classes),
    count=lambda batch, config: len(batch["images"]) * config.masked,
    loss=label_loss,
    loss_backward=label_loss_backward,
    score=label_score,
    answer=None,
    targets="masked patches' mean colours",
)
