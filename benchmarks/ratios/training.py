"""Fine-tuning: what rates by block cost a step, and what thawing in stages brings."""

from functools import cache
from types import SimpleNamespace

import numpy as np
from rows import Row, compare, interleave, measure

NUM_ROUNDS = 15
STEPS_A_ROUND = 10
BATCH_SIZE = 32
LABELS_PER_CLASS = 40
EPOCHS = 4  # of each of the three stages; the full unfreeze gets all of them at once
SEEDS = (0, 1, 2)
RATE = 1e-3


def measure_block_rates():
    """Compare training steps with rates by block and with the bare optimizer."""
    import keras

    from tl_helpers.finetuning import BlockRates, layer_rates

    world = _world()
    models = {"bare": _thawed(world), "rates": _thawed(world)}
    rates = {name: 0.5 for name in models["rates"].block_layers}
    slowed = BlockRates(_adam(), layer_rates(models["rates"], rates))
    for model, optimizer in zip(models.values(), (_adam(), slowed), strict=True):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
    images = world.train.pixels()[:BATCH_SIZE].astype("float32")
    labels = world.train.labels[:BATCH_SIZE]

    def steps(model):
        return lambda: [
            model.train_on_batch(images, labels) for _ in range(STEPS_A_ROUND)
        ]

    tasks = {name: steps(model) for name, model in models.items()}
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"steps a round": STEPS_A_ROUND, "batch size": BATCH_SIZE, **spent}
    name = "s a step: BlockRates(Adam) / Adam"
    return [compare(name, spent["rates"], spent["bare"], 1.05, "at most", raw)]


def measure_staged_thaw():
    """Compare head, last block, everything with everything from the start."""
    rounds = [_both_ways(seed) for seed in SEEDS]
    raw = {name: [one[name] for one in rounds] for name in rounds[0]}
    gain = np.mean(raw["staged, accuracy"]) - np.mean(raw["at once, accuracy"])
    raw |= {"labels per class": LABELS_PER_CLASS, "epochs": 3 * EPOCHS}
    name = "s: thawing in stages / everything at once"
    return [
        compare(name, raw["staged"], raw["at once"], None, raw=raw),
        Row("accuracy: in stages - at once, mean of seeds", float(gain), None),
    ]


def _both_ways(seed):
    """Return {quantity: number} of one seed, both ways right after each other."""
    import keras

    from tl_helpers import datasets
    from tl_helpers.finetuning import Stage, classifier, fine_tune

    world, result = _world(), {}
    few = datasets.few_per_class(world.train, LABELS_PER_CLASS, seed)
    first, last = world.backbone.blocks[0], world.backbone.blocks[-1]
    plans = {
        "staged": (
            Stage("head", EPOCHS, 10 * RATE),
            Stage(last, EPOCHS, RATE),
            Stage(first, EPOCHS, RATE),
        ),
        "at once": (Stage(first, 3 * EPOCHS, RATE),),
    }
    for name, stages in plans.items():
        keras.utils.set_random_seed(seed)
        model = classifier(world.backbone, len(few.class_names))
        settings = {"stages": stages, "seed": seed, "verbose": 0}
        result[name] = measure(
            lambda m=model, s=settings: fine_tune(m, few, world.validation, **s)
        )
        result[f"{name}, accuracy"] = model.evaluate(
            world.test.batches(100), verbose=0
        )[1]
    return result


def _thawed(world):
    from tl_helpers.finetuning import classifier, thaw

    model = classifier(world.backbone, 10)
    thaw(model, world.backbone.blocks[0])
    return model


def _adam():
    import keras

    return keras.optimizers.Adam(RATE)


@cache
def _world():
    from tl_helpers import backbones, datasets

    photo = datasets.load("solids", "photo")
    train, validation, test = datasets.split(photo, 0.6, 0.15, 0.25)
    return SimpleNamespace(
        train=train,
        validation=validation,
        test=test,
        backbone=backbones.load("embedded"),
    )
