"""Metrics against numbers worked out by hand, SciPy and scikit-learn."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax
from sklearn import metrics

from tl_helpers import evaluation, plots
from tl_helpers.evaluation import comparison

SEEDS = st.integers(0, 10_000)


def random_case(seed, num_images=40, num_classes=3):
    """Logits that know a little, and labels in which every class occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_images) % num_classes)
    logits = rng.normal(0, 2, (num_images, num_classes))
    logits[np.arange(num_images), labels] += rng.normal()
    return logits, labels


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(comparison, "NUM_BATCHES", 1)


def coverage(draw_interval, truth, repetitions=400):
    """Share of the repetitions in which the interval holds the truth."""
    rng = np.random.default_rng(0)
    ends = np.array([draw_interval(rng)[:2] for _ in range(repetitions)])
    return np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))


def test_summarise_by_hand():
    spread = evaluation.summarise([0.5, 0.6, 0.7])
    assert spread.mean == pytest.approx(0.6)
    assert spread.deviation == pytest.approx(0.1)
    half = 4.302653 * 0.1 / np.sqrt(3)  # t of 2 degrees of freedom
    assert spread.high - spread.mean == pytest.approx(half, rel=1e-5)
    assert str(spread) == "60.0 ± 10.0 %"


def test_summarise_of_one_value_claims_nothing():
    spread = evaluation.summarise([0.5])
    assert spread.low == -np.inf
    assert spread.high == np.inf


def test_summarise_refuses_nothing():
    with pytest.raises(ValueError, match="one number for each seed"):
        evaluation.summarise([])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_compare_paired_ignores_what_both_share(scores):
    shifted = evaluation.compare_paired(np.array(scores) + 0.25, scores)
    assert shifted.mean == pytest.approx(0.25)
    assert shifted.deviation == pytest.approx(0, abs=1e-9)


def test_compare_paired_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="2 and 1 scores"):
        evaluation.compare_paired([1, 2], [1])


def test_accuracy_by_hand():
    assert evaluation.accuracy([0, 1, 2, 2], [0, 1, 1, 2]) == 0.75


def test_accuracy_refuses_probabilities():
    with pytest.raises(ValueError, match="argmax"):
        evaluation.accuracy(np.ones((2, 3)), [0, 1])


def test_binomial_interval_is_wilsons():
    low, high = evaluation.binomial_interval(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_confusion_counts_every_answer_once(pairs):
    predictions, labels = np.array(pairs).T
    counts = evaluation.confusion(predictions, labels, 4)
    assert counts.sum() == len(pairs)
    right = np.trace(counts) / len(pairs)
    assert right == pytest.approx(evaluation.accuracy(predictions, labels))


def test_format_table_aligns_methods_and_settings():
    scores = {"a": {5: [0.5, 0.7], 20: [1, 1]}, "long": {5: [0, 0], 20: [0.25, 0.25]}}
    assert evaluation.format_table(scores).splitlines() == [
        "                 5            20",
        "a    60.0 ± 14.1 % 100.0 ± 0.0 %",
        "long   0.0 ± 0.0 %  25.0 ± 0.0 %",
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((0.031, 0.012, 0.05), "better by 3.1 points, 95% interval 1.2 to 5.0"),
        ((-0.031, -0.05, -0.012), "worse by 3.1 points, 95% interval 1.2 to 5.0"),
        (
            (0.004, -0.012, 0.02),
            "no difference to be seen: +0.4 points, 95% interval -1.2 to 2.0",
        ),
        ((0, 0, 0), "no difference to be seen: +0.0 points, 95% interval 0.0 to 0.0"),
        (
            (-1e-17, -1e-17, -1e-17),
            "no difference to be seen: +0.0 points, 95% interval 0.0 to 0.0",
        ),
    ],
)
def test_differences_print_as_a_sentence(values, sentence):
    assert str(evaluation.Difference(*values, num_seeds=3, num_images=9)) == sentence
    mean, low, high = values
    assert evaluation.Spread(mean, 0.1, low, high, 3).describe() == sentence


def test_describe_claims_nothing_from_one_seed():
    sentence = evaluation.compare_paired([0.75], [0.5]).describe()
    assert sentence.startswith("+25.0 points in a single run")
    assert "better" not in sentence


def test_bootstrap_interval_is_the_percentiles_of_resampled_means():
    values = np.random.default_rng(1).gamma(2, size=60)
    rng = np.random.default_rng(2)
    means = values[rng.integers(0, 60, (20_000, 60))].mean(axis=1)
    wanted = np.quantile(means, (0.025, 0.975))
    interval = evaluation.bootstrap_interval(values)
    assert interval == pytest.approx(wanted, abs=0.03 * values.std())


