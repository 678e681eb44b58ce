# %% [markdown]
# # LayerNorm and GELU: what happens to a token on its own
#
# **The question.** In attention the tokens talk to each other. What else does a block do with them, and what keeps a token's numbers in a
# range that the next layer can use?
#
# **LayerNorm** brings every token to the same mean and spread. **GELU** is a function that is not linear.

# %%
from tinyvit.viz import TreeView, overview

overview("norm", "mlp")

# %% [markdown]
# Four tokens A to D before and after LayerNorm. Each has 256 numbers, called its **features**, and each stroke is one of them:

# %%
import math

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.gradcheck import numeric_gradient
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.linear import linear
from tinyvit.layers.mlp import mlp, mlp_backward, mlp_init
from tinyvit.ops.erf import normal_distribution
from tinyvit.ops.gelu import gelu, gelu_backward, gelu_tanh
from tinyvit.ops.relu import relu, relu_backward
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

rng = np.random.default_rng(0)
tokens = np.array([[-6.0], [0], [3], [5]]) + np.array([[1.0], [3], [0.5], [0.1]]) * rng.standard_normal((4, 256))
fresh = {"gamma": np.ones(256), "beta": np.zeros(256)}  # both are explained below
normed, _ = layer_norm(tokens, fresh)

figure = new_figure(7.5, 1.8)
for axes, array, title in zip(figure.subplots(1, 2), (tokens, normed), ("before", "after"), strict=True):
    for number, token in enumerate(array):
        axes.plot(token, np.full(256, number), "|", color=BLUE, markersize=9, alpha=0.5)
    axes.set(yticks=range(4), yticklabels="ABCD", ylim=(3.5, -0.5), xlabel="value of a feature", title=title)
    plain(axes)
print("before: means", tokens.mean(axis=1).round(2), "standard deviations", tokens.std(axis=1).round(2))
print("after:  means", abs(normed.mean(axis=1)).round(2), "standard deviations", normed.std(axis=1).round(2))
figure

# %% [markdown]
# ## LayerNorm
#
# A token $x$ has $D$ features, with mean $\mu$ and variance $v$. LayerNorm (Ba, Kiros and Hinton 2016) subtracts the mean, divides by the standard
# deviation, and scales and shifts each feature by two learned vectors, $\gamma$ (gamma) and $\beta$ (beta), which start at 1 and 0. The $\varepsilon$
# is tiny, and explained below:
#
# $$ \mu = \frac{1}{D} \sum_i x_i, \qquad v = \frac{1}{D} \sum_i (x_i - \mu)^2, \qquad \hat{x}_i = \frac{x_i - \mu}{\sqrt{v + \varepsilon}}, \qquad y_i = \gamma_i \hat{x}_i + \beta_i $$

# %%
print(exercises.source(layer_norm))

# %% [markdown]
# (`row_sums(x)` sums along the last axis, `row_dots(x, y)` sums the products $x_i y_i$; `rstd` is the reciprocal standard deviation,
# $1/\sqrt{v + \varepsilon}$.)
#
# **First: over what is summed?** Of two images with three tokens each, one token is changed. Which of the other five results change? And if mean and
# variance were taken over all tokens of the batch, as in batch normalisation (Ioffe and Szegedy 2015)?

# %%
B, T, D = 2, 3, 5
x = rng.standard_normal((B, T, D))
p = {"gamma": rng.standard_normal(D), "beta": rng.standard_normal(D)}
y, c = layer_norm(x, p)

other = x.copy()
other[0, 0] += rng.standard_normal(D)
changed = abs(layer_norm(other, p)[0] - y).max(axis=-1) > 1e-12
print("tokens that changed:\n", changed)
alone = abs(layer_norm(x[:1], p)[0] - y[:1]).max()
print("the first image alone, or in the batch: difference", alone)


def over_the_batch(x):
    return (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))


