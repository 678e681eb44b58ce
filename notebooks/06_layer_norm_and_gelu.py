# %% [markdown]
# # LayerNorm and GELU: what happens to a token on its own
#
# **The question.** In attention the tokens talk to each other. What else does an encoder block do with them, and what keeps a token's numbers in a
# range that the next layer can use?
#
# Two small functions do most of it. **LayerNorm** brings every token to the same mean and spread. **GELU** is the bend without which all linear
# layers would collapse into one. Both act on each token alone.
#
# First a picture. Four tokens A to D before and after LayerNorm, of 256 numbers each, with different means and spreads. The numbers of a token are
# called its **features**, and each stroke is one of them:

# %%
import math

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.gradcheck import numeric_gradient
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.linear import linear
from tinyvit.layers.mlp import mlp, mlp_backward, mlp_init
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
from tinyvit.ops.erf import normal_distribution
from tinyvit.ops.gelu import gelu, gelu_backward, gelu_tanh
from tinyvit.ops.relu import relu
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

rng = np.random.default_rng(0)
tokens = np.array([[-6.0], [0], [3], [5]]) + np.array([[1.0], [3], [0.5], [0.1]]) * rng.standard_normal((4, 256))
fresh = {"gamma": np.ones(256), "beta": np.zeros(256)}
normed, _ = layer_norm(tokens, fresh)

figure = new_figure(7.5, 1.8)
for axes, array, title in zip(figure.subplots(1, 2), (tokens, normed), ("before", "after"), strict=True):
    for number, token in enumerate(array):
        axes.plot(token, np.full(256, number), "|", color=(BLUE, ORANGE)[number % 2], markersize=9, alpha=0.5)
    axes.set(yticks=range(4), yticklabels="ABCD", ylim=(3.5, -0.5), xlabel="value of a feature", title=title)
    plain(axes)
print("before: means", tokens.mean(axis=1).round(2), "standard deviations", tokens.std(axis=1).round(2))
print("after:  means", abs(normed.mean(axis=1)).round(2), "standard deviations", normed.std(axis=1).round(2))
figure

# %% [markdown]
# ## LayerNorm
#
# A token $x$ has $D$ features $x_1, \ldots, x_D$, with mean $\mu$ and variance $v$. LayerNorm (Ba, Kiros and Hinton 2016) takes the mean away,
# divides by the standard deviation, and lets two learned vectors scale and shift each feature, $\gamma$ (gamma) and $\beta$ (beta), which start at
# 1 and 0. The $\varepsilon$ is a tiny constant, of which more below:
#
# $$ \mu = \frac{1}{D} \sum_i x_i, \qquad v = \frac{1}{D} \sum_i (x_i - \mu)^2, \qquad \hat{x}_i = \frac{x_i - \mu}{\sqrt{v + \varepsilon}}, \qquad y_i = \gamma_i \hat{x}_i + \beta_i $$

# %%
print(exercises.source(layer_norm))

# %% [markdown]
# (`row_sums(x)` is the sum of $x$ along the last axis, and `row_dots(x, y)` that of the products $x_i y_i$. `rstd` is the reciprocal standard
# deviation, $1 / \sqrt{v + \varepsilon}$.) Three details matter.
#
# The sums run over the *features of one token*: not over tokens, and not over the batch, so a batch of one gives the same result. Change one token,
# and the others do not notice:

# %%
B, T, D = 2, 3, 5
x = rng.standard_normal((B, T, D))
p = {"gamma": rng.standard_normal(D), "beta": rng.standard_normal(D)}
y, c = layer_norm(x, p)
for name, array in {"x": x, "y": y, "c/xhat": c["xhat"], "c/rstd": c["rstd"]}.items():
    print(f"{name:7}", list(array.shape))

other = x.copy()
other[0, 0] += rng.standard_normal(D)
changed = abs(layer_norm(other, p)[0] - y).max(axis=-1) > 1e-12
print("tokens that changed:\n", changed)
alone = abs(layer_norm(x[:1], p)[0] - y[:1]).max()
print("difference of a batch of one:", alone)

# %% [markdown]
# The variance is the **biased** one: divided by $D$, not by $D - 1$. We normalise these $D$ numbers, and estimate nothing from a sample. The other
# choice makes all results smaller by $\sqrt{(D - 1) / D}$, which is easily taken for a rounding error when $D$ is 768, and is none:

