"""A line of any error: one line, of ordinary length, whatever stands in it."""

import re
from pathlib import Path

import pytest

import tinyvit
from tinyvit.errors import LONGEST, DataError, Interrupted, TinyvitError, UsageError, one_line


@pytest.mark.parametrize("kind", [TinyvitError, UsageError, DataError])
def test_ordinary_text_stays_as_it_is(kind):
    text = "photos/été 跑.png: found 3, expected 4; do this"
    assert str(kind(text)) == text
    assert str(kind("x" * LONGEST)) == "x" * LONGEST


def test_what_does_not_print_is_escaped():
    assert str(DataError("a\nb\tc\x1b[2J\udcff\u2028d")) == r"a\nb\tc\x1b[2J\udcff\u2028d"


def test_the_middle_of_a_long_text_is_left_out():
    line = str(DataError("photo.png: found " + "x" * 400_000 + ": expected y"))
    assert len(line) == LONGEST and line.startswith("photo.png: found xxx")
    assert " ... " in line and line.endswith("xxx: expected y")


@pytest.mark.parametrize("letter", ["\n", "\0", "\U0010ffff", "\udcff"])
def test_what_was_escaped_is_not_too_long(letter):
    assert len(one_line(letter * 399)) <= LONGEST


def test_an_interrupt_keeps_its_status():
    error = Interrupted("stopped\nhere", 15)
    assert (str(error), error.exit_code) == (r"stopped\nhere", 143)


def test_a_home_that_nobody_has_is_no_traceback():
    """pathlib's expanduser raises RuntimeError for ~nobody; that of os.path leaves it as it is."""
    sources = Path(tinyvit.__file__).parent.rglob("*.py")
    assert not [path.name for path in sources if re.search(r"(?<!os\.path)\.expanduser\(", path.read_text("utf-8"))]
