"""Fixtures that the folders of tests share; each folder's conftest.py imports them."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    """A generator of random numbers, fresh and the same for every test."""
    return np.random.default_rng(0)
