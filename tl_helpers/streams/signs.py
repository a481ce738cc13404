"""Signs that an adapting model goes wrong, read from its answers alone."""

from typing import NamedTuple

import numpy as np
from scipy.stats import entropy

from tl_helpers.inputs import check_kind, check_numbers, check_share, check_whole

SLACK = 1e-3  # how far the sum of float32 probabilities may be from 1
CHANCE = 1e-3  # share of an honest model's looks that fall below what chance explains
LOOKS = 4000  # drawn to find out what that is


class WarningSigns(NamedTuple):
    """What a model's answers show, after each batch.

    Attributes:
        commonest: float (batches,), share of the images with the commonest answer,
            in [1 / classes, 1].
        variety: float (batches,), entropy of the mean answer in nats, from 0, one
            class for all, to log(classes).
        doubt: float (batches,), mean entropy of the answers in nats, from 0, always
            certain, to `variety`, where all images get the same answer.
        distance: float (batches,), total variation between the mean answer and the
            source's, in [0, 1]: the share of the answers that went elsewhere.
        is_alarm: bool (batches,), whether the variety has fallen below the limit, and
            below what chance explains.
    """

    commonest: np.ndarray
    variety: np.ndarray
    doubt: np.ndarray
    distance: np.ndarray
    is_alarm: np.ndarray

    def __str__(self):
        alarms = np.flatnonzero(self.is_alarm)
        since = "no alarm"
        if len(alarms):
            since = f"first alarm at batch {alarms[0] + 1} of {len(self.is_alarm)}"
        return (
            f"The commonest answer has {self.commonest[-1]:.0%} of the latest images, "
            f"the answers are as varied as {np.exp(self.variety[-1]):.1f} classes and "
            f"each as unsure as {np.exp(self.doubt[-1]):.1f}, "
            f"{self.distance[-1]:.0%} went elsewhere than the source's; {since}."
        )


def warning_signs(probabilities_by_batch, source_probabilities=None, over=1, limit=0.9):
    """Look for collapse in a stream of answers, without a label.

    A model that collapses gives fewer and fewer classes, with certainty: variety and
    doubt fall together. The alarm is raised where the variety is less than a share of
    the source's, and less than chance explains: so many answers, drawn with the
    source's shares of the classes, are that uniform once in a thousand times. Neither
    needs a label. A few images never raise it: of one image the answer is one class.

    No sign can tell a collapse from a stream in which one class really stays for a
    while: right answers to a stream that is sorted by class raise the alarm, too.
    Look over more batches than a class stays, or at an image. Nor can it see classes
    that were exchanged for each other.

    Args:
        probabilities_by_batch: list of float (b, classes), rows adding up to 1, in
            the order of the stream; batches of one image are fine.
        source_probabilities: float (n, classes), the answers on source images whose
            classes are as frequent as those expected here; None where all classes
            are expected equally often.
        over: int >= 1, how many of the latest batches every sign is taken over; fewer
            at the beginning. With less than a few images a class in them, only a
            large loss of variety raises the alarm.
        limit: share in [0, 1] of the source's variety below which there is an alarm;
            0.9 of ten equally frequent classes is the variety of eight.

    Returns:
        WarningSigns.

    Raises:
        ValueError: no batch, rows that are no probabilities, other numbers of
            classes, or numbers out of range.

    Source: Niu et al. 2023 (arXiv:2302.12400) on collapse; Zhao et al. 2023
        (arXiv:2306.03536) on streams that look like it.
    """
    check_kind(list, tuple, probabilities_by_batch=probabilities_by_batch)
    check_whole(1, batches=len(probabilities_by_batch), over=over)
    check_share(limit=limit)
    batches = [_probabilities("probabilities", x) for x in probabilities_by_batch]
    num_classes = batches[0].shape[1]
    source = np.full((1, num_classes), 1 / num_classes)
    if source_probabilities is not None:
        source = _probabilities("source probabilities", source_probabilities)
    _check_same_width([source, *batches])
    expected = source.mean(axis=0)
    ends = range(1, len(batches) + 1)
    signs = [_signs(batches[max(0, i - over) : i], expected) for i in ends]
    sizes, commonest, variety, doubt, distance = np.transpose(signs)
    explained = {size: _by_chance(int(size), expected) for size in set(sizes)}
    is_alarm = variety < limit * entropy(expected)
    is_alarm &= variety < [explained[size] for size in sizes]
    return WarningSigns(commonest, variety, doubt, distance, is_alarm)


def _signs(batches, expected):
    """Return how many images some batches hold, and their four signs together."""
    rows = np.concatenate(batches)
    mean = rows.mean(axis=0)
    counts = np.bincount(rows.argmax(axis=1))
    distance = np.abs(mean - expected).sum() / 2
    return (
        len(rows),
        counts.max() / len(rows),
        entropy(mean),
        entropy(rows, axis=1).mean(),
        distance,
    )


def _by_chance(num_images, expected):
    """Return the variety, in nats, that such answers fall below once in 1 / CHANCE.

    Certain answers are drawn; those of a model in doubt are more varied.
    """
    counts = np.random.default_rng(0).multinomial(num_images, expected, LOOKS)
    return np.quantile(entropy(counts, axis=1), CHANCE)


def _probabilities(name, rows):
    """Return float64 (b, classes) whose rows add up to 1, or refuse them."""
    rows = check_numbers(name, rows, "(b, classes)").astype(float)
    sums = rows.sum(axis=1, keepdims=True)
    if rows.min() < 0 or np.abs(sums - 1).max() > SLACK:
        raise ValueError(
            f"Got {name} from {rows.min():g} to {rows.max():g} whose rows add up to "
            f"{sums.min():g} to {sums.max():g}, expected probabilities; take "
            "scipy.special.softmax(logits, axis=1)."
        )
    return rows / sums


def _check_same_width(parts):
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(
            f"Got answers of {widths} classes, expected one number of them; take all "
            "from the same model."
        )
