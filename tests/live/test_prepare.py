"""prepare.js against its twin in Python: what is drawn in the browser is what `tinyvit predict` would be given."""

import base64
import dataclasses
import inspect
import json
import re
from importlib import resources

import numpy as np
import pytest

from tests.browser import driven
from tests.live.strokes import digit_strokes, pixel_strokes
from tinyvit.data import DATASETS, prepare, preprocess
from tinyvit.errors import DataError

pytestmark = pytest.mark.usefixtures("browser")

SCRIPT = resources.files("tinyvit").joinpath("live/prepare.js").read_text(encoding="utf-8")
NAMES = ("mnist", "digits", "fashion-mnist")
DRIVER = """
<script>
window.addEventListener("load", () => {
  const { drawings, pictures, datasets } = JSON.parse(document.getElementById("given").textContent);
  const encoded = numbers => btoa(numbers.reduce((text, byte) => text + String.fromCharCode(byte), ""));
  const bytes = array => encoded(new Uint8Array(array.buffer));
  const found = { prepared: {}, rasters: {}, constants: {} };
  const greys = {};
  for (const [name, strokes] of Object.entries(drawings)) {
    greys[name] = raster(strokes);
    found.rasters[name] = encoded(greys[name]);
  }
  for (const [name, { shape, values }] of Object.entries(pictures)) {
    greys[name] = Object.assign(Float64Array.from(atob(values), c => c.charCodeAt(0)), { shape });
  }
  for (const [name, grey] of Object.entries(greys)) {
    const before = grey.slice();
    found.prepared[name] = datasets.map(dataset => {
      const result = prepare(grey, dataset);
      return result && [result.image.shape, bytes(Float32Array.from(result.image)), result.notes];
    });
    if (before.some((x, i) => x !== grey[i])) errors.push("prepare has changed " + name);
  }
  const three = prepare(greys["7"], { ...datasets[2], channels: 3 }).image;
  found.three = [three.shape, bytes(Float32Array.from(three))];
  found.small = encoded(raster([{ points: [[5, 5]], width: 4 }], 12));
  found.constants = { LEAST_CONTRAST, DARK, BRIGHT, INK, SMALLEST, THICKEST, MIXED, WIDE, FRAME, CENTRED, SEVERAL };
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({ ...found, errors });
});
</script>
"""


def rng(seed=0):
    return np.random.default_rng(seed)


def shifted(strokes, right, down):
    return [{**s, "points": [[x + right, y + down] for x, y in s["points"]]} for s in strokes]


def line(width, *points):
    return {"points": [list(point) for point in points], "width": width}


FULL = line(300, (140, 140))
DRAWINGS = {
    **{str(digit): digit_strokes(digit, rng(digit)) for digit in range(10)},
    "thin": digit_strokes(2, rng(1), size=260, width=1),
    "thick": digit_strokes(3, rng(2), width=50),
    "tiny": digit_strokes(4, rng(3), size=18, width=2),
    "in a corner": shifted(digit_strokes(5, rng(4), size=60, width=8), -105.3, 97.8),
    "over the edge": shifted(digit_strokes(6, rng(5)), 120, -70),
    "several figures": [
        *shifted(digit_strokes(1, rng(6), size=90), -80, 0),
        *shifted(digit_strokes(8, rng(7), size=90), 60, 0),
    ],
    "framed": [line(8, (3, 3), (277, 3), (277, 277), (3, 277), (3, 3)), *digit_strokes(9, rng(8), size=120)],
    "in two frames": [
        line(6, (2, 2), (278, 2), (278, 278), (2, 278), (2, 2)),
        line(6, (13, 13), (267, 13), (267, 267), (13, 267), (13, 13)),
        *digit_strokes(0, rng(9), size=120),
    ],
    "nearly all ink": [line(250, (140, 140)), line(60, (0, 0), (280, 0), (280, 280), (0, 280), (0, 0))],
    "pressure": [{"points": [[60, 50, 4], [140, 90, 30], [220, 230, 9.5], [80, 240, 0]], "width": 18}],
    "dots": [line(10, (40.5, 60)), line(3, (200, 200.25)), line(0.6, (100.5, 33.5))],
    "upright": [line(20, (140, 50), (140, 230))],  # its centre of mass lies in the middle between two pixels
    "level": [line(16, (40, 140.5), (240, 140.5))],
    "empty": [],
    "faint": [line(0.02, (100, 100), (100, 102))],  # between two columns of pixels
}


