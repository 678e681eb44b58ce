"""The live page's Python: what it says of every stage, what it carries, how large it may be, and what it refuses."""

import base64
import dataclasses
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.browser import driven
from tests.reference.compare import assert_same_bits, random_vit
from tinyvit import report, trees
from tinyvit.data import DATASETS, load_data
from tinyvit.data.datasets import scale
from tinyvit.errors import DataError, UsageError
from tinyvit.live import bundled
from tinyvit.live import page as module
from tinyvit.live.page import EXACT, IMAGES, KNOWN, LIMIT, Live
from tinyvit.live.stages import READOUTS, ROOT, stages
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import CHOICES, ViTConfig
from tinyvit.models.convstem import ConvStemConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.presets import PRESETS
from tinyvit.models.swin import SwinConfig
from tinyvit.models.vit import vit
from tinyvit.training.evaluation import evaluate

SMALL = ViTConfig(image=8, channels=1, patch=2, dim=8, depth=2, heads=2, mlp_dim=12, classes=10)
TOO_LARGE = SMALL.changed(dim=256, mlp_dim=1024, depth=1)
VARIANTS = [dict(zip(KNOWN, values, strict=True)) for values in itertools.product(*KNOWN.values())]
DIGITS, DIGIT_LABELS = load_data("digits")[1]


@pytest.fixture(scope="module")
def live():
    return Live(random_vit(SMALL), SMALL, "digits", DIGITS, DIGIT_LABELS, title="a <b> & c", command="tinyvit train")


def values_of(data):
    """The parameters out of a page's data, by name."""
    numbers = np.frombuffer(base64.b64decode(data["values"]), {"float16": "<f2", "float32": "<f4"}[data["dtype"]])
    sizes = [int(np.prod(entry["shape"])) for entry in data["parameters"]]
    assert sum(sizes) == len(numbers)
    pieces = np.split(numbers, np.cumsum(sizes)[:-1])
    return {e["name"]: piece.reshape(e["shape"]) for e, piece in zip(data["parameters"], pieces, strict=True)}


def images_of(data):
    """The images out of a page's data, as the page makes them."""
    config, half = data["config"], data["maximum"] / 2
    levels = np.frombuffer(base64.b64decode(data["images"]), np.uint8).astype(np.float64)
    return ((levels - half) / half).reshape(-1, config["image"], config["image"], config["channels"])


