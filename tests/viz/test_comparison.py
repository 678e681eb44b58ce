"""What was expected, what was found and the difference show the matrix in which most is wrong."""

import numpy as np
import pytest

from tinyvit.viz.comparison import comparison


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 1, 3, 4), (1, 40), (40, 1)])
def test_the_panels_are_the_matrix_with_the_largest_difference(shape):
    expected = np.random.default_rng(0).standard_normal(shape)
    found = expected.copy()
    last = (-1,) * len(shape)
    found[last] += 5
    found[(0,) * len(shape)] += 1
    figure = comparison("dx", found, expected)
    panels = [axes for axes in figure.axes if axes.images]
    matrix = (-1,) * max(len(shape) - 2, 0)
    for axes, array in zip(panels, (expected, found, found - expected), strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), np.atleast_2d(array[matrix]))
        low, high = axes.images[0].get_clim()
        assert low == -high < 0
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim()
    assert [axes.get_title() for axes in panels] == ["expected", "yours", "difference"]
    places = "".join(f"{size - 1}, " for size in shape[:-2])
    assert panels[0].get_ylabel() == (f"dx[{places}:, :]" if places else "dx")


def test_other_axes_draw_a_channel_of_a_map():
    expected = np.random.default_rng(0).standard_normal((2, 5, 6, 3))
    found = expected.copy()
    found[1, 4, 0, 2] += 5
    figure = comparison("dx", found, expected, axes=(1, 2))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), expected[1, :, :, 2])
    assert figure.axes[0].get_ylabel() == "dx[1, :, :, 2]"
    of_parameters = comparison("g/w", found[0, 0], expected[0, 0] + 1, axes=(1, 2))
    np.testing.assert_allclose(of_parameters.axes[0].images[0].get_array(), expected[0, 0] + 1)
