"""The live page in a browser: what its controls do, and that every number it shows is NumPy's."""

import base64
import json
import os
import re
from html import escape
from pathlib import Path

import numpy as np
import pytest

from tests.browser import driven
from tests.live.strokes import pixel_strokes, seven
from tests.live.test_prepare import defined
from tests.reference.compare import random_vit
from tests.report.test_browser import contrast
from tinyvit import report, trees
from tinyvit.data import load_data, prepare
from tinyvit.layers.embedding import class_token
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.linear import linear
from tinyvit.layers.pool import readout
from tinyvit.live import bundled
from tinyvit.live.breaks import BREAKS
from tinyvit.live.page import LIMIT, Live, text_of
from tinyvit.live.stages import stages
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.ops.gelu import GELU
from tinyvit.ops.heads import merge_heads, split_heads
from tinyvit.ops.patches import patchify
from tinyvit.ops.scale import scale_queries
from tinyvit.ops.softmax import softmax
from tinyvit.viz.attention import answers_row, attention_maps, rollout

# Heads of width 3: no matrix of theirs is taken for a picture in colours.
SMALL = ViTConfig(
    image=8, channels=1, patch=2, dim=6, depth=2, heads=2, mlp_dim=10, classes=10, pool="mean", gelu="tanh"
)
LABEL = 3  # that is chosen for the drawing
IMAGES, SEED = 30, 3  # of the small model's page: what is learned, or left out, changes how many of them are right
LESSONS, RATE = {"small": 10, "bundled": 3}, -1.5  # steps, and where the slider stands: the logarithm of the rate
STROKES = seven(np.random.default_rng(0))
ALIKE = {"kicker", "stage-ln1", "stage-ln2", "stage-mlp", "stage-logits", "value-at"}  # in English and in Chinese

# The browser's clock runs ahead while nothing is computed, and would not wait for a frame: here all that the page puts
# off is done at once, in its order.
AT_ONCE = """
<script>
{
  const later = new Map(), { port1, port2 } = new MessageChannel();
  let count = 0;
  port1.onmessage = ({ data: id }) => { const f = later.get(id); later.delete(id); if (f) f(); };
  window.requestAnimationFrame = window.setTimeout = f => {
    later.set(++count, f);
    port2.postMessage(count);
    return count;
  };
  window.clearTimeout = id => later.delete(id);
}
</script>
"""
TOOLS = """
<script>
const frame = () => new Promise(done => setTimeout(done));  // after all that was put off before
const press = (key, on = document.activeElement) =>
  on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
function text64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
const packed = x => x && { shape: x.shape, values: text64(Float64Array.from(x).buffer) };
const all = tree => Object.fromEntries(leaves(tree).map(([name, x]) => [name, packed(x)]));
function colours(canvas) {
  const { width, height } = canvas;
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  return { shape: [height, width, 4], values: text64(pen.getImageData(0, 0, width, height).data.buffer) };
}
async function counted() {
  await frame();
  while (/Counting|\\u91cd\\u65b0\\u6570/.test($("#count").textContent)) await frame();
  await frame();
}
function point(kind, [x, y, pressure], pointerType, parts = []) {  // at a place of the raster
  const pad = $("#pad"), { left, top } = pad.getBoundingClientRect(), zoom = pad.clientWidth / 280;
  return new PointerEvent(kind, { bubbles: true, cancelable: true, pointerId: 1, isPrimary: true, pointerType, pressure,
    buttons: kind === "pointerup" ? 0 : 1, clientX: left + pad.clientLeft + x * zoom, coalescedEvents: parts,
    clientY: top + pad.clientTop + y * zoom });
}
function drag(points, pointerType = "mouse") {         // two places in each event that moves, as browsers bundle them
  const send = event => $("#pad").dispatchEvent(event);
  const move = (to, parts) => point("pointermove", to, pointerType, parts);
  send(point("pointerdown", points[0], pointerType));
  for (let i = 1; i < points.length; i += 2) {
    const parts = points.slice(i, i + 2).map(to => move(to));
    send(move(points[i], parts));
  }
  send(point("pointerup", points.at(-1), pointerType));
}
function shown() {
  const label = $("#classes input:checked");
  return {
    strokes: JSON.parse(JSON.stringify(state.strokes)), example: state.example, label: state.label,
    input: packed(tinyvit.input()), raster: text64(Uint8Array.from(tinyvit.raster()).buffer),
    answer: $("#answer").textContent,
    sure: $("#sure").textContent, shares: $$("#classes b").map(b => b.textContent), chosen: label && +label.value,
    best: $$("#classes label").findIndex(label => label.classList.contains("best")),
    bars: $$("#classes label").map(label => label.style.getPropertyValue("--p")),
    blank: document.body.classList.contains("blank"), given: colours($("#given")), noted: $("#noted").textContent,
    learn: [$("#learn").textContent, $("#learn").disabled], keep: $("#keep").disabled, down: pen.down,
    weights: $$("#explorer .to i").map(cell => +cell.dataset.weight), whose: $("#whose").textContent,
    changed: $("#changed").textContent, now: $("#now").textContent,
  };
}
function leave(found) {
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({ ...found, errors });
}
</script>
"""

