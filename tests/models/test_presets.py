"""Configurations that have names are the published ones, and those for small images fit their data."""

import pytest

from tests.training.helpers import call
from tinyvit import PRESETS, RECIPES, parameter_count, shapes
from tinyvit.errors import UsageError
from tinyvit.models.model import MODELS, preset_config
from tinyvit.models.presets import VIT_PRESETS

PUBLISHED = {  # parameters with 1000 classes, multiply-adds of convolutions and products in units of 10^9
    "Swin-T": (28_288_354, 4.491),
    "Swin-S": (49_606_258, 8.741),
    "Swin-B": (87_768_224, 15.431),
    "Swin-L": (196_532_476, 34.476),
    "Swin-T/384": (28_338_034, 13.99),
    "Swin-S/384": (49_707_778, 26.99),
    "Swin-B/384": (87_903_584, 47.08),
    "Swin-L/384": (196_735_516, 103.92),
    "R+Ti/16": (6_337_704, 0.434),
    "R26+S/32": (36_431_912, 3.464),
    "R26+B/32": (101_383_976, 6.711),
    "R50+B/16": (98_659_112, 21.535),
    "R50+B/32": (110_945_832, 8.458),
    "R50+L/32": (328_994_856, 19.413),
}
OF_TEXT = {  # parameters
    "transformer-base": 63_082_496,  # torch's layers without its two extra norms, and one table of 37,000
    "gpt2": 124_439_808,
    "bert-base": 109_482_240 - 590_592 + 622_650,  # BertModel without its pooler, and the head of BertForMaskedLM
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name):
    assert parameter_count(PRESETS[name]) == PUBLISHED[name][0]


@pytest.mark.parametrize("name", OF_TEXT)
def test_those_of_text_have_as_many_too_and_all_of_them_are_observed(name):
    assert parameter_count(PRESETS[name]) == shapes(PRESETS[name]).totals[0] == OF_TEXT[name]


@pytest.mark.parametrize("name", ["Swin-T", "R+Ti/16", "R26+S/32", "R50+B/16"])
def test_and_so_are_multiply_adds(name):
    _, work, _ = shapes(PRESETS[name]).totals
    assert round(work / 1e9, 3) == PUBLISHED[name][1]


def test_every_preset_is_a_vits_or_published():
    assert PRESETS.keys() == VIT_PRESETS.keys() | PUBLISHED.keys() | OF_TEXT.keys()


@pytest.mark.parametrize("model", ["swin", "hybrid"])
@pytest.mark.parametrize("data", [name for name in RECIPES if name in VIT_PRESETS])
def test_models_for_small_images_have_about_a_vits_size(model, data):
    config = MODELS[model].preset(PRESETS[data])
    assert (config.image, config.classes) == (PRESETS[data].image, PRESETS[data].classes)
    assert 0.4 < parameter_count(config) / parameter_count(PRESETS[data]) < 2.5
    if model == "swin":
        assert config.patch > 1 and config.shift_of(0, 1), "LayerNorm has more than a sign; and windows are displaced"


def test_a_preset_says_its_model():
    assert preset_config("Swin-T") == preset_config("Swin-T", "swin") == PRESETS["Swin-T"]
    assert preset_config("mnist", "hybrid") == MODELS["hybrid"].preset(PRESETS["mnist"])
    with pytest.raises(UsageError, match=r"^the preset R50\+B/16 is of a hybrid.*: leave --model vit out$"):
        preset_config("R50+B/16", "vit")


def test_the_command_takes_it_with_its_models_options():
    assert "28,288,354" in call("shapes", "Swin-T").out
    assert call("shapes", "Swin-T", "--drop-path=0.2").code == 0
    refused = call("shapes", "Swin-T", "--model=vit")
    assert (refused.code, refused.err.count("\n")) == (2, 1) and "leave --model vit out" in refused.err