# %%
for width in (5, 768):
    token = rng.standard_normal((1, width))
    biased, _ = layer_norm(token, {"gamma": np.ones(width), "beta": np.zeros(width)})
    unbiased = (token - token.mean()) / np.sqrt(token.var(ddof=1) + 1e-6)
    expected = math.sqrt((width - 1) / width)
    print(f"D = {width:3}: ratio {(unbiased / biased).mean():.6f}, sqrt((D - 1) / D) = {expected:.6f}")

# %% [markdown]
# The small number $\varepsilon$, here $10^{-6}$, stands **inside the root**, and is in units of the variance. It is there for the token whose
# features are all equal: $v = 0$, and without $\varepsilon$ that is 0 / 0. A token whose variance is near $\varepsilon$ is only partly normalised:
# its standard deviation becomes $\sqrt{v / (v + \varepsilon)}$.

# %%
ones = {"gamma": np.ones(D), "beta": np.zeros(D)}
token = rng.standard_normal(D)
token = (token - token.mean()) / token.std()
for size in (1, 1e-2, 1e-3, 1e-4, 0):
    out, out_c = layer_norm(7 + size * token[None], ones)
    print(f"standard deviation {size:6g} -> {out.std():.4f}     1 / sqrt(v + eps) = {out_c['rstd'].item():7.1f}")

with np.errstate(invalid="ignore", divide="ignore"):
    print("a constant token, eps = 0:", layer_norm(np.full((1, D), 7.0), ones, eps=0)[0])

# %% [markdown]
# The last column is the factor by which a gradient grows on its way back through LayerNorm, as we are about to see. For a constant token it is
# $1 / \sqrt{\varepsilon} = 1000$, and not infinite. With $\varepsilon$ outside the root it would be $1 / \varepsilon$, a million.
#
# ## Its gradient, line by line
#
# Take the forward pass apart. With $m$ for the centred token and $r$ for the reciprocal standard deviation (`rstd`), for one token,
#
# $$ m_i = x_i - \mu, \qquad v = \frac{1}{D} \sum_i m_i^2, \qquad r = (v + \varepsilon)^{-1/2}, \qquad \hat{x}_i = m_i\, r, \qquad y_i = \gamma_i \hat{x}_i + \beta_i. $$
#
# An upstream gradient $dy$ comes from above. As [before](02_a_layer_and_its_gradient.ipynb), $dy$ is any random array, the loss
# is $L = \sum dy\, y$, and each derived line is compared with measured slopes of $L$. (`numeric_gradient` moves an array's entries in
# place, so the losses below are functions without arguments that read it.)

# %%
eps = 1e-6
m = x - x.mean(axis=-1, keepdims=True)
v = (m * m).mean(axis=-1, keepdims=True)
r = (v + eps) ** -0.5
xhat = m * r
dy = rng.standard_normal(x.shape)
differences = {}


def compare(line, derived, loss, moved):
    """Measure the slopes of loss() by every entry of the array `moved`, which it reads."""
    differences[line] = abs(derived - numeric_gradient(loss, moved)).max()
    print(f"{line:42} {list(derived.shape)!s:10} largest difference {differences[line]:.1e}")


def loss_of_xhat():
    return (dy * (p["gamma"] * xhat + p["beta"])).sum()


# %% [markdown]
# **Line 1: scale and shift.** Feature $i$ of $y$ is $\gamma_i$ times that of $\hat{x}$. Every token uses the same $\gamma$ and $\beta$, so their
# gradients are sums over all tokens $n$:
#
# $$ d\hat{x}_i = \gamma_i\, dy_i, \qquad d\gamma_i = \sum_n dy_{ni}\, \hat{x}_{ni}, \qquad d\beta_i = \sum_n dy_{ni} $$

# %%
dxhat = p["gamma"] * dy
compare("line 1, dxhat", dxhat, loss_of_xhat, xhat)
compare("line 1, dgamma", (dy * xhat).sum(axis=(0, 1)), loss_of_xhat, p["gamma"])
compare("line 1, dbeta", dy.sum(axis=(0, 1)), loss_of_xhat, p["beta"])

