"""Notice an adaptation that failed, and say in words what went wrong."""

import numpy as np
from scipy.stats import entropy

from tl_helpers.inputs import check_kind, check_numbers, check_share

CHANCE_MARGIN = 0.02  # of 0.5: the mean over a thousand images varies by 0.016
COLLAPSE_SHARE = 0.9  # no course data set has a class so frequent
MIN_EFFECTIVE_SHARE = 0.5  # of the classes: a balanced target uses nearly all of them


def diagnose(
    history=None, target_logits=None, accuracy=None, source_only_accuracy=None
):
    """Look for the four ways in which adaptation is known to fail.

    - A loss that is not finite.
    - A discriminator at 50% from the first epoch to the last. One that starts higher
      and ends at 50% is what success looks like, and is not reported.
    - Collapse: one class gets more than 90% of the target's answers, or the effective
      number of classes exp(H), H = -sum_c q_c log q_c with q_c the share of answers
      for class c, is below half of the classes. It asks for a few hundred images.
    - Accuracy below that of the source-only model.

    Args:
        history: `fit(...).history`, {name: one float for each epoch}; the
            discriminator's accuracy in [0, 1] is `domain_accuracy`, where there is one.
        target_logits: float (n, num_classes), on target images.
        accuracy: float in [0, 1], of the adapted model on the target.
        source_only_accuracy: float in [0, 1], of the model without adaptation on the
            same images; given together with `accuracy`.

    Returns:
        list of str, one sentence for every fault; empty when all is well.

    Raises:
        ValueError: a history that is no dict, logits of another shape, an accuracy
            outside [0, 1], or only one of the two accuracies.
    """
    if history is not None:
        check_kind(dict, history=history)
        for name, values in history.items():
            check_numbers(name, values, "(epochs,)", finite=False)
    _check(target_logits, accuracy, source_only_accuracy)
    sentences = []
    if history is not None:
        sentences += _broken_losses(history) + _idle_discriminator(history)
    if target_logits is not None:
        sentences += _collapse(np.asarray(target_logits))
    if accuracy is not None and accuracy < source_only_accuracy:
        sentences.append(
            f"Adaptation hurt: {100 * accuracy:.1f}% on the target, "
            f"{100 * source_only_accuracy:.1f}% without it (negative transfer); weaken "
            "it, or keep the source-only model."
        )
    return sentences


def _check(target_logits, accuracy, source_only_accuracy):
    if target_logits is not None:
        shape = "(n, num_classes)"
        check_numbers("target logits", target_logits, shape, finite=False)
    given = [x for x in (accuracy, source_only_accuracy) if x is not None]
    if len(given) == 1:
        raise ValueError(
            f"Got accuracy {accuracy} and source-only accuracy {source_only_accuracy}, "
            "expected both or neither; measure both on the same images."
        )
    if given:
        check_share(accuracy=accuracy, source_only_accuracy=source_only_accuracy)


def _broken_losses(history):
    broken = {
        name: int(np.argmin(np.isfinite(values))) + 1
        for name, values in history.items()
        if not np.isfinite(values).all()
    }
    if not broken:
        return []
    name = min(broken, key=broken.get)
    return [
        f"Training broke: {name} is not finite from epoch {broken[name]} on; lower the "
        "learning rate or the weight of the adaptation loss."
    ]


def _idle_discriminator(history):
    accuracies = np.asarray(history.get("domain_accuracy", []), float)
    is_chance = abs(accuracies - 0.5) <= CHANCE_MARGIN
    if len(accuracies) == 0 or not is_chance.all():
        return []
    return [
        "The discriminator was at 50% from the first epoch on: it never learnt to tell "
        "the domains apart, so there was nothing to reverse; look for a discriminator "
        "that is frozen or gets no gradient."
    ]


def _collapse(logits):
    if not np.isfinite(logits).all():
        return [
            "The model is broken: its logits on the target are not finite; lower the "
            "learning rate and train again."
        ]
    num_classes = logits.shape[1]
    shares = np.bincount(logits.argmax(axis=1), minlength=num_classes) / len(logits)
    largest = int(shares.argmax())
    if shares[largest] > COLLAPSE_SHARE:
        return [
            f"The answers collapsed: class {largest} gets {shares[largest]:.0%} of the "
            "target's images; unless the target is like that, weaken the adaptation."
        ]
    effective = float(np.exp(entropy(shares)))
    if effective >= MIN_EFFECTIVE_SHARE * num_classes:
        return []
    unused = np.flatnonzero(shares < 0.5 / num_classes).tolist()
    return [
        f"The answers collapsed: they fall on {effective:.1f} of {num_classes} classes "
        f"in effect, hardly any on {unused}; unless the target is like that, weaken "
        "the adaptation."
    ]
