"""Configurations: what is refused, and the sizes that have names."""

import dataclasses

import hypothesis
import pytest
from hypothesis import strategies

from tests.reference.published import PARAMETERS
from tinyvit.errors import UsageError
from tinyvit.models.config import PRESETS, ViTConfig
from tinyvit.models.model import parameter_count

SIZES = "image", "channels", "patch", "dim", "depth", "heads", "mlp_dim", "classes"


def test_the_defaults_are_the_papers():
    assert ViTConfig() == PRESETS["B/16"]
    config = ViTConfig()
    assert (config.position, config.gelu, config.eps, config.dropout, config.pre_logits) == ("1d", "erf", 1e-6, 0, 0)
    assert (config.grid, config.tokens) == (14, 197)


def test_a_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ViTConfig().dim = 7


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_to_the_integer(name):
    assert parameter_count(PRESETS[name]) == PARAMETERS[name]


@pytest.mark.parametrize("name", PRESETS)
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
    assert parameter_count(config(gelu="tanh", dropout=0.1, eps=1e-5)) == count


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
    (dict(position="3d"), "position is '3d': expected one of "),
    (dict(gelu="relu"), "gelu is 'relu': expected one of erf, tanh"),
    (
        dict(image=28, patch=5),
        "patch 5 does not divide image 28: choose a patch that does, one of 1, 2, 4, 7, 14, 28",
    ),
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


def test_there_and_back_through_a_dictionary():
    for config in PRESETS.values():
        assert ViTConfig.from_dict(dataclasses.asdict(config)) == config


@pytest.mark.parametrize(("values", "found"), [({"dims": 8, "dim": 8}, "['dims']"), ([8], "[8]"), (None, "None")])
def test_a_dictionary_that_is_no_configuration(values, found):
    with pytest.raises(UsageError) as error:
        ViTConfig.from_dict(values)
    assert str(error.value).startswith(f"not a ViT configuration: unknown {found}, expected some of channels, classes,")


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
