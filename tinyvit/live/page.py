"""The live page: one HTML file in which a Vision Transformer is watched, turned around and taught."""

import base64
import dataclasses
import functools
import itertools
import json
from html import escape
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from tinyvit import report, trees
from tinyvit.annotations import Array, Tree
from tinyvit.arrays import to_host
from tinyvit.data.datasets import DATASETS, Dataset, scale
from tinyvit.data.pixels import Pixels
from tinyvit.errors import UsageError
from tinyvit.live.breaks import BREAKS
from tinyvit.live.stages import stages
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.model import check_parameters, model_of
from tinyvit.models.sizes import in_pixels
from tinyvit.models.vit import vit
from tinyvit.names import expected
from tinyvit.ops.labels import check_labels
from tinyvit.report.explorer import _colours, figure_source
from tinyvit.training.evaluation import evaluate
from tinyvit.viz.attention import attention_maps, who_answers
from tinyvit.viz.maps import attention_figure
from tinyvit.viz.picture import HEAT

KNOWN = {  # what the page's JavaScript computes: of each variant of a configuration these
    "pool": ("class", "mean"),
    "position": ("1d",),
    "position_at": ("stem",),
    "norm": ("pre",),
    "scale": ("sqrt", "none"),
    "gelu": ("erf", "tanh"),
    "attention": ("full",),
    "pre_logits": (0,),
}
LIMIT = 1_000_000  # bytes of a page
EXACT = LIMIT // 2  # bytes of it for parameters as float32; where they take more, they are rounded to float16
IMAGES = 100  # that the page carries, at most
NUMBER = itertools.count(1)  # of a page in a notebook: two of the same model are still two


