"""Scores of several seeds -> a mean with what chance may do to it."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from tl_helpers.inputs import check_numbers


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


def summarise(values):
    """Mean, standard deviation and confidence interval over seeds.

    Args:
        values: (n,) one finite number a seed, n >= 1.

    Returns:
        Spread.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    values = check_numbers("values", values, "(n,)").astype(float)
    mean = float(values.mean())
    if len(values) == 1:
        return Spread(mean, 0.0, -np.inf, np.inf, 1)
    deviation = float(values.std(ddof=1))
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / np.sqrt(len(values))
    return Spread(mean, deviation, mean - half, mean + half, len(values))
