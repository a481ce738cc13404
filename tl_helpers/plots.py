"""Numbers -> matplotlib Axes; takes arrays, never models."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

MARKERS = "osD^vPX*<>"
GREY = "0.45"


def use_style():
    """Set the course's look: colour-blind-safe colours, quiet axes, sharp text."""
    plt.style.use("petroff10")
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "figure.figsize": (6.4, 3.8),
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "0.9",
            "legend.frameon": False,
            "lines.markersize": 6,
            "font.size": 10.5,
        }
    )


def show_images(images, titles=None, columns=10, size_in=0.95):
    """Draw a sheet of thumbnails.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        titles: n strings above the images, or None.
        columns: images a row.
        size_in: side of one image in inches.

    Returns:
        matplotlib Figure.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    titles = [""] * len(images) if titles is None else titles
    titled_rows = sum(
        any(titles[i : i + columns]) for i in range(0, rows * columns, columns)
    )
    height = rows * (size_in + 0.05) + 0.3 * titled_rows
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size_in, height), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(titles[i].replace(" ", "\n"), fontsize=8, pad=2)
    return figure


def one_of_each(image_set, per_class=1, seed=0):
    """Draw images of every class, one column a class.

    Args:
        image_set: ImageSet.
        per_class: rows of the sheet.
        seed: int, decides which images.

    Returns:
        matplotlib Figure.
    """
    rng = np.random.default_rng(seed)
    picks = [
        rng.choice(np.flatnonzero(image_set.labels == label), per_class, replace=False)
        for label in range(len(image_set.class_names))
    ]
    rows = np.stack(picks, axis=1).ravel()
    blank = [""] * (len(rows) - len(picks))
    titles = [name.replace("_", " ") for name in image_set.class_names] + blank
    return show_images(image_set.pixels(rows), titles, columns=len(picks))


def label_efficiency(curves, chance, axis=None):
    """Draw accuracy against labels a class, with the spread over seeds.

    Args:
        curves: {method: {labels a class: (seeds,) accuracies in [0, 1]}}.
        chance: accuracy of guessing, in [0, 1].
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axis or plt.subplots()[1]
    for i, (method, points) in enumerate(curves.items()):
        budgets = sorted(points)
        scores = np.array([points[budget] for budget in budgets]) * 100
        _line_with_band(axis, budgets, scores, method, MARKERS[i])
    budgets = sorted({budget for points in curves.values() for budget in points})
    axis.set_xscale("log")
    axis.set_xticks(budgets, [str(budget) for budget in budgets])
    axis.minorticks_off()
    axis.set_xlabel("labelled images a class")
    return _finish_accuracy(axis, chance)


def layer_choice(accuracies, chance, axis=None):
    """Draw accuracy against the block that features are taken from.

    Args:
        accuracies: {series: {block: (seeds,) accuracies in [0, 1]}}; all series name
            the same blocks.
        chance: accuracy of guessing, in [0, 1].
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axis or plt.subplots()[1]
    for i, (series, points) in enumerate(accuracies.items()):
        scores = np.array([points[block] for block in points]) * 100
        _line_with_band(axis, np.arange(len(points)), scores, series, MARKERS[i])
        axis.set_xticks(range(len(points)), list(points))
    axis.set_xlabel("block that features are taken from (input → output)")
    return _finish_accuracy(axis, chance)


def bars(scores, chance=None, axis=None):
    """Draw one bar a method, with a dot for every seed.

    Args:
        scores: {method: (seeds,) accuracies in [0, 1]}.
        chance: accuracy of guessing, in [0, 1], or None.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axis or plt.subplots(figsize=(6.4, 0.7 + 0.55 * len(scores)))[1]
    for i, values in enumerate(scores.values()):
        values = 100 * np.atleast_1d(values)
        axis.barh(i, values.mean(), color=f"C{i}", alpha=0.75, height=0.6)
        axis.plot(values, [i] * len(values), "o", color="black", ms=4, alpha=0.7)
        axis.text(101, i, f"{values.mean():.0f}%", va="center")
    if chance is not None:
        axis.axvline(100 * chance, ls="--", color=GREY)
    axis.set_yticks(range(len(scores)), list(scores))
    axis.tick_params(axis="y", length=0)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("test accuracy (%); dots are seeds")
    return axis


