"""The Vision Transformer on one page: from patches to logits, all the way back, and trained on 8 x 8 digits.

    python docs/one_page.py

Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021); the numbers on the right are its equations. NumPy alone;
nothing here is imported from the package tinyvit, which says the same at length, checked and faster. Names of
parameters are those of the package. B images, N patches, T = N + 1 tokens of width D, h heads, K classes.

Every backward pass is the chain rule, line by line in reverse. da means the gradient of the loss by a, and has a's
shape; g gathers the gradients of the parameters.
"""

import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # products as small as these are faster on one
import numpy as np

PATCH, DIM, DEPTH, HEADS, MLP_DIM, CLASSES = 2, 32, 3, 4, 128, 10  # P, D, L, h, M, K
EPOCHS, BATCH, RATE, DECAY = 20, 64, 4e-3, 0.05


def linear(x, p, name):  # y = x W + b
    return x @ p[f"{name}/w"] + p[f"{name}/b"]


def linear_backward(dy, x, p, name, g):  # dW = sum of x^T dy over all tokens, db = sum of dy, dx = dy W^T
    rows = dy.reshape(-1, dy.shape[-1])
    g[f"{name}/w"] = x.reshape(-1, x.shape[-1]).T @ rows
    g[f"{name}/b"] = rows.sum(axis=0)
    return dy @ p[f"{name}/w"].T


def layer_norm(x, p, name):  # LN(x) = gamma xhat + beta, where xhat has mean 0 and variance 1 in each token
    deviation = x - x.mean(axis=-1, keepdims=True)
    s = np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + 1e-6)
    xhat = deviation / s
    return p[f"{name}/gamma"] * xhat + p[f"{name}/beta"], (xhat, s)


def layer_norm_backward(dy, p, name, cache, g):
    xhat, s = cache
    over = tuple(range(dy.ndim - 1))
    g[f"{name}/gamma"], g[f"{name}/beta"] = (dy * xhat).sum(axis=over), dy.sum(axis=over)
    d = dy * p[f"{name}/gamma"]  # dxhat; through mean and variance, what lies along 1 and along xhat is lost
    return (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True)) / s


def gelu(x):  # x Phi(x), where Phi is the normal distribution, nearly; and its derivative
    u, k = x + 0.044715 * x**3, np.sqrt(2 / np.pi)
    t = np.tanh(k * u)
    return x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t * t) / 2 * k * (1 + 3 * 0.044715 * x * x)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))  # the largest exponent is 0: no overflow
    return e / e.sum(axis=-1, keepdims=True)


def split(x):  # into heads: [B, T, D] -> [B, h, T, D/h]
    return x.reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)


def merge(x):  # heads side by side: [B, h, T, D/h] -> [B, T, D]
    return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)