class Live:
    """A page in which a Vision Transformer is watched, turned around and taught; a notebook shows it as a result.

    Where scripts may not run (an untrusted notebook, a page that renders it), a picture stands in its place.

    Parameters
    ----------
    p, config
        The model: a Vision Transformer, of the variants in KNOWN.
    dataset : str or Dataset, optional
        What it was trained on: a name in DATASETS, or `read_data(...).dataset`. The page then prepares drawings as
        `tinyvit predict` does, and names the classes; without it, drawings are only resized, and classes have numbers.
    images : array [B, H, W, C], optional
        Of the test set, from -1 to 1. The first hundred go along, in whole grey levels, as the data set's files have.
    labels : array [B], optional
        Theirs.
    title : str, optional
        Of the page; left out, the data set's name.
    accuracy : (float, int), optional
        Share of test images that the model reads, and of how many; left out, it is measured over all the images given.
    command : str
        The command that trained the model.
    workers : int
        Cores to measure on.
    force : bool
        Whether the page may be larger than 1 MB.

    Attributes
    ----------
    p : tree of float32 arrays
        What the page computes with: the parameters, rounded to float16 where that changes none of them, or where as
        float32 they would fill more than half of a page of 1 MB.
    dtype : "float32" or "float16"
    images : float32 array [min(B, 100), H, W, C], and labels
        The images that it carries, as its model is given them.
    before : {accuracy, images, command}, or None
        How good the model is on test images, before the reader teaches it.

    Raises
    ------
    UsageError
        If the model is another, has a variant that the page does not know, or does not fit its data set; if images and
        labels do not fit it; or if the page would be larger than 1 MB.
    """

    def __init__(
        self,
        p: Tree,
        config: Config,
        dataset: str | Dataset | None = None,
        images: Array | Pixels | None = None,
        labels: Array | None = None,
        *,
        title: str | None = None,
        accuracy: tuple[float, int] | None = None,
        command: str = "",
        workers: int = 1,
        force: bool = False,
    ):
        check_known(config)
        check_parameters(p, config, "the parameters of the live page")
        self.config, self.dataset = config, _described(dataset, config)
        self.title = self.dataset.name if title is None else title
        images, labels = _examples(images, labels, config)
        maximum = self.dataset.maximum
        levels = np.rint((np.asarray(images[:IMAGES]) + 1) * (maximum / 2))
        self.levels = np.clip(levels, 0, maximum).astype(np.uint8)
        self.images, self.labels = scale(self.levels, maximum), labels[:IMAGES]
        p = to_host(p)
        self.dtype = _dtype(trees.leaves(p))
        self.p = trees.map(lambda a: a.astype(self.dtype).astype(np.float32), p)
        self.before: dict[str, Any] | None = None
        if not force:
            self._check_size("")  # before the model is run: of a large one, even a picture would take its time
        if len(images) and accuracy is None:
            accuracy = evaluate((images, labels), self.p, config, workers=workers)["accuracy"], len(images)
        if accuracy is not None:
            self.before = {"accuracy": float(accuracy[0]), "images": int(accuracy[1]), "command": command}
        if not force:
            self._check_size(self._picture)

    def __repr__(self) -> str:
        words = f"{self.title}: {trees.count(self.p):,} parameters as {self.dtype}, {len(self.images)} images"
        return f"Live({words}, {len(self.html().encode()) / 1e6:.2f} MB)"

    def _repr_html_(self) -> str:
        return Template(text_of("notebook.html")).substitute(
            id=f"tinyvit-live-{next(NUMBER)}",
            picture=self._picture,
            title=_json(self.title),
            page=_json(self.html()),
        )

    def html(self) -> str:
        """The page, whole: it needs nothing but a browser."""
        return self._page(self.data(), self._picture)

    def data(self) -> dict[str, Any]:
        """What the page's scripts are given.

        Returns
        -------
        {title, config, dataset, maximum, parameters, values, dtype, images, labels, before, stages, colours}
            parameters are names and shapes, and values is base64 of all their numbers in that order, little-endian of
            the dtype. images is base64 of uint8 [B, H, W, C], from 0 to the maximum, which stand for -1 to 1. stages
            are those of `stages`; colours is the colour scale, each stop as [red, green, blue].
        """
        values = b"".join(a.astype(np.dtype(self.dtype).newbyteorder("<")).tobytes() for a in trees.leaves(self.p))
        return self._without_values() | {"values": _base64(values)}

    def _without_values(self):
        """The data without the parameters' values."""
        return {
            "title": self.title,
            "config": dataclasses.asdict(self.config),
            "dataset": dataclasses.asdict(self.dataset),
            "maximum": self.dataset.maximum,
            "parameters": [{"name": name, "shape": list(a.shape)} for name, a in trees.walk(self.p)],
            "values": "",
            "dtype": self.dtype,
            "images": _base64(self.levels.tobytes()),
            "labels": self.labels.tolist(),
            "before": self.before,
            "stages": [stage.as_dict() for stage in stages(self.config)],
            "colours": _colours(),
            "palettes": {name: _base64(palette.tobytes()) for name, palette in _palettes().items()},
            "breaks": BREAKS,
        }

    def _page(self, data, picture):
        """The template, filled in."""
        scripts = [text_of("explorer.js", report), *map(text_of, ("prepare.js", "session.js", "page.js"))]
        return Template(text_of("page.html")).substitute(
            title=escape(self.title),
            style=text_of("explorer.css", report) + text_of("page.css"),
            data=_json(data),
            words=_json(_words()),
            classes="\n".join(map(_class, range(self.config.classes), self.dataset.class_names)),
            film="".join(_film(self.config)),
            model=text_of("model.js"),
            scripts="\n".join(scripts),
            fallback=picture,
        )

    def _check_size(self, picture):
        """Raise UsageError if the page is too large."""
        count = trees.count(self.p)
        size = len(self._page(self._without_values(), picture).encode()) + _in_base64(count, self.dtype)
        if size > LIMIT:
            raise UsageError(
                f"the live page would have {size / 1e6:.2f} MB, expected at most {LIMIT / 1e6:g} MB: the model has "
                f"{count:,} parameters and {len(self.images)} images go along; take a smaller one, or --force it "
                "(force=True)"
            )

    @functools.cached_property
    def _picture(self):
        """What the model looks at in the first image, or in an empty one, as HTML: for where no scripts run."""
        image = self.images[0] if len(self.images) else np.full((*self.config.size, self.config.channels), -1, "f4")
        _, c = vit(image[None], self.p, self.config)
        maps = [a[0] for a in attention_maps(c)]
        source = figure_source(attention_figure(image, maps, pool=self.config.pool), small=True)
        what = "the first image" if len(self.images) else "an empty image"
        words = f"Where {who_answers(self.config.tokens, self.config.pool)} looks in {what}, in each layer and head"
        return f'<img class="static" style="max-width: 100%" alt="{words}" src="{source}">'


def check_known(config: Config) -> None:
    """Raise UsageError, which names all that is the matter, unless the page knows models of this configuration."""
    title = model_of(config).title
    if not isinstance(config, ViTConfig):
        raise UsageError(f"found {title}: the live page shows a Vision Transformer that classifies images")
    unknown = [name for name, values in KNOWN.items() if getattr(config, name) not in values]
    if unknown:
        found = ", ".join(f"{name} {getattr(config, name)}" for name in unknown)
        known = ", ".join(f"{name} {' or '.join(map(str, KNOWN[name]))}" for name in unknown)
        raise UsageError(f"the live page does not know this variant: found {found}; expected {known}")
    if not isinstance(config.image, int):
        raise UsageError(f"images of {in_pixels(config.size)} pixels: the live page shows square ones only")
    if config.channels not in (1, 3):
        raise UsageError(f"images of {config.channels} channels: the live page shows grey or coloured ones, 1 or 3")


