"""What all that trains, saves, lists and examines models knows of one: an entry of the tables in model.py."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tinyvit.annotations import Array, Batch, Tree
from tinyvit.models.config import Config
from tinyvit.models.task import Task


class Model(NamedTuple):
    """One model.

    title      what it is called in a sentence
    config     the class of its configurations
    init       (rng, config, *, dtype)                                   -> p; with rng=None, the shapes alone
    forward    (batch, p, config, *, masks, all_rows, keep_cache)        -> y, c; the keywords as of `vit`
    backward   (dy, p, c, config)                                        -> dbatch, g
    draw       (rng, batch, config, *, training, all_rows, dtype)        -> batch, masks: the random part of a step;
               without dropout while not training
    task       what is asked of y
    preset     (vit_config) -> config: a configuration for the data, and about the size, that a ViT's is for; of a
               model of text, (dataset) -> config, a small one for a TextDataset
    views      what can be looked at inside, and used without the head, by name: see views.py
    evaluation_draws   whether `draw` is random in an evaluation, too
    block_options      whether forward takes keep_cache="inputs", and forward and backward take freeze: as of `vit`.
                       What is frozen may then have no gradient in g, and dbatch be {}
    """

    title: str
    config: type[Config]
    init: Callable[..., Tree]
    forward: Callable[..., tuple[Array, Tree]]
    backward: Callable[..., tuple[Batch, Tree]]
    draw: Callable[..., tuple[Batch, Tree]]
    task: Task
    preset: Callable[[Any], Config]
    views: dict[str, Callable]
    evaluation_draws: bool = False
    block_options: bool = False
