"""The MLP of an encoder block: two linear layers with a GELU between them."""

from tinyvit.layers.linear import linear, linear_backward, linear_init
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward
from tinyvit.ops.gelu import GELU, VALUES, gelu_backward
from tinyvit.ops.relu import relu

FORMS = (*GELU, "relu")  # the choices of a configuration's `gelu`
ACTIVATIONS = GELU | {"relu": relu}  # each keeps dy/dx, and so one backward pass, gelu's, serves all
ACTIVATIONS |= {f"{form}, value alone": f for form, f in VALUES.items()}  # but these, of `value_alone`, keep nothing


def mlp_init(rng, dim, mlp_dim, *, dtype="float32"):
    """Parameters {fc1 {w [D, M], b [M]}, fc2 {w [M, D], b [D]}}."""
    return {"fc1": linear_init(rng, dim, mlp_dim, dtype=dtype), "fc2": linear_init(rng, mlp_dim, dim, dtype=dtype)}


def mlp(x, p, *, gelu="erf", masks=NO_MASKS):
    """Let each token think for itself: widen to M features, apply GELU, come back to D.

        y = GELU(x w1 + b1) w2 + b2        (ViT paper, section 3.1)

    Parameters
    ----------
    x : array [B, T, D]
    p : {fc1, fc2}
    gelu : "erf" or "tanh"; or "relu", as the Transformer was first (Vaswani et al. 2017, equation 2)
        Or what `value_alone` makes of it, where no backward pass follows.
    masks : {fc1 [B, T, M], fc2 [B, T, D]}
        Dropout masks, for training: one after each dense layer.

    Returns
    -------
    y : array [B, T, D], and the cache {fc1, gelu, dropout1, fc2, dropout2}
    """
    c = {}
    x, c["fc1"] = linear(x, p["fc1"])
    x, c["gelu"] = ACTIVATIONS[gelu](x)
    x, c["dropout1"] = dropout(x, masks.get("fc1"))
    x, c["fc2"] = linear(x, p["fc2"])
    x, c["dropout2"] = dropout(x, masks.get("fc2"))
    return x, c


def value_alone(gelu):
    """The `gelu` that computes the same bits without the derivative, where there is one."""
    quicker = f"{gelu}, value alone"
    return quicker if quicker in ACTIVATIONS else gelu


def mlp_backward(dy, p, c):
    """The forward pass, line by line in reverse. Returns dx and g."""
    g = {}
    dy = dropout_backward(dy, c["dropout2"])
    dy, g["fc2"] = linear_backward(dy, p["fc2"], c["fc2"])
    dy = dropout_backward(dy, c["dropout1"])
    dy = gelu_backward(dy, c["gelu"])
    dy, g["fc1"] = linear_backward(dy, p["fc1"], c["fc1"])
    return dy, g
