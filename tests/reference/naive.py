"""The plain twins of tinyvit's functions: index forms, written out with loops, slow and obviously right.

Nothing here imports tinyvit. A function takes the arrays that its tuned twin takes and returns its result alone,
without a cache; a `_backward` returns gradients. Trees of parameters have tinyvit's names.
"""

import math

import numpy as np


def elementwise(f, x):
    """f, a function of one Python float, at every entry of x."""
    return np.array([f(float(value)) for value in x.flat]).reshape(x.shape)


def normal_cdf(x):
    """Phi(x), by math.erf."""
    return elementwise(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2, x)


def normal_pdf(x):
    """phi(x)."""
    return elementwise(lambda v: math.exp(-v * v / 2) / math.sqrt(2 * math.pi), x)


def gelu(x):
    """x Phi(x)."""
    return x * normal_cdf(x)


def gelu_derivative(x):
    """Phi(x) + x phi(x)."""
    return normal_cdf(x) + x * normal_pdf(x)


def gelu_tanh(x):
    """The tanh form."""
    return elementwise(lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))), x)


def softmax(x):
    """Row by row: exp(x_j) / sum_k exp(x_k)."""
    y = np.empty_like(x)
    for index in np.ndindex(x.shape[:-1]):
        e = [math.exp(value - max(x[index])) for value in x[index]]
        y[index] = [value / math.fsum(e) for value in e]
    return y


def softmax_backward(dy, y):
    """Row by row, with the whole Jacobian dy_j/dx_i = y_j (1[i=j] - y_i)."""
    dx = np.empty_like(y)
    for index in np.ndindex(y.shape[:-1]):
        jacobian = np.diag(y[index]) - np.outer(y[index], y[index])
        dx[index] = jacobian @ dy[index]
    return dx


def attention(q, k, v, bias=None):
    """For each image, head and query: weigh the values by softmax(q . k_s + bias)."""
    B, h, T, _ = q.shape
    S = k.shape[2]
    bias = np.broadcast_to(0.0 if bias is None else bias, (B, h, T, S))
    y = np.zeros((B, h, T, v.shape[-1]))
    for b, i, t in np.ndindex(B, h, T):
        scores = np.array([np.dot(q[b, i, t], k[b, i, s]) + bias[b, i, t, s] for s in range(S)])
        weights = softmax(scores)
        for s in range(S):
            y[b, i, t] += weights[s] * v[b, i, s]
    return y


def relative_bias(q, r):
    """For each image, head, query and key: the query's product with the row that the key's offset s - t has in r."""
    B, h, T, _ = q.shape
    S = (r.shape[1] + 1) // 2
    bias = np.zeros((B, h, T, S))
    for b, i, t, s in np.ndindex(B, h, T, S):
        rows = dict(zip(range(1 - S, S), r[i], strict=True))
        bias[b, i, t, s] = np.dot(q[b, i, t], rows[s - t])
    return bias


def relative_bias_backward(dbias, q, r):
    """dq, dr: every product hands dbias on to both of its factors."""
    dq, dr, S = np.zeros_like(q), np.zeros_like(r), dbias.shape[-1]
    for b, i, t, s in np.ndindex(dbias.shape):
        dq[b, i, t] += dbias[b, i, t, s] * r[i, S - 1 + s - t]
        dr[i, S - 1 + s - t] += dbias[b, i, t, s] * q[b, i, t]
    return dq, dr


