"""Maps that explain answers, over the images that they explain."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable

from tl_helpers.inputs import check_kind, check_mapping, check_numbers, check_whole
from tl_helpers.plots.images import (
    SIDE_IN,
    check_image,
    checked_titles,
    name_rows,
    sheet,
)

COLOURS = "inferno"
SHADE = 0.75  # of the grey image: what lies on it is to stand out
OPAQUE = 0.85  # of the colours at a map's highest values; 0 at value 0
TOP = 0.99  # of the pixels: maps of single dots would else show one dot


def explanations(images, maps, titles=None, number=8, masks=None):
    """Draw a column an image: the image, and a row a map of what speaks for its class.

    Every map has a unit of its own, what all but its highest 1% of pixels stay below;
    what lies below 0 speaks against the class, and is left out.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        maps: {name: float (n, height, width)}, a row each; or such an array.
        titles: n strings above the images, or None.
        number: how many images to draw, or all where there are fewer.
        masks: bool (n, height, width), True on the object, whose outline is drawn in
            white; or None.

    Returns:
        matplotlib Figure, with a bar that says what the colours mean.

    Raises:
        ValueError: lengths or sizes that differ, or something else than images.
    """
    check_kind(np.ndarray, list, tuple, images=images)
    check_whole(1, images=len(images), number=number)
    for image in images:
        check_image(image)
    size = f"({len(images)}, {', '.join(map(str, np.shape(images[0])[:2]))})"
    images = check_numbers("images", images, f"{size[:-1]}, 3)")
    maps = maps if isinstance(maps, dict) else {"map": maps}
    check_mapping(maps=maps)
    maps = {str(k): check_numbers(f"maps of {k!r}", x, size) for k, x in maps.items()}
    if masks is not None:
        masks = check_numbers("masks", masks, size)
    titles = checked_titles(titles, len(images))
    return _draw(images[:number], maps, titles[:number], masks)


def _draw(images, maps, titles, masks):
    """Draw checked columns: image, a row a map."""
    deep = 0.2 * max(1 + x.count("\n") for x in titles) if any(titles) else 0
    size_in = len(images) * SIDE_IN + 1, (len(maps) + 1) * SIDE_IN + deep + 0.1
    figure, axes = sheet(len(maps) + 1, len(images), size_in)
    axes = np.reshape(axes, (len(maps) + 1, len(images)))
    for i, image in enumerate(images):
        axes[0, i].imshow(image, interpolation="nearest")
        axes[0, i].set_title(titles[i], fontsize=8, pad=3)
        for axis, values in zip(axes[1:, i], maps.values(), strict=True):
            axis.imshow(_overlaid(image, values[i]), interpolation="nearest")
            if masks is not None:
                axis.contour(masks[i], [0.5], colors="white", linewidths=0.8)
    name_rows(axes[:, 0], ["image", *maps])
    bar = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=axes, fraction=0.02)
    bar.set_label("share of the map's highest values", fontsize=8)
    return figure


def _overlaid(image, values):
    """The image in grey, a map over it: float (height, width, 3), [0, 1]."""
    scale = 255 if image.dtype == np.uint8 else 1
    grey = SHADE * image.mean(axis=-1, keepdims=True) / scale
    top = np.quantile(values, TOP, method="higher")
    unit = max(top if top > 0 else values.max(), np.finfo(float).tiny)
    share = np.clip(values / unit, 0, 1)
    colours = plt.get_cmap(COLOURS)(share)[..., :3]
    return grey + OPAQUE * share[..., None] * (colours - grey)
