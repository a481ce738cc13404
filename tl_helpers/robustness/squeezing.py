"""Feature squeezing: an answer that a coarser image does not share is suspicious."""

import numpy as np
from scipy import ndimage
from scipy.special import softmax

from tl_helpers.inputs import check_pixels, check_whole
from tl_helpers.training import predict_logits


def reduce_bits(images, bits=4):
    """Round images to few grey levels a colour.

    Args:
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        bits: int from 1 to 8, of each colour.

    Returns:
        float32 (n, height, width, 3), RGB, [0, 255], of 2^bits levels.

    Raises:
        ValueError: no images, or another number of bits.
    """
    images = check_pixels(images)
    check_whole(1, bits=bits)
    if bits > 8:
        raise ValueError(f"Got bits={bits}, expected 1 to 8, which is all there are.")
    step = np.float32(255 / (2**bits - 1))
    return np.rint(images / step) * step


def median_filter(images, size_px=3):
    """Replace every value by the median of its neighbourhood, colour by colour.

    Args:
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        size_px: int >= 1, side of the neighbourhood.

    Returns:
        float32 (n, height, width, 3), RGB, [0, 255].

    Raises:
        ValueError: no images, or no whole number.
    """
    images = check_pixels(images)
    check_whole(1, size_px=size_px)
    return ndimage.median_filter(images, (1, size_px, size_px, 1))


def squeezing_score(model, images, bits=4, size_px=3):
    """How far a model's probabilities move when the image is made coarser.

    Args:
        model: keras.Model from images to logits.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        bits: as for `reduce_bits`.
        size_px: as for `median_filter`.

    Returns:
        float (n,), in [0, 2]: sum over the classes of the difference, for that of the
        two that moves them more. The higher, the more like an attack.

    Raises:
        ValueError: a model that does not take the images, or numbers out of range.

    Source: Xu et al. 2018 (arXiv:1704.01155).
    """
    images = check_pixels(images)
    squeezed = reduce_bits(images, bits), median_filter(images, size_px)
    plain, *others = (
        softmax(predict_logits(model, x).astype(float), axis=1)
        for x in (images, *squeezed)
    )
    return np.max([np.abs(plain - other).sum(axis=1) for other in others], axis=0)
