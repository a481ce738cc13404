"""Occlusion: cover a part of the image and see how much the class loses."""

import numpy as np

from tl_helpers.explanation.grad_cam import check_explained
from tl_helpers.inputs import check_colours, check_whole
from tl_helpers.training import predict_logits


def occlusion(model, images, classes=None, patch_px=16, stride_px=8, fill=None):
    """Slide a patch over the images and note what it takes from the class logit.

    The model is asked once for every place of the patch: 64 px with patches of 16
    every 8 px are 49 places. Nothing but answers is needed, no gradient.

    Args:
        model: as for `grad_cam`, like the two that follow.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        classes: int, int (n,), or None for what the model answers.
        patch_px: int >= 1, side of the patch, at most that of the image.
        stride_px: int >= 1, from one place to the next, at most `patch_px`; the last
            place of a row ends at the image's border.
        fill: what lies under the patch: number, (3,) or images, RGB, [0, 255]; None
            for the mean colour of each image.

    Returns:
        float32 (n, height, width), in units of the logit: its mean fall over the
        patches that cover a pixel; below 0 where the class gains.

    Raises:
        ValueError: as for `grad_cam`, or a patch that does not fit the image.

    Source: Zeiler & Fergus 2013 (arXiv:1311.2901).
    """
    images, classes = check_explained(model, images, classes)
    fill = check_colours("fill", fill, images)
    check_whole(1, patch_px=patch_px, stride_px=stride_px)
    sides = images.shape[1:3]
    if patch_px > min(sides) or stride_px > patch_px:
        raise ValueError(
            f"Got patch_px={patch_px} and stride_px={stride_px} for images of "
            f"{sides[0]}x{sides[1]} px, expected a patch no larger than the image and "
            "a stride no larger than the patch; else pixels stay uncovered."
        )
    whole = _logits(model, images, classes)
    fall, times = np.zeros((2, *images.shape[:3]), np.float32)
    for top in _places(sides[0], patch_px, stride_px):
        for left in _places(sides[1], patch_px, stride_px):
            part = (
                slice(None),
                slice(top, top + patch_px),
                slice(left, left + patch_px),
            )
            covered = images.copy()
            covered[part] = fill[part]
            lost = whole - _logits(model, covered, classes)
            fall[part] += lost[:, None, None]
            times[part] += 1
    return fall / times


def _places(side_px, patch_px, stride_px):
    """Return where patches begin; the last one ends at the border."""
    last = side_px - patch_px
    return sorted({*range(0, last, stride_px), last})


def _logits(model, images, classes):
    return predict_logits(model, images)[np.arange(len(images)), classes]
