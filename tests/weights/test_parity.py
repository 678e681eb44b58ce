"""The libraries' own answers on weights that they saved: from committed files, and live where they are installed."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.golden import make_weights
from tests.golden.make_weights import ANSWERS, FOLDER, answer
from tests.reference.compare import assert_same_bits, cast
from tests.weights.tables import SMALL, arrays, big_vision, google_vit, logits, pictures, prefixed, scanned, shapes
from tinyvit import load_weights
from tinyvit.errors import UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.models.presets import PRESETS

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of logits, which are of order 1
HEADS = {"classifier": None, "features": None, "timm": 3}
every_precision = pytest.mark.parametrize("dtype", TOLERANCE)


@pytest.fixture(scope="module")
def golden():
    with np.load(ANSWERS) as found:
        return dict(found)


def agree(found, expected, dtype):
    assert found.dtype == dtype and found.shape == expected.shape
    assert abs(expected).max() > 0.3, "logits so small that anything would agree"
    worst = abs(found - expected).max()
    assert worst <= TOLERANCE[dtype], worst


def ours(path, images, dtype, **options):
    """What our model makes of the images; without a head, the features that the head would get."""
    p, config, notes = load_weights(path, **options)
    if not notes.has_head:
        width = config.pre_logits or config.dim
        config, p = replace(config, classes=width), p | {"head": {"w": np.eye(width), "b": np.zeros(width)}}
    return logits(cast(p, dtype), config, images.astype(dtype))


@every_precision
@pytest.mark.parametrize("name", HEADS)
def test_answers_agree_with_the_file(golden, name, dtype):
    images = golden["small" if name == "features" else "images"] / 8
    agree(ours(FOLDER / name, images, dtype, heads=HEADS[name]), golden[f"{name}/{dtype}"], dtype)


def test_the_files_are_what_they_should_be(golden):
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 300_000
    for name, dtype in (("classifier", np.float64), ("features", np.float32), ("timm", np.float32)):
        parameters = load_file(FOLDER / name / "model.safetensors")
        assert {array.dtype for array in parameters.values()} == {np.dtype(dtype)}
        assert all((array != 0).all() for array in parameters.values())
    assert abs(golden["images"]).max() == 16


def test_the_models_are_recognised():
    small = ViTConfig(image=32, patch=8, dim=24, depth=2, heads=3, mlp_dim=40, classes=7)
    assert load_weights(FOLDER / "classifier")[1] == replace(small, eps=1e-12)
    assert load_weights(FOLDER / "timm", heads=3)[1] == small
    features = replace(small, image=8, patch=4, dim=12, depth=1, mlp_dim=20, classes=1, eps=1e-12, pre_logits=12)
    p, config, notes = load_weights(FOLDER / "features")
    assert config == features and not notes.has_head and "no head" in str(notes)
    assert not p["head"]["w"].any()
    with pytest.raises(UsageError, match="heads="):
        load_weights(FOLDER / "timm")


def test_timms_names_for_the_same_weights(tmp_path):
    theirs, found = load_file(FOLDER / "classifier" / "model.safetensors"), {}
    for name in shapes("timm", replace(SMALL, depth=2)):
        hugging_face = name.replace("blocks.", "vit.encoder.layer.")
        for part, its in (
            ("cls_token", "vit.embeddings.cls_token"),
            ("pos_embed", "vit.embeddings.position_embeddings"),
            ("patch_embed.proj", "vit.embeddings.patch_embeddings.projection"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("attn.proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ):
            hugging_face = hugging_face.replace(part, its)
        hugging_face = {"norm": "vit.layernorm", "head": "classifier"}.get(name.split(".")[0], "") + (
            name[4:] if name.split(".")[0] in ("norm", "head") else hugging_face
        )
        three = [hugging_face.replace("attn.qkv", f"attention.attention.{part}") for part in ("query", "key", "value")]
        found[name] = np.concatenate([theirs[part] for part in three]) if "qkv" in name else theirs[hugging_face]
    save_file(found, tmp_path / "model.safetensors")
    assert sum(array.size for array in found.values()) == sum(array.size for array in theirs.values())
    p, config, _ = load_weights(tmp_path / "model.safetensors", heads=3, eps=1e-12)
    expected, same, _ = load_weights(FOLDER / "classifier")
    assert config == same
    assert_same_bits(p, expected)


def test_the_libraries_still_answer_as_the_files_say(golden):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    for name, kind in (("classifier", "ViTForImageClassification"), ("features", "ViTModel")):
        images = golden["small" if name == "features" else "images"] / 8
        model = getattr(transformers, kind).from_pretrained(FOLDER / name, dtype="float64").eval()
        agree(answer(model, images, "float64"), golden[f"{name}/float64"], "float64")


HUGGING_FACE = [
    {},
    {"hidden_act": "gelu_new"},
    {"hidden_act": "gelu_pytorch_tanh"},
    {"layer_norm_eps": 0.01},
    {"qkv_bias": False},
    {"num_channels": 1, "num_attention_heads": 8},
]


@pytest.mark.parametrize("options", HUGGING_FACE, ids=str)
def test_hugging_face_live(tmp_path, options):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model = make_weights.classifier(**options)
    images = pictures(ViTConfig(image=32, patch=8, channels=options.get("num_channels", 3)))
    for dtype in TOLERANCE:  # the weights are of float32: so is the first file, and the second has the same numbers
        expected = answer(model, images, dtype)
        model.save_pretrained(tmp_path)
        agree(ours(tmp_path, images, dtype), expected, dtype)


def test_hugging_face_at_another_size_live(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    model, images = make_weights.classifier().double(), pictures(ViTConfig(image=48, patch=8))
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        pixels = torch.tensor(images).permute(0, 3, 1, 2)
        expected = model(pixels, interpolate_pos_encoding=True).logits.numpy()
    agree(ours(tmp_path, images, "float64", image=48), expected, "float64")


def test_hugging_face_at_full_size_live():
    """ViT-B/16; random weights of our own, because transformers' take a while, and its biases are 0."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=1000))
    model.to_empty(device="cpu").eval()
    noise = torch.rand(3_000_000, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):  # of the noise each takes another part
            part = noise[1000 * i : 1000 * i + parameter.numel()].reshape(parameter.shape)
            torch.mul(part, 0.15 if parameter.ndim == 2 else 0.8, out=parameter.data)
    images = pictures(PRESETS["B/16"], batch=1)
    with tempfile.TemporaryDirectory() as folder:  # 350 MB, gone at once
        model.save_pretrained(folder)
        p, config, _ = load_weights(folder)
        assert config == replace(PRESETS["B/16"], eps=1e-12)
        for dtype in TOLERANCE:
            found = logits(cast(p, dtype), config, images.astype(dtype))
            agree(found, answer(model, images, dtype), dtype)


