"""Published Swins and hybrids: the libraries' own answers, the sources' names, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.golden import make_pyramids
from tests.golden.make_pyramids import SIDE, arrays, images
from tests.reference.compare import assert_same_bits, cast
from tests.reference.torch_files import save_torch
from tests.weights.pyramids import (
    GOLDEN,
    HEADS,
    golden,
    googles_hybrid,
    hugging_faces_hybrid,
    hugging_faces_swin,
    microsofts,
    saved,
    weightless,
)
from tests.weights.tables import linen, prefixed
from tinyvit import load_weights
from tinyvit.data.photos import IMAGENET, Preparation
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.model import forward
from tinyvit.models.swin import SwinConfig
from tinyvit.weights import hybrid_sizes, swin_sizes
from tinyvit.weights.description import Description
from tinyvit.weights.hybrid_sources import HYBRID
from tinyvit.weights.swin_sources import SWIN
from tinyvit.weights.variants import canonical

TOLERANCE = {"float32": 1e-6, "float64": 1e-13}  # of logits, which are of order 1
SMALL = SwinConfig(image=SIDE, patch=2, dim=8, depths=(2, 2), heads=(2, 4), window=4, classes=5)
VIT = ViTConfig(image=4, channels=256, patch=2, dim=24, depth=2, heads=3, mlp_dim=48, classes=5)
HYBRID_SMALL = HybridConfig(VIT, image=SIDE, units=(1, 2), width=32, group_eps=1e-5, standardise="var")
NOTHING = Description(None)


def answers(folder, dtype="float64", **options):
    p, config, _ = load_weights(folder, image=SIDE, **options)
    return forward({"images": images().astype(dtype)}, cast(p, dtype), config, keep_cache=False)[0]


# ---- the libraries' answers


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", GOLDEN)
def test_answers_agree_with_the_file(tmp_path, name, dtype):
    found = answers(golden(name, tmp_path / "a"), dtype, heads=HEADS.get(name))
    expected = np.array(GOLDEN[name]["logits"])
    assert found.dtype == dtype and abs(expected).max() > 0.3
    assert abs(found - expected).max() < TOLERANCE[dtype]


@pytest.mark.parametrize("name", GOLDEN)
def test_answers_agree_live(name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers" if "Hugging Face" in name else "timm")
    found = make_pyramids.of(make_pyramids.MODELS[name])
    assert found["shapes"] == GOLDEN[name]["shapes"]
    assert np.allclose(found["logits"], GOLDEN[name]["logits"], rtol=0, atol=1e-12)


FULL = ["swin_tiny_patch4_window7_224", "vit_base_r50_s16_224", "vit_tiny_r_s16_p8_224"]


@pytest.mark.parametrize("name", ["transformers", *FULL])
def test_full_size_live(tmp_path, name):
    """In float32, with random weights, out of PyTorch's own file."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    if name == "transformers":
        transformers = pytest.importorskip(name)
        model = transformers.SwinForImageClassification(transformers.SwinConfig(num_labels=1000))
    else:
        model = pytest.importorskip("timm").create_model(name, num_classes=1000)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape)
        file = tmp_path / "model.pth"
        torch.save({"model": model.state_dict()}, file)
        x = np.random.default_rng(0).standard_normal((1, 224, 224, 3)).astype("float32")
        y = model.eval()(torch.tensor(x).permute(0, 3, 1, 2).contiguous())
    expected = getattr(y, "logits", y).numpy()
    p, config, _ = load_weights(file)
    assert abs(forward({"images": x}, p, config, keep_cache=False)[0] - expected).max() < 1e-5 * abs(expected).max()


def test_the_file_is_small():
    assert make_pyramids.FILE.stat().st_size < 30_000


