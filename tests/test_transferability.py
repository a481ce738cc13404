"""The scores equal their formulas and the published LogME; ranks know their doubt."""

import importlib
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits

from tl_helpers import choosing, profiles
from tl_helpers.choosing import (
    h_score,
    leep,
    logme,
    nce,
    rank,
    shrunk_h_score,
)
from tl_helpers.features import Features

RATIOS = profiles.data_dir().parent / "benchmarks" / "ratios"
if not RATIOS.exists():
    pytest.skip("needs a clone: benchmarks/", allow_module_level=True)
sys.path.insert(0, str(RATIOS))
direct_logme = importlib.import_module("published_logme").direct_logme

FEATURE_SCORES = [logme, h_score, shrunk_h_score]
seeds = st.integers(0, 10_000)


def clusters(num_rows, num_features, seed=0, num_classes=4, distance=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_rows) % num_classes)
    centres = distance * rng.normal(size=(num_classes, num_features))
    return centres[labels] + rng.normal(size=(num_rows, num_features)), labels


def probabilities(num_rows, num_classes, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(num_classes), num_rows)


@pytest.mark.parametrize("shape", [(200, 20), (60, 59), (60, 60), (60, 61), (30, 300)])
@pytest.mark.parametrize("scale", [0.01, 1, 100])
def test_logme_agrees_with_the_published_algorithm(shape, scale):
    values, labels = clusters(*shape)
    assert logme(scale * values, labels) == pytest.approx(
        direct_logme(scale * values, labels), abs=1e-9
    )


@pytest.mark.parametrize("num_rows", [40, 400, 1797])
def test_logme_agrees_with_the_published_algorithm_on_digits(num_rows):
    """Counts of ink, with pixels that are always blank and others often so."""
    values, labels = (part[:num_rows] for part in load_digits(return_X_y=True))
    assert logme(np.float32(values), labels) == pytest.approx(
        direct_logme(values, labels), abs=1e-6
    )


def test_logme_has_a_closed_form_for_orthonormal_features():
    """Along d equal axes y has one variance, off them another: both are averages."""
    labels = np.arange(40) % 2
    values = np.linalg.qr(clusters(40, 5)[0] + labels[:, None])[0] * 3
    expected = []
    for label in (0, 1):
        y = labels == label
        on_axes = ((values.T / 3 @ y) ** 2).sum()
        off_axes = y.sum() - on_axes
        log_variances = 5 * np.log(on_axes / 5) + 35 * np.log(off_axes / 35)
        expected.append(-(log_variances / 40 + np.log(2 * np.pi) + 1) / 2)
    assert logme(values, labels) == pytest.approx(np.mean(expected), abs=1e-4)


def largest_log_density(values, y):
    """Maximum over alpha and beta of the log of y's density, found by search."""

    def negative(logs):
        covariance = np.eye(len(y)) * np.exp(logs[0]) + np.exp(logs[1]) * gram
        return -stats.multivariate_normal(cov=covariance).logpdf(y)

    gram = values @ values.T
    return -optimize.minimize(negative, [-1.0, -1.0], method="Nelder-Mead").fun


@pytest.mark.parametrize("shape", [(24, 8), (30, 40)])
def test_logme_is_the_largest_log_density(shape):
    values, labels = clusters(*shape, seed=1, num_classes=3)
    densities = [largest_log_density(values, labels == label) for label in range(3)]
    assert logme(values, labels) == pytest.approx(
        np.mean(densities) / shape[0], abs=1e-5
    )


def test_logme_of_blank_features_is_the_density_of_noise_alone():
    labels = np.array([0, 0, 1, 1, 1, 1, 5, 5])
    variances = np.array([2, 4, 2]) / 8
    expected = -(np.log(2 * np.pi * variances) + 1).mean() / 2
    assert logme(np.zeros((8, 3)), labels) == pytest.approx(expected, abs=1e-5)


def test_logme_ignores_columns_of_zeros():
    values, labels = clusters(30, 6)
    wider = np.hstack([values, np.zeros((30, 50))])
    assert logme(wider, labels) == pytest.approx(logme(values, labels))


@given(seeds, st.sampled_from([(40, 5), (10, 30)]))
@settings(max_examples=20, deadline=None)
def test_logme_does_not_depend_on_axes_order_or_names(seed, shape):
    values, labels = clusters(*shape, seed=seed)
    rotation = stats.ortho_group(shape[1], seed=seed).rvs()
    rows = np.random.default_rng(seed).permutation(shape[0])
    renamed = np.array([7, 2, 30, 11])[labels]
    turned = logme((values @ rotation)[rows], renamed[rows])
    assert turned == pytest.approx(logme(values, labels), abs=1e-8)


