"""Fine-tuning as chapter 03 found it best: cut, start from the probe, a small rate."""

from typing import NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier

from tl_helpers.datasets import split
from tl_helpers.evaluation import compare_paired
from tl_helpers.evaluation.seeds import overlap
from tl_helpers.features import extract
from tl_helpers.finetuning import Stage, classifier, fine_tune, start_from_probe
from tl_helpers.fitting.costs import multiply_adds, training_minutes
from tl_helpers.fitting.protocol import TINY, fold_accuracies
from tl_helpers.probes import fit_probe

EPOCHS, RATE, BATCH_SIZE = 8, 1e-4, 16
VALIDATION_SHARE = 0.15  # of the images to learn from; they choose the epoch
MIN_PER_CLASS = 4  # so that fold, validation and training each get one
MIN_FOLDS = 3  # fewer give no interval worth the name


class Plan(NamedTuple):
    """How much fine-tuning the time allows.

    Attributes:
        num_folds: int, on how many folds it is compared; 0 leaves it out.
        minutes: float, what that is estimated to take.
        reason: "" or why it is left out, "time" or "images".
    """

    num_folds: int
    minutes: float
    reason: str = ""


def plan_fine_tuning(network, size_px, labels, folds, minutes):
    """Decide from counts whether fine-tuning can be compared in the time.

    Args:
        network: keras.Model, the part that is trained.
        size_px: int.
        labels: int (n,), to learn from.
        folds: list, as of `make_folds`.
        minutes: float >= 0.

    Returns:
        Plan.
    """
    one = training_minutes(multiply_adds(network, size_px), EPOCHS * len(labels))
    whole = one * (len(folds) + 1)  # and once more on all images
    if np.unique(labels, return_counts=True)[1].min() < MIN_PER_CLASS:
        return Plan(0, whole, "images")
    if len(folds) < MIN_FOLDS:
        return Plan(0, whole, "images")
    if whole <= minutes:
        return Plan(len(folds), whole)
    if one * (MIN_FOLDS + 1) <= minutes:
        return Plan(MIN_FOLDS, one * (MIN_FOLDS + 1))
    return Plan(0, whole, "time")


def probe_classifier(backbone, features, block, seed=0):
    """Put the probe's weights as a head on the cut backbone.

    Args:
        backbone: Backbone.
        features: Features of the block, with every class.
        block: str.
        seed: int.

    Returns:
        Classifier, all of it frozen but the head.
    """
    num_classes = len(features.class_names)
    model = classifier(backbone, num_classes, block)
    probe = fit_probe(features, seed=seed)
    if isinstance(probe, DummyClassifier):  # no feature varies
        head = model.layers[-1]
        shares = np.bincount(features.labels, minlength=num_classes) / len(features)
        kernel = np.zeros(head.kernel.shape, np.float32)
        head.set_weights([kernel, np.log(np.maximum(shares, TINY))])
    else:
        start_from_probe(model, probe)
    return model


def fine_tuned(backbone, block, images, folder=None, seed=0):
    """Fine-tune the block and what hangs on it, from the probe's weights on.

    Args:
        backbone: Backbone.
        block: str, behind which it is cut; the block itself is thawed.
        images: ImageSet to learn from, at the backbone's size, 2 of a class at least.
        folder: where to keep every epoch; None keeps nothing.
        seed: int.

    Returns:
        Classifier.
    """
    part, validation = split(images, 1 - VALIDATION_SHARE, VALIDATION_SHARE, seed=seed)
    model = probe_classifier(backbone, extract(backbone, part, block), block, seed)
    stages = [Stage(block, EPOCHS, RATE)]
    settings = {"batch_size": BATCH_SIZE, "folder": folder, "seed": seed, "verbose": 0}
    fine_tune(model, part, validation, stages, **settings)
    return model


def compare_strategies(probe, tuned, labels, folds):
    """Choose between probe and fine-tuning on the folds that both answered.

    Fine-tuning is taken where its mean gain is larger than the gain's standard error,
    the usual rule that prefers the simpler of two that are about alike.

    Args:
        probe: float (n, classes), logits on rows held out.
        tuned: the same of the fine-tuned models.
        labels: int (n,).
        folds: list of the folds that both answered.

    Returns:
        dict: "probe" and "fine-tuning", accuracies by fold; "gain", a Difference as
        a list; "error", its standard error; "chosen".

    Source: Breiman et al. 1984, Classification and Regression Trees, chapter 3; the
        correction for overlap: Nadeau & Bengio 2003, doi:10.1023/A:1024068626366.
    """
    scores = [fold_accuracies(x, labels, folds) for x in (probe, tuned)]
    share = len(folds[0][1]) / len(labels)
    gain = compare_paired(scores[1], scores[0], test_share=share)
    deviation = np.std(np.subtract(scores[1], scores[0]), ddof=1)
    error = float(deviation * np.sqrt(1 / len(folds) + overlap(share)))
    return {
        "probe": scores[0],
        "fine-tuning": scores[1],
        "gain": list(gain),
        "error": error,
        "chosen": "fine-tuning" if gain.mean > error else "probe",
    }
