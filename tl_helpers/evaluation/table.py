"""Scores of several methods on the same seeds: kept, compared and printed."""

import numpy as np

from tl_helpers.evaluation.comparison import compare_paired
from tl_helpers.evaluation.seeds import overlap, summarise
from tl_helpers.inputs import check_kind, check_numbers, check_whole


class ScoreTable(dict):
    """One row a method, one score a seed; the seeds are the same in every row.

    A row is a sequence of scores, or, where there are several settings (label budgets,
    blocks), a dictionary of them by setting. `plots.scores` and
    `plots.label_efficiency` draw it as it is.

    Args:
        seeds: the seeds that every method sees, in order; or how many there are.
        rows: {method: scores}, to start with.
        test_share: as in `summarise`, where the seeds split the same images anew; its
            differences are then corrected for the overlap.

    Raises:
        ValueError: a row, there or later, with another number of scores, or with one
            that is no number or lies outside [-1, 1].
    """

    def __init__(self, seeds, rows=(), test_share=None):
        super().__init__()
        overlap(test_share)
        self.test_share = test_share
        self.num_seeds = len(seeds) if np.ndim(seeds) else seeds
        check_whole(1, seeds=self.num_seeds)
        check_kind(dict, tuple, rows=rows)
        for method, scores in dict(rows).items():
            self[method] = scores

    def __setitem__(self, method, scores):
        """Take a row, as lists of floats."""
        if isinstance(scores, dict):
            row = {key: self._checked(method, own) for key, own in scores.items()}
        else:
            row = self._checked(method, scores)
        super().__setitem__(method, row)

    def __missing__(self, method):
        """Say which rows there are."""
        rows = ", ".join(map(repr, self))
        raise KeyError(f"Got row {method!r}, expected one of {rows}; run it first.")

    def only(self, *methods):
        """Return the table of these methods, in this order."""
        rows = {method: self[method] for method in methods}
        return ScoreTable(self.num_seeds, rows, self.test_share)

    def compare(self, method, baseline, at=None):
        """Compare two rows seed by seed.

        Args:
            method: name of a row.
            baseline: name of another.
            at: the setting to compare at; None for the whole row.

        Returns:
            Difference; for a whole row with settings {setting: Difference}.

        Raises:
            KeyError: no such row or setting.
        """
        ours, theirs = self[method], self[baseline]
        if at is not None:
            both = [key for key in ours if isinstance(ours, dict) and key in theirs]
            if at not in both:
                raise KeyError(
                    f"Got at={at!r}, expected one of {both}, which both rows have; "
                    "leave it out for rows without settings."
                )
            return compare_paired(ours[at], theirs[at], self.test_share)
        if not isinstance(ours, dict):
            return compare_paired(ours, theirs, self.test_share)
        return {
            key: compare_paired(ours[key], theirs[key], self.test_share) for key in ours
        }

    def gains(self, over, methods=None):
        """Return {method: compare(method, over)} of all others, for `plots.gains`."""
        methods = (
            [name for name in self if name != over] if methods is None else methods
        )
        return {method: self.compare(method, over) for method in methods}

    def __str__(self):
        """Return a line a method: mean and standard deviation over the seeds, in %."""
        width = max(map(len, self), default=0)
        rows = list(self.values())
        if not rows or not isinstance(rows[0], dict):
            return "\n".join(
                f"{name:{width}} {summarise(own)}" for name, own in self.items()
            )
        settings = list(rows[0])
        lines = [" ".join([" " * width, *(f"{setting!s:>13}" for setting in settings)])]
        for name, row in self.items():
            cells = [f"{summarise(row[setting])!s:>13}" for setting in settings]
            lines.append(" ".join([f"{name:{width}}", *cells]))
        return "\n".join(lines)

    def _checked(self, method, scores):
        scores = list(scores) if np.iterable(scores) else scores  # such as a map
        scores = check_numbers(f"scores of {method!r}", scores, "(n,)")
        if len(scores) != self.num_seeds:
            raise ValueError(
                f"Got {len(scores)} scores of {method!r}, expected {self.num_seeds}, "
                "one for each seed; methods that saw other seeds cannot be compared."
            )
        if np.abs(scores).max() > 1:
            raise ValueError(
                f"Got scores of {method!r} up to {np.abs(scores).max():g}, expected "
                "shares, which are printed in percent; divide percent by 100."
            )
        return scores.astype(float).tolist()
