"""One list of numbers -> the 95% confidence interval of what it estimates."""

import numpy as np
from scipy import optimize, stats

from tl_helpers.inputs import check_callable, check_numbers, check_share, check_whole

BATCH_NUMBERS = 10_000_000  # 80 MB of float64


def bootstrap_interval(values, statistic=np.mean, num_resamples=10_000, seed=0):
    """95% confidence interval of any statistic, by drawing the values again.

    The ends are percentiles of the statistic over resamples. With few values the
    interval is too narrow (of 10 normal values it covers the mean in about 88% of
    cases, not 95%): for the mean over a handful of seeds use `summarise`.

    Args:
        values: float (n,), n >= 2, one independent value a row, in any unit.
        statistic: callable, (n,) -> scalar; one with an argument `axis`, as numpy's
            are, runs on all resamples at once.
        num_resamples: int >= 1.
        seed: int, decides the draws.

    Returns:
        (low, high) in the statistic's unit.

    Raises:
        ValueError: fewer than two values, some that are not finite, or arguments of
            another kind.

    Source: Efron & Tibshirani 1993, chapter 13; computed by scipy.stats.bootstrap.
    """
    values = check_numbers("values", values, "(n,)", least=2).astype(float)
    check_callable(statistic=statistic)
    check_whole(1, num_resamples=num_resamples)
    check_whole(seed=seed)
    interval = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=num_resamples,
        batch=max(1, BATCH_NUMBERS // len(values)),  # memory stays bounded
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def binomial_interval(num_right, num_images):
    """95% confidence interval of an accuracy measured on n test images.

    Args:
        num_right: int in [0, num_images].
        num_images: int >= 1.

    Returns:
        (low, high) in [0, 1].

    Raises:
        ValueError: a share instead of a count, or more right than there are.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    check_whole(num_right=num_right)
    check_whole(1, num_images=num_images)
    if num_right > num_images:
        raise ValueError(
            f"Got num_right={num_right} of num_images={num_images}, expected no more "
            "than there are; look whether the two changed places."
        )
    interval = stats.binomtest(int(num_right), int(num_images)).proportion_ci(
        method="wilson"
    )
    return float(interval.low), float(interval.high)


def auc_interval(auc, num_ones, num_zeros):
    """95% confidence interval of an AUC measured on independent images.

    All AUCs from which the measured one lies no more than 1.96 standard errors away,
    with the error that they would have themselves: at an AUC of 1 it still has a width.

    Args:
        auc: float in [0, 1], as of `roc_auc` for two classes.
        num_ones: int >= 1, images of class 1.
        num_zeros: int >= 1, images of class 0.

    Returns:
        (low, high) in [0, 1].

    Raises:
        ValueError: no share, or counts that are none.

    Source: Newcombe 2006, doi:10.1002/sim.2324, method 5.
    """
    check_share(auc=auc)
    check_whole(1, num_ones=num_ones, num_zeros=num_zeros)
    z, mean_number = stats.norm.ppf(0.975), (num_ones + num_zeros) / 2

    def beyond(true, measured):
        spread = 1 + (mean_number - 1) * ((1 - true) / (2 - true) + true / (1 + true))
        variance = true * (1 - true) * spread / (num_ones * num_zeros)
        return measured - true - z * np.sqrt(variance)

    def lower_end(measured):
        just_below = measured * (1 - 1e-9)  # 1 itself would have no error
        return optimize.brentq(beyond, 0, just_below, measured) if measured else 0.0

    return float(lower_end(auc)), float(1 - lower_end(1 - auc))
