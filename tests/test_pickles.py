"""Pickles are read as data: what Python would run is refused by its name, and what would fill memory by its size."""

import datetime
import pickle
import struct
import tracemalloc

import pytest

from tests.reference.forgery import Trap
from tests.reference.torch_files import Call, Made, Name, pickled
from tinyvit import pickles
from tinyvit.pickles import LARGEST, Record, read_pickle

TABLE = {"shop.Thing": Record, "shop.pair": lambda a, b: (b, a), "shop.seven": 7, "builtins.set": Record}
CONTENT = {
    **{"none": None, "yes": True, "no": False, "whole": [0, 255, 256, 65536, -1, 2**31, -(2**63), 2**200]},
    **{"float": 1.5, "text": "né" * 200, "bytes": b"\x00\xff", "long bytes": b"x" * 300},
    **{"tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "inner": {"a": {"b": []}, 3: "three"}},
}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_python_writes_is_read(protocol):
    same = ["shared"]
    found = read_pickle(pickle.dumps(CONTENT | {"one": same, "two": same}, protocol), TABLE)
    assert found == CONTENT | {"one": same, "two": same} and found["one"] is found["two"]


def test_a_set_is_read_as_a_list():
    assert read_pickle(pickle.dumps({"a": {"b"}}, 4), {}) == {"a": ["b"]}


def test_names_stand_for_what_the_table_says():
    content = {
        "seven": Name("shop", "seven"),
        "pair": Call(Name("shop", "pair"), (1, 2)),
        "thing": Made(Call(Name("shop", "Thing"), (1,)), {"x": 2}),
    }
    found = read_pickle(pickled(content), TABLE)
    assert found["seven"] == 7 and found["pair"] == (2, 1)
    assert found["thing"].arguments == (1,) and found["thing"].state == {"x": 2}
    assert read_pickle(b"\x80\x02X\x01\x00\x00\x00aQ.", {}, lambda pid: pid * 3) == "aaa"


def call(module, name, *arguments):
    return pickled(Call(Name(module, name), arguments))


def test_what_would_run_is_not_run(tmp_path):
    canary = tmp_path / "sprung"
    shell = f"touch {canary}"
    evil = {
        "a reduce": pickle.dumps(Trap(str(canary))),
        "a nested one": pickle.dumps({"model": {"a": [(Trap(str(canary)),)]}}, 2),
        "os.system": call("os", "system", shell),
        "posix.system": call("posix", "system", shell),
        "eval": call("builtins", "eval", f"open({str(canary)!r}, 'w')"),
        "exec in Python 2": call("__builtin__", "exec", f"open({str(canary)!r}, 'w')"),
        "getattr": call("builtins", "getattr", Name("os", "path"), "join"),
        "a call of a call": pickled(Call(Call(Name("builtins", "getattr"), (1, "x")), ())),
        "a name with dots": call("os.path", "os.system", shell),
        "a state": pickled(Made(Call(Name("io", "FileIO"), ()), {"a": 1})),
        "a class of one's own": pickle.dumps(datetime.date(2020, 1, 1), 2),
        "an old class": b"(S'" + shell.encode() + b"'\nios\nsystem\n.",
        "an object": b"(cos\nsystem\nX\x02\x00\x00\x00lso.",
        "an extension": b"\x80\x02\x82\x01.",
        "in protocol 4": pickle.dumps(Trap(str(canary)), 4),
        "keywords": b"\x80\x04cos\nsystem\n)}\x92.",
    }
    for name, data in evil.items():
        with pytest.raises(ValueError) as caught:
            read_pickle(data, TABLE)
        assert "\n" not in str(caught.value), name
        assert "which is not" in str(caught.value), name
    assert not canary.exists()


def test_a_call_of_what_is_no_function():
    for data in (pickled(Call("text", (1,))), pickled(Call(Name("shop", "seven"), ())), b"\x80\x02cshop\nThing\nNR."):
        with pytest.raises(ValueError, match="damaged: a call of what is no function"):
            read_pickle(data, TABLE)


LAUGHS = b"]\x94" + b"".join(b"](" + b"h%c" % depth * 10 + b"e\x94" for depth in range(12))  # as text 10**12 letters
BOMBS = {
    "a place in the memo": b"\x80\x02Nr" + struct.pack("<I", 2**31) + b"j" + struct.pack("<I", 2**30) + b".",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
    "a byte array": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "a number": b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b".",
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b".",
    "a text": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"a.",
    "lists": b"\x80\x02" + b"]" * (LARGEST + 1),
    "a deep tuple as a key": b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.",
    "a great number as a key": b"\x80\x02}" + b"\x8a\x09" + bytes(8) + b"\x01" + b"Ns.",
    "a great negative number as a key": b"\x80\x02}" + b"\x8a\x09" + bytes(8) + b"\xff" + b"Ns.",
    "a name of ten lists, each ten times the next": b"\x80\x04" + LAUGHS + b"\x8c\x01a\x93.",
    "a list as a key": b"\x80\x02}]Ns.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_fill_memory_or_the_stack(name):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            read_pickle(BOMBS[name], TABLE)
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_a_pickle_larger_than_any_is():
    with pytest.raises(ValueError, match=f"has {LARGEST + 1} bytes, expected at most {LARGEST}"):
        read_pickle(b"." * (LARGEST + 1), {})


def test_more_instructions_than_any_file_has(monkeypatch):
    monkeypatch.setattr(pickles, "MOST_STEPS", 100)
    assert len(read_pickle(b"\x80\x02(" + b"N" * 96 + b"t.", {})) == 96
    with pytest.raises(ValueError, match="more than 100 instructions"):
        read_pickle(b"\x80\x02" + b"N" * 100 + b".", {})


def test_a_deep_pickle_is_read_as_a_flat_one():
    found = read_pickle(b"\x80\x02" + b"]" + b"]" * 100_000 + b"a" * 100_000 + b".", {})
    depth = 0
    while found:
        (found,), depth = found, depth + 1
    assert depth == 100_000


@pytest.mark.parametrize("length", range(0, 200, 3))
def test_a_pickle_that_ends_early(length):
    with pytest.raises(ValueError):
        read_pickle(pickle.dumps(CONTENT, 2)[:length], TABLE | {"_codecs.encode": Record})


WRONG = [
    b"0",
    b"e",
    b"t",
    b"u",
    b"\x85",
    b"\x86",
    b"\x87",
    b"a",
    b"s",
    b"R",
    b"b",
    b"h\x05",
    b"Q",
    b"\x93",
    b"\x90",
    b"(",
]
WRONG += [b"NNs", b"NNa", b"(NNu", b"](Ne(Nu", b"}N(e", b"N(N\x90", b"NN", b"X\x00\x00\x00\x00X\x00\x00\x00\x00\x93"]


@pytest.mark.parametrize("code", WRONG)
def test_instructions_without_what_they_need(code):
    with pytest.raises(ValueError) as caught:
        read_pickle(b"\x80\x04" + code + b".", TABLE)
    assert "\n" not in str(caught.value)
