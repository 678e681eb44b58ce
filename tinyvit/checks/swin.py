"""Cases for Swin: windows, their bias, attention within them, merging, the model."""

import numpy as np

from tinyvit.checks.case import B, Case, drawing
from tinyvit.layers.patch_merging import patch_merging, patch_merging_backward, patch_merging_init
from tinyvit.layers.swin_block import swin_block, swin_block_backward, swin_block_init
from tinyvit.layers.window_attention import window_attention, window_attention_backward, window_attention_init
from tinyvit.models.swin import SwinConfig, swin, swin_backward, swin_init, swin_masks
from tinyvit.ops.window_bias import window_bias, window_bias_backward
from tinyvit.ops.windows import from_windows, to_windows, to_windows_backward

HEIGHT, WIDTH, DIM, HEADS, WINDOW = 4, 5, 4, 2, 2  # a map that the window does not divide
SMALL = dict(image=6, channels=2, patch=1, dim=4, depths=(2, 1), heads=(2, 2), window=2, mlp_ratio=2, classes=3)


def swin_cases(rng):
    """Cases for everything that Swin is made of, with a shift and without, and for two stages of it."""
    array, randomised = drawing(rng)
    x, found = array(B, HEIGHT, WIDTH, DIM), {}
    found["to_windows"] = Case(
        to_windows, lambda dy, c: to_windows_backward(dy, c, 1), (x,), dict(window=WINDOW, shift=1)
    )
    found["from_windows"] = Case(
        lambda y: (from_windows(y, x.shape, 1), {}),
        lambda dx, c: to_windows(dx, WINDOW, 1)[0],
        (to_windows(array(*x.shape), WINDOW, 1)[0],),
    )
    found["window_bias"] = Case(window_bias, window_bias_backward, (array((2 * 3 - 1) ** 2, HEADS),))
    for name, shift in {"": 0, "/shifted": 1}.items():
        p = randomised(window_attention_init(None, DIM, HEADS, WINDOW))
        found["window_attention" + name] = Case(
            window_attention,
            lambda dy, p, c, shift=shift: window_attention_backward(dy, p, c, shift=shift),
            (x, p),
            dict(heads=HEADS, shift=shift),
        )
    masks = {name: array(B, 1, 1, 1) for name in ("msa", "mlp")}
    found["swin_block"] = Case(
        swin_block,
        lambda dy, p, c: swin_block_backward(dy, p, c, shift=1),
        (array(B, HEIGHT, 4, DIM), randomised(swin_block_init(None, DIM, HEADS, WINDOW, 3))),
        dict(heads=HEADS, shift=1, gelu="tanh", masks=masks),
    )
    found["patch_merging"] = Case(
        patch_merging, patch_merging_backward, (array(B, 4, 2, 3), randomised(patch_merging_init(None, 3)))
    )
    found["patch_merging/odd"] = Case(
        patch_merging, patch_merging_backward, (array(B, 3, 5, 2), randomised(patch_merging_init(None, 2)))
    )
    config = SwinConfig(**SMALL, gelu="tanh", drop_path=0.4)
    masks = swin_masks(np.random.default_rng(2), config, B, dtype="float64")  # none leaves a branch out of both images
    found["swin"] = Case(
        swin,
        lambda dy, p, c: swin_backward(dy, p, c, config),
        (array(B, 6, 6, 2), randomised(swin_init(None, config))),
        dict(config=config, masks=masks),
    )
    return found
