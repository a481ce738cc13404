"""Images in memory, as every network here takes them."""

import numpy as np

from tl_helpers.inputs.arguments import as_array, check_numbers, shown


def check_pixels(images):
    """Refuse what are no RGB images in [0, 255].

    Args:
        images: ImageSet, or uint8 or float (n, height, width, 3).

    Returns:
        float32 (n, height, width, 3).

    Raises:
        ValueError: another shape, no image, or values that lie in another range.
    """
    images = images.pixels() if hasattr(images, "pixels") else images
    images = check_numbers("images", images, "(n, height, width, 3)")
    low, high = images.min(), images.max()
    is_share = images.dtype.kind == "f" and 0 < high <= 1
    if low < 0 or high > 255 or is_share:
        raise ValueError(
            f"Got images of type {images.dtype} from {low:g} to {high:g}, expected "
            "RGB in [0, 255]; multiply shares of 1 by 255, and leave the network's "
            "own preprocessing to the network."
        )
    return images.astype(np.float32)


def check_colours(name, colours, images):
    """Refuse what cannot stand in the place of images.

    Args:
        name: str, for the sentence.
        colours: number, (3,), (height, width, 3) or (n, height, width, 3), RGB,
            [0, 255]; None for the mean colour of each image.
        images: float32 (n, height, width, 3).

    Returns:
        float32 (n, height, width, 3), not to be written to.

    Raises:
        ValueError: another shape, or values outside [0, 255].
    """
    if colours is None:
        colours = images.mean(axis=(1, 2), keepdims=True)
    values = as_array(colours)
    if values.ndim:
        values = check_numbers(name, values, "(...)")
    is_colour = values.dtype.kind in "iuf" and 0 <= values.min() <= values.max() <= 255
    if not is_colour or not _fits(values.shape, images.shape):
        raise ValueError(
            f"Got {shown(name, colours)}, expected a number, (3,) or "
            f"{images.shape}, RGB, in [0, 255]; give the colour that says nothing."
        )
    return np.broadcast_to(values.astype(np.float32), images.shape)


def _fits(shape, wanted):
    """Whether an array can be repeated to a shape."""
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False