of_another = abs(over_the_batch(other) - over_the_batch(x))[1].max()
print(f"statistics over the batch: the other image's tokens change by up to {of_another:.2f}")
TreeView(x=x, p=p, y=y, c=c)

# %% [markdown]
# The sums run over the features of one token, so no other token notices. Over the batch, an image's result depends on the images beside it.
#
# **Second: divide by $D$ or by $D - 1$?** With $D = 768$, would anybody see it?

# %%
for width in (5, 768):
    token = rng.standard_normal((1, width))
    biased, _ = layer_norm(token, {"gamma": np.ones(width), "beta": np.zeros(width)})
    unbiased = (token - token.mean()) / np.sqrt(token.var(ddof=1) + 1e-6)
    expected = math.sqrt((width - 1) / width)
    print(f"D = {width:3}: ratio {(unbiased / biased).mean():.6f}, sqrt((D - 1) / D) = {expected:.6f}")

# %% [markdown]
# LayerNorm divides by $D$ (the **biased** variance), since it describes these numbers, and estimates nothing from a sample. The other choice makes
# all results smaller by $\sqrt{(D-1)/D}$, which is easily taken for a rounding error.
#
# **Third: where does $\varepsilon$ stand?** **Inside the root**, beside the variance. It is there for the token whose features are all equal: $v = 0$,
# and without $\varepsilon$ that is 0 / 0. A token whose variance is near $\varepsilon = 10^{-6}$ is only partly normalised: its standard deviation
# becomes $\sqrt{v/(v + \varepsilon)}$.

# %%
ones = {"gamma": np.ones(D), "beta": np.zeros(D)}
token = rng.standard_normal(D)
token = (token - token.mean()) / token.std()
for size in (1, 1e-2, 1e-3, 1e-4, 0):
    out, out_c = layer_norm(7 + size * token[None], ones)
    print(f"standard deviation {size:6g} -> {out.std():.4f}     1 / sqrt(v + eps) = {out_c['rstd'].item():7.1f}")

with np.errstate(invalid="ignore", divide="ignore"):
    print("a constant token, eps = 0:", layer_norm(np.full((1, D), 7.0), ones, eps=0)[0])
print(f"a constant token, eps outside the root: 1 / (sqrt(v) + eps) = {1 / (math.sqrt(0) + 1e-6):,.0f}")

# %% [markdown]
# The last column is the factor by which LayerNorm multiplies a gradient on its way back ($r$ in line 6 below). For a constant token it is
# $1/\sqrt{\varepsilon}$; outside the root, $\varepsilon$ would make it $1/\varepsilon$ (last line).
#
# ## Its gradient, line by line
#
# Take the forward pass apart. With $m$ for the centred token and $r$ for `rstd`, for one token,
#
# $$ m_i = x_i - \mu, \qquad v = \frac{1}{D} \sum_i m_i^2, \qquad r = (v + \varepsilon)^{-1/2}, \qquad \hat{x}_i = m_i\, r, \qquad y_i = \gamma_i \hat{x}_i + \beta_i. $$
#
# As [before](02_a_layer_and_its_gradient.ipynb), the upstream gradient $dy$ is random, the loss is $\mathcal{L} = \sum dy\,y$, and each derived line is
# compared with measured slopes. (`numeric_gradient` moves the entries of an array in place, and calls a loss without arguments, which reads that array.)

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
# **Line 2: the reciprocal standard deviation.** One number $r$ multiplies all $D$ features of its token, $\hat{x}_i = m_i r$, so its gradient is a
# sum over them:
#
# $$ dr = \sum_i d\hat{x}_i\, m_i $$
#
# (The loss is written $\sum d\hat{x}\,\hat{x}$ from here on: $\mathcal{L}$ less the constant $\sum dy\,\beta$, so with the same slopes.)
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
# **Exercise: the function.** The cache holds $\hat{x}$ and $r$, but neither $m$ nor $v$. Write the body before you read line 6
# ([how it is marked](00_start_here.ipynb)).