def test_the_models_are_recognised(tmp_path):
    configs = {"swin, Hugging Face": SMALL, "swin, timm": SMALL, "hybrid, timm": HYBRID_SMALL}
    configs["swin, timm, small last map"] = replace(SMALL, depths=(2, 2, 2), heads=(1, 2, 4), window=8)
    root = ViTConfig(image=8, channels=32, patch=4, dim=24, depth=2, heads=3, mlp_dim=48, classes=5)
    configs["root, timm"] = HybridConfig(root, image=SIDE, units=(), width=32, group_eps=1e-5, standardise="var")
    for name, config in configs.items():
        found = load_weights(golden(name, tmp_path / name), heads=HEADS.get(name), image=SIDE)
        assert found[1] == config and found[2].has_head
        assert found[2].source == ("huggingface" if "Hugging Face" in name else "timm")


# ---- one model under many names


@pytest.fixture
def timm():
    """timm's arrays of the small Swin."""
    return arrays(GOLDEN["swin, timm"]["shapes"])


def in_memory(a):
    """Hugging Face's names within transformers 5, with the index that it does not save."""
    names = {"attention.self.query": "attention.q_proj", "attention.self.key": "attention.k_proj"}
    names |= {"attention.self.value": "attention.v_proj", "attention.output.dense": "attention.o_proj"}
    names |= {"intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2"}
    names["attention.self.relative"] = "attention.relative_position_bias.relative"
    found = {}
    for name, x in a.items():
        for old, new in names.items():
            name = name.replace(f".{old}", f".{new}")
        found[name] = x
        if name.endswith("_bias_table"):
            found[name.replace("_bias_table", "_index")] = np.zeros(256, np.int64)
    return found


def version_4(a):
    """Hugging Face's files of transformers 4, which have an index for every block."""
    tables = [name for name in a if name.endswith("_bias_table")]
    return a | {name.replace("_bias_table", "_index"): np.zeros((16, 16), np.int64) for name in tables}


def without_prefix(a):
    """SwinModel's names, and SwinBackbone's additions."""
    return {name.removeprefix("swin."): x for name, x in a.items()} | {
        "hidden_states_norms.stage2.weight": np.ones(16, np.float32)
    }


RENAMED = {
    "microsoft": microsofts,
    "microsoft, wrapped": lambda a: prefixed("model.", microsofts(a)) | {"epoch": np.zeros(1, np.float32)},
    "huggingface": hugging_faces_swin,
    "huggingface, 4.x": lambda a: version_4(hugging_faces_swin(a)),
    "huggingface, in memory": lambda a: in_memory(hugging_faces_swin(a)),
    "huggingface, bare": lambda a: without_prefix(hugging_faces_swin(a)),
}


@pytest.mark.parametrize("how", RENAMED)
def test_the_same_swin_under_other_names(tmp_path, timm, how):
    p, config, notes = load_weights(saved(tmp_path / "a", RENAMED[how](timm)), image=SIDE)
    assert notes.source == how.partition(",")[0] and config == SMALL
    assert_same_bits(p, load_weights(saved(tmp_path / "b", timm), image=SIDE)[0])


def test_our_renaming_is_hugging_faces():
    found = hugging_faces_swin(arrays(GOLDEN["swin, timm"]["shapes"]))
    assert {name: list(x.shape) for name, x in found.items()} == GOLDEN["swin, Hugging Face"]["shapes"]


def test_microsofts_pth(tmp_path, timm):
    a = microsofts(timm)
    save_torch(tmp_path / "swin.pth", {"model": a, "epoch": 299})
    p, config, notes = load_weights(tmp_path / "swin.pth", image=SIDE)
    assert config == SMALL and notes.source == "microsoft"
    assert_same_bits(p, load_weights(saved(tmp_path / "b", timm), image=SIDE)[0])


def test_timm_itself_reads_the_old_placement_so(timm):
    """Our idea of Microsoft's names, through timm's own function that turns them into its own."""
    torch = pytest.importorskip("torch")
    swin = pytest.importorskip("timm.models.swin_transformer")
    model = make_pyramids.MODELS["swin, timm"]()
    old = {name: torch.tensor(x) for name, x in microsofts(timm).items()}
    new = swin.checkpoint_filter_fn({"model": old}, model)
    assert set(new) == set(timm) and all((new[name].numpy() == x).all() for name, x in timm.items())


