"""Pairs of sequences: by rule, from a file, as numbers and back."""

import dataclasses
import json

import numpy as np
import pytest

from tinyvit.data.pairs import read_pairs
from tinyvit.data.rules import RULES
from tinyvit.data.text import EXAMPLES, TESTED, TextDataset, is_text, joined, read_text, with_one_vocabulary
from tinyvit.data.vocabulary import join, split, vocabulary_of
from tinyvit.errors import DataError, UsageError
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING, SPECIAL, SPECIAL_JOINED

FEW = {name: {"examples": 300} for name in RULES} | {"sort": {"examples": 300, "length": (2, 5), "symbols": 4}}
KNOWN = {  # name: question and answer that nobody would doubt
    "copy": ("abca", "abca"),
    "reverse": ("abca", "acba"),
    "sort": ("cabz", "abcz"),
    "numerals": ("三千零五十", "three thousand and fifty"),
    "numerals-back": ("twenty-one", "二十一"),
    "sums": ("12+30", "42"),
}


def texts(loaded, part):
    source, target = loaded.dataset.source, loaded.dataset.target
    return [(source.decode(a), target.decode(b)) for a, b in zip(part["source"], part["target"], strict=True)]


@pytest.mark.parametrize("name", RULES)
def test_every_pair_is_by_its_rule_and_none_is_learned_and_tested(name):
    loaded, rule = read_text(name, **FEW[name]), RULES[name]
    train, test = texts(loaded, loaded.train), texts(loaded, loaded.test)
    for source, target in (*train, *test):
        assert rule.write(rule.read(source)) == (source, target)
    sources = [source for source, _ in (*train, *test)]
    assert len(set(sources)) == len(sources), "a question stands once, and on one side"
    assert len(train) == FEW[name]["examples"] and len(test) == 60
    assert rule.write(rule.read(KNOWN[name][0])) == KNOWN[name]
    for side in ("source", "target"):
        array = np.concatenate([loaded.train[side], loaded.test[side]])
        assert ((array == END).sum(axis=1) == 1).all()
        ends = (array == END).argmax(axis=1)
        assert (array[np.arange(array.shape[1]) > ends[:, None]] == PADDING).all()
        assert (array[np.arange(array.shape[1]) < ends[:, None]] >= len(SPECIAL)).all()
        assert array.shape[1] == ends.max() + 1 == getattr(loaded.dataset, f"{side}_length")


def test_everyone_has_the_same_pairs():
    first, second = (read_text("copy", examples=50, length=4) for _ in range(2))
    np.testing.assert_array_equal(first.train["source"], second.train["source"])
    assert first.fingerprint == second.fingerprint == "e6b02650719c19c2"


def test_lengths_symbols_and_sizes_are_options():
    loaded = read_text("copy", examples=400, length=(2, 6), symbols=3)
    lengths = (loaded.train["source"] > END).sum(axis=1)
    assert set(lengths) == {2, 3, 4, 5, 6} and len(loaded.dataset.source.tokens) == 3 + len(SPECIAL)
    few = read_text("copy", examples=25, length=(1, 3), symbols=3)  # of 39 that there are
    assert len(few.train["source"]) == 25 and len(few.test["source"]) >= 5
    assert read_text("copy", examples=50, length=5).train["source"].shape == (50, 6)
    loaded = read_text("sums")
    numbers = [sum(RULES["sums"].read(source)) for source, _ in texts(loaded, loaded.train)]
    assert max(numbers) <= 198 and len(numbers) == 8000 and "8,000 to learn from, in place of 32,000" in loaded.notes[0]


def test_small_numbers_are_not_rare():
    loaded = read_text("numerals", examples=5000)
    digits = [len(str(RULES["numerals"].read(source))) for source, _ in texts(loaded, loaded.train)]
    counts = np.bincount(digits)
    assert counts[3] > 50 and counts[4] > 50 and counts[6] > 3000


