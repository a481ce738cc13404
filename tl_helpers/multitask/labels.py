"""What the bundled solids say about an image -> labels that the tasks take."""

import numpy as np

from tl_helpers.inputs import check_corners, check_numbers, check_whole


def axis_angles(quaternions):
    """Angle in the picture between the vertical and a shape's own axis.

    The whole pose is no label for all shapes: a cylinder may turn about its axis, a
    cube has 24 equal poses. This angle is the part of it that is the same for all of
    them, because no solid leans by more than 30 degrees, or 41 to the camera's eye.
    Only a sphere has none: set its rows to NaN, which is an absent label.

    Args:
        quaternions: float (n, 4), unit (w, x, y, z), from the shape's axes to the
            camera's (x right, y up, z towards the viewer), as in `extras["pose"]`.

    Returns:
        float32 (n,), radians in [-pi, pi]; 0 upright, positive leaning to the right.

    Raises:
        ValueError: wrong shape, not finite, or not of length 1.
    """
    quaternions = check_numbers("quaternions", quaternions, "(n, 4)", least=0)
    lengths = np.sqrt((quaternions**2).sum(1))
    if len(lengths) and np.abs(lengths - 1).max() > 1e-3:
        raise ValueError(
            f"Got quaternions of length {lengths.min():.3g} to {lengths.max():.3g}, "
            "expected 1; divide each by its length."
        )
    w, x, y, z = quaternions.T
    right, up = 2 * (x * y - w * z), 1 - 2 * (x**2 + z**2)
    return np.arctan2(right, up).astype("float32")


def scaled_boxes(boxes_px, size_px):
    """Divide boxes in pixels by the side of the picture.

    Args:
        boxes_px: (n, 4), x0, y0, x1, y1 in px, as in `extras["box"]`.
        size_px: int, side of the square images that the boxes were drawn on.

    Returns:
        float32 (n, 4), in [0, 1].

    Raises:
        ValueError: another shape, a box that reaches out of the picture, or one whose
            first corner is not its upper left one.
    """
    check_whole(1, size_px=size_px)
    boxes = check_numbers("boxes", boxes_px, "(n, 4)", least=0, finite=False)
    check_corners(boxes)
    boxes = boxes.astype("float32") / size_px
    if len(boxes) and not (np.nanmin(boxes) >= 0 and np.nanmax(boxes) <= 1):
        raise ValueError(
            f"Got boxes from {np.nanmin(boxes_px)} to {np.nanmax(boxes_px)} px, "
            f"expected 0 to size_px={size_px}; give the size of the boxes' images."
        )
    return boxes