# %% [markdown]
# **Line 2: the reciprocal standard deviation.** One number $r$ multiplies all $D$ features of its token, so its gradient is a sum over them, with
# $\hat{x}_i = m_i r$:
#
# $$ dr = \sum_i d\hat{x}_i\, m_i $$
#
# **Line 3: the variance.** From $r = (v + \varepsilon)^{-1/2}$ follows
# $\partial r / \partial v = -\frac{1}{2} (v + \varepsilon)^{-3/2} = -\frac{1}{2} r^3$:
#
# $$ dv = -\frac{1}{2}\, r^3\, dr $$

# %%
dr = (dxhat * m).sum(axis=-1, keepdims=True)
compare("line 2, dr, with m fixed", dr, lambda: (dxhat * m * r).sum(), r)
dv = -0.5 * r**3 * dr
compare("line 3, dv, with m fixed", dv, lambda: (dxhat * m * (v + eps) ** -0.5).sum(), v)

# %% [markdown]
# **Line 4: the centred token.** $m_j$ reaches the loss in two ways: directly, as $\hat{x}_j = m_j r$, and through the variance, where
# $\partial v / \partial m_j = 2 m_j / D$. The two are added:
#
# $$ dm_j = r\, d\hat{x}_j + \frac{2}{D}\, m_j\, dv $$
#
# **Line 5: the mean.** $x_j$ reaches $m_j$ with the factor 1, and, through the mean, every $m_i$ with the factor $-1/D$:
#
# $$ dx_j = dm_j - \frac{1}{D} \sum_i dm_i $$


# %%
def loss_of_m():
    return (dxhat * m * ((m * m).mean(axis=-1, keepdims=True) + eps) ** -0.5).sum()


dm = r * dxhat + 2 / D * m * dv
compare("line 4, dm, both ways", dm, loss_of_m, m)
dx_steps = dm - dm.mean(axis=-1, keepdims=True)
compare("line 5, dx", dx_steps, lambda: (dy * layer_norm(x, p)[0]).sum(), x)

# %% [markdown]
# **Line 6: combined.** Put lines 2 and 3 into line 4, with $m = \hat{x} / r$. Two powers of $r$ go, and the sum becomes a mean:
# $\;dm_j = r \left( d\hat{x}_j - \hat{x}_j\, \overline{d\hat{x}\, \hat{x}} \right)$, where a bar is the mean over the
# token's features. In line 5, the mean of $\hat{x}$ is zero, so the mean of $dm$ is $r$ times the mean of $d\hat{x}$. What
# remains:
#
# $$ dx = r \left( d\hat{x} - \overline{d\hat{x}} - \hat{x}\; \overline{d\hat{x}\, \hat{x}} \right) $$

# %%
along_ones = dxhat.mean(axis=-1, keepdims=True)
along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)
dx = r * (dxhat - along_ones - xhat * along_xhat)
compare("line 6, dx", dx, lambda: (dy * layer_norm(x, p)[0]).sum(), x)
apart = abs(dx - layer_norm_backward(dy, p, c)[0]).max()
print(f"line 6 less line 5 {abs(dx - dx_steps).max():.0e}, less the package {apart:.0e}")

# %% [markdown]
# The package's function is line 6, with one array of scratch paper that is used twice; `column_sums` adds over all tokens. The same derivation is on
# [a page of its own](../docs/derivations/layer_norm.md).

# %%
print(exercises.source(layer_norm_backward))

# %% [markdown]
# ## What the formula says
#
# Two terms are taken away from $d\hat{x}$: its part along the vector of ones, and its part along $\hat{x}$. What is left stands at a right
# angle to both. That had to be so. A constant added to a token changes nothing in its output, so no gradient can point along the ones. A token
# stretched about its mean changes nothing either, so no gradient can point along $\hat{x}$.
#
# The second holds up to $\varepsilon$, which does not stretch with the token. The squared length of $\hat{x}$ is
# $\sum_i \hat{x}_i^2 = D v / (v + \varepsilon)$, not quite $D$, and so
# $\sum_j dx_j \hat{x}_j = r\, D\; \overline{d\hat{x}\, \hat{x}}\; \varepsilon / (v + \varepsilon)$. Measured:

# %%
leaks = []
for e in (0, 1e-6, 1e-2):
    y_e, c_e = layer_norm(x, p, eps=e)
    dx_e, _ = layer_norm_backward(dy, p, c_e)
    on_ones, on_xhat = abs(dx_e.sum(axis=-1)).max(), (dx_e * c_e["xhat"]).sum(axis=-1)
    theory = c_e["rstd"][..., 0] * D * (dxhat * c_e["xhat"]).mean(axis=-1) * e * c_e["rstd"][..., 0] ** 2
    leaks.append((on_ones, abs(on_xhat).max(), abs(on_xhat - theory).max()))
    print(f"eps {e:5g}: along ones {on_ones:.0e}, along xhat {leaks[-1][1]:.1e}, less the formula {leaks[-1][2]:.0e}")

# %% [markdown]
# With $D = 3$ this can be drawn. Nine tokens: once centred, they lie in the plane at a right angle to $(1, 1, 1)$; here we look straight down on
# it. LayerNorm moves each of them along its ray (grey) onto the circle of radius $\sqrt{3}$, and every gradient (arrow at the token; upstream
# random, lengths made equal) lies in this plane, across the ray.

# %%
plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions at right angles to (1, 1, 1)
angle = 2 * np.pi * np.arange(9)[:, None] / 9
radius, offset = rng.uniform(0.5, 3, (9, 1)), rng.standard_normal((9, 1))
three = radius * (np.cos(angle) * plane[0] + np.sin(angle) * plane[1]) + offset
plain_norm = {"gamma": np.ones(3), "beta": np.zeros(3)}
normed, c_three = layer_norm(three, plain_norm)
d_three, _ = layer_norm_backward(rng.standard_normal((9, 3)), plain_norm, c_three)
before, after, arrows = three @ plane.T, normed @ plane.T, d_three @ plane.T
arrows *= 0.7 / np.linalg.norm(arrows, axis=1, keepdims=True)

figure = new_figure(5.2, 3.6)
axes = figure.subplots()
circle = np.linspace(0, 2 * np.pi, 200)
axes.plot(math.sqrt(3) * np.cos(circle), math.sqrt(3) * np.sin(circle), color="lightgrey")
for a, b, arrow in zip(before, after, arrows, strict=True):
    axes.plot(*np.stack([a, b]).T, color="grey", linewidth=0.8)
    axes.annotate("", a + arrow, a, arrowprops={"arrowstyle": "->", "color": ORANGE})
axes.plot(*before.T, "o", color=ORANGE, label="x, centred")
axes.plot(*after.T, "s", color=BLUE, label=r"$\hat{x}$")
axes.plot(0, 0, "+", color="black")
axes.set(aspect="equal", xlim=(-3.3, 3.3), ylim=(-3.3, 3.3))
axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
plain(axes)
figure

# %% [markdown]
# ## Break it
#
# The mean is easily forgotten on the way back: the two ways of line 5 look like one. Then this is returned:


# %%
def lost_mean(dy, p, c):
    dxhat = dy * p["gamma"]
    along_xhat = (dxhat * c["xhat"]).mean(axis=-1, keepdims=True)
    return c["rstd"] * (dxhat - c["xhat"] * along_xhat), layer_norm_backward(dy, p, c)[1]


report = tinyvit.gradcheck(layer_norm, layer_norm_backward, x, p)
broken = tinyvit.gradcheck(layer_norm, lost_mean, x, p)
print(report)
print()
print(broken)

# %% [markdown]
# gamma and beta are right, x is not. What kind of wrong? Look at the error itself, analytic less numeric, in every feature of two tokens:

# %%
excess = lost_mean(dy, p, c)[0] - numeric_gradient(lambda: (dy * layer_norm(x, p)[0]).sum(), x)
lost = (r * along_ones)[..., 0]
for token in ((0, 0), (1, 2)):
    print(f"token {token}: error {excess[token].round(6)}, lost term {lost[token]:.6f}")

# %% [markdown]
# The error is the same for all features of a token: it points along the ones, where a gradient of LayerNorm cannot point. And it is the lost term,
# $r\, \overline{d\hat{x}}$.
#
# ## GELU
#
# Two linear layers in a row are one linear layer: $(x w_1 + b_1) w_2 + b_2 = x (w_1 w_2) + (b_1 w_2 + b_2)$. Something that is not linear has to
# stand between them. In ViT it is the GELU (Hendrycks and Gimpel 2016): each number times the probability that a standard normal number lies below
# it,
#
# $$ y = x\, \Phi(x), \qquad \Phi(x) = \frac{1}{2} \left( 1 + \mathrm{erf}\left( \frac{x}{\sqrt{2}} \right) \right). $$
#
# (erf, the error function, is the name of an integral; it is what one computes $\Phi$ with.) So a large number passes, a very negative one is
# stopped, and between them the gate $\Phi$ opens smoothly. Is it that probability? With the share of many random numbers in its place:

