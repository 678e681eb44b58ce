"""Small, realistic mistakes, planted one at a time: gradcheck must find every one.

Those that learners make are known to the exercises (tinyvit/exercises/mistakes.txt); here each is planted that has a
wrong gradient, and so are some more, with a case of tinyvit.checks that must then fail. Each is one edit of one
function: what stands there, and how it is easily written.
A mistake made alike in both passes (a scale left out of either) is a different function with a right gradient: no
gradient check sees it, and the tests against reference implementations do. So some of these are planted as well: the
gradient check must pass, and the twin disagree.
"""

import contextlib
import functools
from dataclasses import replace

import numpy as np
import pytest

from docs.measure import keeps_result
from tests.models.test_vit import naive_vit
from tests.reference import naive, naive_pyramids
from tinyvit import trees
from tinyvit.checks import Case, cases
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.mistakes import FORGOTTEN as NOTHING
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.source import planted
from tinyvit.gradcheck import _Tensor
from tinyvit.layers.attend import attend_backward
from tinyvit.layers.block import block, block_backward
from tinyvit.layers.bottleneck import bottleneck, bottleneck_backward, standardised_convolution_backward
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.group_norm import _group_sums, group_norm, group_norm_backward
from tinyvit.layers.layer_norm import layer_norm_backward
from tinyvit.layers.linear import linear_backward
from tinyvit.layers.mlp import mlp_backward
from tinyvit.layers.multi_head_attention import multi_head_attention, multi_head_attention_backward
from tinyvit.layers.patch_merging import patch_merging, patch_merging_backward
from tinyvit.layers.pool import (
    class_readout,
    class_readout_backward,
    mean_readout,
    mean_readout_backward,
)
from tinyvit.layers.position import (
    grid_position,
    grid_position_backward,
    learned_position_backward,
    sinusoidal_position,
)
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
from tinyvit.layers.resnet import resnet_backward
from tinyvit.layers.swin_block import swin_block, swin_block_backward
from tinyvit.layers.window_attention import window_attention, window_attention_backward
from tinyvit.models.config import ViTConfig
from tinyvit.models.hybrid import hybrid_backward
from tinyvit.models.swin import SwinConfig, swin, swin_backward, swin_init
from tinyvit.models.vit import encoder, encoder_backward, vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.attention import _sum_to, attention_backward
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.ops.convolution import convolution_backward
from tinyvit.ops.heads import split_heads
from tinyvit.ops.linear_attention import (
    causal_linear_attention_backward,
    linear_attention_backward,
    positive_features_backward,
)
from tinyvit.ops.max_pool import max_pool, max_pool_backward
from tinyvit.ops.mean_row import mean_row, mean_row_backward
from tinyvit.ops.relative_bias import _offsets, relative_bias_backward
from tinyvit.ops.relu import relu_backward
from tinyvit.ops.resize import resize_backward
from tinyvit.ops.resize_positions import resize_positions_backward
from tinyvit.ops.scale import scale_queries, scale_queries_backward
from tinyvit.ops.sparse_attention import dense, sparse_attention_backward
from tinyvit.ops.standardise import standardise, standardise_backward
from tinyvit.ops.unfold import padding, unfold_backward
from tinyvit.ops.window_bias import offsets, window_bias
from tinyvit.ops.windows import _labels, from_windows, to_windows

