"""What the page on Muon says in numbers and in its table of mistakes is what the tests compute and plant."""

import re

import numpy as np

from docs import measure
from tests.training.test_muon import BUGS, SHAPES, iterated, polynomial
from tinyvit.training import muon

PAGE = (measure.DOCS / "derivations/muon.md").read_text(encoding="utf-8")


def test_its_table_of_singular_values_is_computed():
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| \d\.\d{4} \|", line)]
    assert len(rows) > 5
    for first, *others in rows:
        s = float(first)
        for shown in others:
            s = polynomial(s)
            assert f"{s:.4f}" == shown, first


def test_its_table_of_mistakes_is_planted():
    table = re.search(r"<!-- planted -->\n(.*?)<!-- /planted -->", PAGE, re.DOTALL)[1]
    expected = []
    for says, (_, right, wrong) in BUGS.items():
        written = "left out" if wrong == "..." else measure.code(wrong) or "nothing"
        expected.append(f"| {measure.prose(says)} | {measure.code(right)} | {written} |")
    assert table.splitlines()[2:] == expected


def test_its_example_by_hand():
    assert [round(polynomial(s), 5) for s in (0.6, 0.8)] == [1.19327, 0.97648]
    for word in ("f(0.6) = 2.06670 - 1.03140 + 0.15797 = 1.19327", "f(0.8) = 2.75560 - 2.44480 + 0.66568 = 0.97648"):
        assert word in PAGE
        numbers = [float(number) for number in re.findall(r"-? ?\d\.\d{5}", word.replace("- ", "-"))]
        assert abs(sum(numbers[:-1]) - numbers[-1]) < 2e-5


def test_its_coefficients_are_the_packages():
    assert (muon.A, muon.B, muon.C, muon.STEPS, muon.MOMENTUM, muon.LENGTH) == (3.4445, -4.7750, 2.0315, 5, 0.95, 0.2)
    for value in ("3.4445", "-4.7750", "2.0315", "0.95", "0.2 \\sqrt"):
        assert value in PAGE
    s = np.linspace(0, 1.21, 1_210_001)
    assert round(polynomial(s).max(), 4) == 1.2024 and round(iterated(s[1600:1_000_001]).min(), 2) >= 0.68


def test_the_classical_coefficients_converge_to_1():
    a, b, c = 15 / 8, -10 / 8, 3 / 8
    assert (a + b + c, a + 3 * b + 5 * c, 6 * b + 20 * c) == (1, 0, 0)


def test_the_mean_square_is_one_over_the_longer_side():
    for shape in SHAPES.values():
        g = np.random.default_rng(0).standard_normal(shape)
        u, _, vt = np.linalg.svd(g, full_matrices=False)
        assert abs(np.mean((u @ vt) ** 2) * max(shape) - 1) < 1e-12