@given(seeds, st.integers(2, 40), st.integers(1, 40), st.sampled_from([1e-4, 1, 1e4]))
@settings(max_examples=60, deadline=None)
def test_feature_scores_are_finite(seed, num_rows, num_features, scale):
    values, labels = clusters(num_rows, num_features, seed, num_classes=2)
    values = np.float32(scale * values)
    values[:, 0] = scale  # constant
    labels[labels == 1] = 9  # a gap
    scores = [score(values, labels) for score in FEATURE_SCORES]
    assert np.isfinite(scores).all()
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores[1:])


def test_feature_scores_prefer_features_that_separate():
    near, labels = clusters(100, 5, distance=0.1)
    far, same_labels = clusters(100, 5, distance=2.0)
    assert (labels == same_labels).all()
    for score in FEATURE_SCORES:
        assert score(far, labels) > score(near, labels) + 0.2


def test_h_score_of_one_feature_by_hand():
    """Class means 1 and 4, mean 3: variance between 2, of all 4."""
    values = np.array([[0.0], [2], [2], [4], [5], [5]])
    labels = np.array([0, 0, 1, 1, 1, 1])
    assert h_score(values, labels) == pytest.approx(2 / (20 / 6))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_h_score_survives_every_invertible_map(seed):
    values, labels = clusters(50, 4, seed)
    mix = np.random.default_rng(seed).normal(size=(4, 4)) + 3 * np.eye(4)
    assert h_score(values @ mix + 5, labels) == pytest.approx(h_score(values, labels))


def test_h_score_of_few_rows_says_nothing_and_the_shrunk_one_does():
    noise, labels = clusters(20, 40, distance=0.0)
    signal, same_labels = clusters(20, 40, distance=3.0)
    assert (labels == same_labels).all()
    assert h_score(noise, labels) == pytest.approx(3)
    assert h_score(signal, labels) == pytest.approx(3)
    assert shrunk_h_score(signal, labels) > shrunk_h_score(noise, labels) + 1


@pytest.mark.parametrize("shape", [(200, 6), (30, 50), (9, 1)])
def test_shrunk_h_score_agrees_with_its_formula(shape):
    values, labels = clusters(*shape, num_classes=3)
    fitted = LedoitWolf().fit(values)
    means = np.array([values[labels == label].mean(axis=0) for label in range(3)])
    between = np.atleast_2d(np.cov(means[labels].T, bias=True))
    kept = 1 - fitted.shrinkage_
    expected = np.trace(np.linalg.inv(fitted.covariance_) @ between) * kept
    assert shrunk_h_score(values, labels) == pytest.approx(expected)


def test_feature_scores_of_constant_features_are_those_of_no_features():
    labels = np.array([0, 0, 1, 1, 1])
    for score in (h_score, shrunk_h_score):
        assert score(np.full((5, 3), 0.1, np.float32), labels) == 0


def test_leep_by_hand():
    """P(y = 0 | z) is 0.9 / 1.2 for z = 0 and 0.1 / 0.8 for z = 1."""
    theta = np.array([[0.9, 0.1], [0.3, 0.7]])
    likelihoods = [0.9 * 0.75 + 0.1 * 0.125, 0.3 * 0.25 + 0.7 * 0.875]
    expected = np.log(likelihoods).mean()
    assert leep(theta, np.array([0, 1])) == pytest.approx(expected)


def test_nce_by_hand():
    """One source class is pure, the other a coin: two of four rows cost log 2."""
    score = nce(np.array([4, 4, 9, 9]), np.array([0, 0, 0, 1]))
    assert score == pytest.approx(-np.log(2) / 2)


