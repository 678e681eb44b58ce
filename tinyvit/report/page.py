"""The report: one HTML file that needs nothing but a browser."""

import dataclasses
from html import escape
from importlib import resources
from string import Template

from tinyvit.report.explorer import Explorer, figure_source
from tinyvit.report.inside import pictures
from tinyvit.viz.summary import shapes, where

EXPLORED = 8  # images


def page(inside):
    """The report of a run, as HTML.

    Parameters
    ----------
    inside : Inside
        From `look_inside`.
    """
    settings, metrics = inside.run.settings, inside.run.metrics()
    wrong = int((inside.probabilities.argmax(-1) != inside.labels).sum())
    drawn = pictures(inside)
    summary = (
        f"A Vision Transformer with {metrics['parameters']:,} parameters ({inside.config.depth} layers, "
        f"{inside.config.heads} heads, patches of {inside.config.patch} pixels) that learned {settings.data} from "
        f"{metrics['training_images']:,} images in {metrics['epochs']} epochs and {metrics['seconds']:.0f} seconds."
    )
    best = inside.probabilities.argmax(-1)
    titles = [
        f"An image of {inside.names[label]}, taken for {inside.names[k]}"
        for label, k in zip(inside.labels[:EXPLORED], best[:EXPLORED], strict=True)
    ]
    explorer = Explorer(inside.images[:EXPLORED], inside.p, inside.config, titles)
    tensors = shapes(inside.config)
    anchors = {"explorer": "Explore"} | {name: picture.title for name, picture in drawn.items()}
    anchors |= {"shapes": "Every tensor", "settings": "Settings"}
    asked = {"data": settings.data, "seed": settings.seed}
    asked |= dataclasses.asdict(settings.config) | dataclasses.asdict(settings.recipe)
    return Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{inside.run.folder.resolve().name}: a Vision Transformer looked into"),
        accuracy=f"{100 * (1 - wrong / len(inside.labels)):.2f}",
        images=f"{len(inside.labels):,}",
        mistakes=f"{wrong:,}",
        summary=escape(summary),
        links="".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in anchors.items()),
        sections="\n".join(_section(name, picture) for name, picture in drawn.items()),
        answer={"class": "the class token", "mean": "the mean of all patches"}[inside.config.pool],
        explorer=explorer.html(),
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