def test_there_is_a_usual_number_of_examples():
    usual = read_text("reverse")
    assert len(read_text("copy", length=4).train["source"]) < EXAMPLES == len(usual.train["source"])
    assert len(usual.test["source"]) == TESTED


def test_letters_are_sorted_as_the_alphabet_has_them_small_ones_first():
    assert RULES["sort"].write("aBbAz") == ("aBbAz", "abzAB")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("copy", {"largest": 5}, "--largest: the data set copy has no such option, it has length, symbols"),
        ("sums", {"length": 5}, "--length: the data set sums has no such option, it has largest"),
        ("copy", {"length": (5, 3)}, r"length is \(5, 3\): expected a number from 1 to 512, or two such, as 4-16"),
        ("copy", {"length": 0}, "expected a number from 1 to 512"),
        ("copy", {"length": "4"}, "length is '4'"),
        ("copy", {"symbols": 1}, "symbols is 1: expected a whole number from 2 to 52"),
        ("copy", {"symbols": 2.0}, "symbols is 2.0: expected"),
        ("sums", {"largest": 9}, "largest is 9: expected a whole number from 10 to 100,000,000"),
        ("numerals", {"largest": 10**9}, "expected a whole number from 10 to 100,000,000"),
        ("copy", {"examples": 1}, "examples is 1: expected a whole number of at least 2"),
        ("copy", {"examples": 10.0}, "examples is 10.0: expected"),
        ("copy", {"length": 1, "symbols": 2}, "has 2 pairs: expected at least 5, choose larger options"),
        ("numeral", {}, "unknown data set 'numeral': did you mean numerals?"),
        ("pairs.tsv", {"length": 3}, "--length: the pairs of a file are what they are, leave it out"),
        ("pairs.tsv", {"examples": 3}, "--examples: the pairs of a file"),
    ],
)
def test_options_that_are_none(name, options, words):
    with pytest.raises(UsageError, match=words):
        read_text(name, **options)


@pytest.mark.parametrize(
    ("name", "question", "words"),
    [
        ("numerals", "一千千", "'一千千' is no numeral: did you mean 二千, 2,000"),
        ("numerals-back", "twenty three", "is no numeral: did you mean twenty-three, 23"),
        ("sums", "12-30", r"'12-30' is no sum: expected two whole numbers, as 12\+30"),
        ("sums", "012+30", "is no sum"),
        ("copy", "abz", "character 3, 'z', is not in the vocabulary: expected one of a b c d e f g h i j"),
        ("copy", "", "found no text: expected at least one token"),
        ("sums", "1234567890+1", "is no sum"),
    ],
)
def test_questions_that_are_none(name, question, words):
    with pytest.raises(DataError, match=words):
        read_text(name, examples=60).dataset.question(question)


def test_question_and_answer_as_one_sequence():
    loaded = read_text("sums", examples=200)
    one = joined(loaded)
    tokens, vocabulary = one.train["tokens"], one.dataset.source
    assert vocabulary.tokens == (*SPECIAL_JOINED, "+", *"0123456789") == one.dataset.target.tokens
    assert tokens.shape == (200, loaded.dataset.source_length + loaded.dataset.target_length)
    for row, (source, target) in zip(tokens, texts(loaded, loaded.train), strict=True):
        place = row.tolist().index(ANSWER)
        assert vocabulary.decode(row[:place]) == source and one.dataset.target.decode(row[place + 1 :]) == target
        assert (row[place + 1 :] == END).sum() == 1 and not (row == HIDDEN).any()


def test_characters_and_words_may_stand_in_one_vocabulary():
    loaded = read_text("numerals", examples=100, largest=1000)
    one = with_one_vocabulary(loaded)
    assert one.dataset.source.tokens == one.dataset.target.tokens
    assert (one.dataset.source.words, one.dataset.target.words) == (False, True)
    assert texts(one, one.train) == texts(loaded, loaded.train)
    row = joined(loaded).train["tokens"][0].tolist()
    dataset = joined(loaded).dataset
    place = row.index(ANSWER)
    assert (dataset.source.decode(row[:place]), dataset.target.decode(row[place + 1 :])) == texts(loaded, loaded.train)[
        0
    ]


