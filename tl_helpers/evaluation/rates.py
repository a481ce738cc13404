"""Scores that tell yes from no -> how many are found, and at what price."""

import numpy as np
from sklearn import metrics

from tl_helpers.inputs import check_labels, check_numbers, check_share


def fpr_at_tpr(scores, labels, tpr=0.95):
    """Share of the zeros that is taken for ones where so many ones are found.

    Args:
        scores: float (n,), higher for class 1; any unit.
        labels: int (n,), 0 or 1, each at least once.
        tpr: share of the ones that must be found (true-positive rate), in [0, 1].

    Returns:
        float in [0, 1], at the best threshold that finds as many.

    Raises:
        ValueError: labels that do not fit or lack a class, or no share.
    """
    check_share(tpr=tpr)
    false, true = roc_curve(scores, labels)
    return float(false[true >= tpr].min())


def tpr_at_fpr(scores, labels, fpr=0.01):
    """Share of the ones that is found where so few zeros are taken for ones.

    Args:
        scores: float (n,), higher for class 1; any unit.
        labels: int (n,), 0 or 1, each at least once.
        fpr: share of the zeros that may be taken for ones (false-positive rate), in
            [0, 1]; with fewer than 1 / fpr zeros no mistake is allowed at all.

    Returns:
        float in [0, 1], at the best threshold that makes no more mistakes.

    Raises:
        ValueError: labels that do not fit or lack a class, or no share.
    """
    check_share(fpr=fpr)
    false, true = roc_curve(scores, labels)
    return float(true[false <= fpr].max())


def roc_curve(scores, labels):
    """Both rates over all thresholds, from the strictest on.

    Args:
        scores: float (n,), higher for class 1; any unit. Of distances take minus them.
        labels: int (n,), 0 or 1, each at least once.

    Returns:
        (false, true): float (k,) each, in [0, 1]: share of the zeros and of the ones
        that are taken for ones; from (0, 0) to (1, 1).

    Raises:
        ValueError: labels that do not fit or lack a class.
    """
    scores = check_numbers("scores", scores, "(n,)")
    labels = check_labels("", scores, labels, 2)
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"Got labels that are all {labels[0]}, expected both 0 and 1; without one "
            "of them there is nothing to tell apart."
        )
    return metrics.roc_curve(labels, scores, drop_intermediate=False)[:2]
