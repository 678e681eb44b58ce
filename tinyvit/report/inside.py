"""What a finished run with images has to show: numbers, and figures with two sentences each."""

import math
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.arrays import to_host, xp_of
from tinyvit.models.model import model_of
from tinyvit.ops.softmax import softmax
from tinyvit.report.pictures import Picture, curves_picture, dataflow_picture
from tinyvit.training.batches import as_part
from tinyvit.training.evaluation import outputs_and_scores
from tinyvit.viz.attention import (
    answers_row,
    attention_distance,
    free_distances,
    rollout,
    uniform_distance,
    weighted_attention,
    who_answers,
)
from tinyvit.viz.confusion import confusion, confusion_figure, mistakes_figure, worst_mistakes
from tinyvit.viz.distance import distance_figure
from tinyvit.viz.embedding import filters_figure, position_table, similarity_by_direction, similarity_figure
from tinyvit.viz.maps import attention_figure, overlay_figure
from tinyvit.viz.picture import readable
from tinyvit.viz.pyramid import over_patches

SAMPLES = 64  # images over which attention distances are averaged
LARGEST_MAPS = 64 * 400**2  # entries of the maps of all these images, in one head of one layer: maps of 20 x 20 patches
SHOWN = 4  # of them drawn
ALIKE = 0.1  # by which neighbours' similarity must exceed others' to be called so
SMALL = 3  # columns and rows at least: with fewer, a row has none but neighbours
GIVEN = {  # what positions have of an order before anything is learned
    "2d": "but half of that is given: the patches of a row, or of a column, share half of their numbers",
    "sinusoidal": "all of it given: the waves run along the sequence, row after row, and nothing is learned",
}
FAR = "How far does each head look?"
LOCAL = 0.7  # of uniform attention's distance, below which a head is called local


class Inside(NamedTuple):
    """A finished run, with all that its figures need."""

    run: object
    p: dict
    config: object
    images: np.ndarray  # the test set's
    labels: np.ndarray
    names: tuple  # of the classes
    scores: dict  # over the test set
    probabilities: np.ndarray | None  # [N, K], of a model that classifies
    views: dict  # of the model
    encoder: object  # the ViTConfig of a model whose maps are over one grid of patches; None of any other
    maps: list  # the attention maps of the first SAMPLES images; none of a model without attention

    @property
    def pool(self):
        """Which tokens the head reads."""
        return self.views["pool"](self.config)

    @property
    def grid(self):
        """Rows and columns of the patches, and the side of one in pixels."""
        grid = self.views["grid"](self.config)
        return grid, self.encoder.patch if self.encoder else self.images.shape[1] // grid[0]


def look_inside(run, p, config, test, *, workers=1):
    """Run the model over the test set and keep what the figures need.

    Parameters
    ----------
    run : Run
    p, config
        Its model.
    test : (images, labels)
    workers : int
    """
    (images, labels), model = test, model_of(config)
    classifies = model.task.answer is not None
    outputs, scores = outputs_and_scores(as_part(test), p, config, workers=workers, keep_outputs=classifies)
    probabilities = softmax(outputs)[0] if classifies else None
    maps, encoder = [], model.views["encoder"](config) if "encoder" in model.views else None
    if "attention" in model.views:
        some = images[: _samples(model.views["grid"](config))]
        maps = [to_host(a) for a in model.views["attention"](_cache(some, p, config), config)]
    names = run.settings.dataset.class_names
    return Inside(run, p, config, images, labels, names, scores, probabilities, model.views, encoder, maps)


