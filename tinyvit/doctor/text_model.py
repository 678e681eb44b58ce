"""Can a model of text learn, and what has it learned? Checks of its passes, its attention and its answers."""

import math

import numpy as np

from tinyvit import trees
from tinyvit.doctor.luck import DEVIATIONS, deviation, margin
from tinyvit.doctor.model import STARING, UNIFORM, guessing, looked_at, mean_loss
from tinyvit.models.model import model_of
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING
from tinyvit.training.writing import look_at_writing

NEAR = 1e-4  # of the largest score: rounding, and no other answer
LEAST = 0.9  # of the loss of guessing: a fresh model's
NARROW_HEAD, NARROW = 4, 8
LARGE = 20_000  # parameters for each pair, from random ones
ASKED = 400  # questions of each part
GAP, OTHER = 0.25, 0.1  # between the accuracies on both parts; between one and what the run's history says
ENOUGH = 20  # answers with a token, of which one at least should be right


def check_first_loss(batch, p, config):
    """A fresh model knows nothing: its loss is that of guessing, ln V, or above it by no more than a score's size.

    Where scores are products with the table of embeddings, of variance 1 / D, they vary by 1; but that of the token
    which the model was given last may be as large as sqrt(D), since what it embeds is its own row of the table.
    """
    loss, _, _ = mean_loss(batch, p, config)
    expected = guessing(config)
    if not LEAST * expected < loss < expected + math.sqrt(config.dim):
        yield (
            f"the first loss is {loss:.3g}, that of guessing ln V = {expected:.3g}: let embeddings start with a "
            "standard deviation of 1 / sqrt(dim), and check the loss"
        )
    return f"{loss:.3g} before training, that of guessing {expected:.3g}"


def check_input(batch, p, config):
    """Another question has other scores, so has the same in another order, and padding has no influence."""
    scores, _, _ = looked_at(batch, p, config)
    size = np.abs(scores).max() + 1e-30
    asked, name = _answered(batch), "source" if "source" in batch else "tokens"
    if not np.isfinite(scores).all():
        yield "the scores are not finite: look in the cache for the first array that is not"
        return ""
    others = {
        "the scores of an answer are the same for all questions: follow a question through the cache, and see where "
        "its values stop to vary": batch[name][(np.arange(len(batch[name])) + 1) % len(batch[name])],
        "the order of a question's tokens makes no difference: the model cannot tell where they stand; check that "
        "positions are added": _reversed(batch[name]),
    }
    for words, questions in others.items():
        questions = np.where(_is_question(batch[name]), questions, batch[name]) if name == "tokens" else questions
        changed = (questions != batch[name]).any(axis=1)
        if name == "tokens":  # the questions of others may be longer: what is left is still a text
            questions = np.where((batch[name] == PADDING) | (questions == PADDING), batch[name], questions)
        found, _, _ = looked_at(batch | {name: questions}, p, config)
        if changed.any() and np.abs(found - scores)[changed][asked[changed]].max() < NEAR * size:
            yield words
            return ""
    yield from _check_padding(batch, scores, p, config, size)
    return f"the scores of {len(scores)} answers: they depend on the question and its order, and not on padding"


def _check_padding(batch, scores, p, config, size):
    """An example by itself, without padding, has the scores that it has among longer ones."""
    if model_of(config).evaluation_draws and not (batch["tokens"] == ANSWER).any():
        return  # what is hidden is drawn, for each shape anew
    lengths = {name: (array != PADDING).sum(axis=1) for name, array in batch.items()}
    shortest = int(np.argmin(next(iter(lengths.values()))))
    alone = {name: array[shortest : shortest + 1, : lengths[name][shortest]] for name, array in batch.items()}
    found, _, _ = looked_at(alone, p, config)
    if np.abs(found[0] - scores[shortest, : found.shape[1]]).max() > NEAR * size:
        yield "padding changes the scores of a text: check that attention and recurrence leave it out (mask)"