def pictures():
    """uint8 [H, W] of other sizes, grounds and contrasts than a raster has."""
    made = {}
    shapes = [(28, 28), (8, 8), (29, 29), (20, 20), (9, 61), (60, 40), (33, 50), (3, 90), (90, 3), (100, 80)]
    for seed in range(60):
        random, shape = rng(seed), shapes[seed % len(shapes)]
        low, high = sorted(random.choice([0, 5, 9, 20, 60, 130, 199, 200, 240, 255], 2, replace=False).tolist())
        picture = np.full(shape, low) + random.integers(0, 1 + 3 * (seed % 3 == 1), shape)
        for _ in range(random.integers(1, 4)):
            size = [random.integers(1, 1 + length // 2) for length in shape]
            top, left = (random.integers(0, length - part) for length, part in zip(shape, size, strict=True))
            picture[top : top + size[0], left : left + size[1]] = random.integers((low + high) // 2, high + 1)
        if seed % 4 == 3:  # a frame
            picture = np.pad(picture, random.integers(1, 5, (2, 2)), constant_values=high)
        picture = 255 - picture if seed % 2 else picture
        made[f"random {seed}"] = np.clip(picture, 0, 255)
    in_place = np.zeros((28, 28), int)
    in_place[4:24, 13:16] = 255
    made |= {"in place": in_place, "aside": np.roll(in_place, 1, 0), "smaller": in_place[2:26, 5:23]}
    made["noise around"] = in_place + 30 * (np.indices((28, 28)).sum(axis=0) % 54 == 0)
    ring = np.zeros((280, 280), int)
    ring[40:240, 60:200] = 255
    thin = ring.copy()
    thin[42:238, 62:198] = 0
    for wall in (3, 4, 5, 9, 20, 60):  # the centre of mass lies half-way between two pixels
        made[f"ring {wall}"] = ring.copy()
        made[f"ring {wall}"][40 + wall : 240 - wall, 60 + wall : 200 - wall] = 0
    middling = np.full((40, 30), 100)
    middling[10:30, 10:15], middling[10:30, 18:20] = 200, 0
    made["as far from the darkest as from the lightest"] = middling
    made["nearly half of the border is light"] = np.pad(middling, ((0, 0), (0, 25)), constant_values=255)
    made |= {"thinner than a pixel": thin, "blank": np.full((28, 28), 255), "hardly any": in_place // 36 + 100}
    return {name: picture.astype(np.uint8) for name, picture in made.items()}


PICTURES = pictures()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    encoded = {
        name: {"shape": picture.shape, "values": base64.b64encode(picture.tobytes()).decode()}
        for name, picture in PICTURES.items()
    }
    drawings = DRAWINGS | {"pixels": pixel_strokes(shades())}
    datasets = [dataclasses.asdict(DATASETS[name]) for name in NAMES]
    given = json.dumps({"drawings": drawings, "pictures": encoded, "datasets": datasets})
    html = f'<!DOCTYPE html><body><script id="given" type="application/json">{given}</script><script>{SCRIPT}</script>'
    found, console = driven(html, DRIVER, tmp_path_factory.mktemp("prepare"))
    assert console == [] and found["errors"] == []
    return found


def decoded(text, kind=np.uint8):
    return np.frombuffer(base64.b64decode(text), kind)


def rasters(found):
    return {name: decoded(text).reshape(280, 280) for name, text in found["rasters"].items()}


def defined(strokes, side):
    """The raster by its definition: a pixel has the most ink of all segments, and of the points where pens begin."""
    y, x = np.indices((side, side)) + 0.5
    grey = np.zeros((side, side))
    for stroke in strokes:
        points = [(*point, stroke["width"])[:3] if len(point) == 2 else tuple(point) for point in stroke["points"]]
        for (x0, y0, w0), (x1, y1, w1) in zip([points[0], *points], points, strict=False):
            dx, dy = x1 - x0, y1 - y0
            t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy or 1), 0, 1)
            u, v = x - x0 - t * dx, y - y0 - t * dy
            ink = np.clip((w0 + t * (w1 - w0) + 1) / 2 - np.sqrt(u * u + v * v), 0, 1)
            grey = np.maximum(grey, np.floor(255 * ink + 0.5))
    return grey


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_raster_is_as_defined(found, name):
    np.testing.assert_array_equal(rasters(found)[name], defined(DRAWINGS[name], 280))


def test_a_raster_of_another_side(found):
    expected = defined([line(4, (5, 5))], 12)
    np.testing.assert_array_equal(decoded(found["small"]).reshape(12, 12), expected)
    assert expected.max() == 255 and abs(expected.sum() / 255 - 4 * np.pi) < 0.5  # the area of the disc


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", [*DRAWINGS, *PICTURES])
def test_prepared_as_python_does(found, name, kind):
    picture = PICTURES[name] if name in PICTURES else rasters(found)[name]
    result = found["prepared"][name][NAMES.index(kind)]
    try:
        expected, notes = prepare(picture[:, :, None], DATASETS[kind])
    except DataError:
        assert result is None
        return
    shape, values, said = result
    assert said == notes
    assert tuple(shape) == expected.shape
    np.testing.assert_allclose(decoded(values, np.float32).reshape(shape), expected, rtol=0, atol=1e-5)


def test_everything_that_can_be_said_is_said(found):
    """So that no step is left out above."""
    results = [result for results in found["prepared"].values() for result in results if result]
    said = " ".join(note for _, _, notes in results for note in notes)
    for words in re.findall(r'"((?:padded|cut off|cropped|inverted|brightened|the ink is)[^"]+)"', SCRIPT):
        assert words in said
    assert "raised the contrast" in said and "resized from" in said and "resized the ink" in said
    blank = [name for name, results in found["prepared"].items() if results[0] is None]
    assert set(blank) >= {"blank", "empty", "faint", "hardly any"}


def test_grey_is_repeated_where_a_model_takes_three_channels(found):
    shape, values = found["three"]
    (_, one, _) = found["prepared"]["7"][NAMES.index("fashion-mnist")]
    assert shape == [28, 28, 3]
    np.testing.assert_array_equal(decoded(values, np.float32), decoded(one, np.float32).repeat(3))


def shades():
    """A picture of 28 x 28 pixels: every shade from 0 to 255, and a square of the darkest."""
    picture = np.zeros((28, 28), np.uint8)
    picture[2:18, 6:22] = np.arange(256).reshape(16, 16)
    picture[19:25, 6:12] = 255
    return picture


def test_pixels_as_strokes(found):
    """As many raster pixels of each cell are inked as its shade says, wholly; so full cells join without a gap."""
    inked = rasters(found)["pixels"]
    assert set(np.unique(inked)) == {0, 255}
    cells = inked.reshape(28, 10, 28, 10).mean(axis=(1, 3))
    assert np.abs(cells - shades()).max() < 1.3  # half of a hundredth of 255
    image = decoded(found["prepared"]["pixels"][2][1], np.float32).reshape(28, 28)
    assert (image[20:24, 7:11] == 1).all()


def test_the_same_functions_with_the_same_constants(found):
    """Colour is not drawn, and a page has no errors to raise: only these are left out."""
    members = inspect.getmembers(preprocess, inspect.isfunction)
    python = {name.removeprefix("_") for name, f in members if f.__module__ == preprocess.__name__}
    assert python - set(re.findall(r"^function (\w+)", SCRIPT, re.MULTILINE)) == {"to_grey"}
    assert found["constants"] == {name: getattr(preprocess, name) for name in found["constants"]}