# %%
def my_layer_norm_backward(dy, p, c):
    """dy [..., D], p {"gamma": [D], "beta": [D]} and the cache {"xhat": [..., D], "rstd": [..., 1]} -> dx [..., D] and g,

    a tree like p. Only the last axis is of features; whatever stands before it are tokens.
    """


exercises.check("layer_norm_backward", my_layer_norm_backward)

# %% [markdown]
# **Line 6: combined.** In line 4, $m = \hat{x} / r$ turns the sum of line 2 into
#
# $$ dr = \sum_i d\hat{x}_i\, m_i = \frac{1}{r} \sum_i d\hat{x}_i\, \hat{x}_i, $$
#
# and the second term of line 4, with $dv$ from line 3, is $\sum_i d\hat{x}_i\, \hat{x}_i$ times
#
# $$ \frac{2}{D} \frac{\hat{x}_j}{r} \cdot \left( -\frac{1}{2}\, r^3 \right) \cdot \frac{1}{r} = -\frac{r}{D}\, \hat{x}_j. $$
#
# With a bar for the mean over the token's features, so that $\frac{1}{D} \sum_i d\hat{x}_i\, \hat{x}_i = \overline{d\hat{x}\, \hat{x}}$, line 4 is
#
# $$ dm_j = r \left( d\hat{x}_j - \hat{x}_j\; \overline{d\hat{x}\, \hat{x}} \right). $$
#
# Line 5 takes its mean away, which is $r\,\overline{d\hat{x}}$, since the mean of $\hat{x}$ is zero:
#
# $$ dx = r \left( d\hat{x} - \overline{d\hat{x}} - \hat{x}\; \overline{d\hat{x}\, \hat{x}} \right) $$

# %%
along_ones = dxhat.mean(axis=-1, keepdims=True)
along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)
dm_combined = r * (dxhat - xhat * along_xhat)
compare("line 6, dm", dm_combined, loss_of_m, m)
dx = r * (dxhat - along_ones - xhat * along_xhat)
compare("line 6, dx", dx, lambda: (dy * layer_norm(x, p)[0]).sum(), x)
apart = abs(dx - layer_norm_backward(dy, p, c)[0]).max()
print(f"line 6 less line 5 {abs(dx - dx_steps).max():.0e}, less the package {apart:.0e}")

# %% [markdown]
# The package's function is line 6 ([another way to it](../docs/derivations/layer_norm.md)); `column_sums` adds over all tokens.

# %%
print(exercises.source(layer_norm_backward))

# %% [markdown]
# ## What the formula says
#
# Line 6 is a matrix times $d\hat{x}$. With $\mathbf{1}$ for the vector of $D$ ones,
#
# $$ dx = J\, d\hat{x}, \qquad J = r \left( I - \frac{1}{D} \mathbf{1} \mathbf{1}^\top - \frac{1}{D} \hat{x} \hat{x}^\top \right), \qquad \mathbf{1} \perp \hat{x} \text{ since } \sum_i \hat{x}_i = 0. $$
#
# $\mathbf{1}$ and $\hat{x}$ have the squared length $D$, so $J$ takes away the part of $d\hat{x}$ along each, and what is left stands at a right
# angle to both. That had to be so: adding a constant to a token, or stretching it about its mean, does not change its output, so no gradient points
# that way.
#
# Along $\hat{x}$ this holds up to $\varepsilon$, which does not stretch with the token:

# %%
leaks = []
for e in (0, 1e-6, 1e-2):
    _, c_e = layer_norm(x, p, eps=e)
    dx_e, _ = layer_norm_backward(dy, p, c_e)
    leaks.append((abs(dx_e.sum(axis=-1)).max(), abs((dx_e * c_e["xhat"]).sum(axis=-1)).max()))
    print(f"eps {e:5g}: dx along the ones {leaks[-1][0]:.0e}, along xhat {leaks[-1][1]:.0e}")

