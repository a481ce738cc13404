"""Scores of several seeds -> a mean with what chance may do to it."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from tl_helpers.evaluation.sentence import difference_sentence


class Spread(NamedTuple):
    """A mean with what several seeds say about it.

    Attributes:
        mean: float.
        deviation: sample standard deviation (n - 1); 0 for one value.
        low: lower end of the 95% confidence interval of the mean (Student's t).
        high: its upper end.
        num_seeds: int.
    """

    mean: float
    deviation: float
    low: float
    high: float
    num_seeds: int

    def __str__(self):
        """Return for example '81.3 ± 1.2 %', from values in [0, 1]."""
        return f"{100 * self.mean:.1f} ± {100 * self.deviation:.1f} %"

    def describe(self):
        """Return a difference as a sentence, 'better by 3.1 points, ...'.

        For what `compare_paired` returns: the spread of a difference of accuracies,
        not of an accuracy.
        """
        return difference_sentence(self.mean, self.low, self.high)


def summarise(values):
    """Mean, standard deviation and confidence interval over seeds.

    Args:
        values: (n,) one number a seed, n >= 1.

    Returns:
        Spread.

    Raises:
        ValueError: no value.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"Got values of shape {values.shape}, expected one number for each seed."
        )
    mean = float(values.mean())
    if len(values) == 1:
        return Spread(mean, 0.0, -np.inf, np.inf, 1)
    deviation = float(values.std(ddof=1))
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / np.sqrt(len(values))
    return Spread(mean, deviation, mean - half, mean + half, len(values))


def compare_paired(values, baseline):
    """Difference of two methods that saw the same seeds.

    Args:
        values: (n,) scores of a method, one a seed.
        baseline: (n,) scores of the other on the same seeds, in the same order.

    Returns:
        Spread of `values - baseline`; an interval above 0 is a gain that the seeds
        agree on, and `describe()` says it as a sentence.

    Raises:
        ValueError: lengths differ.
    """
    if len(values) != len(baseline):
        raise ValueError(
            f"Got {len(values)} and {len(baseline)} scores, expected one of each for "
            "every seed."
        )
    return summarise(np.asarray(values, float) - np.asarray(baseline, float))


def format_table(scores):
    """Write accuracies as text, one line a method, one column a setting.

    Args:
        scores: {method: {setting: (seeds,) accuracies in [0, 1]}}; all methods have
            the same settings.

    Returns:
        str, for `print`.
    """
    width = max(map(len, scores))
    settings = list(next(iter(scores.values())))
    lines = [" ".join([" " * width, *(f"{setting!s:>13}" for setting in settings)])]
    for method, by_setting in scores.items():
        cells = [f"{summarise(by_setting[setting])!s:>13}" for setting in settings]
        lines.append(" ".join([f"{method:{width}}", *cells]))
    return "\n".join(lines)
