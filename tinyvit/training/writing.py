"""How well does a model of text write? Its own answers beside the true ones, by length and by place.

In training a model is given the true tokens before each (teacher forcing). When it writes it has only its own: after a
wrong one it is where it never was (exposure). Both accuracies stand beside each other here.
"""

from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Batch, Tree
from tinyvit.arrays import xp_of
from tinyvit.models.config import Config
from tinyvit.models.model import model_of
from tinyvit.models.writing import answers_in
from tinyvit.ops.tokens import ANSWER, END, PADDING
from tinyvit.training.evaluation import outputs_and_scores

TOGETHER = 256  # questions that are answered at once


class Writing(NamedTuple):
    """What a model wrote.

    lengths  [N]     tokens of each question
    true     [N, T]  the true answers, END and PADDING behind
    forced   [N, T]  the likeliest token at each place, given the true ones before it; None of a model that fills all
                     hidden tokens at once: nothing comes before
    written  [N, T]  what the model wrote alone
    scores           of the task, {name: mean}
    """

    lengths: np.ndarray
    true: np.ndarray
    forced: np.ndarray | None
    written: np.ndarray
    scores: dict[str, float]

    @property
    def whole(self) -> np.ndarray:
        """Whether each answer is right as a whole, END included: bool array [N]."""
        return (self.written == self.true).all(axis=1)

    def rows(self) -> list[dict]:
        """By the length of the question: how many, and the accuracies of answers and tokens."""
        return [self._row(self.lengths == length, length=int(length)) for length in np.unique(self.lengths)]

    def total(self) -> dict:
        """As a row, of all."""
        return self._row(np.ones(len(self.lengths), bool))

    def _row(self, chosen, **about):
        about |= {"count": int(chosen.sum()), "accuracy": float(self.whole[chosen].mean())}
        return about | self._token_accuracies(self._asked & chosen[:, None])

    @property
    def _asked(self):
        """Where a token is asked for: all but padding, and, of a model that fills, the end that it sees."""
        return self.true != PADDING if self.forced is not None else self.true > END

    def _token_accuracies(self, places):
        """The share of right tokens at these places, bool [N, T]."""
        found = {"token_accuracy": self.written, "forced_token_accuracy": self.forced}
        return {
            name: float((tokens == self.true)[places].mean()) for name, tokens in found.items() if tokens is not None
        }

    def places(self) -> list[dict]:
        """By the place in the answer, from 1: of how many answers it is asked, and both accuracies of tokens."""
        asked, found = self._asked, []
        for t in np.flatnonzero(asked.any(axis=0)):
            here = asked & (np.arange(asked.shape[1]) == t)
            found.append({"place": int(t) + 1, "count": int(here.sum())} | self._token_accuracies(here))
        return found


def look_at_writing(part: Batch, p: Tree, config: Config, *, beam: int | None = None, workers: int = 1) -> Writing:
    """Let a model answer all questions of a part of the data.

    Parameters
    ----------
    part : {"source", "target"} or {"tokens"}
        As from `read_text`, or `joined`.
    p, config
        The model, one of text.
    beam : int, optional
        The width of the search; without, decoding is greedy.
    workers : int
        Of the pass in which the true tokens are given.
    """
    write, xp = model_of(config).views["write"], xp_of(trees.leaves(p)[0])
    count = len(next(iter(part.values())))
    answers: list[list[int]] = []
    for start in range(0, count, TOGETHER):
        some = {name: array[start : start + TOGETHER] for name, array in part.items()}
        batch = some if xp is np else trees.map(xp.asarray, some)
        answers += map(_to_the_end, write(batch, p, config, beam=beam).tolist())
    likeliest, scores = outputs_and_scores(part, p, config, workers=workers, of_outputs=lambda y: y.argmax(-1))
    if "tokens" in part:
        lengths, places = zip(*(_answer_places(row) for row in part["tokens"].tolist()), strict=True)
        true = [_to_the_end(row) for row in answers_in(part["tokens"]).tolist()]
        forced = [row[place : place + len(t)] for row, place, t in zip(likeliest.tolist(), places, true, strict=True)]
    else:
        lengths = (part["source"] > END).sum(axis=1)
        true = [_to_the_end(row) for row in part["target"].tolist()]
        forced = [row[: len(t)] for row, t in zip(likeliest.tolist(), true, strict=True)]
    longest = max(map(len, [*true, *answers]))
    fills = model_of(config).evaluation_draws
    rows = (_rows(true, longest), None if fills else _rows(forced, longest), _rows(answers, longest))
    return Writing(np.asarray(lengths), rows[0], rows[1], rows[2], scores)


def _answer_places(row):
    """The length of a question, and where its answer begins."""
    sign = row.index(ANSWER)
    return sign, sign + 1


def _to_the_end(row):
    """A sequence up to its END, or without its padding if it has none."""
    return row[: row.index(END) + 1] if END in row else [token for token in row if token != PADDING]


def _rows(sequences, length):
    found = np.full((len(sequences), length), PADDING)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found
