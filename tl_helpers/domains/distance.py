"""How far apart two domains lie, measured on the features of each."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from tl_helpers.inputs import (
    check_domains,
    check_whole,
    draw_rows,
    in_one_unit,
)
from tl_helpers.probes import THREAD_POOLS, one_thread

MAX_ROWS = 2000  # of each domain: the kernel matrix then takes 128 MB
MAX_FOLDS = 5
MAX_STEPS = 300  # of the domain classifier's training
STRENGTH = 1.0  # inverse of the domain classifier's L2 penalty, at mean variance 1
NUM_KERNELS = 5  # the widest has 4 times the mean squared distance, the next half of it
MIN_SQUARED_DISTANCE = 1e-7  # as in losses.mmd_loss: below it rows count as equal
ROUNDING = 1e-12  # of a statistic: the same split, summed in another order, is a tie


@dataclass(frozen=True)
class MMDTest:
    """Whether two samples may come from one distribution.

    Attributes:
        statistic: unbiased MMD^2, around 0 (also below it) where they do.
        p_value: in (0, 1]; the share of random splits that lie as far apart.
    """

    statistic: float
    p_value: float


def proxy_a_distance(source, target, seed=0):
    """How well a linear classifier tells the domains apart.

    distance = 2 (1 - 2 error), where error is the cross-validated error of a logistic
    regression that answers "source or target?". All features are divided by one
    number, so that a nearly dead one is not blown up to the size of the others.

    The larger domain is cut at random to the size of the smaller, and both to
    `MAX_ROWS` rows. Repeated rows of a domain count once, since a copy on the other
    side of the split would be recognised. For one distribution, n rows of each domain
    give 0 up to about 2 sqrt(2 / n).

    Args:
        source: float (n_source, d), features in any unit.
        target: float (n_target, d), from the same layer.
        seed: int, decides the rows and the folds.

    Returns:
        float in [0, 2]: 0 where the domains cannot be told apart, 2 where always.

    Raises:
        ValueError: features that do not fit (see `check_domains`), or a domain with
            fewer than two different rows.

    Source: Ben-David et al. 2007, Analysis of Representations for Domain Adaptation
        (NIPS 19); 2010, doi:10.1007/s10994-009-5152-4; used as here by Ganin et al.
        2016 (arXiv:1505.07818), section 5.
    """
    check_domains(source, target)
    check_whole(seed=seed)
    rng = np.random.default_rng(seed)
    domains = [np.unique(values, axis=0) for values in (source, target)]
    size = min(*map(len, domains), MAX_ROWS)
    if size < 2:
        raise ValueError(
            "Got a domain whose rows are all the same, expected at least 2 different "
            "ones; look whether its images are blank."
        )
    rows = np.concatenate([draw_rows(values, size, rng) for values in domains])
    rows = in_one_unit(rows, rows)
    is_target = np.repeat([0, 1], size)
    folds = StratifiedKFold(min(MAX_FOLDS, size), shuffle=True, random_state=seed)
    classifier = LogisticRegression(C=STRENGTH, max_iter=MAX_STEPS)
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)
        answers = cross_val_predict(classifier, rows, is_target, cv=folds)
    error = float((answers != is_target).mean())
    return max(0.0, 2 * (1 - 2 * error))


def mmd_test(source, target, num_permutations=200, seed=0):
    """Test whether two samples come from one distribution, by their kernel means.

    MMD^2 = mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean k(s_i, t_j)

    k(x, y) is the mean of exp(-||x - y||^2 / b) over b = 1/4, 1/2, 1, 2 and 4 times
    the mean squared distance of two different rows, as in `losses.mmd_loss`. The
    p-value is (1 + number of permutations with at least this MMD^2) divided by
    (1 + num_permutations), where a permutation deals all rows out to two samples of
    the same sizes at random. For one distribution it is at most a in a share a of the
    cases.

    It costs O(n^2 (d + num_permutations)) operations and O(n^2) memory; a domain of
    more than `MAX_ROWS` rows is cut to that many at random.

    Args:
        source: float (n_source, d), features in any unit.
        target: float (n_target, d), from the same layer.
        num_permutations: int >= 1.
        seed: int, decides the rows and the permutations.

    Returns:
        MMDTest.

    Raises:
        ValueError: features that do not fit (see `check_domains`), or no permutation.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test (JMLR 13).
    """
    check_domains(source, target)
    check_whole(1, num_permutations=num_permutations)
    check_whole(seed=seed)
    rng = np.random.default_rng(seed)
    source, target = (
        draw_rows(np.asarray(rows, float), MAX_ROWS, rng) for rows in (source, target)
    )
    is_source = np.repeat([1.0, 0.0], [len(source), len(target)])
    # the first column is the split that was observed
    splits = [is_source, *(rng.permutation(is_source) for _ in range(num_permutations))]
    with THREAD_POOLS.limit(limits=2):
        kernel = _kernel(np.concatenate([source, target]))
        statistics = _unbiased_mmd(kernel, np.stack(splits, axis=1))
    is_as_far = statistics >= statistics[0] - ROUNDING
    return MMDTest(float(statistics[0]), float(is_as_far.mean()))


def _kernel(rows):
    """Return the mean of the RBF kernels between all rows, (n, n), diagonal 0."""
    kernel = euclidean_distances(rows - rows.mean(axis=0), squared=True)
    mean = kernel.sum() / (len(rows) * (len(rows) - 1))
    kernel /= -4 * max(mean, MIN_SQUARED_DISTANCE)
    np.exp(kernel, out=kernel)
    np.fill_diagonal(kernel, 0)  # an unbiased mean leaves a row's own kernel out
    total = kernel.copy()
    for _ in range(NUM_KERNELS - 1):
        np.square(kernel, out=kernel)  # half the bandwidth
        total += kernel
    return total / NUM_KERNELS


def _unbiased_mmd(kernel, is_source):
    """MMD^2 of several splits at once.

    Args:
        kernel: (n, n), diagonal 0.
        is_source: 1.0 or 0.0, (n, splits), with equally many ones in every column.

    Returns:
        (splits,).
    """
    num_source = is_source[:, 0].sum()
    num_target = len(is_source) - num_source
    to_source = kernel @ is_source  # (n, splits): each row's kernels with the source
    within_source = (is_source * to_source).sum(axis=0)
    between = to_source.sum(axis=0) - within_source
    within_target = kernel.sum() - within_source - 2 * between
    return (
        within_source / (num_source * (num_source - 1))
        + within_target / (num_target * (num_target - 1))
        - 2 * between / (num_source * num_target)
    )
