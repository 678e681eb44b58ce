"""Does every setting suit the length of the run, and the number of images?"""

LEAST_STEPS = 100
MOST_DECAY, MOST_NOISE, MOST_SMOOTHING = 0.005, 0.5, 0.3
LONGEST_WARMUP, MOST_HELD_OUT, FEW_HELD_OUT = 0.5, 0.5, 20
LONGEST_AVERAGE = 5  # of the steps of the run: 1 / (1 - ema_decay) steps are averaged
SMALLEST_BATCH, FEW_IMAGES = 8, 200


def training_images(images, recipe):
    """How many of the images are not held out."""
    return images - round(recipe.validation * images)


def steps_of(images, recipe):
    """The steps of a run on so many images: of an epoch, and in all."""
    of_epoch = -(-training_images(images, recipe) // recipe.batch)
    return of_epoch, of_epoch * recipe.epochs


def check_settings(config, recipe, images, *, fine_tuned=False, examples="images"):
    """Nothing that holds the model back is beyond what is usual, and the run is long enough for what it begins.

    Parameters
    ----------
    config : the configuration of one of MODELS
    recipe : Recipe
    images : int
        Of the training part, those held out among them.
    fine_tuned : bool
        The run started from given weights.
    examples : str
        What they are, if not images.

    Returns
    -------
    str : what was looked at
    """
    yield from _check_length(recipe, images, examples)
    yield from _check_batch(recipe, images, examples)
    shrinks = recipe.learning_rate * recipe.weight_decay
    if shrinks > MOST_DECAY:
        yield (
            f"the weight decay {recipe.weight_decay:g}, times the learning rate {recipe.learning_rate:g}, takes "
            f"{shrinks:.0%} of every matrix in each step: lower the larger of the two"
        )
    for name, value, most in (
        ("dropout", config.values().get("dropout", 0.0), MOST_NOISE),
        ("label smoothing", recipe.label_smoothing, MOST_SMOOTHING),
    ):
        if value > most:
            yield f"{value:.0%} {name} leaves little to learn from: try 0 to 10%"
    if recipe.freeze and not fine_tuned:
        yield (
            f"freeze {recipe.freeze} keeps the first blocks and the embedding at their random first weights: leave it "
            "out, or start from trained ones with --from"
        )
    of_epoch, steps = steps_of(images, recipe)
    return (
        f"{recipe.epochs} epochs of {of_epoch:,} steps, {steps:,} in all, for {training_images(images, recipe):,} "
        f"{examples}: length, warm-up, average, batch, decay, noise"
    )


def _check_length(recipe, images, examples):
    """The run is long enough for itself, its warm-up and its average."""
    _, steps = steps_of(images, recipe)
    if steps < LEAST_STEPS:
        yield (
            f"the run has {steps} steps in all, of {recipe.batch} {examples}: too few to learn much; more epochs, or a "
            "smaller batch"
        )
    if recipe.warmup > LONGEST_WARMUP:
        yield f"the learning rate rises over {recipe.warmup:.0%} of the run (warmup): try 0.05 to 0.1"
    averaged = 1 / (1 - recipe.ema_decay)
    if steps >= LEAST_STEPS and averaged > LONGEST_AVERAGE * steps:
        decay = 1 - 10 / steps
        yield (
            f"the average of the weights reaches over {averaged:,.0f} steps (ema_decay {recipe.ema_decay:g}), and the "
            f"run has {steps:,}: try {decay:.3g} or less"
        )


def _check_batch(recipe, images, examples):
    """A batch is a part of the data, and not too small a one."""
    count = training_images(images, recipe)
    if recipe.batch > count >= FEW_IMAGES:
        found = f"a batch ({recipe.batch}) exceeds all {count:,} training {examples}"
        yield f"{found}: each epoch is one step; try 32 to 128"
    if recipe.batch < SMALLEST_BATCH and count >= FEW_IMAGES:
        yield f"the gradient of a batch of {recipe.batch} is mostly noise, and slow to compute: try 32 to 128"
    if 0 < images - count < FEW_HELD_OUT and images >= FEW_IMAGES:
        yield (
            f"only {images - count} {examples} are held out (validation {recipe.validation:g}): the validation "
            "accuracy says little; try 0.1"
        )
    if recipe.validation > MOST_HELD_OUT:
        found = f"{recipe.validation:.0%} of the {examples} are held out"
        yield f"{found}, and {count:,} are left to learn from: try 10%"
