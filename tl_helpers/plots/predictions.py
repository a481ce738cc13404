"""What a classifier answered, image by image."""

import numpy as np

from tl_helpers.inputs import (
    check_class_names,
    check_kind,
    check_labels,
    check_numbers,
    check_rows,
    check_whole,
)
from tl_helpers.plots.images import SIDE_IN, check_image, sheet

RIGHT, WRONG = "#1a7f37", "#c2410c"  # in grey, a wrong one's second line tells
COLUMNS = 8


def answers(images, labels, probabilities, class_names, rows=None, columns=COLUMNS):
    """Draw images with what a classifier says of them, and how sure it is.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        labels: int (n,), the true classes.
        probabilities: float (n, classes) in [0, 1].
        class_names: one name a class.
        rows: int (m,) rows to draw, in this order; None for all.
        columns: images a row of the sheet.

    Returns:
        matplotlib Figure; a wrong answer is red and names the true class below.

    Raises:
        ValueError: lengths that differ, numbers that are no probabilities, or rows
            that are not there.
    """
    class_names = check_class_names(class_names)
    probabilities, labels = _check(images, labels, probabilities, class_names)
    rows = np.arange(len(labels)) if rows is None else check_rows(rows, len(labels))
    check_whole(1, columns=columns, rows=len(rows))
    return _draw(images, labels, probabilities, class_names, rows, columns)


def worst(images, labels, probabilities, class_names, number=8):
    """Draw the images whose true class a classifier gave the lowest probability.

    Args:
        images: as for `answers`, like all that follow.
        labels: int (n,).
        probabilities: float (n, classes).
        class_names: one name a class.
        number: how many, or all where there are fewer.

    Returns:
        matplotlib Figure, the worst first.

    Raises:
        ValueError: as for `answers`.
    """
    class_names = check_class_names(class_names)
    probabilities, labels = _check(images, labels, probabilities, class_names)
    check_whole(1, number=number)
    given = probabilities[np.arange(len(labels)), labels]
    rows = np.argsort(given, kind="stable")[:number]
    return _draw(images, labels, probabilities, class_names, rows, COLUMNS)


def _draw(images, labels, probabilities, class_names, rows, columns):
    """Draw checked rows."""
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = sheet(lines, columns, (columns * SIDE_IN, lines * (SIDE_IN + 0.4)))
    names = [name.replace("_", " ") for name in class_names]
    for axis, row in zip(axes, rows, strict=False):
        answer, truth = probabilities[row].argmax(), labels[row]
        title = f"{names[answer]} {probabilities[row, answer]:.0%}"
        if answer != truth:
            title += f"\nis {names[truth]}"
        axis.imshow(images[row], interpolation="nearest")
        colour = RIGHT if answer == truth else WRONG
        axis.set_title(title, fontsize=7, pad=3, color=colour)
    return figure


def _check(images, labels, probabilities, class_names):
    """Return probabilities and labels as arrays, one of each for every image."""
    num = len(class_names)
    probabilities = check_numbers("probabilities", probabilities, f"(n, {num})")
    if not 0 <= probabilities.min() <= probabilities.max() <= 1 + 1e-6:
        raise ValueError(
            f"Got probabilities from {probabilities.min():g} to "
            f"{probabilities.max():g}, expected [0, 1]; give softmax of the logits."
        )
    check_kind(np.ndarray, list, tuple, images=images)
    if len(images) != len(probabilities):
        raise ValueError(
            f"Got {len(images)} images and {len(probabilities)} rows of probabilities, "
            "expected one row an image; pick the same rows of both."
        )
    for image in images:
        check_image(image)
    return probabilities, check_labels("", probabilities, labels, num)
