"""Memory that is freed and soon asked for again."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGEST_ON_THE_HEAP = 32 * 2**20  # bytes; the most that glibc allows
KEPT = 2**30  # bytes


def keep_freed_memory():
    """Have glibc keep the memory of freed arrays, for this process; elsewhere, do nothing.

    A step frees its activations and the next one asks for as many again. By default glibc hands large blocks back to
    the system, which must then find, clear and map every page anew: that took about a fifth of a training step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_ON_THE_HEAP)
    mallopt(M_TRIM_THRESHOLD, KEPT)
