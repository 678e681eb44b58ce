# %% [markdown]
# # Speed: where the time goes
#
# **All times in this notebook are those of the machine on which it was last run.** What holds on any machine is asserted in the
# last cell.
#
# **The question.** A training step is more than a thousand million multiplications, and a processor does many times that in a second. How near does
# readable NumPy come to what the processor can do, and where is the rest lost?
#
# Most of the time goes into the blocks.

# %%
from tinyvit.viz import overview

overview("blocks")

# %% [markdown]
# We look at one training step of a small model, S in `tinyvit bench` ([its sizes](../docs/speed.md)): 32 images of 28 by 28 pixels, patches of 4 by 4
# pixels, width 64, six blocks.

# %%
import contextlib
import time
import tracemalloc
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

import tinyvit
from tinyvit import exercises, trees
from tinyvit.arrays import flat, gpu_module, to_device, to_host, xp_of
from tinyvit.bench.compare import MODELS
from tinyvit.errors import DeviceError
from tinyvit.layers import encoder_block, mlp, multi_head_attention
from tinyvit.ops.gelu import gelu
from tinyvit.ops.sums import row_sums
from tinyvit.training.cores import usable_cores
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.machine import machine
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.worker_pool import start_worker_pool
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

threadpool_limits(1, "blas")  # one thread for the matrix products: more about this below
rng = np.random.default_rng(0)
config, B = MODELS["S"], 32
p = tinyvit.vit_init(rng, config)
images, labels = rng.standard_normal((B, 28, 28, 1), dtype=np.float32), rng.integers(0, 10, B)


def seconds(f, *inputs, repeat=9, **keywords):
    """The median time of a call, after one that does not count."""
    f(*inputs, **keywords)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        f(*inputs, **keywords)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def gradient(images, labels, p, micro_batch=B):
    """Forward and backward pass: the gradient of a batch."""
    recipe = tinyvit.Recipe(batch=len(labels), micro_batch=micro_batch)
    return batch_gradient({"images": images, "labels": labels}, p, config, recipe, seed=0, step=1)[1]


print(machine())
before = seconds(gradient, images, labels, p)
keep_freed_memory()
after = seconds(gradient, images, labels, p)
print(f"a step on {B} images: {1e3 * before:.0f} ms; once freed memory is kept: {1e3 * after:.0f} ms")

# %% [markdown]
# That was a first saving. By default the C library of Linux hands large blocks that are freed back to the system, and the next step gets them anew, page
# by page, each cleared first. `tinyvit.fit` asks it to keep them ([memory.py](../tinyvit/training/memory.py)).
#
# Now a stopwatch is put around the layers, while the whole step runs. Which takes more of its time, GELU or attention? Next to each part's
# time stands its **arithmetic**: the multiply-adds of its matrix products, from `tinyvit.shapes`. (The backward pass of $y = x w$ takes twice as
# many as the forward pass: two products, $dx = dy\, w^\top$ and $dw = x^\top dy$. Here the whole last block is computed, of which training needs the
# class row alone, so the step takes longer than above.)

# %%
parts = {  # the module in which each is called, and its name
    "q, k, v, o": (multi_head_attention, "linear"),
    "attention": (multi_head_attention, "attention"),
    "fc1, fc2": (mlp, "linear"),
    "GELU": (mlp, "gelu"),
    "LayerNorm": (encoder_block, "layer_norm"),
}
times = {(part, way): [] for part in [*parts, "whole"] for way in ("forward", "backward")}


def stopwatch(f, part, way):
    """f, which adds the time of each call to what its part has taken in this step."""

    def timed(*inputs, **keywords):
        start = time.perf_counter()
        result = f(*inputs, **keywords)
        times[part, way][-1] += time.perf_counter() - start
        return result

    return timed


def watched_step():
    for taken in times.values():
        taken.append(0.0)
    logits, c = stopwatch(tinyvit.vit, "whole", "forward")(images, p, config)
    _, c_loss = tinyvit.cross_entropy(logits, labels)
    stopwatch(tinyvit.vit_backward, "whole", "backward")(tinyvit.cross_entropy_backward(1.0, c_loss), p, c, config)


