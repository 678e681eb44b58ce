"""What tinyvit is measured against is the same model: the same parameters give the same logits."""

import dataclasses

import numpy as np
import pytest

from tests.reference.compare import random_vit
from tests.training.helpers import CONFIG
from tinyvit.models.vit import vit

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def load(model, p):
    """Copy tinyvit's parameters into the PyTorch model: matrices transposed, the three projections stacked."""

    def put(tensor, array):
        assert tensor.numel() == array.size
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)).reshape(tensor.shape))

    def linear(module, *ps):
        put(module.weight, np.concatenate([p["w"].T for p in ps]))
        put(module.bias, np.concatenate([p["b"] for p in ps]))

    def norm(module, p):
        put(module.weight, p["gamma"])
        put(module.bias, p["beta"])

    linear(model.embed, p["patch"])
    put(model.cls, p["cls"])
    put(model.pos, p["pos"])
    for block, b in zip(model.blocks, p["blocks"], strict=True):
        norm(block.ln1, b["ln1"])
        norm(block.ln2, b["ln2"])
        linear(block.qkv, *(b["msa"][name] for name in "qkv"))
        linear(block.out, b["msa"]["o"])
        linear(block.fc1, b["mlp"]["fc1"])
        linear(block.fc2, b["mlp"]["fc2"])
    norm(model.ln, p["ln"])
    linear(model.head, p["head"])


@pytest.mark.parametrize("class_row", [False, True])
def test_the_contenders_compute_the_same(class_row):
    from tinyvit.bench.torch_vit import ViT

    config = dataclasses.replace(CONFIG, image=6, channels=2)
    p = random_vit(config)
    model = ViT(config, class_row).double()
    load(model, p)
    images = np.random.default_rng(0).standard_normal((5, 6, 6, 2))
    np.testing.assert_allclose(model(torch.from_numpy(images)).detach().numpy(), vit(images, p, config)[0], rtol=1e-10)
