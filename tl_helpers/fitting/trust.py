"""When an answer can be trusted: calibration, and the confidence above which to act."""

import numpy as np
from scipy.special import softmax

from tl_helpers.evaluation import binomial_interval, calibration_curve, fit_temperature
from tl_helpers.inputs import check_labels, check_numbers, check_share

AIM = 0.95  # share of right answers above the threshold
FLOOR = 0.90  # which the lower end of its interval must reach
NUM_BINS = 5


def choose_trust_threshold(confidences, is_right, aim=AIM, floor=FLOOR):
    """Find the lowest confidence above which answers are nearly always right.

    Above it at least the share `aim` was right, and the lower end of the 95% interval
    is `floor` or more; so it takes at least 35 answers, all of them right, to find one.

    Args:
        confidences: float (n,) in [0, 1], on images that no model learnt from.
        is_right: bool (n,).
        aim: float in [0, 1].
        floor: float in [0, 1].

    Returns:
        float, or None where no threshold does it.

    Raises:
        ValueError: numbers that are no shares, or lengths that differ.
    """
    confidences = check_numbers("confidences", confidences, "(n,)")
    if getattr(is_right, "dtype", np.dtype(int)).kind == "b":
        is_right = is_right.astype(int)
    is_right = check_labels("right or wrong", confidences, is_right, 2)
    check_share(aim=aim, floor=floor)
    ends = {"lowest": confidences.min(), "highest": confidences.max()}
    check_share(**{f"{name} confidence": float(end) for name, end in ends.items()})
    order = np.argsort(-confidences, kind="stable")
    sure, right = confidences[order], np.cumsum(is_right[order])
    chosen = None
    for count in range(1, len(sure) + 1):
        if count < len(sure) and sure[count] == sure[count - 1]:
            continue  # equally sure answers stand or fall together
        share = right[count - 1] / count
        if share >= aim and binomial_interval(int(right[count - 1]), count)[0] >= floor:
            chosen = float(sure[count - 1])
    return chosen


def balanced_with_interval(confusion):
    """Balanced accuracy with its 95% interval, from those of the single classes.

    Args:
        confusion: int (classes, classes), rows are true classes; classes without an
            image do not count.

    Returns:
        (balanced accuracy, low, high), in [0, 1].

    Source: Zou & Donner 2008, doi:10.1002/sim.3095, on Wilson's intervals.
    """
    confusion = np.asarray(confusion)
    totals, right = confusion.sum(axis=1), np.diag(confusion)
    is_there = totals > 0
    shares = right[is_there] / totals[is_there]
    pairs = zip(right[is_there].tolist(), totals[is_there].tolist(), strict=True)
    ends = np.array([binomial_interval(one, total) for one, total in pairs])
    low, high = np.sqrt(((ends - shares[:, None]) ** 2).sum(axis=0)) / len(shares)
    mean = float(shares.mean())
    return mean, max(0.0, mean - float(low)), min(1.0, mean + float(high))


def judge_trust(logits, labels):
    """Fit temperature and threshold on answers to images that were held out.

    Args:
        logits: float (n, classes), on held-out training images.
        labels: int (n,).

    Returns:
        dict: "temperature"; "before" and "after", expected calibration errors in
        [0, 1]; "threshold", float or None; "num", n; "bins", list of dicts with the
        "confidence", "accuracy" and "num" of images in each that has any.
    """
    temperature = fit_temperature(logits, labels)
    before, after = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    is_right = after.argmax(axis=1) == labels
    curve = calibration_curve(after, labels, NUM_BINS)
    return {
        "temperature": temperature,
        "before": calibration_curve(before, labels, NUM_BINS).error,
        "after": curve.error,
        "threshold": choose_trust_threshold(after.max(axis=1), is_right),
        "num": len(labels),
        "bins": _bins(curve, len(labels)),
    }


def _bins(curve, num_images):
    return [
        {
            "confidence": float(sure),
            "accuracy": float(right),
            "num": round(share * num_images),
        }
        for sure, right, share in zip(*curve, strict=True)
        if share > 0
    ]
