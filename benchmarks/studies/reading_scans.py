"""Reading phantom lungs: from scratch or fine-tuned, with 20, 40 or 80 patients.

    python benchmarks/studies/reading_scans.py [--arms ...] [--folds 0 1 2] [--write]

Scanner `a` is split by patient into five folds (scikit-learn's StratifiedGroupKFold).
Each fold tests once; of the other 80 patients the first 20, 40 or all are learnt from,
in an order drawn once a fold. Every slice comes in twice, as it is and mirrored. A
nodule's score is the mean over its slices; what counts is the AUC over the nodules.

fine-tuned: a head that starts from a probe, then STEPS steps in which block4 and all
    behind it learn, BatchNormalization apart.
from scratch: random weights, all of which learn, twice as many steps; the averages of
    BatchNormalization are taken anew from the training slices before scoring.
fine-tuned, longer: as many steps as from scratch, with 80 patients.

The rates were settled on two folds of another split (--split 0), for each arm its own.
Every run leaves a file in build/reading_scans and is not repeated. `--write` puts the
AUCs into data/reading_scans.json, which notebook 16 shows.
"""

import argparse
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
from runs import passes, run_once, study
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tl_helpers import backbones, datasets, evaluation, finetuning, training
from tl_helpers.domains import adapt_batch_norm

PATIENTS, NUM_FOLDS, SPLIT = (20, 40, 80), 5, 1
CROP_MM, SIZE_PX = 28, 48
STEPS, BATCH_SIZE, FROM_BLOCK, SEAM = 60, 32, "block4", "block3"
LONGER = "fine-tuned, longer"
TIMES = {"fine-tuned": 1, "from scratch": 2, LONGER: 2}  # as many steps
RATES = {"fine-tuned": 1e-3, "from scratch": 2e-3, LONGER: 1e-3}
TABLE = Path(__file__).resolve().parents[2] / "data" / "reading_scans.json"


@cache
def slices():
    """Return the slices of scanner `a`, the middle enlarged."""
    return middle_of(datasets.load("phantom_lungs", "a"), CROP_MM).resized(SIZE_PX)


def middle_of(images, side_px):
    """Cut out the middle of every image; of its extras those of a number stay."""
    start = (images.images.shape[1] - side_px) // 2
    cut = slice(start, start + side_px)
    numbers = {key: rows for key, rows in images.extras.items() if rows.ndim == 1}
    return replace(images, images=images.images[:, cut, cut], extras=numbers)


def draw(num_patients, fold, split):
    """Return the training slices of so many patients, and the slices of the test."""
    lungs = slices()
    patients = lungs.extras["patient"]
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=split)
    train, test = list(folds.split(patients, lungs.labels, patients))[fold]
    order = np.random.default_rng(fold).permutation(np.unique(patients[train]))
    return lungs[train[np.isin(patients[train], order[:num_patients])]], lungs[test]


def both_ways(images):
    """Return pixels and labels of the slices and of their mirror images."""
    pixels = images.pixels()
    mirrored = np.concatenate([pixels, pixels[:, :, ::-1]])
    return mirrored, np.tile(images.labels, 2)


def area(model, rows, images):
    """Return the AUC over nodules of the mean difference of a slice's two logits."""
    logits = training.predict_logits(model, rows)
    nodules, place = np.unique(images.extras["nodule"], return_inverse=True)
    scores = np.bincount(place, logits[:, 1] - logits[:, 0]) / np.bincount(place)
    labels = np.bincount(place, images.labels) / np.bincount(place)
    return evaluation.roc_auc(scores, labels.astype(int))


def fit(model, values, labels, num_steps, rate, seed):
    """Train for a number of steps, in passes over the shuffled rows."""
    schedule = training.warmup_cosine(rate, num_steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss)
    rows = passes(len(labels), num_steps * BATCH_SIZE, np.random.default_rng(seed))
    training.fit_rows(model, values, labels, rows, BATCH_SIZE)


def fine_tuned(train, test, rate, seed, num_steps):
    """Return the AUC of the head's start and that after thawing."""
    backbone = backbones.load("embedded")
    model = finetuning.classifier(backbone, 2)
    rows, labels = both_ways(train)
    values = training.predict_logits(model.extractor(), rows)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    finetuning.start_from_probe(model, probe.fit(values, labels))
    finetuning.thaw(model, FROM_BLOCK)
    seam = model.get_layer(model.block_layers[SEAM]).output
    lower, upper = keras.Model(model.input, seam), keras.Model(seam, model.output)
    test_maps = training.predict_logits(lower, test)
    before = area(upper, test_maps, test)
    maps = training.predict_logits(lower, rows)
    fit(upper, maps, labels, num_steps, rate, seed)
    return {"head alone": before, "auc": area(upper, test_maps, test)}


def from_scratch(train, test, rate, seed, num_steps):
    """Return the AUC of a network whose weights all began at random."""
    backbone = backbones.load("embedded", pretrained=False)
    model = finetuning.classifier(backbone, 2)
    finetuning.thaw(model, backbone.blocks[0], batch_norm=True)
    rows, labels = both_ways(train)
    fit(model, rows, labels, num_steps, rate, seed)
    refreshed = adapt_batch_norm(model, train)
    return {"auc": area(refreshed, test, test)}


def measure(arm, num_patients, fold, split, rate):
    """Train one arm once and return its scores."""
    keras.utils.set_random_seed(fold)
    train, test = draw(num_patients, fold, split)
    datasets.check_groups_apart(train.extras["patient"], test.extras["patient"])
    train_so = from_scratch if arm == "from scratch" else fine_tuned
    return train_so(train, test, rate, fold, TIMES[arm] * STEPS)


@cache
def kept():
    """Results of this study with these knobs."""
    return study("reading_scans", steps=STEPS, block=FROM_BLOCK, size_px=SIZE_PX)


def run(arm, num_patients, fold, split=SPLIT, rate=None):
    """Return one run's scores, from its file or from running it now."""
    rate = rate or RATES[arm]
    name = f"{arm}, {num_patients} patients, split {split}, rate {rate:g}"
    result = run_once(
        kept(), name, fold, lambda x: measure(arm, num_patients, x, split, rate)
    )
    keras.backend.clear_session()
    return result


def sizes_of(arm):
    """Return the numbers of patients that an arm is trained with."""
    return PATIENTS[-1:] if arm == LONGER else PATIENTS


def table():
    """Return {arm: {patients: AUC a fold}} of all runs."""
    return {
        arm: {
            str(size): [round(run(arm, size, k)["auc"], 4) for k in range(NUM_FOLDS)]
            for size in sizes_of(arm)
        }
        for arm in RATES
    }


def main():
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arms", nargs="*", default=list(RATES))
    parser.add_argument("--folds", nargs="*", type=int, default=range(NUM_FOLDS))
    parser.add_argument("--split", type=int, default=SPLIT)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--patients", nargs="*", type=int)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    for arm in arguments.arms:
        for size in arguments.patients or sizes_of(arm):
            for fold in arguments.folds:
                found = run(arm, size, fold, arguments.split, arguments.rate)
                print(arm, size, fold, f"{found['auc']:.3f}, {found['seconds']:.0f} s")
    if arguments.write:
        knobs = {"steps": STEPS, "times": TIMES, "rates": RATES, "split": SPLIT}
        TABLE.write_text(json.dumps(knobs | {"auc": table()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
