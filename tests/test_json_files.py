"""JSON that says what no file of ours would: refused in one line, whatever Python's parser makes of it."""

import json
import os

import pytest

from tests.reference.forgery import refused_in_one_line
from tinyvit import json_files
from tinyvit.errors import DataError

GOOD = {"a": [1, -2.5, True, None, "é"], "b": {"c": {}}, "d": 10**99}
BAD = {  # what a file holds, and a word of the line that refuses it
    "nothing": (b"", "Expecting value"),
    "half": (b'{"a": [1, 2', "Expecting"),
    "no text": (b'{"a": "\xff"}', "decode"),
    "a deep list": (b"[" * 100_000, "levels"),
    "a deep object": (b'{"a":' * 100_000, "levels"),
    "levels that Python reads": (b"[" * 40 + b"]" * 40, "more than 32 levels"),
    "levels under a name": (b'{"a":' * 33 + b"1" + b"}" * 33, "more than 32 levels"),
    "NaN": (b'{"loss": NaN}', "the number NaN"),
    "infinity": (b"[-Infinity]", "the number -Infinity"),
    "a number beyond floats": (b"[1e999]", "the number 1e999"),
    "a number whose square is none": (b"[-1e200]", "the number -1e200"),
    "a number of 401 digits": (b"[1" + b"0" * 400 + b"]", "a number of 401 digits"),
    "a number of a million digits": (b"1" * 1_000_000, "a number of 1000000 digits"),
    "a name twice": (b'{"a": 1, "a": 2}', "twice"),
    "too long": (b" " * json_files.LONGEST + b"1", "expected at most 4000000"),
}


@pytest.mark.parametrize(
    "data", [json.dumps(GOOD), json.dumps(GOOD).encode(), b"\xef\xbb\xbf" + json.dumps(GOOD).encode()]
)
def test_what_is_good_is_read(data):
    assert json_files.parse(data) == GOOD


def test_as_many_levels_as_are_said():
    assert json_files.parse("[" * 32 + "]" * 32)


@pytest.mark.parametrize("name", BAD)
def test_what_is_not(name, tmp_path):
    (path := tmp_path / "file.json").write_bytes(BAD[name][0])
    refused_in_one_line(lambda: json_files.read(path), path, BAD[name][1])
    refused_in_one_line(lambda: json_files.read(path, DataError), path, BAD[name][1], error=DataError)


def test_a_file_that_is_missing_a_pipe_or_a_folder(tmp_path):
    refused_in_one_line(lambda: json_files.read(tmp_path / "none"), tmp_path / "none", "No such file")
    os.mkfifo(pipe := tmp_path / "pipe")
    for path in (pipe, tmp_path):
        refused_in_one_line(lambda path=path: json_files.read(path), path, "no ordinary file")
        refused_in_one_line(lambda path=path: list(json_files.lines(path)), path, "no ordinary file")


def test_a_line_that_is_no_json_hides_no_other(tmp_path):
    path = tmp_path / "file.jsonl"
    assert not list(json_files.lines(path))
    long = b"[" + b"1," * json_files.LONGEST + b"1]"
    path.write_bytes(b"\n".join([b'{"a": 1}', b"[NaN]", long, b"[" * 100_000, b"2", b"[3"]))
    assert list(json_files.lines(path)) == [(1, {"a": 1}), (2, None), (3, None), (4, None), (5, 2), (6, None)]


def test_lines_as_long_as_a_piece_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "LONGEST", 4)
    (path := tmp_path / "file.jsonl").write_bytes(b"123\n1234\n12345678\n123456789\n12")
    assert [value for _, value in json_files.lines(path)] == [123, None, None, None, 12]


@pytest.mark.parametrize("value", [True, None, "1", [1], float("nan"), float("inf"), 10**99, -(10**99)])
def test_what_is_no_number(value):
    assert not json_files.is_number(value)
    assert not json_files.is_whole(value)


def test_numbers():
    assert json_files.is_number(1.5)
    assert json_files.is_number(-3)
    assert json_files.is_whole(-3)
    assert not json_files.is_whole(1.5)


def test_as_many_levels_as_there_may_be():
    def nested(levels):
        return "[" * levels + "1" + "]" * levels

    assert json_files.parse(nested(json_files.DEEPEST))
    with pytest.raises(ValueError, match="more than 32 levels"):
        json_files.parse(nested(json_files.DEEPEST + 1))
