"""Detecting solids in scenes: encoder untrained, frozen or fine-tuned, three budgets.

    python benchmarks/studies/detecting.py [--arms ...] [--seeds 0 1 2] [--write]

400 training scenes of `studio`, 50 for validation, 150 to test on, cut once. A draw is
25 or 100 of the training scenes, no scene in two draws of a budget; with all 400 only
first weights and order differ. Every image comes in twice, as it is and mirrored. All
arms take 160 steps of 32 images with Adam, up and down along a cosine:

untrained: random weights, all of which learn, BatchNormalization's too; its averages
    are taken anew from the training images before scoring (with 160 steps those that
    `fit` left lag behind). untrained, 480 steps: three times as long.
frozen: the pretrained encoder, of which nothing learns.
fine-tuned: frozen for 100 steps, then 60 in which block4 and all behind it learn.

The rate was settled in a first try on another split, alike for all arms; there 0.002
and 0.005 gave the untrained encoder the same. Every run leaves a file in
build/detecting and is not repeated. `--write` puts the average precisions into
data/detecting.json, which notebook 15 shows: seeds 0 to 2; of the longer training 0
and 1 with 400 scenes, 0 with 100.
"""

import argparse
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
from runs import run_once, study

from tl_helpers import backbones, datasets, dense, evaluation, finetuning, training
from tl_helpers.domains import adapt_batch_norm

BUDGETS, NUM_DRAWS = (25, 100, 400), 4
VALIDATION, TEST = 50, 150
STEPS, HEAD_STEPS, BATCH_SIZE = 160, 100, 32
FROM_BLOCK = "block4"
RATES = {"untrained": 4e-3, "frozen": 4e-3, "fine-tuned": 4e-3}
LONG = "untrained, 480 steps"
TABLE = Path(__file__).resolve().parents[2] / "data" / "detecting.json"


@cache
def scenes(domain="studio"):
    """Return (training scenes, validation scenes, test scenes)."""
    images = datasets.load("scenes", domain)
    sizes = max(BUDGETS), VALIDATION, TEST
    return datasets.split(images, *sizes, stratify=False, seed=0)


def draw(budget, seed):
    """Return the training scenes of a draw, each also mirrored."""
    train, *_ = scenes()
    if budget < len(train):
        order = np.random.default_rng(0).permutation(len(train))
        start = seed * len(train) // NUM_DRAWS
        train = train[order[start : start + budget]]
    return train, mirrored(train)


def mirrored(images):
    """Return the images, left and right changed; boxes follow."""
    boxes = images.extras["boxes"].copy()
    boxes[..., [0, 2]] = images.images.shape[2] - boxes[..., [2, 0]]
    extras = images.extras | {"boxes": boxes}
    return replace(images, images=images.images[:, :, ::-1], extras=extras)


def batches(values, both, seed):
    """Endless batches of (values, boxes and labels); values may be lists of maps."""
    import tensorflow as tf

    extras = [one.extras for one in both]
    boxes = np.nan_to_num(np.concatenate([one["boxes"] for one in extras]))
    labels = np.concatenate([one["box_labels"] for one in extras])
    targets = {"boxes": boxes.astype("float32"), "labels": labels.astype("int32")}
    data = tf.data.Dataset.from_tensor_slices((values, targets))
    return data.shuffle(len(labels), seed).repeat().batch(BATCH_SIZE)


def fit(model, data, steps, rate):
    """Train for a number of steps."""
    schedule = training.warmup_cosine(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), steps_per_execution=10)
    training.build_optimizer(model)
    model.fit(data, steps_per_epoch=steps, verbose=0)


def score(model, images):
    """Return {"ap", "ap50", "ap75"} of a detector on a set of scenes."""
    found = dense.average_precision(
        dense.detect(model, images),
        images.extras["boxes"],
        images.extras["box_labels"],
        images.class_names,
        images.images.shape[1],
    )
    return {"ap": found.ap, "ap50": found.ap50, "ap75": found.ap75}


def scores(model, budget):
    """Return the scores on validation and test scenes, for most labels on `photo` too.

    There also with statistics moved by the training scenes of `photo`, unlabelled.
    """
    train, validation, test = scenes()
    found = {"validation": score(model, validation), "test": score(model, test)}
    if budget == max(BUDGETS):
        there, _, photos = scenes("photo")
        moved = adapt_batch_norm(model, there, source_images=train)
        found |= {"photo": score(model, photos), "moved": score(moved, photos)}
    return found


def untrained(budget, seed, rate, steps=STEPS):
    """Train everything from random weights; the averages of its norms are refreshed."""
    keras.utils.set_random_seed(seed)
    backbone = backbones.load("embedded", pretrained=False)
    model = dense.detector(backbone, len(scenes()[0].class_names))
    finetuning.thaw(model, "stem", batch_norm=True)
    both = draw(budget, seed)
    pixels = np.concatenate([one.pixels() for one in both]).astype("float32")
    fit(model, batches(pixels, both, seed), steps, rate)
    return scores(adapt_batch_norm(model, pixels[:400]), budget)