# %% [markdown]
# With $D = 3$ we can look straight down on the plane at a right angle to $(1, 1, 1)$, in which centred tokens lie. LayerNorm moves each of nine
# tokens along its ray (grey) onto the circle of radius $\sqrt{3}$, and every gradient (arrow; upstream random, lengths made equal) is at a right
# angle to the ray.

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
# The mean is easily forgotten on the way back:


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
# The error of x's gradient, analytic less numeric, in every feature of two tokens:

# %%
excess = lost_mean(dy, p, c)[0] - numeric_gradient(lambda: (dy * layer_norm(x, p)[0]).sum(), x)
lost = (r * along_ones)[..., 0]
for token in ((0, 0), (1, 2)):
    print(f"token {token}: error {excess[token].round(6)}, lost term {lost[token]:.6f}")

# %% [markdown]
# The error is the same for all features of a token, so it points along the ones. It is the lost term, $r\,\overline{d\hat{x}}$.
#
# ## GELU
#
# Two linear layers in a row are one: $(x w_1 + b_1) w_2 + b_2 = x (w_1 w_2) + (b_1 w_2 + b_2)$. Something that is not linear has to stand between them.
# In ViT it is the GELU (Hendrycks and Gimpel 2016): each number times the probability that a standard normal number lies below it,
#
# $$ y = x\, \Phi(x), \qquad \Phi(x) = \frac{1}{2} \left( 1 + \mathrm{erf}\left( \frac{x}{\sqrt{2}} \right) \right). $$
#
# Here $\mathrm{erf}(u) = \frac{2}{\sqrt{\pi}} \int_0^u e^{-t^2} dt$ is the error function. A large number passes, a very negative one is stopped, and
# between them $\Phi$ opens smoothly, like a gate. Is $\Phi$ that probability? Below, the share of 400,000 standard normal numbers that lie below $x$
# takes its place:

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
# A second form, from the same paper, has a tanh in place of the erf ([Google's ViT code uses it](../docs/derivations/gelu.md)):
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
# Dotted is **ReLU**: $x$ for $x > 0$, else 0. The two forms of GELU look alike, but their difference is far more than rounding: one must know which
# of them published weights were trained with.
#
# ## Its gradient, line by line
#
# **Line 1: the gate.** $\Phi$ is the area under the normal density $\varphi$, so its derivative is that density:
#
# $$ \Phi'(x) = \varphi(x) = \frac{1}{\sqrt{2 \pi}}\, e^{-x^2 / 2} $$
#
# **Line 2: the product rule** on $x\, \Phi(x)$:
#
# $$ y'(x) = \Phi(x) + x\, \varphi(x) $$
#
# **Line 3: the chain rule.** Each number stands alone, so $\;dx = dy\; y'(x)$, entry by entry.

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
# (In `gelu`, `dydx` begins as $\varphi$, and `cdf` ends as $y$.) The forward pass keeps the derivative, so one `gelu_backward` serves both forms.
#
# **Exercise: the other form.** The tanh form above, and its derivative by the same two rules ($\tanh' = 1 - \tanh^2$):


# %%
def my_gelu_tanh(x):
    """x, any shape -> y = x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), and the cache {"dydx"}."""


exercises.check("gelu_tanh", my_gelu_tanh)

# %% [markdown]
# (Derived [here](../docs/derivations/gelu.md).) Next, both functions' derivatives. What slope will be measured for ReLU at its kink, and what will a
# gradient check say?


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
kink = tinyvit.gradcheck(relu, relu_backward, np.array([0.0, 1.0]))
row = kink.rows[0]
print("gradient check of ReLU at x = 0, with a random upstream gradient:", end=" ")
print(f"{row.analytic:.4f}, measured {row.numeric:.4f}; ok: {kink.ok}")
figure

# %% [markdown]
# A slope measured to both sides is the mean of ReLU's two slopes, for every $h$; the code says 0, and the check fails. GELU's slope there is one
# half. For every negative $x$, ReLU's gradient is exactly 0, so nothing before it learns from this number; GELU's is 0 at its
# lowest point, and nearly 0 far out.
#
# ## The MLP
#
# Two linear layers with a GELU between them: from $D$ features to $M$, in [ViT's sizes](07_the_vision_transformer.ipynb) $4D$, and back.

