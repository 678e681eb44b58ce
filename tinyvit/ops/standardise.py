"""Weight standardisation (Qiao et al. 2019): a kernel is used as if each of its outputs had mean 0 and deviation 1."""

import numpy as np

from tinyvit.ops.sums import column_sums

STANDARDISE = {  # where eps stands: beside the deviation, or in the root
    "std": (1e-5, lambda variance, eps: 1 / (np.sqrt(variance) + eps)),
    "var": (1e-8, lambda variance, eps: 1 / np.sqrt(variance + eps)),
}


def standardise(w, *, kind="std"):
    """Normalise the kernel of each output channel over height, width and input channels.

        y = (w - mean(w)) / (std(w) + 1e-5)           "std": Google's networks
        y = (w - mean(w)) / sqrt(var(w) + 1e-8)       "var": timm's and Hugging Face's

    Whatever was learned as w, the size of what comes out of the convolution does not depend on it: with group
    normalisation behind it, no batch statistics are needed. The deviation is the biased one. Where eps stands matters:
    with small kernels (deviation 0.003) the two differ by 1e-2 after a network.

    Parameters
    ----------
    w : array [K, K, I, O]
    kind : "std" or "var"

    Returns
    -------
    y : array [K, K, I, O], and the cache {centred, factor [O]}
    """
    eps, inverse = STANDARDISE[kind]
    centred = w - _mean(w)
    factor = inverse(_mean(centred * centred), w.dtype.type(eps))
    return centred * factor, {"centred": centred, "factor": factor}


def standardise_backward(dy, c, *, kind="std"):
    """The gradient of the kernel, for each output as in layer_norm.

    With m_i = w_i - mean(w) and y_i = f m_i, where the factor f depends on var = mean(m^2):

        "var": df/dvar = -f^3 / 2,    "std": df/dvar = -f^2 / (2 std),    dvar/dm_j = 2 m_j / n
        dm_j = f dy_j - f^2 u_j mean_i(dy_i m_i),    u = f m ("var"),    u = m / std ("std"),    dw_j = dm_j - mean(dm)

    Where all weights are equal, m and u are 0.
    """
    centred, f = c["centred"], c["factor"]
    if kind == "var":
        u = f * centred
    else:
        u = centred / np.maximum(np.sqrt(_mean(centred * centred)), np.finfo(f.dtype).tiny)
    dcentred = f * dy - f * f * u * _mean(dy * centred)
    return dcentred - _mean(dcentred)


def _mean(w):
    """Of each output, over height, width and input channels: [K, K, I, O] -> [O]."""
    return column_sums(w) * (w.shape[-1] / w.size)