DRIVER = """
<script type="application/json" id="given-here">$GIVEN</script>
<script>
addEventListener("unhandledrejection", event => leave({ failed: String(event.reason?.stack ?? event.reason) }));
window.addEventListener("load", async () => {
  const { strokes, label, lessons, rate, small, digits } = json("given-here"), seen = {}, click = s => $(s).click();
  const note = async name => { await frame(); seen[name] = shown(); };
  const pad = $("#pad");
  await counted();
  await note("start");
  const wrong = () => $$("#hundred button").map((b, i) => b.classList.contains("wrong") ? i : -1).filter(i => i >= 0);
  const corners = () => $$("#hundred .wrong").map(b => b.dataset.read);
  const first = { count: $("#count").textContent, wrong: wrong() };

  drag(strokes[0].points);
  await note("a stroke on a test image");
  drag(strokes[1].points);
  await note("drawn");
  $("#classes [value='" + label + "']").click();
  await note("class chosen");
  click("#keep");
  click("#clear");
  await note("cleared");
  $("#classes [value='" + label + "']").click();
  await note("a class for no drawing");
  click("#clear");
  drag([[60, 50, 0.25], [140, 90, 1], [150, 200, 0.5]], "pen");
  await note("pen");
  click("#clear");
  pad.focus();
  for (const key of ["ArrowUp", "ArrowUp", " ", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowLeft"]) press(key);
  await note("keys, down");
  for (const key of [" ", "ArrowDown", "Tab"]) press(key);
  await note("keys");
  for (const key of [" ", ...Array(40).fill("ArrowLeft")]) press(key);
  pad.blur();
  await note("keys, at the edge and away");
  tinyvit.clear();
  tinyvit.draw([{ points: [[20, 140], [260, 140]], width: 16 }]);
  await note("wide");
  $("#examples").children[2].click();
  await note("picked");
  $("#hundred").children[4].click();
  await note("of the hundred");
  const kept = $$("#kept button").map(b => [b.title, colours(b.firstChild)]);
  $("#kept").children[0].click();
  await note("kept again");

  // The film.
  const frames = $$("#film button"), film = {};
  const told = () => Object.fromEntries(["name", "shape", "equation", "number", "python", "place", "value", "colours"]
    .map(name => [name, $("#stage-" + name).textContent]));
  for (const way of ["forward", "backward"]) {
    click("#" + way);
    await frame();
    film[way] = [];
    for (const made of frames) {
      const { stage, block } = made.dataset, x = numbers(...stage_of(made.dataset));
      const one = { stage, block: +block, x: packed(x), words: $("em", made).textContent,
        part: made.style.getPropertyValue("--p") };
      if (small) {
        one.picture = colours($("canvas", made));
        made.click();
        await frame();
        Object.assign(one, { told: told(), large: colours($("#stage-picture")), name: $("#stage-picture").ariaLabel,
          pressed: frames.filter(f => f.ariaPressed === "true").map(f => frames.indexOf(f)) });
      }
      film[way].push(one);
    }
    film[way + " loss"] = [$("#loss").textContent, $("#forward").ariaPressed, $("#backward").ariaPressed];
  }
  click("#forward");
  frames[0].focus();
  press("ArrowRight"); press("ArrowRight");
  await frame();
  const walked = [frames.indexOf(document.activeElement), seen_stage(), frames.filter(f => f.tabIndex === 0).length];
  function seen_stage() { return $("#stage-name").textContent; }
  const a = frames.find(f => f.dataset.stage === "a" && f.dataset.block === "1");
  a.click();
  await frame();
  const large = $("#stage-picture"), box = large.getBoundingClientRect(), T = numbers(...stage_of(a.dataset)).shape[1];
  const [row, column] = [2, 3];                        // of the second head
  large.dispatchEvent(new PointerEvent("pointermove", { bubbles: true,
    clientX: box.left + large.clientLeft + (T + 1 + column + 0.5) / ((T + 1) * config.heads - 1) * large.clientWidth,
    clientY: box.top + large.clientTop + (row + 0.5) / T * large.clientHeight }));
  const pointed = $("#stage-value").textContent;

  // What it would say here, and where it looks.
  const lens = $$("#lens > div").map(div => ({ title: $("h3", div).textContent, said: $("strong", div).textContent,
    all: div.textContent, bars: $$("i", div).map(i => parseFloat(i.style.getPropertyValue("--p"))),
    best: $$("i", div).map(i => i.className).indexOf("best") }));
  const flow = colours($("#rollout")), explorer_root = $("#explorer");
  const map = {};
  $$(".maps button", explorer_root)[2].click();
  $$(".from button", explorer_root)[5].click();
  map.held = $$(".to i", explorer_root).map(cell => +cell.dataset.weight);
  drag([[100, 100], [150, 150]]);
  await frame();
  map.drawn = $$(".to i", explorer_root).map(cell => +cell.dataset.weight);
  map.input = packed(tinyvit.input());
  $("#kept").children[0].click();
  await counted();

  // Without a label, backward takes the model's own answer.
  state.label = null;
  click("#backward");
  await note("backward without a class");
  const own = $("#loss").textContent;
  click("#forward");
  $("#kept").children[0].click();

  // Learning.
  const rate_first = $("#rate-value").textContent;
  $("#rate").value = rate;
  $("#rate").dispatchEvent(new Event("input", { bubbles: true }));
  await frame();
  const taught = { rate_first, rate: $("#rate-value").textContent, before: $("#learned").textContent };
  for (let i = 0; i < lessons; i++) click("#learn");
  await counted();
  const list = () => ({ count: $("#count").textContent, wrong: wrong(), corners: corners(),
    titles: $$("#hundred button").map(b => b.title), labels: $$("#hundred button").map(b => b.ariaLabel) });
  const lesson = () => ({ p: all(p), learned: $("#learned").textContent, ...list(),
    history: $("#history polyline").getAttribute("points") });
  Object.assign(taught, lesson());
  await note("taught");
  click("#forget");
  await counted();
  taught.forgotten = lesson();
  await note("forgotten");

  // Another language.
  const text_of = selector => $(selector).textContent;
  const say_all = () => ({
    lang: document.documentElement.lang, named: $$("[data-name]").map(e => [e.dataset.name, e.ariaLabel]),
    said: $$("[data-say]").map(e => [e.dataset.say, e.dataset.number, e.textContent]), learn: text_of("#learn"),
    count: text_of("#count"), about: text_of("#about"), stage: text_of("#stage-name"), lens: text_of("#lens h3"),
    looks: text_of("#explorer output"), how: text_of("#draw-how"), first: $("#hundred button").title,
    text: document.body.innerText, kept: $("#kept button").title,
  });
  const languages = [say_all()];
  for (const last of [false, true]) {
    click("#language");
    await (small || last ? counted() : frame());       // counting takes the larger model long
    languages.push(say_all());
  }
  const named = unnamed();

  // What is broken.
  const logits = () => packed(tinyvit.forward()[0]), broken = { whole: { logits: logits() } };
  const check = async () => {
    $("#check").click();
    do await frame(); while (/^Checking/.test($("#checked").textContent));
    return $("#checked").textContent;
  };
  const added = () => packed(numbers(data.stages.find(({ name }) => name === "addition_2"), 0));
  broken.whole.check = small ? await check() : "";
  const settled = small ? counted : frame;
  for (const only of [false, true]) {
    if ($("#only").checked !== only) click("#only");
    for (const part of Object.keys(data.breaks)) {
      const box = $("#breaks [value=" + part + "]");
      box.click();
      await settled();
      const one = { logits: logits(), edits: $("#edits").textContent, wrong: wrong(), added: added(),
        changed: $("#changed").textContent.trim(), count: $$(".count").map(place => place.textContent) };
      broken[part + (only ? ", backward" : "")] = one;
      if (small) [one.check, one.mark] = [await check(), $("#checked").className];
      box.click();
      one.after = $("#edits").textContent + $("#checked").textContent;
    }
  }
  click("#only");
  await settled();
  broken.again = { logits: logits(), wrong: wrong() };
  for (const box of $$("#breaks [name=part]")) box.click();
  await settled();
  broken.all = { edits: $("#edits").textContent, check: small ? await check() : "", logits: logits() };
  for (const box of $$("#breaks [name=part]")) box.click();

  // Digits as strokes.
  const read = digits.map(rows => {
    const line = ([left, row, right]) => ({ points: [[left + 0.5, row + 0.5], [right - 0.5, row + 0.5]], width: 1 });
    tinyvit.clear();
    tinyvit.draw(rows.map(line));
    return best(tinyvit.forward()[0]);
  });
  const asked = performance.getEntriesByType("resource").map(entry => entry.name);
  leave({ seen, first, kept, film, walked, pointed, lens, flow, map, own, taught, languages, named, broken, read,
          palettes: data.palettes, asked: asked.filter(name => !name.startsWith("data:")) });
});
</script>
"""