def test_a_vocabulary_there_and_back():
    vocabulary = vocabulary_of(["twenty-one", "one  hundred"], words=True)
    assert vocabulary.tokens == (*SPECIAL, "hundred", "one", "twenty-")
    numbers = vocabulary.encode("one hundred twenty-one")
    assert vocabulary.decode([*numbers, END, 3, PADDING]) == "one hundred twenty-one"
    assert vocabulary.pieces([4, END, 5]) == vocabulary.pieces([4, PADDING, 5]) == ["one"]
    assert split("ab c", words=False) == ["a", "b", " ", "c"] and join(["a", " "], words=False) == "a "
    for text in ("minus -5 - 3", "a re-used x-", "-- b - c-d-e", "one - two-three"):
        assert join(split(text, words=True), words=True) == text
    with pytest.raises(
        DataError, match="word 2, '<end>', is not in the vocabulary: expected one of hundred one twenty-"
    ):
        vocabulary.encode("one <end>")
    many = vocabulary_of(["".join(map(chr, range(97, 117)))], words=False)
    with pytest.raises(DataError, match=r"one of a b c d e f g h i j k l \.\.\. \(20 in all\)"):
        many.encode("A")


def test_blanks_are_hidden_tokens():
    vocabulary = joined(read_text("sums", examples=60)).dataset.source
    assert vocabulary.encode("1_", blanks=True)[1] == HIDDEN
    with pytest.raises(DataError, match="'_', is not in the vocabulary"):
        vocabulary.encode("1_")


@pytest.mark.parametrize("name", RULES)
def test_a_description_there_and_back(name):
    for loaded in (read_text(name, **FEW[name]), joined(read_text(name, **FEW[name]))):
        values = json.loads(json.dumps(dataclasses.asdict(loaded.dataset)))
        assert TextDataset.from_dict(values) == loaded.dataset


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": None}, "not a vocabulary: expected tokens and words"),
        ({"source": {"tokens": "abc", "words": False}}, "expected a list of tokens"),
        ({"source": {"tokens": ["a"], "words": False}}, "expected <padding>, <start>, <end>, then each token once"),
        ({"source": {"tokens": [*SPECIAL, "a", "a"], "words": False}}, "then each token once"),
        ({"source": {"tokens": [*SPECIAL, 5], "words": False}}, "expected tokens that are text"),
        ({"source": {"tokens": [*SPECIAL, "a"], "words": 1}}, "whether they are words"),
        ({"source_length": 1}, "source_length is 1: expected a whole number from 2"),
        ({"target_length": "9"}, "target_length is '9'"),
        ({"name": 3}, "expected a name and options"),
        ({"name": "copi"}, "name is 'copi': did you mean copy"),
        ({"name": "sums"}, "--length: the data set sums has no such option"),
        ({"options": {"length": [1, 2, 3], "symbols": 10}}, r"length is \(1, 2, 3\): expected a number from 1"),
        ({"options": {"length": [16, 16]}}, "expected a value for each option of copy"),
        ({"more": 3}, "not a data set of text: expected values for name, options"),
        ({"source": {"tokens": [*SPECIAL_JOINED, "a"], "words": False}}, "one vocabulary for question and answer"),
    ],
)
def test_a_description_that_is_none(change, words):
    values = dataclasses.asdict(read_text("copy", examples=60).dataset) | change
    with pytest.raises(UsageError, match=words):
        TextDataset.from_dict(values)


def write(path, lines, encoding="utf-8", end="\n"):
    path.write_bytes(end.join(lines).encode(encoding) + end.encode())
    return path


