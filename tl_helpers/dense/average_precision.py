"""Average precision of detections, as the COCO benchmark computes it."""

import contextlib
import io
from dataclasses import dataclass

import numpy as np

from tl_helpers.datasets.places import NO_BOX, check_boxes
from tl_helpers.dense.detector import Detection
from tl_helpers.inputs import check_class_names, check_kind, check_whole


@dataclass(frozen=True)
class AveragePrecision:
    """How well a set was detected; `average_precision` asks for it.

    Attributes:
        ap: mean over the classes and over overlaps from 50 to 95%, in [0, 1].
        ap50: mean over the classes, a box being right from an overlap of 50% on.
        ap75: likewise from 75% on.
        by_class: {class name: AP50}, of the classes that the set shows.
    """

    ap: float
    ap50: float
    ap75: float
    by_class: dict

    def __str__(self):
        return f"AP {self.ap:.1%}, AP50 {self.ap50:.1%}, AP75 {self.ap75:.1%}"


def average_precision(detections, boxes, box_labels, class_names, size_px):
    """Score detections with `pycocotools` (in the extra `detection`).

    Args:
        detections: list of n `Detection`; an image may have none.
        boxes: (n, k, 4), x0, y0, x1, y1 in px, as in the extras of an ImageSet.
        box_labels: int (n, k), -1 where an image has fewer boxes.
        class_names: one name a class.
        size_px: int >= 1, height and width of the images.

    Returns:
        AveragePrecision.

    Raises:
        ImportError: `pycocotools` is not installed.
        ValueError: other lengths, boxes that fit no image (`places.check_boxes`), or no
            box at all.

    Source: Lin et al. 2014, *Microsoft COCO* (arXiv:1405.0312).
    """
    names = check_class_names(class_names)
    check_kind(list, tuple, detections=detections)
    check_kind(Detection, **{f"detections[{i}]": x for i, x in enumerate(detections)})
    check_whole(1, size_px=size_px)
    boxes, labels = check_boxes(boxes, box_labels, (size_px, size_px), len(names))
    if len(detections) != len(boxes):
        raise ValueError(
            f"Got detections of {len(detections)} images and boxes of {len(boxes)}, "
            "expected one for each; give both in the same order."
        )
    if not (labels != NO_BOX).any():
        raise ValueError(
            "Got no box in any image, expected at least one; without any there is no "
            "precision, only a number of false alarms to count."
        )
    precision = _precision(detections, boxes, labels, len(names))
    shown = np.unique(labels[labels != NO_BOX])
    return AveragePrecision(
        float(precision[:, :, shown].mean()),
        float(precision[0, :, shown].mean()),
        float(precision[5, :, shown].mean()),
        {names[k]: float(precision[0, :, k].mean()) for k in shown},
    )


def _precision(detections, boxes, labels, num_classes):
    """Precision (10 overlaps, 101 recalls, classes); -1 for a class that none has."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ImportError(
            "Got no pycocotools, expected it for average precision; install it with "
            "pip install 'tl-helpers[detection]'."
        ) from error
    truth, found = COCO(), COCO()
    images = [{"id": i} for i in range(len(boxes))]
    classes = [{"id": k} for k in range(num_classes)]
    rows, columns = np.nonzero(labels != NO_BOX)
    true = [
        _entry(number, i, labels[i, j], boxes[i, j])
        for number, (i, j) in enumerate(zip(rows, columns, strict=True), start=1)
    ]
    every = [
        (i, label, box, score)
        for i, one in enumerate(detections)
        for box, label, score in zip(one.boxes, one.labels, one.scores, strict=True)
    ]
    answered = [
        _entry(number, i, label, box, score)
        for number, (i, label, box, score) in enumerate(every, start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        for coco, entries in ((truth, true), (found, answered)):
            coco.dataset = {
                "images": images,
                "categories": classes,
                "annotations": entries,
            }
            coco.createIndex()
        run = COCOeval(truth, found, "bbox")
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][:, :, :, 0, -1]


def _entry(number, image, label, box, score=1.0):
    x0, y0, x1, y1 = map(float, box)
    return {
        "id": number,
        "image_id": int(image),
        "category_id": int(label),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "score": float(score),
        "iscrowd": 0,
    }