def check_future(batch, p, config):
    """No score depends on the token that it is for, or on a later one: such a model learns to copy what it is shown."""
    name = "target" if "target" in batch else "tokens"
    scores, _, _ = looked_at(batch, p, config)
    place = int((batch[name] != PADDING).sum(axis=1).max()) // 2
    first = 1 + (HIDDEN if name == "tokens" else END)
    others = first + (batch[name] + 1 - first) % (scores.shape[-1] - first)
    later = np.where(batch[name] >= first, others, batch[name])
    later = np.where(np.arange(later.shape[1]) < place, batch[name], later)
    found, _, _ = looked_at(batch | {name: later}, p, config)
    size = np.abs(scores).max() + 1e-30
    if np.abs(found - scores)[:, : place + 1].max() > NEAR * size:
        yield (
            "scores depend on tokens that come later: the model sees what it is asked for; check the causal mask, and "
            "that the target is shifted"
        )
    return f"the scores of the first {place + 1} places do not depend on what is asked there and later"


def check_attention(batch, p, config):
    """No layer whose heads all stare at one place, whatever asks, or look everywhere alike.

    Padding neither asks nor is asked; of what comes later nobody knows.
    """
    model = model_of(config)
    _, c, drawn = looked_at(batch, p, config)
    maps = model.views["maps"](c, config)
    asks = drawn["target" if "target" in drawn else "tokens"] != PADDING
    asked = drawn["source" if "source" in drawn else "tokens"] != PADDING
    for where, a in maps.items():
        choice = np.broadcast_to(asked.sum(axis=1)[:, None], asks.shape)
        if "tokens" in drawn and not model.evaluation_draws:
            choice = np.broadcast_to(1 + np.arange(asks.shape[1]), asks.shape)  # up to the own place
        chosen = asks & (choice > 1)
        real = np.moveaxis(a, 1, 2)[chosen]  # [queries, h, S]
        if not len(real):
            continue
        stare = real.mean(axis=0).max(axis=-1)  # each head's favourite place
        entropy = -(real * np.log(real + 1e-30)).sum(axis=-1).mean(axis=0) / np.log(choice[chosen]).mean()
        if stare.min() > STARING:
            yield (
                f"attention has collapsed in {where}: each head gives {stare.min():.0%} to one place, whatever asks; "
                "check the scale 1/sqrt(d_k), and lower the learning rate"
            )
        elif entropy.min() > UNIFORM:
            yield (
                f"attention is uniform in {where}: no head prefers any token; check learning rate and weight decay, "
                "that the scores reach the softmax, and the first weights of q and k"
            )
    return f"the attention of {len(maps)} layer{'s' * (len(maps) != 1)}: not collapsed, not uniform"


def check_sizes(config, p, *, count):
    """Heads and layers are wide enough, and the model is no thousand times too large."""
    sizes, parameters = config.values(), trees.count(p)
    if sizes.get("heads") and sizes["dim"] // sizes["heads"] < NARROW_HEAD:
        yield (
            f"each of the {sizes['heads']} heads is {sizes['dim'] // sizes['heads']} wide: too narrow to compare "
            "tokens; take fewer heads, 16 to 64 wide"
        )
    if sizes.get("mlp_dim", sizes["dim"]) < sizes["dim"]:
        yield f"mlp_dim {sizes['mlp_dim']} is less than dim {sizes['dim']}: expected about four times as much"
    if sizes["dim"] < NARROW:
        yield f"dim {sizes['dim']} is too narrow for {math.exp(guessing(config)):.0f} tokens: expected 16 or more"
    if parameters > LARGE * count:
        yield f"{parameters:,} parameters for {count:,} pairs, from random ones: take a smaller model"
    return f"{parameters:,} parameters for {count:,} pairs: widths of heads and layers"


