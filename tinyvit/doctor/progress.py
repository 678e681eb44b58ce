"""Did the run get anywhere, and is it at its end? What its history says."""

import math

import numpy as np

from tinyvit.doctor.luck import DEVIATIONS
from tinyvit.doctor.model import guessing
from tinyvit.doctor.settings import steps_of, training_images

RISING = 0.02  # of the validation accuracy, over the last tenth of a run
WORSE = 1.5  # times the least validation loss
JUMPED = 2.0  # times the least training loss of as many steps
CLIPPED, VANISHED = 10, 1e-6  # times the clip norm; a norm that is rounding errors
WINDOW = 10  # records of steps that are looked at together


def check_progress(history, images, config, recipe, examples="images"):
    """A run of so many images learned something, goes on doing so, and has come to rest at its end.

    Parameters
    ----------
    history : list of dict
        Of the run.
    images : int
        Of the training part, those held out among them.
    config, recipe
        Of the run.
    examples : str
        What they are, if not images.

    Returns
    -------
    str : what was looked at
    """
    steps = [record for record in history if record["kind"] == "step"]
    epochs = [record for record in history if record["kind"] == "epoch" and "validation_accuracy" in record]
    yield from _check_learned(steps, images, config, recipe)
    yield from _check_jump(steps)
    if epochs and steps_of(images, recipe)[1] <= epochs[-1]["step"]:  # it has come to its end
        yield from _check_rising(epochs, images - training_images(images, recipe))
    yield from _check_by_heart(epochs, images - training_images(images, recipe), examples)
    at, last = max((record["step"] for record in history), default=0), steps_of(images, recipe)[1]
    return f"step {at:,} of {last:,}: the losses of {len(steps)} records, and the accuracy after {len(epochs)} epochs"


def _check_learned(steps, images, config, recipe):
    """A run whose warm-up has been over for a while knows more than nothing."""
    broken = next((record["step"] for record in steps if not math.isfinite(record["loss"])), None)
    if broken is not None:
        yield f"the loss is not a number at step {broken}: start again with a lower learning rate"
        return
    steps = steps[-WINDOW:]
    begun = recipe.warmup * recipe.epochs * images / recipe.batch + 80
    loss, ignorant = np.mean([record["loss"] for record in steps] or [0.0]), guessing(config)
    if steps and steps[0]["step"] > begun and not loss < 0.9 * ignorant:
        yield (
            f"after {steps[-1]['step']} steps the loss is {loss:.3g}, that of guessing is {ignorant:.3g}: it has "
            "learned nothing; what else is found says why, or else try a recipe of RECIPES as it is"
        )


def _check_jump(steps):
    """The loss of the last steps is about the least there was, over as many."""
    losses = np.array([record["loss"] for record in steps])
    if len(losses) < 3 * WINDOW or not np.isfinite(losses).all():
        return
    means = np.convolve(losses, np.ones(WINDOW) / WINDOW, "valid")
    if not means[-1] < JUMPED * means.min():
        step = steps[int(means.argmin()) + WINDOW - 1]["step"]
        yield (
            f"the training loss is {means[-1]:.3g} at the end, and was {means.min():.3g} at step {step}: it jumped up "
            "and did not come back; lower the learning rate, and clip_norm to 1"
        )


def _check_rising(epochs, held_out):
    """Over the last tenth of the run the validation accuracy hardly rises any more.

    The rise is that of the straight line through the last quarter's epochs (the last two, if these are fewer). Its
    error follows from how far they lie from the line; of two epochs, from how many images they were measured on.
    """
    share = np.array([record["step"] / epochs[-1]["step"] for record in epochs])
    accuracy = np.array([record["validation_accuracy"] for record in epochs])
    last = max(2, int((share > 0.75).sum()))
    if len(epochs) < 2:
        return
    share, accuracy = share[-last:] - share[-last:].mean(), accuracy[-last:]
    slope = float(share @ accuracy / (share @ share))
    rest = accuracy - accuracy.mean() - slope * share
    variance = rest @ rest / (last - 2) if last > 3 else max(accuracy[-1] * (1 - accuracy[-1]), 0.01) / max(held_out, 1)
    gain = slope / 10
    if gain > RISING and slope > DEVIATIONS * math.sqrt(variance / (share @ share)):
        yield (
            f"the validation accuracy still rises at the end, by {gain:.1%} over the last tenth of the run: train "
            "longer (more epochs)"
        )


def _check_by_heart(epochs, held_out, examples):
    """The validation loss has not turned long before the end.

    A loss varies by about 1 from image to image, and the mean of n by 1 / sqrt(n): three times that is no luck.
    """
    losses = [record["validation_loss"] for record in epochs]
    if len(losses) < 5:
        return
    best = int(np.argmin(losses))
    rise = max((WORSE - 1) * losses[best], 3 / math.sqrt(max(held_out, 1)))
    if best < 0.75 * len(losses) and losses[-1] - losses[best] > rise:
        yield (
            f"the validation loss was {losses[best]:.3g} after epoch {best + 1} and is {losses[-1]:.3g}: the training "
            f"{examples} are learned by heart; fewer epochs,{' augmentation,' * (examples == 'images')} more "
            f"{examples}, or a smaller model"
        )


def check_clipping(norms, recipe, source):
    """There is a gradient, and it is clipped now and then, not always: then the clip norm would only be a scale.

    Parameters
    ----------
    norms : array
        Of the gradients of some steps, before they were clipped.
    recipe : Recipe
    source : str
        Whose steps they are, in words.

    Returns
    -------
    str : what was looked at
    """
    norms = np.asarray(norms, float)
    norms = norms[np.isfinite(norms)]
    if len(norms) and np.median(norms) < VANISHED:
        yield (
            f"the gradients {source} have vanished, their median norm is {np.median(norms):.2g}: nothing more is "
            "learned; look at units and attention, and start again with a lower learning rate"
        )
    if not recipe.clip_norm:
        yield "clip_norm 0 leaves nothing of any gradient: clip_norm 1 is usual"
        return ""
    if len(norms) and np.quantile(norms, 0.1) > CLIPPED * recipe.clip_norm:
        yield (
            f"nearly every gradient {source} is clipped, to 1/{np.median(norms) / recipe.clip_norm:,.0f} of "
            f"its length (median norm {np.median(norms):.2g}, clip_norm {recipe.clip_norm:g}): clip_norm 1 is usual, "
            "and gradients that large want a look at data and learning rate"
        )
    median = np.median(norms) if len(norms) else math.nan
    return f"the norms of {len(norms)} gradients {source}: median {median:.2g}, clip_norm {recipe.clip_norm:g}"
