"""Cases for the hybrid: what its ResNet is made of, and the whole."""

from tinyvit.checks.case import B, Case, drawing
from tinyvit.layers.bottleneck import (
    bottleneck,
    bottleneck_backward,
    bottleneck_init,
    standardised_convolution,
    standardised_convolution_backward,
    standardised_convolution_init,
)
from tinyvit.layers.group_norm import group_norm, group_norm_backward, group_norm_init
from tinyvit.layers.resnet import resnet, resnet_backward, resnet_init
from tinyvit.models.config import ViTConfig
from tinyvit.models.hybrid import HybridConfig, hybrid, hybrid_backward, hybrid_init
from tinyvit.ops.max_pool import max_pool, max_pool_backward
from tinyvit.ops.relu import relu, relu_backward
from tinyvit.ops.standardise import STANDARDISE, standardise, standardise_backward


def hybrid_cases(rng):
    """Cases for every operation, for units with and without a projected shortcut, and for the whole of two stages."""
    array, randomised = drawing(rng)
    x = array(B, 5, 6, 4)
    found = {
        "relu": Case(relu, relu_backward, (x,)),
        "max_pool": Case(max_pool, lambda dy, c: max_pool_backward(dy, c, 3, 2), (x,), dict(kernel=3, stride=2)),
        "group_norm": Case(group_norm, group_norm_backward, (x, randomised(group_norm_init(None, 4))), dict(groups=2)),
    }
    for kind in STANDARDISE:
        found[f"standardise/{kind}"] = Case(
            standardise,
            lambda dy, c, kind=kind: standardise_backward(dy, c, kind=kind),
            (array(3, 2, 4, 5),),
            dict(kind=kind),
        )
    found["standardised_convolution"] = Case(
        standardised_convolution,
        lambda dy, p, c: standardised_convolution_backward(dy, p, c, stride=2, kind="var"),
        (x, randomised(standardised_convolution_init(None, 3, 4, 6))),
        dict(stride=2, groups=3, kind="var"),
    )
    for name, channels, stride in ("", 16, 1), ("/projected", 6, 2):
        found["bottleneck" + name] = Case(
            bottleneck,
            lambda dy, p, c, stride=stride: bottleneck_backward(dy, p, c, stride=stride),
            (array(B, 4, 3, channels), randomised(bottleneck_init(None, channels, 4, project=stride > 1))),
            dict(stride=stride, groups=2),
        )
    x, p = array(B, 9, 8, 1), randomised(resnet_init(None, 1, 4, (1, 1)))
    p["stem"]["gn"]["beta"] -= 2  # so that the ReLU stops some windows whole, and the pooling behind it passes zeros on
    found["resnet"] = Case(resnet, resnet_backward, (x, p), dict(groups=2))
    vit = ViTConfig(image=2, channels=16, patch=1, dim=4, depth=1, heads=2, mlp_dim=3, classes=3, gelu="tanh")
    config = HybridConfig(vit, image=8, channels=1, units=(1,), width=4, groups=2)
    found["hybrid"] = Case(
        hybrid,
        lambda dy, p, c: hybrid_backward(dy, p, c, config),
        (array(B, 8, 8, 1), randomised(hybrid_init(None, config))),
        dict(config=config),
    )
    return found
