"""A museum of gradient bugs: backward passes with one mistake each, to be found with the gradient check.

exhibit = museum.EXHIBITS[0]
exhibit  # its source, every line with its number
exhibit.check()  # the report of the gradient check: which tensor, how far off
exhibit.answer(4)  # line 4 is wrong, or something is missing right before or behind it
exhibit.reveal()
"""

import functools
from typing import NamedTuple

from tinyvit.exercises.answer import listed
from tinyvit.exercises.check import check
from tinyvit.exercises.exercise import exercises
from tinyvit.exercises.mistakes import FORGOTTEN, mistakes
from tinyvit.exercises.source import Text, edited, edited_source, planted, source


class Exhibit(NamedTuple):
    """A backward pass with a mistake in it. A notebook shows its source."""

    number: int
    title: str
    function: str
    begins: str  # how the description of the mistake begins, in mistakes.txt

    def __repr__(self):
        lines = [f"{number:>3}  {line}" for number, line in enumerate(self._lines(), 1)]
        return "\n".join([f"Exhibit {self.number}: {self.title}", *lines])

    @property
    def mistake(self):
        """The mistake."""
        return next(known for known in mistakes(self.function) if known.says.startswith(self.begins))

    @property
    def backward(self):
        """The broken function itself."""
        return edited(exercises()[self.function].function, self.mistake.edit)

    def planted(self):
        """A context in which this process has the mistake: what does training, with one worker, make of it?"""
        return planted(exercises()[self.function].function, self.mistake.edit)

    def check(self):
        """The gradient check's report on the package's forward pass and this backward pass."""
        return _report(self)

    def answer(self, line):
        """Whether the mistake is in this line, or, if something is missing, right before or behind it."""
        if line in self._where():
            return Text(f"Exhibit {self.number}: found. Here {self.mistake.says}.")
        report = self.check()
        wrong = listed(row.name for row in report.rows if row.error > report.rtol)
        return Text(f"Exhibit {self.number}: not line {line}. The check finds {wrong} wrong: which lines make it so?")

    def reveal(self):
        """The mistake, and what stands in its place in the package."""
        return Text("\n".join([f"Here {self.mistake.says}. In the package:", *self._right()]))

    def _lines(self):
        """The lines of its source; what is forgotten has left no trace."""
        return [line for line in self._marked() if line.strip() != FORGOTTEN]

    def _where(self):
        """The numbers of the lines that are an answer."""
        if len(self._lines()) < len(self._marked()):
            return {line for gap in _gaps(self) for line in (gap, gap + 1)}
        first = self._first()
        return set(range(first + 1, first + 1 + len(self.mistake.wrong.splitlines())))

    def _marked(self):
        return edited_source(exercises()[self.function].function, self.mistake.edit).splitlines()

    def _right(self):
        """The lines of the package that the edit changes."""
        first = self._first()
        lines = source(exercises()[self.function].function).splitlines()
        return lines[first : first + len(self.mistake.right.splitlines())]

    def _first(self):
        """The index of the first line that the edit changes."""
        text = edited_source(exercises()[self.function].function)
        return text[: text.index(self.mistake.right)].count("\n")


@functools.cache
def _report(exhibit):
    return exercises()[exhibit.function].case(exhibit.backward).check()


@functools.cache
def _gaps(exhibit):
    """Where the forgotten lines can be put back: behind each of these lines they make the function right."""
    lines = exhibit._lines()
    return [i for i in range(1, len(lines)) if _is_right(exhibit, [*lines[:i], *exhibit._right(), *lines[i:]])]


def _is_right(exhibit, lines):
    function = exercises()[exhibit.function].function
    try:
        tried = edited(function, (source(function), "\n".join(lines)))
    except SyntaxError:  # where a line is put between an if and its body
        return False
    return bool(check(exhibit.function, tried))


EXHIBITS = [
    Exhibit(number, *exhibit)
    for number, exhibit in enumerate(
        [
            ("the mean that was a sum", "linear_backward", "db is a mean"),
            ("square, so nobody complained", "linear_backward", "dx is dy times w"),
            ("true, less what is said", "cross_entropy_backward", "the sign"),
            ("seven classes, three images", "cross_entropy_backward", "the gradient is divided by the number"),
            ("deaf to what comes from above", "cross_entropy_backward", "the upstream gradient"),
            ("a neighbour's gradient", "softmax_backward", "the terms for i other"),
            ("one sign", "softmax_backward", "the sum over dy y is added"),
            ("across the rows", "softmax_backward", "the sum over dy y runs over the wrong axis"),
            ("on or off", "gelu_backward", "this is like ReLU"),
            ("scaled up, once", "dropout_backward", "the gradient is not scaled up"),
            ("the lost mean", "layer_norm_backward", "the mean of dxhat is not"),
            ("the lost variance", "layer_norm_backward", "the term with xhat is missing"),
            ("all tokens in one pot", "layer_norm_backward", "the mean of dxhat runs over"),
            ("gamma is one, is it not?", "layer_norm_backward", "gamma is forgotten"),
            ("a gradient that looks like its neighbour", "layer_norm_backward", "dgamma is the sum"),
            ("two straight lines", "mlp_backward", "GELU's derivative"),
            ("half a softmax", "attention_backward", "softmax's gradient is incomplete"),
            ("the forgotten root", "multi_head_attention_backward", "the scale 1/sqrt(d) is forgotten"),
            ("one source, two streams", "multi_head_attention_backward", "dkv has only what comes through v"),
            ("the wrong door", "multi_head_attention_backward", "dv comes back"),
            ("the detour alone", "encoder_block_backward", "the residual around attention"),
            ("a token for each image", "class_token_backward", "the token's gradient is a mean"),
            ("backwards, backwards", "vit_backward", "each block is handed"),
        ],
        1,
    )
]