PAST_THE_BLOCK = "dz, g = backward(dz, p, c)"
SUM_OVER_BLOCKS = "reduce(lambda total, d: trees.map(lambda a, b: a + b, total, d), dpos)"
REVERSED = "return dz, g, dpos[::-1]"
RELU_FIRST = 'y += shortcut\n    y, c["relu3"] = relu(y)', 'y, c["relu3"] = relu(y)\n    y = y + shortcut'
BUGS = [  # function, the case that must fail, {mistake: (what stands there, how it is easily written)}
    (
        attention_backward,
        "multi_head_attention",
        {
            "dq and dk exchanged": ("return dq, dk,", "return dk, dq,"),
            "dk not transposed": ("dscores.swapaxes(-1, -2) @ q", "dscores @ q"),
            "dv not transposed": ("a.swapaxes(-1, -2) @ dy", "a @ dy"),
        },
    ),
    (attention_backward, "attention/bias", {"dbias not reduced": ('_sum_to(dscores, c["bias"].shape)', "dscores")}),
    (_sum_to, "attention/bias", {"averaged, not summed": ("x.sum(", "x.mean(")}),
    (
        multi_head_attention_backward,
        "multi_head_attention",
        {"no output projection": ('dy, g["o"] = linear_backward', '_, g["o"] = linear_backward')},
    ),
    (split_heads, "multi_head_attention", {mistake.says: mistake.edit for mistake in mistakes("split_heads")}),
    (
        layer_norm_backward,
        "layer_norm",
        {"eps outside the root": ("dx *= rstd", "dx /= np.sqrt(1 / rstd**2 - 1e-6) + 1e-6")},
    ),
    (
        sparse_attention_backward,
        "sparse_attention/bias",
        {
            "dbias is the weights": ("dscores.append(part)", 'dscores.append(cache["a"])'),
            "dq in the order of the groups": ('dq[..., cache["queries"], :]', 'dq[..., cache["queries"][:, ::-1], :]'),
        },
    ),
    (
        sparse_attention_backward,
        "sparse_attention/windows",
        {"another group's keys": ('enumerate(cache["keys"])', 'enumerate(cache["keys"][::-1])')},
    ),
    (dense, "sparse_attention/bias", {"queries and keys exchanged": ("whole[..., ", "whole.swapaxes(-1, -2)[..., ")}),
    (
        blockwise_attention,
        "blockwise_attention",
        {
            "lse without the logarithm": ("m + xp.log(total)", "m"),
            "the last block's maximum": ("m + xp.log(total)", "scores.max(axis=-1, keepdims=True) + xp.log(total)"),
        },
    ),
    (
        blockwise_attention_backward,
        "blockwise_attention",
        {
            "dk not transposed": ("dscores.swapaxes(-1, -2) @ q", "dscores.swapaxes(-1, -2) @ dy"),
            "dv without the weights": ("a.swapaxes(-1, -2) @ dy", "(0 * a + 1).swapaxes(-1, -2) @ dy"),
            "dq is the first block's": (
                "dq += dscores @ k[..., keys, :]",
                "dq += (dscores @ k[..., keys, :]) * (not dq.any())",
            ),
        },
    ),
    (
        positive_features_backward,
        "positive_features",
        {
            "exp(x) above 0 as well": ('np.exp(np.minimum(c["x"], 0))', 'np.exp(c["x"])'),
            "1 everywhere": ("dy * ", "dy + 0 * "),
        },
    ),
    (
        linear_attention_backward,
        "linear_attention",
        {"dK not transposed": ("v @ dkv.swapaxes(-1, -2)", "(v @ dkv.swapaxes(-1, -2))[..., ::-1]")},
    ),
    (
        causal_linear_attention_backward,
        "causal_linear_attention",
        {
            "the whole state for every query": ("for t in range(T):", "for t in [*range(T), *range(T)]:"),
            "dk of one step alone": ("dkv = dkv + q", "dkv = q"),
            "dn of one step alone": ("dn = dn + w", "dn = w"),
            "forwards in time": ("for t in reversed(range(T)):", "for t in range(T):"),
            "dq without the sum of the keys": (" + w[..., t, :] * n", " + 0 * n"),
            "dk without the sum's": ("[..., 0] + dn", "[..., 0]"),
        },
    ),
    (
        attend_backward,
        "attend",
        {
            "the features of the queries passed by": ('dq = positive_features_backward(dq, c["q_features"])', NOTHING),
            "the features of the queries for the keys": ('dk, c["k_features"]', 'dk, {"x": 0 * c["k_features"]["x"]}'),
        },
    ),
    (linear_backward, "multi_head_attention", {"dw transposed": ("x.T @ rows", "rows.T @ x")}),
    (
        mlp_backward,
        "encoder_block/dropout",
        {"dropout forgotten": ('dy = dropout_backward(dy, c["dropout1"])', NOTHING)},
    ),
    (learned_position_backward, "position/1d", {"wrong rows": ("dy.sum(axis=0)", "dy.sum(axis=0)[::-1]")}),
    (
        resize_backward,
        "resize/bicubic",
        {"resized back, not transposed": ('c["rows"].T, c["columns"].T', 'c["columns"], c["rows"]')},
    ),
    (
        resize_positions_backward,
        "resize_positions",
        {
            "no gradient for the class token": ("[dy[:1],", "[0 * dy[:1],"),
            "rows off by the class token's": ("dy[1:].reshape", "dy[:-1].reshape"),
            "rows and columns exchanged": ("dpatches.reshape(", "dpatches.swapaxes(0, 1).reshape("),
        },
    ),
    (relu_backward, "relu", {"all of dy, for no y is below 0": ('c["dydx"]', '(c["dydx"] >= 0)')}),
    (
        unfold_backward,
        "unfold/stride",
        {"all zeros below and to the right": ("top : top + H, left : left + W", ":H, :W")},
    ),
    (
        unfold_backward,
        "unfold",
        {
            "the first window's only": ("+= dwindows[:, :, :, k]", "+= dwindows[:, :, :, k] * (k == 0)"),
            "a window's pixels back to front": ("dwindows[:, :, :, k]", "dwindows[:, :, :, -1 - k]"),
            "averaged over the windows": ("+= dwindows[:, :, :, k]", "+= dwindows[:, :, :, k] / kernel**2"),
        },
    ),
    (
        convolution_backward,
        "convolution/stride",
        {
            "dw of the first place only": ('(c["windows"].T @ rows)', '(c["windows"][:1].T @ rows[:1])'),
            "db averaged over the places": ("column_sums(rows)", "column_sums(rows) / len(rows)"),
            "dx by a kernel whose outputs stand in another order": (
                'matrix_from_kernel(c["w"]).T',
                'matrix_from_kernel(c["w"]).T[::-1]',
            ),
        },
    ),
    (
        max_pool_backward,
        "max_pool",
        {
            "shared by all pixels of the window": ('dy * (c["winner"] == number)', "dy / kernel**2"),
            "all of it to every pixel": ('dy * (c["winner"] == number)', "dy"),
            "the next pixel": ("== number)", "== number + 1)"),
            "one window's only": ("dpadded[:, i, j] += dy", "dpadded[:, i, j] = dy"),
            "all padding below and to the right": ("top : top + H, left : left + W", ":H, :W"),
        },
    ),
    (
        max_pool,
        "max_pool",
        {"the winner of the last comparison": ("winner.dtype.type(number), winner)", "winner.dtype.type(number), 0)")},
    ),
    (
        group_norm_backward,
        "group_norm",
        {
            "the means of each channel": (
                "_group_sums(along_ones * gamma, groups) * (1 / size)",
                "(along_ones * gamma) * (groups / size)",
            ),
            "gamma of the wrong channels": ("along_xhat * gamma", "along_xhat * gamma[::-1]"),
            "sums for means": ("along_xhat * gamma, groups) * (1 / size)", "along_xhat * gamma, groups)"),
            "dgamma of one image": ("along_xhat.sum(axis=0)", "along_xhat[0]"),
            "eps outside the root": (
                "dx *= _to_channels(rstd, dy)",
                "dx /= _to_channels(np.sqrt(1 / rstd**2 - 1e-6) + 1e-6, dy)",
            ),
        },
    ),
    (
        group_norm,
        "group_norm",
        {"xhat is kept with gamma": ('y = xhat * p["gamma"]', 'xhat *= p["gamma"]; y = 1 * xhat')},
    ),
    (
        _group_sums,
        "group_norm",
        {"groups of channels that lie apart": ("groups, -1).sum(axis=-1)", "-1, groups).sum(1)")},
    ),
    (
        standardise_backward,
        "standardise/std",
        {
            "eps in the root": ('if kind == "var"', "if True"),
            "the root's own derivative twice": ("- f * f * u", "- f * f / 2 * u"),
            "the mean of each input channel": ("_mean(dcentred)", "dcentred.mean(axis=(0, 1))"),
        },
    ),
    (
        standardise_backward,
        "standardise/var",
        {
            "the deviation without a gradient": (" - f * f * u * _mean(dy * centred)", ""),
            "the mean without a gradient": (" - _mean(dcentred)", ""),
            "a sum for a mean": ("_mean(dy * centred)", "(dy * centred).sum(axis=(0, 1, 2))"),
            "over all outputs": ("_mean(dy * centred)", "(dy * centred).mean()"),
        },
    ),
    (
        standardised_convolution_backward,
        "standardised_convolution",
        {
            "the gradient of the standardised kernel": (
                'standardise_backward(dw, c["standardise"], kind=kind)',
                "dw",
            ),
            "the other kind": ("kind=kind)", 'kind="std")'),
            "the normalisation passed by": ('dy, g["gn"] =', '_, g["gn"] ='),
        },
    ),
    (
        bottleneck_backward,
        "bottleneck",
        {
            "no gradient through the shortcut": ("return dx + dshortcut, g", "return dx, g"),
            "nothing but the shortcut's": ("return dx + dshortcut, g", "return dshortcut, g"),
            "the shortcut past the last ReLU": (
                'dshortcut = relu_backward(dy, c["relu3"])\n'
                '    dy, g["conv3"] = standardised_convolution_backward(dshortcut,',
                'dshortcut = dy\n    dy = relu_backward(dy, c["relu3"])\n'
                '    dy, g["conv3"] = standardised_convolution_backward(dy,',
            ),
            "the other ReLU's": ('relu_backward(dy, c["relu1"])', 'relu_backward(dy, c["relu2"])'),
            "a ReLU forgotten": ('dy = relu_backward(dy, c["relu2"])', NOTHING),
        },
    ),
    (
        bottleneck_backward,
        "bottleneck/projected",
        {
            "the projection hands nothing back": ("return dx + dshortcut, g", "return dx, g"),
            "a ReLU on the projected shortcut": (
                'dshortcut, p["proj"], c["proj"], stride',
                'dshortcut * (c["proj"]["gn"]["xhat"] > 0), p["proj"], c["proj"], stride',
            ),
        },
    ),
    (
        bottleneck,
        "bottleneck",
        {
            "ReLU before the sum": RELU_FIRST,
            "a stale cache, of the other normalisation": (
                'y, c["relu3"] =',
                'c["conv1"] = c["conv1"] | {"gn": c["conv2"]["gn"]}; y, c["relu3"] =',
            ),
        },
    ),
    (
        resnet_backward,
        "hybrid",
        {
            "the stem's ReLU forgotten": ('dy = relu_backward(dy, c["relu"])', NOTHING),
            "no way back to the image": ("return dx, g", "return 0 * dx, g"),
        },
    ),
    (
        hybrid_backward,
        "hybrid",
        {
            "the map's rows for its columns": (
                "resnet_backward(dfeatures,",
                "resnet_backward(dfeatures.swapaxes(1, 2),",
            ),
            "the other kind of standardisation": ("kind=config.standardise", 'kind="var"'),
        },
    ),
    (
        encoder_block_backward,
        "encoder_block/rows",
        {"query gradient in the last rows": ("dy[:, : dq.shape[1]] += dq", "dy[:, -dq.shape[1] :] += dq")},
    ),
    (
        encoder_block,
        "encoder_block",
        {"a stale cache, of the other LayerNorm": ('y, c["mlp"] =', 'c["ln2"] = c["ln1"]; y, c["mlp"] =')},
    ),
    (
        vit_backward,
        "small vit",
        {"dropout after the positions forgotten": ('dz = dropout_backward(dz, c["dropout"])', NOTHING)},
    ),
    (
        scale_queries_backward,
        "multi_head_attention",
        {
            "the scale forgotten": ("(1 / math.sqrt(dy.shape[-1]))", "1"),
            "divided by d": ("math.sqrt(dy.shape[-1])", "dy.shape[-1]"),
        },
    ),
    (
        multi_head_attention_backward,
        "multi_head_attention/no scale",
        {
            "scaled although the forward pass is not": (
                'if "scale" in c:',
                'c = c | {"scale": {}}\n    if "scale" in c:',
            )
        },
    ),
    (
        multi_head_attention_backward,
        "multi_head_attention/relative",
        {
            "q has no gradient through the offsets": ("dq + dq_relative", "dq"),
            "q has no other": ("dq + dq_relative", "dq_relative"),
            "the offsets' part is subtracted": ("dq + dq_relative", "dq - dq_relative"),
            "the offsets' part is not scaled": (
                'dq = scale_queries_backward(dq, c["scale"])',
                'dq = scale_queries_backward(dq - dq_relative, c["scale"]) + dq_relative',
            ),
            "heads merged by a reshape alone": ("merge_heads(dr[None])[0]", "dr.reshape(dr.shape[1], -1)"),
        },
    ),
    (
        relative_bias_backward,
        "relative_bias/rows",
        {
            "the other direction": ("= _offsets(q, r)", "= _offsets(q, r); offsets = r.shape[-2] - 1 - offsets"),
            "one place further": ("= _offsets(q, r)", "= _offsets(q, r); offsets = offsets - 1"),
            "dr averaged over the batch": (".sum(axis=0)", ".mean(axis=0)"),
            "dr of the last image": (".sum(axis=0)", "[-1]"),
            "dr summed over the heads as well": (".sum(axis=0)", ".sum(axis=(0, 1))"),
            "dq without the offsets": ("dproducts @ r,", "0 * q,"),
        },
    ),
    (
        mean_row_backward,
        "mean_row",
        {
            "1/N forgotten": ("(1 / x.shape[1])", "1"),
            "1/B": ("(1 / x.shape[1])", "(1 / x.shape[0])"),
            "1/D": ("(1 / x.shape[1])", "(1 / x.shape[2])"),
        },
    ),
    (
        mean_readout_backward,
        "mean_readout",
        {
            "all of dy for each row": ('mean_row_backward(dy, c["mean_row"])', 'dy[:, None] + 0 * c["mean_row"]["x"]'),
            "the LayerNorm passed by": (
                "return layer_norm_backward(",
                'return mean_row_backward(dy, c["mean_row"]), layer_norm_backward(',
            ),
        },
    ),
    (
        class_readout_backward,
        "class_readout",
        {"the LayerNorm passed by": ("dy, g = layer_norm_backward", "_, g = layer_norm_backward")},
    ),
    (
        post_norm_block_backward,
        "post_norm_block/rows",
        {
            "no residual around attention": ("+= dq + dz", "+= dq"),
            "no residual around the MLP": ("dy + dz, p", "dy, p"),
            "no queries": ("+= dq + dz", "+= dz"),
            "in the last rows": ("dy[:, : dq.shape[1]] +=", "dy[:, -dq.shape[1] :] +="),
            "the residual past the LayerNorm": (
                'dz, g["ln1"] = layer_norm_backward(dy + dz,',
                'dz, g["ln1"] = layer_norm_backward(dy, p["ln1"], c["ln1"])[0] + dz, layer_norm_backward(dy + dz,',
            ),
            "the other LayerNorm": ('p["ln2"], c["ln2"]', 'p["ln1"], c["ln1"]'),
        },
    ),
    (
        post_norm_block_backward,
        "post_norm_block/dropout",
        {
            "dropout forgotten": ('dy = dropout_backward(dz, c["dropout"])', "dy = dz"),
            "dropout of the residual, too": (
                'dy = dropout_backward(dz, c["dropout"])',
                'dy = dz = dropout_backward(dz, c["dropout"])',
            ),
        },
    ),
    (
        post_norm_block,
        "post_norm_block",
        {"a stale cache, of the other LayerNorm": ("return z, c", 'return z, c | {"ln2": c["ln1"]}')},
    ),
    (
        grid_position_backward,
        "position/2d",
        {
            "x summed over the columns": ("[..., :half].sum(axis=0)", "[..., :half].sum(axis=1)"),
            "y summed over the rows": ("[..., half:].sum(axis=1)", "[..., half:].sum(axis=0)"),
            "the halves exchanged": (
                '{"x": grid[..., :half].sum(axis=0), "y": grid[..., half:].sum(axis=1)}',
                '{"x": grid[..., half:].sum(axis=0), "y": grid[..., :half].sum(axis=1)}',
            ),
            "one image's": ("dy.sum(axis=0)", "dy[0]"),
            "no gradient for the class token": ('"cls": dtable[:1]', '"cls": 0 * dtable[:1]'),
            "rows off by the class token's": ("dtable[len(dtable) - side * side :]", "dtable[: side * side]"),
        },
    ),
    (
        block_backward,
        "block",
        {
            "the block passed by": (PAST_THE_BLOCK, PAST_THE_BLOCK.replace("dz, g =", "dx, g =")),
            "positions without a gradient": ("return dz, g, dpos", "return dz, g, 0 * dpos"),
        },
    ),
    (
        block_backward,
        "block/relative, rows",
        {"another key's": ('g["msa"].pop("r")', 'g["msa"].pop("r")[::-1]')},
    ),
    (
        encoder_backward,
        "small vit/1d, shared",
        {
            "the last block's only": (SUM_OVER_BLOCKS, "dpos[-1]"),
            "the first block's only": (SUM_OVER_BLOCKS, "dpos[0]"),
            "averaged over the blocks": ("a + b", "(a + b) / 2"),
        },
    ),
    (encoder_backward, "small vit/2d, shared", {"the last block's only": ("a + b", "b")}),
    (encoder_backward, "small vit/relative, shared", {"the first block's only": ("a + b", "a")}),
    *(
        (
            encoder_backward,
            f"small vit/{kind}, layers",
            {f"layers of {kind} mixed up": ("return dz, g, dpos", REVERSED)},
        )
        for kind in ("1d", "2d", "relative")
    ),
    (
        encoder_backward,
        "small vit",
        {
            "the blocks' gradients in the order of the way back": ("dz, g[i], dpos[i] =", "dz, g[-1 - i], dpos[i] ="),
            "from the first block to the last": ("reversed(list(", "list(list("),
            "the caches in the order of the way back": ("whole_cache(c[i])", "whole_cache(c[-1 - i])"),
        },
    ),
    (
        to_windows,
        "to_windows",
        {
            "rolled the other way": ("(-shift, -shift)", "(shift, shift)"),
            "rows rolled alone": ("(-shift, -shift), axis=(1, 2)", "-shift, axis=1"),
        },
    ),
    (
        from_windows,
        "to_windows",
        {
            "rolled on, not back": ("(shift, shift)", "(-shift, -shift)"),
            "the first rows cut off, not the last": ("x[:, :H, :W]", "x[:, -H:, -W:]"),
        },
    ),
    (
        window_attention_backward,
        "window_attention/shifted",
        {
            "windows that stay": ('window_of(p["table"]), shift)', 'window_of(p["table"]))'),
            "displaced the other way": ('window_of(p["table"]), shift)', 'window_of(p["table"]), -shift)'),
            "dx not rolled back": ('c["windows"], shift)', 'c["windows"])'),
            "dx rolled on": ('c["windows"], shift)', 'c["windows"], -shift)'),
            "no queries": ("(dq + dkv)", "dkv"),
            "no keys and values": ("(dq + dkv)", "dq"),
            "the table's gradient of one window": ("dbias.sum(axis=0)", "dbias[0]"),
            "the table's gradient a mean over the windows": ("dbias.sum(axis=0)", "dbias.mean(axis=0)"),
        },
    ),
    (
        patch_merging,
        "patch_merging",
        {"the column runs fastest, forward alone": ("in NEIGHBOURS", "in ((0, 0), (0, 1), (1, 0), (1, 1))")},
    ),
    (window_bias, "window_bias", {"key less query, forward alone": (".transpose(2, 0, 1)", ".transpose(2, 1, 0)")}),
    (
        swin_block_backward,
        "swin_block",
        {
            "no drop path around the MLP": ('dropout_backward(dx, c["drop_mlp"])', "dx"),
            "no drop path around attention": ('dropout_backward(dx, c["drop_msa"])', "dx"),
            "the other branch's drop path": (
                'dropout_backward(dx, c["drop_mlp"])',
                'dropout_backward(dx, c["drop_msa"])',
            ),
            "drop path of the residual, too": (
                'dy = dropout_backward(dx, c["drop_msa"])',
                'dy = dx = dropout_backward(dx, c["drop_msa"])',
            ),
            "no residual around the MLP": ("dx = dy + dx", "dx = dy"),
            "no residual around attention": ("return dy + dx, g", "return dy, g"),
            "the shift forgotten": ('c["msa"], shift=shift)', 'c["msa"])'),
            "the other LayerNorm": ('p["ln2"], c["ln2"]', 'p["ln1"], c["ln1"]'),
        },
    ),
    (
        swin_block,
        "swin_block",
        {"a stale cache, of the other LayerNorm": ('y, c["mlp"] =', 'c["ln2"] = c["ln1"]; y, c["mlp"] =')},
    ),
    (
        swin_backward,
        "small swin",
        {
            "every stage shifted as the first": ("config.shift_of(number, i)", "config.shift_of(0, i)"),
            "every block shifted as the first": ("config.shift_of(number, i)", "config.shift_of(number, 0)"),
            "the caches of a stage in the order of the way back": ('cache["blocks"][i]', 'cache["blocks"][-1 - i]'),
            "the gradients of a stage in the order of the way back": (
                'gradient["blocks"][i]',
                'gradient["blocks"][-1 - i]',
            ),
            "the LayerNorm of the patches passed by": (
                'dx, g["patch_ln"] = layer_norm_backward(dx.reshape(len(dx), -1, config.dim)',
                'dx = dx.reshape(len(dx), -1, config.dim)\n    _, g["patch_ln"] = layer_norm_backward(dx',
            ),
        },
    ),
]


