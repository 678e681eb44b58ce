"""What has the model learned? Its answers for pictures of both parts, beside those of a linear map on their pixels."""

import math

import numpy as np

from tinyvit import trees
from tinyvit.doctor.luck import DEVIATIONS, deviation, margin
from tinyvit.doctor.sample import coarse
from tinyvit.models.model import model_of
from tinyvit.training.evaluation import outputs_and_scores
from tinyvit.training.probe import ridge

SIDE = 16  # the linear map sees pictures of at most about so many pixels along a side
L2 = 0.03
LEAST = 10  # test images of a class that is judged by itself
GAP = 0.25  # between the accuracies on both parts
CONFUSED = 0.5  # of a class
OTHER = 0.1  # between an accuracy and what the run's history says


def check_weights(p):
    """Every weight is a number, and none so large that it alone decides."""
    broken = [name for name, leaf in trees.walk(p) if not np.isfinite(leaf).all()]
    if broken:
        yield f"{broken[0]} has numbers that are not finite ({len(broken)} arrays do): train again, with a lower rate"
    empty = [name for name, leaf in trees.walk(p) if name.endswith("/w") and not leaf.any()]
    if empty:
        yield f"{empty[0]} is zero throughout ({len(empty)} matrices are): was it lost on the way, or never trained?"
    return f"{trees.count(p):,} weights: all of them finite, and no matrix of zeros"


def check_predictions(train, test, p, config, history):
    """The trained model answers every class, more often right than a linear map, and on both parts about alike.

    Parameters
    ----------
    train, test : Sample
    p, config
        The trained model.
    history : list of dict
        Of its run; empty if it is unknown.

    Returns
    -------
    str : what was looked at
    """
    answers = [_answers(part, p, config) for part in (train, test)]
    shares = [float((own == part.labels).mean()) for own, part in zip(answers, (train, test), strict=True)]
    found = list(_check_classes(answers[1], test.labels, config.classes))
    linear = _linear(train, test, config.classes)
    found += _check_linear(answers[1] == test.labels, linear, shares[1])
    found += _check_gap(shares, len(train.labels), len(test.labels))
    found += _check_history(shares, history, len(test.labels))
    yield from found
    return (
        f"{len(test.labels):,} test images: {shares[1]:.1%} right (+- {margin(shares[1], len(test.labels)):.1%}), a "
        f"linear map on their pixels {linear.mean():.1%}; {len(train.labels):,} training images: {shares[0]:.1%}"
    )


def _answers(sample, p, config):
    """The model's label of each picture."""
    part = {"images": sample.images, "labels": sample.labels}
    return np.asarray(model_of(config).task.answer(outputs_and_scores(part, p, config)[0], config))


def _check_classes(answers, labels, classes):
    """Every class is answered, and none is mostly taken for another one."""
    given, answered = np.bincount(labels, minlength=classes), np.bincount(answers, minlength=classes)
    never = np.flatnonzero((given >= LEAST) & (answered == 0))
    if len(never):
        named = ", ".join(map(str, never[:10])) + (", ..." if len(never) > 10 else "")
        yield f"class {named} is never answered, for none of {len(labels):,} test images: look at its training images"
    for k in np.flatnonzero(given >= LEAST):
        taken = np.bincount(answers[labels == k], minlength=classes)
        other = int(taken.argmax())
        if other != k and k not in never and deviation(taken[other], given[k], int(CONFUSED * given[k]), given[k]) > 1:
            yield (
                f"{taken[other] / given[k]:.0%} of the test images of class {k} are taken for class {other}: are their "
                "labels exchanged, or can one tell them apart?"
            )
            return


def _linear(train, test, classes):
    """Whether a linear map on pixels, fitted to the training pictures, is right for each test picture."""
    features = [coarse(part.images, SIDE)[0].reshape(len(part.images), -1) for part in (train, test)]
    head = ridge(features[0], train.labels, classes, L2)
    return (features[1] @ head["w"] + head["b"]).argmax(axis=1) == test.labels


def _check_linear(right, linear, share):
    """The model is right where the linear map is wrong more often than the other way round (McNemar's test)."""
    better, worse = int((right & ~linear).sum()), int((~right & linear).sum())
    if worse - better > DEVIATIONS * math.sqrt(worse + better):
        yield (
            f"a linear map on the pixels is right for {linear.mean():.1%} of the test images, the model for only "
            f"{share:.1%}: it has learned less than there is to learn without any layer; train longer, and see what "
            "else is found"
        )


def _check_gap(shares, count, test_count):
    """It is right about as often on new pictures as on those that it has seen."""
    counts = round(shares[0] * count), count, round(shares[1] * test_count), test_count
    if shares[0] - shares[1] > GAP and deviation(*counts) > DEVIATIONS:
        yield (
            f"{shares[0]:.0%} of the training images are right, and {shares[1]:.0%} of the test images: it knows them "
            "by heart; augmentation, more images, weight decay, or a smaller model"
        )


def _check_history(shares, history, test_count):
    """It is right as often as the run said it was: else the data or the weights are others."""
    said = next((record["test_accuracy"] for record in reversed(history) if "test_accuracy" in record), None)
    if said is None:
        return
    off = abs(shares[1] - said)
    if off > OTHER and off > DEVIATIONS * math.sqrt(max(said * (1 - said), 1 / test_count) / test_count):
        yield (
            f"{shares[1]:.1%} of the test images are right, and the run's history says {said:.1%}: these are other "
            "images, or other weights, than those of the run"
        )


def check_colours(sample, p, config):
    """Masked patch prediction knows more of a patch than how frequent each colour is.

    That is worth the entropy of the colours, sum -f ln f over their frequencies f, which is the loss of the best answer
    that does not look at the picture.
    """
    model = model_of(config)
    part = {"images": sample.images}
    batch, _ = model.draw(np.random.default_rng(0), part, config, training=False)
    frequencies = np.bincount(batch["labels"].ravel(), minlength=config.classes) / batch["labels"].size
    entropy = float(-(frequencies * np.log(frequencies + 1e-30)).sum())
    loss = outputs_and_scores(part, p, config, keep_outputs=False)[1]["loss"]
    if not loss < entropy:
        yield (
            f"the loss is {loss:.3g}, that of answering by how frequent each colour is {entropy:.3g}: it has learned "
            "nothing of the pictures; train longer, and see what else is found"
        )
    return f"{len(sample.images):,} test images: a loss of {loss:.3g}, {entropy:.3g} by the colours' frequencies alone"
