"""Answers and labels -> how often they agree."""

import numpy as np
from sklearn import metrics


def accuracy(predictions, labels):
    """Share of right answers.

    Args:
        predictions: int (n,).
        labels: int (n,).

    Returns:
        float in [0, 1].

    Raises:
        ValueError: shapes differ.
    """
    predictions, labels = _same_shape(predictions, labels)
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
        ValueError: shapes differ.
    """
    predictions, labels = _same_shape(predictions, labels)
    classes = np.unique(labels)
    return float(
        metrics.recall_score(labels, predictions, labels=classes, average="macro")
    )


def confusion(predictions, labels, num_classes):
    """Count the answers.

    Args:
        predictions: int (n,), in [0, num_classes).
        labels: int (n,), in [0, num_classes).
        num_classes: int.

    Returns:
        int (num_classes, num_classes): rows are true classes, columns answers.

    Raises:
        ValueError: shapes differ, or a class out of range.
    """
    predictions, labels = _same_shape(predictions, labels)
    both = np.concatenate([predictions, labels])
    if len(both) and not (0 <= both.min() and both.max() < num_classes):
        raise ValueError(
            f"Got classes from {both.min()} to {both.max()}, expected 0 to "
            f"{num_classes - 1}; pass the number of classes of the data set."
        )
    return metrics.confusion_matrix(labels, predictions, labels=range(num_classes))


def _same_shape(predictions, labels):
    """Return both as arrays, or refuse what would be broadcast in silence."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape:
        raise ValueError(
            f"Got predictions of shape {predictions.shape} for labels of shape "
            f"{labels.shape}, expected the same; take argmax over the classes first."
        )
    return predictions, labels
