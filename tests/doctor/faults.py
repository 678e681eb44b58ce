"""Faults that people make, planted one by one. The list was written before the checks that should find them."""

import dataclasses

import numpy as np

from tests.doctor.case import Fault
from tinyvit import trees
from tinyvit.models.model import model_of


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- how to plant


def recipe(**values):
    return lambda case: case._replace(recipe=dataclasses.replace(case.recipe, **values))


def config(**values):
    return lambda case: case._replace(config=case.config.changed(**values))


def part(x, y, keep):
    return x[keep], y[keep]


def majority(case, share=0.9, label=1):
    """Only so many others stay that the class has its share."""
    of_class, others = np.flatnonzero(case.y == label), np.flatnonzero(case.y != label)
    few = rng().permutation(others)[: round(len(of_class) * (1 - share) / share)]
    x, y = part(case.x, case.y, np.sort(np.r_[of_class, few]))
    return case._replace(x=x, y=y)


def few_of_a_class(case, label=7, count=3):
    """So many examples of a class stay."""
    keep = (case.y != label) | (np.cumsum(case.y == label) <= count)
    x, y = part(case.x, case.y, keep)
    return case._replace(x=x, y=y)


def without_test_class(case, label=7):
    x, y = part(case.x_test, case.y_test, case.y_test != label)
    return case._replace(x_test=x, y_test=y)


def other_proportions(case):
    """The test part has five classes almost alone."""
    keep = (case.y_test < 5) | (rng().random(len(case.y_test)) < 0.05)
    x, y = part(case.x_test, case.y_test, keep)
    return case._replace(x_test=x, y_test=y)


def leaked(change, count=100):
    """So many test pictures stand in the training part, changed."""

    def plant(case):
        few = rng().permutation(len(case.x_test))[:count]
        x = change(case.x_test[few]).astype(np.float32)
        return case._replace(x=np.concatenate([case.x, x]), y=np.concatenate([case.y, case.y_test[few]]))

    return plant