NAMES = """
<script>
function unnamed() {                                   // controls and pictures without a name for a screen reader
  const kinds = "button, input, select, [role=img], [role=group], [role=application], fieldset, svg, img, iframe";
  const inside = e => e && (e.textContent.trim() || $("img", e)?.alt), label = e => e.getAttribute("aria-labelledby");
  const name = e => e.ariaLabel || label(e) || inside(e.closest("label")) || inside(e) || e.alt || "";
  return $$(kinds).filter(e => e.ariaHidden !== "true" && !name(e).trim()).map(e => e.outerHTML.slice(0, 99));
}
</script>
"""


# ---- the model, step by step


def forward(image, p, config, at=lambda stage, block, x: x):
    """Logits [1, K] of an image [H, W, C]; every stage goes through `at`, which may look at it or change it."""
    z = at("image", 0, image[None])
    z = at("patches", 0, patchify(z, config.patch)[0])
    z = at("embedding", 0, linear(z, p["patch"])[0])
    if config.class_token:
        z = at("tokens", 0, class_token(z, p["cls"])[0])
    z = at("positions", 0, z + p["pos"])
    for i, block in enumerate(p["blocks"]):
        y = at("ln1", i, layer_norm(z, block["ln1"], eps=config.eps)[0])
        q, k, v = (split_heads(at(name, i, linear(y, block["msa"][name])[0]), config.heads) for name in "qkv")
        q = scale_queries(q)[0] if config.scale == "sqrt" else q
        a = at("a", i, softmax(at("scores", i, q @ k.swapaxes(-1, -2)))[0])
        y = at("projection", i, linear(merge_heads(at("gathered", i, a @ v)), block["msa"]["o"])[0])
        z = at("addition_2", i, y + z)
        y = at("ln2", i, layer_norm(z, block["ln2"], eps=config.eps)[0])
        y = at("hidden", i, GELU[config.gelu](linear(y, block["mlp"]["fc1"])[0])[0])
        z = at("addition_3", i, at("mlp", i, linear(y, block["mlp"]["fc2"])[0]) + z)
    y = at("readout", 0, readout(z, p["ln"], pool=config.pool, eps=config.eps)[0])
    return at("logits", 0, linear(y, p["head"])[0])


def every_stage(image, p, config):
    """{(stage, block): its array, without the axis of the batch}, and the logits."""
    seen = {}

    def look(stage, block, x):
        seen[stage, block] = x[0] if x.ndim > 2 else x
        return x

    return seen, forward(image, p, config, look)


def slope(image, p, config, label, where, direction, step):
    """The derivative of the loss as the array of one stage moves along a direction, by differences."""

    def loss(steps):
        def move(stage, block, x):
            return x + steps * step * direction.reshape(x.shape) if (stage, block) == where else x

        return float(cross_entropy(forward(image, p, config, move), np.array([label]))[0])

    return (8 * (loss(1) - loss(-1)) - (loss(2) - loss(-2))) / (12 * step)


# ---- what the page did


def unpacked(entry, kind="<f8"):
    return np.frombuffer(base64.b64decode(entry["values"]), kind).reshape(entry["shape"])


class Seen:
    """A page, and what its driver found."""

    def __init__(self, live, found, lessons):
        self.live, self.config, self.found, self.lessons = live, live.config, found, lessons
        self.p = trees.map(lambda w: w.astype(np.float64), live.p)
        self.names = live.dataset.class_names
        self.palettes = {
            name: np.frombuffer(base64.b64decode(text), np.uint8).reshape(256, 4)
            for name, text in found["palettes"].items()
        }

    def __getattr__(self, name):
        return self.found[name]

    def image(self, name):
        return unpacked(self.found["seen"][name]["input"])

    def test_image(self, i):
        """As float64, which the page computes with."""
        half = self.live.dataset.maximum / 2
        return (self.live.levels[i].astype(np.float64) - half) / half

    def shares(self, image, p=None, config=None):
        return softmax(forward(image, p or self.p, config or self.config))[0][0]

    def reads(self, p):
        """The class that NumPy reads in each of the test images."""
        images = np.stack([self.test_image(i) for i in range(len(self.live.labels))])
        return vit(images, p, self.config)[0].argmax(-1)

    def assert_colours(self, picture, x, palette, low, high):
        """Each pixel has the colour of its number; where that lies half-way between two, either."""
        at = 255 * (np.asarray(x) - low) / (high - low)
        colours = np.vstack([self.palettes[palette], np.zeros((1, 4), np.uint8)])  # the last where there is no number
        either = [colours[np.nan_to_num(np.rint(at + nudge), nan=256).astype(int)] for nudge in (-1e-6, 1e-6)]
        pixels = unpacked(picture, np.uint8)
        assert pixels.shape == either[0].shape
        assert ((pixels == either[0]).all(-1) | (pixels == either[1]).all(-1)).all()


def small():
    images, labels = load_data("digits")[1]
    return Live(random_vit(SMALL, SEED), SMALL, "digits", images[:IMAGES], labels[:IMAGES])


CASES = {"bundled": bundled.load, "small": small}


def lines_of(image):
    """Its pixels as strokes, each as [left, row, right]."""
    ends = (stroke["points"] for stroke in pixel_strokes(image[:, :, 0]))
    return [[round(left - 0.5), round(row - 0.5), round(right + 0.5)] for (left, row), (right, _) in ends]