def test_a_file_without_a_head(tmp_path, timm):
    headless = {name: x for name, x in timm.items() if not name.startswith("head.")}
    p, config, notes = load_weights(saved(tmp_path / "a", headless), image=SIDE)
    assert not notes.has_head and config == replace(SMALL, classes=1) and p["head"]["w"].shape == (16, 1)


@pytest.fixture
def hybrid(tmp_path):
    """timm's arrays of the small hybrid, and the model they are."""
    a = arrays(GOLDEN["hybrid, timm"]["shapes"])
    return a, load_weights(saved(tmp_path / "hybrid", a), heads=3)


def test_hugging_faces_hybrid(tmp_path, hybrid):
    a, (p, config, _) = hybrid
    described = {"model_type": "vit-hybrid", "num_attention_heads": 3, "image_size": SIDE, "patch_size": 2}
    described |= {"architectures": ["ViTHybridForImageClassification"], "hidden_size": 24, "num_hidden_layers": 2}
    described["backbone_config"] = {"depths": [1, 2], "global_padding": "same", "layer_type": "bottleneck"}
    q, found, notes = load_weights(saved(tmp_path / "a", hugging_faces_hybrid(a), described))
    assert notes.source == "huggingface" and found == config.changed(eps=1e-12)
    assert_same_bits(q, p)
    assert notes.preparation == Preparation(SIDE, "bicubic", crop=1.0)


def four_axes(a):
    """As older files have the arrays of group normalisation."""
    return {name: x.reshape(1, 1, 1, -1) if "gn" in name else x for name, x in a.items()}


GOOGLES = {
    "first": lambda a: a,
    "linen": linen,
    "four axes": four_axes,
    "prefix": lambda a: prefixed("params/", linen(four_axes(a))),
}


@pytest.mark.parametrize("how", GOOGLES)
def test_googles_hybrid(tmp_path, hybrid, how):
    a, (p, config, _) = hybrid
    np.savez(tmp_path / "a.npz", **GOOGLES[how](googles_hybrid(a)))
    q, found, notes = load_weights(tmp_path / "a.npz")
    assert found == config.changed(gelu="tanh", standardise="std", group_eps=1e-6) and notes.source == "google"
    assert_same_bits(q, p)
    assert notes.preparation == Preparation(SIDE, antialias=False)
    assert "eps beside the deviation" in str(notes)


def test_the_root_alone_in_googles_names(tmp_path):
    a = arrays(GOLDEN["root, timm"]["shapes"])
    a = {name.replace(".backbone.", ".backbone.stem."): x for name, x in a.items()}
    np.savez(tmp_path / "a.npz", **googles_hybrid(a))
    p, config, _ = load_weights(tmp_path / "a.npz")
    assert config.units == () and config.vit.patch == 4 and config.standardise == "std"
    assert_same_bits(p, load_weights(golden("root, timm", tmp_path / "b"), heads=3)[0])


# ---- the published sizes, from shapes alone


def theirs(naming, config):
    """{name: shape} of a source's file of a model, as the rules have it."""
    found = {}
    sizes = getattr(config, "vit", config)
    for _, shape, name, form in naming.forms(config):
        inner = getattr(form, "form", form)
        shape = inner.shape(shape, sizes)
        found[name] = (3 * shape[0], *shape[1:]) if inner is not form else shape
    return found


SWINS = {  # arrays in a file of timm's, which are as many as Microsoft's parameters, and of Hugging Face's
    "T": (SwinConfig(), 173, 221),
    "S": (SwinConfig(depths=(2, 2, 18, 2)), 329, 425),
    "B": (SwinConfig(dim=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)), 329, 425),
    "B-384": (SwinConfig(image=384, window=12, dim=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)), 329, 425),
    "L, 22k": (SwinConfig(dim=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48), classes=21841), 329, 425),
}