@given(seeds, st.integers(2, 40), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_leep_and_nce_do_not_depend_on_names(seed, num_rows, num_source):
    theta, labels = probabilities(num_rows, num_source, seed), np.arange(num_rows) % 2
    order = np.random.default_rng(seed).permutation(num_source)
    source, renamed = theta.argmax(axis=1), np.array([8, 3])[labels]
    assert leep(theta[:, order], renamed) == pytest.approx(leep(theta, labels))
    assert nce(order[source], renamed) == pytest.approx(nce(source, labels))
    assert -np.log(2) - 1e-9 <= leep(theta, labels) <= 0


@given(seeds, st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_leep_of_a_sure_source_is_nce(seed, num_rows):
    source = np.random.default_rng(seed).integers(0, 5, num_rows)
    labels = np.arange(num_rows) % 3 if num_rows > 2 else np.array([0, 4])
    sure = np.eye(6)[source]  # the last source class never occurs
    assert leep(sure, labels) == pytest.approx(nce(source, labels))


def test_leep_of_an_ignorant_source_is_the_entropy_of_the_labels():
    labels = np.array([0, 0, 0, 2])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert leep(np.full((4, 3), 1 / 3), labels) == pytest.approx(-entropy)


@pytest.mark.parametrize("score", FEATURE_SCORES)
@pytest.mark.parametrize(
    "values, labels, match",
    [
        (np.ones((3, 2)), [0, 1], r"labels of shape \(2,\) for 3 rows"),
        (np.ones(3), [0, 1, 1], r"features of shape \(3,\), expected \(n, d\)"),
        (np.ones((3, 0)), [0, 1, 1], r"features of shape \(3, 0\), expected \(n, d\)"),
        (np.ones((3, 2)), [0, 0, 0], "1 class in 3 rows, expected at least two"),
        (np.ones((3, 2)), [0.5, 1.0, 1.0], "labels of type float64, such as 0.5"),
        (np.full((3, 2), np.nan), [0, 1, 1], "not finite"),
    ],
)
def test_feature_scores_refuse(score, values, labels, match):
    with pytest.raises(ValueError, match=match):
        score(values, np.array(labels))


def test_leep_refuses_logits():
    with pytest.raises(ValueError, match="from -2 to 3, expected rows .* softmax"):
        leep(np.array([[3.0, -2], [-2, 3]]), np.array([0, 1]))


def test_nce_refuses_probabilities():
    with pytest.raises(ValueError, match=r"source labels of shape \(4, 3\) for 4 rows"):
        nce(probabilities(4, 3), np.array([0, 1, 0, 1]))


def test_rank_puts_the_best_first_and_is_sure_of_it():
    candidates = {
        name: Features(*clusters(80, 5, distance=far))
        for name, far in {"poor": 0.1, "good": 3.0, "fair": 0.7}.items()
    }
    ranks = rank(candidates, num_samples=10)
    assert [one.name for one in ranks] == ["good", "fair", "poor"]
    assert [one.share_first for one in ranks] == [1, 0, 0]
    assert ranks[0].score == logme(*candidates["good"])
    assert all(one.low < one.score < one.high for one in ranks)


def test_rank_reads_as_a_line():
    one = choosing.Rank("block4", 0.41234, 0.389, 0.4361, 0.84)
    assert str(one) == "block4: 0.412 (0.389 to 0.436), first in 84%"


def test_rank_spread_is_that_of_fresh_rows():
    """The mean of n numbers of deviation 1 has a deviation of 1 / sqrt(n)."""
    values = np.random.default_rng(0).normal(size=(400, 1))
    values = (values - values.mean()) / values.std()
    rows = Features(values, np.arange(400) % 4)
    (one,) = rank({"a": rows}, mean_value, num_samples=400)
    assert (one.high - one.low) / 2 == pytest.approx(1.96 / 20, rel=0.15)
    assert (one.high + one.low) / 2 == pytest.approx(0, abs=0.02)


def mean_value(values, labels):
    return values.mean()


def test_rank_gives_all_candidates_the_same_rows():
    """A candidate that is better on every row is first in every sample."""
    values = np.random.default_rng(0).normal(size=(30, 1))
    both = {"low": values, "high": values + 1e-6}
    candidates = {name: Features(x, np.arange(30) % 2) for name, x in both.items()}
    ranks = rank(candidates, mean_value)
    assert [one.share_first for one in ranks] == [1, 0]


def test_rank_samples_keep_every_class_and_repeat_no_row():
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
    seen = []

    def watch(values, some_labels):
        seen.append((np.unique(values).size, tuple(np.bincount(some_labels))))
        return 0.0

    rank({"a": Features(np.arange(18), labels)}, watch, num_samples=5)
    assert seen == [(18, (1, 2, 5, 10))] + 5 * [(14, (1, 1, 4, 8))]


def test_rank_repeats_with_its_seed():
    rows = Features(*clusters(20, 3))
    first, same, other = (rank({"a": rows}, seed=seed) for seed in (1, 1, 2))
    assert first == same != other


def test_rank_takes_source_probabilities():
    labels = np.arange(40) % 2
    sure = 0.8 * np.eye(2)[labels] + 0.1
    both = {"blind": np.full((40, 2), 0.5), "sure": sure}
    ranks = rank({name: Features(x, labels) for name, x in both.items()}, leep)
    assert ranks[0].name == "sure" and ranks[0].score == leep(sure, labels)


def rows(*labels):
    return Features(np.ones((len(labels), 1)), np.array(labels))


def test_rank_compares_the_names_of_the_classes():
    names = {"one": tuple("abcd"), "two": tuple("bacd")}
    rows = {name: Features(*clusters(20, 3), own) for name, own in names.items()}
    with pytest.raises(ValueError, match="Got 'b' for class 0 in 'two', expected 'a'"):
        rank(rows)


@pytest.mark.parametrize(
    "candidates, match",
    [
        ({}, "no candidate"),
        ({"a": np.ones((3, 1))}, "'a' of type ndarray, expected Features"),
        ({"a": rows(0, 1, 1), "b": rows(1, 0, 1)}, "other labels with 'b' than"),
        ({"a": rows(0, 1)}, "2 labels of as many classes"),
    ],
)
def test_rank_refuses(candidates, match):
    with pytest.raises(ValueError, match=match):
        rank(candidates)