@pytest.fixture(scope="module", params=CASES)
def page(request, browser, tmp_path_factory):
    live, tiny = CASES[request.param](), request.param == "small"
    digits = [] if tiny else [lines_of(image) for image in live.levels]
    given = dict(strokes=STROKES, label=LABEL, lessons=LESSONS[request.param], rate=RATE, small=tiny, digits=digits)
    driver = TOOLS + NAMES + DRIVER.replace("$GIVEN", json.dumps(given))
    html = live.html().replace("<head>", "<head>" + AT_ONCE)
    found, console = driven(html, driver, tmp_path_factory.mktemp("page"), timeout=300)
    assert console == [] and found["errors"] == [] and found["asked"] == []
    return Seen(live, found, LESSONS[request.param])


# ---- drawing


def raster_of(seen):
    return np.frombuffer(base64.b64decode(seen["raster"]), np.uint8).reshape(280, 280)


def test_the_pen_draws_where_the_pointer_is(page):
    """With the mouse, then with a pen, which presses harder or less; a new drawing takes the place of a test image."""
    seen = page.seen
    assert seen["start"]["example"] is not None and seen["start"]["strokes"] == []
    one, both, pen = seen["a stroke on a test image"], seen["drawn"], seen["pen"]
    assert one["example"] is None and one["label"] is None and len(one["strokes"]) == 1 and len(both["strokes"]) == 2
    for drawn, stroke in zip(both["strokes"], STROKES, strict=True):
        points = np.array(drawn["points"])
        np.testing.assert_allclose(points[:, :2], stroke["points"], atol=1e-2)
        assert (points[:, 2] == 22).all() and drawn["width"] == 22
    (stroke,) = pen["strokes"]
    np.testing.assert_allclose(stroke["points"], [[60, 50, 16], [140, 90, 34], [150, 200, 22]], atol=1e-2)
    for now in (one, both, pen, seen["keys"], seen["wide"]):
        assert np.array_equal(raster_of(now), defined(now["strokes"], 280)) and not now["down"]


def test_the_pen_draws_where_the_keys_move_it(page):
    down, lifted, away = (page.seen[name] for name in ("keys, down", "keys", "keys, at the edge and away"))
    (stroke,) = down["strokes"]
    assert stroke["points"] == [[140, 124, 22], [140, 132, 22], [148, 132, 22], [140, 132, 22], [132, 132, 22]]
    assert down["down"] and not lifted["down"] and lifted["strokes"] == down["strokes"], "lifted, it draws nothing"
    first, second = away["strokes"]
    assert first == stroke and second["points"][0] == [132, 140, 22] and second["points"][-1] == [0, 140, 22]
    assert not away["down"], "who leaves the paper lifts the pen"


def told(key, **values):
    """The page's own words, in English."""
    return filled(WORDS["en"][key], **values)


def test_what_the_model_is_given_is_what_predict_would_make_of_it(page):
    for name in ("a stroke on a test image", "drawn", "pen", "keys, down", "wide"):
        seen = page.seen[name]
        image, notes = prepare(raster_of(seen)[:, :, None], page.live.dataset)
        np.testing.assert_allclose(page.image(name), image, atol=1e-5)
        page.assert_colours(seen["given"], page.image(name)[:, :, 0], "grey", -1, 1)
        said = [WORDS["en"][note] for note in notes if note in WORDS["en"]]
        assert seen["noted"] == " ".join(said) and bool(said) == (name == "wide")


def test_the_answer_is_numpys(page):
    for name, seen in page.seen.items():
        if name in ("cleared", "a class for no drawing", "taught"):
            continue
        shares = page.shares(page.image(name))
        assert seen["answer"] == page.names[shares.argmax()] and seen["best"] == shares.argmax(), name
        assert seen["shares"] == [f"{100 * share:.1f} %" for share in shares], name
        answer = dict(name=page.names[shares.argmax()], percent=f"{100 * shares.max():.1f} %")
        assert seen["sure"] == told("sure", **answer) and seen["now"] == told("now", **answer), name
        assert seen["changed"] == "", name
        np.testing.assert_allclose([float(bar.rstrip("%")) for bar in seen["bars"]], 100 * shares, atol=1e-6)
        assert not seen["blank"], name


def test_clear_leaves_nothing(page):
    cleared = page.seen["cleared"]
    nothing = page.seen["a class for no drawing"]
    assert nothing["label"] == LABEL and nothing["learn"][1] and nothing["keep"], "there is nothing to learn"
    assert cleared["label"] is None and cleared["chosen"] is None
    assert cleared["strokes"] == [] and cleared["example"] is None and "input" not in cleared
    assert (
        cleared["sure"] == WORDS["en"]["nothing"]
        and not raster_of(cleared).any()
        and cleared["blank"]
        and cleared["learn"][1]
        and cleared["keep"]
    )


def test_a_class_is_chosen_and_a_picture_brings_its_own(page):
    drawn, chosen = page.seen["drawn"], page.seen["class chosen"]
    assert drawn["chosen"] is None and drawn["learn"] == ["Learn: choose the true class first", True] and drawn["keep"]
    assert chosen["chosen"] == chosen["label"] == LABEL and not chosen["keep"]
    assert chosen["learn"] == [f"Learn: this is {page.names[LABEL]}", False]
    labels = page.live.labels.tolist()
    for name, i in (("start", labels.index(7)), ("picked", labels.index(2)), ("of the hundred", 4)):
        seen = page.seen[name]
        assert seen["example"] == i and seen["label"] == seen["chosen"] == labels[i]
        np.testing.assert_allclose(page.image(name), page.test_image(i), atol=1e-12)
        page.assert_colours(seen["given"], page.test_image(i)[:, :, 0], "grey", -1, 1)


def test_a_kept_drawing_comes_back_with_its_class(page):
    ((title, picture),) = page.found["kept"]
    assert title == told("kept-one", name=page.names[LABEL])
    page.assert_colours(picture, page.image("drawn")[:, :, 0], "grey", -1, 1)
    before, again = page.seen["class chosen"], page.seen["kept again"]
    assert {**again, "weights": None} == {**before, "weights": None}


# ---- the film


def loss_of(page):
    return cross_entropy(forward(page.image("kept again"), page.p, page.config), np.array([LABEL]))[0]


def frames_of(page):
    """(stage, block) in the order of the film."""
    every, blocks = stages(page.config), range(page.config.depth)
    parts = [("start", 0), *(("block", i) for i in blocks), ("end", 0)]
    return [(stage, block) for part, block in parts for stage in every if stage.part == part]


