"""The report in a real browser: hover, focus, keys, layer, head and image change the maps as the numbers say."""

import dataclasses
import json
import re
from html import escape
from importlib import resources

import numpy as np
import pytest

from tests.browser import SCRIPT, driven
from tests.reference.compare import random_vit, randomised
from tinyvit.models.swin import SwinConfig, swin, swin_init
from tinyvit.models.views import swin_maps
from tinyvit.models.vit import vit
from tinyvit.report.explorer import Explorer, _colours
from tinyvit.report.page import page
from tinyvit.viz.attention import attention_maps

pytestmark = pytest.mark.usefixtures("browser")

TOOLS = """
<script>
function press(key) {
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
}
function choose(select, value) {
  select.value = value;
  select.dispatchEvent(new Event("change", {bubbles: true}));
}
function hover(button) { button.dispatchEvent(new PointerEvent("pointerenter")); }
function weights(root) { return [...root.querySelectorAll(".to i")].map(cell => +cell.dataset.weight); }
function small(root) {  // the small maps: what each is called, whether it is chosen, its pixels as [R, G, B]
  return [...root.querySelectorAll(".maps button")].map(button => {
    const {width, height} = button.firstChild;
    const pen = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
    pen.drawImage(button.firstChild, 0, 0);
    const pixels = [...pen.getImageData(0, 0, width, height).data];
    return {name: button.getAttribute("aria-label"), pressed: button.getAttribute("aria-pressed"),
            border: parseFloat(getComputedStyle(button).borderTopWidth),
            pixels: Array.from({length: width * height}, (_, i) => pixels.slice(4 * i, 4 * i + 3))};
  });
}
function leave(found) {
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({...found, errors});
}
</script>
"""

DRIVER = """
<script>
window.addEventListener("load", () => {
  const root = document.querySelector(".tinyvit-explorer"), seen = {};
  const one = selector => root.querySelector(selector);
  const patches = [...root.querySelectorAll(".from button")];
  function note(name) {
    seen[name] = {
      weights: weights(root),
      colours: [...root.querySelectorAll(".to i")].map(cell => getComputedStyle(cell).backgroundColor),
      words: one("output").textContent,
      most: one(".most").textContent,
      chosen: patches.findIndex(patch => patch.classList.contains("chosen")),
      focused: patches.indexOf(document.activeElement),
    };
  }
  note("start");
  hover(patches[6]);
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
  hover(one(".token"));
  note("class token");
  patches[3].click();
  hover(patches[8]);
  note("held 3");
  patches[3].click();
  hover(patches[8]);
  note("let go, 8");
  const requests = performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !name.startsWith("data:"));
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  leave({seen, requests, wide, width: innerWidth, fallback: Boolean(one(".static"))});
});
</script>
"""

LIFT = """
<script>
window.addEventListener("load", () => {
  document.body.append(document.querySelector("iframe").contentDocument.getElementById("found"));
});
</script>
"""


def explored(html, driver, folder, width=None):
    """What a driver finds on a page where nothing goes wrong; a width is that of a frame, as no window is so narrow."""
    driver = TOOLS + driver
    if width:
        doctype, rest = html[:15], html[15:]
        inner = escape(doctype + SCRIPT + rest + driver)
        style = f"width: {width}px; height: 900px; border: 0"
        html, driver = f'{doctype}<body><iframe style="{style}" srcdoc="{inner}"></iframe></body>', LIFT
    found, console = driven(html, driver, folder)
    assert console == [] and found["errors"] == []
    return found


def alone(explorer):
    return f"<!DOCTYPE html><body>{explorer.html()}</body>"


@pytest.fixture(scope="module", params=[None, 320], ids=["desktop", "phone"])
def found(request, inside, tmp_path_factory):
    found = explored(page(inside), DRIVER, tmp_path_factory.mktemp("browser"), request.param)
    assert found["width"] == (request.param or 1000)
    return found


