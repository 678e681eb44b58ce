"""Further calls, in which what an option says differs from its default, and no two axes are of one size.

An answer that ignores its masks, or its eps, is right wherever there are none. Not every answer takes every option: one
that does not is not called with it (see `Exercise.tried_with`).
"""

import functools
from dataclasses import replace

import numpy as np

from tinyvit import checks
from tinyvit.checks.case import drawing
from tinyvit.layers import alignment, embedding, recurrence
from tinyvit.models.vit import vit_init, vit_masks
from tinyvit.ops.dropout import dropout_mask
from tinyvit.ops.patches import patchify

FORWARD_ALONE = {  # options of a forward pass that its backward pass, as the notebooks ask for it, does not know
    "multi_head_attention": ("scale", "past"),  # a step that is then left out; keys that are no input
    "encoder_block": ("rows",),  # dq has then fewer rows than dkv
    "post_norm_block": ("rows",),
    "decoder_block": ("past",),
    "post_norm_decoder_block": ("past",),
}


@functools.cache
def further():
    """{a forward pass: its further calls, each (inputs, keywords)}."""
    rng, cases = np.random.default_rng(12), checks.cases()
    array, randomised = drawing(rng)
    parameters = {name: case.inputs[1] for name, case in cases.items() if len(case.inputs) > 1}
    attention_p, future = parameters["multi_head_attention"], np.where(np.tri(3), 0, -np.inf)
    bias, padding = array(2, 3, 5), np.where(np.arange(5) < np.arange(1, 7)[:, None] % 5 + 1, 0, -np.inf)

    def mask(*shape):
        return dropout_mask(rng, shape, 0.4, np.float64)

    def heads(B, h, T, d):
        return {"k": array(B, h, T, d), "v": array(B, h, T, d)}

    x, source, maps, odd = array(6, 3, 8), array(6, 5, 8), array(7, 6, 10, 4), array(2, 7, 13, 6)
    of_mlp = {"fc1": mask(6, 3, 7), "fc2": mask(6, 3, 8)}
    of_block = {"msa": mask(6, 3, 8), "mlp": of_mlp}
    blocked = array(2, 3, 4, 6), array(2, 3, 7, 6), array(2, 3, 7, 5)
    features = abs(blocked[0]) + 0.2, abs(blocked[1]) + 0.2, blocked[2]
    groups = cases["sparse_attention"].keywords["plan"]
    images, p_vit = cases["vit"].inputs
    config = cases["vit"].keywords["config"]
    wide = replace(config, image=(4, 6), channels=5)
    of_vit = vit_masks(rng, replace(config, dropout=0.3), len(images), dtype=np.float64)
    token = np.arange(5) < np.array([[5], [3], [1]])
    reads, states = cases["recurrence/gru"].inputs[0], array(3, 4)
    p_gru, p_lstm = (randomised(recurrence.recurrence_init(None, 8, 4, cell=cell)) for cell in ("gru", "lstm"))
    wide_norm = {"gamma": array(96), "beta": array(96)}
    p_additive = randomised(alignment.ALIGNMENTS["additive"].init(None, 4, 8))
    p_additive["q"]["w"] = array(7, 4)  # queries of another width than the hidden layer
    p_patch = randomised(embedding.patch_embedding_init(None, 2, 4, 8))

    found = {
        "attention": [
            ((array(6, 2, 3, 4), array(6, 2, 5, 4), array(6, 2, 5, 7)), {}),
            ((array(6, 2, 3, 4), array(6, 2, 5, 4), array(6, 2, 5, 7), array(6, 1, 1, 5)), {}),  # of heads and queries
        ],
        "relative_bias": [((array(2, 3, 4, 5), array(3, 11, 5)), {})],
        "split_heads": [((array(2, 5, 12), 3), {})],
        "merge_heads": [((array(2, 3, 5, 4),), {})],
        "patchify": [((maps, 2), {})],
        "unpatchify": [((patchify(maps, 2)[0], maps.shape), {})],
        "max_pool": [((odd, 4, 3), {}), ((odd, 3, 1), {})],
        "group_norm": [((array(2, 3, 5, 96), wide_norm), {})],
        "standardise": [((array(3, 3, 4, 5),), dict(kind="var")), ((1e-4 * array(3, 3, 4, 5),), dict(kind="var"))],
        "patch_convolution": [((maps, array(2, 2, 4, 8), array(8)), {})],
        "unfold": [((odd, 4), dict(stride=3)), ((odd, 3), {})],
        "convolution": [((odd, array(4, 4, 6, 8), array(8)), dict(stride=3)), ((odd, array(3, 3, 6, 8)), {})],
        "mlp": [
            ((x, parameters["mlp"]), dict(gelu="tanh")),
            ((x, parameters["mlp"]), dict(gelu="relu", masks=of_mlp)),
            ((x, parameters["mlp"]), dict(masks={"fc1": of_mlp["fc1"]})),
        ],
        "multi_head_attention": [
            ((x, source, attention_p), dict(heads=2, bias=bias)),
            ((x, source, attention_p), dict(heads=2, scale="none")),
            ((x, source, attention_p), dict(heads=2, past=heads(6, 2, 7, 4))),
        ],
        "patch_embedding": [((maps, p_patch), dict(patch=2))],
        "sinusoidal_position": [((x, {}), dict(first=2)), ((array(2, 3, 7), {}), dict(first=2))],
        "sparse_attention": [((array(3, 2, 13, 4), array(3, 2, 13, 4), array(3, 2, 13, 4), groups), {})],
        "blockwise_attention": [(blocked, {}), (blocked, dict(block=3))],
        "linear_attention": [(features, {})],
        "to_windows": [((array(4, 5, 9, 7),), dict(window=2, shift=1)), ((array(4, 5, 9, 7), 3), {})],
        "patch_merging": [((array(2, 5, 7, 3), parameters["patch_merging"]), dict(eps=each)) for each in (1e-5, 1e-2)],
        "gru_cell": [((array(2, 15), array(2, 5), {"w": array(5, 15)}), {})],
        "lstm_cell": [((array(2, 20), array(2, 10), {"w": array(5, 20)}), {})],
        "recurrence": [
            ((reads, p_gru), dict(start=states)),
            ((reads, p_gru), dict(mask=token)),
            ((reads, p_lstm), dict(cell="lstm", mask=token)),
        ],
        "dot_alignment": [((array(6, 3, 8), source, {}), dict(bias=padding[:, None]))],
        "additive_alignment": [((array(6, 3, 7), source, p_additive), dict(bias=padding[:, None]))],
        "vit": [
            ((images, p_vit, config), dict(masks=of_vit)),
            ((array(3, 4, 6, 5), randomised(vit_init(None, wide)), wide), {}),
        ],
        "causal": [((5,), dict(queries=np.array([4, 1])))],
        "windows": [((6, 9, 4), dict(shift=1, queries=np.array([50, 3, 20]))), ((6, 9, 4), dict(shift=3))],
    }
    for name in ("class_readout", "mean_readout"):
        found[name] = [((x, parameters[name]), dict(eps=1e-1))]
    for name, p in (("encoder_block", parameters["encoder_block"]), ("post_norm_block", parameters["post_norm_block"])):
        options = (dict(gelu="tanh"), dict(eps=1e-1), dict(masks=of_block), dict(rows=2), dict(bias=bias[..., :3]))
        found[name] = [((x, p), dict(heads=2) | each) for each in ({}, *options)]
    for name in ("decoder_block", "post_norm_decoder_block"):
        masks, past = of_block | {"cross": mask(6, 3, 8)}, {"msa": heads(6, 2, 7, 4), "cross": heads(6, 2, 9, 4)}
        options = (
            dict(bias=future, memory_bias=padding[:, None, None]),
            dict(gelu="erf"),
            dict(eps=1e-1),
            dict(masks=masks),
            dict(past=past),
        )
        found[name] = [((x, source, cases[name].inputs[2]), dict(heads=2) | each) for each in ({}, *options)]
    return found