def test_every_stage_is_numpys(page):
    expected, _ = every_stage(page.image("kept again"), page.p, page.config)
    found = page.film["forward"]
    assert [(one["stage"], one["block"]) for one in found] == [(stage.name, block) for stage, block in frames_of(page)]
    for one in found:
        x, y = unpacked(one["x"]), expected[one["stage"], one["block"]]
        assert x.shape == y.shape, one["stage"]
        np.testing.assert_allclose(x, y, atol=1e-9 * abs(y).max(), err_msg=one["stage"])
        assert one["words"] == " × ".join(map(str, x.shape)) and one["part"] == "0%"
    assert len(expected) == len(found)


def test_every_gradient_is_the_slope_of_numpys_loss(page):
    """Along random directions, by differences: no backward pass has a part in it."""
    image, rng = page.image("kept again"), np.random.default_rng(0)
    expected, _ = every_stage(image, page.p, page.config)
    lengths = []
    for one in page.film["backward"]:
        where = one["stage"], one["block"]
        gradient = unpacked(one["x"])
        assert gradient.shape == expected[where].shape
        lengths.append(np.linalg.norm(gradient))
        for _ in range(2):
            direction = rng.standard_normal(gradient.shape) / np.sqrt(gradient.size)
            measured = slope(image, page.p, page.config, LABEL, where, direction, 1e-3)
            assert abs(measured - (gradient * direction).sum()) < 1e-6 * max(lengths[-1], 1e-3), where
    for one, length in zip(page.film["backward"], lengths, strict=True):
        assert one["words"] == said_number(length)
        assert abs(float(one["part"].rstrip("%")) - 100 * length / max(lengths)) < 1e-6


def said_number(x):
    """As the page writes it."""
    return f"{x:.2f}" if x == 0 or 1e-2 <= abs(x) < 1e4 else re.sub("e([+-])0*(?=.)", r"e\1", f"{x:.1e}")


def test_the_loss_is_that_of_the_class_chosen(page):
    words = f"loss = −log p({page.names[LABEL]}) = {said_number(float(loss_of(page)))}"
    assert page.film["forward loss"] == [words, "true", "false"]
    assert page.film["backward loss"] == [words, "false", "true"]
    shares, own = page.shares(page.image("kept again")), page.seen["backward without a class"]
    assert page.own == f"loss = −log p({page.names[shares.argmax()]}) = {said_number(-np.log(shares.max()))}"
    assert own["whose"] == told("choose-label") and page.seen["kept again"]["whose"] == ""


def in_a_row(x):
    """Matrices of heads as the film shows them, with nothing between two of them; an image without its channel."""
    if x.ndim == 2 or x.shape[2] == 1:
        return x.reshape(x.shape[:2])
    return np.concatenate(np.pad(x, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan), axis=1)[:, :-1]


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_the_film_shows_its_numbers_and_says_which(page, way):
    if page.config.image > 8:
        pytest.skip("of the small model only, or it would take long")
    for i, (one, (stage, block)) in enumerate(zip(page.film[way], frames_of(page), strict=True)):
        x, shown = unpacked(one["x"]), one["told"]
        most = max(abs(x).max(), 1e-300)
        palette, low, high = {"image": ("grey", -1, 1), "a": ("heat", 0, most)}.get(
            one["stage"], ("signs", -most, most)
        )
        if way == "backward":
            palette, low, high = "signs", -most, most
        for picture in (one["picture"], one["large"]):
            page.assert_colours(picture, in_a_row(x), palette, low, high)
        name = told(f"stage-{stage.name}")
        if stage.part == "block":
            name = told("of-block", name=name, number=block + 1)
        _, python = stage.line()
        assert shown["name"] == (told("gradient-of", name=name) if way == "backward" else name)
        assert shown["shape"] == f"[{', '.join(map(str, x.shape))}]"
        number = stage.number and told("number", number=stage.number)
        equation = re.sub(r"_|\^\(([^)]*)\)", r"\1", stage.equation)  # what is below and above the line is smaller
        assert (shown["equation"], shown["number"], shown["python"]) == (equation, number, python)
        kind = {"image": "image", "a": "attention"}.get(stage.name, "signs") if way == "forward" else "gradient"
        heads = WORDS["en"]["heads"] if x.ndim == 3 and x.shape[2] > 1 else ""
        assert shown["colours"] == told(f"colours-{kind}") + heads
        place = told("source", **stage.as_dict())
        if way == "backward":
            f = "patchify" if stage.name == "image" else stage.function.__name__
            place += told("its-gradient", f=f"{f}_backward")
        assert shown["place"] == place
        low, high, norm = map(said_number, (x.min(), x.max(), np.linalg.norm(x)))
        assert shown["value"] == told("range", low=low, high=high, norm=norm)
        assert one["name"] == f"{shown['name']}. {shown['value']}"
        assert one["pressed"] == [i]


def test_the_film_is_walked_by_keys_and_tells_one_number(page):
    assert page.walked == [2, WORDS["en"]["stage-embedding"], 1]
    expected, _ = every_stage(page.image("kept again"), page.p, page.config)
    place, value = re.fullmatch(r"\[(.+)\]: (.+)", page.pointed).groups()
    assert place == "1, 2, 3" and float(value) == pytest.approx(expected["a", 1][1, 2, 3], rel=1e-3)


# ---- what it would say here, and where it looks


def test_the_readout_after_each_block(page):
    expected, _ = every_stage(page.image("kept again"), page.p, page.config)
    streams = [expected["positions", 0], *(expected["addition_3", i] for i in range(page.config.depth))]
    titles = ["before block 1", *(f"after block {i + 1}" for i in range(page.config.depth))]
    assert [one["title"] for one in page.lens] == titles
    for one, z in zip(page.lens, streams, strict=True):
        y, _ = readout(z[None], page.p["ln"], pool=page.config.pool, eps=page.config.eps)
        shares = softmax(linear(y, page.p["head"])[0])[0][0]
        assert one["said"] == page.names[shares.argmax()] and f" {100 * shares.max():.1f} %" in one["all"]
        np.testing.assert_allclose(one["bars"], 100 * shares, atol=1e-3)
        assert one["best"] == shares.argmax()


def test_rollout(page):
    _, c = vit(page.image("kept again")[None], page.p, page.config)
    flow = answers_row(rollout(attention_maps(c)), page.config.pool)[0].reshape(2 * (page.config.grid,))
    page.assert_colours(page.flow, flow, "heat", 0, flow.max())


