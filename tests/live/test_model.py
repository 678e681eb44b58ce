"""The model of the page against NumPy's: logits, caches, every gradient, and the parameters after ten steps.

The JavaScript is the Python's twin, so its functions have the Python's names, and its trees the Python's keys.
"""

import base64
import inspect
import json
import re
import sys

import numpy as np
import pytest

from tests.browser import driven
from tests.live.strokes import digit_strokes
from tests.reference.compare import random_vit
from tinyvit import trees
from tinyvit.layers.embedding import patch_embedding
from tinyvit.layers.encoder_block import encoder_block
from tinyvit.layers.mlp import mlp
from tinyvit.layers.multi_head_attention import multi_head_attention
from tinyvit.live.page import Live, text_of
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward

DIGITS = ViTConfig(image=8, channels=1, patch=2, dim=32, depth=3, heads=4, mlp_dim=128, classes=10)
MNIST = ViTConfig(image=28, channels=1, patch=4, dim=64, depth=2, heads=4, mlp_dim=256, classes=10)
RATE, STEPS = 0.05, 10
CASES = {
    "digits, class token": (DIGITS, "digits"),
    "digits, average": (DIGITS.changed(pool="mean"), "digits"),
    "mnist, class token": (MNIST, "mnist"),
    "mnist, average, tanh, unscaled": (MNIST.changed(pool="mean", gelu="tanh", scale="none"), "mnist"),
}
DRIVER = """
<script>
window.addEventListener("load", () => {
  const packed = (x, Kind = Float32Array) => {
    const bytes = new Uint8Array(Kind.from(x).buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
  };
  const all = tree => Object.fromEntries(leaves(tree).map(([name, x]) => [name, packed(x)]));
  const drawings = $DRAWINGS, seen = [];
  for (const [label, strokes] of drawings) {
    tinyvit.clear();
    tinyvit.draw(strokes);
    const [logits, c] = tinyvit.forward(), { loss, dimage, g } = tinyvit.backward(label);
    const kept = Object.entries(all(c)).filter(([name]) => !seen.length || name.endsWith("att/a"));
    const input = packed(tinyvit.input(), Float64Array);
    const one = { label, loss, input, logits: packed(logits), dimage: packed(dimage) };
    seen.push({ ...one, c: Object.fromEntries(kept), g: all(g) });
  }
  const losses = Array.from({ length: $STEPS }, () => tinyvit.learn(drawings.at(-1)[0], $RATE));
  const learned = all(tinyvit.parameters());
  tinyvit.forget();
  const found = { seen, losses, learned, forgotten: all(tinyvit.parameters()), errors };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>
"""


def numbers(text, dtype="<f4"):
    return np.frombuffer(base64.b64decode(text), dtype).astype(np.float64)


def given(drawing, config):
    """The images [1, H, W, C] that the page has made of a drawing."""
    return numbers(drawing["input"], "<f8").reshape(1, *config.size, config.channels)


def assert_close(found, expected, bound, name):
    """Within a part of the array's largest number."""
    expected = np.asarray(expected, np.float64).ravel()
    assert found.shape == expected.shape, name
    assert abs(found - expected).max() <= bound * max(abs(expected).max(), 1e-6), name


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request, browser, tmp_path_factory):
    """A model of random parameters, and what the page made of ten drawings."""
    config, dataset = request.param
    live = Live(random_vit(config), config, dataset)
    rng = np.random.default_rng(0)
    count = 10 if config is MNIST or config is DIGITS else 2
    drawings = [(int(rng.integers(10)), digit_strokes(digit, rng)) for digit in range(count)]
    driver = DRIVER.replace("$DRAWINGS", json.dumps(drawings)).replace("$STEPS", str(STEPS)).replace("$RATE", str(RATE))
    found, console = driven(live.html(), driver, tmp_path_factory.mktemp("model"))
    assert console == [] and found["errors"] == []
    return live, found


def exact(live):
    """The page's parameters, in float64."""
    return trees.map(lambda w: w.astype(np.float64), live.p)


def test_logits_maps_and_all_else_in_the_cache(case):
    live, found = case
    for i, drawing in enumerate(found["seen"]):
        images = given(drawing, live.config)
        logits, c = vit(images, exact(live), live.config)
        assert_close(numbers(drawing["logits"]), logits, 1e-5, "logits")
        arrays = {name: a for name, a in trees.walk(c) if np.size(a) and (i == 0 or name.endswith("att/a"))}
        assert drawing["c"].keys() == arrays.keys()
        assert sum(name.endswith("att/a") for name in arrays) == live.config.depth
        for name, a in arrays.items():
            assert_close(numbers(drawing["c"][name]), a, 1e-5, name)


