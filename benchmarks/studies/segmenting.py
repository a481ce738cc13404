"""Masks of solids in scenes: encoder untrained, frozen or fine-tuned, three budgets.

    python benchmarks/studies/segmenting.py [--seeds 0 1 2 ...] [--table]

The cut of notebook 14: 360 studio scenes to learn from, 60 for validation, 180 to test
on, at 48 px, three kinds of solids. A seed is a draw, and other first weights: nine
draws of 40 scenes that share none, and the first 15 of each; three draws of 120. All
arms take 100 steps of 8 images with Adam, up and down along a cosine, at the rates of
the notebook:

untrained: random weights, all of which learn, BatchNormalization's too, its averages
    with momentum 0.9. untrained, 300 steps: three times as long, three draws only.
frozen: the pretrained encoder, of which nothing learns.
fine-tuned: frozen for 50 steps, then 50 in which block4 and all behind it learn.

Every run leaves a file in build/segmenting and is not repeated. `--table` writes what
is there into data/segmenting.json, which notebook 14 shows.
"""

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
from runs import run_once, seeds_asked, study
from scipy import ndimage

from tl_helpers import backbones, datasets, dense, finetuning, training

KINDS = {  # coarse classes; solids not listed are "with a tip"
    "round": ("sphere", "capsule", "torus"),
    "flat on top": ("cube", "cylinder", "hexagonal prism", "cross"),
    "with a tip": (),
}
DRAWS = {15: 9, 40: 9, 120: 3}  # {scenes with masks: draws}
VALIDATION, TEST, SIZE_PX = 60, 180, 48
STEPS, BATCH_SIZE, CHANNELS = 100, 8, 32
DEEPEST, FROM_BLOCK = "block5", "block4"
RATES = {"untrained": 3e-3, "frozen": 1e-2, "fine-tuned": 3e-3}
LONG = "untrained, 300 steps"
TABLE = Path(__file__).resolve().parents[2] / "data" / "segmenting.json"


@cache
def kept():
    """Results of this study with these knobs."""
    return study("segmenting", steps=STEPS, rates=RATES, channels=CHANNELS)


@cache
def parts():
    """Return [three draws of 120, validation scenes, test scenes], with kinds."""
    images = datasets.load("scenes", "studio", size_px=SIZE_PX)
    number_of = {x: 1 + i for i, own in enumerate(KINDS.values()) for x in own}
    kinds = [number_of.get(name, len(KINDS)) for name in images.class_names]
    labels = np.array([0, *kinds])[images.extras["pixel_labels"]].astype("int32")
    images = replace(images, extras={"pixel_labels": labels})
    sizes = [max(DRAWS)] * DRAWS[max(DRAWS)] + [VALIDATION, TEST]
    return datasets.split(images, *sizes, stratify=False)


def draw(seed, budget):
    """Return the scenes of a draw, which no other draw of this budget has."""
    size, a_part = (max(DRAWS), 1) if budget == max(DRAWS) else (40, 3)
    own = parts()[seed // a_part]
    order = np.random.default_rng(0).permutation(len(own))  # as in the notebook
    first = size * (seed % a_part)
    return own[order[first : first + budget]]


def fit(model, images, steps, rate, seed):
    """Train for a number of steps, up and down along a cosine."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = training.warmup_cosine(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), loss, steps_per_execution=10)
    training.fit_steps(model, images, steps, BATCH_SIZE, seed, targets="pixel_labels")


def train(arm, images, seed):
    """Train one arm; "fine-tuned" and "frozen" share their first half."""
    keras.utils.set_random_seed(seed)
    encoder = backbones.load("embedded", pretrained=not arm.startswith("untrained"))
    model = dense.segmenter(encoder, len(KINDS) + 1, DEEPEST, channels=CHANNELS)
    if arm.startswith("untrained"):
        finetuning.thaw(model, next(iter(model.block_layers)), batch_norm=True)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.9
        steps = 3 * STEPS if arm == LONG else STEPS
        fit(model, images, steps, RATES["untrained"], seed)
        return model
    fit(model, images, STEPS // 2, RATES["frozen"], seed)
    if arm == "fine-tuned":
        finetuning.thaw(model, FROM_BLOCK)
    fit(model, images, STEPS // 2, RATES[arm], seed + 1000)
    return model


def recoloured(answers, seed=0):
    """Return the outlines of the answers, every connected patch in a random kind."""
    rng, painted = np.random.default_rng(seed), np.zeros_like(answers)
    for i, own in enumerate(answers):
        patches, number = ndimage.label(own > 0)
        painted[i] = np.append(0, rng.integers(1, len(KINDS) + 1, number))[patches]
    return painted


def measure(arm, budget, seed):
    """Return the overlaps of one training on the test scenes."""
    test = parts()[-1]
    model = train(arm, draw(seed, budget), seed)
    answers = training.predict_logits(model, test).argmax(axis=-1)
    labels = test.extras["pixel_labels"]

    def overlap(answers):
        scores = dense.score_pixels(answers, labels, list(KINDS), tolerance_px=None)
        return scores.mean_overlap

    either = ((answers > 0) | (labels > 0)).sum()
    return {
        "naming": overlap(answers),
        "finding": float(((answers > 0) & (labels > 0)).sum() / either),
        "kinds at random": overlap(recoloured(answers)),
    }


def table():
    """Return {arm: {budget: {score: one a draw}}}."""
    found = {}
    for arm, budget, name in runs():
        own = [kept().get((name, seed)) for seed in range(num_draws(arm, budget))]
        found.setdefault(arm, {})[str(budget)] = {
            score: [round(one[score], 4) for one in own]
            for score in ("naming", "finding", "kinds at random")
        }
    return found


def runs():
    """Yield (arm, budget, name of the run)."""
    for arm in (*RATES, LONG):
        for budget in DRAWS:
            yield arm, budget, f"{arm}, {budget} masks"


def num_draws(arm, budget):
    """Return how many draws an arm sees."""
    return 3 if arm == LONG else DRAWS[budget]


def main():
    """Run what is missing; or write the table."""
    seeds = seeds_asked(__doc__, default=range(max(DRAWS.values())))
    for arm, budget, name in runs():
        for seed in seeds:
            if seed < num_draws(arm, budget):
                run = partial(measure, arm, budget)
                print(run_once(kept(), name, seed, run), flush=True)
                keras.backend.clear_session()
    if not seeds:
        knobs = {"steps": STEPS, "rates": RATES}
        TABLE.write_text(json.dumps(knobs | {"scores": table()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