def test_where_the_heads_look_follows_the_drawing(page):
    """The answer's row, as the mean of the heads of the last block; then what a patch that is held asks for."""
    first = page.config.class_token
    for name in ("start", "drawn", "picked"):
        maps = attention_maps(vit(page.image(name)[None], page.p, page.config)[1])
        weights = answers_row(maps[-1].mean(axis=1), page.config.pool)[0]
        np.testing.assert_allclose(page.seen[name]["weights"], weights, atol=1e-4, err_msg=name)
    for name, image in (("held", page.image("kept again")), ("drawn", unpacked(page.map["input"]))):
        a = attention_maps(vit(image[None], page.p, page.config)[1])[0][0, 1]
        np.testing.assert_allclose(page.map[name], a[first + 5, first:], atol=1e-4, err_msg=name)
    assert page.map["held"] != page.map["drawn"]


# ---- teaching


def test_every_step_teaches_the_drawing_at_the_rate_of_the_slider(page):
    image, taught, rate = page.image("kept again"), page.taught, 10**RATE
    p, shares = page.p, [page.shares(image)[LABEL]]
    for _ in range(page.lessons):
        logits, c = vit(image[None], p, page.config)
        _, c_loss = cross_entropy(logits, np.array([LABEL]))
        p = trees.map(
            lambda w, dw: w - rate * dw, p, vit_backward(cross_entropy_backward(1.0, c_loss), p, c, page.config)[1]
        )
        shares.append(page.shares(image, p)[LABEL])
    for name, w in trees.walk(p):
        np.testing.assert_allclose(unpacked(taught["p"][name]), w, atol=1e-6 * abs(w).max(), err_msg=name)
    assert (
        taught["rate_first"] == f"{10**-2.3:.1g}"
        and taught["rate"] == f"{rate:.1g}"
        and taught["before"] == told("learned-none")
    )
    before, after = (f"{100 * share:.1f} %" for share in shares[-2:])
    assert taught["learned"] == (
        told("learned", steps=page.lessons, name=page.names[LABEL], before=before, after=after)
    )
    points = np.array([point.split(",") for point in taught["history"].split()], float)
    np.testing.assert_allclose(points, [[30 * i, 58 - 56 * share] for i, share in enumerate(shares)], atol=1e-4)
    assert page.seen["taught"]["shares"] == [f"{100 * share:.1f} %" for share in page.shares(image, p)]
    assert page.seen["taught"]["changed"] == told("taught", steps=page.lessons)


def test_the_hundred_are_counted_as_numpy_counts_them(page):
    labels = page.live.labels
    taught = trees.from_names({name: unpacked(w) for name, w in page.taught["p"].items()}, page.p)
    first = int((page.reads(page.p) == labels).sum())
    for p, said, key in ((taught, page.taught, "count"), (page.p, page.taught["forgotten"], "count-now")):
        read = page.reads(p)
        right = int((read == labels).sum())
        assert said["count"] == told(key, total=len(labels), right=right, first=first)
        assert said["wrong"] == np.flatnonzero(read != labels).tolist()
        assert said["corners"] == [page.names[k] for k in read[read != labels]]
        titles = [f"test image {i + 1}, a {page.names[label]}" for i, label in enumerate(labels)]
        titles = [
            title + ("" if k == label else f", read as {page.names[k]}")
            for title, k, label in zip(titles, read, labels, strict=True)
        ]
        assert said["titles"] == said["labels"] == titles
    if page.config.image == 8:
        assert page.taught["count"] != page.first["count"]
    assert page.taught["forgotten"]["count"] == page.first["count"]
    assert page.taught["wrong"] != page.taught["forgotten"]["wrong"] == page.first["wrong"]


def test_all_is_forgotten(page):
    forgotten = page.taught["forgotten"]
    for name, w in trees.walk(page.p):
        assert np.array_equal(unpacked(forgotten["p"][name]), w), name
    assert forgotten["learned"] == told("learned-none") and forgotten["history"] == ""
    assert page.seen["forgotten"]["shares"] == page.seen["kept again"]["shares"]


# ---- what is left out


def without(page, part, image):
    """NumPy's logits of an image without a part."""
    p, config = page.p, page.config
    changed = {
        "scale": dict(config=config.changed(scale="none")),
        "position": dict(p={**p, "pos": 0 * p["pos"]}),
        "residual": dict(at=lambda stage, _, x: changes["projection"] if stage == "addition_2" else look(stage, x)),
        "head": dict(
            at=lambda stage, _, x: np.concatenate([0 * x[:, :1], x[:, 1:]], axis=1) if stage == "gathered" else x
        ),
    }[part]
    changes = {}

    def look(stage, x):
        changes[stage] = x
        return x

    return forward(image, **{"p": p, "config": config} | changed)


def test_a_part_left_out_is_another_network_whose_gradient_is_right(page):
    whole = unpacked(page.broken["whole"]["logits"])
    assert_near(whole, forward(page.image("kept again"), page.p, page.config))
    for part in BREAKS:
        found = page.broken[part]
        assert_near(unpacked(found["logits"]), without(page, part, page.image("kept again")))
        assert abs(unpacked(found["logits"]) - whole).max() > 1e-3, part
        assert found["changed"] == told("without", parts=told(f"break-{part}")).strip()
        if "check" in found:
            assert found["mark"] == "passes"
            right = IMAGES - len(found["wrong"])
            said = told("count", total=IMAGES, right=right, first=IMAGES - len(page.first["wrong"]))
            assert found["count"] == [said, said], "under Teach, and under Break"
            read = np.array([without(page, part, page.test_image(i)).argmax() for i in range(IMAGES)])
            assert found["wrong"] == np.flatnonzero(read != page.live.labels).tolist()
            assert found["check"].startswith("The check passes"), part
            assert largest_error(found["check"]) < 1e-7


def test_left_out_of_the_backward_pass_alone_the_check_finds_it(page):
    whole = unpacked(page.broken["whole"]["logits"])
    for part in BREAKS:
        found = page.broken[f"{part}, backward"]
        assert np.array_equal(unpacked(found["logits"]), whole) and found["changed"] == ""
        if "check" in found:
            assert found["mark"] == "fails"
            assert found["wrong"] == page.first["wrong"]
            assert found["check"].startswith("The check fails"), part
            assert largest_error(found["check"]) > 1e-3, part
            wrong, total = map(int, re.search(r"(\d+) of (\d+) arrays", found["check"]).groups())
            assert total == len(trees.leaves(page.p)) and 0 < wrong < total


def largest_error(words):
    return float(re.search(r"largest relative error is (\S+?)[;,]", words)[1])


def assert_near(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-9 * abs(expected).max())


