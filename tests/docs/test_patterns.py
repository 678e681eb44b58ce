"""The table of patterns has every form, and counts what is computed; each form is measured in both passes."""

import pytest

from docs import patterns
from docs.readme import DOCS


@pytest.mark.parametrize("side", [8, 32])
def test_the_table_has_the_pairs_and_the_work_of_every_form(side):
    page = (DOCS / "derivations" / "patterns.md").read_text(encoding="utf-8")
    for title, (pairs, work, _) in patterns.forms(side).items():
        pairs = pairs if isinstance(pairs, str) else f"{pairs:,}"
        assert f"\n| {side * side:,} | {title} | {pairs} | {patterns._short(work)} | " in page


def test_rows_are_of_both_passes_and_of_their_memory(monkeypatch):
    monkeypatch.setattr(patterns, "ROUNDS", 1)
    rows = {row["form"]: row for row in patterns.measured(16)}
    assert rows.keys() == patterns.forms(8).keys() >= patterns.DRAWN.keys()
    assert all(row["peak"] > row["kept"] > 0 and row["seconds"] > 0 for row in rows.values())
    weights = 256 * 256 * 4 / 1e6
    assert rows["dense"]["kept"] > weights > 2 * rows["in blocks of 128 keys"]["kept"]
    assert rows[patterns.DENSE]["share"] == 1