with contextlib.ExitStack() as stack:
    for part, (module, name) in parts.items():
        backward = f"{name}_backward"
        watch = stopwatch(getattr(module, backward), part, "backward")
        stack.enter_context(mock.patch.object(module, backward, watch))
        if name == "gelu":  # its forms are called from a table
            stack.enter_context(mock.patch.dict(mlp.ACTIVATIONS, erf=stopwatch(gelu, part, "forward")))
        else:
            watch = stopwatch(getattr(module, name), part, "forward")
            stack.enter_context(mock.patch.object(module, name, watch))
    for _ in range(25):
        watched_step()

spent = {part: np.median([times[part, "forward"], times[part, "backward"]], axis=1) for part in [*parts, "whole"]}
whole = spent.pop("whole")
spent["all else"] = whole - sum(spent.values())

summary = tinyvit.shapes(config, B)


def arithmetic(*ends):
    """Multiply-adds, forward and backward, of the tensors whose names in the summary end so."""
    return 3 * sum(row.multiply_adds for row in summary if row.name.endswith(ends))


work = {
    "q, k, v, o": arithmetic("/msa/q", "/msa/k", "/msa/v", "/msa/o"),
    "attention": arithmetic("/msa/att/scores", "/msa/att"),
    "fc1, fc2": arithmetic("/fc1", "/fc2"),
    "GELU": 0,
    "LayerNorm": 0,
    "all else": arithmetic("patch", "head"),
}

figure = new_figure(7.5, 2.6)
left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
names = list(spent)[::-1]
forward, backward = 1e3 * np.array([spent[name] for name in names]).T
left.barh(names, forward, color=BLUE, label="forward")
left.barh(names, backward, left=forward, color=ORANGE, hatch="//", edgecolor="white", label="backward")
left.set(xlabel="ms", title=f"time of a step, {1e3 * whole.sum():.0f} ms")
left.legend()
right.barh(names, [1e-9 * work[name] for name in names], color="#777777")
right.set(xlabel="1,000 million multiply-adds", title="arithmetic")
for axes in (left, right):
    plain(axes)
total = sum(work.values())
for name, taken in spent.items():
    print(f"{name:11} {taken.sum() / whole.sum():4.0%} of the time, {work[name] / total:4.0%} of the arithmetic")
figure

# %% [markdown]
# LayerNorm and GELU have no large matrix product, and all else (residual sums, the scale, splitting heads, the first and the last layer) next to none.
# Attention's share of the time is larger than that of its arithmetic, perhaps because its products are many and small, with a softmax between them.
#
# ## What could the machine do?
#
# A core comes closest to its best in one large product of square matrices. The multiply-adds in a second there are its **peak** here. What share
# of it do the parts reach, and the whole step?

# %%
side = 1536
square = rng.standard_normal((side, side), dtype=np.float32)
peak = side**3 / seconds(np.matmul, square, square, repeat=5)
print(f"peak of one core: {1e-6 * peak:,.0f} million multiply-adds in a second, in float32; ", end="")
print(f"a step has {1e-6 * total:,.0f} million\n")

for name in ("q, k, v, o", "fc1, fc2", "attention"):
    print(f"{name:11} {work[name] / spent[name].sum() / peak:4.0%} of the peak")
print(f"{'whole step':11} {sum(work.values()) / whole.sum() / peak:4.0%} of the peak")

# %% [markdown]
# [PyTorch](../docs/speed.md), a library for such models, does not reach the peak on S either.
#
# ## One large product, not many small ones
#
# The linear layers come closest. With $x$ $[B, T, I]$ and a matrix $w$ $[I, O]$, NumPy's `x @ w` runs $B$ products, one for each image. Each row of $x$
# meets the same $w$, so the leading axes can be merged, $[BT, I]$, and it is one product. The backward pass needs $dw$, a sum over all rows. With $B$
# products each gives an array $[I, O]$, and these are added up. One product of the merged rows adds them itself.
#
# Always 1,600 rows of 64 numbers and $w$ $[64, 256]$, in images of $T$ rows each. For which $T$ will many products be slow?


# %%
def dw_by_images(x, dy):
    return (x.swapaxes(1, 2) @ dy).sum(axis=0)