# %%
first = {"w": rng.standard_normal((5, 7)), "b": rng.standard_normal(7)}
second = {"w": rng.standard_normal((7, 4)), "b": rng.standard_normal(4)}
single = {"w": first["w"] @ second["w"], "b": first["b"] @ second["w"] + second["b"]}
collapsed = abs(linear(linear(x, first)[0], second)[0] - linear(x, single)[0]).max()
print(f"two linear layers less one: {collapsed:.0e}")

draws = rng.standard_normal(400_000)
some = np.array([-2.0, -0.75, 0.0, 0.5, 3.0])
gates = np.array([(draws < value).mean() for value in some])
print("x                   ", some)
print("x * share of draws  ", (some * gates).round(3))
print("gelu(x)             ", gelu(some)[0].round(3))

# %% [markdown]
# There are two forms of it. The other one, from the same paper, has a tanh in place of the erf, and is what Google's ViT code computes:
#
# $$ y = \frac{x}{2} \left( 1 + \tanh\left( \sqrt{2 / \pi} \left( x + 0.044715\, x^3 \right) \right) \right) $$

# %%
line = np.linspace(-5, 5, 20_001)
exact, tanh = gelu(line)[0], gelu_tanh(line)[0]
gap = tanh - exact

figure = new_figure(7.5, 2.6)
left, right = figure.subplots(1, 2)
left.plot(line, np.maximum(line, 0), ":", color="black", label="ReLU")
left.plot(line, exact, color=BLUE, linewidth=2.5, label="GELU, erf")
left.plot(line, tanh, "--", color=ORANGE, label="GELU, tanh")
left.set(xlim=(-4, 2.5), ylim=(-0.3, 2.5), xlabel="x", ylabel="y")
left.legend()
plain(left)
right.plot(line, gap, color=BLUE)
right.ticklabel_format(axis="y", scilimits=(0, 0))
right.set(xlabel="x", title="tanh form less erf form")
plain(right)
worst = abs(gap).argmax()
print(f"largest difference {abs(gap).max():.3e}, at |x| = {abs(line[worst]):.2f}")
print(f"lowest value {exact.min():.4f}, at x = {line[exact.argmin()]:.3f}")
figure

# %% [markdown]
# Dotted on the left, for comparison, is **ReLU**, which is $x$ for $x > 0$ and else 0. The two forms of GELU cover each other. They differ by less
# than 0.0005, but that is far more than rounding, and whoever compares with published weights must know which form they were trained with. GELU also
# has a lowest point: it falls before it rises.
#
# ## Its gradient, line by line
#
# **Line 1: the gate.** $\Phi$ is the area under the normal density $\varphi$, so its derivative is that density:
#
# $$ \Phi'(x) = \varphi(x) = \frac{1}{\sqrt{2 \pi}}\, e^{-x^2 / 2} $$
#
# **Line 2: the product rule** on $x\, \Phi(x)$:
#
# $$ \frac{dy}{dx} = \Phi(x) + x\, \varphi(x) $$
#
# **Line 3: the chain rule.** Each number stands alone, so $\;dx = dy\; \frac{dy}{dx}$, entry by entry.

# %%
z = 2 * rng.standard_normal((3, 4))
upstream = rng.standard_normal(z.shape)
cdf, pdf = normal_distribution(z)  # Phi and phi
compare("line 1, phi", pdf, lambda: normal_distribution(z)[0].sum(), z)
compare("line 2, Phi + x phi", cdf + z * pdf, lambda: gelu(z)[0].sum(), z)
compare("line 3, dy (Phi + x phi)", upstream * (cdf + z * pdf), lambda: (upstream * gelu(z)[0]).sum(), z)
print()
print(exercises.source(gelu))
print()
print(exercises.source(gelu_backward))

