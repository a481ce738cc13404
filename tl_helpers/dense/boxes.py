"""Boxes: how well two agree, and which of them a cell of a map answers for.

Boxes are x0, y0, x1, y1 in px of the image, x to the right and y down.
"""

from keras import ops

TINY = 1e-7


def cell_centres(height, width, stride_px):
    """Return where the cells of a map look from: the middle of each.

    Args:
        height: int, of the map.
        width: int, of the map.
        stride_px: px of the image from one cell to the next.

    Returns:
        float32 (height * width, 2), x and y in px, row by row from the top.
    """
    x = (ops.arange(width, dtype="float32") + 0.5) * stride_px
    y = (ops.arange(height, dtype="float32") + 0.5) * stride_px
    x, y = ops.meshgrid(x, y)
    return ops.stack([ops.reshape(x, (-1,)), ops.reshape(y, (-1,))], axis=-1)


def assign(boxes, labels, centres, radius_px):
    """Say which box each cell answers for: the smallest whose middle is near it.

    Args:
        boxes: float32 (b, k, 4).
        labels: int (b, k); -1 for no box.
        centres: float32 (n, 2), of the cells.
        radius_px: how far a cell may be from the middle of its box, along x and y.

    Returns:
        (boxes float32 (b, n, 4), labels int32 (b, n)); label -1: the ground.

    Source: Tian et al. 2019, *FCOS* (arXiv:1904.01355), with centre sampling.
    """
    boxes, labels = ops.cast(boxes, "float32"), ops.cast(labels, "int32")
    x, y = centres[None, :, None, 0], centres[None, :, None, 1]  # (1, n, 1)
    x0, y0, x1, y1 = (boxes[:, None, :, i] for i in range(4))  # (b, 1, k)
    is_inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    is_near = (ops.abs(x - (x0 + x1) / 2) < radius_px) & (
        ops.abs(y - (y0 + y1) / 2) < radius_px
    )
    fits = is_inside & is_near & (labels[:, None, :] >= 0)  # (b, n, k)
    area = ops.where(fits, (x1 - x0) * (y1 - y0), 1e12)
    own = ops.one_hot(ops.argmin(area, axis=-1), boxes.shape[1])  # (b, n, k)
    own_labels = ops.sum(ops.cast(own, "int32") * labels[:, None, :], axis=-1)
    own_labels = ops.where(ops.any(fits, axis=-1), own_labels, -1)
    return ops.matmul(own, boxes), own_labels


def box_overlaps(boxes, others):
    """Intersection over union of boxes with others, pair by pair.

    Args:
        boxes: float (..., 4).
        others: float (..., 4), of a shape that fits.

    Returns:
        float (...), in [0, 1].
    """
    both, union, _ = _areas(boxes, others)
    return both / (union + TINY)


def giou(boxes, others):
    """Generalised intersection over union: below 0 where boxes lie apart.

    Args:
        boxes: float (..., 4).
        others: float (..., 4), of a shape that fits.

    Returns:
        float (...), in [-1, 1]: the overlap, minus the share of the smallest box
        around both that neither of them covers.

    Source: Rezatofighi et al. 2019 (arXiv:1902.09630).
    """
    both, union, hull = _areas(boxes, others)
    return both / (union + TINY) - (hull - union) / (hull + TINY)


def _areas(boxes, others):
    """Areas (...) of what two boxes share, cover together, and lie in, in px^2."""
    boxes, others = (ops.convert_to_tensor(x, "float32") for x in (boxes, others))
    low = ops.maximum(boxes[..., :2], others[..., :2])
    high = ops.minimum(boxes[..., 2:], others[..., 2:])
    outer_low = ops.minimum(boxes[..., :2], others[..., :2])
    outer_high = ops.maximum(boxes[..., 2:], others[..., 2:])
    both = ops.prod(ops.maximum(high - low, 0), axis=-1)
    each = [ops.prod(x[..., 2:] - x[..., :2], axis=-1) for x in (boxes, others)]
    return both, sum(each) - both, ops.prod(outer_high - outer_low, axis=-1)
