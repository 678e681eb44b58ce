"""The report: one HTML file that needs nothing but a browser."""

import dataclasses
from html import escape
from importlib import resources
from string import Template
from typing import NamedTuple

from tinyvit.models.model import model_of, name_of
from tinyvit.report.explorer import Explorer, figure_source
from tinyvit.report.inside import pictures
from tinyvit.report.text_inside import WRONG, TextInside, answers, text_pictures
from tinyvit.viz.summary import shapes, where

EXPLORED = 8  # images
NOT_EXPLORED = "<p>The attention explorer is left out: it shows square images only.</p>"
NO_ATTENTION = "all that the decoder knows of the question is in the state that the encoder ended in."
PYRAMID = (
    " A layer with windows takes nothing from outside the patch's own, and every other layer displaces them; after a "
    "merging there are fewer and larger tokens."
)


def drawn(inside):
    """All figures of a run, {name: Picture}."""
    return text_pictures(inside) if isinstance(inside, TextInside) else pictures(inside)


class Part(NamedTuple):
    """What the pages about images and about text do not share, as HTML and words.

    first, anchors   what stands above the figures, and {id: title} in it
    """

    result: str
    sizes: str
    learned: str
    example: str
    first: str
    anchors: dict


def page(inside):
    """The report of a run, as HTML.

    Parameters
    ----------
    inside : Inside or TextInside
        From `look_inside` or `look_inside_text`.
    """
    settings, metrics = inside.run.settings, inside.run.metrics()
    part = (_text_part if isinstance(inside, TextInside) else _image_part)(inside)
    figures, title = drawn(inside), model_of(inside.config).title
    summary = (
        f"{title[0].upper()}{title[1:]} with {metrics['parameters']:,} parameters{part.sizes}, trained on "
        f"{settings.dataset.name}: {part.learned}, "
        f"{metrics['epochs']} epoch{'s' * (metrics['epochs'] != 1)}, "
        f"{metrics['seconds']:.0f} seconds."
    )
    tensors = shapes(inside.config)
    anchors = part.anchors | {name: picture.title for name, picture in figures.items()}
    anchors |= {"shapes": "Every tensor", "settings": "Settings"}
    asked = {"data": settings.data, "model": name_of(settings.config), "seed": settings.seed}
    asked |= settings.config.values() | dataclasses.asdict(settings.recipe)
    return Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{inside.run.folder.resolve().name}: {title} looked into"),
        result=part.result,
        summary=escape(summary),
        links="".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in anchors.items()),
        sections="\n".join(_section(name, picture) for name, picture in figures.items()),
        first=part.first,
        example=part.example,
        shapes=_table(
            ("name", "shape", "parameters", "multiply-adds", "bytes", "memory"),
            [
                (row.name, list(row.shape) if row.shape else "", *(n or "" for n in row[2:5]), where(row))
                for row in tensors.folded()
            ]
            + [("total", "", *tensors.totals, f"{tensors.kept:,} kept")],
        ),
        command=f"<code>{escape(settings.command)}</code>",
        settings=_table(("setting", "value"), asked.items()),
    )


def _image_part(inside):
    rows, columns = inside.grid[0] if inside.maps else (0, 1)
    square, encoder = rows == columns, inside.encoder  # as the explorer needs
    return Part(
        result=_result(inside),
        sizes=f" (depth {encoder.depth}, heads {encoder.heads}, patch {encoder.patch})" if encoder else "",
        learned=f"{inside.run.metrics()['training_images']:,} images",
        example="image",
        first=_explorer(inside) if square else NOT_EXPLORED if inside.maps else "",
        anchors={"explorer": "Explore"} if square else {},
    )


def _text_part(inside):
    total, values = inside.writing.total(), inside.config.values()
    sizes = ", ".join(f"{name} {values[name]}" for name in ("dim", "depth", "heads", "score") if name in values)
    count, wrong = total["count"], int((~inside.writing.whole).sum())
    over = ", of the questions' tokens too," if inside.dataset.source.joined and not inside.fills else ""
    result = (
        f'<span class="answer">{100 * total["accuracy"]:.2f} %</span> of {count:,} test answers are right as a whole, '
        f"{100 * total['token_accuracy']:.2f} % of their tokens; the mean loss{over} is "
        f"{inside.writing.scores['loss']:.3f} nats."
    )
    which = f"the first {WRONG}" if wrong > WRONG else "these"
    found = f"{wrong:,} of {count:,} test answers are wrong: {which}, and then some that are right."
    found = found if wrong else f"All {count:,} test answers are right; some of them:"
    first = (
        '<h2 id="answers">What does it write?</h2>\n'
        f'<p>{found}</p>\n<div class="wide">{_table(("question", "answer", "written"), answers(inside))}</div>'
    )
    if not inside.looked:
        title = model_of(inside.config).title
        first += f"\n<p>{title[0].upper()}{title[1:]} has no attention: {NO_ATTENTION}</p>"
    metrics = inside.run.metrics()
    learned = metrics.get("training_examples", metrics.get("training_images"))  # as the first runs with text called it
    return Part(result, f" ({sizes})", f"{learned:,} pairs", "example", first, {"answers": "What does it write?"})


def _result(inside):
    """The result on the test set, as HTML."""
    share, count = inside.scores["accuracy"], len(inside.labels)
    shown = f'<span class="answer">{100 * share:.2f} %</span>'
    if inside.probabilities is None:
        targets, loss = model_of(inside.config).task.targets, inside.scores["loss"]
        return f"{shown} of the {targets} of {count:,} test images are right; the mean loss is {loss:.3f} nats."
    wrong = round(count * (1 - share))
    return f"{shown} of {count:,} test images are classified correctly; {wrong:,} are not."


def _explorer(inside):
    """The attention explorer, and how to use it."""
    titles = [f"An image of {inside.names[label]}" for label in inside.labels[:EXPLORED]]
    if inside.probabilities is not None:
        best = inside.probabilities[:EXPLORED].argmax(-1)
        wrong = [
            f", taken for {inside.names[k]}" if k != label else ""
            for k, label in zip(best, inside.labels, strict=False)
        ]
        titles = [title + words for title, words in zip(titles, wrong, strict=True)]
    explorer = Explorer(inside.images[:EXPLORED], inside.p, inside.config, titles)
    answer = "the class token" if inside.pool == "class" else "the mean of all patches"
    read = f" The answer is read from {answer}." + ("" if inside.encoder else PYRAMID)
    return Template(resources.files(__package__).joinpath("explore.html").read_text(encoding="utf-8")).substitute(
        read=read, explorer=explorer.html()
    )


def _section(name, picture):
    width = {"dataflow": "large", "curves": "middle"}.get(name, "")  # to be read, these scroll sideways on a phone
    image = f'<img class="{width}" src="{figure_source(picture.figure)}" alt="{escape(picture.title)}">'
    return (
        f'<h2 id="{name}">{escape(picture.title)}</h2>\n<p>{escape(picture.words)}</p>\n<div class="wide">{image}</div>'
    )


def _table(head, rows):
    def cell(value):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return f'<td class="number">{value:,}</td>' if number else f"<td>{escape(str(value))}</td>"

    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{top}</tr>{''.join('<tr>' + ''.join(map(cell, row)) + '</tr>' for row in rows)}</table>"