def gains(differences, axis=None):
    """Draw gains over a baseline with their 95% intervals, beside a line at zero.

    Args:
        differences: {method: {setting: evaluation.Spread}} of accuracies in [0, 1], as
            from `evaluation.compare_paired`; all methods have the same settings.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axis or plt.subplots()[1]
    settings = list(next(iter(differences.values())))
    shifts = 0.08 * (np.arange(len(differences)) - (len(differences) - 1) / 2)
    for i, (method, spreads) in enumerate(differences.items()):
        points = [spreads[setting] for setting in settings]
        means = 100 * np.array([point.mean for point in points])
        ends = 100 * np.array([(point.low, point.high) for point in points]).T
        reach = np.abs(ends - means)
        places = np.arange(len(settings)) + shifts[i]
        axis.errorbar(places, means, reach, fmt=MARKERS[i], capsize=3, label=method)
    axis.axhline(0, ls="--", color=GREY)
    axis.set_xticks(range(len(settings)), [str(setting) for setting in settings])
    axis.set_xlim(-0.5, len(settings) - 0.5)
    axis.set_xlabel("labels per class")
    axis.set_ylabel("gain over the baseline (points)")
    columns = min(3, len(differences))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns)
    return axis


def feature_map(points, labels, class_names, axis=None):
    """Draw features in two dimensions, one marker a class.

    Args:
        points: float (n, 2).
        labels: int (n,).
        class_names: one name a label.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axis or plt.subplots(figsize=(5, 4.4))[1]
    for label, name in enumerate(class_names):
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
    axis = axis or plt.subplots(figsize=(5, 4.4))[1]
    looks = ({"marker": "o", "mew": 0}, {"marker": "x", "mew": 1.2})
    for points, name, look in zip((source, target), names, looks, strict=True):
        axis.plot(*np.transpose(points), ls="", ms=4.5, alpha=0.6, label=name, **look)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, markerscale=1.5)
    return _bare_map(axis)


def filters(kernels, columns=12):
    """Draw the kernels of a first convolution as small colour pictures.

    Args:
        kernels: float (height, width, 3, n).
        columns: kernels a row.

    Returns:
        matplotlib Figure.
    """
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


def confusion_matrix(counts, class_names, axis=None):
    """Draw which classes are taken for which, in percent of the true class.

    Args:
        counts: int (classes, classes), rows true, columns answered.
        class_names: one name a class.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axis or plt.subplots(figsize=(5.4, 4.6))[1]
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


def reliability(calibration, axis=None):
    """Draw how often a model is right against how sure it is, with a diagonal.

    Bars below the diagonal are overconfident answers.

    Args:
        calibration: evaluation.Calibration, from `evaluation.calibration_curve`.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes; both axes are in percent, the outline is the share of the
        images that each bin holds, and the legend has the calibration error.
    """
    axis = axis or plt.subplots(figsize=(5, 4.4))[1]
    edges = np.linspace(0, 100, len(calibration.share) + 1)
    label = f"accuracy (calibration error {100 * calibration.error:.1f} points)"
    heights = 100 * np.nan_to_num(calibration.accuracy)
    widths = np.diff(edges)
    axis.bar(edges[:-1], heights, widths, align="edge", ec="white", label=label)
    axis.stairs(100 * calibration.share, edges, color="black", label="share of images")
    axis.plot([0, 100], [0, 100], "--", color=GREY, label="as often right as sure")
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 100)
    axis.set_xlabel("confidence (%)")
    axis.set_ylabel("accuracy, share of images (%)")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    return axis


def pareto(accuracies, costs, cost_label, axis=None):
    """Draw accuracy against cost, with a line through the candidates that none beats.

    A candidate is beaten by one that costs no more and is at least as accurate.

    Args:
        accuracies: {candidate: (seeds,) accuracies in [0, 1]}.
        costs: {candidate: float > 0}.
        cost_label: what the costs are, with their unit.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes without a legend, which several can share; bars are one
        standard deviation over the seeds.
    """
    axis = axis or plt.subplots()[1]
    means = {name: 100 * np.mean(values) for name, values in accuracies.items()}
    front = []
    for name in sorted(means, key=lambda name: (costs[name], -means[name])):
        if not front or means[name] > means[front[-1]]:
            front.append(name)
    for i, (name, values) in enumerate(accuracies.items()):
        deviation = 100 * np.std(values, ddof=1) if np.size(values) > 1 else 0
        marker = MARKERS[(i + i // 10) % len(MARKERS)]  # colours repeat after ten
        axis.errorbar(costs[name], means[name], deviation, None, marker, label=name)
    line = [costs[name] for name in front], [means[name] for name in front]
    axis.plot(*line, drawstyle="steps-post", color="0.7", zorder=0)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel(cost_label)
    axis.set_ylabel("test accuracy (%)")
    return axis


def _bare_map(axis):
    """Take away the ticks: the axes of a map of features have no unit."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel("map, first axis")
    axis.set_ylabel("map, second axis")
    axis.grid(visible=False)
    return axis


def _line_with_band(axis, x, scores, label, marker):
    """One line through the means, a band of one standard deviation, dots for seeds."""
    mean = scores.mean(axis=1)
    deviation = scores.std(axis=1, ddof=1) if scores.shape[1] > 1 else 0 * mean
    (line,) = axis.plot(x, mean, marker=marker, label=label)
    axis.fill_between(
        x, mean - deviation, mean + deviation, alpha=0.2, color=line.get_color()
    )


def _finish_accuracy(axis, chance):
    axis.axhline(100 * chance, ls="--", color=GREY)
    axis.annotate(
        "chance",
        (0.995, 100 * chance),
        xycoords=("axes fraction", "data"),
        va="bottom",
        ha="right",
        color=GREY,
        fontsize=9,
    )
    axis.set_ylim(0, 100)
    axis.set_ylabel("test accuracy (%)")
    num_columns = min(3, len(axis.get_lines()) - 1)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=num_columns)
    return axis