@pytest.mark.parametrize("statistic", [np.max, lambda drawn: max(drawn)])
def test_bootstrap_interval_takes_any_statistic(statistic):
    """Only 1 of 256 resamples of 1, 3, 3, 3 lacks a 3."""
    assert evaluation.bootstrap_interval([1, 3, 3, 3], statistic, 500) == (3, 3)


def test_bootstrap_interval_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(size=20)
    first, again, other = (
        evaluation.bootstrap_interval(values, num_resamples=200, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, np.nan]])
def test_bootstrap_interval_refuses_what_it_cannot_draw_from(values):
    with pytest.raises(ValueError, match="at least two finite numbers"):
        evaluation.bootstrap_interval(values)


def test_intervals_of_a_mean_cover_it():
    def student(rng):
        return evaluation.summarise(rng.normal(2, 3, 5))[2:4]

    def bootstrap(rng):
        return evaluation.bootstrap_interval(rng.normal(2, 3, 40), num_resamples=500)

    assert 0.93 <= coverage(student, 2) <= 0.97
    assert 0.90 <= coverage(bootstrap, 2) <= 0.97


def test_binomial_interval_covers_the_accuracy():
    def wilson(rng):
        return evaluation.binomial_interval(rng.binomial(50, 0.8), 50)

    assert 0.92 <= coverage(wilson, 0.8) <= 0.98


@pytest.mark.parametrize("num_seeds", [1, 3, 5])
def test_compare_on_images_covers_the_difference(few_resamples, num_seeds):
    """The method is right where the baseline is, or on 10% of the images more."""

    def interval(rng):
        seed = rng.normal(0, 0.03, (num_seeds, 1)) * (num_seeds > 1)
        level = rng.random(200)  # how hard an image is, shared by all
        noise = rng.normal(0, 0.1, (2, num_seeds, 200))
        difference = evaluation.compare_on_images(
            level + noise[0] < 0.7 + seed, level + noise[1] < 0.6
        )
        return difference.low, difference.high

    assert 0.90 <= coverage(interval, 0.1) <= 0.995


def test_compare_on_images_of_one_seed_draws_the_images():
    """60 images gained, 40 lost of 1000: deviation of the mean sqrt(.1 - .02²)/√n."""
    right = np.arange(1000) < 60
    baseline = np.arange(1000) >= 960
    difference = evaluation.compare_on_images(right, baseline)
    half = 1.96 * np.sqrt((0.1 - 0.02**2) / 1000)
    assert difference.mean == pytest.approx(0.02)
    assert difference.low == pytest.approx(0.02 - half, abs=0.1 * half)
    assert difference.high == pytest.approx(0.02 + half, abs=0.1 * half)
    assert difference[3:] == (1, 1000)


def test_compare_on_images_sees_that_seeds_disagree():
    """One of four seeds gains all: three are drawn, and it comes 0 to 2 times."""
    right = np.repeat([[True], [False], [False], [False]], 50, axis=1)
    difference = evaluation.compare_on_images(right, np.zeros_like(right))
    assert difference.mean == 0.25
    assert (difference.low, difference.high) == pytest.approx((0, 2 / 3))


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_compare_on_images_turns_round_and_ignores_order(seed, num_seeds):
    rng = np.random.default_rng(seed)
    right, baseline = rng.random((2, num_seeds, 30)) < 0.6
    there = evaluation.compare_on_images(right, baseline)
    back = evaluation.compare_on_images(baseline, right)
    order = rng.permutation(30)
    shuffled = evaluation.compare_on_images(right[:, order], baseline[:, order])
    assert there.mean == pytest.approx(np.mean(right) - np.mean(baseline))
    assert there.low <= there.mean <= there.high
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.05)
    assert shuffled[:3] == pytest.approx(there[:3])


def test_compare_on_images_counts_a_group_as_one_piece_of_evidence(few_resamples):
    """Ten copies of every image are worth no more than the image."""
    right, baseline = np.random.default_rng(0).random((2, 3, 40)) < 0.6
    once = evaluation.compare_on_images(right, baseline)
    tenfold = [np.repeat(answers, 10, axis=1) for answers in (right, baseline)]
    grouped = evaluation.compare_on_images(*tenfold, np.repeat(np.arange(40), 10))
    fooled = evaluation.compare_on_images(*tenfold)
    assert grouped[:3] == pytest.approx(once[:3])
    assert fooled.high - fooled.low < 0.9 * (once.high - once.low)


def test_compare_on_images_weighs_groups_by_their_images():
    """A group of 9 images gains, one of 1 loses; either may be drawn twice."""
    right = np.arange(10) < 9
    difference = evaluation.compare_on_images(right, ~right, [0] * 9 + [1])
    assert difference[:3] == pytest.approx((0.8, -1, 1))