@every_precision
def test_torchs_own_encoder_live(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    model, images = make_weights.torch_model(), pictures(ViTConfig(image=32, patch=8))
    expected = answer(model, images, dtype)
    state = make_weights.timm_names(model.state_dict())
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    assert all(tensor.dtype == getattr(torch, dtype) for tensor in state.values())
    agree(ours(tmp_path, images, dtype, heads=3), expected, dtype)


@pytest.fixture
def timm():
    pytest.importorskip("torch")
    return pytest.importorskip("timm")


@pytest.mark.parametrize("options", [{}, {"act_layer": "gelu_tanh"}, {"qkv_bias": False}, {"in_chans": 1}], ids=str)
def test_timm_live(timm, tmp_path, options):
    model = make_weights.timm_model(**options)
    images = pictures(ViTConfig(image=32, patch=8, channels=options.get("in_chans", 3)))
    gelu = "tanh" if "act_layer" in options else None
    for dtype in TOLERANCE:
        expected = answer(model, images, dtype)
        make_weights.save_timm(model, tmp_path / "model.safetensors")
        agree(ours(tmp_path, images, dtype, heads=3, gelu=gelu), expected, dtype)


def test_timms_description_live(timm, tmp_path):
    """The arguments in a config.json are said as timm's own files say them."""
    model, images = make_weights.timm_model(act_layer="gelu_tanh"), pictures(ViTConfig(image=32, patch=8))
    make_weights.save_timm(model, tmp_path / "model.safetensors")
    description = {"model_args": {"act_layer": "gelu_tanh"}, "pretrained_cfg": {"crop_pct": 0.95, "std": [1, 1, 1]}}
    (tmp_path / "config.json").write_text(json.dumps(description))
    agree(ours(tmp_path, images, "float32", heads=3), answer(model, images, "float32"), "float32")
    preparation = load_weights(tmp_path, heads=3)[2].preparation
    assert (preparation.crop, preparation.std, preparation.resample) == (0.95, (1, 1, 1), "bicubic")


def test_timm_at_another_size_live(timm, tmp_path):
    from timm.layers import resample_abs_pos_embed

    model = make_weights.timm_model()
    make_weights.save_timm(model, tmp_path / "model.safetensors")
    for size in (24, 48):
        found = load_weights(tmp_path, heads=3, image=size)[0]["pos"]
        expected = resample_abs_pos_embed(model.pos_embed.detach(), [size // 8, size // 8]).numpy()[0]
        assert abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("new", [False, True])
def test_timms_reading_of_googles_file_live(timm, tmp_path, new):
    """timm reads .npz files, too, with code of its own."""
    from timm.models.vision_transformer import VisionTransformer

    a = arrays("google", SMALL)
    np.savez(tmp_path / "a.npz", **(prefixed("params/", scanned(big_vision(a))) if new else a))
    c, images = SMALL, pictures(SMALL)
    sizes = dict(img_size=c.image, patch_size=c.patch, embed_dim=c.dim, depth=c.depth, num_heads=c.heads)
    sizes |= dict(mlp_ratio=1.67, num_classes=c.classes)
    model = VisionTransformer(**sizes, act_layer="gelu_tanh", no_embed_class=new)
    model.load_pretrained(str(tmp_path / "a.npz"))
    agree(ours(tmp_path / "a.npz", images, "float64"), answer(model.eval(), images, "float64"), "float64")


@every_precision
def test_googles_arrangement(tmp_path, dtype):
    for pre_logits in (0, 10):
        a = arrays("google", SMALL, pre_logits=pre_logits)
        np.savez(tmp_path / "a.npz", **a)
        images = pictures(SMALL)
        agree(ours(tmp_path / "a.npz", images, dtype), google_vit(images, cast(a, np.float64)), dtype)
