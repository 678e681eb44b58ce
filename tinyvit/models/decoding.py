"""From scores to sequences: greedy decoding, sampling and beam search, for every model that writes token by token.

A model writes by two functions: start(...) -> state, and step(tokens [B], state) -> scores [B, V], state. A state is a
tree of arrays whose first axis is the example, so that a beam is a choice of rows. How a state remembers (a recurrent
state, keys and values) is the model's own affair.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import check_generator, to_host, xp_of
from tinyvit.errors import DataError, UsageError
from tinyvit.ops.softmax import softmax
from tinyvit.ops.tokens import END, PADDING, START


def generate(step, state, count, longest, *, choose=None, prompt=None, scores=None, end=END):
    """Write one sequence for each example: each token is chosen by the scores, and then is the next step's input.

    Parameters
    ----------
    step : callable
        (tokens [B], state) -> scores [B, V], state
    state : tree
        In which decoding begins.
    count : int
        B.
    longest : int
        Tokens at most; a sequence that has no end by then is cut.
    choose : callable, optional
        (scores [B, V]) -> tokens [B]; `greedy` without.
    prompt : integer array [B, P], optional
        What each sequence begins with, PADDING behind it. A shorter prompt is gone on with while a longer one is read.
    scores : array [B, V], optional
        Of the first token, where a model has read a beginning already, as `gpt_prompt` does; what is written goes on
        from there. Without them, START is read first.
    end : int
        The token that ends a sequence; END, unless the vocabulary is another's.

    Returns
    -------
    array [B, at most longest]: the tokens, `end` behind each that ended, and PADDING from there on

    Raises
    ------
    DataError
        If there is no example.
    UsageError
        If not one token may be written.
    """
    _check_sizes(count, longest)
    choose = choose or greedy
    tokens, written, ended = np.full(count, START), [], np.zeros(count, bool)
    for t in range(longest):
        if t or scores is None:
            scores, state = step(tokens, state)
        tokens = np.where(ended, PADDING, choose(to_host(scores)))
        given = _given(prompt, t, count)
        tokens = np.where(given != PADDING, given, tokens)
        written.append(tokens)
        ended |= tokens == end
        if ended.all():
            break
    return np.stack(written, axis=1)


def _check_sizes(count, longest):
    """Raise an error if there is nothing to write, in examples or in tokens."""
    if count < 1:
        raise DataError("found no sequence to write for: expected at least one example")
    if not isinstance(longest, int | np.integer) or longest < 1:
        raise UsageError(f"longest is {longest!r}: expected a whole number of tokens of at least 1")


def _given(prompt, t, count):
    """The prompt's token at place t of each sequence, PADDING where it has none."""
    return np.full(count, PADDING) if prompt is None or t >= prompt.shape[1] else prompt[:, t]


def greedy(scores):
    """The token of the highest score."""
    return scores.argmax(-1)


def sampler(rng, temperature=1.0, top_p=1.0):
    """A `choose` that draws a token: the likelier, the more often.

    Parameters
    ----------
    rng : numpy.random.Generator
    temperature : float
        The scores are divided by it: below 1 the likely becomes likelier; near 0 it is `greedy`.
    top_p : float
        Only the likeliest tokens, as few as have this probability together, are drawn from (Holtzman et al. 2020).

    Raises
    ------
    UsageError
        If the temperature is not positive, or top_p no share above 0.
    """
    check_generator(rng)
    if not temperature > 0:
        raise UsageError(f"temperature is {temperature}: expected a positive number")
    if not 0 < top_p <= 1:
        raise UsageError(f"top_p is {top_p}: expected a share above 0, at most 1")

    def choose(scores):
        probabilities, _ = softmax(scores.astype(np.float64) / temperature)
        order = np.argsort(-probabilities, axis=-1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=-1)
        before = ranked.cumsum(axis=-1) - ranked
        ranked = np.where(before < top_p, ranked, 0).cumsum(axis=-1)  # the likeliest is always among them
        drawn = rng.random((len(scores), 1)) * ranked[:, -1:]
        return np.take_along_axis(order, (ranked <= drawn).sum(axis=-1, keepdims=True), axis=-1)[:, 0]

    return choose


