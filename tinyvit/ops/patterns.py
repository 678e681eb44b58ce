"""Attention patterns: which keys each query may look at. A pattern is a matrix of True and False, its own definition.

    allowed[t, s]    may query t look at key s?

On a picture, tokens are numbered row by row: token t of a grid with W columns stands in row t // W, column t % W.
Every pattern lets a token look at itself, so that no row of the softmax is empty. As a bias of `attention`, a pattern
is 0 where it is True and -inf elsewhere (`pattern_bias`); `sparse_attention` computes only what is allowed.

Each function takes `queries`, numbers of tokens, and then returns their rows alone, [n, T]: the whole matrix of 50,176
tokens would be 2.5 GB of True and False.
"""

import numpy as np


def full(tokens, queries=None):
    """Everybody looks at everybody: T^2 pairs."""
    return np.ones((tokens if queries is None else len(queries), tokens), bool)


def causal(tokens, queries=None):
    """Nobody looks ahead: s <= t, as in a decoder; T (T + 1) / 2 pairs."""
    t = np.arange(tokens)
    return _of(t, queries)[:, None] >= t


def sliding(tokens, radius, dilation=1, queries=None):
    """The neighbours in a sequence, |t - s| <= r d in steps of d (Longformer: Beltagy et al. 2020, section 3.1).

    Without dilation that is T (2r + 1) - r (r + 1) pairs: at the ends, neighbours are missing.
    """
    apart = _apart(np.arange(tokens), queries)
    return (apart <= radius * dilation) & (apart % dilation == 0)


def neighbourhood(height, width, radius, queries=None):
    """The k x k pixels around each, k = 2r + 1, r rows and columns away (Ramachandran et al. 2019, section 3.1)."""
    rows, columns = _places(height, width)
    return (_apart(rows, queries) <= radius) & (_apart(columns, queries) <= radius)


def row(height, width, queries=None):
    """The own row: the first half of axial attention (Ho et al. 2019; Wang et al. 2020, Axial-DeepLab)."""
    rows, _ = _places(height, width)
    return _same(rows, queries)


def column(height, width, queries=None):
    """The own column: the other half. Row and column after each other reach every pair in two layers."""
    _, columns = _places(height, width)
    return _same(columns, queries)


def windows(height, width, window, shift=0, queries=None):
    """Windows of M x M tokens, none of which sees into another; displaced by s rows and columns (Swin).

    Displaced windows are cut at the borders: the first is s wide, the last M - s. Swin's own form rolls the map and
    masks what came in from the other side; the pairs are the same.
    """
    rows, columns = _places(height, width)
    return _same((rows - shift) // window, queries) & _same((columns - shift) // window, queries)


def strided(tokens, stride, queries=None):
    """Two patterns of the Sparse Transformer (Child et al. 2019, section 4.2): the last l, and every l-th.

    A1 = {s : |t - s| <= l},  A2 = {s : (t - s) mod l = 0}. With l = W, A2 is the column. In the paper, which generates
    images pixel by pixel, both are causal: `strided(...) & causal(...)`.

    Returns
    -------
    array [2, T, T] : A1 and A2, for two heads or two layers; or both for one, A1 | A2
    """
    apart = _apart(np.arange(tokens), queries)
    return np.stack([apart <= stride, apart % stride == 0])


def fixed(tokens, stride, summaries, queries=None):
    """The other two: the own block of l tokens, and the last c tokens of each block, which sum it up for the others.

    A1 = {s : s // l = t // l},  A2 = {s : s mod l >= l - c}, and a token itself, without which in the causal form the
    first would have nobody. With l = W, A1 is the row.

    Returns
    -------
    array [2, T, T] : A1 and A2
    """
    t = np.arange(tokens)
    summary = t % stride >= stride - summaries
    return np.stack([_same(t // stride, queries), summary | _same(t, queries)])


def with_global(allowed, count=1):
    """The pattern with `count` tokens in front, at whom everybody looks and who look at everybody.

    A class token is one: else it would see no patch. Longformer's global tokens are the same, but for projections of
    their own.
    """
    tokens = len(allowed) + count
    extended = np.ones((tokens, tokens), bool)
    extended[count:, count:] = allowed
    return extended


def pattern_bias(allowed, dtype="float32"):
    """0 where it is allowed and -inf elsewhere: the pattern as `attention` takes it."""
    bias = np.zeros(np.shape(allowed), dtype)
    bias[~np.asarray(allowed)] = -np.inf
    return bias


def _places(height, width):
    """Row and column of each token."""
    return np.divmod(np.arange(height * width), width)


def _apart(x, queries):
    return abs(_of(x, queries)[:, None] - x)


def _same(x, queries):
    return _of(x, queries)[:, None] == x


def _of(x, queries):
    return x if queries is None else x[queries]