@pytest.mark.parametrize(
    ("right", "baseline", "groups", "message"),
    [
        ([1, 0], [True, False], None, "expected booleans"),
        ([True, False], [True], None, "the same"),
        (np.ones((2, 0), bool), np.ones((2, 0), bool), None, "the same"),
        ([True, False], [True, True], [0], "one group for each image"),
    ],
)
def test_compare_on_images_refuses(right, baseline, groups, message):
    with pytest.raises(ValueError, match=message):
        evaluation.compare_on_images(right, baseline, groups)


def test_compare_on_images_can_be_drawn():
    right = np.arange(100) < 60
    difference = evaluation.compare_on_images(right, np.arange(100) < 50)
    axis = plots.gains({"a": {5: difference}})
    assert axis.containers[0][0].get_ydata() == pytest.approx([10])


def test_mcnemar_p_value_by_hand():
    """5 images won and 1 lost: 2 (1 + 6) / 2^6, whatever both have right or wrong."""
    right = np.array([True] * 5 + [False] + [True] * 7 + [False] * 3)
    baseline = np.array([False] * 5 + [True] + [True] * 7 + [False] * 3)
    assert evaluation.mcnemar_p_value(right, baseline) == pytest.approx(0.21875)
    assert evaluation.mcnemar_p_value(right, right) == 1


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_p_value_is_a_binomial_test(won, lost):
    right = np.array([True] * won + [False] * lost + [True])
    baseline = np.array([False] * won + [True] * lost + [True])
    p_value = evaluation.mcnemar_p_value(right, baseline)
    tail = sum(comb(won + lost, k) for k in range(min(won, lost) + 1))
    assert p_value == pytest.approx(min(1, 2 * tail / 2 ** (won + lost)))
    if won + lost:
        assert p_value == stats.binomtest(lost, won + lost).pvalue


@pytest.mark.parametrize(
    ("right", "message"), [([1, 0], "booleans"), (np.ones((2, 2), bool), "2 seeds")]
)
def test_mcnemar_p_value_refuses(right, message):
    with pytest.raises(ValueError, match=message):
        evaluation.mcnemar_p_value(right, np.ones_like(right))


def test_balanced_accuracy_by_hand():
    """Class 0: 4 of 4 right, class 1: 0 of 1; an answer may be a third class."""
    assert evaluation.balanced_accuracy([0, 0, 0, 0, 2], [0, 0, 0, 0, 1]) == 0.5
    with pytest.raises(ValueError, match="argmax"):
        evaluation.balanced_accuracy(np.ones((2, 3)), [0, 1])


@given(SEEDS)
def test_balanced_accuracy_is_scikit_learns(seed):
    logits, labels = random_case(seed)
    predictions = logits.argmax(axis=1)
    wanted = metrics.balanced_accuracy_score(labels, predictions)
    assert evaluation.balanced_accuracy(predictions, labels) == pytest.approx(wanted)


def test_roc_auc_of_two_classes_by_hand():
    """Of 2 x 2 pairs, three are in order."""
    scores, labels = np.array([0.1, 0.4, 0.35, 0.8]), [0, 0, 1, 1]
    assert evaluation.roc_auc(scores, labels) == 0.75
    both = np.stack([1 - scores, scores], axis=1)
    assert evaluation.roc_auc(both, labels) == 0.75
    assert evaluation.roc_auc(np.log(scores), labels) == 0.75  # only order counts


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_roc_auc_is_the_mean_share_of_pairs_in_order(seed):
    logits, labels = random_case(seed, 24)
    probabilities = softmax(logits, axis=1)
    shares = []
    for label in range(3):
        own = probabilities[labels == label, label]
        rest = probabilities[labels != label, label]
        shares.append((own[:, None] > rest).mean())
    assert evaluation.roc_auc(probabilities, labels) == pytest.approx(np.mean(shares))
    coarse = probabilities.astype(np.float16)  # rows do not quite add up to 1
    assert evaluation.roc_auc(coarse, labels) == pytest.approx(
        np.mean(shares), abs=0.01
    )


def test_roc_auc_refuses_a_class_without_labels():
    with pytest.raises(ValueError, match="each of 3 classes"):
        evaluation.roc_auc(np.full((4, 3), 1 / 3), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="3 labels"):
        evaluation.roc_auc([0.1, 0.9], [0, 1, 1])


def test_calibration_curve_by_hand():
    """Sure of 0.9 and right in 2 of 3; sure of 0.6 and right in 1 of 1."""
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]
    curve = evaluation.calibration_curve(probabilities, [0, 0, 1, 1], num_bins=5)
    nan = np.nan
    np.testing.assert_allclose(curve.confidence, [nan, nan, 0.6, nan, 0.9])
    np.testing.assert_allclose(curve.accuracy, [nan, nan, 1, nan, 2 / 3])
    np.testing.assert_allclose(curve.share, [0, 0, 0.25, 0, 0.75])
    assert curve.error == pytest.approx(0.25 * 0.4 + 0.75 * (0.9 - 2 / 3))


