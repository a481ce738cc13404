"""Whether a source helps, decided before any training, on a handful of labels."""

from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.model_selection import RepeatedStratifiedKFold

from tl_helpers.choosing.transferability import logme
from tl_helpers.features import Features
from tl_helpers.probes import probe_accuracy

MAX_FOLDS, NUM_REPEATS = 4, 5


class Evidence(NamedTuple):
    """What the labelled rows say about one source.

    Attributes:
        name: str.
        gain: mean accuracy of a probe minus that of the baseline, in [-1, 1].
        low: lower end of its interval.
        high: its upper end; the intervals of all sources hold together in 95 of 100
            cases.
        logme: float, log evidence a row, higher is better.
    """

    name: str
    gain: float
    low: float
    high: float
    logme: float

    def __str__(self):
        """Return for example 'studio: +12.3 points (+8.0 to +16.6), LogME 0.41'."""
        gain, low, high = (100 * x for x in (self.gain, self.low, self.high))
        points = f"{gain:+.1f} points ({low:+.1f} to {high:+.1f})"
        return f"{self.name}: {points}, LogME {self.logme:.2f}"


class Verdict(NamedTuple):
    """Which source to transfer from, and why.

    Attributes:
        choice: name of the source, or None: nothing shows that any of them helps.
        evidence: one Evidence a source, the largest gain first.
    """

    choice: str | None
    evidence: tuple

    def __str__(self):
        """Return the verdict in a sentence, then the evidence, a line a source."""
        return "\n".join([self.sentence, *(f"  {one}" for one in self.evidence)])

    @property
    def sentence(self):
        """Return the verdict in a sentence."""
        best = self.evidence[0]
        if self.choice:
            return f"Transfer from {best.name}."
        if best.high < 0:
            return f"Do not transfer: even {best.name} is worse than the baseline."
        return (
            f"Undecided: {best.name} may help or hurt; stay with the baseline, or "
            "label more images."
        )


def should_transfer(sources, labels, baseline, kind="prototypes", seed=0):
    """Say whether to transfer, and from which source, before any training.

    Probes are fitted and tested on folds of the labelled target rows, the same folds
    for every source and for the baseline, hence the comparison is paired. The folds
    share rows, so that the usual interval would be too narrow; the variance is
    corrected by the ratio of test to training rows. For several sources the intervals
    are widened (Bonferroni), because the best of many looks good by luck alone.

    Args:
        sources: {name: float (n, d)}, features of the same labelled target images by
            the network trained on each source; d may differ.
        labels: int (n,), the target's; at least two rows of every class.
        baseline: float (n, d), what there is without transfer: pixels, or features of
            a network with random weights.
        kind: probe, as in `fit_probe`; "prototypes" suits a handful of labels.
        seed: int, decides the folds.

    Returns:
        Verdict, which prints its evidence.

    Raises:
        ValueError: no source, rows that do not match the labels, or a class with a
            single row.

    Source: Nadeau & Bengio 2003, doi:10.1023/A:1024068626366; Bouckaert & Frank 2004,
        doi:10.1007/978-3-540-24775-3_3, for repeated folds.
    """
    labels = np.asarray(labels)
    _check(sources, labels, baseline)
    folds = _folds(labels, seed)
    reference = _accuracies(baseline, labels, folds, kind, seed)
    evidence = [
        Evidence(
            name,
            *_interval(
                _accuracies(values, labels, folds, kind, seed) - reference,
                folds,
                0.05 / len(sources),
            ),
            logme(values, labels),
        )
        for name, values in sources.items()
    ]
    evidence = tuple(sorted(evidence, key=lambda one: one.gain, reverse=True))
    return Verdict(evidence[0].name if evidence[0].low > 0 else None, evidence)


def _folds(labels, seed):
    """Return (training rows, test rows) of every fold of every repetition."""
    num_folds = min(MAX_FOLDS, np.unique(labels, return_counts=True)[1].min())
    splitter = RepeatedStratifiedKFold(
        n_splits=int(num_folds), n_repeats=NUM_REPEATS, random_state=seed
    )
    return list(splitter.split(labels, labels))


def _accuracies(values, labels, folds, kind, seed):
    rows = Features(np.asarray(values, "float32"), labels)
    return np.array(
        [probe_accuracy(rows[train], rows[test], kind, seed) for train, test in folds]
    )


def _interval(differences, folds, error):
    """Return mean and interval of differences over folds that share rows."""
    num = len(differences)
    ratio = np.mean([len(test) / len(train) for train, test in folds])
    deviation = np.sqrt((1 / num + ratio) * differences.var(ddof=1))
    half = stats.t.ppf(1 - error / 2, num - 1) * deviation
    mean = differences.mean()
    return float(mean), float(mean - half), float(mean + half)


def _check(sources, labels, baseline):
    if not sources:
        raise ValueError(
            "Got no source, expected at least one; give {name: features of the "
            "target's labelled images}."
        )
    for name, values in {**sources, "the baseline": baseline}.items():
        if np.ndim(values) != 2 or len(values) != len(labels):
            raise ValueError(
                f"Got values of shape {np.shape(values)} from {name} for {len(labels)} "
                "labels, expected (n, d) with a row for each label; flatten images "
                "first."
            )
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Got one row of class {names[counts.argmin()]}, expected at least two of "
            "every class, one to learn from and one to test on; label more images."
        )
