"""Values of image files that have more than 8 bits, and what becomes of them."""

import warnings
from typing import NamedTuple

import numpy as np

SIXTEEN_BITS = (0, 65535)
COLOUR = "16 bits a colour"
# Of 256 levels; below, a set was hardly meant to look as it comes out.
FEW_LEVELS = {"8 bits": 32, "16 bits": 128, COLOUR: 128, "unknown": 0}


class Levels(NamedTuple):
    """The values that a file holds, before they become 8 bits.

    Attributes:
        low: the lowest, without 0 and 65,535 in 16 bits, which often mean "none".
        high: the highest, likewise.
        kind: "8 bits", "16 bits", "unknown" (floats, 32 bits or below 0), or "16 bits
            a colour", of which Pillow reads the upper 8.
    """

    low: float
    high: float
    kind: str


def likely_range(low, high):
    """Offer a `pixel_range` to choose: [0, 1], or the whole of so many bits.

    Args:
        low: number, the lowest value that was seen.
        high: number, the highest.

    Returns:
        (black, white).
    """
    if low < 0:
        return low, high
    if high < 128:
        return 0, max(1, high)
    return 0, 2 ** int(high).bit_length() - 1


def how_to_convert(images):
    """Say how an array becomes uint8 in [0, 255], judged by all of its values.

    Args:
        images: array "x" of numbers, of any shape.

    Returns:
        str, an expression of x and np; where no range is likely, it stretches what is
        there.
    """
    images = np.asarray(images)
    if not images.size or not np.isfinite(images).all():
        return "np.clip(np.nan_to_num(x), 0, 255).astype('uint8')"
    low, high = images.min().item(), images.max().item()
    if low >= 0 and 1 < high <= 255 and (high > 128 or images.dtype.kind in "iu"):
        return "np.rint(x).astype('uint8')"
    black, white = (-1, 1) if -1 <= low < 0 and high <= 1 else likely_range(low, high)
    return f"np.rint((x - {black:g}) * (255 / {white - black:g})).astype('uint8')"


def check_range(pixel_range):
    """Refuse what is no pair of grey values.

    Args:
        pixel_range: (black, white), numbers.

    Returns:
        (black, white), tuple.

    Raises:
        ValueError: no two finite numbers, or black is not below white.
    """
    ends = np.asarray(pixel_range)
    is_range = ends.shape == (2,) and ends.dtype.kind in "iuf"
    if not is_range or not np.isfinite(ends).all() or ends[0] >= ends[1]:
        raise ValueError(
            f"Got pixel_range={pixel_range!r}, expected the values of black and white, "
            "the lower first; for 12 bits give (0, 4095)."
        )
    return tuple(ends.tolist())


def judge_levels(levels, pixel_range):
    """Say where the values do not fit their range; the set is judged, never a file.

    Args:
        levels: iterable of Levels, one a file.
        pixel_range: (black, white), or None where nobody named it.

    Raises:
        ValueError: files of unknown range without a `pixel_range`, or one for files
            of 8 bits.

    Warns:
        UserWarning: only few of the 256 levels will be used, or values lie beyond
            `pixel_range`.
    """
    levels = list(levels)
    groups = {kind: [one for one in levels if one.kind == kind] for kind in FEW_LEVELS}
    unknown = groups.pop("unknown")
    if pixel_range is not None:
        _check_given_range(unknown + groups.pop("16 bits"), pixel_range)
    elif unknown:
        low, high = _outermost(unknown)
        raise ValueError(
            f"Got {len(unknown)} files with values from {low:g} to {high:g}, expected "
            "8 or 16 bits; name the values of black and white, such as "
            f"pixel_range={likely_range(low, high)}."
        )
    for kind, group in groups.items():
        if group:
            _warn_of_few_levels(kind, group)


def _warn_of_few_levels(kind, levels):
    low, high = _usual(levels)
    white = 255 if kind == "8 bits" else SIXTEEN_BITS[1]
    bottom = low if kind == "16 bits" else 0
    num_levels = round((high - bottom) * 255 / white) + 1
    if num_levels >= FEW_LEVELS[kind]:
        return
    fix = "scale them to [0, 255] and save them with 8 bits"
    if kind == "16 bits":
        fix = (
            "name the values of black and white, such as pixel_range="
            f"{likely_range(low, high)}; {SIXTEEN_BITS} keeps them as they are"
        )
    warnings.warn(
        f"Got {len(levels)} files of {kind} with values that usually lie from {low} to "
        f"{high}, which makes {num_levels} of 256 levels; if that is not how they "
        f"should look, {fix}.",
        stacklevel=4,
    )


def _check_given_range(scalable, pixel_range):
    if not scalable:
        raise ValueError(
            f"Got pixel_range={pixel_range} for files of 8 bits, expected grey ones of "
            "more; leave it out."
        )
    low, high = _outermost(scalable)
    if low < pixel_range[0] or high > pixel_range[1]:
        warnings.warn(
            f"Got values from {low:g} to {high:g}, expected all within pixel_range="
            f"{pixel_range}; those beyond come out black or white.",
            stacklevel=4,
        )


def _outermost(levels):
    return min(one.low for one in levels), max(one.high for one in levels)


def _usual(levels):
    """Lowest and highest value, but for the odd file in ten."""
    lows, highs = zip(*((one.low, one.high) for one in levels), strict=True)
    low = np.quantile(lows, 0.1, method="lower")
    return int(low), int(np.quantile(highs, 0.9, method="higher"))
