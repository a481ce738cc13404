"""Scores of how unlike the training set an image is: higher is stranger."""

from typing import NamedTuple

import numpy as np
from keras import ops
from scipy.special import logsumexp, softmax
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from tl_helpers import evaluation
from tl_helpers.inputs import (
    check_domains,
    check_features,
    check_labelled,
    check_numbers,
    check_positive,
    check_whole,
)


class Separation(NamedTuple):
    """How well a score tells images from outside from those like the training set's.

    Attributes:
        auroc: chance that one from outside scores higher, in [0, 1].
        low: lower end of its 95% confidence interval.
        high: its upper end.
        fpr_at_95_tpr: share of those from outside that pass where 95% of those from
            inside do, in [0, 1]; the lower the better.
    """

    auroc: float
    low: float
    high: float
    fpr_at_95_tpr: float

    def __str__(self):
        low, high = 100 * self.low, 100 * self.high
        return (
            f"AUROC {self.auroc:.1%} ({low:.1f} to {high:.1f}), FPR "
            f"{self.fpr_at_95_tpr:.1%} at 95% TPR"
        )


def separation(inside, outside):
    """Measure how well a score separates.

    Args:
        inside: float (n,), scores of test images like the training set's.
        outside: float (m,), scores of others.

    Returns:
        Separation.

    Raises:
        ValueError: scores that are not finite numbers.
    """
    inside = check_numbers("scores from inside", inside, "(n,)")
    outside = check_numbers("scores from outside", outside, "(m,)")
    scores = np.concatenate([inside, outside])
    is_outside = np.repeat([0, 1], [len(inside), len(outside)])
    auroc = evaluation.roc_auc(scores, is_outside)
    interval = evaluation.auc_interval(auroc, len(outside), len(inside))
    passed = evaluation.fpr_at_tpr(-scores, 1 - is_outside, 0.95)
    return Separation(auroc, *interval, passed)


def unsureness(logits):
    """One minus the largest probability.

    Args:
        logits: float (n, classes).

    Returns:
        float (n,), in [0, 1).

    Source: Hendrycks & Gimpel 2017 (arXiv:1610.02136).
    """
    logits = check_numbers("logits", logits, "(n, classes)")
    return 1 - softmax(logits.astype(float), axis=1).max(axis=1)


def energy(logits, temperature=1.0):
    """Minus the logarithm of the sum of the logits' exponentials.

    Unlike the largest probability it falls with every logit that is high: it knows
    whether the model has seen anything that it knows.

    Args:
        logits: float (n, classes).
        temperature: float > 0, that the logits are divided by, and the result
            multiplied.

    Returns:
        float (n,), unbounded, in units of a logit.

    Raises:
        ValueError: a temperature that is not above 0.

    Source: Liu et al. 2020 (arXiv:2010.03759).
    """
    logits = check_numbers("logits", logits, "(n, classes)")
    check_positive(temperature=temperature)
    return -temperature * logsumexp(logits.astype(float) / temperature, axis=1)


class Gaussians(NamedTuple):
    """A normal distribution a class, all of one shape; `fit_gaussians` fits them.

    Attributes:
        means: float32 (classes, d).
        precision: float32 (d, d), inverse of the covariance within classes.
    """

    means: np.ndarray
    precision: np.ndarray

    def distances(self, values):
        """Squared Mahalanobis distance to the nearest class mean.

        Args:
            values: float (n, d), an array, or a tensor inside the loss of an attack:
                it has a gradient.

        Returns:
            (n,), >= 0, an array for an array and a tensor for a tensor.
        """
        is_array = isinstance(values, np.ndarray)
        apart = ops.expand_dims(values, 1) - self.means  # (n, classes, d)
        squared = ops.sum(ops.matmul(apart, self.precision) * apart, axis=-1)
        nearest = ops.min(squared, axis=1)
        return ops.convert_to_numpy(nearest) if is_array else nearest


def fit_gaussians(train):
    """Fit a mean a class and one covariance to features of the training set.

    The covariance is shrunk (Ledoit & Wolf): with fewer rows than columns the plain
    one has no inverse.

    Args:
        train: Features, or (values float (n, d), labels int (n,)).

    Returns:
        Gaussians.

    Raises:
        ValueError: no features with labels, or fewer than two rows.

    Source: Lee et al. 2018 (arXiv:1807.03888), on one layer, without its input noise.
    """
    values, labels = check_labelled("training set", train)
    check_features("training features", values)
    values = np.asarray(values, float)
    classes, rows = np.unique(labels, return_inverse=True)
    means = np.stack([values[labels == one].mean(axis=0) for one in classes])
    within = LedoitWolf(assume_centered=True).fit(values - means[rows])
    return Gaussians(means.astype("float32"), within.precision_.astype("float32"))


def neighbour_distance(train_values, values, num_neighbours=5):
    """Distance to the k-th nearest row of the training set, all rows of length 1.

    Args:
        train_values: float (m, d), features of the training set.
        values: float (n, d).
        num_neighbours: k, int in [1, m].

    Returns:
        float (n,), in [0, 2].

    Raises:
        ValueError: features of other widths, or fewer rows than neighbours.

    Source: Sun et al. 2022 (arXiv:2204.06507).
    """
    check_domains(train_values, values)
    check_whole(1, num_neighbours=num_neighbours)
    if num_neighbours > len(train_values):
        raise ValueError(
            f"Got num_neighbours={num_neighbours} among {len(train_values)} rows, "
            "expected no more than there are; give more training rows."
        )
    train_values, values = map(_unit_rows, (train_values, values))
    search = NearestNeighbors(n_neighbors=num_neighbours).fit(train_values)
    return search.kneighbors(values)[0][:, -1]


def _unit_rows(values):
    values = np.asarray(values, float)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)
