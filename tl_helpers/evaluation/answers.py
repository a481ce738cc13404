"""Answers and labels -> how often they agree."""

import numpy as np
from sklearn import metrics

from tl_helpers.inputs import check_labels, check_whole


def accuracy(predictions, labels):
    """Share of right answers.

    Args:
        predictions: int (n,).
        labels: int (n,), n >= 1.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: answers or labels that are not one class number for each image.
    """
    predictions, labels = _checked(predictions, labels)
    return float((predictions == labels).mean())


def balanced_accuracy(predictions, labels):
    """Mean over the classes of the share of right answers in each.

    Every class counts the same, however few its images; always answering one of C
    classes scores 1 / C.

    Args:
        predictions: int (n,).
        labels: int (n,), n >= 1; classes without a label do not count.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: as for `accuracy`.
    """
    predictions, labels = _checked(predictions, labels)
    classes = np.unique(labels)
    return float(
        metrics.recall_score(labels, predictions, labels=classes, average="macro")
    )


def confusion(predictions, labels, num_classes):
    """Count the answers.

    Args:
        predictions: int (n,), in [0, num_classes).
        labels: int (n,), in [0, num_classes), n >= 1.
        num_classes: int >= 1.

    Returns:
        int (num_classes, num_classes): rows are true classes, columns answers.

    Raises:
        ValueError: as for `accuracy`, or a class out of range.
    """
    check_whole(1, num_classes=num_classes)
    predictions, labels = _checked(predictions, labels, num_classes)
    return metrics.confusion_matrix(labels, predictions, labels=range(num_classes))


def _checked(predictions, labels, num_classes=None):
    """Return both as int64 (n,), n >= 1, or refuse what would be counted wrongly."""
    labels = check_labels("", None, labels, num_classes)
    if not len(labels):
        raise ValueError(
            "Got no labels, expected at least one; look which images were selected."
        )
    return check_labels("predicted", labels, predictions, num_classes), labels