def multi_head_attention(x, kv, p, heads, bias=None, scale="sqrt"):
    """A loop over images and heads; each head reads its own columns of the projections, and of the offsets' keys."""
    B, T, D = x.shape
    S, d = kv.shape[1], D // heads
    bias = np.broadcast_to(0.0 if bias is None else bias, (B, heads, T, S))
    y = np.zeros_like(x)
    for b in range(B):
        outputs = []
        for i in range(heads):
            columns = slice(i * d, (i + 1) * d)
            q = x[b] @ p["q"]["w"][:, columns] + p["q"]["b"][columns]
            k = kv[b] @ p["k"]["w"][:, columns] + p["k"]["b"][columns]
            v = kv[b] @ p["v"]["w"][:, columns] + p["v"]["b"][columns]
            q = q / {"sqrt": math.sqrt(d), "none": 1}[scale]
            scores = q @ k.T + bias[b, i]
            if "r" in p:
                scores = scores + relative_bias(q[None, None], p["r"][None, :, columns])[0, 0]
            outputs.append(softmax(scores) @ v)
        y[b] = np.concatenate(outputs, axis=1) @ p["o"]["w"] + p["o"]["b"]
    return y


def linear(x, p):
    """y_o = sum_i x_i w_io + b_o, at every place of the leading axes."""
    w, b = p["w"], p.get("b", np.zeros(p["w"].shape[1]))
    y = np.zeros((*x.shape[:-1], w.shape[1]))
    for place in np.ndindex(x.shape[:-1]):
        for o in range(w.shape[1]):
            y[place][o] = sum(x[place][i] * w[i, o] for i in range(w.shape[0])) + b[o]
    return y


def linear_backward(dy, x, w):
    """dx, dw, db, one product at a time."""
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[1])
    for place in np.ndindex(x.shape[:-1]):
        for o in range(w.shape[1]):
            db[o] += dy[place][o]
            for i in range(w.shape[0]):
                dx[place][i] += dy[place][o] * w[i, o]
                dw[i, o] += x[place][i] * dy[place][o]
    return dx, dw, db


def layer_norm(x, p, eps=1e-6):
    """(x - mean) / sqrt(var + eps), scaled and shifted; np.var is the biased variance."""
    mean, var = np.mean(x, axis=-1, keepdims=True), np.var(x, axis=-1, keepdims=True)
    return p["gamma"] * (x - mean) / np.sqrt(var + eps) + p["beta"]


def layer_norm_backward(dy, x, p, eps=1e-6):
    """dx, dgamma, dbeta, with each token's whole Jacobian dxhat_i/dx_j = r (1[i=j] - 1/D - xhat_i xhat_j / D)."""
    D = x.shape[-1]
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros(D), np.zeros(D)
    for place in np.ndindex(x.shape[:-1]):
        r = 1 / math.sqrt(np.var(x[place]) + eps)
        xhat = (x[place] - np.mean(x[place])) * r
        jacobian = r * (np.eye(D) - 1 / D - np.outer(xhat, xhat) / D)
        dx[place] = jacobian.T @ (dy[place] * p["gamma"])
        dgamma += dy[place] * xhat
        dbeta += dy[place]
    return dx, dgamma, dbeta


def patchify(x, patch):
    """Patch by patch, in raster order; each flattened row by row, channels last."""
    B, H, W, _ = x.shape
    images = []
    for b in range(B):
        patches = []
        for top in range(0, H, patch):
            for left in range(0, W, patch):
                patches.append([x[b, top + i, left + j, n] for i, j, n in np.ndindex(patch, patch, x.shape[3])])
        images.append(patches)
    return np.array(images)


def convolution(x, w, b, stride):
    """A real sliding window: a kernel [K, L, C, D] of any size visits every place that the stride allows."""
    B, H, W, C = x.shape
    K, L, _, width = w.shape
    rows, columns = (H - K) // stride + 1, (W - L) // stride + 1
    y = np.zeros((B, rows, columns, width))
    for image, i, j, o in np.ndindex(y.shape):
        y[image, i, j, o] = b[o]
        for p, q, n in np.ndindex(K, L, C):
            y[image, i, j, o] += x[image, i * stride + p, j * stride + q, n] * w[p, q, n, o]
    return y


def convolution_backward(dy, x, w, stride):
    """dx, dw, db: every product of the forward pass hands dy on to both of its factors."""
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[-1])
    for image, i, j, o in np.ndindex(dy.shape):
        db[o] += dy[image, i, j, o]
        for p, q, n in np.ndindex(w.shape[:3]):
            dx[image, i * stride + p, j * stride + q, n] += dy[image, i, j, o] * w[p, q, n, o]
            dw[p, q, n, o] += dy[image, i, j, o] * x[image, i * stride + p, j * stride + q, n]
    return dx, dw, db


