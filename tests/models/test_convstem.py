"""A Vision Transformer with a convolutional stem: its parts, its sizes, and what becomes of its weights."""

import json
import math

import numpy as np
import pytest

import tinyvit
from tests.reference.compare import assert_close, assert_same_bits, cast, randomised
from tests.test_planted_bugs import assert_found
from tests.training.helpers import CONFIG, toy
from tinyvit import trees
from tinyvit.doctor.sizes import check_sizes
from tinyvit.errors import UsageError
from tinyvit.layers.convolutions import convolutions
from tinyvit.models.config import ViTConfig
from tinyvit.models.convstem import ConvStemConfig, convstem, convstem_backward, convstem_init
from tinyvit.models.model import MODELS, model_of, parameter_count
from tinyvit.models.vit import vit
from tinyvit.training.adamw import trainable
from tinyvit.training.loop import fit
from tinyvit.weights.adapt import adapt, fitting_image
from tinyvit.weights.save import TARGETS, save_weights

VIT = ViTConfig(image=1, patch=1, dim=6, depth=2, heads=2, mlp_dim=5, classes=3)
SMALL = ConvStemConfig(VIT, image=9, channels=2, widths=(3, 4))
COLOUR = SMALL.changed(channels=3, image=16, patch=2)


@pytest.fixture
def images(rng):
    return rng.standard_normal((3, 9, 9, 2))


def random_convstem(config=SMALL):
    return randomised(convstem_init(None, config))


# ---- what it computes


def test_the_transformer_takes_the_map_for_an_image(images):
    p = random_convstem()
    features, _ = convolutions(images, p["stem"])
    assert features.shape[1:] == (SMALL.vit.image, SMALL.vit.image, SMALL.vit.channels) == (3, 3, 4)
    assert_same_bits(convstem(images, p, SMALL)[0], vit(features, p, SMALL.vit)[0])
    assert_close(convstem(images, p, SMALL, all_rows=False, keep_cache=False)[0], vit(features, p, SMALL.vit)[0])


def test_agrees_with_torch(images):
    """PyTorch's own convolutions, under a Vision Transformer of its own functions; and every gradient."""
    torch = pytest.importorskip("torch")
    from tests.golden import torch_vit

    p, dy = random_convstem(), np.random.default_rng(1).standard_normal((3, 3))
    x, theirs = torch.tensor(images, requires_grad=True), trees.map(lambda a: torch.tensor(a, requires_grad=True), p)
    z = x.permute(0, 3, 1, 2)
    for layer in theirs["stem"]:
        z = torch.nn.functional.conv2d(z, layer["w"].permute(3, 2, 0, 1), layer["b"], stride=2, padding=1)  # odd sides
        z = torch.nn.functional.gelu(z)
    y = torch_vit.vit(z.permute(0, 2, 3, 1), theirs, SMALL.vit)
    y.backward(torch.tensor(dy))
    logits, c = convstem(images, p, SMALL)
    dimages, g = convstem_backward(dy, p, c, SMALL)
    expected = y.detach().numpy(), x.grad.numpy(), trees.map(lambda tensor: tensor.grad.numpy(), theirs)
    assert_close((logits, dimages, g), expected, 1e-11)


def test_float32_in_and_out_and_close_to_float64(images):
    p, dy = random_convstem(), np.ones((3, 3))

    def results(dtype):
        logits, c = convstem(images.astype(dtype), cast(p, dtype), SMALL)
        return logits, *convstem_backward(dy.astype(dtype), cast(p, dtype), c, SMALL)

    assert {leaf.dtype for leaf in trees.leaves(list(results(np.float32)))} == {np.dtype("float32")}
    assert_close(results(np.float32), results(np.float64), 1e-4)


