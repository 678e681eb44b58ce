"""A second list of faults, other ones, written when the checks were done: how many does the doctor find unprepared?

docs/doctor.md has the number, and what was mended afterwards.
"""

import numpy as np

from tests.doctor.case import Fault
from tests.doctor.faults import config, history, images, labels, model, recipe, rng, test_images, test_labels
from tinyvit import trees
from tinyvit.data.pixels import resized


def sorted_and_cut(case, count=400):
    """Sorted by class, as folders are read, and only the first taken."""
    order = np.argsort(case.y, kind="stable")[:count]
    return case._replace(x=case.x[order], y=case.y[order])


def oversampled(case, times=5):
    """Every training picture stands there five times."""
    return case._replace(x=np.tile(case.x, (times, 1, 1, 1)), y=np.tile(case.y, times))


def split_after_oversampling(case):
    """All pictures twice, and then divided at random."""
    x, y = np.concatenate([case.x, case.x_test] * 2), np.concatenate([case.y, case.y_test] * 2)
    order = rng().permutation(len(x))
    test, train = order[:700], order[700:]
    return case._replace(x=x[train], y=y[train], x_test=x[test], y_test=y[test])


def test_from_training(change):
    """The test part is training pictures, changed a little."""

    def plant(case):
        few = rng().permutation(len(case.x))[: len(case.x_test)]
        return case._replace(x_test=change(case.x[few]).astype(np.float32), y_test=case.y[few])

    return plant


def renamed(**pairs):
    return lambda y: np.select([y == int(name[1:]) for name in pairs], list(pairs.values()), y)


def named_in_both(case, share=0.4):
    """So many of the 1s are called 7, in both parts."""

    def change(y, seed):
        return np.where((y == 1) & (rng(seed).random(len(y)) < share), 7, y)

    return case._replace(y=change(case.y, 0), y_test=change(case.y_test, 1))


def with_noise_pictures(case, count=200):
    """Pictures of nothing but noise, with any label, stand among the others."""
    noise = rng().uniform(-1, 1, (count, *case.x.shape[1:])).astype(np.float32)
    return case._replace(x=np.concatenate([case.x, noise]), y=np.concatenate([case.y, rng(1).integers(0, 10, count)]))


def framed(x, y):
    """A bright line above the pictures of one class."""
    x = x.copy()
    x[y == 0, 0] = 1
    return x


def both(change):
    """Both parts are changed alike."""
    return lambda case: case._replace(
        x=change(case.x).astype(np.float32), x_test=change(case.x_test).astype(np.float32)
    )


def scrambled(x):
    """Reshaped wrongly: the same pixels, in another place."""
    order = rng().permutation(x[0].size)
    return x.reshape(len(x), -1)[:, order].reshape(x.shape)


def blurred(x):
    return resized(resized(np.asarray(x, np.float32), 4), 8)


def standardised(x):
    return (x - x.mean(axis=(1, 2, 3), keepdims=True)) / x.std(axis=(1, 2, 3), keepdims=True)


def zeroed_block(p):
    for array in trees.leaves(p["blocks"][2]):
        array[...] = 0


def half_forgotten(p):
    for array in trees.leaves(p["blocks"]):
        array *= rng(array.size).random(array.shape) < 0.5


def wild_biases(p):
    p["head"]["b"][...] += rng().normal(0, 8, p["head"]["b"].shape)


def positions_in_another_order(p):
    p["pos"][1:] = p["pos"][1:][rng().permutation(len(p["pos"]) - 1)]


def patch_in_another_order(p):
    w = p["patch"]["w"]
    w[...] = w[::-1].copy()


def last_norm_without_scale(p):
    p["ln"]["gamma"][...] = 0


def becomes_nan(record, way):
    return record | ({"loss": float("nan")} if record["kind"] == "step" and way > 0.9 else {})


def falls_back(record, way):
    if record["kind"] == "epoch" and way > 0.5:
        record |= {"validation_accuracy": 0.95 - 0.7 * (way - 0.5), "validation_loss": 0.2 + 1.5 * (way - 0.5)}
    return record


def plateau(record, way):
    if record["kind"] == "step":
        record |= {"loss": 1.5, "gradient_norm": 1e-9}
    if record["kind"] == "epoch":
        record |= {"validation_accuracy": 0.45, "validation_loss": 1.5}
    return record