# %% [markdown]
# The derivative needs the same exponential as the value, so the forward pass computes it and keeps it. One `gelu_backward` then serves both forms;
# the tanh form's derivative is [on its page](../docs/derivations/gelu.md). Now as a picture, beside that of ReLU:


# %%
def difference(f, x, h):
    """The slope of f at x, over a step of h to both sides."""
    return (f(x + h) - f(x - h)) / (2 * h)


_, c_line = gelu(line)
sparse = np.linspace(-4, 4, 33)
figure = new_figure(5.5, 2.6)
axes = figure.subplots()
axes.plot(line, c_line["dydx"], color=BLUE, label="GELU, formula")
axes.plot(sparse, difference(lambda x: gelu(x)[0], sparse, 1e-4), "o", color=BLUE, markersize=4, label="GELU, measured")
axes.plot(line, np.where(line > 0, 1.0, 0.0), ":", color=ORANGE, label="ReLU")
axes.set(xlim=(-4, 4), xlabel="x", ylabel="dy/dx")
axes.legend()
plain(axes)
for h in (1e-2, 1e-4, 1e-6):
    at_zero = [difference(f, np.array([0.0]), h).item() for f in (lambda x: relu(x)[0], lambda x: gelu(x)[0])]
    print(f"at x = 0, h = {h:g}: ReLU {at_zero[0]}, GELU {at_zero[1]:.9f}")
figure

# %% [markdown]
# ReLU has a kink at 0, where it has no derivative. A central difference reports the mean of its two sides, 0.5, for every $h$; code returns 0 or 1,
# and a gradient check that happens to hit the kink fails. GELU is smooth, and its slope at 0 is truly 0.5. For every negative $x$, ReLU's gradient
# is exactly 0 and such a feature learns nothing from this token; GELU's is small but not 0 (except at GELU's lowest point).
#
# ## The MLP: each token thinks for itself
#
# The other half of an encoder block is two linear layers with a GELU between them: from $D$ features to $M$, usually $4 D$, and back.

# %%
wide = mlp_init(rng, D, 4 * D, dtype="float64")
print(exercises.source(mlp))
print()
y, c_mlp = mlp(x, wide)
for name, array in {"x": x, "before fc2": c_mlp["fc2"]["x"], "y": y}.items():
    print(f"{name:11}", list(array.shape))

D_b, M_b = 768, 3072  # ViT-B
in_mlp, in_attention = 2 * D_b * M_b + M_b + D_b, 4 * (D_b * D_b + D_b)
print(f"ViT-B, each block: {in_mlp:,} parameters in the MLP, {in_attention:,} in attention")

# %% [markdown]
# (`dropout` is off without masks.) Two thirds of a block's parameters are here, not in attention. And nothing here looks at another token:
# with the tokens in another order, the results are the same in that other order.

# %%
order = np.array([2, 0, 1])
permuted = abs(mlp(x[:, order], wide)[0] - y[:, order]).max()
print("permuted tokens, largest difference:", permuted)
mlp_report = tinyvit.gradcheck(mlp, mlp_backward, x, wide)
print(mlp_report)

# %% [markdown]
# ## Where the norm stands: not quite Vaswani's encoder
#
# It is often said that ViT takes the Transformer's encoder unchanged. Two things differ from Vaswani et al. (2017): the GELU, where they have ReLU,
# and the place of LayerNorm. They normalise *behind* each addition (**post-norm**); ViT normalises *before* attention and before the MLP, inside
# the branch (**pre-norm**). With $f$ for attention or the MLP,
#
# $$ \text{post-norm: } z \leftarrow \mathrm{LN}(z + f(z)), \qquad \text{pre-norm: } z \leftarrow z + f(\mathrm{LN}(z)). $$
#
# The parameters are the same, and in the package so is the form: a config chooses with `norm="pre"`, the default, or `norm="post"`. The post-norm
# block ([source](../tinyvit/layers/post_norm_block.py)), and its backward pass:

# %%
print(exercises.source(post_norm_block))
print()
print(exercises.source(post_norm_block_backward))

# %% [markdown]
# Beside the lines of the pre-norm block, which [the next notebook](07_the_vision_transformer.ipynb) shows whole: the norm of a sum stands on the
# stream itself. So on the way back, too, the whole gradient passes through `layer_norm_backward`, and only then is it handed both to the branch and
# around it. (`rows` and dropout are explained there as well.) What else does it change? First a gradient check:

# %%
small = encoder_block_init(rng, 4, 6, dtype="float64")
post_report = tinyvit.gradcheck(
    post_norm_block, post_norm_block_backward, rng.standard_normal((2, 3, 4)), small, heads=2
)
print(str(post_report).splitlines()[-1])

# %% [markdown]
# Now stacks of 2 to 12 fresh blocks, a LayerNorm on top of either, and an upstream gradient of norm 1 from there. How large is the gradient that
# arrives at the parameters of the first block, and of the last? (The weight of the MLP's second layer stands for its block; mean over three random
# starts.)


# %%
def gradient_norms(block, backward, depth, seed, dim=64, heads=4):
    """Norms of the gradients of fc2's weight in the first and in the last block, and the variance of the tokens on top."""
    rng = np.random.default_rng(seed)
    blocks, top, caches = [encoder_block_init(rng, dim, 4 * dim) for _ in range(depth)], layer_norm_init(rng, dim), []
    z = rng.standard_normal((8, 17, dim), dtype="float32")
    for p in blocks:
        z, c = block(z, p, heads=heads)
        caches.append(c)
    y, c = layer_norm(z, top)
    dz = rng.standard_normal(y.shape, dtype="float32")
    dz, _ = layer_norm_backward(dz / np.linalg.norm(dz), top, c)
    norms = []
    for p, c in zip(reversed(blocks), reversed(caches), strict=True):
        dz, g = backward(dz, p, c)
        norms.append(np.linalg.norm(g["mlp"]["fc2"]["w"]))
    return norms[-1], norms[0], z.var(axis=-1).mean()


depths = (2, 4, 6, 8, 10, 12)
pairs = {"pre-norm": (encoder_block, encoder_block_backward), "post-norm": (post_norm_block, post_norm_block_backward)}
found = {
    name: np.array([np.mean([gradient_norms(*pair, depth, seed) for seed in range(3)], axis=0) for depth in depths])
    for name, pair in pairs.items()
}
figure = new_figure(7.5, 2.6)
panels = ("first block", "gradient norm"), ("last block", "gradient norm"), ("tokens on top", "variance")
for i, (axes, (title, ylabel)) in enumerate(zip(figure.subplots(1, 3), panels, strict=True)):
    for (name, values), style, colour in zip(found.items(), ("o-", "s--"), (BLUE, ORANGE), strict=True):
        axes.plot(depths, values[:, i], style, color=colour, label=name)
    axes.set(xlabel="blocks", xticks=depths, ylim=(0, None), title=title, ylabel=ylabel)
    plain(axes)
axes.legend()
figure

# %% [markdown]
# It is often said that post-norm lets the gradient fade before it reaches the first block. At these depths and with this start it does not: the
# first block gets much the same either way, with post-norm rather more (left). What differs is the *last* block (middle). With post-norm its
# gradient is as large in a deep model as in a shallow one; with pre-norm it shrinks as the model gets deeper. The right panel says why. A pre-norm
# stream is a sum to which every block adds, so its variance grows about in proportion to depth, and the LayerNorm on top divides the gradient by
# the root of it: the factor $r$ of line 6.
#
# Xiong et al. (2020) derive a bound of this form, with the factor $1 / \sqrt{\mathrm{depth}}$, and take it for the reason why post-norm models need
# a gentle start of the learning rate and pre-norm models can do with less of one. What we have measured is only the gradient at the start; what
# becomes of either in training, at several depths, is measured by `tinyvit lab norm` ([the paper lab](../docs/lab.md)).

# %%
ratio, post_ratio = (values[-1, 1] / values[0, 1] for values in found.values())
print(f"last block, 12 blocks over 2: pre-norm {ratio:.2f}, post-norm {post_ratio:.2f}")
print(f"1 / sqrt(12 / 2) = {math.sqrt(2 / 12):.2f}")