def data_in(html):
    """What the page's script of this id holds."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


# ---- the stages


def test_what_is_known_is_a_choice_of_the_configuration():
    assert {name: set(values) - set(CHOICES.get(name, values)) for name, values in KNOWN.items()} == {
        name: set() for name in KNOWN
    }
    assert KNOWN.keys() >= CHOICES.keys() and set(KNOWN["pool"]) == READOUTS.keys()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: " ".join(map(str, variant.values())))
def test_each_stage_quotes_the_one_line_that_does_it(variant):
    config = SMALL.changed(**variant)
    found = [stage.as_dict() for stage in stages(config)]
    for stage, shown in zip(stages(config), found, strict=True):
        lines = (ROOT / shown["file"]).read_text(encoding="utf-8").splitlines()
        assert lines[shown["line"] - 1].strip() == shown["python"] and stage.quote in shown["python"]
        assert f"def {stage.function.__name__}(" in "\n".join(lines[: shown["line"]])
    assert [shown["part"] for shown in found] == sorted((shown["part"] for shown in found), key="start block end".index)
    names = [shown["name"] for shown in found]
    assert len(set(names)) == len(names) and ("tokens" in names) == config.class_token
    assert ("√d" in found[names.index("scores")]["equation"]) == (config.scale == "sqrt")


def test_the_numbers_of_equations_are_the_papers_in_their_order():
    numbers = [stage.number for stage in stages(SMALL) if stage.number]
    assert set(numbers) == {f"({n})" for n in range(1, 9)}
    attention = [stage.number for stage in stages(SMALL) if stage.number in ("(5)", "(6)", "(7)", "(8)")]
    assert attention == sorted(attention)


def test_a_line_of_the_source_that_has_its_equations_tag_agrees_with_the_stage():
    tagged = {s.name: (s.number, re.search(r"#.*?(\(\d\))", s.line()[1])) for s in stages(SMALL)}
    tagged = {name: (number, found[1]) for name, (number, found) in tagged.items() if found}
    assert tagged.keys() == {"addition_2", "addition_3"} and all(a == b for a, b in tagged.values())


@pytest.mark.parametrize(("quote", "count"), [("scores", 3), ("nothing of the kind", 0)])
def test_a_quote_of_no_line_or_of_several_is_refused(quote, count):
    stage = next(stage for stage in stages(SMALL) if stage.name == "scores")
    with pytest.raises(ValueError, match=rf"scores: {count if count == 0 else '[3-9]'} lines of attention hold"):
        stage._replace(quote=quote).line()


# ---- what it carries


def test_the_data_are_what_the_page_is_promised(live):
    data = json.loads(json.dumps(live.data()))
    assert data["title"] == "a <b> & c" and data["config"] == dataclasses.asdict(SMALL)
    assert data["dataset"] == json.loads(json.dumps(dataclasses.asdict(DATASETS["digits"])))
    assert data["maximum"] == 16 and len(data["colours"]) == 16
    assert data["stages"] == [stage.as_dict() for stage in stages(SMALL)]
    assert data["labels"] == DIGIT_LABELS[:IMAGES].tolist()


@pytest.mark.parametrize("variant", VARIANTS[:4], ids=lambda variant: variant["pool"] + variant["scale"])
def test_the_parameters_are_the_models_in_the_order_of_their_names(variant):
    config = SMALL.changed(**variant)
    p = random_vit(config)
    live = Live(p, config)
    found, expected = values_of(live.data()), trees.named(p)
    assert list(found) == list(expected)
    assert_same_bits(found, {name: a.astype(np.float32) for name, a in expected.items()})
    assert_same_bits(found, trees.named(live.p))


def test_the_images_are_the_data_sets_to_the_bit(live):
    found = images_of(live.data())
    assert found.shape == (IMAGES, 8, 8, 1)
    assert np.array_equal(found.astype(np.float32), DIGITS[:IMAGES]) and np.array_equal(live.images, DIGITS[:IMAGES])


def test_grey_levels_up_to_255_come_back_to_the_bit():
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    live = Live(random_vit(SMALL), SMALL, None, scale(levels, 255), np.zeros(4, int))
    assert np.array_equal(live.levels, levels) and np.array_equal(live.images, scale(levels, 255))
    np.testing.assert_allclose(images_of(live.data()), live.images, atol=1e-7)


def test_images_between_grey_levels_are_rounded_and_the_page_says_what_it_took():
    images = np.random.default_rng(0).uniform(-1.2, 1.2, (3, 8, 8, 1)).astype(np.float32)
    live = Live(random_vit(SMALL), SMALL, "digits", images, np.zeros(3, int))
    assert abs(live.images - images.clip(-1, 1)).max() <= 1 / 16 + 1e-6
    np.testing.assert_allclose(images_of(live.data()), live.images, atol=1e-7)


def as_half(tree):
    return trees.map(lambda a: a.astype(np.float16).astype(np.float32), tree)


def test_float16_where_it_changes_nothing():
    p = random_vit(SMALL)
    assert Live(p, SMALL).dtype == "float32" and Live(as_half(p), SMALL).dtype == "float16"


@pytest.mark.parametrize(("width", "dtype"), [(368, "float32"), (640, "float16")])
def test_float16_where_float32_would_take_half_a_page(width, dtype):
    config = SMALL.changed(dim=64, mlp_dim=width, depth=1)
    p = random_vit(config)
    assert (trees.count(p) * 4 * 4 / 3 > EXACT) == (dtype == "float16")
    live = Live(p, config)
    assert live.dtype == dtype
    assert_same_bits(live.p, as_half(p) if dtype == "float16" else trees.map(np.float32, p))
    assert_same_bits(values_of(live.data()), trees.named(trees.map(lambda a: a.astype(dtype), live.p)))


def test_what_float16_cannot_hold_stays_float32():
    config = SMALL.changed(dim=64, mlp_dim=640, depth=1)
    p = random_vit(config)
    p["head"]["b"][3] = 1e6
    live = Live(p, config)
    assert live.dtype == "float32" and live.p["head"]["b"][3] == 1e6


def test_accuracy_is_measured_over_all_images_with_the_parameters_of_the_page():
    config = SMALL.changed(dim=64, mlp_dim=640, depth=1)
    p = random_vit(config)
    p["head"] = {"w": 1e-9 * p["head"]["w"], "b": 0 * p["head"]["b"]}  # nothing of it is left as float16
    order = np.argsort(-DIGIT_LABELS)  # what it says of the first hundred is not what it says of all
    images, labels = DIGITS[order], DIGIT_LABELS[order]
    live = Live(p, config, "digits", images, labels, command="tinyvit train x")
    right = (vit(images, as_half(p), config)[0].argmax(-1) == labels).mean()
    assert right != (vit(images, p, config)[0].argmax(-1) == labels).mean()
    assert live.before == {"accuracy": pytest.approx(right), "images": 360, "command": "tinyvit train x"}
    assert live.data()["before"] == live.before
    assert Live(p, config, accuracy=(0.5, 20)).before == {"accuracy": 0.5, "images": 20, "command": ""}
    assert Live(p, config).data()["before"] is None


def test_without_a_data_set_classes_have_numbers():
    data = Live(random_vit(SMALL), SMALL).data()
    assert data["dataset"]["class_names"] == tuple("0123456789") and data["dataset"]["side"] == 8
    assert data["maximum"] == 255 and data["dataset"]["ink_box"] is None
    assert data["images"] == "" and data["labels"] == [] and data["title"] == "a Vision Transformer"


# ---- the page


class Outline(HTMLParser):
    """Ids, and what is asked for; every picture has words."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.asked = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.asked += [attributes[name] for name in ("src", "href") if attributes.get(name)]
        assert tag != "img" or attributes.get("alt")


