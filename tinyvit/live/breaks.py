"""The parts that the live page can leave out, as edits of its model: what to replace in model.js, and by what.

Of each part the first edit is in the forward pass, the second in the backward pass. Both together make another network,
whose gradient is right; the second alone is a bug, as the museum of gradient bugs has them.
"""

BREAKS = {
    "scale": (
        ("[q, c.scale] = scale_queries(q);", "c.scale = {};"),
        ("if (c.scale) dq = scale_queries_backward(dq, c.scale);", ""),
    ),
    "position": (
        ("return [add(z, p), {}];", "return [z, {}];"),
        ("return [dy, dy];", "return [dy, times(dy, 0)];"),
    ),
    "residual": (
        ("z = add(y, z); ", "z = y; "),
        ("return [add(dy, dz), g];", "return [dy, g];"),
    ),
    "head": (
        ("linear(merge_heads(y), p.o)", "linear(merge_heads(y.fill(0, 0, y.length / heads)), p.o)"),
        ("(split_heads(dy, heads), c.att)", "(split_heads(dy, heads).fill(0, 0, dy.length / heads), c.att)"),
    ),
}