BUGS = {  # the mistake: the function, what stands there, how it is easily written
    "the map's rows for its columns": (convstem_backward, "(dfeatures, p", "(dfeatures.swapaxes(1, 2), p"),
    "the stem's gradients from a gradient twice as large": (convstem_backward, "(dfeatures, p", "(2 * dfeatures, p"),
    "no way back to the image": (convstem_backward, "return dimages, g", "return 0 * dimages, g"),
}


@pytest.mark.parametrize(("function", "right", "wrong"), BUGS.values(), ids=BUGS)
def test_the_gradient_check_finds(function, right, wrong):
    assert_found(function, "convstem", right, wrong)


def test_the_first_loss_is_ln_k(rng, images):
    logits, _ = convstem(images.astype(np.float32), convstem_init(rng, SMALL), SMALL)
    loss, _ = tinyvit.cross_entropy(logits, np.array([0, 2, 1]))
    assert (logits == 0).all() and loss == pytest.approx(math.log(3), rel=1e-6)


# ---- its sizes


def test_four_halvings_leave_as_many_patches_as_b16_has():
    config = ConvStemConfig()
    assert (config.side, config.features, config.vit.patch, config.vit.grid) == (14, 512, 1, 14)
    assert config.encoder.patch == 16


def test_the_tree_of_parameters(rng):
    p = convstem_init(rng, SMALL)
    assert list(p)[:2] == ["stem", "patch"] and p["patch"]["w"].shape == (4, 6)
    assert {name: leaf.shape for name, leaf in trees.walk(p["stem"])} == {
        "0/w": (3, 3, 2, 3),
        "0/b": (3,),
        "1/w": (3, 3, 3, 4),
        "1/b": (4,),
    }
    assert parameter_count(SMALL) == trees.count(p)


def test_a_setting_of_either_part_can_be_changed_and_the_map_follows():
    changed = SMALL.changed(dim=8, widths=(5,), image=16)
    assert (changed.vit.dim, changed.vit.image, changed.vit.channels) == (8, 8, 5)
    assert changed.values()["dim"] == 8 and changed.values()["widths"] == (5,)
    assert ConvStemConfig.from_dict(json.loads(json.dumps({**vars(SMALL), "vit": vars(SMALL.vit)}))) == SMALL


@pytest.mark.parametrize(("widths", "least"), [((3,), 2), ((3, 4), 3), ((3, 4, 5), 5), ((2, 2, 2, 2), 9)])
def test_the_smallest_image_leaves_a_map_that_every_convolution_can_halve(rng, widths, least):
    config = ConvStemConfig(VIT, image=least, channels=2, widths=widths)
    features, _ = convolutions(rng.standard_normal((1, least, least, 2)), convstem_init(rng, config)["stem"])
    assert features.shape[1:] == (config.side, config.side, config.features)
    with pytest.raises(UsageError, match=f"image {least - 1} is too small: the stem halves its sides"):
        config.changed(image=least - 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(widths=()), "widths are (): expected the channels of each convolution, at least one"),
        (dict(widths=64), "widths are 64: expected the channels of each convolution, at least one"),
        (dict(widths=(8, 0)), "width 2 is 0: expected a whole number from 1"),
        (dict(widths=(8.0,)), "width 1 is 8.0: expected a whole number"),
        (dict(image=8), "image 8 is too small: the stem halves its sides 4 times, expected at least 9, or fewer wid"),
        (dict(image=1, widths=(8,)), "image 1 is too small: the stem halves its sides once, expected at least 2"),
        (dict(vit={"dimm": 3}), "not a ViTConfig: unknown ['dimm']"),
        (
            dict(vit={"patch": 3}),
            "patch 3 does not divide the 14 x 14 places of the map that the stem makes of image 224: choose a patch "
            "that does, one of 1, 2, 7, 14",
        ),
    ],
)
def test_settings_that_do_not_fit_are_one_line(changes, words):
    with pytest.raises(UsageError) as refused:
        ConvStemConfig(**changes)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_images_of_another_size_are_refused(images):
    with pytest.raises(UsageError, match=r"images are \[3, 8, 9, 2\]: the model takes \[B, 9, 9, 2\]"):
        convstem(images[:, 1:], random_convstem(), SMALL)