def test_the_page_is_whole_and_needs_nothing_else(live):
    html = live.html()
    outline = Outline(html)
    assert {"data", "words", "model"} <= set(outline.ids) and len(set(outline.ids)) == len(outline.ids)
    assert all(source.startswith(("data:", "#")) for source in outline.asked)
    assert (
        data_in(html) == json.loads(json.dumps(live.data()))
        and "<title>a &lt;b&gt; &amp; c · tinyvit live</title>" in html
    )
    scripts = [*(ROOT / "tinyvit" / "live").glob("*.js"), ROOT / "tinyvit" / "report" / "explorer.js"]
    for script in (file.read_text(encoding="utf-8") for file in scripts):
        assert script in html and "</script" not in script and "<!--" not in script
    for style in (module.text_of("explorer.css", report), module.text_of("page.css")):
        assert style in html and "</style" not in style
    assert len(scripts) >= 4
    words = json.loads(re.search(r'id="words">(.*?)</script>', html, re.DOTALL)[1])
    explorers = json.loads(module.text_of("explorer_words.json", report))
    own = json.loads(module.text_of("words.json"))
    assert words.keys() == own.keys() >= {"en", "zh"}
    assert all(words[language] == explorers[language] | own[language] for language in words)


def test_no_title_and_no_name_of_a_class_ends_the_script():
    names = ("</script><script>alert(1)</script>", *"abcdefghi")
    dataset = dataclasses.replace(DATASETS["digits"], class_names=names)
    html = Live(random_vit(SMALL), SMALL, dataset, title="</script>").html()
    assert "alert(1)</script>" not in html and data_in(html)["dataset"]["class_names"] == list(names)


def test_a_page_that_would_be_too_large_says_how_large_and_is_made_when_forced():
    p = random_vit(TOO_LARGE)
    with pytest.raises(UsageError, match=r"would have \d+\.\d\d MB, expected at most 1 MB") as raised:
        Live(p, TOO_LARGE)
    assert "--force" in str(raised.value) and f"{trees.count(p):,} parameters" in str(raised.value)
    size = len(Live(p, TOO_LARGE, force=True).html().encode())
    said = 1e6 * float(re.search(r"have ([\d.]+) MB", str(raised.value))[1])
    assert size > LIMIT and 0 <= size - said < 100_000, "but for the picture, which is not drawn then"


