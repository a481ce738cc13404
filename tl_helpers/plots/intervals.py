"""Methods beside each other: a row a method, with its interval."""

import numpy as np
from matplotlib.lines import Line2D

from tl_helpers.evaluation import Difference, summarise
from tl_helpers.inputs import check_kind, check_mapping, check_numbers, check_share
from tl_helpers.plots.style import GREY, axes_or_new, marker

LEAST_WIDTH = 5  # points: a smaller difference shall not look large
ROW_IN = 0.36  # height of a row in inches


def scores(scores, baseline=None, oracle=None, chance=None, kinds=None, axis=None):
    """Draw a row a method: its mean, the 95% interval of the mean, a dot a seed.

    The axis reaches as far as the numbers do, and no further.

    Args:
        scores: {method: (seeds,) accuracies in [0, 1]}, or an `evaluation.ScoreTable`
            without settings, whose `test_share` then corrects the intervals.
        baseline: name of the row that others are held against: grey, with a line
            through its mean; or None.
        oracle: name of the row that saw what no other may: hollow, dashed; or None.
        chance: accuracy of guessing, in [0, 1], drawn where it is in sight; or None.
        kinds: {method: str}; methods of a kind share a colour, which the legend names;
            None for one colour.
        axis: matplotlib Axes, or None for a new one.

    Returns:
        matplotlib Axes, in percent; one seed has no interval.

    Raises:
        ValueError: percent, no scores, or names that are no row.
    """
    check_mapping(scores=scores)
    kinds = {} if kinds is None else kinds
    check_kind(dict, kinds=kinds)
    check_names([baseline, oracle, *kinds], scores, "the rows ")
    axis = axes_or_new(axis, figsize=(8, 0.8 + ROW_IN * len(scores)))
    colours = {kind: f"C{i}" for i, kind in enumerate(dict.fromkeys(kinds.values()))}
    ends = []
    for row, (method, values) in enumerate(scores.items()):
        values = percent(method, values)
        spread = summarise(values, getattr(scores, "test_share", None))
        colour = GREY if method == baseline else colours.get(kinds.get(method), "C0")
        ends += _row(axis, row, values, spread, colour, method == oracle)
        if method == baseline:
            axis.axvline(spread.mean, ls="--", color=GREY, zorder=1)
    _look_closely(axis, np.array(ends), chance)
    axis.set_yticks(range(len(scores)), list(scores))
    axis.set_ylim(len(scores) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("test accuracy (%): mean, its 95% interval, a dot a seed")
    if colours:
        handles = [
            Line2D([], [], marker="o", color=colour, label=kind)
            for kind, colour in colours.items()
        ]
        columns = min(4, len(handles))
        axis.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns
        )
    return axis


def _row(axis, row, values, spread, colour, is_oracle):
    """Draw a row in percent; return all that has to be in sight."""
    look = {"mfc": "white", "color": "black"} if is_oracle else {"color": colour}
    reach = spread.mean - spread.low if len(values) > 1 else 0
    drawn = axis.errorbar(
        spread.mean, row, xerr=reach, fmt="o", capsize=3, zorder=3, **look
    )
    if is_oracle:
        drawn[2][0].set_linestyle("--")
    axis.plot(values, 0 * values + row, ".", color=look["color"], ms=4, alpha=0.5)
    beside = axis.get_yaxis_transform()  # x in parts of the width, y in rows
    axis.text(1.01, row, f"{spread.mean:.1f}", va="center", transform=beside)
    return [*values, spread.mean - reach, spread.mean + reach]


def gains(differences, axis=None, legend=True):
    """Draw gains over a baseline with their 95% intervals, beside a line at zero.

    Args:
        differences: {method: {setting: evaluation.Difference}} of accuracies in
            [0, 1], as `ScoreTable.gains` gives them; all have the same settings.
        axis: matplotlib Axes, or None for a new one.
        legend: whether to name the methods; of two panels one is enough.

    Returns:
        matplotlib Axes.
    """
    axis = axes_or_new(axis)
    check_mapping(differences=differences)
    check_mapping(**{str(method): own for method, own in differences.items()})
    check_kind(bool, legend=legend)
    check_same(differences)
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
    if legend:
        columns = min(3, len(differences))
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns)
    return axis


def percent(name, scores):
    """Return one accuracy, or one a seed, in percent; refuse what is no share."""
    scores = [scores] if np.isscalar(scores) else scores
    values = check_numbers(f"accuracies of {name!r}", scores, "(seeds,)")
    for value in values:
        check_share(**{f"accuracy of {name!r}": value})
    return 100 * values


def check_names(names, known, what=""):
    """Refuse a name, but None, that is not among the known ones.

    Args:
        names: list of names and None.
        known: mapping or sequence of names.
        what: str, what they are, followed by a space.

    Raises:
        ValueError: such a name.
    """
    for name in names:
        if name is not None and name not in list(known):
            raise ValueError(
                f"Got {name!r}, expected one of {what}{', '.join(map(str, known))}."
            )


def check_same(table):
    """Refuse series with other settings than the first: they share the axis."""
    first, *others = map(list, table.values())
    for other in others:
        if other != first:
            raise ValueError(
                f"Got {other} beside {first}, expected the same in the same order, "
                "since they share an axis; leave out what others lack."
            )


def _look_closely(axis, ends, chance):
    """Set the limits to where the numbers are, in percent; draw chance if in sight."""
    low, high = max(0, ends.min()), min(100, ends.max())
    room = max(0.06 * (high - low), (LEAST_WIDTH - high + low) / 2)
    low, high = low - room, high + room
    if chance is not None:
        check_share(chance=chance)
        if low - (high - low) / 4 < 100 * chance < high:
            low = min(low, 100 * chance - room)
            axis.axvline(100 * chance, ls=":", color=GREY, zorder=1)
            above = axis.get_xaxis_transform()  # x in percent, y in parts of the height
            axis.text(
                100 * chance, 0.02, " chance", color=GREY, fontsize=9, transform=above
            )
    axis.set_xlim(low, high)