def cubic(t, a):
    """Keys' piecewise cubic, the polynomials multiplied out."""
    t = abs(t)
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def resize_weights(old, new, i, method):
    """What each of the old pixels gives to the new pixel i, one axis: a case for each of the five methods."""
    weights = [0.0] * old
    place = (i + 0.5) * old / new - 0.5
    if method == "bilinear aligned":
        place = i * (old - 1) / (new - 1) if new > 1 else 0.0
    left = math.floor(place)
    if method in ("bilinear aligned", "bilinear"):  # between two pixels, the nearer one counts more
        weights[min(max(left, 0), old - 1)] += 1 - (place - left)
        weights[min(max(left + 1, 0), old - 1)] += place - left
    elif method == "bicubic":  # four pixels; the edge's stands for those beyond it
        for j in range(left - 1, left + 3):
            weights[min(max(j, 0), old - 1)] += cubic(j - place, -0.75)
    else:  # antialias: a kernel as wide as what becomes one pixel, over the pixels that there are
        width = max(1.0, old / new)
        for j in range(old):
            t = (j - place) / width
            weights[j] = max(0.0, 1 - abs(t)) if method == "bilinear antialias" else cubic(t, -0.5)
        weights = [weight / math.fsum(weights) for weight in weights]
    return weights


def resize(x, height, width, method):
    """Each new pixel: the weighted sum of all old ones."""
    B, H, W, C = x.shape
    y = np.zeros((B, height, width, C))
    for i, j in np.ndindex(height, width):
        down, across = resize_weights(H, height, i, method), resize_weights(W, width, j, method)
        for k, m in np.ndindex(H, W):
            y[:, i, j] += down[k] * across[m] * x[:, k, m]
    return y


def resize_backward(dy, x, method):
    """dx: every product of the forward pass hands dy on to the old pixel, with the same weight."""
    _, height, width, _ = dy.shape
    _, H, W, _ = x.shape
    dx = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        down, across = resize_weights(H, height, i, method), resize_weights(W, width, j, method)
        for k, m in np.ndindex(H, W):
            dx[:, k, m] += down[k] * across[m] * dy[:, i, j]
    return dx


def resize_positions(pos, grid, method):
    """Row 0, then the patches' rows: laid out, resized, and read row by row."""
    side = round(math.sqrt(len(pos) - 1))
    image = [[pos[1 + row * side + column] for column in range(side)] for row in range(side)]
    resized = resize(np.array([image]), grid, grid, method)[0]
    return np.array([pos[0]] + [resized[i, j] for i, j in np.ndindex(grid, grid)])


def mlp(x, p, activation=gelu, masks=None):
    """Two linear layers, each followed by its dropout mask, with a GELU between them."""
    masks = masks or {"fc1": 1, "fc2": 1}
    return linear(activation(linear(x, p["fc1"])) * masks["fc1"], p["fc2"]) * masks["fc2"]


def encoder_block(z, p, heads, activation=gelu, eps=1e-6, masks=None, scale="sqrt"):
    """z' = MSA(LN(z)) + z, then z = MLP(LN(z')) + z'."""
    masks = masks or {"msa": 1, "mlp": None}
    y = layer_norm(z, p["ln1"], eps)
    z = z + multi_head_attention(y, y, p["msa"], heads, scale=scale) * masks["msa"]
    return z + mlp(layer_norm(z, p["ln2"], eps), p["mlp"], activation, masks["mlp"])


def post_norm_block(z, p, heads, activation=gelu, eps=1e-6, masks=None, scale="sqrt"):
    """z' = LN(MSA(z) + z), then z = LN(MLP(z') + z')."""
    masks = masks or {"msa": 1, "mlp": None}
    z = layer_norm(z + multi_head_attention(z, z, p["msa"], heads, scale=scale) * masks["msa"], p["ln1"], eps)
    return layer_norm(z + mlp(z, p["mlp"], activation, masks["mlp"]), p["ln2"], eps)


