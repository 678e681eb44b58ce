"""The task of a model that writes: the true next token at every place, and in the end the whole sequence."""

from tinyvit.arrays import xp_of
from tinyvit.models.task import Task
from tinyvit.ops.token_cross_entropy import NO_TARGET, token_cross_entropy, token_cross_entropy_backward
from tinyvit.ops.tokens import PADDING


def translation_loss(y, batch, label_smoothing=0.0):
    """The sum, over all target tokens that are not padding, of the surprise at them: y [B, T, V]. Returns it and c."""
    targets = _targets(batch)
    mean, c = token_cross_entropy(y, targets, smoothing=label_smoothing)
    return mean * int((targets != NO_TARGET).sum()), c


def translation_loss_backward(dloss, c):
    """The gradient of the logits: that of a mean over as many targets, times their number."""
    return token_cross_entropy_backward(dloss * len(c["places"]), c)


def translation_score(y, batch):
    """Sums and counts: of the loss and of right tokens over tokens, and of wholly right sequences over sequences.

    The true tokens before it were given for each (teacher forcing). A sequence that is wholly right so is also what
    greedy decoding writes: it never meets a token that it did not write itself.
    """
    targets = _targets(batch)
    asked = targets != NO_TARGET
    right = (y.argmax(-1) == targets) & asked
    whole = right.sum(axis=1) == asked.sum(axis=1)
    loss, _ = translation_loss(y, batch)
    count = int(asked.sum())
    scores = {"loss": (float(loss), count), "accuracy": (float(whole.sum()), len(whole))}
    return scores | {"token_accuracy": (float(right.sum()), count)}


def _targets(batch):
    target = batch["target"]
    return xp_of(target).where(target == PADDING, NO_TARGET, target)


translation = Task(
    arrays=lambda config: {
        "source": ((config.source_length,), "int64"),
        "target": ((config.target_length,), "int64"),
    },
    output=lambda config: (config.target_length, config.target_tokens),
    count=lambda batch, config: int((batch["target"] != PADDING).sum()),
    loss=translation_loss,
    loss_backward=translation_loss_backward,
    score=translation_score,
    answer=None,
    targets="tokens",
    scores=("loss", "accuracy", "token_accuracy"),
    vocabularies=lambda config: {"source": config.source_tokens, "target": config.target_tokens},
)
