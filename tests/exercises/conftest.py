"""What is marked here is not kept as a learner's progress."""

import pytest

from tinyvit.exercises import record


@pytest.fixture(scope="session", autouse=True)
def nobodys_progress(tmp_path_factory):
    """A folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(record.VARIABLE, str(tmp_path_factory.mktemp("progress")))
        yield


@pytest.fixture
def progress_file(tmp_path, monkeypatch):
    """A file of this test's own, which is not there yet."""
    monkeypatch.setenv(record.VARIABLE, str(tmp_path / "mine"))
    return tmp_path / "mine" / record.FILE
