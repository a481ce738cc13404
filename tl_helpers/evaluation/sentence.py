"""A difference and its interval -> a sentence that a learner can read."""

import numpy as np


def difference_sentence(mean, low, high):
    """Say whether a method is better, by how much, and how sure that is.

    Args:
        mean: difference of two accuracies, in [-1, 1].
        low: lower end of its 95% confidence interval.
        high: its upper end; infinite where nothing is known.

    Returns:
        str in percentage points, for example "better by 3.1 points, 95% interval 1.2
        to 5.0"; "no difference to be seen" where the interval reaches 0.
    """
    if not np.isfinite(high - low):
        return (
            f"{100 * mean:+z.1f} points in a single run, which has no interval; "
            "run more seeds"
        )
    mean, low, high = 100 * np.round([mean, low, high], 9)  # rounding is no gain
    if low > 0:
        return f"better by {mean:.1f} points, 95% interval {low:.1f} to {high:.1f}"
    if high < 0:
        return f"worse by {-mean:.1f} points, 95% interval {-high:.1f} to {-low:.1f}"
    return (
        f"no difference to be seen: {mean:+z.1f} points, "
        f"95% interval {low:z.1f} to {high:z.1f}"
    )