def test_all_together_and_whole_again(page):
    whole, found = page.broken["whole"], page.broken
    assert found["again"]["logits"] == whole["logits"]
    for part, edits in BREAKS.items():
        for name, chosen in ((part, edits), (f"{part}, backward", edits[1:])):
            assert found[name]["edits"] == "".join(f"− {old}\n" + (f"+ {new}\n" if new else "") for old, new in chosen)
            assert found[name]["after"] == ("" if name == part else told("only-what")), "nothing is left of it"
    if page.config.image == 8:
        assert found["again"]["wrong"] == page.first["wrong"] != found["scale"]["wrong"]
        assert whole["check"].startswith("The check passes") and found["all"]["check"].startswith("The check passes")
    assert found["all"]["logits"] not in [one["logits"] for name, one in found.items() if name != "all"]


def test_without_a_residual_the_film_shows_what_goes_on(page):
    """z' is then the output of attention alone."""
    image = page.image("kept again")
    seen = {}

    def look(stage, block, x):
        seen.setdefault((stage, block), x[0])
        return seen["projection", block][None] if stage == "addition_2" else x

    forward(image, page.p, page.config, look)
    assert_near(unpacked(page.broken["residual"]["added"]), seen["projection", 0])


@pytest.mark.parametrize("part", BREAKS)
def test_each_edit_has_its_one_place_in_the_model(part):
    assert len(BREAKS[part]) == 2
    for old, new in BREAKS[part]:
        assert text_of("model.js").count(old) == 1 and old != new


# ---- digits as strokes


def test_digits_drawn_pixel_by_pixel_are_read_as_predict_reads_them(page):
    if page.config.image == 8:
        pytest.skip("MNIST's")
    assert len(page.read) == 100
    assert (page.reads(page.p) == page.read).sum() >= 97


# ---- words


WORDS = json.loads(text_of("words.json"))
ALL_WORDS = {
    language: json.loads(text_of("explorer_words.json", report))[language] | WORDS[language] for language in WORDS
}


def filled(text, **values):
    return re.sub(r"{(\w+)}", lambda gap: str(values[gap[1]]), text)


def test_all_is_said_in_both_languages(page):
    english, chinese, again = page.languages
    assert again == english and (english["lang"], chinese["lang"]) == ("en", "zh")
    sizes = {"patches": page.config.patches, "side": page.config.patch}
    for language, said in (("en", english), ("zh", chinese)):
        words = ALL_WORDS[language]
        for key, number, text in said["said"]:
            assert text == filled(words[key], **sizes, number=number), key
        for key, text in said["named"]:
            assert text == filled(words[key], **sizes), key
        percent = filled(words["percent"], number=f"{100 * page.live.before['accuracy']:.2f}")
        accuracy = filled(
            words["accuracy"], **page.live.before | {"percent": percent, "images": f"{page.live.before['images']:,}"}
        )
        config = {name: getattr(page.config, name) for name in ("depth", "heads", "dim")}
        values = config | {"parameters": f"{trees.count(page.p):,}", "name": page.live.title, "accuracy": accuracy}
        assert said["about"] == filled(words["about"], **values)
        assert said["how"] == words["draw-how"]
        assert said["learn"] == filled(words["learn"], name=page.names[LABEL])
        assert said["lens"] == words["after-start"] and said["kept"] == filled(
            words["kept-one"], name=page.names[LABEL]
        )
    assert len(english["said"]) > 60 and len(english["named"]) > 8
    for name in ("count", "looks", "first"):
        assert re.search("[\u4e00-\u9fff]", chinese[name]) and not re.search("[\u4e00-\u9fff]", english[name]), name
    assert chinese["stage"] == filled(WORDS["zh"]["of-block"], name=WORDS["zh"]["stage-a"], number=2)
    assert not re.search("[\u4e00-\u9fff]", english["text"].replace("中文", ""))


def test_both_languages_say_the_same_things():
    english, chinese = WORDS["en"], WORDS["zh"]
    assert list(english) == list(chinese)
    for name, text in english.items():
        gaps = [sorted(re.findall(r"{(\w+)}", words)) for words in (text, chinese[name])]
        assert set(gaps[0]) == set(gaps[1]), name
        assert name in ALIKE or re.search("[\u4e00-\u9fff]", chinese[name]), name
        assert not re.search("[\u4e00-\u9fff]", text), name


def said_by_the_page():
    """Every key that the page asks for, as its template and its scripts write them."""
    html, script = text_of("page.html"), text_of("page.js")
    keys = set(re.findall(r'data-(?:say|name)="([\w-]+)"', html))
    calls = re.findall(r"\bsay\(((?:[^()]|\([^()]*\))*)", script)
    for call in calls:
        keys |= set(re.findall(r'"([\w-]+)"', call))
    keys |= {f"stage-{stage.name}" for pool in ("class", "mean") for stage in stages(SMALL.changed(pool=pool))}
    keys |= {f"colours-{kind}" for kind in ("image", "signs", "attention", "gradient")} | {
        f"break-{part}" for part in BREAKS
    }
    return (keys | {"start", "block", "end"}) - {"stage-", "colours-", "break-"}


def test_no_word_is_missing_and_none_is_left_over():
    said = said_by_the_page()
    notes = re.findall(r'SEVERAL = "([^"]+)"', text_of("prepare.js"))
    assert said - ALL_WORDS["en"].keys() == set()
    explorers = json.loads(text_of("explorer_words.json", report))["en"]  # of which the page has one of its own
    assert WORDS["en"].keys() - said - set(notes) - explorers.keys() == set()


def test_everything_has_a_name(page):
    assert page.named == []


# ---- in other windows: narrow and wide, light and dark, without pointer events, and half of the page