@pytest.mark.parametrize("source", SWIN)
@pytest.mark.parametrize("name", SWINS)
def test_published_swins(name, source):
    config, fused, apart = SWINS[name]
    names = theirs(SWIN[source], config)
    assert len(names) == (apart if source == "huggingface" else fused)
    model, found, tensors = canonical("", weightless(names))
    assert (model, found) == ("swin", source)
    recognised, _, lines = swin_sizes.configuration("", tensors, SWIN[source], NOTHING, None)
    assert recognised == config and any("last map is one window" in line for line in lines)


def test_microsofts_buffers():
    names = {name: np.empty(shape, np.float32) for name, shape in theirs(SWIN["timm"], SwinConfig()).items()}
    whole = microsofts(names, windows=(7, 7, 7, 7), sides=(56, 28, 14, 7))
    assert len(whole) == 190 and whole["layers.2.blocks.5.attn_mask"].shape == (4, 49, 49)
    assert whole["layers.0.downsample.reduction.weight"].shape == (192, 384)


def of(units, side, patch=1, **sizes):
    features = 64 if not units else 256 * 2 ** (len(units) - 1)
    return HybridConfig(ViTConfig(image=side, channels=features, patch=patch, **sizes), units=units)


TI = dict(dim=192, depth=12, heads=3, mlp_dim=768)
S = dict(dim=384, depth=12, heads=6, mlp_dim=1536)
L = dict(dim=1024, depth=24, heads=16, mlp_dim=4096)
HYBRIDS = {  # arrays in a file of Google's, which are as many as Hugging Face's, and of timm's
    "R+Ti/16": (of((), 56, patch=8, **TI), 203, 155),
    "R26+S/32": (of((2, 2, 2, 2), 7, **S), 287, 239),
    "R50+B/16": (of((3, 4, 9), 14), 356, 308),
    "R50+L/32": (of((3, 4, 6, 3), 7, **L), 551, 455),
}


@pytest.mark.parametrize("source", HYBRID)
@pytest.mark.parametrize("name", HYBRIDS)
def test_published_hybrids(name, source):
    config, apart, fused = HYBRIDS[name]
    naming = HYBRID[source]
    config = config.changed(gelu=naming.gelu, eps=naming.eps, **naming.resnet)
    names = theirs(naming, config)
    assert len(names) == (fused if source == "timm" else apart)
    model, found, tensors = canonical("", weightless(names))
    assert (model, found) == ("hybrid", source)
    assert (
        hybrid_sizes.configuration("", tensors, naming, NOTHING, None if source != "huggingface" else config.vit.heads)[
            0
        ]
        == config
    )


def test_names_of_the_published_files():
    """A few of them, as they are in the files."""
    google, timm = (theirs(HYBRID[source], HybridConfig()) for source in ("google", "timm"))
    assert google["conv_root/kernel"] == (7, 7, 3, 64) and google["gn_root/scale"] == (64,)
    assert google["block3/unit1/conv_proj/kernel"] == (1, 1, 512, 1024)
    assert google["block3/unit9/conv2/kernel"] == (3, 3, 256, 256) and google["embedding/kernel"] == (1, 1, 1024, 768)
    assert timm["patch_embed.backbone.stages.2.blocks.0.downsample.conv.weight"] == (1024, 512, 1, 1)
    assert timm["patch_embed.backbone.stem.conv.weight"] == (64, 3, 7, 7)
    assert theirs(SWIN["timm"], SwinConfig())["layers.3.downsample.reduction.weight"] == (768, 1536)
    swin = theirs(SWIN["huggingface"], SwinConfig())
    assert swin["swin.encoder.layers.3.blocks.1.attention.self.relative_position_bias_table"] == (169, 24)


# ---- how pictures are prepared


