"""Real scans beside notebook 16: lung nodules and pneumonia, with MobileNetV2.

    python benchmarks/studies/real_scans.py [--seeds 0 1 2] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`). Three tasks:

suspicion: nodules that radiologists rated 4 or 5 against 1 or 2 (those rated 3 are left
    out); one nodule a patient; five-fold cross-validation, cut anew by every seed. The
    network sees the whole axial plane, or its middle enlarged, as in the notebook.
patches: is there a nodule in the patch? Several patches a patient; five folds, once
    with all patches of a patient in one fold, once with patches drawn one by one.
pneumonia: the official parts of PneumoniaMNIST; a seed is another order and other first
    weights, so what has none of these varies by nothing.

The numbers are areas under the ROC curve, and for pneumonia the accuracy at 0.5, as
published. Every run leaves a file in build/real_scans and is not repeated.
"""

from functools import cache, partial

import keras
import numpy as np
from reading_scans import middle_of
from runs import run_once, seeds_asked, study
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tl_helpers import backbones, datasets, evaluation, features, finetuning, training
from tl_helpers.domains import adapt_batch_norm

SIZE_PX, BATCH_SIZE, STEPS, RATE, SLOW, FOLDS = 96, 32, 300, 1e-3, 1e-4, 5
CROP_PX = 28  # of a plane of 51, in the middle
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)  # inverse of the penalty, chosen on training


@cache
def kept():
    """Results of this study with these knobs."""
    knobs = {"batch_size": BATCH_SIZE, "steps": STEPS, "rates": [RATE, SLOW]}
    return study("real_scans", size_px=SIZE_PX, strengths=STRENGTHS, **knobs)


@cache
def images_of(name, part):
    """The images of a part; of nodules only those whose rating is not in the middle."""
    if name != "lung_nodules" or part == "patches":
        return datasets.load(name, part, size_px=SIZE_PX)
    images = datasets.load(name, "nodules")
    if part == "middles":
        images = middle_of(images, CROP_PX)
    return images.resized(SIZE_PX)[images.extras["malignancy"] != 3]


@cache
def network(pretrained):
    """MobileNetV2 with ImageNet's weights, or its untrained twin."""
    keras.utils.set_random_seed(0)
    return backbones.load("MobileNetV2", pretrained=pretrained)