def test_the_filters_that_are_looked_at_are_the_first_convolutions():
    p = random_convstem()
    found = model_of(SMALL).views["filters"](p, SMALL)
    np.testing.assert_array_equal(found, p["stem"][0]["w"].reshape(18, 3))


def test_the_doctor_compares_no_positions_with_patches_of_the_map(rng):
    """Those of the Transformer are cut from the map, whose size says nothing of the images."""
    config = SMALL.changed(dim=16, heads=2, mlp_dim=32)
    p = convstem_init(rng, config)
    p["pos"] *= 1e6
    assert [*check_sizes(config, rng.standard_normal((2, 9, 9, 2)), p, count=60_000)] == []


# ---- training, and what becomes of the weights


def test_the_stem_is_below_the_first_block(rng):
    p = convstem_init(rng, SMALL)
    for name, leaf in trees.walk(trees.views(trainable(p, 1), p)):
        below = name.startswith(("stem/", "patch/", "blocks/0/")) or name in ("pos", "cls")
        assert (leaf == (not below)).all(), name


def test_it_learns_through_fit_with_the_same_bits_for_any_number_of_workers():
    config = ConvStemConfig(CONFIG.changed(image=1, patch=1), image=4, channels=1, widths=(6,))
    recipe = tinyvit.Recipe(epochs=12, batch=8, micro_batch=3, learning_rate=0.02, ema_decay=0.8, validation=0.25)
    how = dict(recipe=recipe, seed=3, progress=False)
    alone, history = fit(config, toy(), workers=1, **how)
    assert history[-1]["test_accuracy"] >= 8 / 9
    assert_same_bits(fit(config, toy(), workers=2, **how)[0], alone)


def test_a_file_gives_the_model_back(tmp_path, images):
    p = cast(random_convstem(), np.float32)
    tinyvit.save(tmp_path / "model.npz", p, SMALL)
    found, config = tinyvit.load(tmp_path / "model.npz")
    assert config == SMALL
    assert_same_bits(found, p)


@pytest.mark.parametrize("target", TARGETS)
def test_no_other_library_has_a_place_for_it(tmp_path, target):
    with pytest.raises(UsageError) as refused:
        save_weights(tmp_path / "out", random_convstem(), SMALL, target)
    which = "only a ViT, a Swin or a hybrid can be written for other libraries"
    title = MODELS["convstem"].title
    assert str(refused.value) == f"{which}: this is {title}; tinyvit's own .npz holds any"
    assert not (tmp_path / "out").exists()


def test_it_is_made_fit_for_larger_images_and_other_classes(rng):
    p = random_convstem(COLOUR)
    assert COLOUR.divisor == 8 and fitting_image(COLOUR, 17) == 24 and fitting_image(SMALL, 17) == 17
    found, config, notes = adapt(p, COLOUR, "tinyvit", image=32, classes=7)
    assert config == COLOUR.changed(image=32, classes=7) and config.vit.grid == 4
    assert found["pos"].shape == (17, 6) and "resized from 2 x 2 to 4 x 4" in str(notes)
    logits, _ = convstem(rng.standard_normal((1, 32, 32, 3)), found, config)
    assert logits.shape == (1, 7)
    with pytest.raises(UsageError, match=r"image is 20, .*: expected a multiple of 8, such as 16 or 24"):
        adapt(p, COLOUR, "tinyvit", image=20)


def test_grey_pictures_have_the_logits_of_the_same_in_three_colours(rng):
    p, grey = random_convstem(COLOUR), rng.standard_normal((2, 16, 16, 1))
    found, config, _ = adapt(p, COLOUR, "tinyvit", channels=1)
    assert config == COLOUR.changed(channels=1)
    assert_close(convstem(grey, found, config)[0], convstem(grey.repeat(3, axis=-1), p, COLOUR)[0], 1e-11)