def test_nothing_is_asked_for_and_nothing_goes_wrong(found):
    assert found["requests"] == []
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
    found = explored(alone(Explorer(inside.images[:2], p, config)), DRIVER, tmp_path)
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
      weights: weights(root),
      words: one("output").textContent,
      chosen: buttons().findIndex(button => button.classList.contains("chosen")),
      widths: buttons().map(button => Math.round(button.getBoundingClientRect().width)),
      heads: one(".head").options.length,
      shown: one(".head").value,
    };
  }
  function look(layer) {
    choose(one(".layer"), layer);
    note("average " + layer);
    buttons().forEach((button, i) => {
      hover(button);
      note("hover " + layer + " " + i);
    });
    hover(one(".token"));
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
  hover(buttons()[15]);
  buttons()[6].click();
  hover(buttons()[15]);
  leave({seen, maps: small(root), rows: getComputedStyle(one(".maps")).gridTemplateRows.split(" ").length});
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
    found = explored(alone(Explorer(images, p, config)), PYRAMID_DRIVER, tmp_path)
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
    # Small maps are of 7 x 7 patches in every layer. The last query is token 15, which begins at patch 48.
    assert len(found["maps"]) == (1 + 2) * 2 + (1 + 4) * 2 and found["rows"] == 1 + 4
    assert_shows(found["maps"][5], maps[1][1][6 * 7 + 6])
    merged = np.arange(7) // 2
    assert_shows(found["maps"][-1], maps[3][3][15].reshape(4, 4)[merged][:, merged].ravel())


# ---- the small maps


def assert_shows(shown, weights):
    """The pixels of a small map have the colours of these weights, of which the largest is the end of the scale."""
    stops = np.array(_colours(), float)
    at = weights / weights.max() * (len(stops) - 1)
    colours = np.stack([np.interp(at, np.arange(len(stops)), channel) for channel in stops.T], axis=-1)
    np.testing.assert_allclose(shown["pixels"], colours, atol=1.01, err_msg=shown["name"])  # rounded, maps and colours


MOSAIC_DRIVER = """
<script>
window.addEventListener("load", () => {
  const root = document.querySelector(".tinyvit-explorer"), seen = {};
  const one = selector => root.querySelector(selector);
  const maps = [...root.querySelectorAll(".maps button")];
  function note(name) {
    seen[name] = {weights: weights(root), small: small(root), layer: one(".layer").value, head: one(".head").value,
                  focused: maps.indexOf(document.activeElement),
                  stops: maps.map((map, i) => map.tabIndex < 0 ? -1 : i).filter(i => i >= 0)};
  }
  note("start");
  hover(root.querySelectorAll(".from button")[6]);
  note("hover 6");
  maps[2].click();
  note("layer 1, head 2");
  maps[0].focus();
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"]) press(key);
  note("keys");
  document.activeElement.click();
  note("chosen by key");
  choose(one(".head"), "-1");
  note("mean");
  leave({seen, hidden: one(".mosaic").hidden, sideways: one(".mosaic").scrollWidth > one(".mosaic").clientWidth});
});
</script>
"""


def test_small_maps_show_every_layer_and_head_and_choose_one(inside, tmp_path):
    found = explored(alone(Explorer(inside.images[:2], inside.p, inside.config)), MOSAIC_DRIVER, tmp_path, 320)
    maps = np.stack([a[0] for a in inside.maps])  # [L, h, T, T]
    (layers, heads), seen, side = maps.shape[:2], found["seen"], inside.config.grid
    assert not found["hidden"] and not found["sideways"]
    for name, query in (("start", 0), ("hover 6", 7)):
        shown = iter(seen[name]["small"])
        for layer in range(layers):
            for a in (maps[layer].mean(axis=0), *maps[layer]):
                assert_shows(next(shown), a[query, 1:])
        assert next(shown, None) is None
    names = [one["name"] for one in seen["start"]["small"]]
    assert names[0] == "layer 1, mean of the heads" and names[2] == "layer 1, head 2"
    assert names[-1] == f"layer {layers}, head {heads}" and len(names) == layers * (heads + 1)
    expected = {
        "start": (layers - 1, -1),
        "layer 1, head 2": (0, 1),
        "keys": (0, 1),
        "chosen by key": (1, 0),
        "mean": (1, -1),
    }
    for name, (layer, head) in expected.items():
        assert (seen[name]["layer"], seen[name]["head"]) == (str(layer), str(head)), name
        pressed = [i for i, one in enumerate(seen[name]["small"]) if one["pressed"] == "true"]
        thick = [i for i, one in enumerate(seen[name]["small"]) if one["border"] > 2]
        assert pressed == thick == [layer * (heads + 1) + head + 1], name
        assert seen[name]["stops"] == [max(seen[name]["focused"], 0)], "Tab comes to the one where the reader was"
    np.testing.assert_allclose(seen["layer 1, head 2"]["weights"], maps[0, 1, 7, 1:], atol=1e-4)
    np.testing.assert_allclose(seen["chosen by key"]["weights"], maps[1, 0, 7, 1:], atol=1e-4)
    assert seen["keys"]["focused"] == heads + 1 + 1, "two to the right, one down, below which is nothing, and back"
    assert side**2 == len(seen["start"]["small"][0]["pixels"])


@pytest.mark.parametrize(("depth", "shown"), [(12, True), (13, False)])
def test_of_more_than_48_there_are_no_small_maps(inside, tmp_path, depth, shown):
    config = dataclasses.replace(inside.config, depth=depth, heads=4)
    found = explored(alone(Explorer(inside.images[:1], random_vit(config), config)), FEW_DRIVER, tmp_path)
    assert found == {"hidden": not shown, "count": depth * 5 * shown, "errors": []}


FEW_DRIVER = """
<script>
window.addEventListener("load", () => leave({
  hidden: document.querySelector(".mosaic").hidden, count: document.querySelectorAll(".maps button").length,
}));
</script>
"""

# ---- as another page uses it: its own weights, an image that is a canvas, another language


def _text(name):
    return resources.files("tinyvit.report").joinpath(name).read_text(encoding="utf-8")


WORDS = json.loads(_text("explorer_words.json"))
UPDATE_DRIVER = """
<script>
window.addEventListener("load", () => {
  const root = document.getElementById("here"), seen = {}, heard = [];
  const data = JSON.parse(document.getElementById("data").textContent);
  const canvas = Object.assign(document.createElement("canvas"), {width: 8, height: 8});
  function paint(canvas, left) {
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.fillStyle = "#000"; context.fillRect(0, 0, 8, 8);
    context.fillStyle = "#fff"; context.fillRect(left, 2, 2, 3);
  }
  paint(canvas, 1);
  const source = (maps, title) => ({
    ...data.source, name: "here", images: [{src: canvas, title}], chosen: patch => heard.push(patch),
    weights: (image, layer, head, query) => maps[layer][head][query],
  });
  function corner(photo) {  // a pixel of the first figure
    const pen = new OffscreenCanvas(8, 8).getContext("2d", {willReadFrequently: true});
    pen.drawImage(photo, 0, 0);
    return [...pen.getImageData(1, 3, 1, 1).data];
  }
  const made = explorer(root, source(data.maps[0], "first"), data.words.en);
  function note(name) {
    seen[name] = {
      weights: weights(root), small: small(root), said: root.querySelector("output").textContent,
      most: root.querySelector(".most").textContent, path: root.querySelector("path").getAttribute("d"),
      chosen: [...root.querySelectorAll(".from button")].findIndex(button => button.classList.contains("chosen")),
      layer: root.querySelector(".layer").value, head: root.querySelector(".head").value,
      photo: corner(root.querySelector(".photo")),
      text: root.innerText, labels: [...root.querySelectorAll("[aria-label]")].map(e => e.getAttribute("aria-label")),
      hidden: getComputedStyle(root.querySelector(".images label")).display === "none",
    };
  }
  hover(root.querySelectorAll(".from button")[6]);
  root.querySelectorAll(".maps button")[2].click();
  note("first");
  const watch = new MutationObserver(() => {});
  watch.observe(root, {childList: true, subtree: true});
  paint(canvas, 4);
  made.update(source(data.maps[1], "second"), {quiet: true});
  const built = watch.takeRecords().filter(record => [...record.addedNodes].some(node => node.nodeType === 1)).length;
  note("quiet");
  made.update(source(data.maps[1], "second"));
  note("second");
  made.choose(3);
  note("chosen");
  made.say(data.words.zh);
  note("zh");
  made.choose(-1);
  note("zh, class token");
  made.say(data.words.en);
  note("en");
  made.update(source(data.maps[0].map(heads => heads.map(rows => rows.map(row => row.map(() => NaN)))), "spoilt"));
  note("spoilt");
  leave({seen, heard, built});
});
</script>
"""


@pytest.fixture(scope="module")
def used(inside, tmp_path_factory):
    maps = [[a[i].tolist() for a in inside.maps] for i in range(2)]
    source = {key: value for key, value in Explorer(inside.images[:1], inside.p, inside.config).data().items()}
    source = {key: source[key] for key in ("first", "layers", "colours")}
    data = json.dumps({"maps": maps, "source": source, "words": WORDS})
    html = (
        f'<!DOCTYPE html><style>{_text("explorer.css")}</style><div id="here" class="tinyvit-explorer"></div>'
        f'<script type="application/json" id="data">{data}</script><script>"use strict";{_text("explorer.js")}</script>'
    )
    return explored(html, UPDATE_DRIVER, tmp_path_factory.mktemp("used"))


def test_an_update_shows_other_numbers_and_keeps_what_is_chosen(used, inside):
    seen, maps = used["seen"], np.stack(inside.maps, axis=1)  # [B, L, h, T, T]
    for name, image, query in (("first", 0, 7), ("quiet", 1, 7), ("second", 1, 7), ("chosen", 1, 4)):
        weights = maps[image, 0, 1, query, 1:]
        np.testing.assert_allclose(seen[name]["weights"], weights, atol=1e-4, err_msg=name)
        assert seen[name]["most"] == f"{100 * weights.max():.1f} %"
        assert_shows(seen[name]["small"][2], weights)
        assert_shows(seen[name]["small"][-1], maps[image, -1, -1, query, 1:])
        assert (seen[name]["chosen"], seen[name]["layer"], seen[name]["head"]) == (query - 1, "0", "1"), name
    assert used["built"] == 0, "no element is made"
    assert seen["quiet"]["said"] == seen["first"]["said"] and "first. In layer 1" in seen["quiet"]["said"]
    assert "second. In layer 1" in seen["second"]["said"]


def test_weights_that_are_no_numbers_stop_nothing(used):
    spoilt = used["seen"]["spoilt"]
    assert spoilt["said"].startswith("spoilt. In layer 1") and spoilt["most"] == "NaN %"


def test_an_image_that_is_a_canvas_is_drawn_with_its_outline(used):
    first, second = used["seen"]["first"], used["seen"]["quiet"]
    assert first["photo"] == [255, 255, 255, 255] and second["photo"] == [0, 0, 0, 255]
    edges = {f"M{2 + x} {3 + y}h1" for x in range(2) for y in (0, 3)} | {
        f"M{2 + x} {3 + y}v1" for x in (0, 2) for y in range(3)
    }
    assert set(re.findall(r"M\d+ \d+[hv]1", first["path"])) == edges
    assert set(re.findall(r"M\d+ \d+[hv]1", second["path"])) == {
        re.sub(r"M(\d+)", lambda found: f"M{int(found[1]) + 3}", edge) for edge in edges
    }
    assert first["hidden"], "there is nothing to choose from one image"


def test_what_the_reader_points_at_is_told_and_what_the_page_chooses_is_not(used):
    assert used["heard"] == [6]


def test_it_says_everything_in_chinese_and_again_in_english(used):
    chinese, token, english = (used["seen"][name] for name in ("zh", "zh, class token", "en"))
    assert chinese["said"].startswith("second。第 1 层，第 2 个头：第 1 行第 4 列的图块最关注")
    assert "：类别词元最关注" in token["said"]
    for shown in (chinese["text"].replace("second", ""), *chinese["labels"]):
        assert not re.search("[A-Za-z]", shown.replace("second", "")), shown
    assert "第 1 层，第 2 个头" in chinese["labels"] and chinese["chosen"] == 3
    assert not re.search("[\u4e00-\u9fff]", english["text"] + "".join(english["labels"]))


def test_both_languages_say_the_same_things():
    english, chinese = WORDS["en"], WORDS["zh"]
    assert list(english) == list(chinese)
    for name, text in english.items():
        gaps = [set(re.findall(r"\{(\w+)\}", words)) for words in (text, chinese[name])]
        assert gaps[0] == gaps[1], name
        assert re.search(rf"words\.{name}\b|[\"=]{name}\"", _text("explorer.js")), f"{name} is never said"


# ---- light and dark, old browsers


SCHEME_DRIVER = """
<script>
window.addEventListener("load", () => {
  function ground(element) {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
  }
  const texts = ["p", "a", "td", "select", ".token", ".ends span", "output", ".mosaic p", ".maps b"];
  const pairs = texts.map(name => document.querySelector(name)).map(e => [getComputedStyle(e).color, ground(e)]);
  const lines = ["select", ".maps button:not(.chosen)"].map(name => document.querySelector(name));
  const chosen = document.querySelector(".maps .chosen");
  leave({pairs, page: ground(document.body),
         lines: [...lines, chosen].map(e => [getComputedStyle(e).borderTopColor, ground(e)]),
         figures: [...new Set([...document.querySelectorAll(".wide img")].map(ground))],
         motion: [...document.querySelectorAll("*")].some(e => e.getAnimations().length)});
});
</script>
"""


def contrast(pair):
    """WCAG 2's ratio of two colours."""

    def luminance(colour):
        c = np.array([int(n) for n in re.findall(r"\d+", colour)[:3]]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    light, dark = sorted(map(luminance, pair), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("scheme", "ground"), [("not all", "rgb(255, 255, 255)"), ("all", "rgb(21, 23, 28)")])
def test_light_and_dark_can_be_read(inside, tmp_path, scheme, ground):
    html = page(inside)
    assert html.count("(prefers-color-scheme: dark)") == 2, "of the page and of the explorer"
    found = explored(html.replace("(prefers-color-scheme: dark)", scheme), SCHEME_DRIVER, tmp_path)
    assert found["page"] == ground and found["figures"] == ["rgb(255, 255, 255)"] and not found["motion"]
    assert min(map(contrast, found["pairs"])) >= 4.5, found["pairs"]
    assert min(map(contrast, found["lines"])) >= 3, found["lines"]


COLOURS_DRIVER = """
<script>
window.addEventListener("load", () => {
  const {color, backgroundColor} = getComputedStyle(document.querySelector("select"));
  leave({select: [color, backgroundColor]});
});
</script>
"""


@pytest.mark.parametrize(("scheme", "ground"), [("not all", "rgb(255, 255, 255)"), ("all", "rgb(21, 23, 28)")])
def test_an_explorer_of_its_own_can_be_read_in_light_and_dark(inside, tmp_path, scheme, ground):
    html = alone(Explorer(inside.images[:1], inside.p, inside.config)).replace("(prefers-color-scheme: dark)", scheme)
    select = explored(html, COLOURS_DRIVER, tmp_path)["select"]
    assert select[1] == ground and contrast(select) >= 7


def test_a_page_sets_the_colours_of_its_explorers(inside, tmp_path):
    html = alone(Explorer(inside.images[:1], inside.p, inside.config))
    html = html.replace("<body>", '<body style="--ground: rgb(1, 2, 3); --ink: rgb(201, 202, 203)">')
    assert explored(html, COLOURS_DRIVER, tmp_path)["select"] == ["rgb(201, 202, 203)", "rgb(1, 2, 3)"]


CLICK_DRIVER = """
<script>
window.addEventListener("load", () => {
  const root = document.querySelector(".tinyvit-explorer"), seen = {};
  const patches = [...root.querySelectorAll(".from button")];
  patches[6].focus();
  seen.focus = weights(root);
  patches[3].click();
  seen.click = weights(root);
  patches[8].focus();
  seen.held = weights(root);
  const held = patches.findIndex(patch => patch.getAttribute("aria-pressed") === "true");
  leave({seen, held, pointers: typeof PointerEvent});
});
</script>
"""


def test_without_pointer_events_it_works_by_focus_and_click(inside, tmp_path):
    html = alone(Explorer(inside.images[:1], inside.p, inside.config))
    html = html.replace("<body>", "<body><script>delete window.PointerEvent</script>")
    found = explored(html, CLICK_DRIVER, tmp_path)
    assert found["pointers"] == "undefined" and found["held"] == 3
    mean = inside.maps[-1][0].mean(axis=0)
    for name, query in (("focus", 7), ("click", 4), ("held", 4)):
        np.testing.assert_allclose(found["seen"][name], mean[query, 1:], atol=1e-4, err_msg=name)


def test_several_explorers_on_a_page_and_titles_that_look_like_markup(inside, tmp_path):
    titles = ["</script><b>bold</b>", "plain"]
    one = Explorer(inside.images[:2], inside.p, inside.config, titles).html()
    other = Explorer(inside.images[2:4], inside.p, inside.config).html()
    found = explored(f"<!DOCTYPE html><body>{one}{other}</body>", DRIVER, tmp_path)
    assert "</script><b>bold</b>. In layer" in found["seen"]["start"]["words"]
