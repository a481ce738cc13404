"""Classes of pixels -> overlaps and borders, counted over a whole set."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tl_helpers.datasets.places import IGNORED, check_pixel_labels
from tl_helpers.inputs import (
    check_class_names,
    check_labels,
    check_not_negative,
    check_numbers,
)


@dataclass(frozen=True)
class PixelScores:
    """How well pixels were answered; `score_pixels` counts it.

    Attributes:
        class_names: one name a class, the ground first.
        counts: int64 (classes, classes), pixels: rows true, columns answered.
        num_present: int64 (classes,), images that show the class.
        num_found: int64 (classes,), those of them in which it was answered somewhere,
            be it in the wrong place ("painted in", when printed).
        num_false_alarms: int64 (classes,), images without it in which it was answered.
        borders: float (classes,), mean over the images that show the class of
            `boundary_score`, in [0, 1]; NaN where none has such a border.
    """

    class_names: tuple
    counts: np.ndarray
    num_present: np.ndarray
    num_found: np.ndarray
    num_false_alarms: np.ndarray
    borders: np.ndarray

    @property
    def accuracy(self):
        """Share of the pixels that are right, in [0, 1]."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def overlaps(self):
        """Intersection over union of each class, float (classes,), in [0, 1].

        Of all pixels of the set together; NaN where the class is neither there nor
        answered.
        """
        both = np.diag(self.counts)
        either = self.counts.sum(axis=0) + self.counts.sum(axis=1) - both
        return np.where(either > 0, both / np.maximum(either, 1), np.nan)

    @property
    def mean_overlap(self):
        """Mean of the overlaps over the classes but the ground, in [0, 1]."""
        return float(np.nanmean(self.overlaps[1:]))

    def __str__(self):
        wide = max(map(len, self.class_names))
        head = f"{'':{wide}}  overlap  border  painted in  false alarms"
        lines = [
            f"{name:{wide}}  {overlap:7.1%}  {border:6.1%}  {found:5d}/{present:<4d}  "
            f"{alarms:4d}"
            for name, overlap, border, found, present, alarms in zip(
                self.class_names,
                self.overlaps,
                self.borders,
                self.num_found,
                self.num_present,
                self.num_false_alarms,
                strict=True,
            )
        ]
        last = f"{self.accuracy:.1%} of the pixels are right; mean overlap "
        return "\n".join([head, *lines, f"{last}{self.mean_overlap:.1%}"])


def score_pixels(answers, pixel_labels, class_names, tolerance_px=2):
    """Score the answers for all pixels of a set.

    Args:
        answers: int (n, height, width), in [0, classes].
        pixel_labels: int (n, height, width), 0 for the ground, 1 + class on an object,
            255 where ignored.
        class_names: names of the classes, without the ground, as in an ImageSet.
        tolerance_px: float >= 0, how far a border may be off; None leaves the borders
            out, NaN, which take nearly all of the time.

    Returns:
        PixelScores.

    Raises:
        ValueError: sizes that differ, values that are no class, all pixels ignored.
    """
    names = ("ground", *check_class_names(class_names))
    answers = check_numbers("answers", answers, "(n, height, width)")
    check_labels("answered", None, answers.ravel(), len(names))
    labels = check_pixel_labels(pixel_labels, answers.shape[1:], len(names))
    if len(answers) != len(labels):
        raise ValueError(
            f"Got {len(answers)} answers for {len(labels)} masks, expected one for "
            "each; give both in the same order."
        )
    if tolerance_px is not None:
        check_not_negative(tolerance_px=tolerance_px)
    known = labels != IGNORED
    code = labels[known] * len(names) + answers[known].astype(np.int64)
    counts = np.bincount(code, minlength=len(names) ** 2)
    classes = range(len(names))
    is_there = np.stack([(labels == k).any((1, 2)) for k in classes])
    is_said = np.stack([((answers == k) & known).any((1, 2)) for k in classes])
    return PixelScores(
        names,
        counts.reshape(len(names), len(names)),
        is_there.sum(1),
        (is_there & is_said).sum(1),
        (~is_there & is_said).sum(1),
        _borders(answers, labels, is_there, tolerance_px),
    )


def _borders(answers, labels, is_there, tolerance_px):
    """Mean boundary score of each class over the images that show it, (classes,)."""
    means = np.full(len(is_there), np.nan)
    if tolerance_px is None:
        return means
    for k, rows in enumerate(is_there):
        known = labels != IGNORED
        scores = [
            boundary_score((answers[i] == k) & known[i], labels[i] == k, tolerance_px)
            for i in np.flatnonzero(rows)
        ]
        if not np.isnan(scores).all():
            means[k] = np.nanmean(scores)
    return means


def boundary_score(answer, truth, tolerance_px=2):
    """How much of each of two masks' borders lies near the other's: an F score.

    Where a mask meets the frame of the image it has no border: nobody drew that line.

    Args:
        answer: bool (height, width).
        truth: bool (height, width).
        tolerance_px: float >= 0.

    Returns:
        float in [0, 1]; NaN where neither mask has a border, 0 where one has none.

    Raises:
        ValueError: masks that are not bool or differ in size.

    Source: Csurka et al. 2013, doi:10.5244/C.27.32.
    """
    answer = _check_mask("answer", answer)
    truth = _check_mask("truth", truth)
    if answer.shape != truth.shape:
        raise ValueError(
            f"Got masks of {answer.shape} and {truth.shape}, expected one size; "
            "resize the answer to the truth."
        )
    check_not_negative(tolerance_px=tolerance_px)
    edges = [
        mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (answer, truth)
    ]
    if not any(edge.any() for edge in edges):
        return float("nan")
    if not all(edge.any() for edge in edges):
        return 0.0
    near = [ndimage.distance_transform_edt(~edge) <= tolerance_px for edge in edges]
    precision, recall = near[1][edges[0]].mean(), near[0][edges[1]].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def _check_mask(name, mask):
    mask = check_numbers(name, mask, "(height, width)")
    if mask.dtype != bool:
        raise ValueError(
            f"Got {name} of type {mask.dtype}, expected bool; compare with the class."
        )
    return mask
