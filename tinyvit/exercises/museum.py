"""A museum of gradient bugs: backward passes with one mistake each, to be found with the gradient check. A game.

museum.EXHIBITS[0]  # its source, every line with its number
museum.EXHIBITS[0].check()  # the report of the gradient check: which tensor, how far off
museum.EXHIBITS[0].ratios()  # of each wrong tensor, the least, median and greatest gradient / right gradient
museum.answer(1, 4)  # of exhibit 1 line 4 is wrong, or something is missing right before or behind it
museum.EXHIBITS[0].reveal()  # gives up
museum.score()
museum.careless(museum.EXHIBITS[0])  # would a careless check have found it?
museum.plant("softmax_backward", "dy - row_dots", "dy + row_dots")  # a bug of one's own
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.contract import Inputs
from tinyvit.contract import backward as gradients_of
from tinyvit.contract import forward as result_of
from tinyvit.errors import UsageError
from tinyvit.exercises import record
from tinyvit.exercises.answer import listed
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.check import is_right
from tinyvit.exercises.diagnosis import ratios
from tinyvit.exercises.mistakes import FORGOTTEN, mistakes
from tinyvit.exercises.source import Text, edited, edited_source, planted, source
from tinyvit.names import expected

FRESH = {"gamma": 1, "beta": 0, "b": 0, "cls": 0}  # what these parameters are before training; and the head's w is 0
FOUND, GIVEN_UP = "found", "given up"


class Exhibit(NamedTuple):
    """A backward pass with a mistake in it. A notebook shows its source; the title says too much, and comes last."""

    number: int
    title: str
    function: str
    begins: str  # how the description of the mistake begins, in mistakes.txt

    def __repr__(self):
        lines = [f"{number:>3}  {line}" for number, line in enumerate(self._lines(), 1)]
        return "\n".join([f"Exhibit {self.number}", *lines])

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

    def ratios(self):
        """{a wrong tensor: the least, the median and the greatest of its gradient / the right one}.

        Entries near 0 are left out; where all are, the three are NaN.
        """
        exercise = exercises()[self.function]
        right, wrong = (_gradients(exercise.case(backward)) for backward in (exercise.backward, self.backward))
        nothing = (math.nan,) * 3
        return {
            name: ratios(wrong[name], right[name]) or nothing for name in right if _differ(wrong[name], right[name])
        }

    def answer(self, line):
        """Whether the mistake is in this line, or, if something is missing, right before or behind it. It is kept."""
        if line in self._where():
            record.keep("museum", self._key(), lambda before: (before or {}) | {"state": _first_state(before, FOUND)})
            return Text(f'Exhibit {self.number}, "{self.title}": found. Here {self.mistake.says}.')
        record.keep(
            "museum", self._key(), lambda before: (before or {}) | {"wrong": 1 + (before or {}).get("wrong", 0)}
        )
        report = self.check()
        wrong = listed(row.name for row in report.rows if row.error > report.rtol)
        return Text(f"Exhibit {self.number}: not line {line}. The check finds {wrong} wrong: which lines make it so?")

    def reveal(self):
        """The mistake, and what stands in its place in the package. Whoever has not found it gives up; it is kept."""
        record.keep("museum", self._key(), lambda before: (before or {}) | {"state": _first_state(before, GIVEN_UP)})
        begin = f'Exhibit {self.number}, "{self.title}". Here {self.mistake.says}. In the package:'
        return Text("\n".join([begin, *self._right()]))

    def _key(self):
        """What its progress is kept by: the numbers may change."""
        return f"{self.function}: {self.begins}"

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
    return is_right(exhibit.function, tried)


def exhibit(function, begins):
    """The exhibit of this function whose mistake is so described: exhibit("softmax_backward", "the sum over dy y is").

    Raises
    ------
    UsageError
        If there is none.
    """
    for found in EXHIBITS:
        if found.function == function and found.mistake.says.startswith(begins):
            return found
    known = [found.begins for found in EXHIBITS if found.function == function]
    of_it = (
        f"expected one of {'; '.join(known)}" if known else expected(function, {found.function for found in EXHIBITS})
    )
    raise UsageError(f"no exhibit is {function!r} with {begins!r}: {of_it}")


def answer(number, line):
    """What `answer` of the exhibit of this number says of the line.

    Raises
    ------
    UsageError
        If there is no such exhibit.
    """
    if number not in range(1, len(EXHIBITS) + 1):
        raise UsageError(f"the number of an exhibit: found {number!r}, expected 1 to {len(EXHIBITS)}")
    return EXHIBITS[number - 1].answer(line)


def score():
    """How many exhibits have been found, how many given up, and how many answers were wrong; see `record`.

    Raises
    ------
    DataError
        If the file of what has been done cannot be read.
    """
    kept = [record.kept()["museum"].get(found._key(), {}) for found in EXHIBITS]
    states = [known.get("state") for known in kept]
    wrong = sum(known.get("wrong", 0) for known in kept)
    given_up = f", {states.count(GIVEN_UP)} given up" if GIVEN_UP in states else ""
    tries = f"{wrong or 'no'} wrong {'try' if wrong == 1 else 'tries'}"
    return Text(f"{states.count(FOUND)} of {len(EXHIBITS)} found{given_up}, {tries}")


def careless(exhibit):
    """Whether a careless check finds the mistake: with ones for the upstream gradient, and parameters before training.

    That is, biases and the class token at 0, gammas at 1 and the head at 0.
    """
    exercise = exercises()[exhibit.function]
    inputs, keywords = exercise.calls[0]
    fresh = trees.from_names(
        {name: _before_training(name, leaf) for name, leaf in trees.walk(list(inputs))}, list(inputs)
    )
    cases = [exercise.case(each, (fresh, keywords)) for each in (exercise.backward, exhibit.backward)]
    right, wrong = (_gradients(case, np.ones) for case in cases)
    return any(_differ(wrong[name], right[name]) for name in right)


class Planted(NamedTuple):
    """A bug of one's own: in a function `right` is replaced by `wrong`. A notebook shows what the check says of it."""

    function: str
    right: str
    wrong: str

    def __repr__(self):
        try:
            report = self.check()
        except Exception as error:  # of any kind: the edit may be anything
            return f"{self.function} crashes, so you would have noticed: {type(error).__name__}: {error}"
        found = [row.name for row in report.rows if row.error > report.rtol]
        if report.problem:
            return f"{report}\nThe check finds that it does not keep to its form."
        return f"{report}\nThe check finds {listed(found) + ' wrong' if found else 'nothing'}."

    def planted(self):
        """A context in which this process has the bug: what does training, with one worker, make of it?"""
        return planted(exercises()[self.function].function, (self.right, self.wrong))

    def check(self):
        """The gradient check's report on the pair of which the function is one."""
        pair = exercises().get(f"{self.function}_backward", exercises()[self.function])
        with self.planted():
            return pair.case(pair.backward).check()


