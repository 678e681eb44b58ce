"""What there is to write: each function of the package that is an exercise, and what it is called with.

The inputs are those of the gradient checks (tinyvit.checks), where every axis has a size of its own, and some at which
numbers overflow.
"""

import functools

import numpy as np

from tinyvit import checks
from tinyvit.exercises.exercise import SIZES, Exercise
from tinyvit.exercises.further import FORWARD_ALONE, further
from tinyvit.layers import (
    alignment,
    decoder_block,
    embedding,
    encoder_block,
    fused_projection,
    group_norm,
    gru_cell,
    layer_norm,
    linear,
    lstm_cell,
    mlp,
    multi_head_attention,
    patch_merging,
    pool,
    position,
    post_norm_block,
    pre_logits,
    recurrence,
    token_embedding,
)
from tinyvit.models import vit
from tinyvit.ops import (
    attention,
    blockwise_attention,
    class_row,
    convolution,
    cross_entropy,
    dropout,
    gelu,
    heads,
    linear_attention,
    max_pool,
    mean_row,
    patches,
    patterns,
    relative_bias,
    scale,
    softmax,
    sparse_attention,
    standardise,
    tanh,
    token_cross_entropy,
    unfold,
    window_bias,
    windows,
)


def names():
    """The functions that there are to write, each forward pass before its backward pass."""
    return list(exercises())


