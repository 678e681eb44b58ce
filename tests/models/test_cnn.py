"""The convolutional network."""

import dataclasses
import json
import math

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, cast, randomised
from tests.test_planted_bugs import assert_found
from tests.training.helpers import toy
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.layers.convolutions import convolutions_backward
from tinyvit.models.cnn import CNNConfig, cnn, cnn_backward, cnn_init
from tinyvit.models.model import parameter_count
from tinyvit.models.presets import PRESETS
from tinyvit.ops.convolution import convolution, convolution_backward
from tinyvit.ops.cross_entropy import cross_entropy
from tinyvit.ops.gelu import gelu_backward
from tinyvit.ops.mean_row import mean_row_backward
from tinyvit.training.adamw import decay_of
from tinyvit.training.loop import fit
from tinyvit.training.recipe import Recipe

CONFIG = CNNConfig(image=7, channels=2, classes=5, widths=(3, 4))
TOY = CNNConfig(image=4, channels=1, classes=3, widths=(8, 12))
RECIPE = Recipe(epochs=12, batch=8, micro_batch=3, learning_rate=0.02, ema_decay=0.8, validation=0.25)
B = 3


@pytest.fixture
def images(rng):
    return rng.standard_normal((B, 7, 7, 2))


def random_cnn(config):
    return randomised(cnn_init(None, config))


def test_agrees_with_its_twin(images):
    p = random_cnn(CONFIG)
    assert_close(cnn(images, p, CONFIG)[0], naive.cnn(images, p))


def test_float32_in_and_out_and_close_to_float64(rng, images):
    p, dy = random_cnn(CONFIG), rng.standard_normal((B, 5))

    def results(dtype):
        x, parameters = images.astype(dtype), cast(p, dtype)
        logits, c = cnn(x, parameters, CONFIG)
        return logits, *cnn_backward(dy.astype(dtype), parameters, c, CONFIG)

    assert {leaf.dtype for leaf in trees.leaves(list(results(np.float32)))} == {np.dtype("float32")}
    assert_close(results(np.float32), results(np.float64), 1e-5)


def test_translation_equivariance(rng):
    """What moves by the product of all strides moves its features by one place, and leaves the answer as it is."""
    config, p = dataclasses.replace(CONFIG, image=32), random_cnn(CONFIG)
    scene = np.zeros((1, 32, 32, 2))
    scene[:, 12:17, 12:17] = rng.standard_normal((1, 5, 5, 2))
    logits, c = cnn(scene, p, config)
    inner = slice(2, 6)  # the last of 8 places sees the zeros around the image, and rolled it would be elsewhere
    for rows, columns in (1, 0), (0, -1), (2, 1):
        moved = np.roll(scene, (4 * rows, 4 * columns), axis=(1, 2))  # nothing but zeros goes around the edge
        moved_logits, c_moved = cnn(moved, p, config)
        expected = np.roll(c["places"], (rows, columns), axis=(1, 2))
        assert_close(c_moved["places"][:, inner, inner], expected[:, inner, inner])
        assert abs(c_moved["places"] - c["places"]).max() > 0.1
        assert_close(moved_logits, logits)


def test_each_image_is_classified_alone(images):
    p = random_cnn(CONFIG)
    assert_close(cnn(images[1:2], p, CONFIG)[0], cnn(images, p, CONFIG)[0][1:2])


def test_the_first_loss_is_ln_k(rng, images):
    logits, _ = cnn(images.astype(np.float32), cnn_init(rng, CONFIG), CONFIG)
    assert (logits == 0).all()
    assert cross_entropy(logits, np.array([0, 4, 2]))[0] == pytest.approx(math.log(5), rel=1e-6)


def test_the_tree_of_parameters(rng):
    p = cnn_init(rng, CONFIG)
    assert list(p) == ["convolutions", "head"]
    assert {name: leaf.shape for name, leaf in trees.walk(p)} == {
        "convolutions/0/w": (3, 3, 2, 3),
        "convolutions/0/b": (3,),
        "convolutions/1/w": (3, 3, 3, 4),
        "convolutions/1/b": (4,),
        "head/w": (4, 5),
        "head/b": (5,),
    }
    described = [(name, leaf.shape, leaf.dtype) for name, leaf in trees.walk(cnn_init(None, CONFIG))]
    assert described == [(name, leaf.shape, leaf.dtype) for name, leaf in trees.walk(p)]
    decay = trees.views(decay_of(p, 0.1), p)
    assert {name: bool((leaf > 0).all()) for name, leaf in trees.walk(decay)} == {
        name: name.endswith("w") for name in trees.named(p)
    }


