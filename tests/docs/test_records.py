"""The log of trials: what a trial changes, what it looks at, and that the page shows all of them."""

import json

import pytest

from docs import records
from tinyvit import load_data


def test_changes_go_to_the_model_or_to_the_recipe():
    config, recipe = records.settings("mnist", records.BASE | {"widths": [4, 8], "depth": 1, "dim": 8})
    assert (config.widths, config.vit.depth, config.vit.dim) == ((4, 8), 1, 8)
    assert (recipe.optimizer, recipe.learning_rate, recipe.epochs, recipe.schedule) == ("muon", 0.01, 3, "linear")


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("1e-2", 0.01), ("[1,2]", [1, 2]), ("muon", "muon")])
def test_values_of_the_command_line(text, value):
    assert records.value_of(text) == value


def test_a_trial_is_measured_on_held_out_images_and_never_sees_the_test_images(monkeypatch):
    (x, y), _ = load_data("digits")
    seen, fit = [], records.fit

    def watched(config, data, **how):
        seen.append(data)
        _, history = found = fit(config, data, **how)
        seen.append(history)
        return found

    monkeypatch.setattr(records, "fit", watched)
    accuracies, seconds, parameters = records.trial("digits", (x, y), {"epochs": 2}, 0)
    (train, (images, labels)), history = seen
    assert train[0] is x and train[1] is y and len(images) == 1 and (images == x[:1]).all() and (labels == y[:1]).all()
    assert accuracies == [row["validation_accuracy"] for row in history if row["kind"] == "epoch"] and seconds > 0
    assert parameters == 39_242


def test_the_page_has_every_trial():
    page = (records.DOCS / "records.md").read_text(encoding="utf-8")
    log = page.partition("<!-- trials -->")[2].partition("<!-- /trials -->")[0]
    trials = [json.loads(line) for line in records.TRIALS.read_text().splitlines()]
    rows = [line for line in log.splitlines() if line.startswith("| ")][1:]
    assert rows == [records._row(row, row["preset"], records._changes(row["changes"])) for row in trials]
    for name, change in records.WITHOUT.items():
        assert any(row["changes"] == records.BASE | change for row in trials if row["preset"] == "mnist"), name
