"""Probabilities and labels -> how well they rank, and whether they can be believed."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn import metrics

from tl_helpers.inputs import check_labels, check_numbers, check_whole

LARGEST_TEMPERATURE = 100.0


class Calibration(NamedTuple):
    """Answers sorted into bins of equal width by their confidence.

    Attributes:
        confidence: float (bins,), mean confidence in [0, 1]; NaN in an empty bin.
        accuracy: float (bins,), share of right answers in [0, 1]; NaN likewise.
        share: float (bins,), share of the images, which adds up to 1.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray

    @property
    def error(self):
        """Expected calibration error: float in [0, 1].

        The sum over bins of share * |accuracy - confidence|: 0 for a model that is
        right as often as it says. Few images alone make it larger than 0, and more
        bins see more, of which more is noise.
        """
        return float(np.nansum(self.share * np.abs(self.accuracy - self.confidence)))


def calibration_curve(probabilities, labels, num_bins=15):
    """Compare how sure a model is with how often it is right, bin by bin.

    Args:
        probabilities: float (n, classes) in [0, 1], rows adding up to 1.
        labels: int (n,), n >= 1, in [0, classes).
        num_bins: int >= 1, over confidences in [0, 1].

    Returns:
        Calibration, for `plots.reliability`.

    Raises:
        ValueError: no probabilities, or labels that do not fit them.

    Source: Guo et al. 2017 (arXiv:1706.04599).
    """
    check_whole(1, num_bins=num_bins)
    probabilities, labels = _check_probabilities(probabilities, labels)
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    # a bin holds its upper end: (0, 1/15], (1/15, 2/15], ...
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    counts, sure, right = (
        np.bincount(bins, weights, num_bins)
        for weights in (np.ones(len(labels)), confidence, is_right)
    )
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        return Calibration(sure / counts, right / counts, counts / len(labels))


def brier_score(probabilities, labels):
    """Mean squared distance between the probabilities and the truth.

    Args:
        probabilities: float (n, classes) in [0, 1], rows adding up to 1.
        labels: int (n,), n >= 1, in [0, classes).

    Returns:
        float in [0, 2], 0 for sure and right; summed over all classes, so twice the
        score that is usual for two.

    Raises:
        ValueError: no probabilities, or labels that do not fit them.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    probabilities, labels = _check_probabilities(probabilities, labels)
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.square(probabilities - truth).sum(axis=1).mean())


def roc_auc(probabilities, labels):
    """Chance that an image of a class is ranked above one of another class.

    Args:
        probabilities: float (n, classes) in [0, 1], rows adding up to 1; or, for two
            classes, float (n,): any score that grows with class 1, logits too.
        labels: int (n,), in [0, classes), every class at least once.

    Returns:
        float in [0, 1]; 0.5 for guessing. With more than two classes the mean over
        the classes, each against the rest.

    Raises:
        ValueError: no probabilities, labels that do not fit, or a class without a
            label.
    """
    scores = check_numbers("probabilities", probabilities, "(n, ...)")
    num_classes = 2 if scores.ndim == 1 else scores.shape[-1]
    if scores.ndim == 1:
        labels = check_labels("", scores, labels, num_classes)
    else:
        scores, labels = _check_probabilities(scores, labels)
        scores = scores[:, 1] if num_classes == 2 else scores
    classes = np.unique(labels).tolist()
    if len(classes) < num_classes:
        raise ValueError(
            f"Got labels of classes {classes}, expected each of {num_classes} classes "
            "at least once; drop the classes that this set lacks."
        )
    return float(metrics.roc_auc_score(labels, scores, multi_class="ovr"))


def fit_temperature(logits, labels):
    """Find the one number that logits are divided by to be believed.

    The temperature minimises the negative log-likelihood. Fit it on validation
    images; `softmax(logits / temperature)` then has the same answers, less sure ones
    above 1 and surer ones below.

    Args:
        logits: float (n, classes), unbounded.
        labels: int (n,), n >= 1, in [0, classes).

    Returns:
        float in [0.01, 100], never with a higher loss on these images than 1.

    Raises:
        ValueError: logits that are not finite, or labels that do not fit them.

    Source: Guo et al. 2017 (arXiv:1706.04599), section 4.2.
    """
    logits, labels = _check_table("logits", logits, labels)

    def loss(log_temperature):
        log_probabilities = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -log_probabilities[np.arange(len(labels)), labels].mean()

    limit = np.log(LARGEST_TEMPERATURE)
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded")
    return float(np.exp(min(0.0, found.x, key=loss)))


def _check_probabilities(probabilities, labels):
    """Return both as arrays, or say what is wrong with them."""
    probabilities, labels = _check_table("probabilities", probabilities, labels)
    total = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.abs(total - 1).max() > 1e-3:
        raise ValueError(
            f"Got rows from {probabilities.min():.3g} that add up to "
            f"{total.min():.3g} to {total.max():.3g}, expected probabilities that add "
            "up to 1; apply softmax to logits once."
        )
    return probabilities / total[:, np.newaxis], labels  # half precision is coarse


def _check_table(name, values, labels):
    """Return float (n, classes) and int64 (n,), or say what is wrong with them."""
    values = check_numbers(name, values, "(n, classes)").astype(float)
    return values, check_labels("", values, labels, values.shape[1])
