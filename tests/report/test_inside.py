"""The figures of a run: each with a title and two sentences that say what was found."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.reference.compare import random_vit
from tinyvit.models.model import MODELS
from tinyvit.models.views import HYBRID
from tinyvit.models.vit import vit
from tinyvit.report import inside as module
from tinyvit.report.inside import _confusion, _curves, _distance, _filters, _positions, pictures
from tinyvit.viz.attention import attention_distance, rollout, uniform_distance, weighted_attention

NAMES = ["curves", "confusion", "mistakes", "attention", "rollout", "distance", "filters", "positions", "dataflow"]


@pytest.fixture(scope="module")
def drawn(inside):
    return pictures(inside)


def test_every_figure_has_a_title_and_two_sentences(drawn):
    assert list(drawn) == NAMES
    for picture in drawn.values():
        assert picture.words.count(". ") == 1, picture.words
        assert picture.words.endswith(".") and picture.figure.axes


def test_the_distances_said_are_those_of_this_run(drawn, inside):
    distances = attention_distance(inside.maps, 2)
    words = drawn["distance"].words
    assert f"at {uniform_distance(16, 2):.1f} pixels" in words and "of 4 look" in words
    assert f"between {distances.min():.1f} and {distances.max():.1f}," in words


def test_probabilities_are_the_models(inside):
    assert inside.probabilities.shape == (360, 10)
    np.testing.assert_allclose(inside.probabilities.sum(axis=1), 1, rtol=1e-5)
    right = (inside.probabilities.argmax(-1) == inside.labels).mean()
    assert right == pytest.approx(inside.run.metrics()["test_accuracy"])


def test_a_model_without_positions_has_no_picture_of_them(inside):
    bare = inside._replace(encoder=dataclasses.replace(inside.config, position="none"))
    assert [name for name in NAMES if name != "positions"] == list(pictures(bare))


@pytest.mark.parametrize(("kind", "words"), [("2d", "half of that is given"), ("sinusoidal", "nothing is learned")])
def test_an_order_that_is_given_is_not_said_to_be_found(inside, kind, words):
    config = dataclasses.replace(inside.config, position=kind)
    p = inside.p | {"pos": random_vit(config)["pos"]}
    said = _positions(inside._replace(p=p, encoder=config)).words
    assert words in said and "has found out" not in said and said.count(". ") == 1


def test_a_model_that_makes_no_mistake(inside):
    perfect = np.eye(10, dtype=np.float32)[inside.labels]
    drawn = pictures(inside._replace(probabilities=perfect))
    assert "There are no mistakes." in drawn["confusion"].words
    assert drawn["mistakes"].figure is not None


def history_of(inside, losses):
    """The same run, had its held-out loss been this after every epoch."""

    class Run:
        settings = inside.run.settings

        def history(self):
            steps = [{"kind": "step", "step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
            return steps + [
                {"kind": "epoch", "step": i + 1, "validation_loss": loss, "validation_accuracy": 0.5}
                for i, loss in enumerate(losses)
            ]

    return inside._replace(run=Run())


FALLING = [2 * 0.8**i for i in range(10)]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([2.3] * 10, "It has not learned: the held-out loss is 2.3, that of guessing 2.3; ask tinyvit doctor."),
        ([1.0, 0.5], "So few epochs do not tell"),
        (
            FALLING,
            f"still falling, from {FALLING[6]:.2g} to {FALLING[9]:.2g} over the last third: more epochs may help",
        ),
        ([1.0, 0.5, 0.2, 0.1, 0.1, 0.1, 0.099, 0.098, 0.097], "has settled, from 0.1 to 0.097"),
        ([1.0, 0.5, 0.2, 0.1, 0.12, 0.13, 0.14, 0.15, 0.16], "lowest in epoch 4 of 9, 0.1, and ends at 0.16"),
    ],
    ids=["nothing learned", "too few", "falling", "settled", "too long"],
)
def test_was_training_long_enough(inside, losses, words):
    assert words in _curves(history_of(inside, losses)).words


def mistaken(inside, pairs):
    """The same run, had it taken these classes for those, so many times each: {(is, says): times}."""
    said = inside.labels.copy()
    for (i, j), times in pairs.items():
        said[np.flatnonzero(inside.labels == i)[:times]] = j
    return inside._replace(probabilities=np.eye(10, dtype=np.float32)[said])


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({(4, 9): 3, (1, 7): 2}, "Most often it takes 4 for 9: 3 times."),
        ({(4, 9): 3, (1, 7): 3}, "Most often it takes 1 for 7 and 4 for 9: 3 times."),
        ({(4, 9): 1, (1, 7): 1}, "No two classes stand out: none is taken for another more than once."),
        ({(i, 2): 99 for i in range(10)}, "100% of all answers are 2."),
    ],
)
def test_which_classes_are_confused(inside, pairs, words):
    assert _confusion(mistaken(inside, pairs)).words.endswith(words)


def test_positions_that_have_an_order_and_that_have_none(inside):
    row, column = np.divmod(np.arange(16), 4)
    smooth = np.stack([np.cos(row), np.sin(row), np.cos(column), np.sin(column)], axis=1)
    random = np.random.default_rng(0).normal(size=(16, 64))
    line = np.stack([np.cos(np.arange(16) / 2), np.sin(np.arange(16) / 2)], axis=1)  # of the sequence alone
    for pos, words in (
        (smooth, "has found out that images have two dimensions"),
        (line, "so the order of the sequence is to be seen, but not that images have two dimensions"),
        (random, "no order is to be seen"),
    ):
        p = inside.p | {"pos": np.concatenate([np.zeros_like(pos[:1]), pos])}
        config = dataclasses.replace(inside.config, dim=pos.shape[1])
        assert words in _positions(inside._replace(p=p, encoder=config)).words


@pytest.mark.parametrize(
    ("image", "grid"), [(4, "2 x 2"), ((2, 4), "1 x 2"), (2, "1 x 1"), ((4, 8), "2 x 4"), ((6, 4), "3 x 2")]
)
def test_few_patches_have_no_two_dimensions(inside, image, grid):
    """Of so few nothing can be said that is not true of a line."""
    config = dataclasses.replace(inside.config, image=image)
    row, column = np.divmod(np.arange(config.tokens), 2)
    pos = np.stack([np.cos(row), np.sin(row), np.cos(column), np.sin(column)], axis=1)
    p, config = inside.p | {"pos": pos}, dataclasses.replace(config, dim=4)
    said = _positions(inside._replace(p=p, encoder=config)).words
    assert "has found out" not in said and "nan" not in said
    assert said.endswith(f"(within each square). {grid} patches are too few to tell two dimensions from one.")


def test_standardised_kernels_are_not_said_to_answer_to_brightness(inside):
    assert "An even pattern answers to brightness" in _filters(inside).words
    words = _filters(inside._replace(p=inside.p | {"resnet": {}})).words
    assert "none answers to even brightness" in words and "even pattern" not in words


def test_what_is_drawn_are_the_measures(inside, monkeypatch):
    drawn = {}
    for name in ("overlay_figure", "distance_figure"):
        whole, note = getattr(module, name), functools.partial(drawn.__setitem__, name)
        monkeypatch.setattr(module, name, lambda *args, note=note, whole=whole: note(args) or whole(*args))
    pictures(inside)
    maps = [a[:4] for a in inside.maps]
    columns = drawn["overlay_figure"][1]
    np.testing.assert_array_equal(columns["rollout"], rollout(maps)[:, 0, 1:])
    np.testing.assert_array_equal(columns["without identity"], rollout(maps, identity=False)[:, 0, 1:])
    said = np.eye(10, dtype=np.float32)[inside.probabilities[:4].argmax(-1)]
    for i, image in enumerate(inside.images[:4, None]):
        _, c = vit(image, inside.p, inside.config)
        expected = sum(weighted_attention(said[i : i + 1], inside.p, c, inside.config))[0, 0, 1:]
        np.testing.assert_array_equal(columns["for the class"][i], expected)
    np.testing.assert_array_equal(drawn["distance_figure"][0], attention_distance(inside.maps, 2))


def test_heads_that_look_at_no_patch_are_said_not_counted(inside):
    blind = [a.copy() for a in inside.maps]
    blind[0][:, 0] = 0
    blind[0][:, 0, :, 0] = 1  # all to the class token
    words = _distance(inside._replace(maps=blind)).words
    assert words.endswith("; 1 looks at no patch at all, but at the class token alone.") and "nan" not in words
    for a in blind:
        a[...] = 0
        a[..., 0] = 1
    assert "No head is to be seen, and none of 4" in _distance(inside._replace(maps=blind)).words


def test_local_heads_are_counted(inside):
    own = [np.broadcast_to(np.eye(a.shape[-1]), a.shape) for a in inside.maps]
    assert "and 4 of 4 look less than 70% as far" in _distance(inside._replace(maps=own)).words


def test_a_place_of_a_map_has_the_pixels_that_its_encoder_says(inside):
    """Also where the last place reaches beyond the image: 30 pixels are 8 places of 4, and not of 3."""
    config = MODELS["hybrid"].preset(inside.config).changed(image=30, patch=1)
    images = np.zeros((1, 30, 30, 1), np.float32)
    found = inside._replace(config=config, views=HYBRID, encoder=HYBRID["encoder"](config), images=images)
    assert found.grid == ((8, 8), 4) and inside.grid == ((4, 4), 2)