SMALL = {  # whole models: what their configurations have other than the paper's
    "small vit": dict(dropout=0.3, pre_logits=2),
    **{
        f"small vit/{kind}, {place}": dict(position=kind, position_at=place)
        for kind in ("1d", "2d", "relative")
        for place in ("layers", "shared")
    },
}


def small_vit(**options):
    """A whole model, small enough to be checked in no time."""
    sizes = dict(image=4, channels=1, patch=2, dim=4, depth=2, heads=2, mlp_dim=3, classes=3, gelu="tanh")
    config = ViTConfig(**sizes | options)
    rng = np.random.default_rng(0)
    p = trees.map(lambda leaf: rng.standard_normal(leaf.shape), vit_init(None, config))
    keywords = dict(config=config, masks=vit_masks(rng, config, 2, dtype=np.float64))
    images = rng.standard_normal((2, 4, 4, 1))
    return Case(vit, lambda dy, p, c: vit_backward(dy, p, c, config), (images, p), keywords)


def small_swin():
    """Two stages, of which the second has one window and no shift; of the parameters the first blocks are checked."""
    sizes = dict(image=4, channels=1, patch=1, dim=2, depths=(2, 2), heads=(1, 2), window=2, mlp_ratio=1, classes=2)
    config, rng = SwinConfig(**sizes, gelu="tanh"), np.random.default_rng(0)
    p = trees.map(lambda leaf: rng.standard_normal(leaf.shape), swin_init(None, config))
    first, *others = p["stages"]

    def with_blocks(blocks):
        return p | {"stages": [first | {"blocks": blocks}, *others]}

    def gradients(dy, blocks, c):
        dimages, g = swin_backward(dy, with_blocks(blocks), c, config)
        return dimages, g["stages"][0]["blocks"]

    inputs = rng.standard_normal((1, 4, 4, 1)), first["blocks"]
    return Case(lambda images, blocks: swin(images, with_blocks(blocks), config), gradients, inputs)