LINES = [f"wort {n}\tword number {n}" for n in range(40)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_pairs(tmp_path, encoding, end):
    loaded = read_text(write(tmp_path / "own.tsv", LINES, encoding, end))
    assert loaded.dataset.name == "own" and loaded.dataset.options == {} and loaded.dataset.rule is None
    train, test = texts(loaded, loaded.train), texts(loaded, loaded.test)
    assert sorted(train + test) == sorted(tuple(line.split("\t")) for line in LINES) and len(test) == 4
    assert loaded.notes == ("tokens: the source's are words and the target's are words",)
    assert is_text(tmp_path / "own.tsv") and is_text("a.TXT") and is_text("sums") and not is_text("photos")


def test_pairs_of_one_source_stay_together_and_other_lines_change_no_side(tmp_path):
    lines = [f"字{n % 20}\t{n}" for n in range(60)]
    train, test = read_pairs(write(tmp_path / "a.tsv", lines))
    assert not {source for source, _ in train} & {source for source, _ in test}
    loaded = read_text(tmp_path / "a.tsv")
    assert not loaded.dataset.source.words and len(loaded.test["source"]) == len(test)
    assert {source for source, _ in test} == {"字10", "字15"}, "neither the first nor the last"
    _, turned = read_pairs(write(tmp_path / "b.tsv", lines[::-1]))
    assert sorted(turned) == sorted(test)
    _, more = read_pairs(write(tmp_path / "b.tsv", [*lines, *(f"新{n}\t{n}" for n in range(30))]))
    assert {source for source, _ in more} >= {"字10", "字15"}, "there are more to test, and these are still among them"


def test_sources_that_are_the_same_words_stay_together(tmp_path):
    lines = [f"wort  {n % 20}\t{n}" if n < 20 else f"wort {n % 20}\t{n}" for n in range(40)]
    loaded = read_text(write(tmp_path / "a.tsv", lines))
    train, test = ({source for source, _ in texts(loaded, part)} for part in (loaded.train, loaded.test))
    assert len(train) == 18 and len(test) == 2 and not train & test


@pytest.mark.parametrize("word", ["<end>", "<answer>"])
def test_a_word_that_is_a_special_token(tmp_path, word):
    with pytest.raises(DataError, match=f"the word {word} is a special token of every vocabulary: write it otherwise"):
        read_text(write(tmp_path / "a.tsv", [*LINES, f"a {word} b\tc"]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", r"line 3: it is empty, expected source, tab, target: delete it"),
        ("   ", "line 3: it is empty"),
        ("one two", "line 3: found no tab, expected source, tab, target"),
        ("a\tb\tc", "line 3: found 2 tabs, expected source, tab, target"),
        ("\tb", "line 3: source is empty, expected source, tab, target"),
        ("a\t ", "line 3: target is empty"),
        ("a\t" + "b" * 100_000, "line 3: found 100,002 characters, expected at most 2,000: divide or drop it"),
    ],
)
def test_lines_that_are_no_pair(tmp_path, line, words):
    with pytest.raises(DataError, match=words):
        read_text(write(tmp_path / "own.tsv", [*LINES[:2], line, *LINES[2:]]))


def test_a_file_of_mixed_encodings(tmp_path):
    path = write(tmp_path / "own.tsv", LINES)
    path.write_bytes(path.read_bytes() + "grün\tgreen\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line 41: byte 3 \(0xfc\) is not of UTF-8: save the whole file as UTF-8"):
        read_text(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"none\.tsv: No such file"):
        read_text(tmp_path / "none.tsv")
    with pytest.raises(DataError, match="found 9 different sources, expected at least 10: add pairs"):
        read_text(write(tmp_path / "own.tsv", LINES[:9]))
    (tmp_path / "own.tsv").write_bytes(b"")
    with pytest.raises(DataError, match="found 0 different sources"):
        read_text(tmp_path / "own.tsv")