def mean_row(x):
    """Row by row, added up and divided by their number."""
    return sum(x[:, n] for n in range(x.shape[1])) / x.shape[1]


def class_readout(z, p, eps=1e-6):
    """Row 0 of all the rows, normalised."""
    return layer_norm(z, p, eps)[:, 0]


def mean_readout(z, p, eps=1e-6):
    """Each row normalised, then their mean."""
    return mean_row(layer_norm(z, p, eps))


def mean_norm_readout(z, p, eps=1e-6):
    """The mean of the rows, normalised."""
    return layer_norm(mean_row(z)[:, None], p, eps)[:, 0]


def patch_mean_readout(z, p, eps=1e-6):
    """Of the rows after the first, each normalised, the mean."""
    return mean_readout(z[:, 1:], p, eps)


def patch_mean_norm_readout(z, p, eps=1e-6):
    """The mean of the rows after the first, normalised."""
    return mean_norm_readout(z[:, 1:], p, eps)


READOUTS = {
    "class": class_readout,
    "mean": mean_readout,
    "mean_norm": mean_norm_readout,
    "patch_mean": patch_mean_readout,
    "patch_mean_norm": patch_mean_norm_readout,
}


def learned_position(z, p):
    """Row t of the table is added to token t of every image."""
    return np.array([[z[b, t] + p[t] for t in range(z.shape[1])] for b in range(len(z))])


def grid_position(z, p):
    """To the patch in row i and column j: column j's embedding, followed by row i's."""
    side, first = len(p["x"]), len(p.get("cls", ()))
    y = z.copy()
    for b, i, j in np.ndindex(len(z), side, side):
        y[b, first + i * side + j] += np.concatenate([p["x"][j], p["y"][i]])
    if first:
        y[:, 0] += p["cls"][0]
    return y


