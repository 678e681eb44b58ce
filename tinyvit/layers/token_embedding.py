"""Token embedding: every token of the vocabulary has a vector; and the way back, from a vector to scores for tokens."""

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.errors import DataError
from tinyvit.layers.initializers import normal


def token_embedding_init(rng, vocabulary, dim, *, dtype="float32"):
    """Parameters {w [V, D]}, of variance 1 / D: times sqrt(D), as the Transformer takes it, numbers of size 1."""
    return {"w": normal(rng, (vocabulary, dim), dim**-0.5, dtype)}


def token_embedding(tokens, p):
    """Look each token's vector up.

        y_bt = w[tokens_bt]

    That is the product of w with a one-hot row, without the zeros.

    Parameters
    ----------
    tokens : integer array [B, T]
        On the host, where they are checked.
    p : {w [V, D]}

    Returns
    -------
    y : array [B, T, D], and the cache {tokens}

    Raises
    ------
    DataError
        If one is not a token of the vocabulary.
    """
    tokens, xp = check_tokens(tokens, len(p["w"])), xp_of(p["w"])
    tokens = xp.asarray(tokens)
    return p["w"][tokens], {"tokens": tokens}


def token_embedding_backward(dy, p, c):
    """The gradient of the table: a token that stands in several places has the sum of their gradients.

    With y_n = w[v_n],  dw_v = sum of dy_n over all n with v_n = v: forward gathers, backward scatters and adds. Plain
    assignment, dw[v] += dy, would keep one of several equal tokens. Tokens have no gradient.

    Returns
    -------
    g {w}
    """
    xp, D = xp_of(dy), dy.shape[-1]
    places = c["tokens"].reshape(-1, 1) * D + xp.arange(D)  # in the flat table, where NumPy adds five times faster
    dw = xp.zeros_like(p["w"]).reshape(-1)
    xp.add.at(dw, places.reshape(-1), dy.reshape(-1))
    return {"w": dw.reshape(p["w"].shape)}


def token_scores(x, p):
    """How well a vector matches each token's: y = x w^T, with the table of `token_embedding` (Press and Wolf 2017).

    Parameters
    ----------
    x : array [..., D]
    p : {w [V, D]}

    Returns
    -------
    y : array [..., V], and the cache {x}
    """
    return (x.reshape(-1, x.shape[-1]) @ p["w"].T).reshape(*x.shape[:-1], len(p["w"])), {"x": x}


def token_scores_backward(dy, p, c):
    """As of `linear`, with w transposed: dx = dy w, dw = dy^T x. Returns dx and g, one of the table's two gradients."""
    x, rows = c["x"].reshape(-1, c["x"].shape[-1]), dy.reshape(-1, dy.shape[-1])
    return (rows @ p["w"]).reshape(c["x"].shape), {"w": rows.T @ x}


def check_tokens(tokens, vocabulary, source="tokens"):
    """The tokens as int64, once each is known to be one of 0 to V - 1.

    Raises
    ------
    DataError
        One line that begins with `source`: which token was found, at which place.
    """
    tokens = np.asarray(to_host(tokens))
    if tokens.ndim < 2 or tokens.dtype.kind not in "iu":
        found = f"found {tokens.dtype} of shape {list(tokens.shape)}"
        raise DataError(f"{source}: {found}, expected whole numbers, a row for each sequence")
    wrong = (tokens < 0) | (tokens >= vocabulary)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(f"{source}: found {tokens[place]} at {list(place)}, expected 0 to {vocabulary - 1}")
    return tokens.astype(np.int64)
