"""The report in a real browser: hover, focus, keys, layer, head and image change the map as the numbers say."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.browser import driven
from tests.reference.compare import random_vit, randomised
from tinyvit.models.swin import SwinConfig, swin, swin_init
from tinyvit.models.views import swin_maps
from tinyvit.models.vit import vit
from tinyvit.report.explorer import Explorer
from tinyvit.report.page import page
from tinyvit.viz.attention import attention_maps

pytestmark = pytest.mark.usefixtures("browser")

DRIVER = """
<script>
window.addEventListener("load", () => {
  const root = document.querySelector(".tinyvit-explorer"), seen = {};
  const one = selector => root.querySelector(selector);
  const patches = [...root.querySelectorAll(".from button")];
  function note(name) {
    seen[name] = {
      weights: [...root.querySelectorAll(".to i")].map(cell => +cell.dataset.weight),
      colours: [...root.querySelectorAll(".to i")].map(cell => getComputedStyle(cell).backgroundColor),
      words: one("output").textContent,
      most: one(".most").textContent,
      chosen: patches.findIndex(patch => patch.classList.contains("chosen")),
      focused: patches.indexOf(document.activeElement),
    };
  }
  function choose(select, value) {
    select.value = value;
    select.dispatchEvent(new Event("change", {bubbles: true}));
  }
  function press(key) {
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  }
  note("start");
  patches[6].dispatchEvent(new PointerEvent("pointerenter"));
  note("hover 6");
  choose(one(".layer"), "0");
  note("layer 0");
  choose(one(".head"), "1");
  note("head 1");
  patches[0].focus();
  note("focus 0");
  press("ArrowRight"); press("ArrowDown");
  note("right, down");
  press("ArrowUp"); press("ArrowUp");
  note("up, up");
  const second = root.querySelectorAll(".images input")[1];
  second.click();
  note("image 1");
  one(".token").dispatchEvent(new PointerEvent("pointerenter"));
  note("class token");
  patches[3].click();
  patches[8].dispatchEvent(new PointerEvent("pointerenter"));
  note("held 3");
  patches[3].click();
  patches[8].dispatchEvent(new PointerEvent("pointerenter"));
  note("let go, 8");
  const requests = performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !name.startsWith("data:"));
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  const text = JSON.stringify({seen, errors, requests, wide, fallback: Boolean(one(".static"))});
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = text;
});
</script>
"""


@pytest.fixture(scope="module", params=[1000, 400], ids=["desktop", "phone"])
def found(request, inside, tmp_path_factory):
    found, console = driven(page(inside), DRIVER, tmp_path_factory.mktemp("browser"), request.param)
    assert console == []
    return found


def test_nothing_is_asked_for_and_nothing_goes_wrong(found):
    assert found["errors"] == [] and found["requests"] == []
    assert not found["fallback"], "the static picture has given way"
    assert not found["wide"], "the page does not scroll sideways"


def test_the_map_is_what_the_numbers_say(found, inside):
    _, c = vit(inside.images[:8], inside.p, inside.config)
    maps = np.stack(attention_maps(c), axis=1)  # [B, L, h, T, T]
    mean, last, side = maps.mean(axis=2), inside.config.depth - 1, inside.config.grid
    expected = {
        "start": mean[0, last, 0],
        "hover 6": mean[0, last, 7],
        "layer 0": mean[0, 0, 7],
        "head 1": maps[0, 0, 1, 7],
        "focus 0": maps[0, 0, 1, 1],
        "right, down": maps[0, 0, 1, 1 + 1 + side],
        "up, up": maps[0, 0, 1, 1 + 1],
        "image 1": maps[1, 0, 1, 1 + 1],
        "class token": maps[1, 0, 1, 0],
        "held 3": maps[1, 0, 1, 4],
        "let go, 8": maps[1, 0, 1, 9],
    }
    for name, weights in expected.items():
        shown = found["seen"][name]
        np.testing.assert_allclose(shown["weights"], weights[1:], atol=1e-4, err_msg=name)
        assert shown["most"] == f"{100 * weights[1:].max():.1f} %", name
        lightest = [sum(map(int, re.findall(r"\d+", colour))) for colour in shown["colours"]]
        assert int(np.argmax(lightest)) == int(np.argmax(weights[1:])), name
    alike = {json.dumps(shown["weights"]): name for name, shown in found["seen"].items()}
    assert len(alike) == len(expected), f"two are alike, of which {alike.values()} are the last"


def test_what_is_chosen_is_marked_and_said(found, inside):
    seen, side = found["seen"], inside.config.grid
    assert [seen[name]["chosen"] for name in ("start", "hover 6", "focus 0")] == [-1, 6, 0]
    assert seen["right, down"]["focused"] == seen["right, down"]["chosen"] == 1 + side
    assert seen["up, up"]["focused"] == 1, "there is nothing above the first row"
    words = seen["right, down"]["words"]
    assert "In layer 1, head 2, the patch in row 2, column 2 takes most from" in words
    assert "on average over the heads, the class token takes" in seen["start"]["words"]


def test_without_a_class_token_all_buttons_are_patches_and_the_answer_is_their_mean(inside, tmp_path):
    config = dataclasses.replace(inside.config, pool="mean", position="2d")
    p = random_vit(config)
    found, console = driven(
        f"<!DOCTYPE html><body>{Explorer(inside.images[:2], p, config).html()}</body>", DRIVER, tmp_path
    )
    assert console == [] and found["errors"] == []
    maps = np.stack(attention_maps(vit(inside.images[:2], p, config)[1]), axis=1)  # [B, L, h, T, T]
    last, side = config.depth - 1, config.grid
    expected = {
        "start": (-1, maps[0, last].mean(axis=(0, 1))),
        "hover 6": (6, maps[0, last].mean(axis=0)[6]),
        "right, down": (1 + side, maps[0, 0, 1, 1 + side]),
        "class token": (-1, maps[1, 0, 1].mean(axis=0)),
        "held 3": (3, maps[1, 0, 1, 3]),
    }
    for name, (chosen, weights) in expected.items():
        np.testing.assert_allclose(found["seen"][name]["weights"], weights, atol=1e-4, err_msg=name)
        assert found["seen"][name]["chosen"] == chosen
    words = found["seen"]["start"]["words"]
    assert "on average over the heads, the average patch takes most from row" in words and "class token" not in words
    assert "the patch in row 2, column 2 takes most from" in found["seen"]["right, down"]["words"]


PYRAMID_DRIVER = """
<script>
window.addEventListener("load", () => {
  const root = document.querySelector(".tinyvit-explorer"), seen = {};
  const one = selector => root.querySelector(selector);
  const buttons = () => [...root.querySelectorAll(".from button")];
  function note(name) {
    seen[name] = {
      weights: [...root.querySelectorAll(".to i")].map(cell => +cell.dataset.weight),
      words: one("output").textContent,
      chosen: buttons().findIndex(button => button.classList.contains("chosen")),
      widths: buttons().map(button => Math.round(button.getBoundingClientRect().width)),
      heads: one(".head").options.length,
      shown: one(".head").value,
    };
  }
  function choose(select, value) {
    select.value = value;
    select.dispatchEvent(new Event("change", {bubbles: true}));
  }
  function look(layer) {
    choose(one(".layer"), layer);
    note("average " + layer);
    buttons().forEach((button, i) => {
      button.dispatchEvent(new PointerEvent("pointerenter"));
      note("hover " + layer + " " + i);
    });
    one(".token").dispatchEvent(new PointerEvent("pointerenter"));
  }
  note("start");
  for (const layer of [0, 1, 2, 3]) look(layer);
  choose(one(".head"), "3");
  note("head 3");
  buttons()[6].click();
  choose(one(".layer"), "0");
  note("held, layer 0");
  choose(one(".layer"), "3");
  note("held, layer 3");
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({seen, errors});
});
</script>
"""


def test_of_a_pyramid_every_layer_has_its_own_grid_and_its_windows(tmp_path):
    """On 7 x 7 patches, then 4 x 4 tokens, in windows of 3 that do not divide them, displaced in every other layer."""
    config = SwinConfig(
        image=14, channels=1, patch=2, dim=4, depths=(2, 2), heads=(2, 4), window=3, mlp_ratio=2, classes=5
    )
    p = randomised(swin_init(None, config))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 14, 14, 1))
    maps = [a[0] for a in swin_maps(swin(images, p, config)[1], config)]  # [h, T, T]
    html = f"<!DOCTYPE html><body>{Explorer(images, p, config).html()}</body>"
    found, console = driven(html, PYRAMID_DRIVER, tmp_path)
    assert console == [] and found["errors"] == []
    seen = found["seen"]
    for layer, a in enumerate(maps):
        np.testing.assert_allclose(seen[f"average {layer}"]["weights"], a.mean(axis=(0, 1)), atol=1e-4)
        for t, weights in enumerate(a.mean(axis=0)):
            shown = seen[f"hover {layer} {t}"]
            np.testing.assert_allclose(shown["weights"], weights, atol=1e-4, err_msg=f"layer {layer}, token {t}")
            assert shown["chosen"] == t
    np.testing.assert_allclose(seen["head 3"]["weights"], maps[3][3].mean(axis=0), atol=1e-4)
    held, back = (
        seen["held, layer 0"],
        seen["held, layer 3"],
    )  # token 6: row 1, column 2; its first patch: row 2, column 4
    assert (held["chosen"], held["heads"], held["shown"]) == (2 * 7 + 4, 3, "-1"), "two heads, and their mean"
    np.testing.assert_allclose(held["weights"], maps[0].mean(axis=0)[18], atol=1e-4)
    assert back["chosen"] == 6 and back["heads"] == 5
    full, last = seen["hover 3 0"]["widths"][0], seen["hover 3 0"]["widths"][3]
    assert abs(full - 2 * last) <= 1, "the last token of an odd side covers one patch"
    assert "the patch in row 3, column 5 takes most from" in held["words"]
    assert "the token of 2 x 2 patches in row 2, column 3 takes most from" in back["words"]
    assert "the average patch takes most from" in seen["start"]["words"]


def test_several_explorers_on_a_page_and_titles_that_look_like_markup(inside, tmp_path):
    titles = ["</script><b>bold</b>", "plain"]
    one = Explorer(inside.images[:2], inside.p, inside.config, titles).html()
    other = Explorer(inside.images[2:4], inside.p, inside.config).html()
    found, console = driven(f"<!DOCTYPE html><body>{one}{other}</body>", DRIVER, tmp_path)
    assert console == [] and found["errors"] == []
    assert "</script><b>bold</b>. In layer" in found["seen"]["start"]["words"]
