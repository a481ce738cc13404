"""Maps against masks: does an explanation lie on the object, and better than chance?"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from tl_helpers.inputs import check_numbers


class Located(NamedTuple):
    """How much of each map lies on the object.

    Attributes:
        inside: float (n,), in [0, 1].
        chance: float (n,), what a map that is equal everywhere gets: the object's
            share of the image. Objects in the middle are easier than that says: ask a
            map that only points to the middle, too, or take `mosaics`.
    """

    inside: np.ndarray
    chance: np.ndarray

    def __str__(self):
        inside, chance = self.inside.mean(), self.chance.mean()
        return f"{inside:.1%} inside, {chance:.1%} by chance"


def pointing_game(maps, masks):
    """Does the highest point of a map lie on the object?

    Where several pixels are highest, the share of them that does: a map of zeros
    points everywhere.

    Args:
        maps: float (n, height, width).
        masks: bool (n, height, width), True on the object.

    Returns:
        Located; `inside` is 1 or 0 but for ties.

    Raises:
        ValueError: sizes that differ, masks that are not bool, or an empty one.

    Source: Zhang et al. 2016 (arXiv:1608.00507), without a tolerance.
    """
    maps, masks = _check(maps, masks)
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    return _located(highest, masks)


def energy_inside(maps, masks):
    """Share of what a map says for the class that lies on the object.

    What it says against the class, values below 0, does not count; a map without a
    value above 0 counts as equal everywhere.

    Args:
        maps: float (n, height, width).
        masks: bool (n, height, width), True on the object.

    Returns:
        Located.

    Raises:
        ValueError: as for `pointing_game`.

    Source: Wang et al. 2020 (arXiv:1910.01279), with a mask for the box.
    """
    maps, masks = _check(maps, masks)
    energy = np.maximum(maps, 0)
    says_nothing = energy.max(axis=(1, 2), keepdims=True) == 0
    return _located(np.where(says_nothing, 1, energy), masks)


def rank_correlation(maps, others):
    """How far two maps of an image order its pixels alike.

    Args:
        maps: float (n, height, width).
        others: float (n, height, width), of the same images.

    Returns:
        float (n,), Spearman's, in [-1, 1]; NaN where a map is equal everywhere.

    Raises:
        ValueError: sizes that differ.
    """
    maps = check_numbers("maps", maps, "(n, height, width)")
    others = check_numbers("others", others, f"({', '.join(map(str, maps.shape))})")
    ranks = [stats.rankdata(x.reshape(len(x), -1), axis=1) for x in (maps, others)]
    first, second = (x - x.mean(axis=1, keepdims=True) for x in ranks)
    with np.errstate(invalid="ignore"):  # 0 / 0 where a map has no order
        spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        return (first * second).sum(axis=1) / spread


def _check(maps, masks):
    """Return both as arrays, or say what does not fit."""
    maps = check_numbers("maps", maps, "(n, height, width)").astype(float)
    masks = check_numbers("masks", masks, f"({', '.join(map(str, maps.shape))})")
    if masks.dtype != bool:
        raise ValueError(
            f"Got masks of type {masks.dtype}, expected bool, True on the object; "
            "compare with its number."
        )
    is_empty = ~masks.any(axis=(1, 2))
    if is_empty.any():
        raise ValueError(
            f"Got {is_empty.sum()} masks without an object, the first in row "
            f"{is_empty.argmax()}, expected one in each; leave these images out."
        )
    return maps, masks


def _located(weights, masks):
    inside = (weights * masks).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    return Located(inside, masks.mean(axis=(1, 2)))