def attention(z, p, name):
    scale = 1 / np.sqrt(DIM // HEADS)
    q, k, v = (split(linear(z, p, f"{name}/{part}")) for part in "qkv")  # [q, k, v] = z U_qkv                       (5)
    a = softmax(q @ k.swapaxes(-1, -2) * scale)  # A = softmax(q k^T / sqrt(D_h)), [B, h, T, T]                      (6)
    heads = merge(a @ v)  # SA(z) = A v, all heads side by side                                                      (7)
    return linear(heads, p, f"{name}/o"), (z, q, k, v, a, heads, scale)  # MSA(z) = [SA_1; ...; SA_h] U_msa          (8)


def attention_backward(dy, p, name, cache, g):
    z, q, k, v, a, heads, scale = cache
    dheads = split(linear_backward(dy, heads, p, f"{name}/o", g))
    da, dv = dheads @ v.swapaxes(-1, -2), a.swapaxes(-1, -2) @ dheads
    dscores = a * (da - (da * a).sum(axis=-1, keepdims=True)) * scale  # of the softmax: a_i (da_i - sum of da_j a_j)
    dq, dk = dscores @ k, dscores.swapaxes(-1, -2) @ q
    parts = zip((dq, dk, dv), "qkv", strict=True)
    return sum(linear_backward(merge(d), z, p, f"{name}/{part}", g) for d, part in parts)  # z goes three ways


def block(z, p, name):
    y, c_ln1 = layer_norm(z, p, f"{name}/ln1")
    y, c_msa = attention(y, p, f"{name}/msa")
    z = y + z  # z' = MSA(LN(z)) + z                                                                                 (2)
    x, c_ln2 = layer_norm(z, p, f"{name}/ln2")
    hidden, slope = gelu(linear(x, p, f"{name}/mlp/fc1"))
    z = linear(hidden, p, f"{name}/mlp/fc2") + z  # z = MLP(LN(z')) + z'                                             (3)
    return z, (c_ln1, c_msa, c_ln2, x, hidden, slope)


def block_backward(dz, p, name, cache, g):
    c_ln1, c_msa, c_ln2, x, hidden, slope = cache
    d = linear_backward(dz, hidden, p, f"{name}/mlp/fc2", g) * slope
    d = linear_backward(d, x, p, f"{name}/mlp/fc1", g)
    dz = layer_norm_backward(d, p, f"{name}/ln2", c_ln2, g) + dz  # a sum hands its gradient to both terms           (3)
    d = attention_backward(dz, p, f"{name}/msa", c_msa, g)
    return layer_norm_backward(d, p, f"{name}/ln1", c_ln1, g) + dz  #                                                (2)


def patches_of(images):  # [B, H, W, C] -> [B, N, P*P*C], row by row
    B, H, W, C = images.shape
    grid = images.reshape(B, H // PATCH, PATCH, W // PATCH, PATCH, C).swapaxes(2, 3)
    return grid.reshape(B, -1, PATCH * PATCH * C)


def vit(images, p):
    x = patches_of(images)
    z = linear(x, p, "patch")  # [x_p^1 E; ...; x_p^N E]                                                             (1)
    z = np.concatenate([np.broadcast_to(p["cls"], (len(z), 1, DIM)), z], axis=1) + p["pos"]  # [x_class; ...] + E_pos(1)
    blocks = []
    for i in range(DEPTH):
        z, cache = block(z, p, f"blocks/{i}")
        blocks.append(cache)
    y, c_ln = layer_norm(z[:, 0], p, "ln")  # y = LN(z_L^0): of the class token alone                                (4)
    return linear(y, p, "head"), (x, blocks, z.shape, y, c_ln)


def vit_backward(dlogits, p, cache):
    x, blocks, shape, y, c_ln = cache
    g, dz = {}, np.zeros(shape, dlogits.dtype)
    dy = linear_backward(dlogits, y, p, "head", g)
    dz[:, 0] = layer_norm_backward(dy, p, "ln", c_ln, g)  #                                                          (4)
    for i in reversed(range(DEPTH)):
        dz = block_backward(dz, p, f"blocks/{i}", blocks[i], g)
    g["pos"], g["cls"] = dz.sum(axis=0), dz[:, 0].sum(axis=0, keepdims=True)  # all images share them                (1)
    linear_backward(dz[:, 1:], x, p, "patch", g)
    return g


def cross_entropy(logits, labels):  # the mean of -log softmax(logits) at the label, and its gradient
    a, B = softmax(logits), len(labels)
    loss = -np.log(a[np.arange(B), labels]).mean()
    return loss, (a - np.eye(CLASSES, dtype=a.dtype)[labels]) / B


def start(rng, image=8, channels=1):
    """Random parameters by name. Outputs shall be about as large as inputs; the head begins knowing nothing."""
    tokens, pixels = (image // PATCH) ** 2 + 1, PATCH * PATCH * channels
    p = {"patch/w": rng.standard_normal((pixels, DIM)) / np.sqrt(pixels), "patch/b": np.zeros(DIM)}
    p |= {"cls": np.zeros((1, DIM)), "pos": 0.5 * rng.standard_normal((tokens, DIM))}
    sizes = {f"msa/{part}": (DIM, DIM) for part in "qkvo"} | {"mlp/fc1": (DIM, MLP_DIM), "mlp/fc2": (MLP_DIM, DIM)}
    for name in [f"blocks/{i}" for i in range(DEPTH)]:
        for layer, (n, m) in sizes.items():
            p[f"{name}/{layer}/w"] = rng.uniform(-1, 1, (n, m)) * np.sqrt(6 / (n + m))
            p[f"{name}/{layer}/b"] = np.zeros(m)
        p |= {f"{name}/{ln}/gamma": np.ones(DIM) for ln in ("ln1", "ln2")}
        p |= {f"{name}/{ln}/beta": np.zeros(DIM) for ln in ("ln1", "ln2")}
    p |= {"ln/gamma": np.ones(DIM), "ln/beta": np.zeros(DIM)}
    p |= {"head/w": np.zeros((DIM, CLASSES)), "head/b": np.zeros(CLASSES)}
    return {name: w.astype("float32") for name, w in p.items()}


def adamw(p, g, m, v, step, rate):  # in place; means of gradients and of their squares, and decay for matrices
    for name in p:
        m[name] = 0.9 * m[name] + 0.1 * g[name]
        v[name] = 0.999 * v[name] + 0.001 * g[name] ** 2
        update = (m[name] / (1 - 0.9**step)) / (np.sqrt(v[name] / (1 - 0.999**step)) + 1e-8)
        p[name] -= rate * (update + DECAY * name.endswith("/w") * p[name])


def train(images, labels, rng, epochs=EPOCHS):
    p = start(rng)
    m, v = ({name: np.zeros_like(w) for name, w in p.items()} for _ in range(2))
    steps, step = epochs * -(-len(images) // BATCH), 0
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        for batch in np.split(order, range(BATCH, len(order), BATCH)):
            step += 1
            logits, cache = vit(images[batch], p)
            loss, dlogits = cross_entropy(logits, labels[batch])
            warm, fall = step / (0.1 * steps), (1 + np.cos(np.pi * step / steps)) / 2
            adamw(p, vit_backward(dlogits, p, cache), m, v, step, RATE * min(warm, 1) * fall)
        print(f"epoch {epoch + 1}/{epochs}: loss {loss:.3f}", flush=True)
    return p


def main():
    file = np.load(Path(__file__).parents[1] / "tinyvit" / "data" / "digits.npz")
    images, labels = (file["images"][..., None] / 8 - 1).astype("float32"), file["labels"].astype(int)  # from -1 to 1
    test = np.isin(np.arange(len(labels)), file["test"])
    begun = time.perf_counter()
    p = train(images[~test], labels[~test], np.random.default_rng(0))
    seconds = time.perf_counter() - begun
    right = vit(images[test], p)[0].argmax(axis=1) == labels[test]
    print(f"{100 * right.mean():.2f} % of {test.sum()} test digits, after {seconds:.0f} s")


if __name__ == "__main__":
    main()
