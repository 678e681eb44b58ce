"""Swin and the hybrid in PyTorch, as Hugging Face's transformers has them: what tinyvit is measured against.

As they come: with PyTorch's own attention kernel, in eager mode. Imported only where transformers is installed, by the
contender that it is.
"""

from torch import nn
from transformers import BitBackbone, BitConfig, SwinConfig, SwinForImageClassification

from tinyvit.bench.torch_vit import ViT
from tinyvit.layers.bottleneck import WIDER


class Swin(nn.Module):
    """The model of a SwinConfig; images are [B, H, W, C], as tinyvit's. It has no class row."""

    def __init__(self, config, class_row=False):
        super().__init__()
        sizes = dict(image_size=config.image, num_channels=config.channels, patch_size=config.patch)
        sizes |= dict(embed_dim=config.dim, depths=config.depths, num_heads=config.heads, window_size=config.window)
        sizes |= dict(mlp_ratio=config.mlp_ratio, layer_norm_eps=config.eps, num_labels=config.classes)
        self.model = SwinForImageClassification(SwinConfig(**sizes))

    def forward(self, x):
        return self.model(x.permute(0, 3, 1, 2).contiguous()).logits


class Hybrid(nn.Module):
    """The model of a HybridConfig: transformers' ResNet, then the ViT of torch_vit.py on its map."""

    def __init__(self, config, class_row=False):
        super().__init__()
        widths = [WIDER * config.width * 2**stage for stage in range(len(config.units))]
        sizes = dict(num_channels=config.channels, embedding_size=config.width, hidden_sizes=widths)
        sizes |= dict(depths=config.units, num_groups=config.groups, layer_type="bottleneck")
        sizes |= dict(global_padding="same", embedding_dynamic_padding=True, out_features=[f"stage{len(widths)}"])
        self.resnet, self.vit = BitBackbone(BitConfig(**sizes)), ViT(config.vit, class_row)

    def forward(self, x):
        (features,) = self.resnet(x.permute(0, 3, 1, 2).contiguous()).feature_maps
        return self.vit(features.permute(0, 2, 3, 1))