w = p["blocks"][0]["mlp"]["fc1"]["w"]
print(f"{'':7} forward:  {'many':>8} {'one':>8}      dw:  {'many':>8} {'one':>8}")
many_over_one, largest = {}, 0.0
for T in (1, 5, 50):
    x, dy = (rng.standard_normal((1600 // T, T, width), dtype=np.float32) for width in w.shape)
    rows, drows = x.reshape(-1, 64), dy.reshape(-1, 256)
    y_gap = abs((x @ w).reshape(-1, 256) - rows @ w).max()
    largest = max(largest, y_gap, abs(dw_by_images(x, dy) - rows.T @ drows).max())
    many, one = 1e3 * seconds(np.matmul, x, w), 1e3 * seconds(np.matmul, rows, w)
    dw_many, dw_one = 1e3 * seconds(dw_by_images, x, dy), 1e3 * seconds(np.matmul, rows.T, drows)
    many_over_one[T] = dw_many / dw_one
    print(f"T = {T:2}            {many:6.2f} ms {one:5.2f} ms       {dw_many:8.2f} ms {dw_one:5.2f} ms")
print(f"largest difference between the two ways: {largest:.0e}")

# %% [markdown]
# With 50 rows in each image many products are a little slower. With one row $dw$ is many times slower, and that case is ours: the last block works on
# the class token alone. There $dw$ by images makes a whole matrix for every single row. Merged, it is one product, whatever $T$ is
# ([linear.py](../tinyvit/layers/linear.py)).
#
# ## Sums along a row
#
# LayerNorm and softmax need sums along the last axis. NumPy's own sums of short rows are slow.
#
# **Exercise.** Which matrix product gives the same sums? Write it, and see what it takes:


# %%
def my_row_sums(x):
    """x [..., D] -> the sums over the last axis, [..., 1], by one matrix product."""


x = rng.standard_normal((B, config.tokens, config.dim), dtype=np.float32)
if my_row_sums(x) is None:
    print("To be written.")
else:
    mine = abs(my_row_sums(x) - x.sum(axis=-1, keepdims=True)).max()  # one that is wrong differs by about 10
    print(f"largest difference {mine:.1e}, {1e3 * seconds(my_row_sums, x, repeat=25):.3f} ms")

# %%
print(exercises.source(row_sums), "\n")
ways = {
    "x.mean(axis=-1)": lambda: x.mean(axis=-1, keepdims=True),
    "x.sum(axis=-1)": lambda: x.sum(axis=-1, keepdims=True),
    "row_sums(x)": lambda: row_sums(x),
}
for name, way in ways.items():
    print(f"{name:16} {1e3 * seconds(way, repeat=25):.3f} ms")
error = abs(row_sums(x) - x.sum(axis=-1, keepdims=True)).max()
print(f"largest difference {error:.1e}")

# %% [markdown]
# Such things stand only in the smallest functions, `ops` and `linear`, each beside a comment that says why, and [tests](../tests/ops/test_sums.py)
# compare them with a plain form. The composites (encoder block, MLP, the whole model) are the textbook's.
#
# ## Memory: micro-batches keep it flat
#
# To predict takes the parameters. To train takes as many gradients, the average of the weights, twice as many numbers that [AdamW](09_training.ipynb)
# keeps, the **moments**, and the cache, which grows with the batch. In megabytes ($10^6$ bytes), with 4 bytes a number:

# %%
print("model    images   parameters  gradients    average  two moments      cache")
for name in ("digits", "mnist", "B/16"):
    for batch in (1, 32):
        model = tinyvit.shapes(tinyvit.PRESETS[name], batch)
        size = 4e-6 * model.totals[0]
        print(f"{name:8} {batch:6} {size:12.2f} {size:10.2f} {size:10.2f} {2 * size:12.2f} {1e-6 * model.kept:10.2f}")

# %% [markdown]
# But [the gradient of a batch is a sum over parts of it](09_training.ipynb). A part of 32 images, a **micro-batch**, can be finished, forward and
# backward, before the next one begins. On the left are the bytes that the cache holds according to `tinyvit.shapes`, and the most memory that Python held
# during a gradient, with arrays that are freed right away. (`shapes` counts the whole last block, of which training computes one row: hence the gap.)
#
# On the right, the time for each image against the size of the micro-batch:


# %%
def peak_memory(batch, micro_batch):
    """The most megabytes that Python held during a gradient."""
    some, their = np.zeros((batch, 28, 28, 1), np.float32), np.zeros(batch, np.int64)
    tracemalloc.start()
    gradient(some, their, p, micro_batch)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return 1e-6 * most


batches = [32, 64, 128, 256]
at_once = [peak_memory(batch, batch) for batch in batches]
in_parts = [peak_memory(batch, B) for batch in batches]
in_cache = [1e-6 * tinyvit.shapes(config, batch).kept for batch in batches]

many_images, many_labels = np.tile(images, (4, 1, 1, 1)), np.tile(labels, 4)
sizes = [1, 2, 4, 8, 16, 32, 64, 128]
each = [1e3 * seconds(gradient, many_images, many_labels, p, size, repeat=3) / len(many_labels) for size in sizes]

figure = new_figure(7.5, 2.6)
left, right = figure.subplots(1, 2)
left.plot(batches, at_once, "o-", color=ORANGE, label="at once, measured")
left.plot(batches, in_cache, ":", color="black", label="the cache, by tinyvit.shapes")
left.plot(batches, in_parts, "s-", color=BLUE, label=f"{B} at a time, measured")
left.set(xlabel="batch", title="memory (MB)", ylim=(0, None))
left.legend(fontsize=8)
right.plot(sizes, each, "o-", color=BLUE)
right.set(
    xscale="log", xticks=sizes, xticklabels=sizes, xlabel="micro-batch", title="ms for each image", ylim=(0, None)
)
right.minorticks_off()
for axes in (left, right):
    plain(axes)
one, some, all_of_it = (each[sizes.index(size)] for size in (1, 32, 128))
print(f"for each image: {one:.2f} ms one at a time, {some:.2f} ms of {B} at a time, {all_of_it:.2f} ms of 128 at once")
figure

# %% [markdown]
# Small micro-batches waste time on calls. What larger ones gain over 32, if anything, is in the last two numbers; what they cost is on the left.
#
# ## Half the digits, half the time?
#
# The models here are trained in float32: numbers of 4 bytes, with about seven decimal digits. float64 has sixteen, takes twice the memory, and the
# processor multiplies half as many of them at a time. Gradient checks need it; training does not. By what factor will a step be slower?

# %%
p64 = trees.map(lambda a: a.astype(np.float64), p)
p64["head"] = {
    "w": 0.1 * rng.standard_normal((config.dim, 10)),
    "b": np.zeros(10),
}  # zeros would let no gradient through
p32 = trees.map(lambda a: a.astype(np.float32), p64)
images64 = images.astype(np.float64)
exact, rounded = gradient(images64, labels, p64), gradient(images, labels, p32)
in32, in64 = seconds(gradient, images, labels, p32, repeat=5), seconds(gradient, images64, labels, p64, repeat=3)
off = abs(rounded - exact).max() / abs(exact).max()
print(f"a step in float32 {1e3 * in32:.0f} ms, in float64 {1e3 * in64:.0f} ms: {in64 / in32:.1f} times as long")
hidden = rng.standard_normal((B, config.tokens, config.mlp_dim))
for name, f in {"a large product": lambda a: a @ a.T, "GELU": gelu}.items():
    a = hidden.reshape(-1, config.mlp_dim) if name != "GELU" else hidden
    ratio = seconds(f, a, repeat=3) / seconds(f, a.astype(np.float32), repeat=3)
    print(f"  {name}: {ratio:.1f} times")
print(f"error of the gradient in float32, against its largest entry: {off:.0e}")

# %% [markdown]
# GELU takes far more than twice as long: to be exact to the last digits of float64, its error function is summed up as a long series
# ([erf.py](../tinyvit/ops/erf.py)), which only checks pay for.
#
# ## More cores: workers
#
# BLAS, the library behind `@`, can share each product out over **threads** (above it had one), but these products are small. Or the images are shared
# out: each **worker** takes whole micro-batches. Workers could be threads of Python, of which only one at a time may run Python itself; or
# **processes**, over memory that all of them see. Which of the three will be fastest?
#
# The number of workers changes the time, and not one bit of the result: each micro-batch's gradient has a row of its own, and the rows are added in the
# order of their index, whoever computed them.


# %%
def steps_of(workers, kind="processes", blas=1, count=4):
    """Seconds of a training step of 128 images, and the parameters after `count` steps."""
    recipe = tinyvit.Recipe(batch=128)
    pool = start_worker_pool(config, recipe, 0, workers=workers, kind=kind)
    with threadpool_limits(blas, "blas"), pool:
        pool.train_step.arrays["parameters"][...] = flat(p, like=pool.train_step.p)
        times = []
        for step in range(1, count + 1):
            start = time.perf_counter()
            pool.gradient(step, {"images": many_images, "labels": many_labels})
            pool.do("update", step, 1e-3)
            times.append(time.perf_counter() - start)
        return min(times), pool.train_step.arrays["parameters"].copy()


several = max(2, usable_cores())
alone, parameters_alone = steps_of(1)
split, _ = steps_of(1, blas=several, count=2)
shared, parameters_shared = steps_of(several)
threaded, parameters_threaded = steps_of(several, kind="threads")
for name, taken in {
    "1 worker": alone,
    f"1 worker, {several} threads of BLAS": split,
    f"{several} workers, threads": threaded,
    f"{several} workers, processes": shared,
}.items():
    print(f"{name:28} {1e3 * taken:4.0f} ms a step, {alone / taken:.2f} times as fast")
same_bits = parameters_alone.tobytes() == parameters_shared.tobytes() == parameters_threaded.tobytes()
print("after four steps the parameters are equal to the bit:", same_bits)

# %% [markdown]
# With free cores, two processes take about half the time of one ([measured](../docs/speed.md)); where other work holds the cores, they gain less.
#
# ## A GPU: the same source
#
# CuPy has NumPy's functions for NVIDIA's GPUs. Operators, `@` and methods go where their arrays live. Only functions that create or combine arrays
# need to know which of the two libraries to ask, and take it from an array at hand. This is all of it:

# %%
print(exercises.source(xp_of))

# %% [markdown]
# There is no second copy of a layer for the GPU. Is there a GPU here?

# %%
try:
    gpu_module()  # imports CuPy, and asks it for a GPU
except DeviceError:
    print("No GPU here: everything in this notebook ran on the CPU.")
else:
    on_gpu, _ = tinyvit.vit(to_device(images), to_device(p32), config)
    apart = abs(to_host(on_gpu) - tinyvit.vit(images, p32, config)[0]).max()
    print(f"A GPU, and the same code on it: logits as on the CPU to {apart:.0e}.")

# %% [markdown]
# ## Exercise: the arithmetic of a block
#
# Count the multiply-adds of one block, forward: $T$ tokens of width $D$, $M$ hidden features, $h$ heads. Then, from your formula: at which $T$ do the
# scores and the weighted sums take more than the four projections? Does $h$ matter?


# %%
def my_multiply_adds(T, D, M, h):
    """The multiply-adds of one encoder block, for one image, forward: an integer."""


for name in ("digits", "mnist", "B/16"):
    size = tinyvit.PRESETS[name]
    mine = my_multiply_adds(size.tokens, size.dim, size.mlp_dim, size.heads)
    counted = sum(row.multiply_adds for row in tinyvit.shapes(size) if row.name.startswith("blocks/0/"))
    print(
        f"{name:7}", "to be written" if mine is None else f"found {mine:,}: {'right' if mine == counted else 'wrong'}"
    )

# %% [markdown]
# ## What we know now
#
# Time goes into products where it must, and otherwise into many small operations and into memory. What helped: one large product instead of many, sums
# as products, memory that is kept; a batch in parts saves memory. What all of it comes to, beside PyTorch on the same cores, is in
# [docs/speed.md](../docs/speed.md); `tinyvit bench` measures your machine.

# %%
assert error < 1e-4 and largest < 1e-3 and many_over_one[1] > 3
assert in_cache[-1] == 8 * in_cache[0] and at_once[-1] > 5 * at_once[0]
assert in_parts[-1] < 1.5 * in_parts[0] and 0.8 < at_once[-1] / in_cache[-1] < 1.2
assert sum(work.values()) == 3 * summary.totals[1]  # no product is forgotten
assert all((taken > 0).all() for taken in spent.values())  # and no stopwatch
assert off < 1e-5
assert same_bits

# %% [markdown]
# Next: [real weights](13_real_weights.ipynb), or what others have trained, read into these layers.