def test_every_gradient_down_to_the_pixels(case):
    live, found = case
    p = exact(live)
    for drawing in found["seen"]:
        images = given(drawing, live.config)
        logits, c = vit(images, p, live.config)
        loss, c_loss = cross_entropy(logits, np.array([drawing["label"]]))
        dimages, g = vit_backward(cross_entropy_backward(1.0, c_loss), p, c, live.config)
        assert abs(drawing["loss"] - loss) < 1e-9
        assert_close(numbers(drawing["dimage"]), dimages, 1e-4, "dimage")
        assert drawing["g"].keys() == trees.named(g).keys()
        for name, a in trees.walk(g):
            assert_close(numbers(drawing["g"][name]), a, 1e-4, name)


def test_ten_steps_of_learning_and_all_forgotten(case):
    live, found = case
    p, last, losses = exact(live), found["seen"][-1], []
    images = given(last, live.config)
    for _ in range(STEPS):
        logits, c = vit(images, p, live.config)
        loss, c_loss = cross_entropy(logits, np.array([last["label"]]))
        _, g = vit_backward(cross_entropy_backward(1.0, c_loss), p, c, live.config)
        losses.append(float(loss))
        p = trees.map(lambda w, dw: w - RATE * dw, p, g)
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-9)
    start = trees.named(live.p)
    for name, w in trees.walk(p):
        assert_close(numbers(found["learned"][name]), w, 1e-4, name)
        assert np.array_equal(numbers(found["forgotten"][name]), start[name].ravel().astype(np.float64)), name
    moved = [name for name, w in trees.walk(p) if abs(w - start[name]).max() > 1e-3 * abs(start[name]).max()]
    assert len(moved) > len(start) / 2, "learning has moved the parameters by more than the bound"


# ---- the two lists of functions

ELSEWHERE = {  # what the page does without: dropout, choices, less memory, what checks, what makes NumPy quick
    *("dropout", "dropout_backward", "block", "block_backward", "position", "position_backward"),
    *("run_block", "whole_cache"),
    *("check_labels", "both_sides", "rows_read", "blockwise"),
}
HELPERS = {"array", "map", "add", "times", "matmul", "transpose", "by_rows", "column_sums", "places", "by_heads"}


def called_in_python(config):
    """The functions of ops, layers and models/vit.py that a forward and a backward pass call, by name."""
    seen = set()

    def note(frame, event, _):
        module = frame.f_globals.get("__name__", "")
        if (
            event == "call"
            and re.match(r"tinyvit\.(ops|layers|models\.vit)\b", module)
            and module != "tinyvit.ops.sums"
        ):
            seen.add(frame.f_code.co_name)

    p, images = random_vit(config), np.zeros((1, *config.size, config.channels))
    sys.setprofile(note)
    try:
        logits, c = vit(images, p, config)
        _, c_loss = cross_entropy(logits, np.array([0]))
        vit_backward(cross_entropy_backward(1.0, c_loss), p, c, config)
    finally:
        sys.setprofile(None)
    return {name for name in seen if not name.startswith(("_", "<"))}


def test_the_two_lists_of_functions_are_the_same():
    of_python = set().union(*(called_in_python(config) for config, _ in CASES.values()))
    of_script = re.findall(r"^function (\w+)", text_of("model.js"), re.MULTILINE)
    assert of_python - set(of_script) == ELSEWHERE
    assert set(of_script) - of_python == HELPERS
    assert len(of_script) == len(set(of_script))


@pytest.mark.parametrize("module", [encoder_block, mlp, multi_head_attention, patch_embedding])
def test_what_they_keep_stands_in_the_same_order(module):
    """In each pair of functions the keys of the cache, and of the gradients."""
    script = text_of("model.js")
    for function in pair_of(module):
        code = inspect.getsource(function).split('"""')[-1]
        twin = re.search(rf"^function {function.__name__}\(.*?^}}", script, re.MULTILINE | re.DOTALL)[0]
        keys = dict.fromkeys(re.findall(r'\b[cg]\["(\w+)"\]', code))
        keys = [key for key in keys if "dropout" not in key and key not in ("r", "bias")]
        assert keys == [key for key in dict.fromkeys(re.findall(r"\b[cg]\.(\w+)", twin)) if key in keys], function
        assert keys


def pair_of(function):
    return function, getattr(sys.modules[function.__module__], function.__name__ + "_backward")
