"""Published GPT-2 and BERT: transformers' own answers and tokens, one model under several names, what is refused."""

import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden import make_texts
from tests.golden.make_pyramids import arrays
from tests.golden.make_texts import FILE, TEXTS, WORDS, write_byte_pairs, write_words
from tests.reference.compare import assert_same_bits, cast
from tests.reference.torch_files import save_torch
from tests.weights.pyramids import saved, weightless
from tinyvit import load_weights
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.models.bert import BERTConfig, bert
from tinyvit.models.gpt import GPTConfig, gpt
from tinyvit.weights.description import Description
from tinyvit.weights.load import READ
from tinyvit.weights.naming import written
from tinyvit.weights.text_sources import BERT, GPT, canonical
from tinyvit.weights.tokenizer import read_tokenizer

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
SMALL_GPT = GPTConfig(tokens=320, length=40, dim=12, depth=2, heads=3, mlp_dim=48)
SMALL_BERT = BERTConfig(tokens=len(WORDS), length=16, dim=12, depth=2, heads=3, mlp_dim=20)
CONFIGS = {
    "gpt": SMALL_GPT,
    "gpt, no prefix": SMALL_GPT,
    "gpt, relu": SMALL_GPT.changed(gelu="relu", mlp_dim=20, eps=1e-3),
    "gpt, erf": SMALL_GPT.changed(gelu="erf", depth=1),
    "bert": SMALL_BERT,
    "bert, pre-training": SMALL_BERT.changed(gelu="tanh", eps=1e-5),
    "bert, relu": SMALL_BERT.changed(gelu="relu", types=3, depth=1),
}


def golden(name, folder, without=(), **described):
    """A golden model's folder, with other things in its config.json, or without some."""
    config = {key: value for key, value in (GOLDEN[name]["config"] | described).items() if key not in without}
    return saved(folder, arrays(GOLDEN[name]["shapes"]), config)


def answers(folder, name, dtype):
    """Our logits, as many as the file has."""
    (p, config, _), x = load_weights(folder), make_texts.batch(name)
    if name.startswith("gpt"):
        y, _ = gpt(x["input_ids"], cast(p, dtype), config)
    else:
        mask = x["attention_mask"] > 0
        y, _ = bert(x["input_ids"], cast(p, dtype), config, mask=mask, types=x["token_type_ids"])
    return y[..., :: make_texts.SHOWN]


# ---- transformers' answers


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CONFIGS)
def test_answers_agree_with_the_file(tmp_path, name, dtype):
    found, expected = answers(golden(name, tmp_path / "a"), name, dtype), np.array(GOLDEN[name]["logits"])
    assert found.dtype == dtype and abs(expected).max() > 0.3
    assert abs(found - expected).max() < TOLERANCE[dtype]


