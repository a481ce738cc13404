"""Membership inference: was this image in the training set? A model may tell."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

from tl_helpers import evaluation
from tl_helpers.inputs import check_labelled, check_labels, check_numbers
from tl_helpers.robustness.outliers import separation


class Membership(NamedTuple):
    """How well the loss tells members of the training set from others.

    Attributes:
        auc: chance that a member has the lower loss, in [0, 1]; 0.5 tells nothing.
        low: lower end of its 95% confidence interval.
        high: its upper end.
        found: share of the members that is found, in [0, 1].
        fpr: share of the others that may be taken for members meanwhile.
    """

    auc: float
    low: float
    high: float
    found: float
    fpr: float

    def __str__(self):
        low, high = 100 * self.low, 100 * self.high
        return (
            f"AUC {self.auc:.1%} ({low:.1f} to {high:.1f}); {self.found:.1%} of the "
            f"members found at {self.fpr:.1%} false alarms"
        )


def membership(members, others, fpr=0.01):
    """Attack privacy by the loss: what a model learnt by heart it answers more surely.

    Privacy is not a mean: a few members who are found for sure are a harm that an AUC
    near one half hides, hence the share found at few false alarms.

    Args:
        members: (logits float (n, classes), labels int (n,)) of images that the model
            was trained on.
        others: the same of images from the same source that it was not.
        fpr: share of false alarms among the others, in [0, 1].

    Returns:
        Membership.

    Raises:
        ValueError: logits and labels that do not fit, or no share.

    Source: Yeom et al. 2018 (arXiv:1709.01604); judged as by Carlini et al. 2022
        (arXiv:2112.03570).
    """
    losses = [_losses(*one) for one in (("members", members), ("others", others))]
    auc, low, high, _ = separation(*losses)  # a member is what looks familiar
    is_member = np.repeat([1, 0], [len(x) for x in losses])
    found = evaluation.tpr_at_fpr(-np.concatenate(losses), is_member, fpr)
    return Membership(auc, low, high, found, fpr)


def _losses(name, rows):
    """Cross-entropy of each row, float (n,), of (logits, labels)."""
    logits, labels = check_labelled(name, rows)
    logits = check_numbers(f"logits of {name}", logits, "(n, classes)").astype(float)
    check_labels(name, logits, labels, logits.shape[1])
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
