"""Two methods on the same seeds -> how much better one of them is, and how surely."""

from typing import NamedTuple

import numpy as np

from tl_helpers.evaluation.seeds import summarise
from tl_helpers.inputs import check_numbers


class Difference(NamedTuple):
    """Score of a method minus that of its baseline, over seeds that both saw.

    Attributes:
        mean: float, in the unit of the scores; accuracies and so on lie in [0, 1].
        low: lower end of the 95% confidence interval, -inf for one seed.
        high: its upper end, inf for one seed.
        num_seeds: int.
    """

    mean: float
    low: float
    high: float
    num_seeds: int

    def __str__(self):
        """Return the difference in points, as '+3.7 points (-0.0 to +7.5)'."""
        if self.num_seeds == 1:
            return f"{100 * self.mean:+.1f} points (one seed)"
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.mean:+.1f} points ({low:+.1f} to {high:+.1f})"

    @property
    def verdict(self):
        """Return 'better', 'worse', or 'undecided' where the interval reaches 0."""
        low, high = np.round([self.low, self.high], 9)
        if low > 0:  # rounded above: what is left of 0.1 + 0.2 - 0.3 is no gain
            return "better"
        return "worse" if high < 0 else "undecided"

    @property
    def sentence(self):
        """Return the verdict in words, as 'better by 3.1 points, 95% interval ...'."""
        mean, low, high = (100 * x for x in (self.mean, self.low, self.high))
        if self.num_seeds == 1:
            return (
                f"{mean:+z.1f} points in a single run, which has no interval; "
                "run more seeds"
            )
        if self.verdict == "better":
            return f"better by {mean:.1f} points, 95% interval {low:.1f} to {high:.1f}"
        if self.verdict == "worse":
            return (
                f"worse by {-mean:.1f} points, 95% interval {-high:.1f} to {-low:.1f}"
            )
        return (
            f"no difference to be seen: {mean:+z.1f} points, "
            f"95% interval {low:z.1f} to {high:z.1f}"
        )


def compare_paired(values, baseline, test_share=None):
    """Difference of two methods that saw the same seeds.

    Args:
        values: (n,) scores of a method, one a seed.
        baseline: (n,) scores of the other on the same seeds, in the same order.
        test_share: as in `summarise`, where the seeds split the same images anew.

    Returns:
        Difference of `values - baseline`; an interval above 0 is a gain that the seeds
        agree on.

    Raises:
        ValueError: lengths differ, no score, or one that is not finite.

    Source: Student's paired t; `scipy.stats.ttest_rel` gives the same interval, for
        draws without an image in common.
    """
    values = check_numbers("scores", values, "(n,)")
    baseline = check_numbers("scores of the baseline", baseline, "(n,)")
    if len(values) != len(baseline):
        raise ValueError(
            f"Got {len(values)} and {len(baseline)} scores, expected one of each for "
            "every seed; run both methods on the same seeds."
        )
    spread = summarise(values.astype(float) - baseline, test_share)
    return Difference(spread.mean, spread.low, spread.high, spread.num_seeds)