def test_the_limit_is_of_the_whole_page(live, monkeypatch):
    how = dict(dataset="digits", images=DIGITS, labels=DIGIT_LABELS, title=live.title, command="tinyvit train")
    size = len(live.html().encode())
    monkeypatch.setattr(module, "LIMIT", size)
    assert Live(random_vit(SMALL), SMALL, **how).html() == live.html()
    monkeypatch.setattr(module, "LIMIT", size - 1)
    with pytest.raises(UsageError, match=f"would have {size / 1e6:.2f} MB"):
        Live(random_vit(SMALL), SMALL, **how)


def test_it_says_what_it_is(live):
    size = len(live.html().encode()) / 1e6
    count = trees.count(live.p)
    assert repr(live) == f"Live(a <b> & c: {count:,} parameters as float32, 100 images, {size:.2f} MB)"


# ---- in a notebook


DRIVER = """
<script>
window.addEventListener("load", () => {
  const frames = [...document.querySelectorAll(".tinyvit-live iframe")];
  const found = frames.map(frame => ({
    title: frame.title,
    heading: frame.contentDocument.title,
    data: frame.contentDocument.getElementById("data").textContent.length,
    width: frame.getBoundingClientRect().width,
    around: frame.parentElement.clientWidth,
    cut: frame.contentDocument.documentElement.scrollHeight - frame.clientHeight,
  }));
  const pictures = document.querySelectorAll(".static").length;
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({found, pictures, errors});
});
</script>
"""


def test_in_a_notebook_a_picture_stands_where_scripts_do_not_run(live):
    before, _, after = live._repr_html_().partition("<script")
    assert 'class="static"' in before and "data:image/png" in before and "<img" not in after
    assert 'alt="Where the class token looks in the first image, in each layer and head"' in before
    assert "<" not in after.partition("</script>")[0].replace("() =>", ""), "nothing in it ends the script"
    config = SMALL.changed(pool="mean")
    assert "Where the average patch looks in an empty image" in Live(random_vit(config), config)._repr_html_()


@pytest.mark.usefixtures("browser")
def test_in_a_notebook_the_page_takes_the_pictures_place(live, tmp_path):
    html = "<!DOCTYPE html><body>" + live._repr_html_() + live._repr_html_()  # one cell, run twice
    seen, console = driven(html, DRIVER, tmp_path)
    assert console == [] and seen["errors"] == [] and seen["pictures"] == 0
    assert len(seen["found"]) == 2
    for frame in seen["found"]:
        assert frame["title"] == "a <b> & c" and frame["data"] > 1000
        assert frame["heading"] == "a <b> & c · tinyvit live"
        assert frame["width"] == frame["around"] and frame["cut"] <= 0


