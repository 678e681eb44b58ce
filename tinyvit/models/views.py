"""What can be looked at inside the models, and used of them without their heads: `Model.views`.

    attention   (c, config, last=False)   -> the attention maps of each block, [B, h, T, S]; of the last block alone
    patterns    (config)                  -> for each block, which keys its queries may look at, [T, T]
    windows     (config)                  -> for each block, the side of its windows and their shift, or None
    pool        (config)                  -> which tokens the head reads, one of READOUTS
    grid        (config)                  -> rows and columns of the patches
    filters     (p, config)               -> w [k*k*C, D], the filters that look at the pixels
    blocks      (config)                  -> how many there are
    cut         (p, config, blocks)       -> p, config of a model that ends behind so many; its head means nothing
    stream      (c, config)               -> what the readout is given, [B, T, D], or the class token's row alone
    encoder     (config)                  -> the ViTConfig of a model whose maps are all over one grid of patches

Maps of a pyramid are over fewer tokens from stage to stage, each of which stands for four of the stage before.
"""

from collections.abc import Callable
from dataclasses import replace

from tinyvit.layers.attend import allowed_pairs, attention_map
from tinyvit.layers.window_attention import window_attention_map
from tinyvit.ops.convolution import matrix_from_kernel
from tinyvit.ops.patterns import windows
from tinyvit.ops.standardise import standardise


def block_maps(c, config, *, last=False):
    """The maps of a ViT's blocks, whatever their patterns."""
    return [attention_map(block["msa"]["att"]) for block in c["blocks"][-1 if last else 0 :]]


def vit_patterns(config):
    """The pattern of every block of a ViT."""
    kind = (config.attention, config.grid_size, config.class_token, config.reach)
    return [allowed_pairs(*kind, number) for number in range(config.depth)]


def _vit_cut(p, config, blocks):
    of_each = ("blocks", "pos") if config.position_at == "layers" else ("blocks",)
    return p | {name: p[name][:blocks] for name in of_each}, replace(config, depth=blocks)


def _vit_stream(c, config):
    return c["readout"]["class_row"]["z"] if config.pool == "class" else c["readout"]["z"]


def _hybrid_cut(p, config, blocks):
    p, vit = _vit_cut(p, config.vit, blocks)
    return p, replace(config, vit=vit)


def _root_filters(p, config):
    """The stem's kernels as they are used: standardised."""
    w, _ = standardise(p["resnet"]["stem"]["w"], kind=config.standardise)
    return w.reshape(-1, w.shape[-1])


def swin_maps(c, config, *, last=False):
    """The maps of Swin's blocks, each over all tokens of its stage: windows put back where they stood."""
    blocks = _swin_blocks(config)[-1 if last else 0 :]
    return [window_attention_map(c["stages"][n]["blocks"][i]["msa"], config.shift_of(n, i)) for n, i in blocks]


def swin_patterns(config):
    """The windows of Swin's blocks, as patterns."""
    sides = [config.sides[n] for n, _ in _swin_blocks(config)]
    return [windows(side, side, *sizes) for side, sizes in zip(sides, swin_windows(config), strict=True)]


def swin_windows(config):
    """The side M of each block's windows, and by how much they are displaced."""
    return [(config.window_of(n), config.shift_of(n, i)) for n, i in _swin_blocks(config)]


def _swin_blocks(config):
    """(stage, block in it) of every block."""
    return [(n, i) for n, depth in enumerate(config.depths) for i in range(depth)]


def _swin_cut(p, config, blocks):
    """The stages up to that block, under the norm of its MLP in place of the last norm, which fits its width."""
    depths, left = [], blocks
    for depth in config.depths:
        depths.append(min(depth, left))
        left -= depths[-1]
        if not left:
            break
    stages = [{"blocks": stage["blocks"][:n]} for stage, n in zip(p["stages"], depths, strict=False)]
    for stage, whole in zip(stages[:-1], p["stages"], strict=False):
        stage["merging"] = whole["merging"]
    config = replace(config, depths=tuple(depths), heads=config.heads[: len(depths)])
    head = p["head"] | {"w": p["head"]["w"][: config.widths[-1]]}
    return p | {"stages": stages, "ln": stages[-1]["blocks"][-1]["ln2"], "head": head}, config


def _swin_stream(c, config):
    B, H, W, C = c["map"].shape
    return c["map"].reshape(B, H * W, C)


VIT: dict[str, Callable] = {
    "attention": block_maps,
    "patterns": vit_patterns,
    "windows": lambda config: [None] * config.depth,  # their patterns are of many kinds
    "pool": lambda config: config.pool,
    "grid": lambda config: config.grid_size,
    "filters": lambda p, config: p["patch"]["w"],
    "blocks": lambda config: config.depth,
    "cut": _vit_cut,
    "stream": _vit_stream,
    "encoder": lambda config: config,
}
HYBRID: dict[str, Callable] = VIT | {
    "patterns": lambda config: vit_patterns(config.vit),
    "windows": lambda config: [None] * config.vit.depth,
    "pool": lambda config: config.vit.pool,
    "grid": lambda config: config.vit.grid_size,
    "filters": _root_filters,
    "blocks": lambda config: config.vit.depth,
    "cut": _hybrid_cut,
    "stream": lambda c, config: _vit_stream(c, config.vit),
    "encoder": lambda config: config.encoder,
}
CONVSTEM: dict[str, Callable] = HYBRID | {
    "filters": lambda p, config: matrix_from_kernel(p["stem"][0]["w"]),
}
SWIN: dict[str, Callable] = {
    "attention": swin_maps,
    "patterns": swin_patterns,
    "windows": swin_windows,
    "pool": lambda config: "mean",
    "grid": lambda config: 2 * config.sides[:1],
    "filters": VIT["filters"],
    "blocks": lambda config: sum(config.depths),
    "cut": _swin_cut,
    "stream": _swin_stream,
}
MASKED: dict[str, Callable] = {  # the rest is its encoder's, a ViT's
    "attention": block_maps,
    "patterns": HYBRID["patterns"],
    "windows": HYBRID["windows"],
    "pool": lambda config: config.vit.pool,
    "grid": lambda config: config.vit.grid_size,
    "filters": VIT["filters"],
    "encoder": lambda config: config.vit,
}
