"""How parameters start: drawn on the CPU, so that one seed gives one model on every device.

With `rng=None` nothing is drawn and no memory taken: the arrays have the right shape and dtype, and all their numbers,
zeros or (for gamma) ones, share one address. A whole ViT-H/14 can so be described, counted, or compared with a file, in
a moment.
"""

import math

import numpy as np

from tinyvit.arrays import check_generator


def normal(rng, shape, std, dtype=np.float32):
    """Draw from a normal distribution of mean 0 and the given standard deviation."""
    if rng is None:
        return zeros(rng, shape, dtype)
    check_generator(rng)
    return (std * rng.standard_normal(shape)).astype(dtype)


def xavier_uniform(rng, fan_in, fan_out, dtype=np.float32):
    """A matrix [fan_in, fan_out], uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).

    The variance 2 / (fan_in + fan_out) keeps the size of the activations, on the way forward, and of the gradients, on
    the way back, about the same from layer to layer. The ViT paper's code starts every projection of the encoder this
    way.
    """
    if rng is None:
        return zeros(rng, (fan_in, fan_out), dtype)
    check_generator(rng)
    limit = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, (fan_in, fan_out)).astype(dtype)


def lecun_normal(rng, fan_in, fan_out, dtype=np.float32):
    """A matrix [fan_in, fan_out] of variance 1 / fan_in: outputs are as large as inputs. For the patches."""
    return normal(rng, (fan_in, fan_out), 1 / math.sqrt(fan_in), dtype)


def orthogonal(rng, fan_in, fan_out, dtype=np.float32):
    """A matrix [fan_in, fan_out] with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    For the matrix that a recurrent layer multiplies its state with once for every token: all its singular values are 1,
    so that by itself it makes states and gradients neither grow nor vanish.
    """
    if rng is None:
        return zeros(rng, (fan_in, fan_out), dtype)
    check_generator(rng)
    q, r = np.linalg.qr(rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out))))
    q = q * np.sign(np.diag(r))  # so that each such matrix is as likely as any other
    return (q if fan_in >= fan_out else q.T).astype(dtype)


def side_by_side(rng, count, draw, fan_in, fan_out, dtype=np.float32):
    """So many matrices, each drawn by an initializer for its own sizes, as one [fan_in, count * fan_out]."""
    if rng is None:
        return zeros(rng, (fan_in, count * fan_out), dtype)
    return np.concatenate([draw(rng, fan_in, fan_out, dtype) for _ in range(count)], axis=1)


def zeros(rng, shape, dtype=np.float32):
    """Zeros; for biases, the class token, and the head, whose first prediction is then the same for every class."""
    return _constant(rng, 0, shape, dtype)


def ones(rng, shape, dtype=np.float32):
    """Ones; for LayerNorm's gamma."""
    return _constant(rng, 1, shape, dtype)


def _constant(rng, value, shape, dtype):
    filled = np.broadcast_to(np.asarray(value, dtype), shape)
    return filled if rng is None else filled.copy()