# ---- what it refuses


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SMALL.changed(pool="mean_norm"), "found pool mean_norm; expected pool class or mean"),
        (SMALL.changed(pool="patch_mean"), "found pool patch_mean; "),
        (SMALL.changed(position="2d"), "found position 2d; expected position 1d"),
        (SMALL.changed(position="none"), "found position none; "),
        (SMALL.changed(position_at="layers"), "found position_at layers; expected position_at stem"),
        (SMALL.changed(norm="post"), "found norm post; expected norm pre"),
        (SMALL.changed(attention="axial"), "found attention axial; expected attention full"),
        (SMALL.changed(pre_logits=5), "found pre_logits 5; expected pre_logits 0"),
        (
            SMALL.changed(norm="post", pool="mean_norm", gelu="tanh"),
            "found pool mean_norm, norm post; expected pool class or mean, norm pre",
        ),
        (SMALL.changed(image=(4, 8)), "images of 4 x 8 pixels: the live page shows square ones only"),
        (SMALL.changed(channels=4), "images of 4 channels: the live page shows grey or coloured ones, 1 or 3"),
        (CNNConfig(image=8), "found a convolutional network: the live page shows a Vision Transformer"),
        (SwinConfig(), "found a Swin Transformer: "),
        (PRESETS["R50+B/16"], "found a hybrid of a ResNet and a Vision Transformer: "),
        (ConvStemConfig(), "found a Vision Transformer with a convolutional stem: "),
        (MaskedConfig(SMALL), "found a Vision Transformer that predicts masked patches: "),
        (GPTConfig(), "found a GPT"),
        ("mnist", "expected a configuration, such as tinyvit.PRESETS['mnist']"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_models_that_the_page_does_not_know_are_named(config, words):
    with pytest.raises(UsageError) as raised:
        Live({}, config)
    assert words in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("minst",), UsageError, "dataset is 'minst': did you mean mnist"),
        (("mnist",), UsageError, "side of the data set mnist: found 28, expected 8 as the model has"),
        (("cifar-10",), UsageError, "channels of the data set cifar-10: found 3, expected 1"),
        (("digits", DIGITS), UsageError, "found images alone: expected both, or neither"),
        (("digits", None, DIGIT_LABELS), UsageError, "found labels alone"),
        (("digits", DIGITS[:3], DIGIT_LABELS), UsageError, "found 3 images and 360 labels"),
        (("digits", DIGITS[:, :4], DIGIT_LABELS), UsageError, "images are [360, 4, 8, 1]"),
        (("digits", DIGITS, DIGIT_LABELS + 1), DataError, "found label 10 at index"),
        ((dataclasses.replace(DATASETS["digits"], maximum=4095),), UsageError, "pixels up to 4095"),
        ((dataclasses.replace(DATASETS["digits"], classes=2, class_names=("a", "b")),), UsageError, "classes of the"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_that_do_not_fit_the_model(arguments, error, words):
    with pytest.raises(error) as raised:
        Live(random_vit(SMALL), SMALL, *arguments)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_parameters_of_another_model():
    with pytest.raises(UsageError, match=r"the parameters of the live page: \S+ is \[.*\], the model expects \["):
        Live(random_vit(SMALL.changed(dim=4)), SMALL)


# ---- the bundled model


@pytest.fixture(scope="module")
def brought():
    return bundled.load()


def test_the_bundled_model_reads_its_hundred_images(brought):
    assert brought.images.shape == (100, 28, 28, 1) and set(brought.labels) == set(range(10))
    share = evaluate((brought.images, brought.labels), brought.p, brought.config)["accuracy"]
    assert share >= 0.97
    assert len(brought.html().encode()) < LIMIT and brought.dtype == "float16"


def test_what_is_said_of_it_is_in_its_file(brought):
    about = bundled.about()
    assert about["accuracy"] >= 0.99 and about["measured_on"] == 10_000
    assert about["command"].startswith("tinyvit train mnist") and type(about["seed"]) is int
    assert brought.before == {"accuracy": about["accuracy"], "images": 10_000, "command": about["command"]}
    text = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    assert f"`{about['command']}`" in text and f"**{100 * about['accuracy']:.2f} %**" in text


def test_packed_again_it_is_the_same_file(brought):
    with np.load(bundled.FILE) as packed:
        assert_same_bits(bundled.pack(brought, bundled.about()["seed"]), dict(packed))


def test_only_a_measured_page_of_float16_is_packed(live):
    with pytest.raises(ValueError, match="as float16, and measured"):
        bundled.pack(live, 0)
    with pytest.raises(ValueError, match="as float16, and measured"):
        bundled.pack(Live(as_half(random_vit(SMALL)), SMALL), 0)


def test_with_the_real_mnist_its_accuracy_is_what_its_file_says(brought, real_mnist):
    images, labels = load_data("mnist", real_mnist)[1]
    assert np.array_equal(brought.images, images[:100]) and np.array_equal(brought.labels, labels[:100])
    share = evaluate((images, labels), brought.p, brought.config)["accuracy"]
    assert share == pytest.approx(bundled.about()["accuracy"], abs=2e-4), "another processor adds in another order"
