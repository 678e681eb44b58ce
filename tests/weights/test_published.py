"""Published models are read right, or refused by name: pools, rectangles, heads, kinds, and what config.json says."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.golden.make_published import ANSWERS, FOLDER, GOOGLE, TIMM, pictures
from tests.golden.make_weights import FOLDER as WEIGHTS
from tests.golden.make_weights import answer, classifier
from tests.reference.compare import assert_same_bits, cast
from tests.weights.tables import SMALL, arrays, logits
from tests.weights.tables import pictures as images_of
from tests.weights.test_variants import hollow
from tinyvit import load_weights
from tinyvit.data.photos import Preparation
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.weights import load
from tinyvit.weights.heads import OF_WIDTHS, architecture, heads_of_widths

POOLS = {
    "avg_fc_norm": "patch_mean_norm",
    "avg_norm": "patch_mean",
    "no_class_token_fc_norm": "mean_norm",
    "no_class_token_norm": "mean",
    "rectangle_no_embed_class_avg": "patch_mean_norm",
    "gap": "mean",
    "big_vision_gap": "mean",
}
SMALLEST = replace(SMALL, depth=1, gelu="erf")


@pytest.fixture(scope="module")
def golden():
    with np.load(ANSWERS) as found:
        return dict(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*TIMM, *GOOGLE])
def test_answers_agree_with_the_file(golden, name, dtype):
    p, config, notes = load_weights(FOLDER / (name if name in TIMM else f"{name}.npz"))
    size = TIMM.get(name, {}).get("img_size", 16)
    assert (config.pool, config.image, notes.preparation.size) == (POOLS.get(name, "class"), size, size)
    assert ("the head reads the mean" in str(notes)) == (config.pool != "class")
    assert "global_pool is taken to be" not in str(notes)
    found = logits(cast(p, dtype), config, pictures(TIMM.get(name, {})).astype(dtype))
    assert abs(golden[name]).max() > 0.5
    assert abs(found - golden[name]).max() < {"float32": 1e-4, "float64": 1e-12}[dtype]


@pytest.mark.parametrize("name", TIMM)
def test_timm_still_answers_as_the_files_say_live(golden, name):
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    from timm.models.vision_transformer import VisionTransformer

    described = json.loads((FOLDER / name / "config.json").read_text())
    model = VisionTransformer(num_classes=5, **described["model_args"])
    from safetensors.torch import load_file

    model.load_state_dict(load_file(FOLDER / name / "model.safetensors"))
    assert abs(answer(model.eval(), pictures(TIMM[name]), "float64") - golden[name]).max() < 1e-12


@pytest.mark.parametrize(
    ("name", "word"), [("avg_fc_norm", "avg"), ("no_embed_class", "token"), ("no_class_token_norm", None)]
)
def test_without_a_description_the_pool_is_a_guess_that_is_said(tmp_path, name, word):
    shutil.copy(FOLDER / name / "model.safetensors", tmp_path)
    _, config, notes = load_weights(tmp_path, heads=3)
    _, same, described = load_weights(FOLDER / name)
    assert config == same
    assert "images of 16 x 16, taken to be square" in str(notes)
    assert "images of 16 x 16" in str(described) and "square" not in str(described)
    assert re.findall(r"global_pool is taken to be (\w+)", str(notes)) == ([word] if word else [])


# ---- heads


@pytest.fixture
def of_sizes(tmp_path, monkeypatch):
    """Reads a model of these sizes, all of zeros that take no memory, with a config.json beside it."""

    def read(source, described=None, **sizes):
        config = ViTConfig(**dict(image=32, depth=1, heads=1) | sizes)
        file = tmp_path / "model.safetensors"
        file.write_bytes(b"\x02" + bytes(7) + b"{}")
        if described is not None:
            (tmp_path / "config.json").write_text(json.dumps(described))
        monkeypatch.setattr(load, "open_tensors", lambda path: hollow(source, config))
        return load_weights(file)

    return read


@pytest.mark.parametrize("source", ["timm", "huggingface"])
@pytest.mark.parametrize(("widths", "heads"), OF_WIDTHS.items(), ids=str)
def test_heads_of_the_published_widths(of_sizes, source, widths, heads):
    _, config, notes = of_sizes(source, dim=widths[0], mlp_dim=widths[1])
    assert config.heads == heads and f"{heads} heads, as the published ViTs of width {widths[0]} have" in str(notes)


def test_the_heads_of_the_largest_are_not_64_wide():
    assert [OF_WIDTHS[widths] for widths in ((1280, 5120), (1408, 6144), (1664, 8192))] == [16, 16, 16]


@pytest.mark.parametrize("widths", [(768, 2304), (896, 3584), (1024, 4097), (64, 256), (1536, 6144)], ids=str)
def test_heads_of_other_widths_are_asked_for(of_sizes, widths):
    with pytest.raises(UsageError, match=f"how many heads a model of width {widths[0]}, with MLPs of {widths[1]}, has"):
        of_sizes("timm", dim=widths[0], mlp_dim=widths[1])


def test_widths_do_not_say_the_heads_of_a_model_without_a_class_token():
    """I-JEPA's model of width 768 has 16."""
    assert heads_of_widths(768, 3072, True) == 12
    assert heads_of_widths(768, 3072, False) is None