PROBLEMS = """
<script>
window.problems = [];
window.addEventListener("error", event => problems.push(event.message));
document.addEventListener("securitypolicyviolation", event => problems.push("asked for " + event.blockedURI));
</script>
"""
PROBE = """
<script>
window.probe = async () => {
  const frame = () => new Promise(done => setTimeout(done)), found = {};
  const wide = () => [document.documentElement.scrollWidth, document.documentElement.clientWidth];
  await frame();
  found.wide = [wide()];
  found.how = $("#draw-how").textContent;
  const ground = e => /, 0\\)$|transparent/.test(getComputedStyle(e).backgroundColor) ? ground(e.parentElement) :
    getComputedStyle(e).backgroundColor;
  const text = ({ nodeType, data }) => nodeType === 3 && data.trim();
  const said = e => !e.disabled && e.checkVisibility() && [...e.childNodes].some(text);
  found.texts = $$("body *:not(script)").filter(said).map(e => [getComputedStyle(e).color, ground(e), e.textContent]);
  found.ground = ground(document.body);
  $("#pad").focus();
  for (const key of [" ", "ArrowDown", "ArrowDown", " "]) {
    $("#pad").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  }
  await frame();
  const answers = () => [$("#answer").textContent, best(tinyvit.forward()[0])];
  found.drawn = [state.strokes.map(({ points }) => points.length), ...answers()];
  $$("#examples button").at(-1).click();
  await frame();
  found.picked = [state.example, ...answers()];
  for (const box of $$("#breaks [name=part]")) box.click();
  $("#backward").click();
  $$("#film button").at(-1).click();
  await frame();
  found.wide.push(wide());
  $("#language").click();
  await frame();
  found.wide.push(wide());
  found.how_zh = $("#draw-how").textContent;
  return found;
};
</script>
"""
FRAMES_DRIVER = """
<script>
window.addEventListener("load", async () => {
  const found = [];
  for (const { contentWindow, contentDocument } of document.querySelectorAll("iframe")) {
    const notice = contentDocument.getElementById("notice"), { problems, innerWidth } = contentWindow;
    const asked = contentWindow.performance.getEntriesByType("resource").map(entry => entry.name);
    found.push({ width: innerWidth, notice: notice?.checkVisibility() ? notice.innerText : "", problems,
      asked: asked.filter(name => !name.startsWith("data:")), probed: await contentWindow.probe?.() });
  }
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({ found, errors });
});
</script>
"""
DARK = "(prefers-color-scheme: dark)"
WINDOWS = {
    **{f"{width}, {scheme}": (width, scheme) for width in (320, 768, 1280) for scheme in ("not all", "all")},
    "no pointer": (1000, "not all"),
}
CUTS = ('<section id="draw"', 'id="data">', 'id="words">', 'id="model">', "// What the page knows", "the end")


@pytest.fixture(scope="module")
def windows(browser, tmp_path_factory):
    """What is found in a frame of each kind, and in pages that were cut; of a model with long names and words."""
    live, words = small(), "tinyvit train digits --out runs/some/where --epochs=300 --seed=7"
    live = Live(live.p, SMALL, "digits", live.images, live.labels, title="a-long-name-of-a-run-2026", command=words)
    html = live.html()
    cuts = [html[: html.index(place) + 200] for place in CUTS[:-1]] + [html[: html.rindex("</script>")]]
    frames = []
    for name, (width, scheme) in WINDOWS.items():
        page = html.replace(DARK, scheme)
        without = "<script>delete window.PointerEvent</script>" if name == "no pointer" else ""
        frames.append((width, AT_ONCE + without + PROBLEMS + page + PROBE))
    frames += [(1000, PROBLEMS + cut) for cut in cuts]
    style = "height: 900px; border: 0"
    frames = [f'<iframe style="width: {width}px; {style}" srcdoc="{escape(page)}"></iframe>' for width, page in frames]
    page = "<!DOCTYPE html><body>" + "".join(frames)
    found, console = driven(page, FRAMES_DRIVER, tmp_path_factory.mktemp("windows"), timeout=300)
    assert console == [] and found["errors"] == []
    return dict(zip([*WINDOWS, *CUTS], found["found"], strict=True)), live


@pytest.mark.parametrize("name", WINDOWS)
def test_in_every_window_it_fits_and_can_be_read(windows, name):
    found, (width, scheme) = windows[0][name], WINDOWS[name]
    assert found["width"] == width and found["problems"] == found["asked"] == [] and found["notice"] == ""
    seen = found["probed"]
    assert len(seen["wide"]) == 3 and all(needed <= window for needed, window in seen["wide"])
    assert seen["ground"] == {"not all": "rgb(251, 250, 247)", "all": "rgb(19, 21, 25)"}[scheme]
    faint = [(text[:40], pair) for *pair, text in seen["texts"] if contrast(pair) < 4.5]
    assert faint == [] and len(seen["texts"]) > 100


@pytest.mark.parametrize("name", WINDOWS)
def test_keys_and_pictures_do_without_a_pointer(windows, name):
    found, live = windows[0][name]["probed"], windows[1]
    lengths, *answers = found["drawn"]
    assert lengths == [3] and answers[0] == live.dataset.class_names[answers[1]]
    example, *answers = found["picked"]
    assert example == live.labels.tolist().index(9) and answers[0] == live.dataset.class_names[answers[1]]
    key = "no-pointer" if name == "no pointer" else "draw-how"
    assert found["how"] == WORDS["en"][key] and found["how_zh"] == WORDS["zh"][key]


@pytest.mark.parametrize("place", CUTS)
def test_half_of_the_page_says_what_is_the_matter(windows, place):
    found = windows[0][place]
    assert found["problems"] == [] and "probed" not in found
    assert found["notice"].startswith("This page needs JavaScript") and "没有存全的页面" in found["notice"]


def test_light_and_dark_have_the_same_colours_by_name():
    style = text_of("page.css")
    schemes = [set(re.findall(r"(--\w+):", block)) for block in re.findall(r":root {([^}]*)}", style)]
    assert len(schemes) == 2 and schemes[0] == schemes[1] != set()
    assert "prefers-reduced-motion: no-preference" in style and style.count("transition") == 1


AXE_DRIVER = """
<script>
window.addEventListener("load", async () => {
  $("#examples button").click();
  $("#learn").click();
  $("#backward").click();
  $("#breaks input").click();
  await frame();
  const { violations, passes } = await axe.run(document);
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const found = { passes: passes.length, serious: serious.map(v => [v.id, v.nodes.map(n => n.html)]), errors };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>
"""


@pytest.mark.skipif("TINYVIT_AXE" not in os.environ, reason="set TINYVIT_AXE to axe.min.js of the npm package axe-core")
@pytest.mark.parametrize("width", (320, 768, 1280))
@pytest.mark.parametrize("scheme", ("not all", "all"))
def test_axe_finds_nothing_serious(browser, tmp_path, width, scheme):
    axe = Path(os.environ["TINYVIT_AXE"]).read_text(encoding="utf-8").replace("</script", "<\\/script")
    html = AT_ONCE + small().html().replace(DARK, scheme)
    found, _ = driven(html, f"{TOOLS}<script>{axe}</script>{AXE_DRIVER}", tmp_path, width)
    assert found["serious"] == found["errors"] == [] and found["passes"] > 20


# ---- how large it is


def test_it_is_small():
    assert len(bundled.load().html().encode()) < LIMIT == 1_000_000
