"""Defects of real surfaces: masks of magnetic tiles, boxes on steel, with MobileNetV2.

    python benchmarks/studies/surfaces.py [--seeds 0 1 2] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`). Magnetic tiles
are cut anew by every seed into 60% to learn from and 40% to test on, all photographs of
one tile on one side; of steel all seeds share the official test images, and a seed is
other first weights and another order. The arms take the same steps, at one rate fixed
in advance:

untrained: random weights, all of which learn; the averages of BatchNormalization are
    taken anew from the training images before scoring.
frozen: ImageNet's weights, of which nothing learns.
fine-tuned: frozen for half of the steps, then everything but BatchNormalization learns.

Beside them the answer "ground everywhere". Every run leaves a file in build/surfaces
and is not repeated.
"""

from functools import cache, partial

import keras
import numpy as np
from runs import run_once, seeds_asked, study

from tl_helpers import backbones, datasets, dense, evaluation, finetuning, training
from tl_helpers.datasets.places import IGNORED
from tl_helpers.domains import adapt_batch_norm

SIZE_PX, BATCH_SIZE, STEPS, RATE, SLOW = 128, 16, 200, 2e-3, 2e-4
ARMS = ("untrained", "frozen", "fine-tuned")


@cache
def kept():
    """Results of this study with these knobs."""
    knobs = {"batch_size": BATCH_SIZE, "steps": STEPS, "rates": [RATE, SLOW]}
    return study("surfaces", size_px=SIZE_PX, **knobs)


def tiles(seed):
    """Return (training images, test images), no tile in both."""
    images = datasets.load("magnetic_tile", "all", size_px=SIZE_PX)
    groups = images.extras["group"]
    return datasets.split(images, 0.6, 0.4, groups=groups, seed=seed)


def steel():
    """Return the official (training images, test images)."""
    return tuple(
        datasets.load("neu_det", part, size_px=SIZE_PX) for part in ("train", "test")
    )


def build(make, arm, num_classes):
    """Return a model whose encoder has ImageNet's weights, or random ones."""
    return make(
        backbones.load("MobileNetV2", pretrained=arm != "untrained"), num_classes
    )


def fit(model, images, targets, steps, rate, seed):
    """Train for a number of steps, up and down along a cosine."""
    loss = None
    if targets == "pixel_labels":
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=IGNORED
        )
    schedule = training.warmup_cosine(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), loss)
    training.fit_steps(model, images, steps, BATCH_SIZE, seed, targets=targets)


def train(make, arm, images, targets, num_classes, seed):
    """Train one arm."""
    keras.utils.set_random_seed(seed)
    model = build(make, arm, num_classes)
    if arm == "untrained":
        finetuning.thaw(model, next(iter(model.block_layers)), batch_norm=True)
        fit(model, images, targets, STEPS, RATE, seed)
        return adapt_batch_norm(model, images)
    half = STEPS // 2 if arm == "fine-tuned" else STEPS
    fit(model, images, targets, half, RATE, seed)
    if arm == "fine-tuned":
        finetuning.thaw(model, next(iter(model.block_layers)))
        fit(model, images, targets, STEPS - half, SLOW, seed + 100)
    return model


def defects(labels):
    """Where pixels are of a defect, bool, whatever its kind."""
    return (labels > 0) & (labels != IGNORED)


def score_tiles(answers, images):
    """Return overlaps and the share of right pixels."""
    labels = images.extras["pixel_labels"]
    scores = dense.score_pixels(answers, labels, images.class_names)
    is_known = labels != IGNORED
    is_there, is_said = defects(labels), (answers > 0) & is_known
    return {
        "pixels": scores.accuracy,
        "kinds": scores.mean_overlap,
        "defect": float((is_there & is_said).sum() / (is_there | is_said).sum()),
    }


def segment(arm, seed):
    """Masks of magnetic tiles."""
    learn, test = tiles(seed)
    if arm == "ground everywhere":
        return score_tiles(np.zeros_like(test.extras["pixel_labels"]), test)
    num_classes = len(test.class_names) + 1
    model = train(dense.segmenter, arm, learn, "pixel_labels", num_classes, seed)
    logits = training.predict_logits(model, test)
    return score_tiles(logits.argmax(axis=-1), test)


def detect(arm, seed):
    """Boxes on steel."""
    learn, test = steel()
    model = train(dense.detector, arm, learn, "boxes", len(test.class_names), seed)
    found = dense.average_precision(
        dense.detect(model, test),
        test.extras["boxes"],
        test.extras["box_labels"],
        test.class_names,
        SIZE_PX,
    )
    return {"ap": found.ap, "ap50": found.ap50, "by_class": found.by_class}


RUNS = {f"tiles, {arm}": partial(segment, arm) for arm in ("ground everywhere", *ARMS)}
RUNS |= {f"steel, {arm}": partial(detect, arm) for arm in ARMS}


def table():
    """Return Markdown: mean and deviation over the seeds of every score."""
    lines = []
    for task, columns in {
        "tiles": ("pixels", "defect", "kinds"),
        "steel": ("ap50", "ap"),
    }.items():
        lines += [
            f"| {task} | " + " | ".join(columns) + " |",
            "|---" * (1 + len(columns)) + "|",
        ]
        own = [x for x in kept().all() if x["name"].startswith(task)]
        for name in [x for x in RUNS if x.startswith(task)]:
            runs = [x for x in own if x["name"] == name]
            cells = [evaluation.summarise([x[c] for x in runs]) for c in columns]
            lines.append(
                f"| {name} ({len(runs)}) | " + " | ".join(map(str, cells)) + " |"
            )
        lines.append("")
    return "\n".join(lines)


def main():
    """Run what is missing, print the table."""
    for seed in seeds_asked(__doc__):
        for name, run in RUNS.items():
            print(run_once(kept(), name, seed, run), flush=True)
            keras.backend.clear_session()
    print(table())


if __name__ == "__main__":
    main()
