"""The command on published models of text: GPT-2 goes on, BERT fills in, and what is refused is one line."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.golden.make_pyramids import arrays
from tests.golden.make_texts import write_byte_pairs, write_words
from tests.reference.compare import cast
from tests.training.helpers import call, fails, isolated
from tests.weights.pyramids import saved
from tests.weights.test_texts import GOLDEN, bare, golden
from tinyvit import load_weights
from tinyvit.commands.text_weights import continuation, fillings
from tinyvit.models.decoding import sampler
from tinyvit.models.gpt import gpt
from tinyvit.weights.tokenizer import read_tokenizer

END = 319


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a small GPT-2 and a small BERT."""
    write_byte_pairs(golden("gpt", tmp_path / "gpt"), GOLDEN["byte pairs"])
    write_words(golden("bert", tmp_path / "bert"), do_lower_case=True)
    return isolated(tmp_path, monkeypatch)


@pytest.fixture
def tokens():
    """Leaves a test out where the package is missing."""
    pytest.importorskip("tokenizers")


def opened(folder):
    """(p in float64, config, tokenizer)"""
    p, config, _ = load_weights(folder)
    return cast(p, "float64"), config, read_tokenizer(folder, config)


def answered(*argv):
    result = call("predict", *argv, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


# ---- GPT-2


def test_gpt_goes_on_as_it_does_without_a_cache(here, tokens):
    p, config, tokenizer = opened(here / "gpt")
    text = "The quick brown"
    found, ended = continuation(text, p, config, tokenizer, longest=20)
    whole = tokenizer.encode(text)
    for _ in range(20):
        whole.append(int(gpt(np.array([whole]), p, config)[0][0, -1].argmax()))
    assert found == whole[-20:] and not ended and len(set(found)) > 3


def test_gpt_goes_on_as_transformers_does(here, tokens):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    p, config, tokenizer = opened(here / "gpt")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(here / "gpt").double().eval()
    for text in ("The quick brown fox", "三千零五十 "):
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            expected = theirs.generate(ids, do_sample=False, max_new_tokens=15, pad_token_id=END)
        assert continuation(text, p, config, tokenizer, longest=15)[0] == expected[0, ids.shape[1] :].tolist()


def test_what_is_printed(here, tokens):
    p, config, tokenizer = opened(here / "gpt")
    new, _ = continuation("The fox", p, config, tokenizer)
    written = tokenizer.decode(new)
    result = call("predict", "gpt", "The fox", "the dog")
    assert result.out.startswith(f"The fox{written}\nthe dog") and len(new) == 30
    assert "a GPT-2 with 2 blocks of width 12, 320 tokens, positions for 40" in result.err
    (found,) = answered("gpt", "The fox", "--tokens=4")
    assert found == {"text": "The fox", "continuation": tokenizer.decode(new[:4]), "tokens": 4, "ended": False}


def test_a_drawn_text_is_the_seeds(here, tokens):
    p, config, tokenizer = opened(here / "gpt")
    how = ["--temperature=0.7", "--top-p=0.9"]
    (first, again), (other, _) = (answered("gpt", "The fox", "The fox", *how, f"--seed={seed}") for seed in (3, 4))
    assert first == again != other
    (default,), (zero,) = answered("gpt", "The fox", *how), answered("gpt", "The fox", *how, "--seed=0")
    assert default == zero
    choose = sampler(np.random.default_rng(3), 0.7, 0.9)
    new, _ = continuation("The fox", cast(p, "float32"), config, tokenizer, choose=choose)
    assert first["continuation"] == tokenizer.decode(new)


def likes_to_end(folder):
    """Change a GPT-2 so that the end of the text is the likeliest token, always."""
    a = load_file(folder / "model.safetensors")
    a["transformer.wte.weight"][END] *= 20
    a["transformer.ln_f.weight"][:] = 0
    a["transformer.ln_f.bias"] = a["transformer.wte.weight"][END].copy()
    save_file(a, folder / "model.safetensors")


def test_it_ends_at_the_end_of_the_text(here, tokens):
    likes_to_end(here / "gpt")
    assert answered("gpt", "The fox") == [{"text": "The fox", "continuation": "", "tokens": 0, "ended": True}]
    result = call("predict", "gpt", "The fox")
    assert result.out == "The fox\n" and "cut" not in result.err


def test_it_is_cut_at_the_last_position(here, tokens):
    _, _, tokenizer = opened(here / "gpt")
    text = "x " * 19
    assert len(tokenizer.encode(text)) == 38
    result = call("predict", "gpt", text, "--json")
    assert (
        json.loads(result.out)[0]["tokens"] == 3 and "cut after 3 tokens, at the last of the model's 40" in result.err
    )
    assert "cut" not in call("predict", "gpt", text, "--tokens=3").err


def test_no_token_is_written_that_the_vocabulary_lacks(here, tokens):
    """A table may have more rows than there are words, to be a round number."""
    a = arrays(GOLDEN["gpt"]["shapes"])
    table = a["transformer.wte.weight"]
    a["transformer.wte.weight"] = np.concatenate([table, 9 * table[:30], -9 * table[:30]])
    folder = saved(here / "gpt", a, GOLDEN["gpt"]["config"] | {"vocab_size": 380})
    p, config, tokenizer = opened(folder)
    for text in ("The fox", "a", "12 + 30"):
        assert max(continuation(text, p, config, tokenizer)[0]) < 320
        assert gpt(np.array([tokenizer.encode(text)]), p, config)[0][0, -1].argmax() >= 320


def test_nothing_commands_the_terminal(here, tokens):
    result = call("predict", "gpt", "The \x1b[31mfox\tis\nred", "--tokens=1")
    assert result.out.startswith("The \\x1b[31mfox\tis\nred")


# ---- BERT


def test_bert_fills_in(here, tokens):
    p, config, tokenizer = opened(here / "bert")
    text = "the [MASK] is what the [MASK] is"
    (found,) = answered("bert", text, "--top=56")
    assert [len(mask) for mask in found["masks"]] == [56, 56]
    for mask in found["masks"]:
        probabilities = [each["probability"] for each in mask]
        assert abs(sum(probabilities) - 1) < 1e-4 and probabilities == sorted(probabilities, reverse=True)
    expected = fillings(text, p, config, tokenizer)
    assert [[x["token"] for x in mask[:5]] for mask in found["masks"]] == [[x["token"] for x in m] for m in expected]
    assert expected[0] != expected[1]
    result = call("predict", "bert", text, "the [MASK]", "--top=1")
    one, two = (m[0] for m in expected)
    first = f"{text}\n  [MASK] 1: {one['token']} ({100 * one['probability']:.1f} %)\n  [MASK] 2: {two['token']} ("
    assert result.out.startswith(first) and "the [MASK]\n  [MASK]: " in result.out


def test_bert_fills_in_as_transformers_does(here, tokens):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    p, config, tokenizer = opened(here / "bert")
    theirs = transformers.BertForMaskedLM.from_pretrained(here / "bert").double().eval()
    text = "the fox is [MASK], paris"
    ids = torch.tensor([tokenizer.encode(text)])
    with torch.no_grad():
        y = theirs(ids).logits[0, ids[0] == 5].softmax(-1)[0]
    (found,) = fillings(text, p, config, tokenizer, top=9)
    assert [x["token"] for x in found] == [tokenizer.token(k) for k in y.argsort(descending=True)[:9]]
    assert np.allclose([x["probability"] for x in found], y.sort(descending=True).values[:9], atol=1e-6)


def test_bert_fills_in_no_token_that_the_vocabulary_lacks(here, tokens):
    a = arrays(GOLDEN["bert"]["shapes"])
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        a[name] = np.concatenate([a[name], np.full_like(a[name][:8], 5)])
    p, config, tokenizer = opened(saved(here / "bert", a, GOLDEN["bert"]["config"] | {"vocab_size": 64}))
    (best,) = fillings("the [MASK]", p, config, tokenizer, top=64)
    assert len(best) == 56 and abs(sum(x["probability"] for x in best) - 1) < 1e-4


@pytest.mark.parametrize("option", ["--heads=2", "--gelu=tanh", "--eps=0.1"])
def test_what_the_user_knows_better(here, tokens, option):
    """Another model answers."""
    usual, other = answered("bert", "the [MASK]"), answered("bert", "the [MASK]", option)
    assert usual != other


# ---- what is refused


REFUSED = {  # (arguments, words)
    "an empty text": (["gpt", ""], "the text is empty: expected some words to go on from"),
    "one of several": (["gpt", "The fox", ""], "the text is empty"),
    "too long": (["gpt", "x" * 41], "the text has 41 tokens, and the model positions for 40: expected a shorter text"),
    "too long for BERT": (["bert", "[MASK] " * 15], "the text has 17 tokens, and the model positions for 16"),
    "no gap": (["bert", "the fox"], "'the fox' has no [MASK]: write [MASK] in the place of a word"),
    "no text": (["bert", ""], "'' has no [MASK]"),
    "half a character": (["gpt", "a\udce9"], "no UTF-8 at 1: expected text in UTF-8"),
    "a temperature": (["gpt", "a", "--temperature=0"], "temperature is 0.0: expected a positive number"),
    "a share": (["gpt", "a", "--top-p=2"], "top_p is 2.0: expected a share above 0, at most 1"),
    "no draw": (["gpt", "a", "--seed=1"], "--seed: nothing is drawn, the likeliest token is taken"),
    "a seed": (["gpt", "a", "--seed=-1", "--top-p=1"], "--seed is -1: expected a whole number of at least 0"),
    "tokens": (["gpt", "a", "--tokens=0"], "found 0, expected at least 1"),
    "classes": (["gpt", "a", "--top=3"], "--top: gpt has no use for it, since it writes text; leave it out"),
    "BERT writes": (["bert", "[MASK]", "--tokens=3"], "--tokens: bert has no use for it, since it writes no text"),
    "a figure": (
        ["gpt", "a", "--figure=a.png"],
        "--figure: gpt has no use for it, since it is a published model of text",
    ),
    "a beam": (["bert", "[MASK]", "--beam=4"], "--beam: bert has no use for it, since it is a published model"),
    "a data set": (
        ["gpt", "a", "--data=mnist"],
        "--data: gpt has no use for it, since it is a published model of text",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line(here, tokens, what):
    arguments, words = REFUSED[what]
    fails(here, ["predict", *arguments], words)


OTHERS = [["features", "gpt", "a.png"], ["probe", "bert", "digits"], ["convert", "gpt", "out"]]
OTHERS += [["convert", "gpt", "out.npz"], ["numerics", "bert", "a.png"], ["train", "digits", "--from=gpt"]]


@pytest.mark.parametrize("argv", OTHERS, ids=lambda argv: argv[0])
def test_what_only_models_of_pictures_can(here, argv):
    fails(here, argv, "a model of text: only tinyvit predict takes it")


def test_no_vocabulary(here):
    (here / "gpt" / "merges.txt").unlink()
    fails(here, ["predict", "gpt", "a"], "no vocabulary in gpt: expected tokenizer.json, or vocab.json and merges.txt")


def test_no_package(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    fails(here, ["predict", "gpt", "a"], "pip install 'tinyvit[text]'", code=2)


def test_bert_without_a_head(here):
    a = {name: x for name, x in arrays(GOLDEN["bert"]["shapes"]).items() if not name.startswith("cls.")}
    saved(here / "bert", bare("bert.")(a), GOLDEN["bert"]["config"] | {"architectures": ["BertModel"]})
    fails(here, ["predict", "bert", "[MASK]"], "bert has no head that was trained, so it fills in no words")


def test_damaged_weights(here):
    file = here / "gpt" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    fails(here, ["predict", "gpt", "a"], "the file is cut short, copy it again")


def test_a_name_that_is_no_folder(here):
    fails(here, ["predict", "gpt2", "a"], "no file or folder at gpt2", "vocab.json and merges.txt")


def test_pictures_have_no_temperature(here):
    fails(
        here, ["predict", "runs/mnist-1", "a.png", "--temperature=1"], "--temperature: runs/mnist-1 has no use for it"
    )
