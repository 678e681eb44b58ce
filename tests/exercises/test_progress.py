"""What a learner has done is kept, whole or not at all, and marking never fails for its sake."""

import json
import os
import subprocess
import sys

import pytest

from docs import asked
from tests.training.helpers import call
from tinyvit import exercises
from tinyvit.errors import DataError
from tinyvit.exercises import record
from tinyvit.exercises.catalogue import exercises as all_exercises
from tinyvit.exercises.hints import hints
from tinyvit.exercises.progress import BEYOND, by_notebook
from tinyvit.lock import locked

SOFTMAX = all_exercises()["softmax"].function


def states(file):
    return json.loads(file.read_text(encoding="utf-8"))["exercises"]


def test_what_is_tried_and_what_is_right_is_kept(progress_file):
    exercises.check("softmax", lambda x: None)
    assert not progress_file.exists()  # nothing was written yet
    exercises.check("softmax", lambda x: (x, {}))
    assert states(progress_file) == {"softmax": "tried"}
    exercises.check("softmax", SOFTMAX)
    assert states(progress_file) == {"softmax": "right"}
    exercises.check("softmax", lambda x: (x, {}))
    assert states(progress_file) == {"softmax": "right"}  # once found, it is found
    assert [path.name for path in progress_file.parent.iterdir()] == [record.FILE]


def test_the_list_is_by_notebook(progress_file):
    exercises.check("softmax", SOFTMAX)
    exercises.check("attention", lambda q, k, v, bias=None: (v, {}))
    text = exercises.progress()
    assert repr(text) == text and text.splitlines()[-1] == f"1 of {len(exercises.names())} right, 1 tried"
    assert "  right  softmax  " in text and "  tried  attention  " in text and "  -      softmax_backward  " in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert sorted(name for names in by_notebook().values() for name in names) == sorted(exercises.names())


def test_the_table_of_notebooks_is_up_to_date():
    """`python docs/measure.py exercises` writes it."""
    assert asked.FILE.read_text(encoding="utf-8") == asked.text()
    names = {name for notebook, names in by_notebook().items() if notebook != BEYOND for name in names}
    assert names <= set(exercises.names())


@pytest.mark.parametrize("damage", ["{", "[]", '{"exercises": []}', "\0"])
def test_a_damaged_file_is_told_of_and_left_as_it_is(progress_file, damage):
    progress_file.parent.mkdir()
    progress_file.write_text(damage)
    assert exercises.check("softmax", SOFTMAX)
    assert progress_file.read_text() == damage
    with pytest.raises(DataError, match=f"{record.FILE}"):
        exercises.progress()
    result = call("exercises")
    assert result.code == 1 and record.FILE in result.err and len(result.err.splitlines()) == 1


def test_where_nothing_can_be_kept_all_is_marked(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv(record.VARIABLE, str(tmp_path / "file"))
    assert exercises.check("softmax", SOFTMAX)
    assert exercises.progress().endswith(" right") and (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_is_full_leaves_the_old_file(progress_file, monkeypatch):
    exercises.check("softmax", SOFTMAX)
    before = progress_file.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert exercises.check("gelu", all_exercises()["gelu"].function)
    assert progress_file.read_bytes() == before
    assert [path.name for path in progress_file.parent.iterdir()] == [record.FILE]


def test_two_at_once_lose_nothing(progress_file):
    keeping = (
        "from tinyvit.exercises import record\n"
        "for i in range(20): record.keep('exercises', f'{NAME}{i}', lambda before: 'right')"
    )
    both = [subprocess.Popen([sys.executable, "-c", f"NAME = {name!r}\n{keeping}"]) for name in ("a", "b")]
    assert [process.wait() for process in both] == [0, 0]
    assert len(states(progress_file)) == 40


def test_another_process_is_waited_for_a_while_only(progress_file, monkeypatch):
    monkeypatch.setattr(record, "PATIENCE", (2, 0.01))
    held = "import sys; from tinyvit.lock import locked\nwith locked(sys.argv[1], 'x'): print(flush=True); input()"
    words = [sys.executable, "-c", held, str(progress_file.parent)]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    other.stdout.readline()
    assert exercises.check("softmax", SOFTMAX) and not progress_file.exists()
    other.communicate("\n")
    with locked(progress_file.parent, "keeping progress"):
        pass


def test_the_command_lists_all(progress_file):
    exercises.check("softmax", SOFTMAX)
    assert call("exercises").out == exercises.progress() + "\n"
    rows = json.loads(call("exercises", "--json").out)
    assert [row["name"] for row in rows if row["state"] == "right"] == ["softmax"]
    assert len(rows) == len(exercises.names()) and all(row["about"] for row in rows)


@pytest.mark.parametrize("name", ["softmax", "linear_backward", "causal"])
def test_the_command_says_what_to_write_opens_hints_and_the_solution(progress_file, name):
    said = call("exercises", name).out
    assert said.startswith(f"def {name}(") and f'exercises.check("{name}", yours)' in said
    assert "not tried yet" in said and "return" not in exercises.solution(name).splitlines()[0]
    for number, text in enumerate(hints(name), 1):
        assert call("exercises", name, "--hint", str(number)).out == f"{number} of {len(hints(name))}: {text}\n"
    assert call("exercises", name, "--hint").out.startswith("1 of ")
    assert call("exercises", name, "--solution").out == exercises.solution(name) + "\n"
    assert json.loads(call("exercises", name, "--hint", "--json").out)["hint"].startswith("1 of ")
    assert not progress_file.exists()
