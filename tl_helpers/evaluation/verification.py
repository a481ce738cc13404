"""Same or different person: distances of pairs, a threshold, and its two errors."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from tl_helpers.evaluation.probabilities import roc_auc
from tl_helpers.inputs import (
    check_features,
    check_kind,
    check_labelled,
    check_labels,
    check_not_negative,
    check_numbers,
    check_whole,
)

LEAST_ACCEPTED = 5  # different pairs below a threshold, or it is a matter of luck
NUM_RESAMPLES = 2000


class Pairs(NamedTuple):
    """Pairs of rows of one set of images.

    Attributes:
        first: int64 (p,), row numbers.
        second: int64 (p,), row numbers in the same set.
        people: int64 (p, 2), who is on either.
        fold: int64 (p,), which part of a protocol a pair belongs to; 0 without one.
    """

    first: np.ndarray
    second: np.ndarray
    people: np.ndarray
    fold: np.ndarray

    @property
    def is_same(self):
        """int64 (p,): 1 where both rows show one person, else 0."""
        return (self.people[:, 0] == self.people[:, 1]).astype(np.int64)


class Verification(NamedTuple):
    """What a fixed threshold does to people on whom it was not chosen.

    The intervals are those of 95%, over draws of the people: pairs of one person are
    alike, and were each pair to count by itself, they would be far too narrow.

    Attributes:
        auc: chance that two pictures of one person are nearer than two of different
            people, in [0, 1]; it depends on no threshold.
        threshold: cosine distance, in [0, 2]; nearer pairs are taken for one person.
        false_accept: share of the different pairs that are, in [0, 1].
        false_accept_interval: (low, high).
        true_accept: share of the same pairs that are, in [0, 1].
        true_accept_interval: (low, high).
    """

    auc: float
    threshold: float
    false_accept: float
    false_accept_interval: tuple
    true_accept: float
    true_accept_interval: tuple

    def __str__(self):
        (f_low, f_high), (t_low, t_high) = (
            [100 * end for end in interval]
            for interval in (self.false_accept_interval, self.true_accept_interval)
        )
        return (
            f"AUC {self.auc:.1%}; below {self.threshold:.3f}: false accept "
            f"{self.false_accept:.2%} ({f_low:.2f} to {f_high:.2f}), true accept "
            f"{self.true_accept:.1%} ({t_low:.1f} to {t_high:.1f})"
        )


def pairs_of(people):
    """Pair every picture with every other once.

    Args:
        people: int (n,), n >= 2, who is on each.

    Returns:
        Pairs, n (n - 1) / 2 of them.

    Raises:
        ValueError: no class numbers.
    """
    people = check_labels("people", None, people)
    check_numbers("people", people, "(n,)", least=2)
    first, second = np.triu_indices(len(people), 1)
    both = np.stack([people[first], people[second]], axis=1)
    return Pairs(first, second, both, np.zeros(len(first), np.int64))


def cosine_distances(embedding, pairs):
    """1 - cosine of the angle between the two rows of each pair.

    Args:
        embedding: float (n, d), a row a picture.
        pairs: Pairs of the same pictures.

    Returns:
        float64 (p,), in [0, 2]; 1 where a row is 0.

    Raises:
        ValueError: no table of numbers, or pairs of another set.
    """
    check_features("embedding", embedding)
    check_kind(Pairs, pairs=pairs)
    largest = max(pairs.first.max(initial=-1), pairs.second.max(initial=-1))
    if largest >= len(embedding):
        raise ValueError(
            f"Got pairs up to row {largest} for {len(embedding)} rows, expected pairs "
            "of the same pictures; make them from the labels of this embedding, and "
            "let no pair reach over two sets."
        )
    rows = np.asarray(embedding, float)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    cosines = np.einsum("pd,pd->p", rows[pairs.first], rows[pairs.second])
    return np.clip(1 - cosines, 0, 2)


def choose_threshold(distances, is_same, false_accept=0.01):
    """Find the largest threshold that lets no more different pairs pass than wanted.

    Args:
        distances: float (p,), any unit.
        is_same: int (p,), 1 for pairs of one person, 0 for others.
        false_accept: share of the different pairs that may lie below it, in (0, 1).

    Returns:
        float, in the unit of the distances.

    Raises:
        ValueError: labels that do not fit, a rate outside (0, 1), or too few different
            pairs to set it by.
    """
    distances, is_same = _check_pairs(distances, is_same)
    _check_rate(false_accept)
    different = np.sort(distances[is_same == 0])
    num_below = int(np.floor(false_accept * len(different) + 1e-9))
    if num_below < LEAST_ACCEPTED:
        needed = int(np.ceil(LEAST_ACCEPTED / false_accept))
        raise ValueError(
            f"Got {len(different)} pairs of different people for a false accept rate "
            f"of {false_accept:g}, expected at least {needed}, {LEAST_ACCEPTED} of "
            "them below the threshold; give more people, or a larger rate."
        )
    return float(different[num_below])


def accept_rates(distances, pairs, threshold, seed=0):
    """Apply a threshold that was chosen on other people.

    Args:
        distances: float (p,), cosine distances.
        pairs: Pairs, p of them.
        threshold: number >= 0, from `choose_threshold` on other people.
        seed: int, decides the draws behind the intervals.

    Returns:
        Verification.

    Raises:
        ValueError: distances that do not fit the pairs, pairs of one kind only, or no
            threshold.
    """
    check_kind(Pairs, pairs=pairs)
    distances, is_same = _check_pairs(distances, pairs.is_same)
    check_not_negative(threshold=threshold)
    check_whole(seed=seed)
    is_below = distances < threshold
    false, true = (float(is_below[is_same == kind].mean()) for kind in (0, 1))
    false_interval, true_interval = _over_people(is_below, pairs.people, seed)
    return Verification(
        roc_auc(-distances, is_same),
        float(threshold),
        false,
        false_interval,
        true,
        true_interval,
    )


def verify(test, others, false_accept=0.01, seed=0):
    """Choose a threshold on some people, and measure both errors on others.

    Args:
        test: Features, or (embedding float (n, d), people int (n,)).
        others: the same of other people, by whom the threshold is chosen.
        false_accept: rate that is wanted, in (0, 1).
        seed: int, decides the draws behind the intervals.

    Returns:
        Verification of `test`.

    Raises:
        ValueError: a person in both sets, pairs of one kind only, a rate outside
            (0, 1), or too few different pairs to set it by.
    """
    _check_apart(test, others)
    check_whole(seed=seed)
    found = []
    for name, rows in (("others", others), ("test set", test)):
        embedding, people = check_labelled(name, rows)
        check_features(name, embedding)
        pairs = pairs_of(people)
        found.append((cosine_distances(embedding, pairs), pairs))
    (distances, pairs), measured = found
    threshold = choose_threshold(distances, pairs.is_same, false_accept)
    return accept_rates(*measured, threshold, seed)


def fold_accuracies(distances, pairs):
    """Accuracy on each fold, with the threshold that is best on the other folds.

    Args:
        distances: float (p,).
        pairs: Pairs with at least two folds.

    Returns:
        float64 (folds,), in [0, 1]; their mean and standard error are what is
        published for LFW.

    Raises:
        ValueError: distances that do not fit the pairs, pairs of one kind only, or one
            fold.

    Source: Huang et al. 2007, Labeled Faces in the Wild, technical report 07-49,
        view 2.
    """
    check_kind(Pairs, pairs=pairs)
    distances, is_same = _check_pairs(distances, pairs.is_same)
    folds = np.unique(pairs.fold)
    if len(folds) < 2:
        raise ValueError(
            f"Got pairs of {len(folds)} fold, expected at least two; the threshold of "
            "one is chosen on the others."
        )
    accuracies = []
    for fold in folds:
        is_own = pairs.fold == fold
        _check_pairs(distances[~is_own], is_same[~is_own])
        threshold = _best_threshold(distances[~is_own], is_same[~is_own])
        answers = distances[is_own] < threshold
        accuracies.append((answers == is_same[is_own]).mean())
    return np.array(accuracies)


def _best_threshold(distances, is_same):
    """Return the middle of the gap between distances that leaves fewest errors."""
    order = np.argsort(distances, kind="stable")
    ordered, same = distances[order], is_same[order]
    right = np.concatenate([[0], np.cumsum(2 * same - 1)])  # more than with none below
    ends = np.concatenate([[ordered[0] - 1], ordered, [ordered[-1] + 1]])
    is_gap = ends[1:] > ends[:-1]  # no threshold parts equal distances
    best = np.argmax(np.where(is_gap, right, -len(right)))
    return (ends[best] + ends[best + 1]) / 2


def _over_people(is_below, people, seed):
    """Return intervals of both rates over draws of the people, with replacement."""
    names, numbers = np.unique(people, return_inverse=True)
    first, second = numbers.reshape(people.shape).T
    rng, even = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    draws = rng.multinomial(len(names), even, NUM_RESAMPLES)  # (resamples, people)
    intervals = []
    for kind in (first != second, first == second):
        own = draws, first[kind], second[kind]
        accepted, pairs = _drawn(*own, is_below[kind]), _drawn(*own, 1.0)
        low, high = np.percentile(accepted[pairs > 0] / pairs[pairs > 0], [2.5, 97.5])
        intervals.append((float(low), float(high)))
    return intervals


def _drawn(draws, first, second, values):
    """Sum values over pairs, each as often as its people are drawn: (resamples,).

    A pair of one person comes as often as they do, one of two people as often as the
    product; two copies of a person are never a pair of different people.
    """
    shape = (draws.shape[1],) * 2
    values = np.broadcast_to(np.asarray(values, float), first.shape)
    table = sparse.csr_array((values, (first, second)), shape)
    if (first == second).all():
        return draws @ table.diagonal()
    return ((draws @ table) * draws).sum(axis=1)


def _check_pairs(distances, is_same):
    distances = check_numbers("distances", distances, "(p,)")
    is_same = check_labels("", distances, is_same, 2)
    if len(np.unique(is_same)) < 2:
        kind = "one person" if is_same[0] else "different people"
        raise ValueError(
            f"Got {len(is_same)} pairs, all of {kind}, expected both kinds; give "
            "several pictures of each of several people."
        )
    return distances, is_same


def _check_rate(rate):
    number = np.asarray(rate)
    is_number = number.ndim == 0 and number.dtype.kind in "iuf"
    if not is_number or not 0 < number < 1:
        raise ValueError(
            f"Got false_accept={rate!r}, expected a share in (0, 1): at 0 nobody "
            "passes and at 1 everybody; divide percent by 100."
        )


def _check_apart(test, others):
    sets = []
    for name, rows in (("test set", test), ("others", others)):
        people = np.unique(check_labelled(name, rows)[1]).tolist()
        names = getattr(rows, "class_names", None)
        sets.append({names[one] if names else one for one in people})
    shared = sorted(sets[0] & sets[1], key=str)
    if shared:
        raise ValueError(
            f"Got {shared[0]} among the test set and the others, expected no person in "
            "both; choose the threshold on other people, or number them apart."
        )
