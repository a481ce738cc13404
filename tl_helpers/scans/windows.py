"""Hounsfield units -> RGB in [0, 255], through windows such as radiologists use.

A scan has thousands of values, a screen and a pretrained network 256 a channel. A
window (centre, width) spends them on the HU around a centre: what lies below is black,
what lies above is white. Air is at -1000 HU, lung near -850, fat near -100, water at 0,
muscle near 50, bone from 300 on.
"""

import numpy as np

from tl_helpers.inputs import as_array, check_numbers

LUNG = (-600, 1500)  # centre and width, in HU
MIDDLE = (-250, 900)
SOFT_TISSUE = (40, 400)
NARROWEST_HU = 10  # no scan of anything lies within this much of 0
LARGEST_HU = 2**15


def to_rgb(hu, windows=(LUNG, MIDDLE, SOFT_TISSUE)):
    """Show each slice in three windows: one for red, one for green, one for blue.

    value = 255 * (hu - (centre - width / 2)) / width, cut at 0 and 255, rounded.

    Args:
        hu: numbers (height, width) or (slices, height, width), HU.
        windows: three pairs (centre, width), in HU, width > 0. The standard ones keep
            lung and vessels apart (red), ground glass and fat (green), and soft tissue,
            calcium and bone (blue). Three times the same window gives grey.

    Returns:
        uint8 (..., height, width, 3), RGB, [0, 255].

    Raises:
        ValueError: values that cannot be HU (see `check_hu`), another rank, or windows
            that are none.
    """
    hu = check_hu(hu)
    windows = check_numbers("windows", windows, "(3, 2)", least=3)
    return np.stack([_in_window(hu, window) for window in windows], axis=-1)


def neighbours_to_rgb(hu, window=LUNG):
    """Show each slice with its two neighbours: below is red, above is blue.

    Green is the slice itself. The first and the last slice stand for the neighbour
    that they lack.

    Args:
        hu: numbers (slices, height, width), HU, in the order in which they lie.
        window: (centre, width), in HU, as in `to_rgb`.

    Returns:
        uint8 (slices, height, width, 3), RGB, [0, 255].

    Raises:
        ValueError: as for `to_rgb`.
    """
    hu = check_hu(hu)
    if hu.ndim != 3:
        raise ValueError(
            f"Got hu of shape {hu.shape}, expected (slices, height, width); a single "
            "slice has no neighbours, so show it with to_rgb."
        )
    (window,) = check_numbers("window", [window], "(1, 2)")
    grey = _in_window(hu, window)
    padded = np.concatenate([grey[:1], grey, grey[-1:]])
    return np.stack([padded[:-2], padded[1:-1], padded[2:]], axis=-1)


def check_hu(hu):
    """Refuse values that cannot be Hounsfield units.

    A CT image holds air or fat, which are below 0, and its values differ by hundreds.
    They are judged all together, so give whole slices, not a crop of bone.

    Args:
        hu: numbers (height, width) or (slices, height, width).

    Returns:
        array of that shape.

    Raises:
        ValueError: another rank, no numbers, NaN; none below 0 (grey values in [0, 1]
            or [0, 255], or stored values before slope and intercept); all within
            10 of 0 (standardised values); or any beyond 32,768.
    """
    rank = "(height, width)" if as_array(hu).ndim == 2 else "(slices, height, width)"
    hu = check_numbers("hu", hu, rank)
    low, high = float(hu.min()), float(hu.max())
    reasons = {
        "nothing below 0, where air and fat lie": low >= 0,
        f"nothing beyond {NARROWEST_HU}": max(-low, high) <= NARROWEST_HU,
        f"values beyond {LARGEST_HU:,}": max(-low, high) > LARGEST_HU,
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise ValueError(
                f"Got values from {low:g} to {high:g}, {reason}, expected Hounsfield "
                "units (air -1000, water 0); undo the scaling, or read the file with "
                "scans.read_dicom, which applies its slope and intercept."
            )
    return hu


def _in_window(hu, window):
    """Grey values uint8 of the same shape."""
    centre, width = map(float, window)
    if width <= 0:
        raise ValueError(
            f"Got a window of width {width:g} HU, expected one above 0; give (centre, "
            "width), for lungs (-600, 1500)."
        )
    share = (hu - (centre - width / 2)) / width
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
