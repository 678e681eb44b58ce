"""The linear layer."""

from tinyvit.layers.initializers import xavier_uniform, zeros
from tinyvit.ops.sums import column_sums


def linear_init(rng, fan_in, fan_out, *, w=xavier_uniform, dtype="float32"):
    """Parameters {w [I, O], b [O]}: w drawn by an initializer w(rng, fan_in, fan_out, dtype), b zero."""
    return {"w": w(rng, fan_in, fan_out, dtype), "b": zeros(rng, (fan_out,), dtype)}


def linear(x, p):
    """Multiply the last axis with a matrix, and shift.

        y = x w + b

    Parameters
    ----------
    x : array [..., I]
    p : {w [I, O], b [O]}
        b may be absent.

    Returns
    -------
    y : array [..., O], and the cache {x}
    """
    y = x.reshape(-1, x.shape[-1]) @ p["w"]  # one large product: with more axes, NumPy would run many small ones
    if "b" in p:
        y += p["b"]
    return y.reshape(*x.shape[:-1], y.shape[-1]), {"x": x}


def linear_backward(dy, p, c):
    """The gradients of input and parameters.

    With y_no = sum_i x_ni w_io + b_o for each row n,

        dx_ni = sum_o dy_no w_io    ->    dx = dy w^T
        dw_io = sum_n x_ni dy_no    ->    dw = x^T dy
        db_o  = sum_n dy_no

    Each is the only product of the two others' shapes that fits.
    """
    x, rows = c["x"].reshape(-1, c["x"].shape[-1]), dy.reshape(-1, dy.shape[-1])
    g = {"w": x.T @ rows}
    if "b" in p:
        g["b"] = column_sums(rows)
    return (rows @ p["w"].T).reshape(*dy.shape[:-1], len(p["w"])), g
