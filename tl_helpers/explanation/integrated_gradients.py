"""Integrated gradients: a class logit, shared out over the pixels without a rest."""

import numpy as np

from tl_helpers.explanation.grad_cam import check_explained
from tl_helpers.explanation.gradients import class_logit, gradient_of, in_batches
from tl_helpers.inputs import check_colours, check_numbers, check_whole
from tl_helpers.training import predict_logits


def integrated_gradients(model, images, classes=None, baseline=None, steps=32):
    """Add up the gradient of the class logit on the way from a baseline to the image.

    map = sum over the colours of (image - baseline) x mean gradient on the way

    The baseline is what counts as nothing: pixels of its very colour get nothing,
    whatever they do for the class.

    Args:
        model: as for `grad_cam`, like the two that follow.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        classes: int, int (n,), or None for what the model answers.
        baseline: number, (3,) or images, RGB, [0, 255]; None for the mean colour of
            each image.
        steps: int >= 1, points on the way, in the middle of equal parts of it.

    Returns:
        float32 (n, height, width), in units of the logit; below 0 against the class.
        A map adds up to logit(image) - logit(baseline), the better the more steps:
        `completeness_gap` says how well.

    Raises:
        ValueError: as for `grad_cam`, or a baseline that fits no image.

    Source: Sundararajan et al. 2017 (arXiv:1703.01365).
    """
    images, classes = check_explained(model, images, classes)
    baseline = check_colours("baseline", baseline, images)
    check_whole(1, steps=steps)
    gradient = gradient_of(model, class_logit, images, classes)

    def shares(images, baseline, classes):
        way = images - baseline
        total = np.zeros_like(way)
        for share in (np.arange(steps, dtype=np.float32) + 0.5) / steps:
            total += gradient(baseline + share * way, classes)[1]
        return (way * total / steps).sum(axis=-1)

    return in_batches(shares, images, baseline, classes)


def completeness_gap(model, images, maps, classes=None, baseline=None):
    """Say how far maps are from adding up to what the image changes of the logit.

    Args:
        model: as it was explained, like all that follow.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        maps: float (n, height, width), of `integrated_gradients`.
        classes: int, int (n,), or None for what the model answers.
        baseline: number, (3,) or images, RGB, [0, 255]; None for the mean colour of
            each image.

    Returns:
        float32 (n,): sum of the map - (logit(image) - logit(baseline)).

    Raises:
        ValueError: as for `integrated_gradients`, or other maps.
    """
    images, classes = check_explained(model, images, classes)
    size = ", ".join(map(str, images.shape[:3]))
    maps = check_numbers("maps", maps, f"({size})")
    baseline = check_colours("baseline", baseline, images)
    rows = np.arange(len(images))
    both = [predict_logits(model, x)[rows, classes] for x in (images, baseline)]
    return maps.sum(axis=(1, 2)) - (both[0] - both[1])
