"""Write pyramids.json, what other libraries compute with Swins and hybrids: python -m tests.golden.make_pyramids

Run once, where torch, transformers and timm are installed. For each small model the file has the names and the shapes
of the library's own arrays, its config.json where it writes one, and its logits in float64. The numbers in the arrays
are not kept: `arrays` draws them again, in 32nds, which both precisions hold exactly.
"""

import functools
import json
import zlib
from pathlib import Path

import numpy as np

from tests.golden.make_weights import pictures

FILE = Path(__file__).with_name("pyramids.json")
SIDE = 32
SWIN = dict(patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(2, 4), window_size=4)
SHRINKING = dict(patch_size=2, embed_dim=8, depths=(2, 2, 2), num_heads=(1, 2, 4), window_size=8)  # the last map is 4
UNITS = ((), (1, 2))  # of a hybrid's ResNet


def arrays(shapes):
    """{name: float32 array}, from -0.5 to 0.5, each from a seed of its own: the CRC of its name."""
    found = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        found[name] = rng.integers(-16, 17, shape).astype(np.float32) / 32
    return found


def images():
    """float64 [2, SIDE, SIDE, 3]."""
    return pictures(SIDE) / 8


def hugging_face_swin():
    """transformers' SwinForImageClassification."""
    from transformers import SwinConfig, SwinForImageClassification

    return SwinForImageClassification(SwinConfig(image_size=SIDE, num_labels=5, **SWIN))


def timm_swin(**sizes):
    """timm's SwinTransformer."""
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(img_size=SIDE, num_classes=5, **sizes)


def timm_hybrid(units):
    """timm's VisionTransformer on its ResNetV2, as in its vit_base_r50_s16_224, but small."""
    from timm.layers import StdConv2dSame
    from timm.models.resnetv2 import ResNetV2, create_resnetv2_stem
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vision_transformer_hybrid import HybridEmbed

    conv = functools.partial(StdConv2dSame, eps=1e-8)
    if units:
        options = dict(channels=(128, 256), stem_chs=32, num_classes=0, global_pool="", preact=False)
        backbone = ResNetV2(layers=units, stem_type="same", conv_layer=conv, **options)
    else:
        backbone = create_resnetv2_stem(3, 32, stem_type="same", preact=False, conv_layer=conv)
    embed = functools.partial(HybridEmbed, backbone=backbone)
    sizes = dict(patch_size=2 if units else 4, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, num_classes=5)
    return VisionTransformer(img_size=SIDE, embed_layer=embed, **sizes)


MODELS = {
    "swin, Hugging Face": hugging_face_swin,
    "swin, timm": functools.partial(timm_swin, **SWIN),
    "swin, timm, small last map": functools.partial(timm_swin, **SHRINKING),
    "root, timm": functools.partial(timm_hybrid, UNITS[0]),
    "hybrid, timm": functools.partial(timm_hybrid, UNITS[1]),
}


def answer(model, weights):
    """A library's logits in float64, with these weights under the model's own names."""
    import torch

    torch.set_num_threads(1)
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()}, strict=False)
    with torch.no_grad():
        y = model.double().eval()(torch.tensor(images()).permute(0, 3, 1, 2))
    return (y.logits if hasattr(y, "logits") else y).numpy()


def of(make):
    """What the file has of a model."""
    import tempfile

    from safetensors import safe_open
    from safetensors.torch import save_file

    model, described = make(), None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(folder)
            described = json.loads((Path(folder) / "config.json").read_text())
        else:
            save_file(model.state_dict(), file)
        with safe_open(file, "np") as saved:
            shapes = {name: saved.get_slice(name).get_shape() for name in sorted(saved.keys())}
        if described:  # so that the weights get in under the names of the file, which are not those within the model
            from safetensors.numpy import save_file

            save_file(arrays(shapes), file, metadata={"format": "pt"})
            return _entry(shapes, answer(type(model).from_pretrained(folder), {}), described)
    return _entry(shapes, answer(model, arrays(shapes)))


def _entry(shapes, logits, described=None):
    return {"shapes": shapes, "logits": logits.tolist()} | ({"config": described} if described else {})


if __name__ == "__main__":
    found = {name: of(make) for name, make in MODELS.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
