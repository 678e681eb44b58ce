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


def warmup_linear(step, *, steps, warmup, peak):
    """Rise linearly over the first part of the run, fall linearly to zero over the rest.

        step <= w:  peak * step / w             w = warmup * steps
        else:       peak * (steps - step) / (steps - w)

    Parameters
    ----------
    step, steps, warmup, peak
        As of `warmup_cosine`.
    """
    w = warmup * steps
    return peak * (step / w if step <= w else (steps - step) / (steps - w))


def noam(step, *, steps, warmup, peak):
    """Rise linearly, then fall as one over the root of the step: the Transformer's schedule (Vaswani et al. 2017, 5.3).

        peak * min(step / w, sqrt(w / step))        w = warmup * steps, at least 1

    The paper's D^-0.5 min(step^-0.5, step w^-1.5) is the same with the peak (D w)^-0.5, which here is free: 0.0007 for
    its D = 512 and w = 4000. It does not end at zero, and does not depend on the end: training may always go on.

    Parameters
    ----------
    step, steps, warmup, peak
        As of `warmup_cosine`.
    """
    w = max(1, warmup * steps)
    return peak * min(step / w, math.sqrt(w / step))


SCHEDULES = {"cosine": warmup_cosine, "linear": warmup_linear, "noam": noam}