def stopped_early(case):
    """The last two thirds of the run are missing."""
    last = max(record["step"] for record in case.history)
    return case._replace(history=tuple(record for record in case.history if record["step"] < last / 3))


FAULTS = [
    Fault("sorted by class and cut off", "classes,balance", sorted_and_cut),
    Fault("every training picture five times", "repeats", oversampled),
    Fault("divided after every picture was doubled", "leakage", split_after_oversampling),
    Fault(
        "the test part is training pictures moved by a pixel",
        "leakage,parts",
        test_from_training(lambda x: np.roll(x, 1, 1)),
    ),
    Fault(
        "the test part is training pictures with noise",
        "leakage",
        test_from_training(lambda x: x + rng().normal(0, 0.1, x.shape)),
    ),
    Fault("labels moved on by one picture", "labels", labels(lambda y: np.roll(y, 1))),
    Fault("three classes in another order in the training part", "labels", labels(renamed(_0=1, _1=2, _2=0))),
    Fault("test classes counted from the other end", "labels", test_labels(lambda y: 9 - y)),
    Fault("40 % of the 1s are called 7 in both parts", "labels", named_in_both),
    Fault(
        "15 % of the test labels wrong",
        "labels",
        test_labels(lambda y: np.where(rng().random(len(y)) < 0.15, rng(1).integers(0, 10, len(y)), y)),
    ),
    Fault("noise among the pictures", "images,mixture,parts,labels", with_noise_pictures),
    Fault("a line above one class", "shortcuts,parts", images(framed)),
    Fault("pixels in another order in both parts", "images,input", both(scrambled)),
    Fault(
        "the right half of every picture is empty", "images", both(lambda x: np.where(np.arange(8)[:, None] < 4, x, -1))
    ),
    Fault("training part black and white only", "parts", images(lambda x, y: np.sign(x + 1e-6))),
    Fault("test part blurred", "parts", test_images(blurred)),
    Fault("test part standardised picture by picture", "parts,images", test_images(standardised)),
    Fault("a thousand classes", "classes", config(classes=1000)),
    Fault("2 epochs of batches of 512", "settings", recipe(epochs=2, batch=512)),
    Fault("learning rate 0", "learning rate,settings", recipe(learning_rate=0.0)),
    Fault("learning rate 0.3", "learning rate", recipe(learning_rate=0.3)),
    Fault("clip at 0", "clipping,settings", recipe(clip_norm=0.0)),
    Fault("average over 100,000 steps", "settings", recipe(ema_decay=0.99999)),
    Fault("7 pictures held out", "settings", recipe(validation=0.005)),
    Fault("shift 3 of 8 pixels", "augmentation", recipe(shift=3)),
    Fault("all but 1 % mirrored", "augmentation", recipe(mirror=0.99)),
    Fault("digits turned by up to 90 degrees", "augmentation", recipe(rotate=90.0)),
    Fault("label smoothing 0.4", "settings", recipe(label_smoothing=0.4)),
    Fault("weight decay 0.5 at a rate of 0.02", "settings", recipe(weight_decay=0.5, learning_rate=0.02)),
    Fault("heads 2 wide", "sizes", config(heads=16)),
    Fault("mlp_dim of 16", "sizes", config(mlp_dim=16)),
    Fault("pre_logits of 4", "sizes", config(pre_logits=4)),
    Fault("a block of zeros", "predictions,weights,gradients,units", model(zeroed_block), trained=True),
    Fault("half of the weights lost", "predictions", model(half_forgotten), trained=True),
    Fault("wild biases of the head", "predictions", model(wild_biases), trained=True),
    Fault("positions in another order", "predictions", model(positions_in_another_order), trained=True),
    Fault("pixels of a patch in another order", "predictions", model(patch_in_another_order), trained=True),
    Fault("a last norm without scale", "predictions", model(last_norm_without_scale), trained=True),
    Fault("the loss becomes NaN", "progress", history(becomes_nan), trained=True),
    Fault("the accuracy falls back", "progress", history(falls_back), trained=True),
    Fault("stuck with no gradient", "progress,clipping", history(plateau), trained=True),
    Fault("stopped after a third", "progress", stopped_early, trained=True),
]
