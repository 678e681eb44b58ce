"""Write weights/, small models as other libraries save them, with their answers: python -m tests.golden.make_weights

Run once, where torch, transformers, safetensors and timm are installed; the files are committed, so that no test needs
these libraries. NAME/model.safetensors, and config.json where the library writes one, are its own files, of float64 or
float32; answers.npz has the pictures, in eighths so that both precisions hold them exactly, and for each model
NAME/float64 and NAME/float32, what the library computes from them.
"""

import copy
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).with_name("weights")
ANSWERS = FOLDER / "answers.npz"
SIZES = dict(image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=2, num_attention_heads=3)
SIZES |= dict(intermediate_size=40)
SMALLER = SIZES | dict(image_size=8, patch_size=4, hidden_size=12, num_hidden_layers=1, intermediate_size=20)
TIMM = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, mlp_ratio=1.67, num_classes=7)
PARTS = {  # our name for what timm's copy of a model is made of: torch's TransformerEncoder has the same parts
    "self_attn.in_proj_": "attn.qkv.",
    "self_attn.out_proj.": "attn.proj.",
    "linear1.": "mlp.fc1.",
    "linear2.": "mlp.fc2.",
    "norm1.": "norm1.",
    "norm2.": "norm2.",
}


def pictures(size):
    """Images [2, size, size, 3], int8, in eighths."""
    return np.random.default_rng(0).integers(-16, 17, (2, size, size, 3), dtype=np.int8)


def perturbed(model, noise=0.2):
    """The model with noise on every parameter: no bias is 0, no gamma 1, and attention is not uniform."""
    import torch

    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
    return model.eval()


def classifier(**sizes):
    """transformers' ViTForImageClassification."""
    from transformers import ViTConfig, ViTForImageClassification

    return perturbed(ViTForImageClassification(ViTConfig(**SIZES | dict(num_labels=7) | sizes)))


def features():
    """transformers' ViTModel, with its pooler."""
    from transformers import ViTConfig, ViTModel

    return perturbed(ViTModel(ViTConfig(**SMALLER)))


def timm_model(**sizes):
    """timm's VisionTransformer."""
    from timm.models.vision_transformer import VisionTransformer

    return perturbed(VisionTransformer(**TIMM | sizes))


def answer(model, images, dtype):
    """What a model, cast in place, makes of images [B, H, W, C]: logits, or a ViTModel's pooled features."""
    import torch

    torch.set_num_threads(1)  # for so small a model more threads only wait, and the sums keep one order
    kind = getattr(torch, dtype)
    with torch.no_grad():
        y = model.to(kind)(torch.tensor(np.asarray(images), dtype=kind).permute(0, 3, 1, 2).contiguous())
    y = y.get("logits", y.get("pooler_output")) if hasattr(y, "get") else y
    return y.numpy()


def answers(models):
    """The arrays of answers.npz, by name."""
    found = {"images": pictures(32), "small": pictures(8)}
    for name, model in models.items():
        images = found["small" if name == "features" else "images"] / 8
        for dtype in ("float32", "float64"):
            found[f"{name}/{dtype}"] = answer(copy.deepcopy(model), images, dtype)
    return found


def save_timm(model, file):
    """A state dict as timm's files have it."""
    from safetensors.torch import save_file

    save_file(model.state_dict(), file)


def torch_model():
    """A ViT of torch's own layers, whose blocks are its TransformerEncoder's."""
    import torch
    from torch import nn

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            options = dict(dim_feedforward=40, dropout=0.0, activation="gelu", layer_norm_eps=1e-6)
            layer = nn.TransformerEncoderLayer(24, 3, **options, batch_first=True, norm_first=True)
            self.patch_embed = nn.Conv2d(3, 24, kernel_size=8, stride=8)
            self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, 24)), nn.Parameter(torch.zeros(1, 17, 24))
            self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.norm, self.head = nn.LayerNorm(24, eps=1e-6), nn.Linear(24, 7)

        def forward(self, images):
            z = self.patch_embed(images).flatten(2).transpose(1, 2)
            z = torch.cat([self.cls_token.expand(len(z), 1, 24), z], dim=1) + self.pos_embed
            return self.head(self.norm(self.blocks(z))[:, 0])

    return perturbed(ViT())


def timm_names(state):
    """The state dict of torch_model under timm's names."""
    found = {}
    for name, tensor in state.items():
        name = name.replace("blocks.layers.", "blocks.").replace("patch_embed.", "patch_embed.proj.")
        for theirs, ours in PARTS.items():
            name = name.replace(theirs, ours)
        found[name] = tensor
    return found


def make():
    """Write all of it."""
    models = {"classifier": classifier().double(), "features": features(), "timm": timm_model()}
    FOLDER.mkdir(exist_ok=True)
    for name, model in models.items():
        if name == "timm":
            (FOLDER / name).mkdir(exist_ok=True)
            save_timm(model, FOLDER / name / "model.safetensors")
        else:
            model.save_pretrained(FOLDER / name)
    np.savez_compressed(ANSWERS, **answers(models))


if __name__ == "__main__":
    make()
