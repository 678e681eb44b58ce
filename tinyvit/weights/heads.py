"""How many attention heads a published model has, where its arrays do not say: by its name, or by its widths.

Query, key and value are [D, D] in most files, and any number of heads that divides D gives logits. A wrong one gives
wrong logits and no error, so nothing is assumed: what neither a description nor these tables know is asked for.
"""

import re

SIZES = {  # the sizes in the names of timm's models: width and heads
    "tiny": (192, 3),
    "small": (384, 6),
    "medium": (512, 8),
    "betwixt": (640, 10),
    "base": (768, 12),
    "large": (1024, 16),
    "huge": (1280, 16),
    "giant": (1408, 16),
    "gigantic": (1664, 16),
}
OF_WIDTHS = {  # of ViTs with a class token: {(width, the MLPs' width): heads}
    (192, 768): 3,
    (384, 1536): 6,
    (512, 2048): 8,
    (640, 2560): 10,
    (768, 3072): 12,
    (1024, 4096): 16,
    (1152, 4304): 16,
    (1280, 5120): 16,
    (1408, 6144): 16,
    (1664, 8192): 16,
}
PLAIN = re.compile(  # timm's names of models that are ViTs as in the paper
    r"(?:vit|deit)_(?P<size>[a-z]+)_patch\d+(?P<gap>_gap)?_\d+(?:_miil)?(?:_in21k|_sam|_dino|_mae)?"
    r"|flexivit_(?P<flexible>small|base|large)|eva_(?P<eva>large)_patch14_\d+"
)


def architecture(name):
    """(width, heads) of one of timm's plain ViTs by its name, such as "vit_huge_patch14_224"; None of any other."""
    found = PLAIN.fullmatch(name.partition(".")[0])
    size = found and (found["size"] or found["flexible"] or found["eva"])
    if size not in SIZES:
        return None
    width, heads = SIZES[size]
    return width, 16 if found["gap"] and size == "base" else heads  # I-JEPA's has 16 heads, each 48 wide


def heads_of_widths(dim, mlp_dim, class_token):
    """The heads that every known ViT of these widths has; None if there is no such ViT."""
    return OF_WIDTHS.get((dim, mlp_dim)) if class_token else None