ARCHITECTURES = {
    "vit_tiny_patch16_224": (192, 3),
    "vit_huge_patch14_224.orig_in21k": (1280, 16),
    "vit_giant_patch14_224": (1408, 16),
    "vit_gigantic_patch14_224": (1664, 16),
    "vit_base_patch16_224_miil": (768, 12),
    "vit_base_patch16_gap_224": (768, 16),  # I-JEPA's
    "vit_huge_patch14_gap_224": (1280, 16),
    "deit_small_patch16_224": (384, 6),
    "flexivit_base": (768, 12),
    "eva_large_patch14_196": (1024, 16),
    "vit_base_patch16_clip_224": None,
    "vit_base_patch16_siglip_224": None,
    "vit_small_patch14_reg4_dinov2": None,
    "deit_base_distilled_patch16_224": None,
    "deit3_base_patch16_224": None,
    "vit_base_patch16_rpn_224": None,
    "vit_small_r26_s32_224": None,
    "beit_base_patch16_224": None,
    "swin_tiny_patch4_window7_224": None,
    "resnet50": None,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_timms_architectures(of_sizes, name):
    expected = ARCHITECTURES[name]
    assert architecture(name) == expected
    if expected:
        gap = {"pool": "mean"} if "gap" in name else {}
        described = {"architecture": name, "global_pool": "avg" if gap else "token"}
        _, config, notes = of_sizes("timm", described, dim=expected[0], mlp_dim=48, **gap)
        assert config.heads == expected[1] and "published ViTs" not in str(notes)
    else:
        with pytest.raises(CheckpointError, match=f"says architecture '{name}': expected one of timm's ViTs"):
            of_sizes("timm", {"architecture": name}, dim=768, mlp_dim=3072)


def test_heads_of_an_architecture_live():
    pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    import torch

    for name in timm.list_models(["vit_*", "deit_*", "flexivit_*", "eva_large*"]):
        if known := architecture(name):
            with torch.device("meta"):
                model = timm.create_model(name)
            assert (model.embed_dim, model.blocks[0].attn.num_heads) == known, name
            assert type(model).__name__ == "VisionTransformer" and model.num_reg_tokens == 0
            assert {type(block.mlp.act).__name__ for block in model.blocks} == {"GELU"}, name


# ---- a config.json that contradicts the arrays, or asks for another model


def beside(tmp_path, described, source="huggingface", config=SMALLEST):
    """Read good weights beside a config.json."""
    save_file(arrays(source, config), tmp_path / "model.safetensors")
    heads = {} if source == "timm" and "num_heads" in described.get("model_args", {}) else {"num_attention_heads": 3}
    (tmp_path / "config.json").write_text(json.dumps(heads | described))
    return load_weights(tmp_path)


CONTRADICTIONS = [  # of a model with images of 8, patches of 4, width 24, one block, MLPs of 40, 7 classes
    ({"image_size": 12}, "5 rows, expected the class token's and those of 3 x 3 patches, as "),
    ({"image_size": [4, 8]}, "5 rows, expected the class token's and those of 1 x 2 patches, as "),
    ({"image_size": [8, 8, 8]}, "image_size [8, 8, 8]: expected a number of pixels, or two"),
    ({"image_size": "8"}, "image_size '8': expected a number of pixels, or two"),
    ({"image_size": 9}, "patch 4 does not divide image 9"),
    ({"patch_size": 8}, "patch_size 8: expected 4, as the arrays have"),
    ({"patch_size": [4, 2]}, "patch_size [4, 2]: expected 4, as the arrays have"),
    ({"num_channels": 1}, "num_channels 1: expected 3, as the arrays have"),
    ({"hidden_size": 25}, "hidden_size 25: expected 24, as the arrays have"),
    ({"num_hidden_layers": 12}, "num_hidden_layers 12: expected 1, as the arrays have"),
    ({"intermediate_size": 96}, "intermediate_size 96: expected 40, as the arrays have"),
    ({"num_labels": 8}, "num_labels 8: expected 7, as the arrays have"),
    ({"id2label": {"0": "a", "1": "b"}}, "id2label '2 names': expected 7, as the head has classes"),
    ({"qkv_bias": False}, "qkv_bias False: expected True, as the arrays have"),
    ({"num_attention_heads": 5}, "heads 5 does not divide dim 24"),
    ({"hidden_act": "relu"}, "hidden_act 'relu': expected one of gelu, gelu_new"),
    ({"problem_type": "ranking"}, "problem_type 'ranking': expected one of single_label_classification, multi_label"),
    *(
        ({"model_type": name}, f"model_type '{name}': expected vit; other models are not read")
        for name in ("deit", "swin", "beit", "dinov2", "clip", "siglip", "vit_mae", "vit_hybrid", "vit_msn", "resnet")
    ),
    ({"architectures": ["ViTForMaskedImageModeling"]}, "architectures ['ViTForMaskedImageModeling']: expected ViTFor"),
    ({"architectures": "ViTModel"}, "architectures 'ViTModel': expected ViTForImageClassification or ViTModel"),
    ({"architecture": "vit_base_patch16_224"}, "'vit_base_patch16_224': expected one of width 24, as the arrays have"),
    ({"global_pool": "map"}, "global_pool 'map': expected token or avg; other poolings are not read"),
    ({"quantization_config": {"bits": 4}}, "quantization_config {'bits': 4}: expected none"),
    ({"num_classes": 1000}, "num_classes 1000: expected 7, as the arrays have"),
    ({"num_features": 768}, "num_features 768: expected 24, as the arrays have"),
    ({"model_args": {"embed_dim": 48}}, "embed_dim 48: expected 24, as the arrays have"),
    ({"model_args": {"depth": 2}}, "depth 2: expected 1, as the arrays have"),
    ({"model_args": {"mlp_ratio": 4}}, "mlp_ratio 4: expected 40 / 24, as the arrays have"),
    ({"model_args": {"class_token": False}}, "class_token False: expected True, as the arrays have"),
    ({"num_attention_heads": 3, "model_args": {"num_heads": 4}}, "num_heads 4: expected 3, as its num_attention_heads"),
    ({"model_args": {"fc_norm": True}}, "fc_norm True: expected False, as the arrays have"),
    ({"model_args": {"no_embed_class": True}}, "no_embed_class True: expected False, as the arrays have"),
    ({"model_args": {}, "label_names": ["a"]}, "label_names '1 names': expected 7, as the head has classes"),
    ({"model_args": {"reg_tokens": 4}}, "model_args reg_tokens 4: expected a ViT as in the paper, which has no such"),
    ({"model_args": {"norm_layer": "rmsnorm"}}, "model_args norm_layer 'rmsnorm': expected a ViT as in the paper"),
    (
        {"model_args": {"block_fn": "ResPostBlock"}},
        "model_args block_fn 'ResPostBlock': expected a ViT as in the paper",
    ),
    ({"model_args": {"pool_include_prefix": True}}, "model_args pool_include_prefix True: expected a ViT as in the"),
    ({"model_args": {"act_layer": "silu"}}, "act_layer 'silu': expected one of gelu"),
    ({"model_args": [3]}, "model_args [3]: expected a table"),
    ({"pretrained_cfg": {"input_size": [3, 12, 12]}}, "5 rows, expected the class token's and those of 3 x 3 patches"),
]


@pytest.mark.parametrize(("described", "words"), CONTRADICTIONS, ids=lambda value: json.dumps(value)[:60])
def test_a_description_that_contradicts(tmp_path, described, words):
    source = "timm" if {"model_args", "pretrained_cfg"} & set(described) else "huggingface"
    with pytest.raises(CheckpointError) as caught:
        beside(tmp_path, described, source)
    assert words in str(caught.value) and "\n" not in str(caught.value) and "config.json" in str(caught.value)


def test_a_description_that_agrees(tmp_path):
    described = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 8, "patch_size": 4}
    described |= {
        "num_channels": 3,
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "intermediate_size": 40,
        "num_labels": 7,
    }
    described |= {"id2label": {str(k): f"c{k}" for k in range(7)}, "qkv_bias": True, "problem_type": None}
    p, config, _ = beside(tmp_path, described)
    assert config == replace(SMALLEST, eps=1e-12)
    assert_same_bits(p, beside(tmp_path, {})[0])


