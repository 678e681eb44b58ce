"""A person's odd sevens: half of them are taught on the page, and it reads the other half, which it has never seen."""

import json

import numpy as np
import pytest

from tests.browser import driven
from tests.live.strokes import seven
from tinyvit.live import bundled

STEPS = 10  # at most, for each drawing
HAND = dict(slant=0.8, hook=0.4, curve=-0.3)  # far to the right, the stem bent, the top line closing on it
DRIVER = """
<script>
window.addEventListener("load", () => {
  const rate = 10 ** document.getElementById("rate").value, given = strokes => {
    tinyvit.clear();
    tinyvit.draw(strokes);
    return tinyvit.input();
  };
  const read = image => best(tinyvit.forward(image)[0]);
  const right = () => data.labels.filter((label, i) => read(test_image(i)) === label).length;
  const misread = $HANDS.map(hand => hand.map(given).filter(image => read(image) !== 7).slice(0, 5));
  const [barred, plain] = misread, taught = [...barred.slice(0, 3), ...plain.slice(0, 2)];
  const others = [...barred.slice(3), ...plain.slice(2)], before = right(), steps = [];
  for (const image of taught) {
    let count = 0;
    while (read(image) !== 7 && count < $STEPS) { tinyvit.learn(7, rate, image); count++; }
    steps.push(count);
  }
  const found = { rate, before, steps, misread: misread.map(images => images.length), after: right() };
  found.taught = taught.map(read);
  found.others = others.map(read);
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({ ...found, errors });
});
</script>
"""


@pytest.mark.usefixtures("browser")
def test_it_learns_a_persons_sevens_from_five_of_them_and_keeps_the_others(tmp_path):
    hands = [[seven(np.random.default_rng(seed), bar=bar, **HAND) for seed in range(8)] for bar in (True, False)]
    driver = DRIVER.replace("$HANDS", json.dumps(hands)).replace("$STEPS", str(STEPS))
    found, console = driven(bundled.load().html(), driver, tmp_path)
    assert console == [] and found["errors"] == []
    assert found["misread"] == [5, 5], "first, none of the ten is read as a 7"
    assert found["taught"] == [7] * 5 and sum(found["steps"]) > 0 and max(found["steps"]) <= STEPS
    assert found["others"] == [7] * 5
    assert found["after"] >= found["before"] - 2