def plant(function, right, wrong):
    """A bug of one's own in a function of the package, forward or backward.

    Parameters
    ----------
    function : str
        An exercise's name: "softmax_backward".
    right, wrong : str
        A part of its source, and what is to stand in its place.

    Returns
    -------
    Planted
        Shown, it is what the gradient check says; `with it.planted():` the package has the bug.

    Raises
    ------
    UsageError
        If there is no such function, it has no gradient, or `right` does not stand in its source exactly once, or what
        is left is no Python.
    """
    known = exercises()
    if function not in known:
        raise UsageError(f"no function is named {function!r}: {expected(function, known)}")
    if not known[function].backward and f"{function}_backward" not in known:
        raise UsageError(f"{function} has no backward pass here: nothing to check")
    try:
        edited(known[function].function, (right, wrong))
    except SyntaxError as error:
        raise UsageError(f"{function} with {wrong!r} is no Python: {error.msg}") from None
    except ValueError as error:
        raise UsageError(f"{error}; exercises.source({function}) shows it") from None
    return Planted(function, right, wrong)


def _first_state(before, now):
    """An exhibit stays found, or given up."""
    return (before or {}).get("state", now)


def _before_training(name, leaf):
    """A parameter as it is before training; anything else as it is."""
    *above, last = name.split("/")
    if above and (last in FRESH or above[-1] == "head"):
        return np.full_like(leaf, FRESH.get(last, 0))
    return leaf


def _gradients(case, upstream=None):
    """{a tensor: its gradient} of a case, with upstream(shape), or random numbers, for the upstream gradient."""
    upstream = upstream or np.random.default_rng(1).standard_normal
    given = Inputs(case.forward, case.inputs)
    y, c = result_of(case.forward, given, case.keywords)
    found = trees.named(gradients_of(case.backward, upstream(np.shape(y)), c, given))
    return {name: found[name] for name, _ in trees.walk(given.checked)}


def _differ(one, other):
    return not np.allclose(one, other, rtol=1e-7, atol=1e-9)


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
            ("a token for each image", "class_token_backward", "the token's gradient is a mean"),
            ("the detour alone", "encoder_block_backward", "the residual around attention"),
            ("backwards, backwards", "vit_backward", "each block is handed"),
        ],
        1,
    )
]
