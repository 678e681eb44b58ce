"""The learning rate over a run."""

import math


def warmup_cosine(step, *, steps, warmup, peak):
    """Rise linearly over the first part of the run, fall as half a cosine to zero over the rest.

        step <= w:  peak * step / w             w = warmup * steps
        else:       peak * (1 + cos(pi (step - w) / (steps - w))) / 2

    Adam's first estimates of the gradients' size are poor: small steps at first keep them from doing harm.

    Parameters
    ----------
    step : int
        From 1 (the first) to steps (the last, at rate 0).
    steps : int
        Length of the run.
    warmup : float
        The share of the run that warms up.
    peak : float
        The highest learning rate.
    """
    w = warmup * steps
    if step <= w:
        return peak * step / w
    return peak * 0.5 * (1 + math.cos(math.pi * (step - w) / (steps - w)))