def _samples(grid):
    """Over how many images maps are averaged: SAMPLES, or fewer, where maps are large."""
    return max(SHOWN, min(SAMPLES, LARGEST_MAPS // math.prod(grid) ** 2))


def _cache(images, p, config):
    """The cache of the model's whole forward pass for these images, nothing masked."""
    return model_of(config).forward({"images": xp_of(trees.leaves(p)[0]).asarray(images)}, p, config)[1]


def pictures(inside):
    """All figures of a run, {name: Picture}, in the order in which one would look at them."""
    encoder, chosen = inside.encoder, {}
    if any(record["kind"] == "epoch" for record in inside.run.history()):
        chosen["curves"] = _curves
    if inside.probabilities is not None:
        chosen |= {"confusion": _confusion, "mistakes": _mistakes}
    if inside.maps:
        chosen |= {"attention": _attention, "rollout": _rollout, "distance": _distance, "filters": _filters}
    if encoder and encoder.patches > 1 and position_table(inside.p, encoder) is not None:  # one patch has no neighbour
        chosen["positions"] = _positions
    chosen["dataflow"] = lambda inside: dataflow_picture(inside.config, "an image", "one image")
    return {name: draw(inside) for name, draw in chosen.items()}


def _curves(inside):
    return curves_picture(inside.run, "images", math.log(inside.config.classes))


def _confusion(inside):
    predicted = inside.probabilities.argmax(-1)
    counts = confusion(inside.labels, predicted, len(inside.names))
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    most, favourite = wrong.max(), np.bincount(predicted, minlength=len(counts))
    pairs = [f"{inside.names[i]} for {inside.names[j]}" for i, j in np.argwhere(wrong == most)]
    if not most:
        found = "There are no mistakes."
    elif favourite.max() > 0.5 * len(predicted) and len(counts) > 2:
        found = f"{favourite.max() / len(predicted):.0%} of all answers are {inside.names[favourite.argmax()]}."
    elif most == 1 or len(pairs) > 3:
        found = f"No two classes stand out: none is taken for another more than {_times(most)}."
    else:
        found = f"Most often it takes {' and '.join(pairs)}: {_times(most)}."
    words = f"Each row is what an image is, each column what the model says; colour marks the mistakes. {found}"
    return Picture(confusion_figure(counts, inside.names), "Which classes are confused?", words)


def _times(count):
    return "once" if count == 1 else f"{count} times"


def _mistakes(inside):
    worst = worst_mistakes(inside.labels, inside.probabilities)
    attention = None
    if inside.maps and len(worst):
        maps = inside.views["attention"](_cache(inside.images[worst], inside.p, inside.config), inside.config)
        attention = answers_row(rollout([to_host(a) for a in maps]), inside.pool)
    figure = mistakes_figure(
        inside.images[worst], inside.labels[worst], inside.probabilities[worst], attention, inside.names
    )
    looked = ", each above where it looked (attention followed through all layers; light is more)"
    words = (
        f"The mistakes that the model was surest of{looked if attention is not None else ''}. Some would puzzle a "
        "human as well; those that would not are worth understanding."
    )
    return Picture(figure, "What does it get wrong?", words)


def _who(inside):
    """Whose attention is the answer's, in words."""
    return who_answers(inside.maps[0].shape[-1], inside.pool)


def _attention(inside):
    figure = attention_figure(inside.images[0], [a[0] for a in inside.maps], pool=inside.pool)
    read = ", from which the answer is read," if inside.probabilities is not None else ""
    words = (
        f"Where {_who(inside)}{read} looks in the first test image, in every layer (rows) and head (columns). Where "
        f"the panels of a row differ, its heads divide the work.{_windows(inside)}"
    )
    return Picture(figure, "What does each head look at?", words)


def _rollout(inside):
    images, maps = inside.images[:SHOWN], [a[:SHOWN] for a in inside.maps]
    columns = {
        "rollout": answers_row(rollout(maps), inside.pool),
        "without identity": answers_row(rollout(maps, identity=False), inside.pool),
    }
    titles, for_the_class = [""] * len(images), ""
    best = None if inside.probabilities is None else inside.probabilities[:SHOWN].argmax(-1)
    if best is not None:
        columns["for the class"] = _for_the_class(inside, best)
        for_the_class = (
            f"; for the class: {_who(inside)}'s attention times its gradient, the part of it that speaks for the answer"
        )
    if best is not None:
        names = readable(inside.names)
        titles = [f"says {names[k]}" for k in best]
    figure = overlay_figure(images, columns, titles)
    words = (
        "Rollout: attention followed through all layers, with the residual connections (the identity) and without"
        f"{for_the_class}. Light patches count most, but attention says where information flows, not why the answer is "
        "what it is."
    )
    return Picture(figure, "Where does the answer come from?", words)


def _for_the_class(inside, best):
    """What of each patch's attention speaks for the answers `best`, summed over the layers: [SHOWN, N].

    Image by image: on the large maps of a pyramid, weighing takes memory with the square of all that are weighed.
    """
    patches, w, found = math.prod(inside.grid[0]), inside.p["head"]["w"], []
    for image, k in zip(inside.images[:SHOWN, None], best, strict=True):
        dlogits = xp_of(w).asarray(np.eye(inside.config.classes, dtype=w.dtype)[[k]])
        weighted = weighted_attention(dlogits, inside.p, _cache(image, inside.p, inside.config), inside.config)
        found.append(sum(over_patches(answers_row(a, inside.pool), patches) for a in weighted))
    return np.concatenate(found)


def _distance(inside):
    grid, patch = inside.grid
    distances, patterns = attention_distance(inside.maps, patch, grid), inside.views["patterns"](inside.config)
    uniform, of_all = uniform_distance(grid, patch), np.concatenate(distances)
    if not all(allowed.all() for allowed in patterns):
        figure = distance_figure(distances, free_distances(patterns, patch, grid))
        return Picture(figure, FAR, _distance_in_patterns(inside, of_all, uniform))
    local, blind = int((of_all < LOCAL * uniform).sum()), int(np.isnan(of_all).sum())
    unseen = f"; {blind} look{'s' * (blind == 1)} at no patch at all, but at the class token alone" if blind else ""
    words = (
        f"How far each head looks from a patch, on average over {len(inside.maps[0])} images; on the line, at "
        f"{uniform:.1f} pixels, lies a head that looks everywhere alike. {_between(of_all)}, and {local or 'none'} "
        f"of {of_all.size} look{'s' * (local < 2)} less than {LOCAL:.0%} as far, as a local head would; near the "
        f"line, a head may still look at single patches, if they are as often far as near{unseen}."
    )
    return Picture(distance_figure(distances, uniform), FAR, words)


def _distance_in_patterns(inside, distances, uniform):
    """What there is to say of heads that may not look everywhere."""
    all_keys = (
        "the whole image" if inside.encoder else "all patches of the first layer"
    )  # a pyramid's later ones are larger
    return (
        f"How far each head looks from a patch, on average over {len(inside.maps[0])} images; on its layer's line lies "
        f"a head that looks alike at all it may look at. {_between(distances)}; one that looked at {all_keys} alike "
        f"would be at {uniform:.1f} pixels.{_windows(inside)}"
    )


def _windows(inside):
    """A sentence on the maps of a pyramid."""
    if inside.encoder:
        return ""
    return (
        " In every other layer of a stage the windows are displaced, if there are several; after a merging, a token "
        "stands for four of the layer before, and what it is given is drawn in equal parts over their patches."
    )


def _between(distances):
    found = distances[np.isfinite(distances)]
    return f"The heads lie between {found.min():.1f} and {found.max():.1f}" if len(found) else "No head is to be seen"


def _filters(inside):
    those = "first convolution's filters" if "stem" in inside.p else "patch embedding's filters"
    even = "An even pattern answers to brightness, one with two halves to an edge"
    if "resnet" in inside.p:
        those = "first convolution's standardised kernels"
        even = "Each sums to zero, so none answers to even brightness; one with two halves answers to an edge"
    words = (
        f"The patterns that the {those} are mixed from (their principal directions), and how much of "
        f"the filters each accounts for. {even}, a chequered one to fine detail."
    )
    figure = filters_figure(np.asarray(inside.views["filters"](inside.p, inside.config)), inside.config.channels)
    return Picture(figure, "What does a patch become?", words)


def _positions(inside):
    table, kind, grid = position_table(inside.p, inside.encoder), inside.encoder.position, inside.encoder.grid_size
    learned = "fixed" if kind == "sinusoidal" else "learned"
    words = (
        f"How alike the {learned} position of each patch (its place in the grid) is to all others (within each square)."
    )
    if min(grid) >= SMALL:
        words += _order(*similarity_by_direction(table, grid), kind)
    else:
        words += f" {grid[0]} x {grid[1]} patches are too few to tell two dimensions from one."
    return Picture(similarity_figure(table, grid), "Does it know where patches are?", words)


def _order(beside, above, others, kind):
    """A sentence on how alike the positions of neighbours are, and what follows from it."""
    if kind in GIVEN:
        follows = GIVEN[kind]
    elif above > others + ALIKE:
        follows = (
            "so the model has found out that images have two dimensions: in the sequence, which goes row after row, a "
            "patch is farther from the one below it than from those of its own row"
        )
    elif beside > others + ALIKE:
        follows = "so the order of the sequence is to be seen, but not that images have two dimensions"
    else:
        follows = "so no order is to be seen, which does not mean that positions are not used"
    return (
        f" The similarity of patches side by side is {beside:z.2f} on average, of one above the other {above:z.2f}, "
        f"and of others of one row {others:z.2f}, {follows}."
    )