SAMPLES = 50  # of each tensor, beside the largest: a bug is in many entries, and there are hundreds of bugs


class WrongEntryError(Exception):
    """The gradient check has found an entry that is wrong."""


def until_one_is_wrong(tensor, gradient, number, entry=_Tensor.entry):
    """In place of the check of an entry: it raises WrongEntryError where the report would say FAILED."""
    row = entry(tensor, gradient, number)
    if row.error > tensor.rtol:
        raise WrongEntryError(str(row))
    return row


def passes(case):
    """Whether the gradient check passes; it ends at the first wrong entry: measuring the others takes the longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Tensor, "entry", until_one_is_wrong)
        try:
            return case.check().ok
        except WrongEntryError:
            return False


def case_of(name):
    """The case of this name, with few samples."""
    case = small_swin() if name == "small swin" else small_vit(**SMALL[name]) if name in SMALL else cases([name])[name]
    return replace(case, keywords={"samples": SAMPLES} | case.keywords)


@functools.cache
def is_right(name):
    """Whether a case passes as long as nothing is planted."""
    return passes(case_of(name))


def every_edit(bugs):
    """A test of every mistake of a list such as BUGS: its function, its case, what stands there, how it is written."""
    edits = [
        pytest.param(function, case, *edit, id=f"{function.__name__}: {mistake}")
        for function, case, mistakes in bugs
        for mistake, edit in mistakes.items()
    ]
    return pytest.mark.parametrize("function, case, right, wrong", edits)


def assert_found(function, case, right, wrong):
    """The case passes, and no longer does with the mistake planted."""
    if case in ("small swin", *SMALL):  # that those of tinyvit.checks pass is what tests/test_contracts.py is for
        assert is_right(case)
    with planted(function, (right, wrong)):
        assert not passes(case_of(case)), "the gradient check finds nothing"


@every_edit(BUGS)
def test_the_gradient_check_finds(function, case, right, wrong):
    assert_found(function, case, right, wrong)


def test_an_edit_that_mistakes_nothing_is_not_found():
    with pytest.raises(AssertionError, match="the gradient check finds nothing"):
        assert_found(linear_backward, "multi_head_attention", "x.T @ rows", "1 * x.T @ rows")


HALF = "padded = max((count - 1) * stride + kernel, size)\n    return (padded - size) // 2,"
LAST_RELU = (
    'dshortcut = relu_backward(dy, c["relu3"])\n    dy, g["conv3"] = standardised_convolution_backward(dshortcut,',
    'dshortcut = dy\n    dy, g["conv3"] = standardised_convolution_backward(relu_backward(dy, c["relu3"]),',
)
OPTIONS = (2, 1e-6, "std")  # of a standardised convolution in the cases
BLIND_CONVOLUTIONS = {  # what happens: the case, its twin, and where it is planted
    "of an odd number of zeros the larger half before": (
        "convolution/stride",
        naive.same_convolution,
        [(padding, (HALF, HALF.replace("(padded - size)", "(padded - size + 1)")))],
    ),
    "zeros around the image that is pooled": ("max_pool", naive_pyramids.max_pool, [(max_pool, ("-math.inf", "0"))]),
    "a variance that is 1 % too large": (
        "group_norm",
        lambda x, p, groups: naive_pyramids.group_norm(x, p, groups, 1e-6),
        [
            (group_norm, ("(1 / size) + eps)", "(1.01 / size) + eps)")),
            (group_norm_backward, ("along_xhat * gamma, groups) * (1 /", "along_xhat * gamma, groups) * (1.01 /")),
        ],
    ),
    "eps in the root": (
        "standardise/std",
        naive_pyramids.standardise,
        [
            (standardise, ("eps, inverse = STANDARDISE[kind]", 'eps, inverse = STANDARDISE["var"]')),
            (standardise_backward, ('if kind == "var"', "if True")),
        ],
    ),
    "ReLU before the sum": (
        "bottleneck",
        lambda x, p, stride, groups: naive_pyramids.bottleneck(x, p, stride, *OPTIONS),
        [
            (bottleneck, RELU_FIRST),
            (bottleneck_backward, LAST_RELU),
        ],
    ),
    "the stride in the first convolution, as in the first ResNets": (
        "bottleneck/projected",
        lambda x, p, stride, groups: naive_pyramids.bottleneck(x, p, stride, *OPTIONS),
        [
            (bottleneck, ('p["conv1"], **options', 'p["conv1"], stride=stride, **options')),
            (bottleneck, ('p["conv2"], stride=stride, **options', 'p["conv2"], **options')),
            (bottleneck_backward, ('p["conv1"], c["conv1"],', 'p["conv1"], c["conv1"], stride=stride,')),
            (bottleneck_backward, ('p["conv2"], c["conv2"], stride=stride,', 'p["conv2"], c["conv2"],')),
        ],
    ),
}


@pytest.mark.parametrize("name, twin, edits", BLIND_CONVOLUTIONS.values(), ids=BLIND_CONVOLUTIONS)
def test_the_convolutions_twin_finds_what_the_gradient_check_cannot(name, twin, edits):
    case = cases([name])[name]
    expected = twin(*case.inputs, **case.keywords)
    assert abs(case.forward(*case.inputs, **case.keywords)[0] - expected).max() < 1e-12
    with contextlib.ExitStack() as bugs:
        for function in dict.fromkeys(function for function, _ in edits):
            bugs.enter_context(planted(function, *(edit for other, edit in edits if other is function)))
        report = case.check()
        assert report.ok, f"the gradient check sees it, so it belongs to the other bugs:\n{report}"
        assert abs(case.forward(*case.inputs, **case.keywords)[0] - expected).max() > 1e-6


def first_of_equals_wins():
    """Whether, of four equal pixels, the first has all of the gradient: at a tie no gradient check can say which."""
    y, c = max_pool(np.ones((1, 2, 2, 1)), 2, 2)
    return max_pool_backward(3 * y, c, 2, 2).ravel().tolist() == [3, 0, 0, 0]


@pytest.mark.parametrize(
    "function, right, wrong",
    [
        pytest.param(max_pool, "larger = pixel > y", "larger = pixel >= y", id="the last wins"),
        pytest.param(max_pool_backward, "== number", "<= number", id="all have the gradient"),
    ],
)
def test_the_test_of_equal_pixels_finds(function, right, wrong):
    assert first_of_equals_wins()
    with planted(function, (right, wrong)):
        assert not first_of_equals_wins()


FEWER = ("(1 / x.shape[1])", "1")  # a sum for a mean
LATER = (  # the offsets' keys meet queries that are not scaled yet
    'if scale == "sqrt":\n        q, c["scale"] = scale_queries(q)\n    if "r" in p:\n'
    '        relative, c["r"] = relative_bias(q, split_heads(p["r"][None], heads)[0])\n'
    "        bias = relative if bias is None else relative + bias",
    'if "r" in p:\n        relative, c["r"] = relative_bias(q, split_heads(p["r"][None], heads)[0])\n'
    "        bias = relative if bias is None else relative + bias\n"
    '    if scale == "sqrt":\n        q, c["scale"] = scale_queries(q)',
)
LATER_BACK = (
    'if "r" in c:\n        dq_relative, dr = relative_bias_backward(dbias, c["r"])\n'
    '        dq, g["r"] = dq + dq_relative, merge_heads(dr[None])[0]\n'
    '    if "scale" in c:\n        dq = scale_queries_backward(dq, c["scale"])',
    'if "scale" in c:\n        dq = scale_queries_backward(dq, c["scale"])\n'
    '    if "r" in c:\n        dq_relative, dr = relative_bias_backward(dbias, c["r"])\n'
    '        dq, g["r"] = dq + dq_relative, merge_heads(dr[None])[0]',
)
COLUMNS = '{"x": grid[..., :half].sum(axis=0), "y": grid[..., half:].sum(axis=1)}'
ROWS = '{"x": grid[..., :half].sum(axis=1), "y": grid[..., half:].sum(axis=0)}'
HALVES = '{"x": grid[..., half:].sum(axis=0), "y": grid[..., :half].sum(axis=1)}'
WAVES, GRID, RELATIVE = (dict(position=kind) for kind in ("sinusoidal", "2d", "relative"))
LAYERS, SHARED = (dict(position_at=place) for place in ("layers", "shared"))
POST, MEAN = dict(norm="post"), dict(pool="mean")
BLIND = {  # wrong in both passes alike: {mistake: (a model that has it, [(function, edit), ...])}
    "waves ten times as long": (WAVES, [(sinusoidal_position, ("10_000", "100_000"))]),
    "cosine before sine": (
        WAVES,
        [(sinusoidal_position, ("[np.sin(angle), np.cos(angle)]", "[np.cos(angle), np.sin(angle)]"))],
    ),
    "all sines, then all cosines": (WAVES, [(sinusoidal_position, ("axis=-1)", "axis=1)"))]),
    "positions from 1": (WAVES, [(sinusoidal_position, ("xp.arange(first,", "1 + xp.arange(first,"))]),
    "one wave for all": (
        WAVES | LAYERS,
        [
            (
                sinusoidal_position,
                ("(-xp.arange(0, D, 2, dtype=z.dtype) / D)", "(0 * xp.arange(0, D, 2, dtype=z.dtype))"),
            )
        ],
    ),
    "at the stem as well": (
        WAVES | LAYERS,
        [(vit, ('if config.position_at == "stem":', "if True:"))],
    ),
    "offsets t - s": (
        RELATIVE | SHARED,
        [(_offsets, ("S - 1 + xp.arange(S) - rows", "S - 1 - xp.arange(S) + rows"))],
    ),
    "the middle is not the offset 0": (
        RELATIVE | LAYERS,
        [(_offsets, ("S - 1 + xp.arange(S) - rows", "(S + xp.arange(S) - rows) % (2 * S - 1)"))],
    ),
    "queries unscaled where they meet offsets": (
        RELATIVE | SHARED,
        [(multi_head_attention, LATER), (multi_head_attention_backward, LATER_BACK)],
    ),
    "x says the row, y the column": (
        GRID,
        [
            (grid_position, ('p["x"], (side,', 'p["x"][:, None], (side,')),
            (grid_position, ('p["y"][:, None], (side,', 'p["y"], (side,')),
            (grid_position_backward, (COLUMNS, ROWS)),
        ],
    ),
    "the halves exchanged": (
        GRID | LAYERS,
        [(grid_position, ("[columns, rows]", "[rows, columns]")), (grid_position_backward, (COLUMNS, HALVES))],
    ),
    "the scale is 1/d": (
        {},
        [
            (scale_queries, ("math.sqrt(q.shape[-1])", "q.shape[-1]")),
            (scale_queries_backward, ("math.sqrt(dy.shape[-1])", "dy.shape[-1]")),
        ],
    ),
    "no scale, whatever is asked for": ({}, [(encoder, ("scale=config.scale", 'scale="none"'))]),
    "a scale, whatever is asked for": (dict(scale="none"), [(encoder, ("scale=config.scale", 'scale="sqrt"'))]),
    "pre-norm, whatever is asked for": (
        POST,
        [(function, ("norm=config.norm", 'norm="pre"')) for function in (encoder, encoder_backward)],
    ),
    "the other activation": (POST | dict(gelu="erf"), [(encoder, ("gelu=config.gelu", 'gelu="tanh"'))]),
    "another eps than is asked for": (dict(eps=0.1), [(encoder, ("eps=config.eps", "eps=1e-6"))]),
    "a sum for a mean": (MEAN, [(mean_row, FEWER), (mean_row_backward, FEWER)]),
    "the mean normalised": (
        MEAN,
        [
            (
                mean_readout,
                (
                    'z, c["ln"] = layer_norm(z, p, eps=eps)\n    y, c["mean_row"] = mean_row(z)',
                    'y, c["mean_row"] = mean_row(z)\n    y, c["ln"] = layer_norm(y, p, eps=eps)',
                ),
            ),
            (
                mean_readout_backward,
                (
                    'return layer_norm_backward(mean_row_backward(dy, c["mean_row"]), p, c["ln"])',
                    'dy, g = layer_norm_backward(dy, p, c["ln"])\n    return mean_row_backward(dy, c["mean_row"]), g',
                ),
            ),
        ],
    ),
    "the last row for the class row": (
        {},
        [
            (class_readout, ("class_row(z)", "class_row(z[:, ::-1])")),
            (
                class_readout_backward,
                ('class_row_backward(dy, c["class_row"])', 'class_row_backward(dy, c["class_row"])[:, ::-1]'),
            ),
        ],
    ),
    "no residual around the MLP": (
        POST,
        [
            (post_norm_block, ("layer_norm(y + z, p", "layer_norm(y, p")),
            (post_norm_block_backward, ("dy + dz, p", "dy, p")),
        ],
    ),
    "positions that are never added": (
        LAYERS,
        [
            (block, ('z, c_pos["pos"] = add_position', '_, c_pos["pos"] = add_position')),
            (block_backward, ("return dz, g, dpos", "return dz, g, 0 * dpos")),
        ],
    ),
    "the keys of the offsets back to front": (
        RELATIVE | LAYERS,
        [
            (block, ('{"r": pos}', '{"r": pos[::-1]}')),
            (block_backward, ('g["msa"].pop("r")', 'g["msa"].pop("r")[::-1]')),
        ],
    ),
}


@pytest.mark.parametrize("options, edits", BLIND.values(), ids=BLIND)
def test_the_twin_finds_what_the_gradient_check_cannot(options, edits):
    case = small_vit(depth=1, **options)
    (images, p), config = case.inputs, case.keywords["config"]
    expected = naive_vit(images, p, config, None)
    assert abs(vit(images, p, config)[0] - expected).max() < 1e-12
    with contextlib.ExitStack() as bugs:
        for function in dict.fromkeys(function for function, _ in edits):
            bugs.enter_context(planted(function, *(edit for other, edit in edits if other is function)))
        report = case.check()
        assert report.ok, f"the gradient check sees it, so it belongs to the other bugs:\n{report}"
        assert abs(vit(images, p, config)[0] - expected).max() > 1e-6


SWIN = dict(channels=1, patch=2, dim=4, depths=(2, 2), heads=(2, 4), window=3, mlp_ratio=2, classes=5)
BY_COLUMN = "((0, 0), (0, 1), (1, 0), (1, 1))"
BLIND_IN_SWIN = {  # as BLIND
    "no mask": [(window_attention, ("if mask is not None:", "if False:"))],
    "masks by image, not by window": [
        (
            window_attention,
            ("if mask is not None:", "if mask is not None:\n        mask, B = mask.repeat(B, axis=0), 1"),
        )
    ],
    "the mask of plain windows": [(window_attention, ("(H, W, window, shift)", "(H, W, window, 0)"))],
    "a mask where nothing is shifted": [(window_attention, ("(H, W, window, shift)", "(H, W, window, 1)"))],
    "padding that is looked at": [(_labels, ("size, labels, -1)", "size, labels, labels)"))],
    "pieces of a last window that meet": [(_labels, ("= 1, 2", "= 1, 1"))],
    "offsets of key less query": [
        (
            offsets,
            (
                "rows[:, None] - rows, columns[:, None] - columns",
                "rows - rows[:, None], columns - columns[:, None]",
            ),
        )
    ],
    "offsets with the column first": [
        (offsets, ("(u + window - 1) * (2 * window - 1) + v", "(v + window - 1) * (2 * window - 1) + u"))
    ],
    "the first block shifted, not the second": [(SwinConfig.shift_of, ("if block % 2", "if not block % 2"))],
    "never shifted": [(SwinConfig.shift_of, ("if block % 2", "if False"))],
    "four in the order of a reshape": [
        (patch_merging, ("in NEIGHBOURS", f"in {BY_COLUMN}")),
        (patch_merging_backward, ("(NEIGHBOURS)", f"({BY_COLUMN})")),
    ],
    "another eps than is asked for": [(swin, ('stage["merging"], eps=config.eps', 'stage["merging"], eps=1e-2'))],
}


@pytest.mark.parametrize("edits", BLIND_IN_SWIN.values(), ids=BLIND_IN_SWIN)
def test_swins_twin_finds_what_the_gradient_check_cannot(edits):
    """On maps that windows of 3 x 3 divide (6 x 6 tokens, then 3 x 3), or on others (7 x 7, 4 x 4), or on both."""
    assert max(far_from_its_twin(image) for image in (12, 14)) < 1e-11
    with contextlib.ExitStack() as bugs:
        for function, edit in edits:
            bugs.enter_context(planted(function, edit))
        for case in ("window_attention/shifted", "patch_merging"):
            report = cases([case])[case].check()
            assert report.ok, f"the gradient check sees it, so it belongs to the other bugs:\n{report}"
        assert max(far_from_its_twin(image) for image in (12, 14)) > 1e-6


@functools.cache
def with_its_twins_logits(image):
    """A small Swin (images, p, config), and what the loops make of it: once, for they take the longest."""
    config, rng = SwinConfig(image=image, **SWIN, gelu="tanh"), np.random.default_rng(0)
    p = trees.map(lambda leaf: rng.standard_normal(leaf.shape), swin_init(None, config))
    images = rng.standard_normal((2, image, image, 1))
    sizes = dict(patch=2, heads=config.heads, window=3, eps=config.eps, activation=naive.gelu_tanh)
    return (images, p, config), naive_pyramids.swin(images, p, **sizes)


def far_from_its_twin(image):
    """How far the logits of a small Swin are from those of the loops."""
    model, expected = with_its_twins_logits(image)
    return abs(swin(*model)[0] - expected).max()


@functools.cache
def checkable(name):
    """The calls of an exercise in which the right backward pass agrees: not those at which numbers overflow."""
    exercise = exercises()[name]
    return [call for call in exercise.calls if passes(exercise.case(exercise.backward, call))]


@pytest.mark.parametrize(
    "name, mistake",
    [
        pytest.param(name, mistake, id=f"{mistake.function}: {mistake.says}")
        for name, exercise in exercises().items()
        if exercise.backward
        for mistake in (*mistakes(exercise.forward.__name__), *mistakes(name))
        if keeps_result(mistake)
    ],
)
def test_the_gradient_check_finds_what_learners_do(name, mistake):
    """In at least one of the calls: in the others there may be no smoothing to forget."""
    exercise = exercises()[name]
    assert checkable(name)
    for call in checkable(name):
        try:
            with planted(exercises()[mistake.function].function, mistake.edit):
                if not passes(exercise.case(exercise.backward, call)):
                    return
        except ValueError:  # the shapes do not fit: here the mistake shows itself
            continue
    pytest.fail("the gradient check finds nothing")