@functools.cache
def exercises():
    """All exercises, by the name of the function to write."""
    found = {}

    def pair(forward, backward, calls, gradients, results=("y",), **options):
        name, more = forward.__name__, further().get(forward.__name__, [])
        found[name] = Exercise(forward, calls, results, further=more, **options)
        if backward:
            more = [call for call in more if not any(option in call[1] for option in FORWARD_ALONE.get(name, ()))]
            found[backward.__name__] = Exercise(forward, calls, gradients, backward=backward, further=more, **options)

    cases = checks.cases()

    def of(*names):
        return [(cases[name].inputs, cases[name].keywords) for name in names]

    x, _ = cases["linear"].inputs
    square = cases["multi_head_attention"].inputs[1]["q"]  # its w would be multiplied untransposed without an error
    scores, _ = cases["cross_entropy"].inputs
    heads_sizes = SIZES | {"S": checks.S, "h": 4, "d": checks.D // 4}

    pair(softmax.softmax, softmax.softmax_backward, of("softmax") + [((1e4 * x,), {})], ("dx",))
    pair(gelu.gelu, gelu.gelu_backward, of("gelu") + [((60 * x,), {})], ("dx",))
    pair(gelu.gelu_tanh, None, of("gelu_tanh"), None)
    pair(tanh.tanh, tanh.tanh_backward, of("tanh"), ("dx",))
    pair(
        attention.attention,
        attention.attention_backward,
        of("attention", "attention/bias"),
        ("dq", "dk", "dv", "dbias"),
        sizes={"B": checks.B, "T": checks.T, "S": checks.S, "h": 4, "d": checks.D},
        way=("dv", "dbias"),
    )
    pair(
        scale.scale_queries,
        scale.scale_queries_backward,
        of("scale_queries"),
        ("dq",),
        sizes=heads_sizes | {"d": 5},
    )
    pair(
        relative_bias.relative_bias,
        relative_bias.relative_bias_backward,
        of("relative_bias", "relative_bias/rows"),
        ("dq", "dr"),
        ("bias",),
        sizes=heads_sizes,
    )
    pair(heads.split_heads, None, [((x, 4), {})], None, has_cache=False)
    pair(heads.merge_heads, None, of("merge_heads"), None, has_cache=False)
    pair(patches.patchify, patches.patchify_backward, of("patchify"), ("dx",))
    patched, image = patches.patchify(*of("patchify")[0][0], 3)
    pair(patches.unpatchify, None, [((patched, image["x"].shape), {})], None, ("x",), has_cache=False)
    maps, channel_norm = of("group_norm")[0][0]
    pair(
        max_pool.max_pool,
        max_pool.max_pool_backward,
        [*of("max_pool"), ((-1 - maps**2,), dict(kernel=2, stride=2))],  # negative, with an edge
        ("dx",),
        sizes={"B": 2, "H": 5, "W": 6, "K": 3, "C": 4},
    )
    pair(
        group_norm.group_norm,
        group_norm.group_norm_backward,
        [*of("group_norm"), ((maps, channel_norm), dict(groups=1, eps=1e-2)), ((maps, channel_norm), dict(groups=4))],
        ("dx", "g"),
        sizes={"B": 2, "H": 5, "W": 6, "C": 4, "G": 2},
    )
    kernel = of("standardise/std")[0][0][0]
    pair(
        standardise.standardise,
        standardise.standardise_backward,
        [((kernel,), {}), ((1e-3 * kernel,), {})],
        ("dw",),
        sizes={"K": 3, "I": 4, "O": 5},
    )
    pair(
        convolution.patch_convolution,
        convolution.patch_convolution_backward,
        of("patch_convolution"),
        ("dx", "dw", "db"),
        sizes={"B": 2, "P": 3, "C": 4, "D": 5},
    )
    window = {"B": 2, "H": 5, "W": 6, "K": 3, "C": 4, "D": 3}
    pair(unfold.unfold, unfold.unfold_backward, of("unfold", "unfold/stride", "unfold/even"), ("dx",), sizes=window)
    pair(
        convolution.convolution,
        convolution.convolution_backward,
        of("convolution", "convolution/stride", "convolution/even"),
        ("dx", "dw", "db"),
        sizes=window,
    )
    pair(dropout.dropout, dropout.dropout_backward, of("dropout") + [((x,), {})], ("dx",))
    pair(
        cross_entropy.cross_entropy,
        cross_entropy.cross_entropy_backward,
        of("cross_entropy", "cross_entropy/smoothing") + [((1e4 * scores, np.array([1, 6, 0])), {})],
        ("dlogits",),
        ("loss",),
        sizes={"B": 3, "K": 7},
    )
    pair(
        linear.linear,
        linear.linear_backward,
        [((x, square), {}), *of("linear", "linear/no bias")],
        ("dx", "g"),
    )
    constant = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)  # its last token's variance is 0
    norm = cases["layer_norm"].inputs[1]
    pair(
        layer_norm.layer_norm,
        layer_norm.layer_norm_backward,
        [*of("layer_norm"), ((constant, norm), {}), ((1e-3 * x, norm), {}), ((x, norm), dict(eps=1e-2))],
        ("dx", "g"),
    )
    pair(mlp.mlp, mlp.mlp_backward, of("mlp"), ("dx", "g"))
    x, source, bias, p = cases["multi_head_attention/cross"].inputs
    pair(
        multi_head_attention.multi_head_attention,
        multi_head_attention.multi_head_attention_backward,
        [((x, source, p), dict(heads=4)), ((x, x, p), dict(heads=2, bias=bias[:2, :, : checks.T]))],
        ("dx", "dkv", "dbias", "g"),
        sizes=heads_sizes,
        way=("g/o", "g/v", "dbias", "g", "dkv"),
    )
    pair(
        fused_projection.fused_projection,
        fused_projection.fused_projection_backward,
        of("fused_projection"),
        ("dx", "g"),
    )
    pair(
        embedding.patch_embedding,
        embedding.patch_embedding_backward,
        of("patch_embedding"),
        ("dx", "g"),
        sizes={"B": 2, "P": 3, "N": 6, "C": 4, "D": 8},
    )
    pair(embedding.class_token, embedding.class_token_backward, of("class_token"), ("dx", "dp"))
    pair(position.learned_position, position.learned_position_backward, of("position/1d"), ("dz", "dp"))
    pair(
        position.grid_position,
        position.grid_position_backward,
        of("position/2d", "position/2d, no class token"),
        ("dz", "g"),
        sizes={"B": 2, "T": 10, "G": 3, "D": 8},
    )
    pair(position.sinusoidal_position, None, of("position/sinusoidal"), None)
    pair(
        encoder_block.encoder_block,
        encoder_block.encoder_block_backward,
        of("encoder_block"),
        ("dz", "g"),
        ("z",),
        sizes=heads_sizes,
    )
    pair(
        post_norm_block.post_norm_block,
        post_norm_block.post_norm_block_backward,
        of("post_norm_block"),
        ("dz", "g"),
        ("z",),
        sizes=heads_sizes,
    )
    pair(class_row.class_row, class_row.class_row_backward, of("class_row"), ("dz",))
    pair(mean_row.mean_row, mean_row.mean_row_backward, of("mean_row"), ("dx",))
    pair(pool.class_readout, pool.class_readout_backward, of("class_readout"), ("dz", "g"))
    pair(pool.mean_readout, pool.mean_readout_backward, of("mean_readout"), ("dz", "g"))
    pair(pre_logits.pre_logits, pre_logits.pre_logits_backward, of("pre_logits"), ("dx", "g"))
    sparse = [cases["sparse_attention/bias"], cases["sparse_attention/windows, bias"]]
    pair(
        sparse_attention.sparse_attention,
        sparse_attention.sparse_attention_backward,
        [((q, k, v), each.keywords | {"bias": bias}) for each in sparse for q, k, v, bias in [each.inputs]],
        ("dq", "dk", "dv", "dbias"),
        sizes={"B": checks.B, "h": 2, "d": 3},
        way=("dv", "dbias"),
    )
    pair(
        blockwise_attention.blockwise_attention,
        blockwise_attention.blockwise_attention_backward,
        of("blockwise_attention"),
        ("dq", "dk", "dv"),
        sizes=heads_sizes | {"h": 2, "d": 3},
        way=("dv",),
    )
    pair(
        linear_attention.linear_attention,
        linear_attention.linear_attention_backward,
        of("linear_attention"),
        ("dq", "dk", "dv"),
        sizes=heads_sizes | {"h": 2, "d": 3, "e": 4},
        way=("dv",),
    )
    cut, merged = {"B": checks.B, "M": 2, "C": 4}, {"B": checks.B, "C": 3}
    [(of_map, _)] = of("to_windows")
    shifts = [(of_map, dict(window=2, shift=1)), (of_map, dict(window=2, shift=0)), (of_map, dict(window=3, shift=1))]
    pair(windows.to_windows, windows.to_windows_backward, shifts, ("dx",), sizes=cut)
    pair(
        window_bias.window_bias, window_bias.window_bias_backward, of("window_bias"), ("dtable",), ("bias",), sizes=cut
    )
    pair(
        patch_merging.patch_merging,
        patch_merging.patch_merging_backward,
        of("patch_merging", "patch_merging/odd"),
        ("dx", "g"),
        sizes=merged,
    )
    steps = {"B": 3, "S": checks.S, "H": 4}
    cells = dict(sizes=steps, way=("dx",))  # x is what the input says to the gates: all else is made from its gradient
    pair(gru_cell.gru_cell, gru_cell.gru_cell_backward, of("gru_cell"), ("dx", "dh", "g"), **cells)
    pair(lstm_cell.lstm_cell, lstm_cell.lstm_cell_backward, of("lstm_cell"), ("dx", "dstate", "g"), **cells)
    x, start, p = cases["recurrence/gru padded"].inputs
    token = np.arange(checks.S) < np.array([[5], [3], [1]])
    pair(
        recurrence.recurrence,
        recurrence.recurrence_backward,
        [((x, p), {}), ((x, p), dict(start=start, mask=token))],
        ("dx", "dstart", "g"),
        ("states",),
        sizes=steps,
    )
    pair(
        token_embedding.token_embedding,
        token_embedding.token_embedding_backward,
        of("token_embedding"),
        ("g",),
        sizes={"B": checks.B, "S": checks.S, "V": 6, "D": checks.D},
    )
    pairs = {"B": 3, "T": checks.T, "S": checks.S}
    pair(
        alignment.dot_alignment,
        alignment.dot_alignment_backward,
        of("dot_alignment", "dot_alignment/padded"),
        ("dq", "dkv", "g"),
        sizes=pairs | {"D": checks.D},
    )
    pair(
        alignment.additive_alignment,
        alignment.additive_alignment_backward,
        of("additive_alignment", "additive_alignment/padded"),
        ("dq", "dkv", "g"),
        sizes=pairs | {"A": 4},
    )
    (images, p), config = cases["vit"].inputs, cases["vit"].keywords["config"]
    pair(vit.vit, vit.vit_backward, [((images, p, config), {})], ("dimages", "g"), ("logits",))
    rows = [((checks.S,), {}), ((checks.S,), dict(queries=np.array([3, 4])))]
    pair(patterns.causal, None, rows, None, ("allowed",), has_cache=False, sizes={"T": checks.S})
    cuts = [((6, 9, 4), dict(shift=1)), ((6, 9, 3), {}), ((5, 7, 2), dict(shift=1))]
    pair(patterns.windows, None, cuts, None, ("allowed",), has_cache=False, sizes={"H": 6, "W": 9, "M": 4})
    for block in (decoder_block.decoder_block, decoder_block.post_norm_decoder_block):
        backward = getattr(decoder_block, f"{block.__name__}_backward")
        pair(block, backward, of(block.__name__), ("dz", "dmemory", "g"), ("z",), sizes=heads_sizes | {"B": 3})
    logits, targets = of("token_cross_entropy")[0][0]
    pair(
        token_cross_entropy.token_cross_entropy,
        token_cross_entropy.token_cross_entropy_backward,
        [*of("token_cross_entropy", "token_cross_entropy/smoothing"), ((1e4 * logits, targets), {})],
        ("dlogits",),
        ("loss",),
        sizes={"B": 3, "T": checks.S, "V": 6},
    )
    pair(
        token_embedding.token_scores,
        token_embedding.token_scores_backward,
        of("token_scores"),
        ("dx", "g"),
        sizes=SIZES | {"V": 6},
    )
    return found
