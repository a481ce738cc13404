"""One protocol for every choice: folds of the training images, never the test."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedKFold

from tl_helpers.datasets import split
from tl_helpers.inputs import check_labels, check_whole
from tl_helpers.probes import fit_probe, one_thread

NUM_FOLDS = 5
TEST_SHARE = 0.25
TINY = 1e-12  # stands for a probability of 0


def hold_out_test(inspection, seed=0):
    """Set the test images aside: those of the test folder, else a quarter.

    Args:
        inspection: Inspection.
        seed: int, decides the quarter.

    Returns:
        (train, test): two ImageSets without a common picture.
    """
    if inspection.test is not None:
        return inspection.train, inspection.test
    return split(inspection.train, 1 - TEST_SHARE, TEST_SHARE, seed=seed)


def make_folds(labels, seed=0):
    """Deal the rows out to five folds, each of which is held out once.

    Args:
        labels: int (n,), every class at least twice.
        seed: int.

    Returns:
        list of (rows to learn from, rows held out), int arrays; fewer than five
        where no class has five rows.

    Raises:
        ValueError: no labels, or a class with one row.
    """
    check_whole(seed=seed)
    labels = check_labels("", None, labels)
    counts = np.unique(labels, return_counts=True)[1]
    if not len(counts) or counts.min() < 2:
        raise ValueError(
            f"Got classes of {counts.tolist()} rows, expected at least two rows of "
            "each; leave the rest out."
        )
    cut = StratifiedKFold(min(NUM_FOLDS, counts.max()), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class may miss in some folds
        return list(cut.split(labels, labels))


def probe_logits(train, values, seed=0):
    """Fit a probe and ask it.

    Args:
        train: Features, with every class.
        values: float (n, d).
        seed: int.

    Returns:
        float (n, classes), logarithms of the probabilities.
    """
    return log_probabilities(fit_probe(train, seed=seed), values)


def log_probabilities(probe, values):
    """Return the logarithm of a fitted probe's probabilities, float (n, classes)."""
    with one_thread():
        return np.log(np.maximum(probe.predict_proba(values), TINY))


def held_out_logits(answer, folds, num_rows, num_classes):
    """Ask for every row a model that has not seen it.

    Args:
        answer: callable (number of the fold, rows to learn from, rows held out) ->
            float (held out, classes).
        folds: list, as of `make_folds`, or its beginning.
        num_rows: int.
        num_classes: int.

    Returns:
        float (num_rows, num_classes); NaN in rows of folds that are not given.
    """
    logits = np.full((num_rows, num_classes), np.nan)
    for number, (learnt, held) in enumerate(folds):
        logits[held] = answer(number, learnt, held)
    return logits


def fold_accuracies(logits, labels, folds):
    """Return the share of right answers in every fold, list of float in [0, 1]."""
    is_right = np.asarray(logits).argmax(axis=1) == np.asarray(labels)
    return [float(is_right[held].mean()) for _, held in folds]