def test_timms_model_args_go_before_the_rest(tmp_path):
    config = beside(tmp_path, {"global_pool": "token", "model_args": {"global_pool": "avg"}}, "timm")[1]
    assert config.pool == "patch_mean"


def test_classes_of_a_head_that_was_taken_off_are_no_contradiction(tmp_path):
    shutil.copytree(WEIGHTS / "features", tmp_path, dirs_exist_ok=True)
    described = json.loads((tmp_path / "config.json").read_text())
    described |= {"id2label": {"0": "cat", "1": "dog", "2": "cow"}, "num_labels": 3, "num_classes": 3}
    (tmp_path / "config.json").write_text(json.dumps(described))
    notes = load_weights(tmp_path)[2]
    assert not notes.has_head and notes.class_names is None


def test_a_class_token_that_is_said_to_be_read_must_be_there(tmp_path):
    a = arrays("timm", replace(SMALLEST, pool="mean"))
    for name in ("cls_token",):
        a.pop(name, None)
    save_file(a, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"global_pool": "token", "num_attention_heads": 3}')
    with pytest.raises(CheckpointError, match="global_pool 'token': expected avg, for there is no class token"):
        load_weights(tmp_path)


# ---- kinds that are almost a ViT


KINDS = {
    "blocks.0.ls1.gamma": "LayerScale",
    "blocks.0.gamma_1": "LayerScale",
    "reg_token": "register tokens",
    "dist_token": "a distilled model (DeiT)",
    "norm_pre.weight": "LayerNorm before its blocks",
    "attn_pool.latent": "attention pooling",
    "blocks.0.attn.q_norm.weight": "normalises queries and keys",
    "blocks.0.attn.relative_position_bias_table": "a bias of relative positions, as BEiT",
    "blocks.0.mlp.w12.weight": "gated MLPs",
    "blocks.0.attn.norm.weight": "LayerNorm inside its attention",
    "blocks.0.attn.rel_pos_h": "Segment Anything",
    "decoder_blocks.0.norm1.weight": "a masked autoencoder (MAE)",
    "mask_token": "a mask token",
    "blocks.0.attn.qkv.lora_A.weight": "an adapter (LoRA)",
    "blocks.0.attn.qkv.weight_scale": "a quantised model",
    "patch_embed.backbone.conv1.0.weight": "a hybrid whose ResNet has batch normalisation",
}
OTHERS = {  # without any of a ViT's names
    "vision_model.embeddings.class_embedding": "LayerNorm before its blocks, as CLIP's image encoder",
    "text_model.embeddings.token_embedding.weight": "a CLIP or SigLIP model",
    "swin.embeddings.norm.weight": "a Swin Transformer",
    "layers.0.blocks.0.attn.qkv.weight": "a Swin Transformer",
    "beit.embeddings.cls_token": "a bias of relative positions, as BEiT",
    "encoder.layers.encoder_layer_0.ln_1.weight": "torchvision's names",
    "layer1.0.conv1.weight": "a convolutional network",
    "roberta.embeddings.word_embeddings.weight": "a model of text that is neither GPT-2 nor BERT",
}


