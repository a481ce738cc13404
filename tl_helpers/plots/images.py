"""Images and what a network makes of them."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.datasets.levels import how_to_convert
from tl_helpers.inputs import (
    check_kind,
    check_mapping,
    check_numbers,
    check_positive,
    check_whole,
    shown,
)

SIDE_IN = 1.15  # of one image that is to be judged, not only seen
LETTERS = 16  # of a row's name in a line: as long as an image is high


def show_images(images, titles=None, columns=10, size_in=0.95):
    """Draw a sheet of thumbnails.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        titles: n strings above the images, or None.
        columns: images a row.
        size_in: side of one image in inches.

    Returns:
        matplotlib Figure.

    Raises:
        ValueError: something else than images, or another number of titles.
    """
    check_kind(np.ndarray, list, tuple, images=images)
    check_whole(1, images=len(images), columns=columns)
    check_positive(size_in=size_in)
    for image in images:
        check_image(image)
    titles = checked_titles(titles, len(images))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    titled_rows = sum(
        any(titles[i : i + columns]) for i in range(0, rows * columns, columns)
    )
    height = rows * (size_in + 0.05) + 0.3 * titled_rows
    figure, axes = sheet(rows, columns, (columns * size_in, height))
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(titles[i].replace(" ", "\n"), fontsize=8, pad=2)
    return figure


def sheet(rows, columns, size_in):
    """Return a figure (width, height in inches) and its bare axes, row by row."""
    figure, axes = plt.subplots(rows, columns, figsize=size_in, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, list(axes.flat)


def name_rows(axes, names):
    """Write names up the left side of axes, one a row."""
    look = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 8}
    for axis, name in zip(axes, names, strict=True):
        wrapped = textwrap.fill(name, LETTERS)
        axis.text(-0.04, 0.5, wrapped, transform=axis.transAxes, **look)


def checked_titles(titles, count):
    """Return a title for each of so many images, empty ones for None.

    Args:
        titles: list or tuple of str, or None.
        count: int.

    Raises:
        ValueError: another number of them, or something else.
    """
    check_kind(list, tuple, type(None), titles=titles)
    if titles is None:
        return [""] * count
    if [type(x) for x in titles] != [str] * count:
        raise ValueError(
            f"Got {shown('titles', titles)}, expected one str for each of {count} "
            "images; leave them out for none."
        )
    return list(titles)


def one_of_each(image_set, per_class=1, seed=0):
    """Draw images of every class, one column a class.

    Args:
        image_set: ImageSet.
        per_class: rows of the sheet.
        seed: int, decides which images.

    Returns:
        matplotlib Figure.
    """
    check_kind(ImageSet, image_set=image_set)
    check_whole(1, per_class=per_class)
    check_whole(seed=seed)
    rng = np.random.default_rng(seed)
    picks = [
        rng.choice(np.flatnonzero(image_set.labels == label), per_class, replace=False)
        for label in range(len(image_set.class_names))
    ]
    rows = np.stack(picks, axis=1).ravel()
    blank = [""] * (len(rows) - len(picks))
    titles = [name.replace("_", " ") for name in image_set.class_names] + blank
    return show_images(image_set.pixels(rows), titles, columns=len(picks))


def filters(kernels, columns=12):
    """Draw the kernels of a first convolution as small colour pictures.

    Args:
        kernels: float (height, width, 3, n).
        columns: kernels a row.

    Returns:
        matplotlib Figure.
    """
    kernels = check_numbers("kernels", kernels, "(height, width, 3, n)")
    check_whole(1, columns=columns)
    kernels = np.moveaxis(kernels, -1, 0)
    peak = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    images = np.uint8(127.5 + 127.5 * kernels / np.where(peak > 0, peak, 1))
    return show_images(images, columns=columns, size_in=0.6)


def activation_maps(image, maps, num_channels=6):
    """Draw an image and, a row a block, the channels that answer it most.

    Args:
        image: uint8 (height, width, 3), RGB, [0, 255].
        maps: {block: float (height, width, channels)}.
        num_channels: channels a row.

    Returns:
        matplotlib Figure.
    """
    check_image(image)
    check_mapping(maps=maps)
    check_whole(1, num_channels=num_channels)
    for name, values in maps.items():
        check_numbers(f"maps of {name}", values, "(height, width, channels)")
    figure, axes = plt.subplots(
        len(maps),
        num_channels + 1,
        figsize=(num_channels + 1, 1.02 * len(maps)),
        squeeze=False,
    )
    for row, (block, values) in zip(axes, maps.items(), strict=True):
        strongest = np.argsort(-values.std(axis=(0, 1)))[:num_channels]
        row[0].imshow(image)
        size_px = f"{values.shape[0]}×{values.shape[1]}"
        row[0].set_ylabel(f"{block}\n{size_px}", fontsize=8)
        for axis, channel in zip(row[1:], strongest, strict=True):
            axis.imshow(values[..., channel], cmap="magma")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    return figure


def check_image(image):
    """Refuse what matplotlib would clip: floats are taken for [0, 1] there.

    Args:
        image: uint8 (height, width, 3), RGB, [0, 255].

    Raises:
        ValueError: another shape, or floats above 1.
    """
    image = check_numbers("image", image, "(height, width, 3)")
    if image.dtype != np.uint8 and not 0 <= image.min() <= image.max() <= 1:
        raise ValueError(
            f"Got an image of type {image.dtype} from {image.min():g} to "
            f"{image.max():g}, expected uint8 in [0, 255]; convert with "
            f"{how_to_convert(image)}."
        )
