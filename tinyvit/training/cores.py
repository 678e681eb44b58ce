"""How many cores this process may use."""

import os
from pathlib import Path

from tinyvit.errors import UsageError

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "microseconds per-period-of-microseconds", in a Linux container


def usable_cores():
    """Physical cores, as far as this process may use them.

    Two threads of one core share its arithmetic units, which training keeps busy: the second adds next to nothing.
    A process's affinity is respected, as a number of processors, and so is a container's quota (of cgroup version 2).
    """
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed, _quota()))


def _quota():
    """The whole cores' worth of time that a container grants; infinite elsewhere."""
    try:
        granted, period = QUOTA.read_text().split()
        return max(1, int(granted) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")


def workers_for(recipe, asked=None, device="cpu"):
    """The number of workers of a run: as many as asked for, else as there are cores; never more than have work.

    Raises
    ------
    UsageError
        If it is not a whole number of at least 1, or several are asked for on a GPU.
    """
    if asked is not None and (type(asked) is not int or asked < 1):
        raise UsageError(f"workers is {asked!r}: expected a whole number of at least 1")
    if device == "gpu":
        if asked not in (None, 1):
            raise UsageError(f"workers is {asked}: on a GPU there is one; leave --workers out")
        return 1
    return min(asked or usable_cores(), -(-recipe.batch // recipe.micro_batch))
