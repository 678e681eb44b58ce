"""What a finished run with text has to show: how often it is right, where its own mistakes lead, where it looks."""

import math
from typing import NamedTuple

import numpy as np

from tinyvit.data.text import TextDataset
from tinyvit.models.config import Config
from tinyvit.ops.tokens import END, PADDING
from tinyvit.report.pictures import Picture, curves_picture, dataflow_picture
from tinyvit.training.run import Run
from tinyvit.training.writing import Writing, look_at_writing
from tinyvit.viz.accuracy import lengths_figure, places_figure
from tinyvit.viz.alignment import Alignment, alignment_figure, alignments

SAMPLES = 32  # answers over which attention is averaged
SHOWN = 3  # of them drawn, of a model with one map
FEW = 20  # answers of a length, below which nothing is said of it
LITTLE = 0.005  # of all tokens: what a model's own mistakes may cost to be called little
WRONG, RIGHT = 12, 6  # answers in the table


class TextInside(NamedTuple):
    """A finished run with text, and all that its figures need."""

    run: Run
    p: dict
    config: Config
    dataset: TextDataset
    questions: list[list[int]]  # the test set's, without an end
    writing: Writing  # the answers to them
    looked: list[list[Alignment]]  # for each block, the maps of the first SAMPLES answers; [] without attention

    @property
    def fills(self) -> bool:
        """Whether the model fills an answer at once, and does not write it token by token."""
        return self.writing.forced is None


def look_inside_text(run, p, config, test, *, workers=1):
    """Let a model answer the test questions, and keep what the figures need.

    Parameters
    ----------
    run : Run
    p, config
        Its model.
    test : {"source", "target"} or {"tokens"}
    workers : int
    """
    writing, dataset = look_at_writing(test, p, config, workers=workers), run.settings.text
    rows = test["tokens" if "tokens" in test else "source"].tolist()
    questions = [row[:length] for row, length in zip(rows, writing.lengths.tolist(), strict=True)]
    some = questions[:SAMPLES], [_tokens(row) for row in writing.written[:SAMPLES]]
    blocks = range(getattr(config, "depth", 1))
    looked = [found for block in blocks if (found := alignments(dataset, *some, p, config, block))]
    return TextInside(run, p, config, dataset, questions, writing, looked)


def _tokens(row):
    """An answer without the padding behind it."""
    return [token for token in row.tolist() if token != PADDING]


def text_pictures(inside):
    """All figures of a run with text, {name: Picture}, in the order in which one would look at them."""
    chosen = {}
    if any(record["kind"] == "epoch" for record in inside.run.history()):
        chosen["curves"] = _curves(inside)
    chosen |= {"lengths": _lengths(inside), "exposure": _places(inside) if inside.fills else _exposure(inside)}
    if inside.looked:
        chosen["attention"] = _attention(inside)
    return chosen | {"dataflow": dataflow_picture(inside.config, "the tokens", "the longest example")}


def _curves(inside):
    return curves_picture(inside.run, "pairs", math.log(len(inside.dataset.target.tokens)))


def _lengths(inside):
    rows = inside.writing.rows()
    enough = [row for row in rows if row["count"] >= FEW] or rows
    first, last = enough[0], enough[-1]
    if first is last:
        found = f"Of those with {first['length']} tokens, {first['accuracy']:.1%} are right."
    else:
        found = (
            f"Of the answers to questions of {first['length']} token{'s' * (first['length'] != 1)}, "
            f"{first['accuracy']:.1%} are right, to those of {last['length']} tokens {last['accuracy']:.1%}."
        )
    words = (
        f"How many of {len(inside.questions):,} test answers are right as a whole, and how many of their tokens, by "
        f"the length of the question. {found}"
    )
    return Picture(lengths_figure(rows), "Is it right about long questions, too?", words)


def _exposure(inside):
    total, places = inside.writing.total(), inside.writing.places()
    forced, own = total["forced_token_accuracy"], total["token_accuracy"]
    cost = "its own mistakes lead to hardly any other"
    if forced - own > LITTLE:
        cost = f"{forced - own:.1%} of the tokens are wrong because it went on from a mistake of its own"
    words = (
        "How many tokens are right at each place in the answer: with the true ones given before it, as in training, "
        f"and with its own before it, as in use (exposure). In all {forced:.2%} and {own:.2%}: {cost}."
    )
    return Picture(places_figure(places), "What do its own mistakes cost?", words)


def _places(inside):
    total, places = inside.writing.total(), inside.writing.places()
    words = (
        "How many tokens are right at each place in the answer, whose tokens are all hidden and filled at once. In all "
        f"{total['token_accuracy']:.1%}, and since none is filled before another, no mistake leads to the next."
    )
    return Picture(places_figure(places), "Where in the answer is it wrong?", words)


def _attention(inside):
    if len(inside.looked) > 1 or len(inside.looked[0][0].maps) > 1:
        shown = [found[0]._replace(title=f"block {i + 1}") for i, found in enumerate(inside.looked)]
        question = inside.dataset.source.decode(inside.questions[0])
        which = f"in each block (rows of panels) and head (columns), for the first test question, {question}"
    else:
        shown = inside.looked[0][:SHOWN]
        which = f"for the first {len(shown)} test questions"
    if inside.dataset.source.joined:
        where = "Where each token of the answer (rows) looks in question and answer"
    else:
        where = "Where the decoder looks in the question (columns) as it writes each token of the answer (rows)"
    most = [_most(found, head) for found in inside.looked for head in range(len(found[0].maps))]
    sharp = f"On average over {len(inside.looked[0])} answers, a token gives"
    if len(most) > 1:
        found = f"{sharp} {min(most):.0%} of its attention to a single one in the broadest head, {max(most):.0%} in the"
        found += " sharpest."
    else:
        found = f"{sharp} {most[0]:.0%} of its attention to a single one."
    return Picture(alignment_figure(shown), "Where does it look?", f"{where}, {which}. {found}")


def _most(found, head):
    """The share of a head's attention that goes to one token, the most attended, on average over all that look."""
    return float(np.concatenate([one.maps[head].max(axis=-1) for one in found]).mean())


def answers(inside):
    """Some wrong and some right answers, as text: rows (question, true answer, what was written)."""
    right, rows = inside.writing.whole, []
    for chosen, most in ((~right, WRONG), (right, RIGHT)):
        for i in np.flatnonzero(chosen)[:most]:
            true, written = inside.writing.true[i], inside.writing.written[i]
            end = "" if END in written else " …"  # it was cut
            question = inside.dataset.source.decode(inside.questions[i])
            target = inside.dataset.target
            rows.append((question, target.decode(true), target.decode(written) + end))
    return rows
