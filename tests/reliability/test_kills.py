"""Commands that are killed leave nothing half-done, and when given again end as if nothing had happened: in small.

By hand, a hundred times and at any moment: see kills.py.
"""

import os
import random

import pytest

from tests.reliability.kills import SUBJECTS, TINY, kill_at_random, prepare, train
from tinyvit.models.model import ALL_MODELS, SEQUENCE_MODELS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
FEW = {  # what is killed, and how, once each
    "cnn": (train("cnn", 0, epochs=4, workers=1), ["SIGKILL"]),
    "masked": (train("masked", 0, epochs=4, workers=1), ["SIGTERM"]),
    "lab": (SUBJECTS["lab"], ["SIGKILL"]),
    "convert": (SUBJECTS["convert"], ["Ctrl-C"]),
} | {name: (train(name, 0, epochs=3, workers=1), ["SIGKILL"]) for name in SEQUENCE_MODELS}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with what the commands read."""
    return prepare(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("name", FEW)
def test_a_command_that_is_killed_and_given_again_leaves_what_an_undisturbed_one_does(here, name, tmp_path):
    for entry in ("run", "a.png", "tinyvit"):
        (tmp_path / entry).symlink_to(here / entry)
    subject, ways = FEW[name]
    assert kill_at_random(subject, len(ways), tmp_path, random.Random(0), ways=ways, earliest=0.4) == ways


def test_every_model_has_a_tiny_run_and_the_shares_are_per_cent():
    assert TINY.keys() == ALL_MODELS.keys(), "a new model is trained and killed as well: say how, in TINY"
    assert sum(subject.share for subject in SUBJECTS.values()) == 100
