"""Configurations: what is refused, and the sizes that have names."""

import dataclasses
import json
import zipfile

import hypothesis
import pytest
from hypothesis import strategies

from tests.reference.compare import assert_same_bits, random_vit
from tests.reference.published import PARAMETERS
from tinyvit.errors import UsageError
from tinyvit.models.config import CHOICES, ViTConfig
from tinyvit.models.model import parameter_count
from tinyvit.models.presets import PRESETS, VIT_PRESETS
from tinyvit.training.checkpoint import load, save

SIZES = "image", "channels", "patch", "dim", "depth", "heads", "mlp_dim", "classes"


def test_the_defaults_are_the_papers():
    assert ViTConfig() == PRESETS["B/16"]
    config = ViTConfig()
    assert (config.position, config.gelu, config.eps, config.dropout, config.pre_logits) == ("1d", "erf", 1e-6, 0, 0)
    assert (config.pool, config.position_at, config.norm, config.scale) == ("class", "stem", "pre", "sqrt")
    assert (config.grid, config.tokens) == (14, 197)


def test_a_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ViTConfig().dim = 7


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_to_the_integer(name):
    assert parameter_count(PRESETS[name]) == PARAMETERS[name]


@pytest.mark.parametrize("name", VIT_PRESETS)
def test_parameters_by_the_closed_formula(name):
    config = PRESETS[name]
    P, C, D, L, M, K = config.patch, config.channels, config.dim, config.depth, config.mlp_dim, config.classes
    N = (config.image // P) ** 2
    block = 4 * D**2 + 2 * D * M + 9 * D + M
    assert parameter_count(config) == (C * P**2 * D + D) + D + (N + 1) * D + L * block + 2 * D + D * K + K


def test_every_size_with_every_patch_has_a_name():
    assert {f"{size}/{patch}" for size in ("Ti", "S", "B", "L", "H") for patch in (8, 14, 16, 32)} < PRESETS.keys()


def test_parameters_of_the_variants():
    count, config = parameter_count(ViTConfig()), ViTConfig
    assert parameter_count(config(position="none")) == count - 197 * 768
    assert parameter_count(config(pre_logits=500)) == count + 768 * 500 + 500 - (768 - 500) * 1000
    assert parameter_count(config(gelu="tanh", dropout=0.1, eps=1e-5, norm="post", scale="none")) == count
    assert parameter_count(config(pool="mean")) == count - 768 - 768  # the class token, and its position
    assert parameter_count(config(pool="mean")) == parameter_count(config(pool="mean", norm="post"))


@pytest.mark.parametrize(
    "kind, pool, numbers",
    [
        ("1d", "class", 197 * 768),
        ("1d", "mean", 196 * 768),
        ("2d", "class", (14 + 14) * 384 + 768),
        ("2d", "mean", (14 + 14) * 384),
        ("relative", "class", (2 * 197 - 1) * 768),
        ("relative", "mean", (2 * 196 - 1) * 768),
        ("sinusoidal", "class", 0),
        ("none", "mean", 0),
    ],
)
def test_parameters_of_positions(kind, pool, numbers):
    """Once at the stem or shared, twelve times in layers."""
    none = parameter_count(ViTConfig(position="none", pool=pool))
    for place, times in (("stem", 1), ("shared", 1), ("layers", 12)):
        if (kind, place) != ("relative", "stem"):
            assert parameter_count(ViTConfig(position=kind, position_at=place, pool=pool)) == none + times * numbers


def test_tokens_are_counted_with_the_class_token_where_there_is_one():
    assert (ViTConfig().tokens, ViTConfig(pool="mean").tokens) == (197, 196)


WHOLE = "expected a whole number from"
WRONG = [
    *((dict([(name, 0)]), f"{name} is 0: {WHOLE} 1 to {1000 if name == 'depth' else 100000}") for name in SIZES),
    (dict(pre_logits=-1), f"pre_logits is -1: {WHOLE} 0 to 100000"),
    (dict(dim=100_001), f"dim is 100001: {WHOLE} 1 to 100000"),
    (dict(depth=1001), f"depth is 1001: {WHOLE} 1 to 1000"),
    (dict(depth=2.0), f"depth is 2.0: {WHOLE} 1 to 1000"),
    (dict(heads=True), f"heads is True: {WHOLE} 1 to 100000"),
    (dict(patch="16"), f"patch is '16': {WHOLE} 1 to 100000"),
    (dict(classes=None), f"classes is None: {WHOLE} 1 to 100000"),
    (dict(dropout=1), "dropout is 1: expected a number from 0 to below 1"),
    (dict(dropout=-0.1), "dropout is -0.1: expected a number from 0 to below 1"),
    (dict(dropout=float("nan")), "dropout is nan: expected a number from 0 to below 1"),
    (dict(dropout="0.1"), "dropout is '0.1': expected a number from 0 to below 1"),
    (dict(eps=-1e-6), "eps is -1e-06: expected a number from 1e-30 to below 1"),
    (dict(position_std=float("inf")), "position_std is inf: expected a number from 0 to below 1000"),
    (dict(position="3d"), "position is '3d': expected one of 1d, 2d, sinusoidal, relative, none"),
    (dict(position=1), "position is 1: expected one of 1d, 2d, sinusoidal, relative, none"),
    (dict(position=["1d"]), "position is ['1d']: expected one of 1d, 2d"),
    (dict(position_at="top"), "position_at is 'top': expected one of stem, layers, shared"),
    (dict(pool="max"), "pool is 'max': expected one of class, mean"),
    (dict(norm="none"), "norm is 'none': expected one of pre, post"),
    (dict(scale=8), "scale is 8: expected one of sqrt, none"),
    (dict(gelu="relu"), "gelu is 'relu': expected one of erf, tanh"),
    (
        dict(position="relative"),
        "position relative acts within attention: position_at is stem, expected layers or shared",
    ),
    (
        dict(image=28, patch=5),
        "patch 5 does not divide image 28: choose a patch that does, one of 1, 2, 4, 7, 14, 28",
    ),
    (dict(image=(32, 36), patch=8), "patch 8 does not divide image 32 x 36: choose a patch that does, one of 1, 2, 4"),
    (dict(image=(36, 32), patch=8), "patch 8 does not divide image 36 x 32: choose a patch that does, one of 1, 2, 4"),
    (dict(image=(32, 16), position="2d"), "position 2d is of square images, image is 32 x 16: choose another"),
    (
        dict(dim=10, heads=4),
        "heads 4 does not divide dim 10: choose a number that does, one of 1, 2, 5, 10",
    ),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_a_wrong_value_is_one_line_that_names_it(values, message):
    with pytest.raises(UsageError) as error:
        ViTConfig(**values)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_an_image_size_of_two_equal_sides_is_one_of_squares():
    for image in (32, (32, 32), [32, 32]):
        assert ViTConfig(image=image) == ViTConfig(image=32) and ViTConfig(image=image).image == 32
    assert ViTConfig(image=[32, 16]).image == (32, 16)


def test_there_and_back_through_a_dictionary():
    variants = [
        dataclasses.replace(PRESETS["digits"], position_at="shared", **{name: value})
        for name, table in CHOICES.items()
        for value in table
        if name != "position_at"
    ]
    for config in [*VIT_PRESETS.values(), *variants]:
        assert ViTConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


NEW = ("pool", "position_at", "norm", "scale")  # settings that older files do not know of


def test_a_configuration_from_before_the_variants_is_the_papers():
    for config in VIT_PRESETS.values():
        old = {name: value for name, value in dataclasses.asdict(config).items() if name not in NEW}
        assert len(old) == len(dataclasses.asdict(config)) - 4
        assert ViTConfig.from_dict(old) == config


def test_a_checkpoint_from_before_the_variants_is_read(tmp_path):
    config = dataclasses.replace(PRESETS["digits"], depth=1)
    p = random_vit(config)
    save(tmp_path / "new.npz", p, config)
    with zipfile.ZipFile(tmp_path / "new.npz") as new, zipfile.ZipFile(tmp_path / "old.npz", "w") as old:
        for name in new.namelist():
            data = new.read(name)
            if name == "config.npy":
                header, _, text = data.partition(b"\n")
                values = json.loads(text)
                values["config"] = {key: value for key, value in values["config"].items() if key not in NEW}
                text = json.dumps(values).encode().ljust(len(text))
                data = header + b"\n" + text
                assert len(data) == len(new.read(name)) and b"position_at" not in data
            old.writestr(name, data)
    found, found_config = load(tmp_path / "old.npz")
    assert found_config == config
    assert_same_bits(found, p)


@pytest.mark.parametrize(("values", "found"), [({"dims": 8, "dim": 8}, "['dims']"), ([8], "[8]"), (None, "None")])
def test_a_dictionary_that_is_no_configuration(values, found):
    with pytest.raises(UsageError) as error:
        ViTConfig.from_dict(values)
    assert str(error.value).startswith(f"not a ViTConfig: unknown {found}, expected some of attention, channels,")


@hypothesis.settings(max_examples=200)
@hypothesis.given(strategies.fixed_dictionaries({name: strategies.integers(-1, 40) for name in SIZES}))
def test_what_is_accepted_fits(values):
    fits = min(values.values()) > 0
    fits = fits and values["image"] % values["patch"] == 0 and values["dim"] % values["heads"] == 0
    if fits:
        assert parameter_count(ViTConfig(**values)) > 0
    else:
        with pytest.raises(UsageError):
            ViTConfig(**values)
