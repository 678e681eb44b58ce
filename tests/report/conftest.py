"""A finished run, looked into; once for all tests."""

import pytest

from tests.training import helpers
from tinyvit.data import load_data
from tinyvit.report.inside import look_inside
from tinyvit.training.checkpoint import load
from tinyvit.training.run import open_run


@pytest.fixture(scope="session")
def inside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run <1> & 2"
    assert helpers.call("train", *helpers.SMALL, "--depth=2", "--epochs=6", "--batch=64", "--out", folder).code == 0
    run = open_run(folder)
    p, config = load(run.model)
    return look_inside(run, p, config, load_data("digits")[1])
