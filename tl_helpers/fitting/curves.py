"""A learning curve, and what a power law says of more labels, or that it cannot."""

from typing import NamedTuple

import numpy as np

from tl_helpers.datasets.splitting import shuffled_classes
from tl_helpers.evaluation import binomial_interval
from tl_helpers.fitting.protocol import probe_logits
from tl_helpers.inputs import check_numbers, check_positive, check_whole

SHARES = (0.1, 0.18, 0.32, 0.56, 1.0)  # of the labels at hand
MIN_SIZES = 3
MIN_MISTAKES = 10  # at the full size; fewer do not say how mistakes become fewer
MAX_WIDTH = 0.15  # of a forecast's interval: a wider one helps nobody
NUM_DRAWS = 400


class Forecast(NamedTuple):
    """What more labels would bring.

    Attributes:
        accuracy: float in [0, 1], at `factor` times the labels; None where it cannot
            be told.
        low: lower end of its 95% interval, or None.
        high: its upper end, or None.
        factor: float, times the labels at hand.
        reason: "" or why it cannot be told, one sentence.
    """

    accuracy: float | None
    low: float | None
    high: float | None
    factor: float
    reason: str = ""


def learning_curve(features, folds, seed=0):
    """Count mistakes on held-out rows of probes that learnt from fewer and fewer.

    Args:
        features: Features to learn from.
        folds: list, as of `make_folds`.
        seed: int; a smaller budget is contained in every larger one.

    Returns:
        {"sizes": list of k mean numbers of labels, "wrong": k lists with the mistakes
        in every fold, "held": rows held out in every fold}.
    """
    sizes, wrong = [], []
    for share in SHARES:
        budgets, mistakes = [], []
        for number, (learnt, held) in enumerate(folds):
            rows = _share_of_classes(features.labels, learnt, share, seed + number)
            if rows is None:
                break
            logits = probe_logits(features[rows], features.values[held], seed)
            mistakes.append(int((logits.argmax(axis=1) != features.labels[held]).sum()))
            budgets.append(len(rows))
        if len(budgets) == len(folds) and np.mean(budgets) not in sizes:
            sizes.append(float(np.mean(budgets)))
            wrong.append(mistakes)
    return {"sizes": sizes, "wrong": wrong, "held": [len(held) for _, held in folds]}


def _share_of_classes(labels, learnt, share, seed):
    """Return a share of every class of the rows; None for less than two of a class."""
    rows = []
    rng = np.random.default_rng(seed)
    for _, places in shuffled_classes(labels[learnt], rng):
        number = round(share * len(places))
        if share < 1 and number < 2:
            return None
        rows.append(learnt[places[: max(1, number)]])
    return np.sort(np.concatenate(rows))


def forecast(sizes, wrong, held, factor=2.0, seed=0):
    """Carry a learning curve on: error = a n^-b, a line where both are logarithms.

    The interval comes from drawing the folds again, and the mistakes in each by chance
    (binomial). It cannot be told where there are fewer than three sizes, fewer than
    ten mistakes, a curve that need not fall, an interval wider than 15 points, or
    where the same fit without the largest size misses what was measured there.

    Args:
        sizes: float (k,), numbers of labels, rising.
        wrong: int (k, folds), mistakes.
        held: int (folds,), rows held out, >= 1.
        factor: float > 0, times the largest size.
        seed: int.

    Returns:
        Forecast.

    Raises:
        ValueError: numbers that do not fit each other.

    Source: Hestness et al. 2017 (arXiv:1712.00409); on how such fits fail: Viering &
        Loog 2021 (arXiv:2103.10948).
    """
    sizes = check_numbers("sizes", sizes, "(k,)").astype(float)
    wrong = check_numbers("wrong", wrong, "(k, folds)")
    held = check_numbers("held", held, "(folds,)")
    check_positive(factor=factor)
    check_whole(seed=seed)
    is_rising = sizes.min() > 0 and (np.diff(sizes) > 0).all()
    if not is_rising or min(held.min() - 1, wrong.min()) < 0:
        raise ValueError(
            f"Got sizes {sizes.tolist()} and {held.tolist()} rows held out, expected "
            "rising sizes above 0, and whole folds; give what learning_curve returned."
        )
    if wrong.shape != (len(sizes), len(held)) or (wrong > held).any():
        raise ValueError(
            f"Got mistakes of shape {wrong.shape} for {len(sizes)} sizes and "
            f"{len(held)} folds, expected one of each, at most the rows held out; give "
            "what learning_curve returned."
        )

    def unknown(why):
        return Forecast(None, None, None, factor, why)

    if len(sizes) < MIN_SIZES:
        return unknown(
            "There are not enough images to draw a curve: fewer than three amounts of "
            "labels could be tried."
        )
    if wrong[-1].sum() < MIN_MISTAKES:
        return unknown(
            f"Only {wrong[-1].sum()} mistakes are left among {held.sum()} images, too "
            "few to see how they become fewer."
        )
    slopes, ends = _draws(sizes, wrong, held, factor * sizes[-1], seed)
    if np.quantile(slopes, 0.025) <= 0:
        return unknown("More labels did not surely help in the range that was tried.")
    if not _meets_the_last(sizes, wrong, held, seed):
        return unknown(
            "The curve bends: the same forecast from fewer labels misses what was "
            "measured with all of them."
        )
    low, high = np.quantile(ends, (0.025, 0.975))
    if high - low > MAX_WIDTH:
        return unknown(
            f"The forecast would reach from {1 - high:.0%} to {1 - low:.0%}, which "
            "helps nobody; more images would narrow it."
        )
    _, middle = _line(sizes, wrong.sum(axis=1), held.sum(), factor * sizes[-1])
    return Forecast(float(1 - middle), float(1 - high), float(1 - low), factor)


def _line(sizes, wrong, num_held, at):
    """Return the slope b of the power law, and its error at a size."""
    errors = (np.asarray(wrong, float) + 0.5) / (num_held + 1)  # never 0
    slope, height = np.polyfit(np.log(sizes), np.log(errors), 1)
    return -slope, min(1.0, float(np.exp(height + slope * np.log(at))))


def _draws(sizes, wrong, held, at, seed):
    """Return slopes and errors at a size, of folds and mistakes drawn again."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(NUM_DRAWS):
        folds = rng.integers(0, len(held), len(held))
        again = rng.binomial(held[folds], wrong[:, folds] / held[folds])
        found.append(_line(sizes, again.sum(axis=1), held[folds].sum(), at))
    return np.array(found).T


def _meets_the_last(sizes, wrong, held, seed):
    """Whether the curve without its last size foretells that size."""
    _, ends = _draws(sizes[:-1], wrong[:-1], held, sizes[-1], seed)
    low, high = np.quantile(ends, (0.025, 0.975))
    seen = binomial_interval(int(wrong[-1].sum()), int(held.sum()))
    return low <= seen[1] and seen[0] <= high