@pytest.mark.parametrize("name", [*KINDS, *OTHERS])
def test_the_kind_is_said(tmp_path, name):
    a = {} if name in OTHERS else arrays("timm", SMALLEST)
    save_file(a | {name: np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_weights(tmp_path, heads=3)
    words = (KINDS | OTHERS)[name]
    assert words in str(caught.value) and f"it has {name}" in str(caught.value) and "\n" not in str(caught.value)


def test_attention_pooling_in_googles_files(tmp_path):
    a = arrays("google", SMALLEST) | {"MAPHead_0/probe": np.zeros((1, 1, 24), np.float32)}
    np.savez(tmp_path / "a.npz", **a)
    with pytest.raises(CheckpointError, match="attention pooling before its head"):
        load_weights(tmp_path / "a.npz")


# ---- heads that were never trained, what logits stand for, names, pictures


def test_a_head_of_zeros(tmp_path):
    a = arrays("google", SMALLEST)
    np.savez(tmp_path / "a.npz", **a | {"head/kernel": np.zeros_like(a["head/kernel"])})
    assert not load_weights(tmp_path / "a.npz")[2].has_head
    assert "its head is of zeros, and was never trained" in str(load_weights(tmp_path / "a.npz")[2])


@pytest.mark.parametrize(
    ("described", "classes", "expected"),
    [
        ({}, 7, "single_label_classification"),
        ({"problem_type": None}, 7, "single_label_classification"),
        ({"problem_type": "multi_label_classification"}, 7, "multi_label_classification"),
        ({"problem_type": "regression"}, 7, "regression"),
        ({}, 1, "regression"),
        ({"problem_type": "multi_label_classification"}, 1, "multi_label_classification"),
    ],
)
def test_what_the_logits_stand_for(tmp_path, described, classes, expected):
    assert beside(tmp_path, described, config=replace(SMALLEST, classes=classes))[2].problem_type == expected
    assert load_weights(tmp_path, classes=3)[2].problem_type == "single_label_classification"


def test_a_model_without_a_head_is_no_regression():
    notes = load_weights(WEIGHTS / "features")[2]
    assert not notes.has_head and notes.problem_type == "single_label_classification"


def within(name):
    """A name of Hugging Face's files as transformers 5 has it within its models."""
    name = name.replace("encoder.layer.", "layers.")
    for letter, word in (("q", "query"), ("k", "key"), ("v", "value")):
        name = name.replace(f"attention.attention.{word}", f"attention.{letter}_proj")
    name = name.replace("attention.output.dense", "attention.o_proj")
    return name.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2")


@pytest.mark.parametrize("name", ["classifier", "features"])
def test_the_names_within_transformers_5(tmp_path, name):
    shutil.copy(WEIGHTS / name / "config.json", tmp_path)
    theirs = load_file(WEIGHTS / name / "model.safetensors")
    save_file({within(key): x for key, x in theirs.items()}, tmp_path / "model.safetensors")
    p, config, _ = load_weights(tmp_path)
    q, same, _ = load_weights(WEIGHTS / name)
    assert config == same
    assert_same_bits(p, q)


def test_the_names_within_transformers_live(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from safetensors.torch import save_file

    model, images = classifier(), images_of(ViTConfig(image=32, patch=8))
    model.config.save_pretrained(tmp_path)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    p, config, _ = load_weights(tmp_path)
    assert abs(logits(cast(p, float), config, images) - answer(model, images, "float64")).max() < 1e-10


def test_a_pooler_beside_a_classifier_is_not_used(tmp_path):
    """transformers leaves it out, too: its classifier has none."""
    a = arrays("huggingface", SMALLEST)
    extra = {"vit.pooler.dense.weight": np.ones((24, 24), np.float32), "vit.pooler.dense.bias": a["vit.layernorm.bias"]}
    save_file(a, tmp_path / "model.safetensors")
    p, config, _ = load_weights(tmp_path, heads=3)
    save_file(a | extra, tmp_path / "model.safetensors")
    q, same, notes = load_weights(tmp_path, heads=3)
    assert config == same and "vit.pooler.dense.* is not read" in str(notes)
    assert_same_bits(p, q)


@pytest.mark.parametrize("source", ["timm", "huggingface", "google"])
def test_a_usual_preparation_is_among_the_notes(tmp_path, source):
    """Of Google's files it is the one of all; of the others, some models have ImageNet's mean."""
    a = arrays(source, SMALLEST)
    np.savez(tmp_path / "a.npz", **a) if source == "google" else save_file(a, tmp_path / "model.safetensors")
    path = tmp_path / ("a.npz" if source == "google" else "model.safetensors")
    said = "nothing beside the file says how pictures are prepared"
    assert (said in str(load_weights(path, heads=3)[2])) == (source != "google")
    names = {"timm": "config.json", "huggingface": "preprocessor_config.json", "google": "config.json"}
    described = {"image_mean": [0.4] * 3} if source == "huggingface" else {"pretrained_cfg": {"mean": [0.4] * 3}}
    (tmp_path / names[source]).write_text(json.dumps(described))
    assert said not in str(load_weights(path, heads=3)[2])


@pytest.mark.parametrize(("mean", "std"), [([0.1307], [0.3081]), (0.1307, 0.3081), ([0.1307] * 3, [0.3081] * 3)])
def test_one_number_for_one_channel(tmp_path, mean, std):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    found = beside(tmp_path, {}, config=replace(SMALLEST, channels=1))[2].preparation
    assert found == Preparation(8, mean=(0.1307,) * 3, std=(0.3081,) * 3)


# ---- live


@pytest.mark.parametrize("width", [192, 384, 512, 768, 1024, 1280])
def test_published_widths_live(tmp_path, width):
    """A block of each width, with the heads that a config.json says, and without one."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    heads, mlp = OF_WIDTHS[width, 4 * width], 4 * width
    sizes = dict(
        image_size=16, num_hidden_layers=1, hidden_size=width, num_attention_heads=heads, intermediate_size=mlp
    )
    model, images = classifier(**sizes), images_of(ViTConfig(image=16, patch=8))
    expected = answer(model, images, "float32")
    model.save_pretrained(tmp_path)
    for eps in (None, 1e-12):
        p, config, _ = load_weights(tmp_path, eps=eps)
        assert abs(logits(p, config, images.astype(np.float32)) - expected).max() < 1e-4 * abs(expected).max()
        (tmp_path / "config.json").unlink(missing_ok=True)


@pytest.mark.parametrize("size", [(8, 32), (32, 8), (16, 24)])
def test_rectangles_live(tmp_path, size):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = classifier(image_size=list(size), patch_size=4).double()
    model.save_pretrained(tmp_path)
    p, config, _ = load_weights(tmp_path)
    images = images_of(config)
    assert config.image == size and abs(logits(p, config, images) - answer(model, images, "float64")).max() < 1e-10


def test_a_square_model_on_rectangles_live(tmp_path):
    """The other way round transformers cannot: it takes every table for a square one."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = classifier(image_size=16, patch_size=4).double()
    model.save_pretrained(tmp_path)
    p, config, _ = load_weights(tmp_path, image=(16, 40))
    images = images_of(config)
    with torch.no_grad():
        pixels = torch.tensor(images).permute(0, 3, 1, 2)
        expected = model(pixels, interpolate_pos_encoding=True).logits.numpy()
    assert images.shape == (2, 16, 40, 3) and abs(logits(p, config, images) - expected).max() < 1e-10


def test_a_rectangular_models_positions_resized_live():
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    import torch
    from timm.layers import resample_abs_pos_embed

    table = load_weights(FOLDER / "rectangle")[0]["pos"]
    found = load_weights(FOLDER / "rectangle", image=(20, 12))[0]["pos"]
    expected = resample_abs_pos_embed(torch.tensor(table)[None], [5, 3], [2, 8]).numpy()[0]
    assert found.shape == (16, 12) and abs(found - expected).max() < 1e-5
