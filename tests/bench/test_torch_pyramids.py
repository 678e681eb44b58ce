"""What Swin and the hybrid are measured against is the same model: the same parameters give the same logits."""

import numpy as np
import pytest

from tests.bench.test_torch_vit import load
from tests.reference.compare import randomised
from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.hybrid import HybridConfig, hybrid, hybrid_init
from tinyvit.models.swin import SwinConfig, swin
from tinyvit.ops.convolution import oihw_from_hwio
from tinyvit.weights.load import load_weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

SWIN = SwinConfig(image=32, patch=2, dim=8, depths=(2, 2), heads=(2, 4), window=4, classes=5)
HYBRID = HybridConfig(
    ViTConfig(image=1, patch=1, dim=16, depth=2, heads=2, mlp_dim=24, classes=5),
    image=30, units=(1, 2), width=8, groups=4, group_eps=1e-5, standardise="var",
)  # fmt: skip


def answer(model, images):
    with torch.no_grad():
        return model.double().eval()(torch.from_numpy(images)).numpy()


def test_swin(tmp_path):
    from tinyvit.bench.torch_pyramids import Swin

    torch.manual_seed(0)
    model = Swin(SWIN)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    torch.save(model.model.state_dict(), tmp_path / "model.pth")
    p, config, _ = load_weights(tmp_path / "model.pth", image=32)
    assert config == SWIN
    p = trees.map(lambda a: a.astype("float64"), p)
    images = np.random.default_rng(0).standard_normal((3, 32, 32, 3))
    np.testing.assert_allclose(answer(model, images), swin(images, p, config)[0], rtol=1e-9)


@pytest.mark.parametrize("class_row", [False, True])
def test_hybrid(class_row):
    from tinyvit.bench.torch_pyramids import Hybrid

    p, model = randomised(hybrid_init(None, HYBRID)), Hybrid(HYBRID, class_row).double()
    load(model.vit, p)

    def put(name, array):
        model.resnet.get_parameter(name).data.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def convolution(name, norm, p):
        put(f"{name}.weight", oihw_from_hwio(p["w"]))
        put(f"{norm}.weight", p["gn"]["gamma"])
        put(f"{norm}.bias", p["gn"]["beta"])

    convolution("bit.embedder.convolution", "bit.embedder.norm", p["resnet"]["stem"])
    for s, units in enumerate(p["resnet"]["stages"]):
        for u, unit in enumerate(units):
            layer = f"bit.encoder.stages.{s}.layers.{u}"
            for i in (1, 2, 3):
                convolution(f"{layer}.conv{i}", f"{layer}.norm{i}", unit[f"conv{i}"])
            if "proj" in unit:
                convolution(f"{layer}.downsample.conv", f"{layer}.downsample.norm", unit["proj"])
    images = np.random.default_rng(0).standard_normal((3, 30, 30, 3))
    np.testing.assert_allclose(answer(model, images), hybrid(images, p, HYBRID)[0], rtol=1e-9)