def test_calibration_curve_keeps_the_surest_answers():
    curve = evaluation.calibration_curve(np.eye(3), [0, 1, 1])
    assert curve.share[-1] == 1
    assert curve.accuracy[-1] == pytest.approx(2 / 3)


@given(st.integers(11, 20), st.integers(1, 30))
def test_expected_calibration_error_of_calibrated_answers_is_0(num_right, num_bins):
    """Right in k of 20 images, and sure of k / 20 in all of them."""
    confidence = num_right / 20
    probabilities = np.tile([confidence, 1 - confidence], (20, 1))
    labels = np.arange(20) >= num_right
    error = evaluation.expected_calibration_error(
        probabilities, labels.astype(int), num_bins
    )
    assert error == pytest.approx(0, abs=1e-12)


@given(SEEDS, st.integers(1, 20))
def test_expected_calibration_error_stays_in_its_range(seed, num_bins):
    logits, labels = random_case(seed)
    probabilities = softmax(logits, axis=1)
    error = evaluation.expected_calibration_error(probabilities, labels, num_bins)
    order = np.random.default_rng(seed).permutation(len(labels))
    again = evaluation.expected_calibration_error(
        probabilities[order], labels[order], num_bins
    )
    gap = np.mean(probabilities.max(1)) - np.mean(probabilities.argmax(1) == labels)
    assert abs(gap) - 1e-12 <= error <= 1  # bins can only add to the whole gap
    assert again == pytest.approx(error)


def test_expected_calibration_error_of_sure_and_wrong_is_1():
    wrong = np.eye(2)[[1, 0, 1]]
    assert evaluation.expected_calibration_error(wrong, [0, 1, 0]) == 1


def test_brier_score_by_hand_and_for_two_classes_twice_scikit_learns():
    probabilities = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    labels = [0, 1, 1]
    score = evaluation.brier_score(probabilities, labels)
    assert score == pytest.approx(2 * (0.3**2 + 0.2**2 + 0.6**2) / 3)
    half = metrics.brier_score_loss(labels, probabilities[:, 1])
    assert score == pytest.approx(2 * half)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[2.0, -1.0]], [0], "apply softmax"),
        ([[0.9, 0.9]], [0], "apply softmax"),
        ([0.9, 0.1], [0, 1], "finite probabilities"),
        ([[np.nan, 1.0]], [0], "finite probabilities"),
        (np.zeros((0, 2)), [], "finite probabilities"),
        ([[0.5, 0.5]], [0, 1], "n labels"),
        ([[0.5, 0.5]], [2], r"integers in \[0, 2\)"),
        ([[0.5, 0.5]], [-1], r"integers in \[0, 2\)"),
        ([[0.5, 0.5]], [0.5], r"integers in \[0, 2\)"),
    ],
)
def test_calibration_refuses_what_is_no_probability(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluation.expected_calibration_error(probabilities, labels)
    with pytest.raises(ValueError, match=message):
        evaluation.brier_score(probabilities, labels)


def test_fit_temperature_by_hand():
    """Right in 3 of 4 with logits 2 : 0; softmax gives 3/4 at 2 / T = log 3."""
    logits = np.tile([2.0, 0.0], (4, 1))
    temperature = evaluation.fit_temperature(logits, [0, 0, 0, 1])
    assert temperature == pytest.approx(2 / np.log(3), rel=1e-4)


@given(SEEDS, st.floats(0.2, 5))
@settings(max_examples=30, deadline=None)
def test_fit_temperature_never_raises_the_loss(seed, scale):
    logits, labels = random_case(seed)
    temperature = evaluation.fit_temperature(scale * logits, labels)

    def loss(divisor):
        probabilities = softmax(scale * logits / divisor, axis=1)
        return metrics.log_loss(labels, probabilities)

    assert 0.01 <= temperature <= 100
    assert loss(temperature) <= loss(1) + 1e-12
    answers = (scale * logits / temperature).argmax(axis=1)
    np.testing.assert_array_equal(answers, logits.argmax(axis=1))


def test_fit_temperature_undoes_a_scale():
    logits, labels = random_case(0, 300)
    once = evaluation.fit_temperature(logits, labels)
    assert evaluation.fit_temperature(3 * logits, labels) == pytest.approx(
        3 * once, rel=1e-3
    )


def test_fit_temperature_is_1_where_none_is_better():
    assert evaluation.fit_temperature(np.zeros((4, 3)), [0, 1, 2, 0]) == 1


def test_fit_temperature_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="n labels"):
        evaluation.fit_temperature(np.zeros((3, 2)), [0, 1])
