"""The ways in which one source's files differ: all of them are the same model."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.reference.compare import assert_same_bits, cast
from tests.reference.published import PARAMETERS
from tests.weights.tables import (
    SMALL,
    TABLES,
    arrays,
    big_vision,
    google_vit,
    linen,
    logits,
    pictures,
    prefixed,
    scanned,
    shapes,
)
from tinyvit import count, load_weights, npz
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.models.presets import PRESETS
from tinyvit.weights import load
from tinyvit.weights.naming import Part
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.tensors import Tensor


def with_others(a):
    """An optimiser's state and another model's arrays stand beside the parameters."""
    other = {"opt/state/step": np.float32(3), "params/other": np.zeros(1, np.float32)}
    return prefixed("params/img/", a) | other


def brain_floats(a):
    """The upper halves of float32, as NumPy keeps a bfloat16 that it does not know."""
    return {name: (x.view(np.uint32) >> 16).astype(np.uint16).view("V2") for name, x in a.items()}


SAME = {
    "Linen's numbers": linen,
    "scanned": scanned,
    "Linen's numbers, scanned": lambda a: scanned(linen(a)),
    **{prefix: lambda a, prefix=prefix: prefixed(prefix, a) for prefix in ("opt/target/", "params/", "params/img/")},
    "prefix, Linen's numbers, scanned": lambda a: prefixed("params/", scanned(linen(a))),
    "among other arrays": with_others,
    "big-endian": lambda a: cast(a, ">f4"),
    "columns first": lambda a: {name: np.asfortranarray(x) for name, x in a.items()},
    "another order": lambda a: dict(reversed(a.items())),
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.npz"


def loaded(file, a, save=np.savez, **options):
    save(file, **a)
    return load_weights(file, **options)


@pytest.mark.parametrize("pre_logits", [0, 10])
@pytest.mark.parametrize("variant", SAME)
def test_googles_variants_are_the_same_model_to_the_bit(file, variant, pre_logits):
    a = arrays("google", SMALL, pre_logits=pre_logits)
    assert len(a) == (202 if pre_logits else 200)
    p, config, notes = loaded(file, a)
    assert config == replace(SMALL, pre_logits=pre_logits) and notes.source == "google" and notes.has_head
    q, same, again = loaded(file, SAME[variant](a))
    assert same == config and again == notes
    assert_same_bits(q, p)
    assert np.array_equal(logits(q, config, pictures(config)), logits(p, config, pictures(config)))


def test_compressed(file):
    a = arrays("google", SMALL)
    assert_same_bits(loaded(file, a, np.savez_compressed)[0], loaded(file, a)[0])


@pytest.mark.parametrize("stacked", [False, True])
def test_big_visions_positions(file, stacked):
    a, images = arrays("google", SMALL), pictures(SMALL).astype(np.float32)
    p, config, _ = loaded(file, a)
    new = prefixed("params/", scanned(big_vision(a)) if stacked else big_vision(a))
    q, same, _ = loaded(file, new)
    assert same == config and not q["pos"][0].any()
    assert np.array_equal(q["pos"][1:], p["pos"][1:])
    assert np.array_equal(logits(q, config, images), logits(p, config, images))


def test_the_head_of_an_image_tower_names_no_classes(file):
    """LiT's: its vectors are compared with those of texts."""
    a = prefixed("params/img/", arrays("google", SMALL)) | {"params/t": np.zeros(1, np.float32)}
    _, config, notes = loaded(file, a)
    assert config == replace(SMALL, classes=1) and not notes.has_head


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_googles_other_precisions(file, dtype):
    a = cast(arrays("google", SMALL), dtype)
    p, _, _ = loaded(file, a)
    wanted = "float64" if dtype == "float64" else "float32"
    assert p["cls"].dtype == p["blocks"][3]["msa"]["q"]["w"].dtype == wanted
    expected, _, _ = loaded(file, cast(a, wanted))
    assert_same_bits(p, expected)
    images = pictures(SMALL)
    assert abs(logits(cast(p, float), SMALL, images) - google_vit(images, cast(a, float))).max() < 1e-10


def test_googles_brain_floats(file):
    a = arrays("google", SMALL)
    short = {name: (x.view(np.uint32) & 0xFFFF0000).view(np.float32) for name, x in a.items()}
    expected, _, _ = loaded(file, short)
    assert_same_bits(loaded(file, brain_floats(a))[0], expected)
    assert_same_bits(loaded(file, prefixed("params/", scanned(linen(brain_floats(a)))))[0], expected)
    bad = a | {"cls": np.full((1, 1, SMALL.dim), np.inf, np.float32)}
    with pytest.raises(CheckpointError, match=r"cls holds inf at \[0, 0, 0\]"):
        loaded(file, brain_floats(bad))


def test_scanned_blocks_are_read_once(file, monkeypatch):
    reads, read = Counter(), npz.read

    def counted(path, archive, entry, name):
        reads[name] += 1
        return read(path, archive, entry, name)

    monkeypatch.setattr(npz, "read", counted)
    loaded(file, scanned(arrays("google", SMALL)))
    assert set(reads.values()) == {1} and len(reads) == 8 + 16


def test_a_config_beside_an_npz_is_another_models(file):
    (file.parent / "config.json").write_text('{"layer_norm_eps": 0.1, "hidden_act": "gelu", "num_attention_heads": 1}')
    assert loaded(file, arrays("google", SMALL))[1] == SMALL