# %% [markdown]
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("layer_norm")` gives a first hint, `exercises.hint("layer_norm", 2)` a second; `print(exercises.solution("layer_norm"))` shows how
# the package does it. In the MLP, call the package's `linear`, `gelu` and their backward passes, or your own; `linear_backward` is still to be
# imported from `tinyvit.layers.linear`.


# %%
def my_layer_norm(x, p, eps=1e-6):
    """x [..., D], p {"gamma": [D], "beta": [D]} -> y [..., D] and the cache {"xhat": [..., D], "rstd": [..., 1]}.

    xhat = (x - mean) * rstd with rstd = 1 / sqrt(variance + eps), over the last axis; y = gamma * xhat + beta.
    """


exercises.check("layer_norm", my_layer_norm)


# %%
def my_layer_norm_backward(dy, p, c):
    """dy [..., D], p as above and the cache {"xhat": [..., D], "rstd": [..., 1]} -> dx [..., D] and g {"gamma": [D], "beta": [D]}."""


exercises.check("layer_norm_backward", my_layer_norm_backward)


# %%
def my_gelu(x):
    """x, any shape -> y = x Phi(x) and the cache {"dydx": Phi(x) + x phi(x)}. `normal_distribution(x)` gives Phi and phi."""


exercises.check("gelu", my_gelu)


# %%
def my_gelu_tanh(x):
    """x, any shape -> y = x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), and the cache {"dydx"}."""


exercises.check("gelu_tanh", my_gelu_tanh)


# %%
def my_gelu_backward(dy, c):
    """dy of x's shape and the cache {"dydx"} -> dx."""


exercises.check("gelu_backward", my_gelu_backward)


# %%
def my_mlp(x, p):
    """x [B, T, D], p {"fc1": {"w": [D, M], "b": [M]}, "fc2": {"w": [M, D], "b": [D]}} -> y [B, T, D] and the cache.

    y = GELU(x w1 + b1) w2 + b2. The cache {"fc1", "gelu", "dropout1", "fc2", "dropout2"} holds the cache of each part;
    there is no dropout here, and its two caches are {}.
    """


exercises.check("mlp", my_mlp)


# %%
def my_mlp_backward(dy, p, c):
    """dy [B, T, D], p and the cache as above -> dx [B, T, D] and g {"fc1": {"w", "b"}, "fc2": {"w", "b"}}."""


exercises.check("mlp_backward", my_mlp_backward)


# %% [markdown]
# And the post-norm block, from `multi_head_attention`, `layer_norm` and `mlp`; what is not imported above is in `tinyvit.layers`.


# %%
def my_post_norm_block(z, p, *, heads):
    """z [B, T, D], p {ln1, msa, ln2, mlp} -> z' = LN(MSA(z) + z), and then LN(MLP(z') + z'), [B, T, D].

    The cache holds those of the parts: {msa, dropout, ln1, mlp, ln2}; that of dropout, which has no mask here, is {}.
    """


exercises.check("post_norm_block", my_post_norm_block)


# %%
def my_post_norm_block_backward(dz, p, c):
    """The gradient dz [B, T, D] of the output -> that of the input, and g {ln1, msa, ln2, mlp}."""


exercises.check("post_norm_block_backward", my_post_norm_block_backward)

# %% [markdown]
# ## What we know now
#
# LayerNorm puts each token's features to mean 0 and variance 1, and lets no gradient through that would only shift or stretch the token. GELU is a
# smooth gate. The MLP is two linear layers with that gate between them, and treats each token alone. ViT normalises before each branch.

# %%
assert max(differences.values()) < 1e-8
assert changed.sum() == 1 and changed[0, 0] and alone < 1e-14
assert apart < 1e-13
assert all(ones_part < 1e-13 and rest < 1e-13 for ones_part, _, rest in leaks) and leaks[0][1] < 1e-13 < leaks[1][1]
assert report.ok and not broken.ok and mlp_report.ok and post_report.ok
assert [row.error < 1e-7 for row in broken.rows] == [False, True, True]
assert abs(excess - lost[..., None]).max() < 1e-8
assert 4.72e-4 < abs(gap).max() < 4.74e-4 and abs(abs(line[worst]) - 2.70) < 0.01
assert collapsed < 1e-12 and permuted < 1e-12 and abs(some * gates - gelu(some)[0]).max() < 5e-3
assert ratio < 0.55 and post_ratio > 0.9
assert abs(found["pre-norm"][:, 0] / found["post-norm"][:, 0] - 1).max() < 0.3

# %% [markdown]
# Next: [the whole Vision Transformer](07_the_vision_transformer.ipynb), from these parts.