def _described(dataset, config):
    """The description of a data set, which fits the model; of an unknown one, what follows from the model."""
    if dataset is None:
        names = tuple(map(str, range(config.classes)))
        return Dataset("a Vision Transformer", config.image, config.channels, config.classes, names, 255, None, None)
    if isinstance(dataset, str):
        if dataset not in DATASETS:
            raise UsageError(f"dataset is {dataset!r}: {expected(dataset, DATASETS)}, or a Dataset")
        dataset = DATASETS[dataset]
    sizes = {name: (getattr(dataset, name), getattr(config, name)) for name in ("channels", "classes")}
    if not dataset.photos:  # whose pictures are not drawn by hand, but resized to whatever the model takes
        sizes["side"] = (dataset.side, config.image)
    for name, (theirs, ours) in sizes.items():
        if theirs != ours:
            raise UsageError(f"{name} of the data set {dataset.name}: found {theirs}, expected {ours} as the model has")
    if dataset.maximum > 255:
        raise UsageError(f"{dataset.name} has pixels up to {dataset.maximum}: the live page takes up to 255")
    return dataset


def _examples(images, labels, config):
    """The images and their labels, checked; none of either where none are given."""
    if (images is None) != (labels is None):
        raise UsageError(f"found {'labels' if images is None else 'images'} alone: expected both, or neither")
    if images is None:
        return np.empty((0, *config.size, config.channels), np.float32), np.empty(0, np.int64)
    config.check_images(images)
    if len(images) != len(labels):
        raise UsageError(f"found {len(images)} images and {len(labels)} labels: expected a label for each image")
    return images, check_labels(np.asarray(labels), config.classes, "the labels of the live page")


def _dtype(parameters):
    """As what the page carries its parameters: see Live."""
    with np.errstate(over="ignore"):
        half = [a.astype(np.float16) for a in parameters]
    if not all(np.isfinite(a).all() for a in half):
        return "float32"
    exact = all(np.array_equal(a, b) for a, b in zip(half, parameters, strict=True))
    return "float16" if exact or _in_base64(sum(a.size for a in parameters), "float32") > EXACT else "float32"


def _class(number, name):
    """A class to choose, as HTML: its name and probability, which the script fills in."""
    return f'<label><input type="radio" name="class" value="{number}"><span>{escape(name)}</span><i></i><b></b></label>'


def _film(config):
    """The stages to choose from, as HTML, in parts: before the blocks, each block, and the readout."""
    every = stages(config)
    for part, block in [("start", 0), *(("block", i) for i in range(config.depth)), ("end", 0)]:
        yield f'<div class="part"><span data-say="{part}" data-number="{block + 1}"></span><div>'
        for stage in every:
            if stage.part == part:
                yield (
                    f'<button type="button" data-stage="{stage.name}" data-block="{block}"><canvas></canvas>'
                    f'<span data-say="stage-{stage.name}"></span><em></em><i></i></button>'
                )
        yield "</div></div>"


def _palettes():
    """The page's colours for numbers from the least to the largest, each 256 of [red, green, blue, opacity]."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    signs = LinearSegmentedColormap.from_list("signs", ["#185ca8", "#f6f4ef", "#c4540a"])  # below zero, zero, above
    maps = {"grey": colormaps["gray"], "paper": colormaps["gray_r"], "heat": colormaps[HEAT], "signs": signs}
    return {name: colours(np.arange(256) / 255, bytes=True) for name, colours in maps.items()}


def _words():
    """All that the page says, {language: {name: words}}: the explorer's, and its own."""
    own, explorers = json.loads(text_of("words.json")), json.loads(text_of("explorer_words.json", report))
    return {language: explorers.get(language, {}) | words for language, words in own.items()}


def text_of(name, package=None):
    """A file of this package, or of another."""
    return resources.files(package or __package__).joinpath(name).read_text(encoding="utf-8")


def _json(value):
    """JSON that stands in a script: no text in it can end the script."""
    return json.dumps(value).replace("<", "\\u003c")


def _in_base64(count, dtype):
    """How many bytes so many numbers take as base64."""
    return 4 * -(-count * np.dtype(dtype).itemsize // 3)


def _base64(data):
    return base64.b64encode(data).decode()
