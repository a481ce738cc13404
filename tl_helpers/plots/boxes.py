"""Detections on their images: hits, misses and false alarms."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from tl_helpers.inputs import check_class_names, check_kind, check_whole
from tl_helpers.plots.images import check_image, sheet
from tl_helpers.plots.tasks import rectangle

SIDE_IN = 2.3  # of one image: class and score have to be read
LOOKS = {  # colour and line of a hit, a false alarm and a miss
    "hit": {"edgecolor": "#35e0ff", "lw": 1.8, "ls": "-"},
    "false alarm": {"edgecolor": "#ff00c8", "lw": 1.8, "ls": "--"},
    "missed": {"edgecolor": "white", "lw": 1.8, "ls": ":"},
}
MOST_LETTERS = 10  # of a class's name


def detections(images, judged, class_names, columns=4):
    """Draw what a detector found: hits, false alarms and misses.

    A hit is a solid box with class and score, a false alarm a dashed one with its kind
    beside them, a missed object a dotted one with its class.

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
    names = [name[:MOST_LETTERS] for name in check_class_names(class_names)]
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
    figure, axes = sheet(lines, columns, (columns * SIDE_IN, lines * SIDE_IN + 0.3))
    for axis, image, one in zip(axes, images, judged, strict=False):
        axis.imshow(image, interpolation="nearest")
        _draw(axis, one, names)
        axis.set(xlim=(-0.5, np.shape(image)[1] - 0.5))
        axis.set(ylim=(np.shape(image)[0] - 0.5, -0.5))
    _legend(figure)
    return figure


def _draw(axis, one, names):
    missed = zip(one.boxes[~one.is_hit], one.labels[~one.is_hit], strict=True)
    for box, label in missed:
        _box(axis, box, "missed", names[label])
    for box, label, score, kind in zip(*one.found, one.kinds, strict=True):
        text = f"{names[label]} {score:.0%}"
        if kind == "hit":
            _box(axis, box, "hit", text)
        else:
            _box(axis, box, "false alarm", f"{text}\n{kind}")


def _box(axis, box, kind, text):
    """Draw a box; write above a hit, below a false alarm, inside what was missed."""
    rectangle(axis, np.asarray(box, float), **LOOKS[kind])
    x0, y0, _, y1 = box
    height, width = axis.get_images()[0].get_array().shape[:2]
    deep = 0.08 * height * (1 + text.count("\n"))
    is_alarm = kind == "false alarm"
    low, high = (0, height - deep) if is_alarm else (deep, 0.99 * height)
    written = axis.text(
        np.clip(x0, 0, 0.6 * width),
        np.clip(y0 if kind == "hit" else y1, low, high),
        text,
        color=LOOKS[kind]["edgecolor"],
        fontsize=7,
        va="top" if is_alarm else "bottom",
        linespacing=0.9,
        clip_on=True,
    )
    written.set_path_effects([withStroke(linewidth=1.6, foreground="black")])


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