def sinusoidal_position(z, p=None):
    """Feature j of token t: the sine, for even j, or the cosine, of t / 10000^(2i/D), i the pair's number."""
    B, T, D = z.shape
    y = z.copy()
    for b, t, j in np.ndindex(B, T, D):
        y[b, t, j] += (math.cos if j % 2 else math.sin)(t / 10000 ** (2 * (j // 2) / D))
    return y


POSITIONS = {
    "1d": learned_position,
    "2d": grid_position,
    "sinusoidal": sinusoidal_position,
    "none": lambda z, p: z,
    "relative": lambda z, p: z,  # nothing is added to the tokens
}


def vit(
    images,
    p,
    *,
    patch,
    heads,
    activation=gelu,
    eps=1e-6,
    masks=None,
    pool="class",
    position="1d",
    position_at="stem",
    norm="pre",
    scale="sqrt",
):
    """Equations 1 to 4 and their variants. pre_logits are where p has them."""
    add, block = POSITIONS[position], {"pre": encoder_block, "post": post_norm_block}[norm]
    z = patchify(images, patch) @ p["patch"]["w"] + p["patch"]["b"]
    if len(p["cls"]):
        z = np.array([np.concatenate([p["cls"], tokens]) for tokens in z])
    if position_at == "stem":
        z = add(z, p["pos"])
    if masks:
        z = z * masks["stem"]
    for i, q in enumerate(p["blocks"]):
        if position_at != "stem":
            pos = p["pos"][i] if position_at == "layers" else p["pos"]
            z = add(z, pos)
            if position == "relative":
                q = q | {"msa": q["msa"] | {"r": pos}}
        z = block(z, q, heads, activation, eps, masks and masks["blocks"][i], scale)
    y = READOUTS[pool](z, p["ln"], eps)
    if "pre_logits" in p:
        y = elementwise(math.tanh, linear(y, p["pre_logits"]))
    return linear(y, p["head"])


def cross_entropy(logits, labels, smoothing=0.0):
    """-1/B sum_b sum_k t_bk log softmax(logits_b)_k with t = (1 - s) onehot + s / K."""
    B, K = logits.shape
    loss = 0.0
    for b in range(B):
        probabilities = softmax(logits[b])
        for k in range(K):
            target = (1 - smoothing) * (k == labels[b]) + smoothing / K
            loss -= target * math.log(probabilities[k]) / B
    return loss


def cross_entropy_backward(logits, labels, smoothing=0.0):
    """The gradient of the logits, (softmax - target) / B."""
    B, K = logits.shape
    dlogits = np.zeros((B, K))
    for b, k in np.ndindex(B, K):
        dlogits[b, k] = (softmax(logits[b])[k] - (1 - smoothing) * (k == labels[b]) - smoothing / K) / B
    return dlogits


def clip(g, limit):
    """{name: gradient}, scaled so that the norm over all of them is at most the limit."""
    norm = math.sqrt(sum(float(np.sum(leaf**2)) for leaf in g.values()))
    return {name: leaf * min(1.0, limit / (norm + 1e-6)) for name, leaf in g.items()}


def adamw(p, g, m, v, *, step, learning_rate, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8):
    """The textbook's AdamW over {name: array}, leaf by leaf: p, m and v after the step. Only `.../w` decays."""
    new_p, new_m, new_v = {}, {}, {}
    for name in p:
        new_m[name] = beta1 * m[name] + (1 - beta1) * g[name]
        new_v[name] = beta2 * v[name] + (1 - beta2) * g[name] ** 2
        mhat, vhat = new_m[name] / (1 - beta1**step), new_v[name] / (1 - beta2**step)
        decay = weight_decay if name.endswith("/w") else 0.0
        new_p[name] = p[name] - learning_rate * decay * p[name] - learning_rate * mhat / (np.sqrt(vhat) + eps)
    return new_p, new_m, new_v


def same_padding(size, kernel, stride):
    """The zeros before and after an axis: as few as let ceil(size / stride) windows end, the odd one after."""
    missing = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


def same_convolution(x, w, b, stride):
    """The sliding window over the image with its zeros around."""
    padding = [same_padding(size, len(w), stride) for size in x.shape[1:3]]
    return convolution(np.pad(x, [(0, 0), *padding, (0, 0)]), w, b, stride)


def same_convolution_backward(dy, x, w, stride):
    """dx without the zeros around, dw, db."""
    padding = [same_padding(size, len(w), stride) for size in x.shape[1:3]]
    dx, dw, db = convolution_backward(dy, np.pad(x, [(0, 0), *padding, (0, 0)]), w, stride)
    (top, _), (left, _) = padding
    return dx[:, top : top + x.shape[1], left : left + x.shape[2]], dw, db


def cnn(images, p):
    """Convolutions of stride 2, each followed by GELU; the mean over all places; a linear layer."""
    x = images
    for layer in p["convolutions"]:
        x = gelu(same_convolution(x, layer["w"], layer["b"], 2))
    return linear(np.mean(x, axis=(1, 2)), p["head"])


def take_rows(x, rows):
    """Row by row."""
    return np.array([[x[b, t] for t in rows[b]] for b in range(len(x))])


def corrupt(x, mask, source):
    """Patch by patch: the mask for number N, else the patch of that number."""
    N = x.shape[1]
    return np.array([[mask if s == N else x[b, s] for s in source[b]] for b in range(len(x))])


def patch_colours(images, patch):
    """Patch by patch: the eighth of -1 to 1 that each channel's mean lies in; the first channel counts least."""
    colours = []
    for image in images:
        row = []
        for i, j in np.ndindex(len(image) // patch, len(image) // patch):
            means = np.mean(image[i * patch : (i + 1) * patch, j * patch : (j + 1) * patch], axis=(0, 1))
            row.append(sum(min(max(math.floor((m + 1) * 4), 0), 7) * 8**n for n, m in enumerate(means)))
        colours.append(row)
    return np.array(colours)
