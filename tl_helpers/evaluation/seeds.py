"""Scores of several seeds -> a mean with what chance may do to it."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from tl_helpers.inputs import check_numbers, check_share


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


def summarise(values, test_share=None):
    """Mean, standard deviation and confidence interval over seeds.

    Args:
        values: (n,) one finite number a seed, n >= 1.
        test_share: where every seed splits the same images anew, the share of them
            that tests, in (0, 1): such splits overlap, and the interval is corrected
            for it. None for draws that have no image in common.

    Returns:
        Spread.

    Raises:
        ValueError: no value, or one that is not finite, or a share that is none.

    Source: Student's t; corrected as in Nadeau & Bengio 2003,
        doi:10.1023/A:1024068626366.
    """
    return student_interval(values, overlap(test_share))


def student_interval(values, ratio, error=0.05):
    """Mean and its interval, by Student's t with a variance that knows of overlap.

    Args:
        values: (n,) finite numbers, n >= 1.
        ratio: float >= 0, test rows for each training row where repeats share rows,
            as `overlap` gives it; 0 where they share none.
        error: chance in (0, 1) that the interval may miss the truth.

    Returns:
        Spread.

    Raises:
        ValueError: no value, or one that is not finite.

    Source: Nadeau & Bengio 2003, doi:10.1023/A:1024068626366.
    """
    values = check_numbers("values", values, "(n,)").astype(float)
    mean, num = float(values.mean()), len(values)
    if num == 1:
        return Spread(mean, 0.0, -np.inf, np.inf, 1)
    deviation = float(values.std(ddof=1))
    quantile = stats.t.ppf(1 - error / 2, num - 1)
    half = quantile * deviation * np.sqrt(1 / num + ratio)
    return Spread(mean, deviation, mean - half, mean + half, num)


def overlap(test_share):
    """What overlapping splits add to the 1 / n of a mean's variance.

    Args:
        test_share: share of the images that tests, in (0, 1), or None.

    Returns:
        float >= 0: test images for each training image; 0 for None.

    Raises:
        ValueError: a share outside (0, 1).

    Source: Nadeau & Bengio 2003, doi:10.1023/A:1024068626366.
    """
    if test_share is None:
        return 0.0
    check_share(test_share=test_share)
    if not 0 < test_share < 1:
        raise ValueError(
            f"Got test_share={test_share:g}, expected a share between 0 and 1; leave "
            "it out for draws without an image in common."
        )
    return test_share / (1 - test_share)
