"""Scores and losses -> curves with their spread."""

import numpy as np
from matplotlib import ticker

from tl_helpers.evaluation import Calibration
from tl_helpers.inputs import (
    check_kind,
    check_mapping,
    check_numbers,
    check_positive,
    check_share,
)
from tl_helpers.plots.intervals import check_names, check_same, percent
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
    check_same(accuracies)
    for i, (series, points) in enumerate(accuracies.items()):
        scores = _table(points)
        _line_with_band(axis, np.arange(len(points)), scores, series, marker(i))
        axis.set_xticks(range(len(points)), list(points))
    axis.set_xlabel("block that features are taken from (input → output)")
    return _finish_accuracy(axis, chance)


def losses(histories, x_label="epoch", axis=None):
    """Draw the loss in training as a line a run, in validation dashed beside it.

    Args:
        histories: {name: history}, each one a keras History, its dictionary with
            "loss" and perhaps "val_loss", or a sequence of losses.
        x_label: what one point stands for.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes, which begins at a loss of 0.

    Raises:
        ValueError: no history, or losses that are no numbers.
    """
    check_mapping(histories=histories)
    axis = axes_or_new(axis)
    for i, (name, history) in enumerate(histories.items()):
        history = getattr(history, "history", history)
        history = history if isinstance(history, dict) else {"loss": history}
        for key, look in (("loss", "-"), ("val_loss", "--")):
            if key == "loss" or key in history:
                values = check_numbers(f"{key} of {name!r}", history.get(key), "(n,)")
                label = f"{name}, validation" if key == "val_loss" else str(name)
                places = np.arange(1, len(values) + 1)
                axis.plot(places, values, look, color=f"C{i}", label=label)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(x_label)
    axis.set_ylabel("loss")
    axis.legend()
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


def pareto(accuracies, costs, cost_label, axis=None, kinds=None, baseline=None):
    """Draw accuracy against cost, with a line through the candidates that none beats.

    A candidate is beaten by one that costs no more and is at least as accurate.

    Args:
        accuracies: {candidate: (seeds,) accuracies in [0, 1]}.
        costs: {candidate: float > 0}.
        cost_label: what the costs are, with their unit.
        axis: matplotlib Axes, or None for a new one.
        kinds: {candidate: str}; candidates of a kind share a colour and a marker, which
            a legend would name; None for one colour.
        baseline: name of the candidate to draw in grey, or None.

    Returns:
        matplotlib Axes, a name at each candidate, without a legend; bars are one
        standard deviation over the seeds.

    Raises:
        ValueError: no accuracies, percent, a cost that is missing or not positive, or
            names that are no candidate.
    """
    axis = axes_or_new(axis)
    check_mapping(accuracies=accuracies, costs=costs)
    check_positive(**{f"cost of {name!r}": costs.get(name) for name in accuracies})
    kinds = {} if kinds is None else kinds
    check_kind(dict, kinds=kinds)
    check_names([baseline, *kinds], accuracies)
    percents = {name: percent(name, values) for name, values in accuracies.items()}
    means = {name: values.mean() for name, values in percents.items()}
    front = _pareto_front(means, costs)
    of_kind = {}  # the first candidate of each kind, which the legend names
    for name in percents:
        if name != baseline:
            of_kind.setdefault(kinds.get(name, ""), name)
    for name, values in percents.items():
        deviation = np.std(values, ddof=1) if len(values) > 1 else 0
        kind = kinds.get(name, "")
        place = list(of_kind).index(kind) if name != baseline else len(of_kind)
        axis.errorbar(
            costs[name],
            means[name],
            deviation,
            fmt=marker(place),
            color=GREY if name == baseline else f"C{place}",
            label=kind if of_kind.get(kind) == name else None,
        )
    _name_points(axis, means, costs, front)
    line = [costs[name] for name in front], [means[name] for name in front]
    axis.plot(*line, drawstyle="steps-post", color="0.7", zorder=0)
    axis.set_xscale("log")
    axis.margins(x=0.2)
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel(cost_label)
    axis.set_ylabel("test accuracy (%)")
    return axis


def _pareto_front(means, costs):
    """Return the names that no other beats, cheapest first."""
    front = []
    for name in sorted(means, key=lambda name: (costs[name], -means[name])):
        if not front or means[name] > means[front[-1]]:
            front.append(name)
    return front


def _name_points(axis, means, costs, front):
    """Write names left of the points, or right of every second one off the front."""
    off_front = sorted(set(means) - set(front), key=means.get)
    for name, height in means.items():
        is_right = name in off_front and off_front.index(name) % 2 == 0
        axis.annotate(
            name,
            (costs[name], height),
            (7 if is_right else -7, 0),
            textcoords="offset points",
            ha="left" if is_right else "right",
            va="center" if name in off_front else "bottom",
            fontsize=9,
        )


def _table(points):
    """Return {setting: (seeds,) accuracies} as (settings, seeds), in percent."""
    rows = [percent(setting, scores) for setting, scores in points.items()]
    if len(set(map(len, rows))) > 1:
        raise ValueError(
            f"Got {[len(row) for row in rows]} seeds, expected as many at every point; "
            "leave out those that others lack."
        )
    return np.stack(rows)


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
