"""Detections on their images: hits, misses and false alarms."""

import numpy as np
from matplotlib.lines import Line2D

from tl_helpers.inputs import check_class_names, check_kind, check_whole
from tl_helpers.plots.images import check_image, sheet
from tl_helpers.plots.tasks import rectangle

WIDTH_IN, MOST_SIDE_IN = 10, 3.3  # of the sheet, and of one image in it
POINTS = 8.5  # size of the letters
LETTER = 0.6 * POINTS / 72, 1.25 * POINTS / 72  # width and height of one, in inches
LOOKS = {  # colour and line of a hit, a false alarm and a miss
    "hit": {"edgecolor": "#35e0ff", "lw": 1.8, "ls": "-"},
    "false alarm": {"edgecolor": "#ff5ad8", "lw": 1.8, "ls": "--"},
    "missed": {"edgecolor": "white", "lw": 1.8, "ls": ":"},
}
MOST_LETTERS = 10  # of a class's name


def detections(images, judged, class_names, columns=3):
    """Draw what a detector found: hits, false alarms and misses.

    A hit is a solid box with class and score, a false alarm a dashed one with the class
    that it claims, a missed object a dotted one with its class. No name is written over
    another one while there is room.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        judged: list of n `dense.Judged`.
        class_names: one name a class.
        columns: int >= 1, images a row of the sheet.

    Returns:
        matplotlib Figure, with a legend.

    Raises:
        ValueError: lengths that differ, or images of another kind.
    """
    check_kind(np.ndarray, list, tuple, images=images)
    check_kind(list, tuple, judged=judged)
    check_whole(1, images=len(images), columns=columns)
    names = [name[:MOST_LETTERS].strip() for name in check_class_names(class_names)]
    if len(judged) != len(images):
        raise ValueError(
            f"Got {len(judged)} judged images for {len(images)} images, expected one "
            "for each; give both in the same order."
        )
    for image, one in zip(images, judged, strict=True):
        check_image(image)
        if not hasattr(one, "is_hit"):
            raise ValueError(
                f"Got a row of judged of type {type(one).__name__}, expected a Judged; "
                "give what dense.judge returns."
            )
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    side_in = min(WIDTH_IN / columns, MOST_SIDE_IN)
    figure, axes = sheet(lines, columns, (columns * side_in, lines * side_in + 0.3))
    for axis, image, one in zip(axes, images, judged, strict=False):
        axis.imshow(image, interpolation="nearest")
        _draw(axis, one, names, np.shape(image)[1] / side_in)
        axis.set(xlim=(-0.5, np.shape(image)[1] - 0.5))
        axis.set(ylim=(np.shape(image)[0] - 0.5, -0.5))
    _legend(figure)
    return figure


def _draw(axis, one, names, px_an_inch):
    drawn = []  # box, kind, text
    for box, label, score, kind in zip(*one.found, one.kinds, strict=True):
        if kind == "hit":
            drawn.append((box, "hit", f"{names[label]} {score:.0%}"))
        else:
            drawn.append((box, "false alarm", names[label]))
    for box, label in zip(one.boxes[~one.is_hit], one.labels[~one.is_hit], strict=True):
        drawn.append((box, "missed", names[label]))
    written = []  # boxes around the texts, x0, y0, x1, y1 in px
    limits = axis.get_images()[0].get_array().shape[1::-1]  # width and height
    for box, kind, text in sorted(drawn, key=lambda x: list(LOOKS).index(x[1])):
        rectangle(axis, np.asarray(box, float), **LOOKS[kind])
        size = px_an_inch * np.array([LETTER[0] * len(text), LETTER[1]])
        place = _free_place(np.asarray(box, float), size, limits, written)
        written.append(np.concatenate([place, place + size]))
        _write(axis, place, text, LOOKS[kind]["edgecolor"])


def _free_place(box, size, limits, written):
    """Return where a text begins: at the first corner where it covers none before."""
    (x0, y0, x1, y1), (width, height) = box, size
    left, right = x0, x1 - width
    places = np.array(
        [
            (x, y)
            for y in (y0 - height, y1, y0 + 1, y1 - height - 1, (y0 + y1 - height) / 2)
            for x in (left, right)
        ]
    )
    places = np.clip(places, 0, np.maximum(np.array(limits) - size, 0))
    covered = [
        sum(_common_area(np.concatenate([place, place + size]), x) for x in written)
        for place in places
    ]
    return places[np.argmin(covered)]


def _common_area(box, other):
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return np.prod(np.maximum(sides, 0))


def _write(axis, place, text, colour):
    ground = {"facecolor": "black", "alpha": 0.6, "lw": 0, "pad": 0.8}
    look = {"color": colour, "fontsize": POINTS, "va": "top", "bbox": ground}
    axis.text(*place, text, clip_on=True, **look)


def _legend(figure):
    lines = [
        Line2D([], [], color=look["edgecolor"], lw=2, ls=look["ls"], label=kind)
        for kind, look in LOOKS.items()
    ]
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=len(lines),
        fontsize=8,
        frameon=True,
        facecolor="0.35",
        labelcolor="white",
    )
