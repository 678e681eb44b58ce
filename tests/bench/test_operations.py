"""The functions that docs/operations.py times: both sides compute the same, and ratios are those of a round."""

import numpy as np
import pytest

from docs import operations


def test_ratios_are_medians_of_each_rounds(monkeypatch):
    times = iter([1, 1, 9, 9, 2, 1, 8, 4])  # the first of either sets how many calls make a turn
    monkeypatch.setattr(operations, "_turn", lambda f, count: next(times))
    assert operations.measured(None, None, rounds=3) == (8, 4, 2), "medians of (9, 2, 8), (9, 1, 4), (1, 2, 2)"


def test_both_sides_compute_the_same():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with torch.no_grad():
        for name, (_, ours, theirs) in operations.operations(np.random.default_rng(0)).items():
            np.testing.assert_allclose(ours(), theirs().numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
