"""Where things are: boxes and classes of pixels as targets of a training."""

import numpy as np

from tl_helpers.inputs import (
    as_array,
    check_choice,
    check_corners,
    check_labels,
    check_numbers,
)

IGNORED = 255  # label of a pixel that nobody knows or asks about
NO_BOX = -1  # label where an image has fewer boxes than others
TARGETS = ("labels", "pixel_labels", "boxes")


def targets_of(images, targets):
    """Return what a network shall answer for each image.

    Args:
        images: ImageSet.
        targets: one of `TARGETS`.

    Returns:
        int64 (n,), int32 (n, height, width), or {"boxes": float32 (n, k, 4),
        "labels": int32 (n, k)} with boxes of 0 where the label is -1.

    Raises:
        ValueError: the set has no such extras, or ones that do not fit its images.
    """
    check_choice(TARGETS, targets=targets)
    if targets == "labels":
        return images.labels
    names = ("boxes", "box_labels") if targets == "boxes" else (targets,)
    lacking = [name for name in names if name not in images.extras]
    if lacking:
        raise ValueError(
            f"Got images without {' and '.join(lacking)}, expected them among the "
            f"extras ({', '.join(images.extras) or 'none'}); give them to ImageSet."
        )
    side_px = images.images.shape[1:3]
    num_classes = len(images.class_names)
    if targets == "pixel_labels":
        rows = images.extras["pixel_labels"]
        return check_pixel_labels(rows, side_px, num_classes + 1)
    return dict(
        zip(
            ("boxes", "labels"),
            check_boxes(*(images.extras[x] for x in names), side_px, num_classes),
            strict=True,
        )
    )


def check_pixel_labels(pixel_labels, side_px, num_classes):
    """Refuse labels of pixels that fit no image, or tell nothing.

    Args:
        pixel_labels: int (n, height, width), in [0, num_classes), or 255: ignored.
        side_px: (height, width) of the images.
        num_classes: int, the ground included.

    Returns:
        int32 (n, height, width).

    Raises:
        ValueError: another size, a value that is no class, or an image in which all
            pixels are ignored.
    """
    height, width = side_px
    rows = check_numbers("pixel_labels", pixel_labels, f"(n, {height}, {width})")
    known = rows != IGNORED
    check_labels("pixels", rows[known], rows[known], num_classes)
    is_empty = ~known.any(axis=(1, 2))
    if is_empty.any():
        raise ValueError(
            f"Got {is_empty.sum()} masks in which every pixel is {IGNORED}, ignored, "
            f"the first in row {is_empty.argmax()}, expected some that are not; leave "
            "these images out."
        )
    return rows.astype(np.int32)


def check_boxes(boxes, box_labels, side_px, num_classes):
    """Refuse boxes that fit no image, and boxes without their label.

    Args:
        boxes: (n, k, 4), x0, y0, x1, y1 in px, x1 and y1 exclusive; anything, such as
            NaN, where the label is -1.
        box_labels: int (n, k), in [0, num_classes), or -1 for no box; an image may
            have none at all.
        side_px: (height, width) of the images.
        num_classes: int.

    Returns:
        (boxes float32 (n, k, 4), 0 where there is none; labels int32 (n, k)).

    Raises:
        ValueError: other lengths, a label that is no class; a box outside its image,
            without area, or in shares of the image.
    """
    boxes = check_numbers("boxes", boxes, "(n, k, 4)", finite=False)
    labels = as_array(box_labels)
    if labels.shape != boxes.shape[:2]:
        raise ValueError(
            f"Got box_labels of shape {labels.shape} for boxes of shape {boxes.shape}, "
            f"expected {boxes.shape[:2]}, a label a box; fill up with {NO_BOX}."
        )
    is_box = labels != NO_BOX
    check_labels("boxes", labels[is_box], labels[is_box], num_classes)
    real = boxes[is_box].astype(np.float32)
    check_numbers("boxes", real, "(boxes, 4)", least=0)
    check_corners(real)
    is_flat = (real[:, :2] == real[:, 2:]).any(axis=1)
    if is_flat.any():
        raise ValueError(
            f"Got box {real[is_flat.argmax()].tolist()}, which has no area, expected "
            f"x0 < x1 and y0 < y1; leave it out, with label {NO_BOX}."
        )
    height, width = side_px
    outside = (real < 0) | (real > (width, height, width, height))
    if outside.any():
        worst = real[outside.any(axis=1).argmax()].tolist()
        raise ValueError(
            f"Got box {worst} on an image of {height}x{width} px, expected x from 0 "
            f"to {width} and y from 0 to {height}; cut it at the border."
        )
    if len(real) and real.max() <= 1 < min(side_px):
        raise ValueError(
            f"Got boxes up to {real.max():.3g}, which look like shares of the image, "
            "expected px; multiply them by width and height."
        )
    filled = np.zeros(boxes.shape, np.float32)
    filled[is_box] = real
    return filled, labels.astype(np.int32)


def moving(augment, targets):
    """Return `augment` as a function of (images, targets), which moves both alike.

    Args:
        augment: callable (images, labels) -> (images, labels); for other targets an
            `augmentation.Policy`.
        targets: one of `TARGETS`.
    """
    if targets == "labels":
        return augment
    name = {"pixel_labels": "segmentation_masks", "boxes": "bounding_boxes"}[targets]

    def move(images, places):
        moved = augment({"images": images, name: places})
        return moved["images"], moved[name]

    return move