@pytest.mark.parametrize(
    ("model", "source", "size", "crop"),
    [
        ("swin", "microsoft", 224, 0.875),
        ("swin", "microsoft", 384, None),
        ("swin", "timm", 224, 0.9),
        ("swin", "timm", 384, 1.0),
        ("swin", "huggingface", 224, None),
        ("hybrid", "timm", 224, 0.9),
        ("hybrid", "timm", 384, 1.0),
        ("hybrid", "huggingface", 384, 1.0),
    ],
)
def test_preparation(model, source, size, crop):
    expected = Preparation(size, "bicubic", crop=crop, **(IMAGENET if model == "swin" else {}))
    assert Preparation.of(source, size, model) == expected


def test_a_description_beside_goes_before(tmp_path, timm):
    described = {"architecture": "swin_tiny_patch4_window7_224", "global_pool": "avg", "num_classes": 5}
    described["model_args"] = {"img_size": 32, "depths": [2, 2], "window_size": [4, 4], "num_heads": [2, 4]}
    described["pretrained_cfg"] = {"input_size": [3, 32, 32], "crop_pct": 0.5, "interpolation": "bilinear"}
    _, config, notes = load_weights(saved(tmp_path / "a", timm, described))
    assert config == SMALL and "nothing" not in str(notes)
    assert notes.preparation == Preparation(32, "bilinear", crop=0.5, **IMAGENET)


# ---- other images, other classes


def test_other_sizes_of_a_swin(tmp_path, timm):
    folder = saved(tmp_path / "a", timm)
    assert load_weights(folder)[1].image == 16
    padded, notes = load_weights(folder, image=40)[1:]
    assert padded.sides == (20, 10) and "padded to whole windows" in str(notes)
    assert "padded" not in str(load_weights(folder, image=64)[2])
    with pytest.raises(UsageError, match="give stage 2 windows of 2 x 2 tokens, and its table is for 4 x 4"):
        load_weights(folder, image=8)
    with pytest.raises(UsageError, match="expected a multiple of 2"):
        load_weights(folder, image=33)
    p, config, notes = load_weights(folder, channels=1, classes=3)
    assert (config.channels, config.classes) == (1, 3) and p["head"]["w"].shape == (16, 3) and not notes.has_head
    assert np.allclose(p["patch"]["w"], load_weights(folder)[0]["patch"]["w"].reshape(4, 3, 8).sum(1))


def test_other_sizes_of_a_hybrid(tmp_path, hybrid):
    folder = tmp_path / "hybrid"
    p, config, notes = load_weights(folder, heads=3, image=64, classes=2)
    assert config == hybrid[1][1].changed(image=64, classes=2) and config.vit.grid == 4
    assert p["pos"].shape == (17, 24) and "resized from 2 x 2 to 4 x 4" in str(notes)
    with pytest.raises(UsageError, match="expected a multiple of 16"):
        load_weights(folder, heads=3, image=40)
    with pytest.raises(UsageError, match="standardised over all colours"):
        load_weights(folder, heads=3, channels=1)


def test_what_the_user_knows_better(tmp_path, timm):
    assert load_weights(saved(tmp_path / "a", timm), gelu="tanh", eps=1e-3)[1] == replace(
        SMALL, image=16, gelu="tanh", eps=1e-3
    )
    config = load_weights(golden("hybrid, timm", tmp_path / "b"), heads=4, gelu="tanh", eps=1e-3)[1]
    assert config == HYBRID_SMALL.changed(heads=4, gelu="tanh", eps=1e-3)


# ---- what is refused