@pytest.mark.parametrize("name", CONFIGS)
def test_answers_agree_live(name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    found = make_texts.of(name)
    assert found["shapes"] == GOLDEN[name]["shapes"]
    assert np.allclose(found["logits"], GOLDEN[name]["logits"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_models_are_recognised(tmp_path, name):
    _, config, notes = load_weights(golden(name, tmp_path / "a"))
    assert config == CONFIGS[name]
    assert (notes.source, notes.has_head, notes.preparation) == ("huggingface", True, None)


def test_the_file_is_small():
    assert FILE.stat().st_size < 60_000


# ---- one model under several names


def with_buffers(a):
    """As GPT-2's first files, which have each block's causal mask, and the table twice."""
    found = dict(a) | {"lm_head.weight": a["transformer.wte.weight"]}
    for i in range(2):
        found[f"transformer.h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 40, 40), np.uint8))
        found[f"transformer.h.{i}.attn.masked_bias"] = np.array(-1e4, np.float32)
    return found


def old_names(a):
    """As BERT's first files: LayerNorm as TensorFlow calls it, the positions' numbers, the table twice."""
    found = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): x
        for name, x in a.items()
    }
    found["bert.embeddings.position_ids"] = np.arange(16)[None]
    found["cls.predictions.decoder.weight"] = a["bert.embeddings.word_embeddings.weight"]
    found["cls.predictions.decoder.bias"] = a["cls.predictions.bias"]
    return found


def bare(prefix):
    return lambda a: {name.removeprefix(prefix): x for name, x in a.items()}


RENAMED = {
    "gpt, first files": with_buffers,
    "gpt, no prefix": lambda a: bare("transformer.")(with_buffers(a)),
    "gpt, wrapped": lambda a: {f"module.{name}": x for name, x in a.items()},
    "bert, first files": old_names,
    "bert, no prefix": bare("bert."),
    "bert, wrapped": lambda a: {f"model.{name}": x for name, x in old_names(a).items()},
}


@pytest.mark.parametrize("how", RENAMED)
@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_the_same_model_under_other_names(tmp_path, how, form):
    name = how.partition(",")[0]
    p, config, _ = load_weights(golden(name, tmp_path / "a"))
    a, folder = RENAMED[how](arrays(GOLDEN[name]["shapes"])), tmp_path / "b"
    folder.mkdir()
    if form == "torch":
        save_torch(folder / "pytorch_model.bin", a)
    else:
        save_file({key: np.ascontiguousarray(x) for key, x in a.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(GOLDEN[name]["config"]))
    q, found, _ = load_weights(folder)
    assert found == config
    assert_same_bits(q, p)


def test_what_bert_has_beside_is_said(tmp_path):
    notes = str(load_weights(golden("bert, pre-training", tmp_path / "a"))[2])
    assert "bert.pooler.* is not read" in notes and "cls.seq_relationship.* is not read" in notes


def test_bert_without_a_head(tmp_path):
    a = {name: x for name, x in arrays(GOLDEN["bert"]["shapes"]).items() if not name.startswith("cls.")}
    described = GOLDEN["bert"]["config"] | {"architectures": ["BertModel"]}
    p, config, notes = load_weights(saved(tmp_path / "a", bare("bert.")(a), described))
    assert not notes.has_head and "no head (cls.predictions.*)" in str(notes) and config == SMALL_BERT
    assert not bert(np.array([[3, 4]]), p, config)[0].any()


def test_a_block_has_its_own_third_of_the_fused_array(tmp_path):
    """Of [D, 3 D], along the second axis: query, key, value."""
    p, _, _ = load_weights(golden("gpt", tmp_path / "a"))
    fused = arrays(GOLDEN["gpt"]["shapes"])["transformer.h.1.attn.c_attn.weight"]
    for k, letter in enumerate("qkv"):
        np.testing.assert_array_equal(p["blocks"][1]["msa"][letter]["w"], fused[:, 12 * k : 12 * (k + 1)])


@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_the_forms_are_the_same_numbers_in_another_order(tmp_path, name):
    p, config, _ = load_weights(golden(name, tmp_path / "a"))
    found = written(p, {"gpt": GPT, "bert": BERT}[name]["huggingface"], config)
    assert_same_bits(found, arrays(GOLDEN[name]["shapes"]))


PUBLISHED = {  # arrays that a published file has, without buffers
    "gpt2": (GPTConfig(), GPT, 148),
    "gpt2-medium": (GPTConfig(dim=1024, depth=24, heads=16, mlp_dim=4096), GPT, 292),
    "gpt2-large": (GPTConfig(dim=1280, depth=36, heads=20, mlp_dim=5120), GPT, 436),
    "gpt2-xl": (GPTConfig(dim=1600, depth=48, heads=25, mlp_dim=6400), GPT, 580),
    "bert-base": (BERTConfig(), BERT, 202),
    "bert-large": (BERTConfig(dim=1024, depth=24, heads=16, mlp_dim=4096), BERT, 394),
    "bert-base-chinese": (BERTConfig(tokens=21128), BERT, 202),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_from_shapes_alone(name):
    """Without a config.json: heads are those of the published models."""
    config, naming, number = PUBLISHED[name]
    naming = naming["huggingface"]
    theirs = {}
    for _, shape, key, form in naming.forms(config):
        whole = getattr(form, "whole", lambda shape: shape)
        theirs[key] = whole(getattr(form, "form", form).shape(shape, config))
    assert len(theirs) == number
    model, source, tensors = canonical("", weightless(theirs))
    found, _, lines = READ[model][1]("", tensors, naming, Description(None), None)
    assert (source, found) == ("huggingface", config) and "the file does not say" in str(lines)


def test_heads_are_asked_for_where_nothing_says_them(tmp_path):
    folder = saved(tmp_path / "a", arrays(GOLDEN["gpt"]["shapes"]))
    with pytest.raises(UsageError, match="nothing says how many heads a model of width 12 has: say heads=, or --heads"):
        load_weights(folder)
    assert load_weights(folder, heads=4)[1] == SMALL_GPT.changed(heads=4)
    with pytest.raises(UsageError, match="heads 5 does not divide dim 12"):
        load_weights(folder, heads=5)


def test_what_the_user_knows_better(tmp_path):
    folder = golden("bert", tmp_path / "a")
    assert load_weights(folder, heads=2, gelu="relu", eps=1e-3)[1] == SMALL_BERT.changed(heads=2, gelu="relu", eps=1e-3)


# ---- what is refused


def refused(path, *words, error=CheckpointError, **options):
    with pytest.raises(error) as caught:
        load_weights(path, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


DESCRIBED = {  # (model, config.json, words)
    "scaled by the block": ("gpt", dict(scale_attn_by_inverse_layer_idx=True), "_idx True: expected False, as a GPT-2"),
    "not scaled": ("gpt", dict(scale_attn_weights=False), "scale_attn_weights False: expected True"),
    "cross-attention": ("gpt", dict(add_cross_attention=True), "add_cross_attention True: expected False"),
    "scores of their own": ("gpt", dict(tie_word_embeddings=False), "tie_word_embeddings False: expected True"),
    "pruned": ("gpt", dict(pruned_heads={"0": [1]}), "pruned_heads {'0': [1]}: expected none"),
    "activation": ("gpt", dict(activation_function="quick_gelu"), "'quick_gelu': expected one of gelu,"),
    "activation, a list": ("gpt", dict(activation_function=["gelu"]), "activation_function ['gelu']: expected one of"),
    "heads": ("gpt", dict(n_head=5), "config.json: heads 5 does not divide dim 12"),
    "no number of heads": ("gpt", dict(n_head="3"), "heads is '3'"),
    "eps": ("gpt", dict(layer_norm_epsilon="small"), "eps is 'small': expected a number"),
    "width": ("gpt", dict(n_embd=24), "n_embd 24: expected 12, as the arrays have"),
    "inner width": ("gpt", dict(n_inner=50), "n_inner 50: expected 48, as the arrays have"),
    "positions": ("gpt", dict(n_positions=1024), "n_positions 1024: expected 40, as the arrays have"),
    "tokens": ("gpt", dict(vocab_size=7), "vocab_size 7: expected 320"),
    "another model": ("gpt", dict(model_type="gpt_bigcode"), "model_type 'gpt_bigcode': expected gpt2; other models"),
    "another head": (
        "gpt",
        dict(architectures=["GPT2ForTokenClassification"]),
        "expected GPT2LMHeadModel or GPT2Model",
    ),
    "quantised": ("gpt", dict(quantization_config={"bits": 4}), "expected none, as a GPT-2 has"),
    "relative positions": ("bert", dict(position_embedding_type="relative_key"), "expected absolute, as a BERT has"),
    "a decoder": ("bert", dict(is_decoder=True), "is_decoder True: expected False, as a BERT has"),
    "BERT's activation": ("bert", dict(hidden_act="swish"), "hidden_act 'swish': expected one of gelu,"),
    "BERT's positions": ("bert", dict(max_position_embeddings=512), "512: expected 16, as the arrays have"),
    "segments": ("bert", dict(type_vocab_size=1), "type_vocab_size 1: expected 2"),
    "RoBERTa's": ("bert", dict(model_type="roberta"), "model_type 'roberta': expected bert; other models are not read"),
}


@pytest.mark.parametrize("what", DESCRIBED)
def test_a_description_of_something_else(tmp_path, what):
    name, described, words = DESCRIBED[what]
    refused(golden(name, tmp_path / "a", **described), words)


X = np.zeros(3, np.float32)
TABLE = {"gpt": "transformer.wte.weight", "bert": "bert.embeddings.word_embeddings.weight"}
CHANGED = {  # (model, change of the arrays, words)
    "missing": ("gpt", lambda a: a.pop("transformer.h.1.mlp.c_fc.bias"), "transformer.h.1.mlp.c_fc.bias is missing"),
    "a block": (
        "gpt",
        lambda a: [a.pop(name) for name in list(a) if ".h.0." in name],
        "transformer.h.0.ln_1.weight is missing; found 1 blocks, up to number 1",
    ),
    "positions": ("gpt", lambda a: a.pop("transformer.wpe.weight"), "transformer.wpe.weight is missing"),
    "shape": (
        "gpt",
        lambda a: a.update({"transformer.h.1.attn.c_attn.weight": np.zeros((36, 12), np.float32)}),
        "transformer.h.1.attn.c_attn.weight is [36, 12], expected [12, 36]",
    ),
    "axes": ("gpt", lambda a: a.update({"transformer.wpe.weight": X}), "is [3], expected 2 axes"),
    "one too many": ("gpt", lambda a: a.update({"extra": X}), "extra has no place in a GPT-2 with 2 blocks"),
    "other scores": (
        "gpt",
        lambda a: a.update({"lm_head.weight": a[TABLE["gpt"]] + 1}),
        "lm_head.weight is not transformer.wte.weight: expected one array for both",
    ),
    "scores of another shape": ("gpt", lambda a: a.update({"lm_head.weight": X}), "lm_head.weight is not transformer"),
    "cross-attention": (
        "gpt",
        lambda a: a.update({"transformer.h.0.crossattention.c_attn.weight": X}),
        "holds a model with cross-attention: it has transformer.h.0.crossattention",
    ),
    "a classifier": ("gpt", lambda a: a.update({"score.weight": X}), "a model whose head answers other questions"),
    "BERT's classifier": ("bert", lambda a: a.update({"classifier.weight": X}), "a model whose head answers other"),
    "an adapter": ("gpt", lambda a: a.update({"h.0.attn.c_attn.lora_A.weight": X}), "an adapter (LoRA)"),
    "relative positions": (
        "bert",
        lambda a: a.update({"bert.encoder.layer.0.attention.self.distance_embedding.weight": X}),
        "a BERT with relative positions",
    ),
    "half a head": ("bert", lambda a: a.pop("cls.predictions.bias"), "cls.predictions.bias is missing"),
    "BERT's other scores": (
        "bert",
        lambda a: a.update({"cls.predictions.decoder.weight": 2 * a[TABLE["bert"]]}),
        "cls.predictions.decoder.weight is not bert.embeddings.word_embeddings.weight",
    ),
    "not a number": ("gpt", lambda a: a.update({"transformer.ln_f.bias": X[:1] * np.nan}), "expected [12]"),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("what", CHANGED)
def test_arrays_of_something_else(tmp_path, what):
    name, change, words = CHANGED[what]
    a = arrays(GOLDEN[name]["shapes"])
    change(a)
    refused(saved(tmp_path / "a", a, GOLDEN[name]["config"]), words)


@pytest.mark.parametrize("name", ["roberta.embeddings.word_embeddings.weight", "gpt_neox.layers.0.x", "lm_head.weight"])
def test_other_models_of_text(tmp_path, name):
    refused(saved(tmp_path / "a", {name: X}), "a model of text that is neither GPT-2 nor BERT", f"it has {name}")


def test_a_file_that_is_cut_short(tmp_path):
    file = golden("gpt", tmp_path / "a") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    refused(file, "the file is cut short, copy it again")


@pytest.mark.parametrize("option", ["image", "channels", "classes"])
def test_what_only_pictures_have(tmp_path, option):
    folder = golden("gpt", tmp_path / "a")
    refused(
        folder, f"holds a model of text, which has no {option}: leave {option}= out", error=UsageError, **{option: 3}
    )


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl", "bert-base-uncased", "openai-community/gpt2"])
def test_a_name_on_a_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    refused(name, f"no file or folder at {name}", "nothing is downloaded: fetch config.json, model.safetensors")


# ---- tokens


@pytest.fixture
def vocabulary(tmp_path):
    """Makes the folder of a small vocabulary."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        if name == "gpt":
            write_byte_pairs(folder, GOLDEN["byte pairs"])
        else:
            write_words(folder, do_lower_case=name == "bert")
        return folder

    return make


def read(folder, name):
    pytest.importorskip("tokenizers")
    return read_tokenizer(folder, SMALL_GPT if name == "gpt" else SMALL_BERT)


KINDS = ["gpt", "bert", "bert, cased"]


@pytest.mark.parametrize("name", KINDS)
def test_tokens_are_transformers_own(vocabulary, name):
    tokenizer = read(vocabulary(name), name)
    for text, expected in zip(TEXTS, GOLDEN["tokens"][name], strict=True):
        assert tokenizer.encode(text) == expected, text


def test_the_texts_tell_the_vocabularies_apart():
    tokens = GOLDEN["tokens"]
    assert tokens["bert"] != tokens["bert, cased"] and not any(319 in each for each in tokens["gpt"][:10])
    assert any(319 in each for each in tokens["gpt"])


@pytest.mark.parametrize("name", KINDS)
def test_tokens_are_transformers_own_live(vocabulary, tmp_path, name):
    pytest.importorskip("transformers")
    assert make_texts.encoded(GOLDEN["byte pairs"]) == GOLDEN["tokens"]
    (tmp_path / "live").mkdir()
    theirs = make_texts.tokenizers_of(GOLDEN["byte pairs"], tmp_path / "live")[name]
    theirs.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").exists()
    for folder in (vocabulary(name), tmp_path / "saved"):
        ours = read(folder, name)
        for text in TEXTS:
            assert ours.encode(text) == theirs(text)["input_ids"]
            assert ours.decode(ours.encode(text)) == theirs.decode(theirs(text)["input_ids"], skip_special_tokens=True)


SAID = {  # what a tokenizer_config.json may say: (vocabulary, settings, a text, the tokens that it then has)
    "a space before": ("gpt", dict(add_prefix_space=True), "The", lambda read: read(" The")),
    "accents stay": ("bert", dict(strip_accents=False), "Café", lambda read: [3, WORDS.index("café"), 4]),
    "no accents": ("bert, cased", dict(strip_accents=True), "Café", lambda read: [3, WORDS.index("Cafe"), 4]),
    "Chinese in pieces": ("bert", dict(tokenize_chinese_chars=False), "三千", lambda read: [3, 39, 44, 4]),
}


@pytest.mark.parametrize("what", SAID)
def test_what_the_vocabularys_description_says(vocabulary, what):
    name, settings, text, expected = SAID[what]
    folder = vocabulary(name)
    usual = read(folder, name)
    said = json.loads((folder / "tokenizer_config.json").read_text()) if name != "gpt" else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(said | settings))
    found = read(folder, name).encode(text)
    assert found == expected(usual.encode) != usual.encode(text)


def test_a_file_that_is_far_too_large(vocabulary, monkeypatch):
    monkeypatch.setattr("tinyvit.weights.tokenizer.LARGEST", 1000)
    with pytest.raises(CheckpointError, match=r"vocab.json is no ordinary file of at most 1000 bytes"):
        read(vocabulary("gpt"), "gpt")


def test_every_text_comes_back(vocabulary):
    tokenizer = read(vocabulary("gpt"), "gpt")
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("<|endoftext|>", "")


def test_a_text_is_not_cut(vocabulary):
    """As a tokenizer.json may ask for, which was saved after its use."""
    pytest.importorskip("tokenizers")
    folder = vocabulary("bert")
    inner = read(folder, "bert").inner
    inner.enable_truncation(4)
    inner.enable_padding(length=9)
    inner.save(str(folder / "tokenizer.json"))
    assert len(read(folder, "bert").encode("the fox and the dog")) > 4
    assert len(read(folder, "bert").encode("the")) == 3


def put(name, text):
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


SPOILED = {  # (vocabulary, the files' change, words)
    "none": ("gpt", lambda folder: shutil.rmtree(folder) or folder.mkdir(), "expected tokenizer.json, or vocab.json"),
    "none, BERT's": ("bert", lambda folder: (folder / "vocab.txt").unlink(), "expected tokenizer.json, or vocab.txt"),
    "no merges": ("gpt", lambda folder: (folder / "merges.txt").unlink(), "no vocabulary in"),
    "a folder": ("gpt", lambda folder: (folder / "tokenizer.json").mkdir(), "tokenizer.json is no ordinary file"),
    "no JSON": ("gpt", put("vocab.json", "{"), "vocab.json: Expecting"),
    "a list": ("gpt", put("vocab.json", "[1]"), "vocab.json is no table"),
    "no numbers": ("gpt", put("vocab.json", '{"a": "b"}'), "vocab.json is no vocabulary: expected a number for each"),
    "below zero": ("gpt", put("vocab.json", '{"a": -1}'), "vocab.json is no vocabulary"),
    "tokens that are not there": ("gpt", put("vocab.json", '{"a": 0}'), "merges.txt, line 2: found"),
    "few bytes": (
        "gpt",
        lambda folder: put("vocab.json", '{"a": 0}')(folder) and put("merges.txt", "")(folder),
        "lacks 255 of the 256 bytes",
    ),
    "three": ("gpt", put("merges.txt", "#version: 0.2\na b c\n"), "line 2: found 'a b c', expected two tokens that"),
    "no third": ("gpt", put("merges.txt", "~ ~\n"), "line 1: found '~ ~', expected two tokens that make a third"),
    "no UTF-8": (
        "gpt",
        lambda folder: (folder / "merges.txt").write_bytes(b"\xff"),
        "cannot read vocab.json and merges.txt",
    ),
    "tokenizer.json": ("bert", put("tokenizer.json", "{}"), "cannot read tokenizer.json"),
    "special": ("bert", put("vocab.txt", "a\nb\n"), "has no [UNK], [CLS], [SEP], [MASK]"),
    "too many": ("bert", put("vocab.txt", "\n".join(["a", *WORDS])), "57 tokens, and the model knows 56"),
    "settings": ("bert", put("tokenizer_config.json", "{"), "tokenizer_config.json"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_vocabulary_that_cannot_be_read(vocabulary, what):
    pytest.importorskip("tokenizers")
    name, change, words = SPOILED[what]
    folder = vocabulary(name)
    change(folder)
    with pytest.raises(CheckpointError) as caught:
        read(folder, name)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_package_is_missing(vocabulary, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"need the package tokenizers: pip install 'tinyvit\[text\]'"):
        read_tokenizer(vocabulary("gpt"), SMALL_GPT)


def test_half_a_character(vocabulary):
    tokenizer = read(vocabulary("gpt"), "gpt")
    with pytest.raises(UsageError, match="is no UTF-8 at 1: expected text in UTF-8"):
        tokenizer.encode("a\udce9")