def pretrained(budget, seed, rate):
    """Train a head on the frozen encoder; then go on, with and without thawing."""
    keras.utils.set_random_seed(seed)
    model = dense.detector(backbones.load("embedded"), len(scenes()[0].class_names))
    seam, maps = model.get_layer("block3").output, model.get_layer("head_features")
    lower, upper = keras.Model(model.input, seam), dense.Detector(seam, model.output)
    middle = keras.Model(seam, maps.input)
    head = dense.Detector(maps.input, model.output)
    both = draw(budget, seed)
    pixels = np.concatenate([one.pixels() for one in both])
    at_seam = training.predict_logits(lower, pixels)
    at_head = tuple(training.predict_logits(middle, at_seam))
    fit(head, batches(at_head, both, seed), HEAD_STEPS, rate)
    begun, rest = model.get_weights(), STEPS - HEAD_STEPS
    fit(head, batches(at_head, both, seed + 100), rest, rate)
    found = {"frozen": scores(model, budget)}
    model.set_weights(begun)
    finetuning.thaw(model, FROM_BLOCK)
    fit(upper, batches(at_seam, both, seed + 100), rest, rate)
    return found | {"fine-tuned": scores(model, budget)}


def measure(arms, budget, seed, rate):
    """Run one of the two ways to train; return {arm: scores}."""
    if arms == "pretrained":
        return pretrained(budget, seed, rate)
    steps = 3 * STEPS if arms == LONG else STEPS
    return {arms: untrained(budget, seed, rate, steps)}


@cache
def kept():
    """Results of this study with these knobs."""
    return study("detecting", steps=STEPS, head_steps=HEAD_STEPS, block=FROM_BLOCK)


def run(arms, budget, seed, rate):
    """Return one run's {arm: scores}, from its file or from running it now."""
    name = name_of(arms, budget, rate)
    result = run_once(kept(), name, seed, lambda s: measure(arms, budget, s, rate))
    keras.backend.clear_session()
    return result


def rate_of(arm):
    """Return the rate of an arm; a longer training takes that of the shorter."""
    return RATES[arm.partition(",")[0]]


def was_run(arm, budget, seed):
    """Whether there is a result."""
    return kept().get((name_of(arm, budget, rate_of(arm)), seed)) is not None


def name_of(arm, budget, rate):
    """Return the name of a run; one training gives both arms that are pretrained."""
    arms = arm if arm.startswith("untrained") else "pretrained"
    return f"{arms}, {budget} scenes, rate {rate:g}"


def by_arm(arm, budget, seed):
    """Return {score: value} of one arm on the test scenes."""
    found = kept().get((name_of(arm, budget, rate_of(arm)), seed))[arm]
    there = {name: found[name]["ap50"] for name in ("photo", "moved") if name in found}
    return found["test"] | there


def table(seeds):
    """Return {arm: {budget: {score: one a seed}}}, of the runs that are there."""
    arms = {arm: BUDGETS for arm in RATES} | {LONG: BUDGETS[1:]}
    found = {}
    for arm, budgets in arms.items():
        found[arm] = {}
        for budget in budgets:
            own = [
                by_arm(arm, budget, seed)
                for seed in seeds
                if was_run(arm, budget, seed)
            ]
            if not own:
                continue
            found[arm][str(budget)] = {
                name: [round(one[name], 4) for one in own] for name in own[0]
            }
    return found


def show(found):
    """Print means with their intervals, and gains over the untrained encoder."""
    for arm, by_budget in found.items():
        for budget, own in by_budget.items():
            spread = evaluation.summarise(own["ap50"])
            line = f"{arm:20s} {budget:>4s} scenes: AP50 {spread}"
            if arm != "untrained" and len(own["ap50"]) > 1:
                base = found["untrained"][budget]["ap50"][: len(own["ap50"])]
                line += f", {evaluation.compare_paired(own['ap50'], base)}"
            print(line)


def main():
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arms", nargs="*", default=["pretrained", "untrained", LONG])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    for arms in arguments.arms:
        rates = {RATES["frozen"], RATES["fine-tuned"]}
        for rate in rates if arms == "pretrained" else [rate_of(arms)]:
            for budget in BUDGETS[1:] if arms == LONG else BUDGETS:
                for seed in arguments.seeds:
                    run(arms, budget, seed, rate)
    if arguments.write:
        found = table(list(arguments.seeds))
        show(found)
        knobs = {"steps": STEPS, "rates": RATES}
        TABLE.write_text(json.dumps(knobs | {"scores": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
