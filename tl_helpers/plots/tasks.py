"""Boxes and masks on the images that they belong to."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tl_helpers.inputs import check_corners, check_kind, check_numbers, check_whole
from tl_helpers.plots.images import SIDE_IN, check_image, checked_titles, sheet

ANSWER, TRUTH = "#ff00c8", "white"
TINT = 0.55  # of the colour over a mask


def boxes_and_masks(
    images,
    boxes=None,
    masks=None,
    true_boxes=None,
    true_masks=None,
    titles=None,
    columns=8,
):
    """Draw images with boxes and masks: answers in colour, the truth dashed in white.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        boxes: float (n, 4), x0, y0, x1, y1 in px of the images, x1 and y1 exclusive;
            a row with a NaN has none; or None.
        masks: bool (n, h, w), True on the object; a coarser mask is stretched over
            its image; or None.
        true_boxes: as `boxes`, or None.
        true_masks: as `masks`, drawn as their outline; or None.
        titles: n strings above the images, or None.
        columns: images a row of the sheet.

    Returns:
        matplotlib Figure, with a legend where answers and truth are both drawn.

    Raises:
        ValueError: lengths that differ, images or masks of another kind, boxes that
            end before they begin.
    """
    check_kind(np.ndarray, list, tuple, images=images)
    check_whole(1, images=len(images), columns=columns)
    for image in images:
        check_image(image)
    boxes, true_boxes = (
        _checked_boxes(name, rows, len(images))
        for name, rows in (("boxes", boxes), ("true_boxes", true_boxes))
    )
    masks, true_masks = (
        _checked_masks(name, rows, len(images))
        for name, rows in (("masks", masks), ("true_masks", true_masks))
    )
    titles = checked_titles(titles, len(images))
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    deep = 0.2 * max(1 + title.count("\n") for title in titles) if any(titles) else 0
    size_in = columns * SIDE_IN, lines * (SIDE_IN + deep) + 0.25
    figure, axes = sheet(lines, columns, size_in)
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(titles[i], fontsize=8, pad=3)
        if masks is not None:
            _tint(axis, masks[i], np.shape(image))
        if true_masks is not None:
            _outline(axis, true_masks[i], np.shape(image))
        if boxes is not None:
            rectangle(axis, boxes[i], edgecolor=ANSWER, lw=1.8)
        if true_boxes is not None:
            rectangle(axis, true_boxes[i], edgecolor=TRUTH, lw=1.2, ls="--")
        axis.set(xlim=(-0.5, np.shape(image)[1] - 0.5))
        axis.set(ylim=(np.shape(image)[0] - 0.5, -0.5))
    has_answer = boxes is not None or masks is not None
    if has_answer and (true_boxes is not None or true_masks is not None):
        _legend(figure)
    return figure


def _tint(axis, mask, shape):
    layer = np.zeros((*mask.shape, 4))
    layer[..., :3] = to_rgb(ANSWER)
    layer[..., 3] = TINT * mask
    axis.imshow(layer, extent=_extent(shape), interpolation="nearest")


def _outline(axis, mask, shape):
    if mask.any() and not mask.all():
        height, width = mask.shape
        rows = (np.arange(height) + 0.5) * shape[0] / height - 0.5
        places = (np.arange(width) + 0.5) * shape[1] / width - 0.5
        look = {"colors": TRUTH, "linewidths": 1.2, "linestyles": "--"}
        if height > 1 and width > 1:
            axis.contour(places, rows, mask.astype(float), [0.5], **look)


def rectangle(axis, box, **look):
    """Draw a box (4,), x0, y0, x1, y1 in px, on an image; none where it has a NaN."""
    if np.isfinite(box).all():
        x0, y0, x1, y1 = box - 0.5  # a pixel's centre lies on whole numbers
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **look))


def _extent(shape):
    return -0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5


def _legend(figure):
    lines = [
        Line2D([], [], color=ANSWER, lw=2, label="answer"),
        Line2D([], [], color="0.4", lw=1.2, ls="--", label="truth"),
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, fontsize=8)


def _checked_boxes(name, rows, count):
    if rows is None:
        return None
    boxes = check_numbers(name, rows, f"({count}, 4)", finite=False).astype(float)
    check_corners(boxes, "give corners in px, not width and height")
    return boxes


def _checked_masks(name, rows, count):
    if rows is None:
        return None
    masks = check_numbers(name, rows, f"({count}, height, width)")
    if masks.dtype != bool:
        raise ValueError(
            f"Got {name} of type {masks.dtype}, expected bool; compare probabilities "
            "with 0.5, or logits with 0, first."
        )
    return masks
