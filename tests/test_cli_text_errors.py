"""What is typed or given wrongly where the data are text: one line, and nothing is left behind."""

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import tinyvit
from tests.training.helpers import call, fails, isolated
from tinyvit import trees
from tinyvit.commands.text_predict import open_text_model
from tinyvit.data.text import padded
from tinyvit.models.model import model_of
from tinyvit.models.writing import fill
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING, SPECIAL
from tinyvit.training.checkpoint import load_for_use

TINY = "--dim 8 --epochs 1 --batch 32 --examples 60"
RUNS = {  # made once, in a folder that the tests copy from
    "pairs": f"train numerals --model attention --largest 1000 {TINY}",
    "sum": f"train sums --model gpt --largest 20 {TINY} --depth 1 --heads 2 --mlp-dim 8",
    "blank": f"train sums --model bert --largest 20 {TINY} --depth 1 --heads 2 --mlp-dim 8",
    "words": f"train numerals --model bert --largest 1000 {TINY} --depth 1 --heads 2 --mlp-dim 8",
    "shared": f"train numerals --model transformer --shared --largest 1000 {TINY} --depth 1 --heads 2 --mlp-dim 8",
    "none": f"train copy --model seq2seq --length 2-4 --symbols 4 {TINY}",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The runs, and a file of pairs."""
    folder, before = tmp_path_factory.mktemp("text"), os.getcwd()
    os.chdir(folder)
    for name, line in RUNS.items():
        result = call(*line.split(), "--out", name, "--workers", "1")
        assert result.code == 0, result
    (folder / "own.tsv").write_text("".join(f"w {n}\tv {n}\n" for n in range(30)), encoding="utf-8")
    assert call("train", "own.tsv", "--dim", "8", "--epochs", "1", "--out", "own", "--workers", "1").code == 0
    os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, made):
    """A working folder with links to the runs, no data set to be found by accident, no network, and small data sets."""
    here = isolated(tmp_path, monkeypatch)
    monkeypatch.setattr("tinyvit.data.text.EXAMPLES", 300)  # by rule: those of the usual size take a second each
    for path in made.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, here / path.name)
    (here / "empty.tsv").write_text("a\tb\n\nc\td\n")
    (here / "no_tab.txt").write_text("a b\n")
    (here / "mixed.tsv").write_bytes("grün\tgreen\n".encode("latin-1"))
    (here / "long.tsv").write_text("a\t" + "b" * 100_000)
    return here


MISTAKES = [
    # training
    ("train numeral", "unknown data set 'numeral'"),
    ("train none.tsv", "none.tsv: No such file or directory"),
    ("train empty.tsv", "empty.tsv, line 2: it is empty, expected source, tab, target: delete it"),
    ("train no_tab.txt", "no_tab.txt, line 1: found no tab, expected source, tab, target"),
    ("train mixed.tsv", "mixed.tsv, line 1: byte 3 (0xfc) is not of UTF-8: save the whole file as UTF-8"),
    ("train long.tsv", "long.tsv, line 1: found 100,002 characters, expected at most 2,000: divide or drop it"),
    ("train own.tsv --length 4", "--length: the pairs of a file are what they are, leave it out"),
    ("train own.tsv --examples 4", "--examples: the pairs of a file are what they are"),
    ("train copy --largest 100", "--largest: the data set copy has no such option, it has length, symbols"),
    ("train copy --length 0", "length is (0, 0): expected a number from 1 to 512, or two such, as 4-16"),
    ("train copy --length 8-4", "length is (8, 4)"),
    ("train copy --length x", "--length: found 'x', expected a length, 16, or the least and the most, 4-16"),
    ("train copy --symbols 53", "symbols is 53: expected a whole number from 2 to 52"),
    ("train sums --largest 1", "largest is 1: expected a whole number from 10"),
    ("train copy --examples 0", "examples is 0: expected a whole number of at least 2"),
    ("train copy --length 1 --symbols 2", "has 2 pairs: expected at least 5, choose larger options"),
    ("train copy --model vit", "--model vit is for pictures: choose one of seq2seq, attention, transformer, gpt, bert"),
    ("train copy --model seq2sec", "no model is named 'seq2sec' in this version: did you mean seq2seq?"),
    ("train digits --model gpt", "--model gpt: a GPT learns from text, such as copy, reverse"),
    ("train --model gpt", "--model gpt: a GPT learns from text"),
    ("train digits --length 4", "--length: digits is not made by rule, as copy, reverse, sort"),
    ("train copy --preset mnist", "the preset mnist is for pictures: choose one of copy, reverse, sort"),
    ("train digits --preset copy", "the preset copy is for text"),
    ("train --preset pairs", "the preset pairs is for"),
    ("train copy --from pairs", "--from is for pictures: leave it out of a run with text"),
    ("train copy --skip-broken", "--skip-broken is for pictures"),
    (
        "train copy --shift 1",
        "shift changes images: a recurrent encoder and decoder with attention has none, expected 0",
    ),
    ("train copy --score none", "score is 'none': expected one of dot, general, additive; without attention"),
    ("train copy --score cosine", "score is 'cosine'"),
    ("train copy --score dot --both", "score is 'dot': it needs states of one width", "general"),
    ("train copy --cell rnn", "cell is 'rnn': expected one of gru, gru_after, lstm"),
    ("train copy --dim 0", "dim is 0"),
    ("train copy --heads 2", "--heads: a recurrent encoder and decoder with attention has no such setting", "--score"),
    ("train numerals --heads 3", "heads 3 does not divide dim 64: choose one that does"),
    ("train numerals --dim 9 --heads 3", "dim is 9: expected an even number"),
    ("train sums --model bert --corrupted 0", "corrupted is 0.0: expected a share of the tokens above 0"),
    ("train sums --patch 2", "--patch: a GPT has no such setting"),
    ("train --resume --out sum --largest 30", "--largest 30 contradicts the saved run in sum, which has 20"),
    ("train --resume --out sum --examples 61", "--examples 61 contradicts the saved run in sum, which has 60"),
    ("train --resume --out none --length 2-5", "--length 2-5 contradicts the saved run in none, which has 2-4"),
    ("train --resume --out sum --length 2-5", "--length: a GPT has no such setting, leave it out"),
    ("train --resume --out own --examples 4", "--examples: a Transformer has no such setting, leave it out"),
    ("train --resume --out pairs --both", "--both contradicts the saved run in pairs, which has False"),
    ("train copy --resume --out sum", "the data set copy contradicts the saved run in sum, which has sums"),
    ("train --resume --out sum --model bert", "--model bert contradicts the saved run in sum, which has gpt"),
    # asking
    ("predict pairs 一千千", "'一千千' is no numeral: did you mean 二千, 2,000?"),
    ("predict pairs 九千亿", "found '亿' at 3, expected one of 零一二三四五六七八九十百千万"),
    ("predict sum 12-3", "'12-3' is no sum: expected two whole numbers, as 12+30"),
    ("predict none abz", "character 3, 'z', is not in the vocabulary: expected one of a b c d"),
    ("predict none ''", "found no text: expected at least one token"),
    ("predict own 'w x'", "word 2, 'x', is not in the vocabulary"),
    ("predict sum 123456789+123456789", "found 19 tokens, the model has places for", "shorten it"),
    ("predict blank 1+2", "found no blank to fill: write _ for each token of the answer, as 1+2=__"),
    ("predict words 三百", "found no blank to fill: write _ for each token of the answer, as 三百→_ _"),
    ("predict blank 1+2=3", "found no blank to fill"),
    ("predict blank 1+2=________", "the model has places for", "shorten it"),
    ("predict blank 1+2=_ --beam 3", "--beam: a BERT fills all blanks at once and does not search, leave it out"),
    ("predict sum 1+2 --beam 0", "--beam: found 0, expected at least 1"),
    ("predict none ab --figure a.png", "--figure: a recurrent encoder and decoder has no attention to draw"),
    ("predict sum 1+2 --figure a.xyz", "cannot draw a.xyz"),
    ("predict sum 1+2 --top 3", "--top: sum has no use for it, since it is a model of text that was trained here"),
    ("predict sum 1+2 --heads 1", "--heads: sum has no use for it"),
    ("predict sum 1+2 --tokens 3", "--tokens: sum has no use for it, since it is no published GPT-2"),
    ("features sum a.png", "a GPT takes text, no pictures: try tinyvit predict"),
    ("probe pairs digits", "takes text, no pictures: try tinyvit predict"),
    ("convert sum out", "takes text, no pictures"),
    ("numerics sum a.png", "takes text, no pictures"),
    ("train digits --from sum", "takes text, no pictures"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_a_mistake_is_one_line(here, mistake):
    line, *words = mistake
    fails(here, shlex.split(line), *words)


def test_the_advice_on_blanks_can_be_followed(here):
    result = call("predict", "words", "三百→_ _")
    assert result.code == 0 and result.out.startswith("三百→") and "_" not in result.out


def test_an_answer_without_a_token_has_no_figure(here):
    p, config, inputs, _ = load_for_use(Path("pairs/model.npz"))
    p["head"]["b"][PADDING] = 1e3  # all that it writes is padding
    tinyvit.save("silent.npz", p, config, dataset=inputs.dataset)
    result = call("predict", "silent.npz", "五", "--figure=a.png")
    assert result.code == 1 and result.err.endswith(
        "\ntinyvit: a.png: the answers have no token, so there is nothing to draw: leave --figure out\n"
    )
    assert not Path("a.png").exists()


def test_what_can_be_answered_is(here):
    """One text that is none stops no other."""
    result = call("predict", "sum", "1+2", "x", "3+4")
    assert result.code == 1 and len(result.out.splitlines()) == 2
    lines = [line for line in result.err.splitlines() if "has no end" not in line]
    assert lines == ["tinyvit: 'x': 'x' is no sum: expected two whole numbers, as 12+30"]


def test_a_longer_question_than_learned_is_said_and_done(here):
    result = call("predict", "none", "abcdabcd", "--json")
    (found,) = json.loads(result.out)
    assert result.code == 0 and found["text"] == "abcdabcd"
    assert "'abcdabcd': 8 symbols, where it learned from 2 to 4: the answer is hardly right" in result.err
    for run, text, words in BEYOND:
        assert words in call("predict", run, text).err


def test_a_longer_question_has_a_longer_answer(here):
    p, config, inputs, _ = load_for_use(Path("none/model.npz"))
    p["head"]["b"][len(SPECIAL)] = 1e3  # all that it writes is the first letter
    tinyvit.save("endless.npz", p, config, dataset=inputs.dataset)
    lengths = [len(line) for line in call("predict", "endless.npz", "a", "abcd", "abcda", "abcdabcd").out.splitlines()]
    assert lengths == [5, 5, 6, 9], "as long as the longest and its end, and as much longer as the question is"


def test_the_question_is_read_with_its_end_and_searched_for_with_a_beam(here):
    """What the command writes is what the model does with a row of the data."""
    p, config, inputs, _ = load_for_use(Path("none/model.npz"))
    rng, dataset, texts = np.random.default_rng(0), inputs.dataset, ["ab", "abcd", "dca", "bb", "cd", "acb"]
    p = trees.map(lambda a: a + rng.normal(size=a.shape).astype(a.dtype), p)
    tinyvit.save("wild.npz", p, config, dataset=dataset)
    source = padded([[*dataset.source.encode(text), END] for text in texts], 5)
    found = []
    for beam in (None, 3):
        rows = model_of(config).views["write"]({"source": source}, p, config, beam=beam)
        found.append([dataset.target.decode(row[row != PADDING]) for row in rows])
        option = ["--beam", beam] if beam else []
        assert call("predict", "wild.npz", *texts, *option).out.splitlines() == found[-1]
    assert found[0] != found[1], "the test shows nothing"


BEYOND = [
    ("none", "a", "'a': 1 symbol, where it learned from 2 to 4"),
    ("sum", "3+20", "'3+20': 20 is not below 20, as all that it learned from is: the answer is hardly right"),
    ("own", "w 1 w 2 w 3", "'w 1 w 2 w 3': 6 tokens, where it learned from at most 2"),
    ("blank", "1_+2=15", "'1_+2=15': this model learned to fill in answers alone"),
]


def test_a_question_as_those_that_were_learned_is_answered_without_a_word(here):
    for run, text in (("none", "abc"), ("pairs", "九百"), ("sum", "3+19"), ("own", "w 1"), ("blank", "1+2=_")):
        lines = call("predict", run, text).err.splitlines()
        assert not [line for line in lines if "has no end" not in line]


def test_other_pairs_than_the_run_was_begun_with(here):
    assert call("eval", "own", "--data-dir", "own.tsv").code == 0, "they have been moved"
    (here / "own.tsv").write_text("".join(f"w {n}\tv {n + 1}\n" for n in range(30)), encoding="utf-8")
    words = "own.tsv has other pairs than this run was begun with: restore them"
    fails(here, ["eval", "own", "--data-dir", "own.tsv"], words, code=1)
    os.remove(here / "own.tsv")
    words = ("the pairs of this run are gone from own.tsv", "name their new place with --data-dir")
    fails(here, ["eval", "own", "--data-dir", "own.tsv"], *words, code=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v["text"].pop("options"), "not a data set of text: expected values for"),
        (lambda v: v["text"]["source"]["tokens"].append("zz"), "tokens is"),
        (lambda v: v["text"]["source"].update(tokens=list(SPECIAL)), "tokens is"),
        (lambda v: v.update(examples=-1), "examples is -1"),
        (lambda v: v.update(text=None), "unknown data set"),
        (lambda v: v.update(text=3), "not a data set of text"),
        (lambda v: v["text"].update(name="none"), "name is 'none': expected one of copy, reverse"),
        (lambda v: v["text"]["options"].update(symbols=5), "model.npz describes copy otherwise than"),
    ],
)
def test_a_damaged_configuration(here, change, words):
    values = json.loads((here / "none" / "config.json").read_text())
    change(values)
    (here / "none" / "config.json").write_text(json.dumps(values))
    fails(here, ["eval", "none"], "config.json", words, code=1)


def test_a_file_without_vocabularies(here):
    p, config = tinyvit.load("none/model.npz")
    tinyvit.save("bare.npz", p, config)
    fails(
        here,
        ["predict", "bare.npz", "ab"],
        "bare.npz does not say what its vocabulary is: give the run's folder",
        code=1,
    )


def test_a_file_beside_no_run_answers_as_the_run_does(here):
    asked = ["12+3", "7+7"]
    expected = call("predict", "sum", *asked)
    shutil.copy("sum/model.npz", "copy.npz")
    assert call("predict", "copy.npz", *asked).out == expected.out
    assert call("predict", "sum/model.npz", *asked).out == expected.out


def test_blanks_are_filled_in_and_all_else_stays(here):
    """The sequence that BERT reads has its end, and the answer is what stands behind the sign."""
    p, config, dataset, _ = open_text_model("blank")
    question = dataset.source.encode("1+2")
    rows = {"1+2=__": [*question, ANSWER, HIDDEN, HIDDEN, END], "1+2=_7": [*question, ANSWER, HIDDEN, 0, END]}
    rows["1+2=_7"][-2] = dataset.target.encode("7")[0]
    for text, row in rows.items():
        filled = fill(np.array([row]), p, config)[0, len(question) + 1 :]
        expected = "1+2=" + dataset.target.decode(filled)
        assert call("predict", "blank", text).out.splitlines() == [expected] and len(expected) == len(text)


def test_a_shared_vocabulary_is_made_again(here):
    result = call("eval", "shared", "--json")
    assert result.code == 0 and json.loads(result.out)["pairs"] == 12