def test_kernels_start_with_the_variance_that_keeps_activations_as_large(rng):
    config = CNNConfig(image=64, channels=8, classes=2, widths=(64, 64, 64, 64))
    p = cnn_init(rng, config, dtype="float64")
    for layer in p["convolutions"]:
        fan_in = math.prod(layer["w"].shape[:3])
        assert layer["w"].std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
        assert not layer["b"].any()
    x = rng.standard_normal((4, 64, 64, 8))
    mean_square = (cnn(x, p, config)[1]["places"] ** 2).mean()
    assert 0.3 < mean_square < 1.2  # after four layers; with variance 1 / fan_in it would be about 0.05


def test_as_many_parameters_as_the_vit_within_a_fifth():
    assert parameter_count(CNNConfig()) == 93_962
    assert 0.8 < parameter_count(CNNConfig()) / parameter_count(PRESETS["mnist"]) < 1.2


def test_there_and_back_through_json():
    for config in CNNConfig(), CONFIG:
        found = CNNConfig(**json.loads(json.dumps(dataclasses.asdict(config))))
        assert found == config and hash(found) == hash(config)


WHOLE = "expected a whole number from 1 to 100000"
WRONG = [
    (dict(image=0), f"image is 0: {WHOLE}"),
    (dict(channels="3"), f"channels is '3': {WHOLE}"),
    (dict(classes=2.0), f"classes is 2.0: {WHOLE}"),
    (dict(widths=(8, 0)), f"width 2 is 0: {WHOLE}"),
    (dict(widths=(True,)), f"width 1 is True: {WHOLE}"),
    (dict(widths=()), "widths are (): expected the channels of each convolution, at least one"),
    (dict(widths=32), "widths are 32: expected the channels of each convolution, at least one"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_a_wrong_value_is_one_line_that_names_it(values, message):
    with pytest.raises(UsageError) as error:
        CNNConfig(**values)
    assert str(error.value) == message


def test_images_of_another_size_are_refused(images):
    with pytest.raises(UsageError, match=r"images are \[3, 6, 7, 2\]: the model takes \[B, 7, 7, 2\]"):
        cnn(images[:, 1:], random_cnn(CONFIG), CONFIG)


def test_it_learns_through_fit_with_the_same_bits_for_any_number_of_workers():
    alone, history = fit(TOY, toy(), recipe=RECIPE, seed=3, workers=1, progress=False)
    assert history[-1]["test_accuracy"] >= 8 / 9
    assert_same_bits(fit(TOY, toy(), recipe=RECIPE, seed=3, workers=2, progress=False)[0], alone)
    other, _ = fit(TOY, toy(), recipe=RECIPE, seed=4, workers=1, progress=False)
    assert not np.array_equal(other["head"]["w"], alone["head"]["w"])


def test_there_are_no_blocks_to_freeze():
    with pytest.raises(UsageError, match="freeze is 1: the model has 0 blocks, expected at most that"):
        fit(TOY, toy(), recipe=dataclasses.replace(RECIPE, freeze=1), progress=False)


BUGS = [  # function, the case that must fail, the mistake, what stands there, how it is easily written
    (convolutions_backward, "cnn", "GELU forgotten", 'dx = gelu_backward(dx, cache["gelu"])', "..."),
    (convolutions_backward, "cnn", "gradients in the order of the way back", "zip(reversed(g)", "zip((g)"),
    (cnn_backward, "cnn", "no mean", 'mean_row_backward(dx, c["mean_row"])', "dx[:, None].repeat(4, axis=1)"),
    (mean_row_backward, "cnn", "a sum, not a mean", "dy * (1 / x.shape[1])", "dy"),
    (gelu_backward, "cnn", "the derivative forgotten", 'dy * c["dydx"]', "dy"),
    (convolution, "convolution", "the bias forgotten", "y += b", "..."),
    (convolution_backward, "convolution", "db of one place", "column_sums(rows)", "rows[0]"),
    (convolution_backward, "convolution", "dw a mean over places", ".T @ rows)", ".T @ rows / len(rows))"),
    (
        convolution_backward,
        "convolution/stride",
        "the kernel turned over",
        'matrix_from_kernel(c["w"])',
        'matrix_from_kernel(c["w"][::-1, ::-1])',
    ),
]


@pytest.mark.parametrize(
    ("function", "case", "right", "wrong"),
    [pytest.param(f, c, r, w, id=f"{f.__name__}: {n}") for f, c, n, r, w in BUGS],
)
def test_the_gradient_check_finds(function, case, right, wrong):
    assert_found(function, case, right, wrong)
