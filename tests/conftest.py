"""What all tests share: the array modules at hand, one BLAS thread, a Hypothesis profile that always draws the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from tests import strict
from tests.browser import BROWSER, OPTIONS
from tinyvit.training import cores

settings.register_profile("tinyvit", deadline=None, derandomize=True)
settings.load_profile("tinyvit")


def array_modules():
    """NumPy, the strict stand-in for CuPy, and CuPy itself where there is a GPU."""
    modules = [np, strict.module]
    try:
        import cupy
    except ImportError:
        return modules
    return [*modules, cupy] if cupy.cuda.is_available() else modules


@pytest.fixture(params=array_modules(), ids=lambda module: module.__name__)
def xp(request):
    """Each array module in turn."""
    return request.param


@pytest.fixture
def strict_as_cupy(monkeypatch):
    """The strict stand-in under CuPy's name, so that to_device(..., "gpu") goes there."""
    monkeypatch.setitem(sys.modules, "cupy", strict.module)
    return strict.module


@pytest.fixture(autouse=True)
def one_worker(monkeypatch):
    """A run in the tests' own process has no others, unless its test asks for them: they take a while to start."""
    monkeypatch.setattr(cores, "usable_cores", lambda: 1)


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    """Sums in BLAS depend on the number of threads, in their last bits; the tests compare bits."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Skips what follows, with the reason, where there is no browser or it cannot start."""
    if not BROWSER:
        pytest.skip("needs Chromium: apt-get install chromium")
    profile = f"--user-data-dir={tmp_path_factory.mktemp('empty')}"
    try:
        done = subprocess.run(
            [BROWSER, *OPTIONS, profile, "--dump-dom", "about:blank"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{BROWSER} does not start: {error}")
    if "<html>" not in done.stdout:
        pytest.skip(f"{BROWSER} does not start: {done.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="session")
def real_mnist():
    """The folder with the real MNIST files, or a skip that says why."""
    root = os.environ.get("TINYVIT_DATA")
    if not root or not (Path(root) / "mnist" / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("the real MNIST is needed: set TINYVIT_DATA to a folder that holds mnist/")
    return root
