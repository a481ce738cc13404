"""Features in two dimensions, and tables of numbers as colours."""

import matplotlib.pyplot as plt
import numpy as np

from tl_helpers.inputs import (
    check_class_names,
    check_labels,
    check_mapping,
    check_numbers,
    shown,
)
from tl_helpers.plots.style import MARKERS, axes_or_new


def feature_map(points, labels, class_names, axis=None, only=None):
    """Draw features in two dimensions, one marker a class.

    Args:
        points: float (n, 2).
        labels: int (n,).
        class_names: one name a label.
        axis: matplotlib Axes, or None for a new one.
        only: names of the classes in colour, before the others in grey; None for all.

    Returns:
        matplotlib Axes.

    Raises:
        ValueError: tables that do not fit, or a name that is no class.
    """
    axis = axes_or_new(axis, figsize=(5, 4.4))
    points = check_numbers("points", points, "(n, 2)")
    class_names = check_class_names(class_names)
    labels = check_labels("", points, labels, len(class_names))
    only = class_names if only is None else check_class_names(only)
    for name in only:
        if name not in class_names:
            raise ValueError(
                f"Got {name!r} in only, expected one of {', '.join(class_names)}."
            )
    others = np.isin(labels, [class_names.index(name) for name in only], invert=True)
    if others.any():
        axis.plot(*points[others].T, ".", ms=5, color="0.8", label="other classes")
    for name in only:
        label = class_names.index(name)
        rows = labels == label
        axis.plot(
            *points[rows].T,
            MARKERS[label % len(MARKERS)],
            ms=6,
            alpha=0.75,
            mew=0,
            label=name.replace("_", " "),
        )
    return _bare_map(axis)


def domains(source, target, names=("source", "target"), axis=None):
    """Draw the features of two domains in two dimensions, one marker a domain.

    Args:
        source: float (n, 2).
        target: float (m, 2), on the same map.
        names: what the two are called in the legend.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axes_or_new(axis, figsize=(5, 4.4))
    looks = ({"marker": "o", "mew": 0}, {"marker": "x", "mew": 1.2})
    if not isinstance(names, tuple | list) or len(names) != 2:
        raise ValueError(
            f"Got {shown('names', names)}, expected two; name the domains."
        )
    for points in (source, target):
        check_numbers("points", points, "(n, 2)")
    for points, name, look in zip((source, target), names, looks, strict=True):
        axis.plot(*np.transpose(points), ls="", ms=4.5, alpha=0.6, label=name, **look)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, markerscale=1.5)
    return _bare_map(axis)


def confusion_matrix(counts, class_names, axis=None):
    """Draw which classes are taken for which, in percent of the true class.

    Args:
        counts: int (classes, classes), rows true, columns answered.
        class_names: one name a class.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axes_or_new(axis, figsize=(5.4, 4.6))
    class_names = check_class_names(class_names)
    num = len(class_names)
    counts = check_numbers("counts", counts, f"({num}, {num})")
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 1:
            colour = "white" if share > 55 else "black"
            axis.text(
                column, row, f"{share:.0f}", ha="center", va="center", color=colour
            )
    names = [name.replace("_", " ") for name in class_names]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("answer")
    axis.set_ylabel("truth")
    axis.grid(visible=False)
    return axis


def cosines(tables, names):
    """Draw how far each two directions agree: blue together, red apart.

    Args:
        tables: {title: float (n, n)} of cosines in [-1, 1]; NaN stays blank.
        names: n strings, what the directions belong to.

    Returns:
        matplotlib Figure.
    """
    check_mapping(tables=tables)
    num = len(check_class_names(names))
    for title, table in tables.items():
        check_numbers(f"cosines of {title}", table, f"({num}, {num})", finite=False)
        if not np.nanmax(np.abs(table), initial=0) <= 1 + 1e-6:
            raise ValueError(
                f"Got numbers up to {np.nanmax(np.abs(table)):g} in {title}, expected "
                "cosines in [-1, 1]; divide by the lengths first."
            )
    width_in = 0.8 + 3.2 * len(tables)
    figure, axes = plt.subplots(1, len(tables), figsize=(width_in, 3), squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        picture = axis.imshow(table, vmin=-1, vmax=1, cmap="RdBu")
        for (row, column), value in np.ndenumerate(table):
            text = "" if np.isnan(value) else f"{value:.2f}"
            colour = "white" if abs(value) > 0.6 else "black"
            axis.text(column, row, text, ha="center", va="center", color=colour)
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(names)), names)
        axis.grid(visible=False)
        axis.set_title(title)
    figure.colorbar(picture, ax=axes, label="cosine")
    return figure


def _bare_map(axis):
    """Take away the ticks: the axes of a map of features have no unit."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel("map, first axis")
    axis.set_ylabel("map, second axis")
    axis.grid(visible=False)
    return axis
