"""How far every class moved between two domains, with the labels of both."""

from dataclasses import dataclass

import numpy as np

from tl_helpers.features import Features
from tl_helpers.inputs import (
    check_domains,
    check_kind,
    check_labels,
    check_same_classes,
    check_target_labels,
)


@dataclass(frozen=True)
class ClassShift:
    """How far every class moved, in within-class standard deviations.

    Attributes:
        per_class: {class: float >= 0}, for every class of the target.
        overall: float >= 0, length of the mean of the classes' moves; near the mean
            of `per_class` where all moved together, near 0 where each went its own
            way.
    """

    per_class: dict
    overall: float


def class_shift(source, target):
    """How far every class moved from source to target; needs the target's labels.

    So it explains a result after the fact, and must not choose a method. With m_c and
    n_c the means of class c in source and target,

    shift_c = ||m_c - n_c|| / s,  overall = ||mean_c (m_c - n_c)|| / s,

    where s^2 = sum_i ||x_i - mean of its class in its domain||^2 / (rows - means) is
    the variance within a class, pooled over classes and domains and summed over
    features. In other words, s / sqrt(d) and ||m_c - n_c|| / sqrt(d) are the
    root-mean-square over the features of standard deviation and move. Two samples of
    one class are about sqrt(1 / rows + 1 / rows) apart by chance.

    Args:
        source: Features, in any unit.
        target: Features from the same layer; all of its classes are in the source.

    Returns:
        ClassShift.

    Raises:
        ValueError: features or labels that do not fit (see `check_domains`,
            `check_labels`, `check_target_labels`), or classes without any spread.
    """
    check_kind(Features, source=source, target=target)
    check_domains(source.values, target.values)
    check_labels("source", *source)
    check_labels("target", *target)
    check_same_classes(source, target, ("the source", "the target"))
    check_target_labels(source.labels, target.labels)
    kept = source[np.isin(source.labels, target.labels)]  # the classes both have
    source_means, source_squares = _class_means(*kept)
    target_means, target_squares = _class_means(*target)
    degrees = len(kept) + len(target) - 2 * len(target_means)
    if source_squares + target_squares == 0:
        raise ValueError(
            "Got classes whose rows are all the same, expected some spread to measure "
            "moves by; give several different rows of a class."
        )
    spread = np.sqrt((source_squares + target_squares) / degrees)
    moves = (target_means - source_means) / spread
    lengths = np.linalg.norm(moves, axis=1).tolist()
    classes = np.unique(target.labels).tolist()
    overall = np.linalg.norm(moves.mean(axis=0))
    return ClassShift(dict(zip(classes, lengths, strict=True)), float(overall))


def _class_means(values, labels):
    """Return the class means (classes, d) and the squared distances to them, summed."""
    _, places = np.unique(labels, return_inverse=True)
    sums = np.zeros((places.max() + 1, values.shape[1]))
    np.add.at(sums, places, values)
    means = sums / np.bincount(places)[:, None]
    return means, float(np.square(values - means[places]).sum())
