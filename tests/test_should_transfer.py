import numpy as np
import pytest
from scipy import stats

from tl_helpers.choosing.should_transfer import _folds, _interval, should_transfer

LABELS = np.repeat(np.arange(4), 10)


def clouds(distance, seed=0):
    """Rows around one centre a class, the centres as far apart as said."""
    rng = np.random.default_rng(seed)
    return np.eye(4)[LABELS] * distance + rng.normal(size=(40, 4))


def test_a_source_that_separates_the_classes_is_chosen():
    verdict = should_transfer(
        {"near": clouds(1.0), "far": clouds(6.0)}, LABELS, clouds(0.5, 1)
    )
    assert verdict.choice == "far"
    assert [one.name for one in verdict.evidence] == ["far", "near"]
    assert verdict.evidence[0].logme > verdict.evidence[1].logme
    assert verdict.sentence == "Transfer from far."


def test_a_source_that_hurts_is_refused():
    verdict = should_transfer({"noise": clouds(0.0)}, LABELS, clouds(6.0, 1))
    assert verdict.choice is None and verdict.evidence[0].high < 0
    assert verdict.sentence.startswith("Do not transfer: even noise is worse")


def test_a_source_whose_features_are_dead_is_refused():
    verdict = should_transfer({"dead": np.zeros((40, 4))}, LABELS, clouds(6.0, 1))
    assert verdict.choice is None and verdict.evidence[0].high < -0.5


def test_a_source_like_the_baseline_is_undecided():
    verdict = should_transfer({"same": clouds(1.5)}, LABELS, clouds(1.5))
    assert verdict.choice is None and verdict.evidence[0].gain == 0
    assert verdict.sentence.startswith("Undecided: same may help or hurt")


def test_noise_is_rarely_taken_for_a_source_that_helps():
    """The interval leaves 1 case in 40 to luck on this side; 3 of 20 is far beyond."""
    verdicts = [
        should_transfer({"noise": clouds(0.0, seed)}, LABELS, clouds(0.0, 100 + seed))
        for seed in range(20)
    ]
    assert sum(verdict.choice is not None for verdict in verdicts) < 3


def test_folds_pair_every_source_with_the_baseline():
    """The same features give no difference in any fold, however they are scaled."""
    values = clouds(1.0)
    one = should_transfer({"scaled": 3 * values}, LABELS, values).evidence[0]
    assert (one.gain, one.low, one.high) == (0, 0, 0)


def test_interval_is_the_corrected_one():
    differences = np.array([0.1, 0.3, 0.2, 0.0])
    folds = [(np.arange(30), np.arange(10))] * 4
    mean, low, high = _interval(differences, folds, 0.05)
    half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1))
    assert (mean, low, high) == pytest.approx((0.15, 0.15 - half, 0.15 + half))
    plain = stats.t.interval(0.95, 3, 0.15, stats.sem(differences))
    assert high - low > plain[1] - plain[0]


def test_more_sources_widen_the_intervals():
    alone = should_transfer({"a": clouds(1.0)}, LABELS, clouds(0.5, 1))
    among = should_transfer(
        {"a": clouds(1.0), "b": clouds(0.0, 2)}, LABELS, clouds(0.5, 1)
    )
    widths = [
        next(one.high - one.low for one in verdict.evidence if one.name == "a")
        for verdict in (alone, among)
    ]
    assert widths[1] > widths[0] * 1.05


def test_folds_test_every_row_once_a_repetition():
    folds = _folds(LABELS, seed=0)
    assert len(folds) == 20
    tested = np.concatenate([test for _, test in folds])
    assert (np.bincount(tested, minlength=40) == 5).all()
    few = _folds(np.repeat(np.arange(4), 2), seed=0)
    assert len(few) == 10  # two rows a class: two folds


@pytest.mark.parametrize(
    "sources, labels, message",
    [
        ({}, LABELS, "no source"),
        ({"a": np.ones((39, 4))}, LABELS, r"\(39, 4\) from a for 40 labels"),
        ({"a": np.ones((40, 2, 2, 3))}, LABELS, "flatten images"),
        ({"a": np.ones((40, 4))}, np.r_[LABELS[:-1], 9], "one row of class 9"),
    ],
)
def test_should_transfer_refuses(sources, labels, message):
    with pytest.raises(ValueError, match=message):
        should_transfer(sources, labels, np.ones((40, 4)))