# %%
wide = mlp_init(rng, D, 4 * D, dtype="float64")
print(exercises.source(mlp))
y, c_mlp = mlp(x, wide)

D_b, M_b = 768, 3072  # ViT-B
in_mlp, in_attention = 2 * D_b * M_b + M_b + D_b, 4 * (D_b * D_b + D_b)
share = in_mlp / (in_mlp + in_attention)
print(f"\nViT-B, each block: {in_mlp:,} parameters in the MLP, {in_attention:,} in attention: {share:.0%} in the MLP")
TreeView(x=x, p=wide, y=y, c=c_mlp)

# %% [markdown]
# (`ACTIVATIONS` is a table of the two GELUs and ReLU; `dropout` is off without masks.) Permute the tokens, and the results are permuted:

# %%
order = np.array([2, 0, 1])
permuted = abs(mlp(x[:, order], wide)[0] - y[:, order]).max()
print("permuted tokens, largest difference:", permuted)
mlp_report = tinyvit.gradcheck(mlp, mlp_backward, x, wide)
print(mlp_report)

# %% [markdown]
# **Exercise: the MLP's way back**, with `linear_backward` (`tinyvit.layers.linear`), `gelu_backward`, and `dropout_backward` (`tinyvit.ops.dropout`).


# %%
def my_mlp_backward(dy, p, c):
    """dy [B, T, D], p {"fc1": {"w": [D, M], "b": [M]}, "fc2": {"w": [M, D], "b": [D]}} -> dx [B, T, D] and g, a tree like p.

    The cache {"fc1", "gelu", "dropout1", "fc2", "dropout2"} holds the cache of each part, in the order of the forward pass.
    """


exercises.check("mlp_backward", my_mlp_backward)

# %% [markdown]
# ## Exercise: a norm without a mean
#
# RMSNorm (Zhang and Sennrich 2019, [arXiv 1910.07467](https://arxiv.org/abs/1910.07467)) does not subtract the mean. Its forward pass is given. Of
# the three terms in line 6, which remain?


# %%
def rms_norm(x, p, eps=1e-6):
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    return x * r * p["gamma"], {"xhat": x * r, "r": r}


def my_rms_norm_backward(dy, p, c):
    """dy [..., D], p {"gamma": [D]} and the cache {"xhat": [..., D], "r": [..., 1]} -> dx [..., D] and g {"gamma": [D]}."""


exercises.grade(rms_norm, my_rms_norm_backward, x, {"gamma": p["gamma"]})

# %% [markdown]
# ## What we know now
#
# LayerNorm brings each token's features to mean 0 and variance 1, before $\gamma$ and $\beta$, and lets no gradient through that would only shift or
# stretch the token. GELU is a smooth gate. The MLP is two linear layers with that gate between them.

# %%
assert max(differences.values()) < 1e-8
assert changed.sum() == 1 and changed[0, 0] and alone < 1e-14 and of_another > 0.01
assert apart < 1e-13
assert all(ones_part < 1e-13 for ones_part, _ in leaks) and leaks[0][1] < 1e-13 < leaks[1][1] < leaks[2][1]
assert report.ok and not broken.ok and mlp_report.ok and not kink.ok
assert [row.error < 1e-7 for row in broken.rows] == [False, True, True]
assert abs(excess - lost[..., None]).max() < 1e-8
assert 4.72e-4 < abs(gap).max() < 4.74e-4 and abs(abs(line[worst]) - 2.70) < 0.01
assert collapsed < 1e-12 and permuted < 1e-12 and abs(some * gates - gelu(some)[0]).max() < 5e-3
assert 0.66 < share < 0.67

# %% [markdown]
# Next: [the whole Vision Transformer](07_the_vision_transformer.ipynb), from these parts.
