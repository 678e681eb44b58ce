"""What the derivations are checked with: both sides of each step, on random numbers.

    python docs/compare.py docs/derivations/softmax.md

prints each block of a page and runs it, so that the largest difference of each of its comparisons stands below it.
"""

import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def compare(left, right, within=1e-9):
    """Print the largest difference of two arrays of one shape; if it is above `within`, that is an error.

    The difference of two numbers above 1 is relative. A typed number has few digits: for 0.2227 say within=5e-5.
    """
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if left.shape != right.shape:
        raise AssertionError(f"the shapes differ: {left.shape} and {right.shape}")
    difference = np.max(abs(left - right) / np.maximum(1, abs(right)))
    if not difference <= within:  # also if it is NaN
        raise AssertionError(f"largest difference {difference:.1e}, expected at most {within:.1e}")
    print(f"largest difference {difference:.1e}")


def slopes(f, x, step=1e-4):
    """The derivative of every entry of f(x) by every entry of x, measured: [*axes of f(x), *axes of x].

    One entry of x at a time is moved up and down, by one step and by two, as in a gradient check.
    """
    x = np.asarray(x, np.float64)
    found = []
    for entry in np.ndindex(x.shape):
        move = np.zeros(x.shape)
        move[entry] = step
        differences = 8 * (f(x + move) - f(x - move)) - (f(x + 2 * move) - f(x - 2 * move))
        found.append(differences / (12 * step))
    return np.stack(found, axis=-1).reshape(np.shape(found[0]) + x.shape)


def blocks(text):
    """The blocks of Python of a page that are to be run; the others are excerpts from the package."""
    fences = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [fence for fence in fences if "compare(" in fence]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for page in map(Path, sys.argv[1:]):
        names = {}
        for block in blocks(page.read_text(encoding="utf-8")):
            print(f"\n{block}")
            exec(compile(block, page.name, "exec"), names)
