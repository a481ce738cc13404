"""Mosaics of four images, where a map must point to one of them, not to the middle."""

from dataclasses import replace

import numpy as np

from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.inputs import check_kind, check_whole


def mosaics(images, number, seed=0):
    """Put four images of four classes side by side; one of them is asked for.

    In most data sets the object lies in the middle, and a map that always points there
    scores well on every mask. Here it scores 25%, like one that is equal everywhere.
    The model must take images of twice the size; give images that it answers rightly.

    Args:
        images: ImageSet of at least four classes.
        number: int >= 1, of mosaics.
        seed: int, decides which images, and where the one asked for lies.

    Returns:
        ImageSet of mosaics (2 x height, 2 x width); a label is the class that is asked
        for, extra mask bool (2 x height, 2 x width) is True on its quarter.

    Raises:
        ValueError: no ImageSet, or fewer than four classes with images.

    Source: Böhle et al. 2021 (arXiv:2104.00032), the grid pointing game.
    """
    check_kind(ImageSet, images=images)
    check_whole(1, number=number)
    check_whole(seed=seed)
    rows_of = {k: np.flatnonzero(images.labels == k) for k in np.unique(images.labels)}
    if len(rows_of) < 4:
        raise ValueError(
            f"Got images of {len(rows_of)} classes, expected at least four; take more "
            "images, or fewer of each class."
        )
    rng = np.random.default_rng(seed)
    classes = [rng.choice(list(rows_of), 4, replace=False) for _ in range(number)]
    rows = [[rng.choice(rows_of[k]) for k in four] for four in classes]
    pixels = images.pixels(np.ravel(rows))
    height, width = pixels.shape[1:3]
    grid = pixels.reshape(number, 2, 2, height, width, 3).swapaxes(2, 3)
    place = rng.integers(4, size=number)
    mask = np.zeros((number, 2, 2, height, width), bool)
    mask[np.arange(number), place // 2, place % 2] = True
    return ImageSet(
        grid.reshape(number, 2 * height, 2 * width, 3),
        np.array(classes)[np.arange(number), place],
        images.class_names,
        replace(images.provenance, name=f"mosaics of {images.provenance.name}"),
        {"mask": mask.swapaxes(2, 3).reshape(number, 2 * height, 2 * width)},
    )
