"""Answers, labels and groups -> whether all groups are served alike."""

from typing import NamedTuple

import numpy as np

from tl_helpers.evaluation.intervals import binomial_interval
from tl_helpers.inputs import as_array, check_labels, shown


class GroupAccuracy(NamedTuple):
    """How often a model is right in one group.

    Attributes:
        accuracy: float in [0, 1].
        low: lower end of its 95% confidence interval.
        high: its upper end.
        num_images: int.
    """

    accuracy: float
    low: float
    high: float
    num_images: int

    def __str__(self):
        """Return for example '93.3% (87.4 to 96.6) of 120 images'."""
        low, high = 100 * self.low, 100 * self.high
        return f"{self.accuracy:.1%} ({low:.1f} to {high:.1f}) of {self.num_images}"


def accuracy_by_group(predictions, labels, groups):
    """Share of right answers in each group, with its interval.

    A mean hides the group that is served worst. The smaller a group, the wider its
    interval; among many groups one looks bad by chance alone.

    Args:
        predictions: int (n,).
        labels: int (n,), n >= 1.
        groups: int, bool or str (n,), such as the scanner or the background.

    Returns:
        {group: GroupAccuracy}, the worst group first.

    Raises:
        ValueError: answers or labels that are no class numbers, or groups that are
            not one an image.

    Source: Wilson's interval, as `binomial_interval`.
    """
    labels = check_labels("", None, labels)
    predictions = check_labels("predicted", labels, predictions)
    groups = as_array(groups)
    has_kind = groups.dtype.kind in "biuU"
    if groups.shape != labels.shape or not has_kind or not len(labels):
        raise ValueError(
            f"Got {shown('groups', groups)} of shape {groups.shape}, expected the name "
            f"or number of its group for each of {len(labels)} images, at least one."
        )
    found = {}
    for group in np.unique(groups):
        is_right = (predictions == labels)[groups == group]
        right, number = int(is_right.sum()), len(is_right)
        interval = binomial_interval(right, number)
        found[group.item()] = GroupAccuracy(right / number, *interval, number)
    return dict(sorted(found.items(), key=lambda one: one[1].accuracy))
