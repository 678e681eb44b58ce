"""The learning rate over a run: values by hand."""

import dataclasses

import pytest

from tinyvit.errors import UsageError
from tinyvit.training.recipe import Recipe
from tinyvit.training.schedule import SCHEDULES, noam, warmup_cosine, warmup_linear

HALF_ROOT = 0.5**0.5


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 4.0),  # the peak, at the end of the warm-up
        (8, 4 * (1 + HALF_ROOT) / 2),  # a quarter of the cosine
        (12, 2.0),  # half of it
        (16, 4 * (1 - HALF_ROOT) / 2),
        (20, 0.0),  # the last step
    ],
)
def test_values_by_hand(step, rate):
    assert warmup_cosine(step, steps=20, warmup=0.2, peak=4.0) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize(("step", "rate"), [(1, 1.0), (4, 4.0), (8, 3.0), (12, 2.0), (19, 0.25), (20, 0.0)])
def test_linear_by_hand(step, rate):
    assert warmup_linear(step, steps=20, warmup=0.2, peak=4.0) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.13, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_rises_to_the_peak_and_falls_to_zero(schedule, steps, warmup):
    rates = [SCHEDULES[schedule](s, steps=steps, warmup=warmup, peak=0.3) for s in range(1, steps + 1)]
    top = rates.index(max(rates))
    assert top in (int(warmup * steps) - 1, int(warmup * steps)), "the peak is not where the warm-up ends"
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 <= rate <= 0.3 for rate in rates)
    assert rates[-1] == pytest.approx(0, abs=1e-16)


def test_without_warm_up_it_only_falls():
    rates = [warmup_cosine(s, steps=4, warmup=0.0, peak=1.0) for s in range(1, 5)]
    assert rates == pytest.approx([(1 + HALF_ROOT) / 2, 0.5, (1 - HALF_ROOT) / 2, 0])


def test_noam_is_the_papers():
    """D^-0.5 min(step^-0.5, step w^-1.5), whose peak for D = 512 and w = 4000 is 6.987712e-4."""
    for D, w, peak in ((512, 4000, 6.987712e-4), (1024, 4000, 4.941059e-4)):
        assert (D * w) ** -0.5 == pytest.approx(peak, rel=1e-6)
        for step in (1, 100, 4000, 4001, 16_000, 100_000):
            theirs = D**-0.5 * min(step**-0.5, step * w**-1.5)
            assert noam(step, steps=100_000, warmup=0.04, peak=(D * w) ** -0.5) == pytest.approx(theirs, rel=1e-12)


def test_noam_by_hand():
    rates = [noam(step, steps=20, warmup=0.2, peak=4.0) for step in (1, 4, 16)]
    assert rates == pytest.approx([1, 4, 2])
    assert [noam(step, steps=4, warmup=0.0, peak=1.0) for step in (1, 4)] == pytest.approx([1, 0.5])


def test_a_recipe_names_its_schedule():
    with pytest.raises(
        UsageError, match="schedule is 'nom': did you mean noam\\? Expected one of cosine, linear, noam"
    ):
        Recipe(schedule="nom")
    with pytest.raises(UsageError, match="schedule is \\[\\]: expected one of cosine, linear, noam"):
        Recipe(schedule=[])
    values = dataclasses.asdict(Recipe())
    assert values.pop("schedule") == "cosine"
    assert Recipe.from_dict(values) == Recipe(), "runs from before there was a choice open"
