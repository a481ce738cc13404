"""Detections held against what is there: hits, and five kinds of errors."""

from typing import NamedTuple

import numpy as np

from tl_helpers.datasets.places import NO_BOX
from tl_helpers.dense.detector import Detection
from tl_helpers.inputs import check_kind, check_numbers, check_positive, check_share

HIT, WRONG_CLASS, OFF_PLACE = "hit", "wrong class", "badly placed"
DOUBLE, GROUND, MISSED = "doubled", "ground", "missed"
KINDS = (HIT, WRONG_CLASS, OFF_PLACE, DOUBLE, GROUND)  # of what was found
TOUCHES = 0.1  # overlap from which a box that is no hit means an object at all


class Judged(NamedTuple):
    """Detections of one image beside its objects.

    Attributes:
        found: Detection, the surest first.
        kinds: list of m strings, each one of `KINDS`.
        boxes: float (j, 4), of the objects, x0, y0, x1, y1 in px.
        labels: int (j,), their classes.
        is_hit: bool (j,), whether an object was found; the others are missed.
    """

    found: Detection
    kinds: list
    boxes: np.ndarray
    labels: np.ndarray
    is_hit: np.ndarray


def judge(detections, boxes, box_labels, least_score=0.3, least_overlap=0.5):
    """Say of every detection whether it is a hit, and if not, what went wrong.

    The surest goes first. It is a hit if it overlaps an object of its class that no
    surer one has hit; "doubled" if only hit ones; "wrong class" if it overlaps an
    object of another class; "badly placed" if it touches any object (overlap 0.1);
    else it takes the ground for an object.

    Args:
        detections: list of n `Detection`.
        boxes: float (n, k, 4), x0, y0, x1, y1 in px, as in the extras of an ImageSet.
        box_labels: int (n, k), -1 where an image has fewer boxes.
        least_score: float in (0, 1), less sure detections do not count.
        least_overlap: float in (0, 1), of a hit with its object.

    Returns:
        list of Judged, one for each image.

    Raises:
        ValueError: other lengths, or numbers out of their range.

    Source: after Bolya et al. 2020, *TIDE* (arXiv:2008.08115), one kind a detection.
    """
    check_kind(list, tuple, detections=detections)
    check_kind(Detection, **{f"detections[{i}]": x for i, x in enumerate(detections)})
    check_share(least_score=least_score, least_overlap=least_overlap)
    check_positive(least_score=least_score, least_overlap=least_overlap)
    labels = check_numbers("box_labels", box_labels, "(n, k)")
    boxes = check_numbers("boxes", boxes, "(n, k, 4)", finite=False)
    if boxes.shape[:2] != labels.shape or len(detections) != len(labels):
        raise ValueError(
            f"Got detections of {len(detections)} images, boxes of shape {boxes.shape} "
            f"and labels of shape {labels.shape}, expected one row an image in each."
        )
    return [
        _judge(one, own[is_one], classes[is_one], least_score, least_overlap)
        for one, own, classes, is_one in zip(
            detections, boxes, labels, labels != NO_BOX, strict=True
        )
    ]


def _judge(detection, boxes, labels, least_score, least_overlap):
    is_sure = detection.scores >= least_score
    found = Detection(*(part[is_sure] for part in detection))
    overlaps = _overlaps(found.boxes, boxes)
    is_hit, kinds = np.zeros(len(boxes), bool), []
    for row, label in zip(overlaps, found.labels, strict=True):
        own = np.where(labels == label, row, 0)
        free = np.where(is_hit, 0, own)
        if free.max(initial=0) >= least_overlap:
            is_hit[free.argmax()] = True
            kinds.append(HIT)
        elif own.max(initial=0) >= least_overlap:
            kinds.append(DOUBLE)
        elif row.max(initial=0) >= least_overlap:
            kinds.append(WRONG_CLASS)
        else:
            kinds.append(OFF_PLACE if row.max(initial=0) >= TOUCHES else GROUND)
    return Judged(found, kinds, boxes, labels, is_hit)


def _overlaps(boxes, others):
    """Intersection over union (m, j), for a handful of boxes, without a backend."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    each = [np.prod(x[:, 2:] - x[:, :2], axis=-1) for x in (boxes, others)]
    return both / (each[0][:, None] + each[1][None] - both)
