"""The page about real weights: its code runs, on small files in place of the published ones; its errors are real."""

import importlib.util
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.docs.test_pages import ROOT, fences, section
from tests.golden.make_texts import write_byte_pairs
from tests.golden.make_torch_files import FOLDER as TORCH_FILES
from tests.golden.make_weights import FOLDER
from tests.reference.torch_files import Call, Name, save_torch
from tests.weights.tables import SMALL, arrays
from tests.weights.test_texts import GOLDEN, golden
from tinyvit import PRESETS, load_weights
from tinyvit.cli import parser
from tinyvit.errors import CheckpointError

PAGE = (ROOT / "docs/weights.md").read_text(encoding="utf-8")
ELSEWHERE = ("transformers", "timm")  # what a block may need and a machine may lack


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a small model, a small picture, and the names that the page has for large ones."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FOLDER / "classifier", "vit-base-patch16-224")
    np.savez("Ti_16.npz", **arrays("google", SMALL))
    write_byte_pairs(golden("gpt", tmp_path / "gpt2"), GOLDEN["byte pairs"])
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)).save("cat.jpg")
    return tmp_path


def lacks_a_vocabulary(block):
    return "read_tokenizer" in block and importlib.util.find_spec("tokenizers") is None


def needs(block, libraries):
    return any(re.search(rf"^(from|import) {name}\b", block, re.MULTILINE) for name in libraries)


def test_the_code_runs(here):
    """All but the oracle, which is of the real model; and with the small one's number of heads."""
    blocks, names = fences(PAGE), {}
    for block in blocks:
        code = compile(block.replace("heads=12", "heads=3"), "docs/weights.md", "exec")
        if "000000039769.jpg" not in block and not needs(block, ELSEWHERE) and not lacks_a_vocabulary(block):
            exec(code, names)
    assert len(blocks) > 6 and names["config"].classes == 10


@pytest.mark.parametrize("library", ELSEWHERE)
def test_it_opens_elsewhere_live(here, library):
    pytest.importorskip("torch")
    pytest.importorskip(library)
    (block,) = (block for block in fences(PAGE) if needs(block, [library]))
    config = PRESETS["digits"]
    names = {"tinyvit": tinyvit, "config": config, "p": tinyvit.vit_init(np.random.default_rng(0), config)}
    exec(block, names)
    assert sum(parameter.numel() for parameter in names["model"].parameters()) == tinyvit.parameter_count(config)


def test_the_commands_have_these_options():
    lines = re.findall(r"^tinyvit .+$", PAGE, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        parser().parse_args(shlex.split(line, comments=True)[1:])


def test_what_is_wrong_is_said_so(here):
    from safetensors.numpy import load_file, save_file

    good = load_file("vit-base-patch16-224/model.safetensors")
    save_file({name: a for name, a in good.items() if name != "vit.layernorm.weight"}, "missing.safetensors")
    save_file(good | {"vit.extra": np.zeros(3)}, "extra.safetensors")
    save_file(good | {"classifier.weight": np.zeros((7, 25))}, "shape.safetensors")
    save_file(good | {"vit.layernorm.weight": np.where(np.arange(24) == 3, np.nan, 1.0)}, "nan.safetensors")
    save_file({"conv1.weight": np.zeros((3, 3)), "fc.bias": np.zeros(3)}, "other.safetensors")
    (here / "cut.safetensors").write_bytes((FOLDER / "classifier/model.safetensors").read_bytes()[:20_000])
    (here / "pointer.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\n")
    (here / "page.bin").write_bytes(b"<!DOCTYPE html>")
    shutil.copy(TORCH_FILES / "old.pth", here)
    save_torch(here / "whole.pth", {"model": Call(Name("builtins", "eval"), ("1 + 1",))})
    said = re.findall(r"^\| .+? \| `(.+)` \|$", section(PAGE, "What is wrong is said in one line"), re.MULTILINE)
    assert len(said) == 10
    for line in said:
        with pytest.raises(CheckpointError) as error:
            load_weights(re.match(r"[\w.]+", line)[0], heads=3)
        assert str(error.value) == line