def check_predictions(train, test, p, config, history, dataset=None):
    """What it writes: about as often right on both parts, as the run said, with every token, at all lengths.

    Parameters
    ----------
    train, test : {name: array}
        The parts; some of each are asked.
    p, config
        The trained model.
    history : list of dict
        Of its run; empty if it is unknown.
    dataset : TextDataset, optional
        To call tokens by their text.

    Returns
    -------
    str : what was looked at
    """
    writings = [look_at_writing({name: x[:ASKED] for name, x in part.items()}, p, config) for part in (train, test)]
    shares, counts = [float(one.whole.mean()) for one in writings], [len(one.whole) for one in writings]
    of_test = writings[1]
    yield from _check_gap(shares, counts)
    yield from _check_history(shares[1], history, counts[1])
    yield from _check_never(of_test, dataset)
    if config.values().get("score") == "none" and shares[1] < 0.5:
        yield (
            f"{shares[1]:.0%} of the test answers are right, and without attention all that is known of a question is "
            f"a state of {config.dim} numbers: try --model attention, shorter questions, or a larger dim"
        )
    total = of_test.total()
    beside = ""
    if "forced_token_accuracy" in total:
        beside = f" ({total['forced_token_accuracy']:.1%} with the true ones before)"
    return (
        f"{counts[1]:,} test answers: {shares[1]:.1%} right (+- {margin(shares[1], counts[1]):.1%}), of their tokens "
        f"{total['token_accuracy']:.1%}{beside}; {counts[0]:,} training answers: {shares[0]:.1%}"
    )


def _check_gap(shares, counts):
    """It is right about as often about new questions as about those that it has seen."""
    right = [round(share * count) for share, count in zip(shares, counts, strict=True)]
    if shares[0] - shares[1] > GAP and deviation(right[0], counts[0], right[1], counts[1]) > DEVIATIONS:
        yield (
            f"{shares[0]:.0%} of the training answers are right, and {shares[1]:.0%} of the test answers: it knows "
            "them by heart; more pairs, dropout, weight decay, or a smaller model"
        )


def _check_history(share, history, count):
    """It is right as often as the run said it was: else the data or the weights are others."""
    said = next((record["test_accuracy"] for record in reversed(history) if "test_accuracy" in record), None)
    if said is None:
        return
    off = abs(share - said)
    if off > OTHER and off > DEVIATIONS * math.sqrt(max(said * (1 - said), 1 / count) / count):
        yield (
            f"{share:.1%} of the test answers are right, and the run's history says {said:.1%}: these are other pairs, "
            "or other weights, than those of the run"
        )


def _check_never(writing, dataset):
    """Every token that answers have is written at its place now and then."""
    tokens, counts = np.unique(writing.true[writing.true > END], return_counts=True)
    right = {int(token) for token in writing.true[(writing.written == writing.true)]}
    never = [int(token) for token, count in zip(tokens, counts, strict=True) if count >= ENOUGH and token not in right]
    if never:
        shown = repr(dataset.target.tokens[never[0]]) if dataset else f"token {never[0]}"
        others = f" (and {len(never) - 1} others)" if len(never) > 1 else ""
        yield f"{shown}{others} is never written where it belongs: look at the training pairs that have it"


def _answered(batch):
    """Where the scores are of an answer: bool [N, T]."""
    if "target" in batch:
        return batch["target"] != PADDING
    sign = batch["tokens"] == ANSWER
    return ((sign.cumsum(axis=1) - sign > 0) | ~sign.any(axis=1, keepdims=True)) & (batch["tokens"] != PADDING)


def _is_question(tokens):
    """Where the question is: bool [N, T]."""
    return (tokens == ANSWER).cumsum(axis=1) == 0


def _reversed(texts):
    """Each question with its tokens from the last to the first."""
    found = texts.copy()
    for row in found:
        end = np.flatnonzero(row == ANSWER)
        length = int(end[0]) if len(end) else max(int((row != PADDING).sum()) - 1, 1)
        row[:length] = row[:length][::-1]
    return found
