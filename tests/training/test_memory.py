"""Freed memory is kept where glibc rules it, and nothing breaks elsewhere."""

import ctypes
import platform
import subprocess
import sys

import pytest

from tests.training.helpers import environment
from tinyvit.training.memory import keep_freed_memory

PROGRAM = """
import resource, numpy as np
from tinyvit.training.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(6_000_000, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is needed")
def test_arrays_made_again_and_again_cost_no_page_faults():
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment(), capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert after < before / 10


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_without_glibc_nothing_happens(monkeypatch, error):
    def refuse(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    keep_freed_memory()