def repeated(case):
    """Half of the training part is 20 pictures over and over."""
    index = np.arange(len(case.x))
    index[len(index) // 2 :] = np.resize(rng().permutation(len(index))[:20], len(index) - len(index) // 2)
    return case._replace(x=case.x[index], y=case.y[index])


def contradictory_repeats(case, count=150):
    """So many pictures stand there a second time under another class."""
    few = rng().permutation(len(case.x))[:count]
    y = (case.y[few] + rng(1).integers(1, 10, count)) % 10
    return case._replace(x=np.concatenate([case.x, case.x[few]]), y=np.concatenate([case.y, y]))


def images(change):
    """The training pictures are changed: change(x, y)."""
    return lambda case: case._replace(x=change(case.x, case.y).astype(np.float32))


def test_images(change):
    return lambda case: case._replace(x_test=change(case.x_test).astype(np.float32))


def some(share, change, seed=0):
    """A change of that share of the pictures."""

    def of(x, y=None):
        chosen = rng(seed).random(len(x)) < share
        return np.where(chosen[:, None, None, None], change(x), x)

    return of


def of_class(label, change):
    return lambda x, y: np.where((y == label)[:, None, None, None], change(x), x)


def marked(x, y):
    """One pixel in a corner tells the class."""
    x = x.copy()
    x[:, 0, 0, 0] = y / 4.5 - 1
    return x


def labels(change):
    return lambda case: case._replace(y=change(case.y))


def test_labels(change):
    return lambda case: case._replace(y_test=change(case.y_test))


def wrong(share):
    """That share of the labels is drawn at random among the others."""

    def of(y):
        chosen = rng().random(len(y)) < share
        return np.where(chosen, (y + rng(1).integers(1, 10, len(y))) % 10, y)

    return of


def exchanged(a, b):
    return lambda y: np.where(y == a, b, np.where(y == b, a, y))


def half_named(a, b):
    """Half of class a are called b."""
    return lambda y: np.where((y == a) & (rng().random(len(y)) < 0.5), b, y)


def model(change):
    """The trained parameters are changed, in a copy: change(p)."""

    def plant(case):
        p = trees.map(np.array, case.p)
        change(p)
        return case._replace(p=p)

    return plant


def never(label):
    def change(p):
        p["head"]["b"][label] = -50

    return change


def always(label):
    def change(p):
        p["head"]["b"][label] = 50

    return change


def columns(a, b):
    def change(p):
        for array in p["head"].values():
            array[..., [a, b]] = array[..., [b, a]]

    return change


def untrained(case):
    return case._replace(p=model_of(case.config).init(rng(), case.config))


def noisy_weights(p):
    for array in trees.leaves(p["blocks"]):
        array += rng(array.size).normal(0, 0.3, array.shape).astype(array.dtype)


def damaged(p):
    p["blocks"][1]["mlp"]["fc1"]["w"][0, 0] = np.nan


def history(change):
    """The history is rewritten: change(record, step share) -> record."""

    def plant(case):
        last = max(record["step"] for record in case.history)
        return case._replace(history=tuple(change(dict(record), record["step"] / last) for record in case.history))

    return plant


def still_rising(record, way):
    if record["kind"] == "epoch":
        record |= {"validation_accuracy": 0.2 + 0.5 * way, "validation_loss": 2.2 - 1.2 * way}
    if record["kind"] == "step":
        record |= {"loss": 2.3 - 1.2 * way}
    return record


def overfitted(record, way):
    if record["kind"] == "epoch":
        record |= {"validation_accuracy": 0.5 + 0.1 * min(way * 5, 1), "validation_loss": 1.2 + 2 * way}
    if record["kind"] == "step":
        record |= {"loss": 0.3 + 2 * (1 - way) ** 4}
    return record


def flat_loss(record, way):
    if record["kind"] == "epoch":
        record |= {"validation_accuracy": 0.1, "validation_loss": 2.303}
    if record["kind"] == "step":
        record |= {"loss": 2.303 + 0.01 * np.sin(40 * way)}
    return record


def jumping(record, way):
    if record["kind"] == "step" and way > 0.8:
        record |= {"loss": 5.0 + 3 * np.sin(40 * way)}
    if record["kind"] == "epoch" and way > 0.8:
        record |= {"validation_accuracy": 0.3, "validation_loss": 4.0}
    return record


def clipped(record, way):
    return record | ({"gradient_norm": 300.0} if record["kind"] == "step" else {})


FAULTS = [
    # balance
    Fault("one class is 90 % of the training part", "balance", majority),
    Fault("a class with 3 examples", "balance", few_of_a_class),
    Fault("a class without examples", "balance,classes", lambda case: few_of_a_class(case, 7, 0)),
    Fault("a class that is not in the test part", "balance", without_test_class),
    Fault("the test part has other proportions", "balance", other_proportions),
    # repeats and leakage
    Fault("test pictures stand in the training part", "leakage", leaked(lambda x: x)),
    Fault("inverted test pictures in the training part", "leakage", leaked(lambda x: -x)),
    Fault("mirrored test pictures in the training part", "leakage", leaked(lambda x: x[:, :, ::-1])),
    Fault("paler test pictures in the training part", "leakage", leaked(lambda x: 0.6 * x + 0.1)),
    Fault("the whole test part stands in the training part", "leakage", leaked(lambda x: x, 360)),
    Fault("half of the training part is 20 pictures", "repeats", repeated),
    Fault("the same pictures under two classes", "repeats,labels", contradictory_repeats),
    # statistics of the parts
    Fault("test part from 0 to 1", "parts,images", test_images(lambda x: (x + 1) / 2)),
    Fault("test part inverted", "parts", test_images(lambda x: -x)),
    Fault("test part of half the contrast", "parts", test_images(lambda x: 0.5 * x - 0.5)),
    Fault("test part upside down", "parts", test_images(lambda x: x[:, ::-1])),
    Fault("test part turned by 90 degrees", "parts", test_images(lambda x: x.transpose(0, 2, 1, 3)[:, ::-1])),
    Fault("test part moved by 2 pixels", "parts", test_images(lambda x: np.roll(x, 2, axis=2))),
    Fault("test part with noise", "parts", test_images(lambda x: x + rng().normal(0, 0.4, x.shape).clip(-1, 1))),
    Fault("half of the training part inverted", "mixture,images,labels", images(some(0.5, lambda x: -x))),
    Fault("a tenth of the training part inverted", "mixture,images,labels", images(some(0.1, lambda x: -x))),
    Fault("training part from 0 to 255", "images", images(lambda x, y: 127.5 * (x + 1))),
    Fault("a fifth of the pictures is empty", "images,repeats", images(some(0.2, lambda x: 0 * x - 1))),
    Fault("a class brighter than the others", "shortcuts", images(of_class(3, lambda x: x / 2 + 0.5))),
    Fault("a pixel tells the class", "shortcuts", images(marked)),
    Fault(
        "NaN in one late picture",
        "images",
        images(lambda x, y: np.where(np.arange(len(x))[:, None, None, None] == 900, np.nan, x)),
    ),
    # labels
    Fault("10 % of the labels wrong", "labels", labels(wrong(0.1))),
    Fault("30 % of the labels wrong", "labels", labels(wrong(0.3))),
    Fault("all labels in another order", "labels", labels(lambda y: rng().permutation(y))),
    Fault("half of the 4s are called 9", "labels", labels(half_named(4, 9))),
    Fault("test labels one too high", "labels", test_labels(lambda y: (y + 1) % 10)),
    Fault("test labels of 3 and 5 exchanged", "labels", test_labels(exchanged(3, 5))),
    Fault("test labels in another order", "labels", test_labels(lambda y: rng().permutation(y))),
    # augmentation
    Fault("shift 4 of 8 pixels", "augmentation", recipe(shift=4)),
    Fault("crop 4 of 8 pixels", "augmentation", recipe(crop=4)),
    Fault("digits mirrored", "augmentation", recipe(mirror=0.5)),
    Fault("digits turned by up to 180 degrees", "augmentation", recipe(rotate=180.0)),
    Fault("zoom by up to 90 %", "augmentation", recipe(zoom=0.9)),
    Fault("shear by 0.9", "augmentation", recipe(shear=0.9)),
    # settings
    Fault("one epoch", "settings", recipe(epochs=1)),
    Fault("warm-up over 95 % of the run", "settings", recipe(warmup=0.95)),
    Fault("an average slower than the run", "settings", recipe(ema_decay=0.9999)),
    Fault("clip at 1e-4", "settings,clipping", recipe(clip_norm=1e-4)),
    Fault("batch larger than the data", "settings", recipe(batch=4000)),
    Fault("batch of 1", "settings", recipe(batch=1)),
    Fault("weight decay 5", "settings", recipe(weight_decay=5.0)),
    Fault("learning rate 1e-6", "settings,learning rate", recipe(learning_rate=1e-6)),
    Fault("learning rate 1", "settings,learning rate", recipe(learning_rate=1.0)),
    Fault("label smoothing 0.9", "settings", recipe(label_smoothing=0.9)),
    Fault("90 % held out", "settings", recipe(validation=0.9)),
    Fault("nothing but the head is trained", "settings", recipe(freeze=3)),
    Fault("dropout 0.8", "settings", config(dropout=0.8)),
    Fault("one patch", "sizes", config(patch=8)),
    Fault("heads 1 wide", "sizes", config(heads=32)),
    Fault("mlp_dim of 4", "sizes", config(mlp_dim=4)),
    Fault("dim of 4", "sizes", config(dim=4, heads=1)),
    Fault("pre_logits of 1", "sizes", config(pre_logits=1)),
    Fault("eps of 0.9", "sizes", config(eps=0.9)),
    Fault("positions drown the pictures", "sizes,input", config(position_std=100.0)),
    # what was learned
    Fault("a class is never predicted", "predictions", model(never(3)), trained=True),
    Fault("one class is always predicted", "predictions", model(always(3)), trained=True),
    Fault("two classes are exchanged", "predictions", model(columns(3, 5)), trained=True),
    Fault("the model is not trained", "predictions,progress", untrained, trained=True),
    Fault("the weights are noisy", "predictions", model(noisy_weights), trained=True),
    Fault("NaN in the weights", "weights", model(damaged), trained=True),
    Fault(
        "other pictures than it was trained on",
        "predictions",
        lambda case: case._replace(x=-case.x, x_test=-case.x_test),
        trained=True,
    ),
    Fault("still rising at the end", "progress", history(still_rising), trained=True),
    Fault("learned by heart", "progress", history(overfitted), trained=True),
    Fault("the loss stays where it was", "progress", history(flat_loss), trained=True),
    Fault("the loss jumps up at the end", "progress", history(jumping), trained=True),
    Fault("every gradient is clipped to a three-hundredth", "progress,clipping", history(clipped), trained=True),
]
