"""Is there something to learn from these pairs? Checks of questions and answers."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from tinyvit.doctor.checked import Skipped
from tinyvit.doctor.luck import DEVIATIONS, surely_more
from tinyvit.ops.tokens import ANSWER, END, PADDING

MOSTLY = 0.5  # share of one answer, which is then worth no model
REPEATED, CONTRADICTED, COPIED, LONGER = 0.1, 0.05, 0.005, 0.01  # shares of pairs that are no fault
COMPARED, ENOUGH = 2000, 100  # pairs: looked at; to say something of their answers
PLACES, TOKENS = 8, 60  # that the linear map sees: places of a text, from either end; the most frequent tokens
L2 = 0.1  # of the linear map


class Pairs(NamedTuple):
    """Questions and answers of a part of the data, each a tuple of tokens without an end, in the part's order."""

    questions: list
    answers: list


def pairs_of(part):
    """The pairs of {"source", "target"}, or of {"tokens"}: what has no ANSWER is a question without an answer."""
    if "source" in part:
        return Pairs(*([_text(row) for row in part[name].tolist()] for name in ("source", "target")))
    rows = [_text(row) for row in part["tokens"].tolist()]
    cut = [row.index(ANSWER) if ANSWER in row else len(row) for row in rows]
    both = list(zip(rows, cut, strict=True))
    return Pairs([row[:at] for row, at in both], [row[at + 1 :] for row, at in both])


def _text(row):
    end = row.index(END) if END in row else len(row)
    return tuple(token for token in row[:end] if token != PADDING)


def check_repeats(pairs):
    """No pair stands there again and again, and no question has several answers."""
    total, different = len(pairs.questions), set(zip(*pairs, strict=True))
    repeats = total - len(different)
    if repeats > REPEATED * total:
        yield (
            f"{repeats:,} of {total:,} training pairs are repeats of others: drop them, or the model learns these and "
            "not the rest"
        )
    several = sum(count > 1 for count in Counter(question for question, _ in different).values())
    if surely_more(several, len({*pairs.questions}), CONTRADICTED):
        yield (
            f"{several:,} of {len({*pairs.questions}):,} training questions have several answers: whoever is asked "
            "gives one, and is wrong about the others; say in the question which is meant, or drop all but one"
        )
    return f"{total:,} training pairs: {repeats:,} repeats, {several:,} questions with several answers"


def check_leakage(pairs, test):
    """No test question is among those to learn from."""
    known = {*pairs.questions}
    found = sum(question in known for question in test.questions)
    if surely_more(found, len(test.questions), COPIED):
        yield (
            f"{found:,} of {len(test.questions):,} test questions stand in the training part: the test accuracy says "
            "what is remembered; drop them there"
        )
    return f"{len(test.questions):,} test questions: {found:,} of them in the training part"


def check_vocabulary(pairs, test, dataset=None):
    """Every token of the test pairs is one that can be learned from the training pairs.

    Parameters
    ----------
    pairs, test : Pairs
    dataset : TextDataset, optional
        To call tokens by their text.
    """
    for side, name in enumerate(("questions", "answers")):
        known = {token for text in pairs[side] for token in text}
        new = Counter(token for text in test[side] for token in {*text} - known)
        if new:
            token, count = new.most_common(1)[0]
            vocabulary = (dataset.source, dataset.target)[side] if dataset else None
            shown = repr(vocabulary.tokens[token]) if vocabulary else f"token {token}"
            others = f" (and {len(new) - 1} others)" if len(new) > 1 else ""
            yield (
                f"{shown}{others} stands in {count:,} test {name} and in none to learn from: no model can know it; add "
                "pairs that have it"
            )
    counts = [len({token for text in side for token in text}) for side in pairs]
    return f"{counts[0]} different tokens in the training questions, {counts[1]} in the answers; no others in the test"


def check_lengths(pairs, test):
    """Hardly any test question or answer is longer than all to learn from."""
    longest = [max(map(len, side), default=0) for side in pairs]
    for name, most, texts in zip(("questions", "answers"), longest, test, strict=True):
        longer = sum(len(text) > most for text in texts)
        if surely_more(longer, len(texts), LONGER):
            yield (
                f"{longer:,} of {len(texts):,} test {name} are longer than all to learn from ({most} tokens): no model "
                "does well beyond the lengths it has seen; add long pairs to the training part"
            )
    return f"questions of up to {longest[0]} tokens, answers of up to {longest[1]}, in both parts"


def check_answers(pairs, test, seed):
    """No answer is nearly everybody's, and answers have something to do with their questions.

    A linear map from what stands in a question (how often each token does, and which ones at its beginning and its end)
    to the same of its answer is fitted to one half of the pairs. It must find something of the answers of the other
    half, and of the test part: the products of what it says and what is, both less their means, are positive on
    average, by four standard deviations. Of shuffled answers it finds nothing.
    """
    answers = [answer for answer in pairs.answers if answer]
    if len(answers) < ENOUGH:
        return Skipped(f"{len(answers)} answers are too few to look at")
    count = max(Counter(answers).values())
    if count > MOSTLY * len(answers):
        yield (
            f"{count / len(answers):.0%} of the training answers are the same: whoever always gives it is as often "
            "right; add pairs with others"
        )
        return ""
    chosen = np.random.default_rng(seed).permutation(len(pairs.questions))[:COMPARED]
    half, numbers = len(chosen) // 2, [_numbers(side) for side in pairs]
    x, y = (_counted([side[i] for i in chosen], known) for side, known in zip(pairs, numbers, strict=True))
    w, means = _fitted(x[:half], y[:half])
    looked_at = {"training": (x[half:], y[half:])}
    looked_at["test"] = tuple(_counted(side[:COMPARED], known) for side, known in zip(test, numbers, strict=True))
    for part, (x_part, y_part) in looked_at.items():
        products = ((x_part - means[0]) @ w * (y_part - means[1])).sum(axis=1)
        if len(products) >= ENOUGH and products.mean() < DEVIATIONS * products.std() / np.sqrt(len(products)):
            yield (
                f"the {part} answers have nothing to do with their questions that a linear map could find: are they in "
                "the order of the questions? Look at some"
            )
            return ""
    return f"{len(chosen):,} training pairs, and those of the test: a linear map finds something of the answers"


def _numbers(texts):
    """{token: its number}: of the most frequent ones, from 1; 0 stands for all others."""
    counts = Counter(token for text in texts for token in text)
    return {token: number for number, (token, _) in enumerate(counts.most_common(TOKENS), 1)}


def _counted(texts, numbers):
    """Of each text how often it has each token, and which stands at each of the first and last places: [N, ...]."""
    counts = np.zeros((len(texts), 1 + 2 * PLACES, 1 + len(numbers)))
    for row, text in zip(counts, texts, strict=True):
        text = [numbers.get(token, 0) for token in text]
        np.add.at(row[0], text, 1)
        for place, token in enumerate(text[:PLACES]):
            row[1 + place, token] = 1
        for place, token in enumerate(reversed(text[-PLACES:])):
            row[1 + PLACES + place, token] = 1
    return counts.reshape(len(texts), -1)


def _fitted(x, y):
    """The matrix of a regularised linear map, and the means of both sides."""
    means = x.mean(axis=0), y.mean(axis=0)
    x, y = x - means[0], y - means[1]
    size = L2 * max(float((x**2).sum()) / len(x), 1e-12) * len(x) / x.shape[1]
    return np.linalg.solve(x.T @ x + size * np.eye(x.shape[1]), x.T @ y), means