def beam_search(step, state, count, longest, *, width=4, alpha=0.6, prompt=None):
    """The likeliest sequence that a search over several at once finds.

    At each step every sequence of the beam is continued by every token, and the `width` likeliest stay. A sequence that
    ends leaves the beam. In the end the best of the ended wins, by its log-probability over the length penalty of Wu et
    al. 2016 (equation 14), without which short ones would win, since every token costs:

        log P(y) / lp(y),    lp(y) = ((5 + |y|) / 6)^alpha

    Wider is not better without end: beyond 5 to 10, translations become worse, not better.

    Parameters
    ----------
    step, state, count, longest, prompt
        As in `generate`. The tokens of a prompt cost nothing, and do not count in |y|.
    width : int
        Sequences in a beam; 1 is greedy.
    alpha : float
        Of the length penalty; 0 is none.

    Returns
    -------
    array [B, at most longest], as of `generate`; and the scores [B] of the sequences

    Raises
    ------
    DataError
        If there is no example.
    UsageError
        If the width is not positive, or not one token may be written.
    """
    _check_sizes(count, longest)
    if type(width) is not int or width < 1:
        raise UsageError(f"the beam's width is {width!r}: expected a whole number of at least 1")
    best = [(-np.inf, [])] * count  # of the ended: penalised score and tokens
    state = _rows(state, np.repeat(np.arange(count), width))
    beams, total = np.zeros((count, width, 0), int), np.full((count, width), -np.inf)
    total[:, 0] = 0  # all begin alike: one of them is enough
    tokens = np.full(count * width, START)
    prompted = np.zeros(count, int) if prompt is None else (prompt != PADDING).sum(axis=1)
    longest_penalty = ((5 + longest - prompted) / 6) ** alpha
    for t in range(longest):
        scores, state = step(tokens, state)
        costs = _log_softmax(to_host(scores)).reshape(count, width, -1)
        given = _given(prompt, t, count)
        for b in np.flatnonzero(given != PADDING):
            costs[b] = -np.inf
            costs[b, :, given[b]] = 0
        continued = total[:, :, None] + costs
        vocabulary, penalty = continued.shape[-1], ((6 + t - np.minimum(prompted, t)) / 6) ** alpha
        for b, w in np.ndindex(count, width):
            if (score := continued[b, w, END] / penalty[b]) > best[b][0]:
                best[b] = score, [*beams[b, w], END]
        continued[:, :, END] = -np.inf
        order = np.argsort(-continued.reshape(count, -1), axis=1, kind="stable")[:, :width]
        total = np.take_along_axis(continued.reshape(count, -1), order, axis=1)
        parents, chosen = np.divmod(order, vocabulary)
        beams = np.concatenate([np.take_along_axis(beams, parents[..., None], axis=1), chosen[..., None]], axis=2)
        state = _rows(state, (np.arange(count)[:, None] * width + parents).reshape(-1))
        tokens = chosen.reshape(-1)
        if all(_cannot_win(total[b], best[b][0], longest_penalty[b]) for b in range(count)):
            break
    for b in range(count):  # what has no end by now is cut, and wins only if nothing ended
        if best[b][0] == -np.inf:
            best[b] = total[b, 0] / longest_penalty[b], list(beams[b, 0])
    written = np.full((count, max(len(found) for _, found in best)), PADDING)
    for b, (_, found) in enumerate(best):
        written[b, : len(found)] = found
    return written, np.array([score for score, _ in best])


def _cannot_win(total, best, longest_penalty):
    """Whether no continuation can beat the best that ended: probabilities only fall, and no penalty is larger."""
    return total.max() / longest_penalty < best


def _rows(state, rows):
    """A state of these rows of another."""
    return trees.map(lambda leaf: leaf[xp_of(leaf).asarray(rows)], state)


def _log_softmax(scores):
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
