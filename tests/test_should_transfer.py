import numpy as np
import pytest
from scipy import stats

from tl_helpers import choosing, evaluation
from tl_helpers.choosing import should_transfer
from tl_helpers.choosing.should_transfer import compare_folds, repeated_folds
from tl_helpers.features import Features

LABELS = np.repeat(np.arange(4), 10)


def clouds(distance, seed=0):
    """Rows around one centre a class, the centres as far apart as said."""
    rng = np.random.default_rng(seed)
    return features(np.eye(4)[LABELS] * distance + rng.normal(size=(40, 4)))


def features(values, labels=LABELS):
    return Features(np.asarray(values, "float32"), labels)


def test_a_source_that_separates_the_classes_is_chosen():
    verdict = should_transfer({"near": clouds(1.0), "far": clouds(6.0)}, clouds(0.5, 1))
    assert verdict.choice == "far"
    assert [one.name for one in verdict.evidence] == ["far", "near"]
    assert verdict.evidence[0].logme > verdict.evidence[1].logme
    assert verdict.sentence == "Transfer from far."


def test_a_source_that_hurts_is_refused():
    verdict = should_transfer({"noise": clouds(0.0)}, clouds(6.0, 1))
    assert verdict.choice is None and verdict.evidence[0].gain.verdict == "worse"
    assert verdict.sentence.startswith("Do not transfer: even noise is worse")


def test_a_source_whose_features_are_dead_is_refused():
    verdict = should_transfer({"dead": features(np.zeros((40, 4)))}, clouds(6.0, 1))
    assert verdict.choice is None and verdict.evidence[0].gain.high < -0.5


def test_a_source_like_the_baseline_is_undecided():
    verdict = should_transfer({"same": clouds(1.5)}, clouds(1.5))
    assert verdict.choice is None and verdict.evidence[0].gain.mean == 0
    assert verdict.sentence.startswith("Undecided: same may help or hurt")


def test_noise_is_rarely_taken_for_a_source_that_helps():
    """The interval leaves 1 case in 40 to luck on this side; 3 of 20 is far beyond."""
    verdicts = [
        should_transfer({"noise": clouds(0.0, seed)}, clouds(0.0, 100 + seed))
        for seed in range(20)
    ]
    assert sum(verdict.choice is not None for verdict in verdicts) < 3


def test_folds_pair_every_source_with_the_baseline():
    """The same features give no difference in any fold, however they are scaled."""
    values = clouds(1.0)
    scaled = features(3 * values.values)
    gain = should_transfer({"scaled": scaled}, values).evidence[0].gain
    assert (gain.mean, gain.low, gain.high) == (0, 0, 0)


def test_interval_is_the_corrected_one():
    differences = np.array([0.1, 0.3, 0.2, 0.0])
    folds = [(np.arange(30), np.arange(10))] * 4
    mean, low, high, num_folds = compare_folds(differences, folds, 0.05)
    half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1))
    assert (mean, low, high) == pytest.approx((0.15, 0.15 - half, 0.15 + half))
    assert num_folds == 4
    plain = stats.t.interval(0.95, 3, 0.15, stats.sem(differences))
    assert high - low > plain[1] - plain[0]


def test_more_sources_widen_the_intervals():
    alone = should_transfer({"a": clouds(1.0)}, clouds(0.5, 1))
    among = should_transfer({"a": clouds(1.0), "b": clouds(0.0, 2)}, clouds(0.5, 1))
    widths = [
        next(x.gain.high - x.gain.low for x in verdict.evidence if x.name == "a")
        for verdict in (alone, among)
    ]
    assert widths[1] > widths[0] * 1.05


def test_folds_test_every_row_once_a_repetition():
    folds = repeated_folds(LABELS, seed=0)
    assert len(folds) == 20
    tested = np.concatenate([test for _, test in folds])
    assert (np.bincount(tested, minlength=40) == 5).all()
    few = repeated_folds(np.repeat(np.arange(4), 2), seed=0)
    assert len(few) == 10  # two rows a class: two folds


def test_evidence_reads_as_a_line():
    gain = evaluation.Difference(0.123, 0.08, 0.166, 20)
    line = "studio: +12.3 points (+8.0 to +16.6), LogME 0.41"
    assert str(choosing.Evidence("studio", gain, 0.41)) == line


ONES, OTHER = np.ones((40, 4)), np.r_[LABELS[:-1], 9]


@pytest.mark.parametrize(
    "sources, baseline, message",
    [
        ({}, features(ONES), "no source"),
        ({"a": ONES}, features(ONES), "'a' of type ndarray, expected Features"),
        ({"a": features(ONES)[:39]}, features(ONES), "other labels with 'a'"),
        ({"a": features(ONES, OTHER)}, features(ONES), "other labels with 'a'"),
        ({"a": features(np.ones((40, 2, 2, 3)))}, features(ONES), "flatten images"),
        ({"a": features(ONES, OTHER)}, features(ONES, OTHER), "one row of class 9"),
    ],
)
def test_should_transfer_refuses(sources, baseline, message):
    with pytest.raises(ValueError, match=message):
        should_transfer(sources, baseline)
