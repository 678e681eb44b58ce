"""The tasks of models of text: which token is asked for at each place, and in the end the whole answer."""

import numpy as np

from tinyvit.arrays import to_host
from tinyvit.models.bert import asked_counts
from tinyvit.models.task import Task
from tinyvit.ops.token_cross_entropy import NO_TARGET, token_cross_entropy, token_cross_entropy_backward
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING, SPECIAL_JOINED


def token_loss(y, targets, label_smoothing=0.0):
    """The sum, over all places with a target, of the surprise at it.

    Parameters
    ----------
    y : array [B, T, V]
        Logits.
    targets : integer array [B, T]
        NO_TARGET where nothing is asked.
    label_smoothing : float

    Returns
    -------
    loss : 0-d array in nats, and the cache of `token_cross_entropy`
    """
    mean, c = token_cross_entropy(y, targets, smoothing=label_smoothing)
    return mean * len(c["places"]), c


def token_loss_backward(dloss, c):
    """The gradient of the logits: that of a mean over as many targets, times their number."""
    return token_cross_entropy_backward(dloss * len(c["places"]), c)


def behind_the_sign(tokens):
    """Where the answer is, in sequences of question, ANSWER, answer: bool array [B, T]; all of one without ANSWER."""
    tokens = to_host(tokens)
    sign = tokens == ANSWER
    return (sign.cumsum(axis=1) - sign > 0) | ~sign.any(axis=1, keepdims=True)


def hide_answers(tokens):
    """Sequences whose answers are hidden, with END left to see, and the answers as targets: integer arrays [B, T]."""
    tokens = to_host(tokens)
    hidden = behind_the_sign(tokens) & (tokens > END)
    return np.where(hidden, HIDDEN, tokens), np.where(hidden, tokens, NO_TARGET)


def real(tokens):
    """The tokens as targets: NO_TARGET in place of PADDING."""
    tokens = to_host(tokens)
    return np.where(tokens == PADDING, NO_TARGET, tokens)


def _task(targets, in_answer, arrays, output, vocabularies, count=None):
    """A task.

    Parameters
    ----------
    targets : callable
        batch -> integer array [B, T], NO_TARGET where nothing is asked.
    in_answer : callable
        batch -> bool array [B, T], the places that are scored.
    arrays, output, vocabularies, count
        As of Task; without `count`, that of the targets.
    """

    def loss(y, batch, label_smoothing=0.0):
        return token_loss(y, targets(batch), label_smoothing)

    def score(y, batch):
        """Sums and counts: of the loss and of right tokens over tokens, and of wholly right answers over examples.

        The true tokens before it were given for each (teacher forcing). An answer that is wholly right so is also what
        greedy decoding writes: it never meets a token that it did not write itself.
        """
        true = targets(batch)
        scored = (true != NO_TARGET) & in_answer(batch)
        right = (to_host(y).argmax(-1) == true) & scored
        whole = right.sum(axis=1) == scored.sum(axis=1)
        scores = {"loss": (float(token_loss(y, true)[0]), int((true != NO_TARGET).sum()))}
        scores["accuracy"] = (float(whole.sum()), len(whole))
        return scores | {"token_accuracy": (float(right.sum()), int(scored.sum()))}

    return Task(
        arrays=arrays,
        output=output,
        count=count or (lambda batch, config: int((targets(batch) != NO_TARGET).sum())),
        loss=loss,
        loss_backward=token_loss_backward,
        score=score,
        answer=None,
        targets="tokens",
        scores=("loss", "accuracy", "token_accuracy"),
        vocabularies=vocabularies,
    )


def _everywhere(batch):
    return np.bool_(True)


translation = _task(
    targets=lambda batch: real(batch["target"]),
    in_answer=_everywhere,
    arrays=lambda config: {
        "source": ((config.source_length,), "int64"),
        "target": ((config.target_length,), "int64"),
    },
    output=lambda config: (config.target_length, config.target_tokens),
    vocabularies=lambda config: {"source": config.source_tokens, "target": config.target_tokens},
)
_OF_ONE_STACK = dict(
    arrays=lambda config: {"tokens": ((config.length,), "int64")},
    output=lambda config: (config.length, config.tokens),
    vocabularies=lambda config: {"tokens": config.tokens},
)
next_token = _task(
    targets=lambda batch: real(batch["tokens"]),
    in_answer=lambda batch: behind_the_sign(batch["tokens"]),
    **_OF_ONE_STACK,
)


def _hidden_count(batch, config):
    """Of a batch whose tokens are hidden already, its targets; of another, as many as will be hidden."""
    if "targets" in batch:
        return int((to_host(batch["targets"]) != NO_TARGET).sum())
    if config.asked == "answer":
        return int((hide_answers(batch["tokens"])[1] != NO_TARGET).sum())
    return int(asked_counts(to_host(batch["tokens"]), config.corrupted, len(SPECIAL_JOINED)).sum())


hidden_token = _task(  # the targets are drawn with what is hidden
    targets=lambda batch: to_host(batch["targets"]), in_answer=_everywhere, count=_hidden_count, **_OF_ONE_STACK
)