def refused(folder, words, error=CheckpointError, **options):
    with pytest.raises(error) as caught:
        load_weights(folder, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


X = np.zeros(3, np.float32)
KINDS = {
    "layers.0.blocks.0.attn.logit_scale": "a Swin Transformer V2",
    "layers.0.blocks.0.attn.cpb_mlp.0.weight": "a Swin Transformer V2",
    "layers.0.blocks.0.spatial_mlp.weight": "a Swin with MLPs in the place of attention",
    "absolute_pos_embed": "a Swin with absolute positions",
    "mask_token": "a Swin that predicts masked patches",
    "layers.0.blocks.0.attn.qkv.lora_A.weight": "an adapter (LoRA)",
}


@pytest.mark.parametrize("name", KINDS)
def test_another_swin_is_refused_by_its_name(tmp_path, timm, name):
    refused(saved(tmp_path / "a", timm | {name: X}), KINDS[name])
    refused(tmp_path / "a", f"it has {name}, and only a Swin as in the paper is read")


def test_another_resnet_is_refused_by_its_name(tmp_path, hybrid):
    name = "patch_embed.backbone.bn1.running_mean"
    refused(
        saved(tmp_path / "a", hybrid[0] | {name: X}), f"a hybrid whose ResNet has batch normalisation: it has {name}"
    )
    bit = {"resnet/root_block/standardized_conv2d/kernel": np.zeros((7, 7, 3, 64), np.float32)}
    np.savez(tmp_path / "bit.npz", **bit)
    refused(tmp_path / "bit.npz", "a BiT, a ResNet that normalises before its convolutions")
    refused(
        saved(tmp_path / "b", {"stages.0.blocks.0.norm3.weight": X}), "a ResNet without a Transformer, such as a BiT"
    )


def test_a_hybrid_whose_resnet_is_a_bit_is_refused(tmp_path, hybrid):
    """Its units have the names of the paper's; one norm more, behind all of them, gives it away."""
    what = "a hybrid whose ResNet normalises before its convolutions, as a BiT does: it has "
    name = "patch_embed.backbone.norm.weight"
    refused(saved(tmp_path / "a", hybrid[0] | {name: X}), what + name)
    name = "vit.embeddings.patch_embeddings.backbone.bit.norm.weight"
    refused(saved(tmp_path / "b", hugging_faces_hybrid(hybrid[0]) | {name: X}), what + name)


CHANGED = {  # an array of the small Swin: what is in its place, and what is said
    "layers.0.blocks.0.attn.relative_position_bias_table": [
        (np.zeros((48, 2), np.float32), "is [48, 2], expected [(2 M - 1)^2, heads]"),
        (None, "is missing"),
        (np.zeros((25, 2), np.float32), "3, 4 tokens wide, are not those of a Swin for images of 16 pixels, 4, 4"),
        (np.zeros((49, 3), np.float32), "heads 3 does not divide the width 8"),
    ],
    "layers.1.blocks.1.attn.relative_position_bias_table": [
        (np.zeros((9, 4), np.float32), "table is [9, 4], expected [49, 4]"),
    ],
    "layers.0.blocks.0.norm1.weight": [(None, "layers.0.blocks.0.norm1.weight is missing")],
    "layers.1.downsample.norm.weight": [(None, "layers.1.downsample.norm.weight is missing")],
    "layers.0.blocks.0.mlp.fc1.bias": [(np.zeros(30, np.float32), "30 wide, expected a multiple of the width 8")],
    "layers.0.blocks.1.attn.qkv.bias": [(None, "layers.0.blocks.1.attn.qkv.bias is missing")],
    "head.fc.bias": [(None, "head.fc.bias is missing")],
    "layers.5.blocks.0.norm1.weight": [(X, "layers.2.blocks.0.norm1.weight is missing; found 3 stages")],
    "norm3.weight": [(X, "norm3.weight has no place in a Swin Transformer with 2, 2 blocks (1 such array)")],
}


@pytest.mark.parametrize(
    ("name", "array", "words"), [(name, *change) for name, changes in CHANGED.items() for change in changes]
)
def test_swins_that_do_not_fit(tmp_path, timm, name, array, words):
    changed = {key: x for key, x in (timm | {name: array}).items() if x is not None}
    refused(saved(tmp_path / "a", changed), words)


CONTRADICTIONS = [
    ({"depths": [2, 6]}, "depths [2, 6]: expected [2, 2], as the arrays have"),
    ({"num_heads": [3, 6]}, "num_heads [3, 6]: expected [2, 4]"),
    ({"window_size": 7}, "window_size 7: expected 4"),
    ({"embed_dim": 96}, "embed_dim 96: expected 8"),
    ({"hidden_size": 768}, "hidden_size 768: expected 16"),
    ({"mlp_ratio": 2.0}, "mlp_ratio 2.0: expected 32 / 8"),
    ({"image_size": 8}, "4, 4 tokens wide, are not those of a Swin for images of 8 pixels, 4, 2"),
    ({"image_size": [32, 64]}, "[32, 64]: expected one number, for square images"),
    ({"use_absolute_embeddings": True}, "use_absolute_embeddings True: expected False"),
    ({"qkv_bias": False}, "qkv_bias False: expected True"),
    ({"model_type": "swinv2"}, "model_type 'swinv2': expected swin; other models are not read"),
    ({"architectures": ["SwinForMaskedImageModeling"]}, "expected SwinForImageClassification or SwinModel"),
    ({"architecture": "swin_s3_tiny_224"}, "expected one of timm's Swins as in the paper"),
    ({"num_labels": 6}, "num_labels 6: expected 5"),
    ({"model_args": {"always_partition": True}}, "always_partition True: expected a Swin as in the paper"),
    ({"global_pool": "max"}, "global_pool 'max': expected"),
]


@pytest.mark.parametrize(("described", "words"), CONTRADICTIONS, ids=lambda value: json.dumps(value)[:50])
def test_a_description_that_contradicts(tmp_path, timm, described, words):
    refused(saved(tmp_path / "a", timm, described), words)


def test_heads_of_a_swin_are_in_its_arrays(tmp_path, timm):
    refused(saved(tmp_path / "a", timm), "say how many heads it has", UsageError, heads=2)


HYBRID_CHANGED = {
    "patch_embed.backbone.stages.0.blocks.0.conv1.weight": (None, "is missing"),
    "patch_embed.backbone.stages.1.blocks.0.conv1.weight": (None, "stages.1.blocks.0.conv1.weight is missing"),
    "patch_embed.proj.weight": (np.zeros((24, 64, 2, 2), np.float32), "64 channels, expected the 256 of the ResNet's"),
    "patch_embed.backbone.stem.norm.bias": (None, "patch_embed.backbone.stem.norm.bias is missing"),
    "pos_embed": (np.zeros((1, 7, 24), np.float32), "pos_embed has 7 rows"),
    "patch_embed.backbone.extra.weight": (X, "has no place in a hybrid with 1, 2 units and 2 blocks"),
}


@pytest.mark.parametrize("name", HYBRID_CHANGED)
def test_hybrids_that_do_not_fit(tmp_path, hybrid, name):
    array, words = HYBRID_CHANGED[name]
    changed = {key: x for key, x in (hybrid[0] | {name: array}).items() if x is not None}
    refused(saved(tmp_path / "a", changed), words, heads=3)


def test_another_description_of_a_hybrid(tmp_path, hybrid):
    a = hugging_faces_hybrid(hybrid[0])
    for described, words in [
        ({"backbone_config": {"depths": [3, 4, 9]}}, "backbone_config depths [3, 4, 9]: expected [1, 2]"),
        ({"backbone_config": {"layer_type": "preactivation"}}, "expected bottleneck"),
        ({"model_type": "vit"}, "model_type 'vit': expected vit-hybrid"),
        ({"image_size": 64}, "position_embeddings has 5 rows"),
        ({"image_size": [64, 16]}, "its maps are 8 x 2; only hybrids of square images are read"),
    ]:
        refused(saved(tmp_path / "a", a, described), words, heads=3)


def test_a_swin_whose_width_is_not_doubled_from_stage_to_stage_is_refused(tmp_path, timm):
    tripled = {16: 24, 48: 72, 64: 96}  # of the second stage
    parts = ("layers.1.blocks.", "norm.", "head.fc.weight")
    wide = {
        name: np.zeros([tripled.get(side, side) for side in x.shape], np.float32) if name.startswith(parts) else x
        for name, x in timm.items()
    }
    wide["layers.1.downsample.reduction.weight"] = np.zeros((24, 32), np.float32)
    refused(saved(tmp_path / "a", wide), "layers.1.downsample.reduction.weight is [24, 32], expected [16, 32]")