@pytest.mark.parametrize("source", ["huggingface", "timm"])
def test_without_biases_of_query_key_and_value(tmp_path, source):
    """They are zero then; and a file of float64 stays one."""
    a = cast(arrays(source, SMALL), np.float64)
    absent = [name for name in a if name.endswith(("query.bias", "key.bias", "value.bias", "qkv.bias"))]
    save_file({name: x for name, x in a.items() if name not in absent}, tmp_path / "model.safetensors")
    p, config, _ = load_weights(tmp_path, heads=3)
    save_file(a | {name: np.zeros_like(a[name]) for name in absent}, tmp_path / "model.safetensors")
    assert_same_bits(p, load_weights(tmp_path, heads=3)[0])
    assert len(absent) == (36 if source == "huggingface" else 12)
    assert {leaf.dtype for block in p["blocks"] for leaf in block["msa"]["q"].values()} == {np.dtype(float)}
    assert config.heads == 3


def test_hugging_faces_bare_model(tmp_path):
    """ViTModel's files lack the prefix; with a pooler they have a layer before the head that they do not have."""
    a = cast(arrays("huggingface", SMALL), np.float64)
    save_file(a, tmp_path / "model.safetensors")
    p, config, _ = load_weights(tmp_path, heads=3)
    bare = {name.removeprefix("vit."): x for name, x in a.items()}
    save_file(bare, tmp_path / "model.safetensors")
    assert_same_bits(load_weights(tmp_path, heads=3)[0], p)

    bare = {name: x for name, x in bare.items() if not name.startswith("classifier")}
    save_file(bare, tmp_path / "model.safetensors")
    q, headless, notes = load_weights(tmp_path, heads=3)
    assert headless == replace(config, classes=1) and not notes.has_head
    assert_same_bits(q | {"head": None}, p | {"head": None})
    assert q["head"]["w"].dtype == np.float64 and not q["head"]["w"].any()


def test_heads_that_nobody_says(tmp_path):
    save_file(arrays("timm", replace(SMALL, dim=128, heads=4)), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="nothing says how many heads a model of width 128, with MLPs of 40, has"):
        load_weights(tmp_path)
    assert load_weights(tmp_path, heads=4)[1].heads == 4
    (tmp_path / "config.json").write_text('{"num_attention_heads": 8}')
    assert load_weights(tmp_path)[1].heads == 8
    assert load_weights(tmp_path, heads=4)[1].heads == 4
    with pytest.raises(UsageError, match="does not divide"):
        load_weights(tmp_path, heads=3)


@pytest.mark.parametrize("source", TABLES)
def test_the_names_and_shapes_of_vit_b_16(source):
    found, config = {}, PRESETS["B/16"]
    for _, shape, theirs, form in SOURCES[source].forms(config):
        shape = (form.form if isinstance(form, Part) else form).shape(shape, config)
        found[theirs] = (3 * shape[0], *shape[1:]) if isinstance(form, Part) else shape
    assert found == shapes(source, config)
    assert len(found) == {"google": 200, "timm": 152, "huggingface": 200}[source]


def test_some_shapes_of_weights_md():
    """The tables' own letters, read back as the numbers that the facts' file has."""
    google, timm = shapes("google", PRESETS["B/16"]), shapes("timm", PRESETS["B/16"])
    attention = "Transformer/encoderblock_11/MultiHeadDotProductAttention_1/"
    assert google["embedding/kernel"] == (16, 16, 3, 768)
    assert google["Transformer/posembed_input/pos_embedding"] == (1, 197, 768)
    assert google[attention + "value/kernel"] == (768, 12, 64) and google[attention + "key/bias"] == (12, 64)
    assert google[attention + "out/kernel"] == (12, 64, 768)
    assert google["Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"] == (768, 3072)
    assert google["head/kernel"] == (768, 1000)
    assert timm["blocks.0.attn.qkv.weight"] == (2304, 768)
    assert timm["patch_embed.proj.weight"] == (768, 3, 16, 16)


def test_hugging_faces_names_live(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = dict(image_size=8, patch_size=4, hidden_size=24, num_attention_heads=3, intermediate_size=40)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=7, **sizes))
    model.save_pretrained(tmp_path)
    from safetensors.numpy import load_file

    saved = load_file(tmp_path / "model.safetensors")
    assert {name: x.shape for name, x in saved.items()} == shapes("huggingface", SMALL)


@contextmanager
def hollow(source, config):
    """The arrays of a whole model that take no memory: all of their numbers are one and the same zero."""
    yield {
        name: Tensor(shape, lambda shape=shape: np.broadcast_to(np.float32(0), shape))
        for name, shape in shapes(source, config).items()
    }


@pytest.mark.parametrize("source", TABLES)
def test_parameter_counts(tmp_path, monkeypatch, source):
    file = tmp_path / ("model.npz" if source == "google" else "model.safetensors")
    file.touch()
    for name, expected in PARAMETERS.items():
        monkeypatch.setattr(load, "open_tensors", lambda path, name=name: hollow(source, PRESETS[name]))
        p, config, notes = load_weights(file, heads=PRESETS[name].heads)
        assert notes.source == source and count(p) == expected
        assert replace(config, gelu="erf", eps=1e-6) == PRESETS[name]
    monkeypatch.setattr(load, "open_tensors", lambda path: hollow(source, PRESETS["B/16"]))
    p, config, _ = load_weights(file, image=384)
    assert count(p) == 86_859_496 and config.image == 384 and p["pos"].shape == (577, 768)