def by_hand(images):
    """What needs no network: volume where it is known, else simple grey values."""
    if "volume_voxels" in images.extras:
        return np.log(images.extras["volume_voxels"])[:, None]
    grey = images.pixels()[..., 0].astype(float)
    middle = grey[:, SIZE_PX // 3 : -SIZE_PX // 3, SIZE_PX // 3 : -SIZE_PX // 3]
    spread = grey.std(axis=(1, 2))
    return np.stack([grey.mean(axis=(1, 2)), middle.mean(axis=(1, 2)), spread], axis=1)


@cache
def rows_of(name, part, arm):
    """What a linear model sees of every image, (n, d)."""
    images = images_of(name, part)
    if arm == "by hand":
        return by_hand(images)
    if arm == "pixels":
        small = images.resized(24).pixels()[..., 0]
        return small.reshape(len(small), -1).astype(float)
    values = features.extract(network(arm.startswith("probe")), images).values
    if arm == "probe and by hand":
        own = 10 * features.standardise(by_hand(images))
        values = np.concatenate([values, own], axis=1)
    return values


def folds_of(number, grouped, seed):
    """Folds with the same share of every class; with groups, those stay whole."""
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    return kind(number, shuffle=True, random_state=seed)


def linear(seed, grouped):
    """Logistic regression; three folds of the training rows choose its penalty."""
    model = LogisticRegression(class_weight="balanced", max_iter=500)
    settings = {"logisticregression__C": STRENGTHS}
    whole = make_pipeline(StandardScaler(), model)
    folds = folds_of(3, grouped, seed)
    return GridSearchCV(whole, settings, scoring="roc_auc", cv=folds)


def cross_validate(name, part, arm, grouped, seed):
    """Area under the curve, mean over the folds."""
    images, values = images_of(name, part), rows_of(name, part, arm)
    patients, found = images.extras["patient"], []
    for learn, ask in folds_of(FOLDS, grouped, seed).split(
        values, images.labels, patients
    ):
        groups = {"groups": patients[learn]} if grouped else {}
        fitted = linear(seed, grouped).fit(
            values[learn], images.labels[learn], **groups
        )
        scores = fitted.decision_function(values[ask])
        found.append(evaluation.roc_auc(scores, images.labels[ask]))
    return {"auc": float(np.mean(found))}


def pneumonia(arm, seed):
    """Area and accuracy on the official test images."""
    train, test = (images_of("pneumoniamnist", part) for part in ("train", "test"))
    if arm in ("scratch", "fine-tuned"):
        logits = trained(arm, train, seed)
        scores = logits[:, 1] - logits[:, 0]
    else:
        rows = [rows_of("pneumoniamnist", part, arm) for part in ("train", "test")]
        fitted = linear(seed, False).fit(rows[0], train.labels)
        scores = fitted.decision_function(rows[1])
    right = (scores > 0) == test.labels
    return {
        "auc": evaluation.roc_auc(scores, test.labels),
        "accuracy": float(right.mean()),
    }


def trained(arm, train, seed):
    """Train a whole network; return its logits of the test images."""
    keras.utils.set_random_seed(seed)
    backbone = backbones.load("MobileNetV2", pretrained=arm == "fine-tuned")
    model = finetuning.classifier(backbone, 2)
    first = next(iter(model.block_layers))
    if arm == "scratch":
        finetuning.thaw(model, first, batch_norm=True)
        fit(model, train, STEPS, RATE, seed)
        model = adapt_batch_norm(model, train)  # 300 steps leave the averages behind
    else:
        fit(model, train, STEPS // 3, RATE, seed)
        finetuning.thaw(model, first)
        fit(model, train, STEPS - STEPS // 3, SLOW, seed + 100)
    return training.predict_logits(model, images_of("pneumoniamnist", "test"))


def fit(model, train, steps, rate, seed):
    """Train for a number of steps, the rare class counting more."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = training.warmup_cosine(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), loss)
    weights = dict(enumerate(len(train) / (2 * np.bincount(train.labels))))
    training.fit_steps(model, train, steps, BATCH_SIZE, seed, class_weight=weights)


LINEAR = ("by hand", "pixels", "untrained twin", "probe")
RUNS = {
    f"suspicion{word}, {arm}": partial(cross_validate, "lung_nodules", part, arm, True)
    for word, part in (("", "nodules"), (" by the middle", "middles"))
    for arm in (*LINEAR, "probe and by hand")
}
for arm in LINEAR:
    for word, grouped in (("by patient", True), ("one by one", False)):
        RUNS[f"patches {word}, {arm}"] = partial(
            cross_validate, "lung_nodules", "patches", arm, grouped
        )
RUNS |= {
    f"pneumonia, {arm}": partial(pneumonia, arm)
    for arm in (*LINEAR, "scratch", "fine-tuned")
}


def table():
    """Return Markdown: mean and deviation over the seeds."""
    lines = ["| task, arm (seeds) | AUC | accuracy |", "|---|---|---|"]
    for name in RUNS:
        runs = [x for x in kept().all() if x["name"] == name]
        cells = [str(evaluation.summarise([x["auc"] for x in runs]))]
        if "accuracy" in runs[0]:
            cells.append(str(evaluation.summarise([x["accuracy"] for x in runs])))
        lines.append(f"| {name} ({len(runs)}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    """Run what is missing, print the table."""
    for seed in seeds_asked(__doc__):
        for name, run in RUNS.items():
            print(run_once(kept(), name, seed, run), flush=True)
    print(table())


if __name__ == "__main__":
    main()
