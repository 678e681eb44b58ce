"""The lab's table of answers has the sections' numbers, and a row for each of them."""

import json
import re
from pathlib import Path

LAB = Path(__file__).parents[2] / "docs" / "lab.md"
NUMBER = re.compile(r"T\^[\d.]+ ± [\d.]+|-?[\d.]+ ± [\d.]+")


def sections():
    """{anchor: text} of the page's sections, and the rows of its summary as (anchor, cells)."""
    _, *parts = re.split(r"^## ", LAB.read_text(encoding="utf-8"), flags=re.M)
    found = {anchor(part.partition("\n")[0]): part for part in parts}
    rows = re.findall(r"^\| \[.*?\]\(#(.*?)\) \| (.*) \|$", found.pop("in-short"), flags=re.M)
    return found, [(name, cells.split(" | ")) for name, cells in rows]


def anchor(title):
    """As GitHub and Sphinx name a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_every_experiment_has_a_row():
    found, rows = sections()
    assert [name for name, _ in rows] == [name for name, text in found.items() if "<!-- lab " in text]


def test_every_interval_of_the_summary_is_in_its_section():
    """With the same sign, or where the summary says that one is behind, with the other."""
    found, rows = sections()
    for name, cells in rows:
        numbers = NUMBER.findall(cells[0])
        assert len(cells) == 3 and numbers, name
        for number in numbers:
            behind = "behind" in cells[0] or "loses" in cells[0]
            assert number in found[name] and (not behind or f"-{number}" in found[name]), (name, number)


def test_the_seeds_of_post_norm_are_as_the_page_says():
    lines = (LAB.parent / "lab" / "norm.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [(run["setting"], run["result"]) for run in map(json.loads, lines)]
    mean = {}
    for norm, depth in {(setting["norm"], setting["depth"]) for setting, _ in runs}:
        of_it = [result for setting, result in runs if setting == {"norm": norm, "depth": depth}]
        ends = zip(*[(result["gradient_norms"][0], result["gradient_norms"][-1]) for result in of_it], strict=True)
        mean[norm, depth] = [sum(values) / len(values) for values in ends]
    eight = sorted(result["test_accuracy"] for setting, result in runs if setting == {"norm": "post", "depth": 8})
    assert eight == [0.1135, 0.1135, 0.3929]
    assert all(mean["post", depth][1] > mean["pre", depth][1] for depth in (2, 4, 8, 16))
    larger = [mean["post", depth][0] > mean["pre", depth][0] for depth in (2, 4, 8, 16)]
    assert any(larger) and not all(larger)
