"""Scores -> curves, bars and points with their spread."""

import numpy as np
from matplotlib import ticker

from tl_helpers.evaluation import Calibration, Difference
from tl_helpers.inputs import (
    check_kind,
    check_mapping,
    check_numbers,
    check_positive,
    check_share,
)
from tl_helpers.plots.style import GREY, axes_or_new, marker


def label_efficiency(curves, chance, axis=None):
    """Draw accuracy against labels a class, with the spread over seeds.

    Args:
        curves: {method: {labels a class: (seeds,) accuracies in [0, 1]}}.
        chance: accuracy of guessing, in [0, 1].
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axes_or_new(axis)
    check_mapping(curves=curves)
    for i, (method, points) in enumerate(curves.items()):
        check_mapping(**{str(method): points})
        budgets = sorted(points)
        scores = _table({budget: points[budget] for budget in budgets})
        _line_with_band(axis, budgets, scores, method, marker(i))
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
    axis = axes_or_new(axis)
    check_mapping(accuracies=accuracies)
    check_mapping(**{str(series): points for series, points in accuracies.items()})
    _check_same(accuracies)
    for i, (series, points) in enumerate(accuracies.items()):
        scores = _table(points)
        _line_with_band(axis, np.arange(len(points)), scores, series, marker(i))
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
    check_mapping(scores=scores)
    axis = axes_or_new(axis, figsize=(6.4, 0.7 + 0.55 * len(scores)))
    for i, (method, values) in enumerate(scores.items()):
        values = _percent(method, values)
        axis.barh(i, values.mean(), color=f"C{i}", alpha=0.75, height=0.6)
        axis.plot(values, [i] * len(values), "o", color="black", ms=4, alpha=0.7)
        axis.text(101, i, f"{values.mean():.0f}%", va="center")
    if chance is not None:
        check_share(chance=chance)
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
        differences: {method: {setting: evaluation.Difference}} of accuracies in
            [0, 1], as `ScoreTable.gains` gives them; all have the same settings.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes.
    """
    axis = axes_or_new(axis)
    check_mapping(differences=differences)
    check_mapping(**{str(method): own for method, own in differences.items()})
    _check_same(differences)
    settings = list(next(iter(differences.values())))
    shifts = 0.08 * (np.arange(len(differences)) - (len(differences) - 1) / 2)
    for i, (method, by_setting) in enumerate(differences.items()):
        points = [by_setting[setting] for setting in settings]
        check_kind(Difference, **{f"{method}_{i}": x for i, x in enumerate(points)})
        means = 100 * np.array([point.mean for point in points])
        ends = 100 * np.array([(point.low, point.high) for point in points]).T
        reach = np.abs(ends - means)  # (2, settings)
        places = np.arange(len(settings)) + shifts[i]
        axis.errorbar(places, means, reach, fmt=marker(i), capsize=3, label=method)
    axis.axhline(0, ls="--", color=GREY)
    axis.set_xticks(range(len(settings)), [str(setting) for setting in settings])
    axis.set_xlim(-0.5, len(settings) - 0.5)
    axis.set_xlabel("labels per class")
    axis.set_ylabel("gain over the baseline (points)")
    columns = min(3, len(differences))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns)
    return axis


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
    axis = axes_or_new(axis, figsize=(5, 4.4))
    check_kind(Calibration, calibration=calibration)
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
    axis = axes_or_new(axis)
    check_mapping(accuracies=accuracies, costs=costs)
    check_positive(**{f"cost of {name!r}": costs.get(name) for name in accuracies})
    percents = {name: _percent(name, values) for name, values in accuracies.items()}
    means = {name: values.mean() for name, values in percents.items()}
    front = []
    for name in sorted(means, key=lambda name: (costs[name], -means[name])):
        if not front or means[name] > means[front[-1]]:
            front.append(name)
    for i, (name, values) in enumerate(percents.items()):
        deviation = np.std(values, ddof=1) if len(values) > 1 else 0
        axis.errorbar(costs[name], means[name], deviation, None, marker(i), label=name)
    line = [costs[name] for name in front], [means[name] for name in front]
    axis.plot(*line, drawstyle="steps-post", color="0.7", zorder=0)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel(cost_label)
    axis.set_ylabel("test accuracy (%)")
    return axis


def _percent(name, scores):
    """Return one accuracy, or one a seed, in percent; refuse what is no share."""
    scores = [scores] if np.isscalar(scores) else scores
    values = check_numbers(f"accuracies of {name!r}", scores, "(seeds,)")
    for value in values:
        check_share(**{f"accuracy of {name!r}": value})
    return 100 * values


def _table(points):
    """Return {setting: (seeds,) accuracies} as (settings, seeds), in percent."""
    rows = [_percent(setting, scores) for setting, scores in points.items()]
    if len(set(map(len, rows))) > 1:
        raise ValueError(
            f"Got {[len(row) for row in rows]} seeds, expected as many at every point; "
            "leave out those that others lack."
        )
    return np.stack(rows)


def _check_same(table):
    """Refuse series with other settings than the first: they share the axis."""
    first, *others = map(list, table.values())
    for other in others:
        if other != first:
            raise ValueError(
                f"Got {other} beside {first}, expected the same in the same order, "
                "since they share an axis; leave out what others lack."
            )


def _line_with_band(axis, x, scores, label, marker):
    """One line through the means, a band of one standard deviation, dots for seeds."""
    mean = scores.mean(axis=1)
    deviation = scores.std(axis=1, ddof=1) if scores.shape[1] > 1 else 0 * mean
    (line,) = axis.plot(x, mean, marker=marker, label=label)
    axis.fill_between(
        x, mean - deviation, mean + deviation, alpha=0.2, color=line.get_color()
    )


def _finish_accuracy(axis, chance):
    check_share(chance=chance)
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
