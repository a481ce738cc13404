"""Whether a source helps, decided before any training, on a handful of labels."""

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from tl_helpers.choosing.transferability import common_labels, logme
from tl_helpers.evaluation import Difference
from tl_helpers.evaluation.seeds import student_interval
from tl_helpers.inputs import check_mapping, check_whole
from tl_helpers.probes import probe_accuracy

MAX_FOLDS, NUM_REPEATS = 4, 5


class Evidence(NamedTuple):
    """What the labelled rows say about one source.

    Attributes:
        name: str.
        gain: Difference, accuracy of a probe minus that of the baseline over the
            folds; the intervals of all sources hold together in 95 of 100 cases.
        logme: float, log evidence a row, higher is better.
    """

    name: str
    gain: Difference
    logme: float

    def __str__(self):
        """Return for example 'studio: +12.3 points (+8.0 to +16.6), LogME 0.41'."""
        return f"{self.name}: {self.gain}, LogME {self.logme:.2f}"


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
        if best.gain.verdict == "worse":
            return f"Do not transfer: even {best.name} is worse than the baseline."
        return (
            f"Undecided: {best.name} may help or hurt; stay with the baseline, or "
            "label more images."
        )


def should_transfer(sources, baseline, kind="prototypes", seed=0):
    """Say whether to transfer, and from which source, before any training.

    Probes are fitted and tested on folds of the labelled target rows, the same folds
    for every source and for the baseline, hence the comparison is paired. The folds
    share rows, so that the usual interval would be too narrow; the variance is
    corrected by the ratio of test to training rows. For several sources the intervals
    are widened (Bonferroni), because the best of many looks good by luck alone.

    Args:
        sources: {name: Features} of the same labelled target images, by the network
            trained on each source; widths may differ.
        baseline: Features of them without transfer: pixels, or features of a network
            with random weights; at least two rows of every class.
        kind: probe, as in `fit_probe`; "prototypes" suits a handful of labels.
        seed: int, decides the folds.

    Returns:
        Verdict, which prints its evidence.

    Raises:
        ValueError: no source, values that are no table, labels that differ, or a
            class with a single row.

    Source: Nadeau & Bengio 2003, doi:10.1023/A:1024068626366; Bouckaert & Frank 2004,
        doi:10.1007/978-3-540-24775-3_3, for repeated folds.
    """
    _check(sources, baseline)
    check_whole(seed=seed)
    folds = repeated_folds(baseline.labels, seed)
    reference = _accuracies(baseline, folds, kind, seed)
    evidence = [
        Evidence(
            name,
            compare_folds(
                _accuracies(rows, folds, kind, seed) - reference,
                folds,
                0.05 / len(sources),
            ),
            logme(*rows),
        )
        for name, rows in sources.items()
    ]
    evidence = tuple(sorted(evidence, key=lambda one: one.gain.mean, reverse=True))
    best = evidence[0]
    return Verdict(best.name if best.gain.verdict == "better" else None, evidence)


def repeated_folds(labels, seed):
    """Deal labelled rows out to folds, several times.

    Args:
        labels: int (n,), at least two rows of every class.
        seed: int.

    Returns:
        list of (training rows, test rows), every fold of every repetition.
    """
    num_folds = min(MAX_FOLDS, np.unique(labels, return_counts=True)[1].min())
    splitter = RepeatedStratifiedKFold(
        n_splits=int(num_folds), n_repeats=NUM_REPEATS, random_state=seed
    )
    return list(splitter.split(labels, labels))


def _accuracies(rows, folds, kind, seed):
    return np.array(
        [probe_accuracy(rows[train], rows[test], kind, seed) for train, test in folds]
    )


def compare_folds(differences, folds, error):
    """Mean and interval of differences over folds that share rows.

    Args:
        differences: float (num_folds,).
        folds: as `repeated_folds` gives them.
        error: chance in (0, 1) that the interval may miss the truth.

    Returns:
        Difference.
    """
    ratio = np.mean([len(test) / len(train) for train, test in folds])
    spread = student_interval(differences, ratio, error)
    return Difference(spread.mean, spread.low, spread.high, spread.num_seeds)


def _check(sources, baseline):
    check_mapping(sources=sources)
    everything = {"the baseline": baseline, **sources}
    labels = common_labels(everything)
    for name, rows in everything.items():
        if np.ndim(rows.values) != 2:
            raise ValueError(
                f"Got values of shape {np.shape(rows.values)} from {name}, expected "
                "(n, d); flatten images first."
            )
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Got one row of class {names[counts.argmin()]}, expected at least two of "
            "every class, one to learn from and one to test on; label more images."
        )
