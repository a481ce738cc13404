"""Deletion and insertion: take pixels away in the order of a map, and ask the model."""

from typing import NamedTuple

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import softmax

from tl_helpers.explanation.grad_cam import check_explained
from tl_helpers.inputs import check_colours, check_numbers, check_whole
from tl_helpers.training import predict_logits


class Curve(NamedTuple):
    """Probability of a class while pixels change.

    Attributes:
        shares: float (steps + 1,), share of the pixels that changed, from 0 to 1.
        probabilities: float32 (n, steps + 1), in [0, 1].
    """

    shares: np.ndarray
    probabilities: np.ndarray

    @property
    def areas(self):
        """Area under the curve of each image, float (n,), in [0, 1]."""
        return trapezoid(self.probabilities, self.shares, axis=1)


def deletion(model, images, maps, classes=None, steps=16, fill=None, seed=0):
    """Cover the pixels that a map ranks highest first: a good map has a small area.

    A map that is equal everywhere (`0 * maps`) covers them in random order: the
    baseline. An image half covered is like none that the model learnt from; how far
    it falls for that reason alone is what the baseline shows.

    Args:
        model: as for `grad_cam`, like the image and the class.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        maps: float (n, height, width).
        classes: int, int (n,), or None for what the model answers to the whole image.
        steps: int >= 1, equal parts of the pixels, one after the other.
        fill: what covers them: number, (3,) or images, RGB, [0, 255]; None for the
            mean colour of each image.
        seed: int, orders pixels of one rank.

    Returns:
        Curve, from the whole image to the fill.

    Raises:
        ValueError: as for `grad_cam`, or maps of another size.

    Source: Petsiuk et al. 2018 (arXiv:1806.07421).
    """
    images, classes = check_explained(model, images, classes)
    fill = check_colours("fill", fill, images)
    return _curve(model, images, fill, maps, classes, steps, seed)


def insertion(model, images, maps, classes=None, steps=16, fill=None, seed=0):
    """Uncover the pixels that a map ranks highest first: a good map has a large area.

    Args:
        model: as for `deletion`, like all that follow.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        maps: float (n, height, width).
        classes: int, int (n,), or None for what the model answers to the whole image.
        steps: int >= 1.
        fill: number, (3,) or images, RGB, [0, 255], such as blurred ones; None for
            the mean colour of each image.
        seed: int.

    Returns:
        Curve, from the fill to the whole image.

    Raises:
        ValueError: as for `deletion`.

    Source: Petsiuk et al. 2018 (arXiv:1806.07421).
    """
    images, classes = check_explained(model, images, classes)
    fill = check_colours("fill", fill, images)
    return _curve(model, fill, images, maps, classes, steps, seed)


def _curve(model, before, after, maps, classes, steps, seed):
    """Change pixels from one to the other, those with the highest map first."""
    shape = before.shape[:3]
    maps = check_numbers("maps", maps, f"({', '.join(map(str, shape))})")
    check_whole(1, steps=steps)
    check_whole(seed=seed)
    ranks = _ranks(maps, seed)
    num_pixels = shape[1] * shape[2]
    counts = np.rint(np.linspace(0, num_pixels, steps + 1)).astype(int)
    found = []
    for count in counts:
        is_changed = (ranks < count)[..., None]
        logits = predict_logits(model, np.where(is_changed, after, before))
        found.append(softmax(logits, axis=1)[np.arange(len(classes)), classes])
    return Curve(counts / num_pixels, np.stack(found, axis=1))


def _ranks(maps, seed):
    """Return int (n, height, width): 0 for the highest pixel; ties are drawn."""
    flat = maps.reshape(len(maps), -1)
    drawn = np.random.default_rng(seed).random(flat.shape)
    order = np.lexsort((drawn, -flat.astype(float)), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(maps.shape)
