"""Classes of pixels over the images that they belong to: the truth and answers."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from tl_helpers.datasets.places import IGNORED, check_pixel_labels
from tl_helpers.inputs import (
    check_class_names,
    check_flag,
    check_kind,
    check_labels,
    check_mapping,
    check_numbers,
    check_whole,
)
from tl_helpers.plots.images import (
    SIDE_IN,
    check_image,
    checked_titles,
    name_rows,
    sheet,
)

TINT = 0.65  # of a class's colour over the grey image
IGNORED_SHADES = 0.25, 0.75  # of a chequer over pixels that nobody asks about


def pixel_answers(
    images, pixel_labels, answers, class_names, titles=None, number=8, worst=False
):
    """Draw a column an image: the image, its true classes, and what was answered.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        pixel_labels: int (n, height, width), 0 for the ground, 1 + class on an object,
            255 where ignored, which is drawn as a chequer.
        answers: {name: int (n, height, width)} in [0, classes], a row of the sheet
            each; or such an array; or None for the truth alone.
        class_names: one name a class, without the ground, as in an ImageSet.
        titles: n strings above the images, or None.
        number: how many images to draw, or all where there are fewer.
        worst: whether those come first of whose known pixels the last answer has the
            most wrong; False keeps the order.

    Returns:
        matplotlib Figure, one colour a class, with a legend.

    Raises:
        ValueError: lengths or sizes that differ, or values that are no class.
    """
    names = check_class_names(class_names)
    check_kind(np.ndarray, list, tuple, images=images)
    check_whole(1, images=len(images), number=number)
    check_flag(worst=worst)
    for image in images:
        check_image(image)
    sides = {np.shape(image)[:2] for image in images}
    if len(sides) > 1:
        raise ValueError(
            f"Got images of sizes {sorted(sides)}, expected one; resize them alike."
        )
    side = sides.pop()
    truth = check_pixel_labels(pixel_labels, side, len(names) + 1)
    if len(truth) != len(images):
        raise ValueError(
            f"Got {len(truth)} masks for {len(images)} images, expected one for each; "
            "pick the same rows of both."
        )
    answers = _checked_answers(answers, truth.shape, len(names) + 1)
    titles = checked_titles(titles, len(images))
    columns = np.arange(len(images))
    if worst and answers:
        last = list(answers.values())[-1]
        columns = np.argsort(-share_wrong(truth, last), kind="stable")
    return _draw(images, truth, answers, names, titles, columns[:number])


def share_wrong(pixel_labels, answers):
    """Share of each image's known pixels that are answered wrongly, float (n,).

    Args:
        pixel_labels: int (n, height, width), 255 where ignored.
        answers: int (n, height, width).
    """
    known = pixel_labels != IGNORED
    wrong = known & (pixel_labels != answers)
    return wrong.sum(axis=(1, 2)) / known.sum(axis=(1, 2))


def _checked_answers(answers, shape, num_classes):
    """Return {name: int (n, height, width)}."""
    if answers is None:
        return {}
    answers = answers if isinstance(answers, dict) else {"answer": answers}
    check_mapping(answers=answers)
    expected = f"({', '.join(map(str, shape))})"
    for name, own in answers.items():
        own = check_numbers(f"answers of {name!r}", own, expected)
        check_labels("answered", None, own.ravel(), num_classes)
    return {str(name): np.asarray(own) for name, own in answers.items()}


def _draw(images, truth, answers, names, titles, columns):
    """Draw checked columns: image, truth, a row an answer."""
    rows = {"truth": truth, **answers}
    deep = 0.2 * max(1 + titles[i].count("\n") for i in columns) if any(titles) else 0
    size_in = len(columns) * SIDE_IN + 0.3, (len(rows) + 1) * SIDE_IN + deep + 0.4
    figure, axes = sheet(len(rows) + 1, len(columns), size_in)
    axes = np.reshape(axes, (len(rows) + 1, len(columns)))
    for place, column in enumerate(columns):
        axes[0, place].imshow(images[column], interpolation="nearest")
        axes[0, place].set_title(titles[column], fontsize=8, pad=3)
        for axis, classes in zip(axes[1:, place], rows.values(), strict=True):
            own = _tinted(images[column], classes[column])
            axis.imshow(own, interpolation="nearest")
    name_rows(axes[:, 0], ["image", *rows])
    handles = [Patch(color=_colour(1 + k), label=x) for k, x in enumerate(names)]
    if (truth[columns] == IGNORED).any():
        handles.append(Patch(fc="0.75", ec="0.25", hatch="xxx", label="ignored"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6, len(handles)),
        fontsize=8,
    )
    return figure


def _tinted(image, classes):
    """The image in grey, a class's colour over its pixels: float (h, w, 3), [0, 1]."""
    grey = np.asarray(image).mean(axis=-1) / 255
    shown = np.repeat(grey[..., None], 3, axis=-1)
    for value in np.unique(classes[(classes > 0) & (classes != IGNORED)]):
        where = classes == value
        shown[where] = (1 - TINT) * shown[where] + TINT * np.array(_colour(value))
    height, width = classes.shape
    chequer = np.add.outer(np.arange(height) // 2, np.arange(width) // 2) % 2
    where = classes == IGNORED
    shown[where] = np.take(IGNORED_SHADES, chequer)[where][:, None]
    return shown


def _colour(value):
    """RGB of class `value` - 1; the ten colours repeat."""
    return to_rgb(f"C{(int(value) - 1) % 10}")
