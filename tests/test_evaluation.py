"""Metrics against numbers worked out by hand, SciPy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax
from sklearn import metrics

from tl_helpers import evaluation

SEEDS = st.integers(0, 10_000)


def random_case(seed, num_images=40, num_classes=3):
    """Logits that know a little, and labels in which every class occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_images) % num_classes)
    logits = rng.normal(0, 2, (num_images, num_classes))
    logits[np.arange(num_images), labels] += rng.normal()
    return logits, labels


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
    assert spread.num_seeds == 3


def test_summarise_corrects_for_splits_that_overlap():
    """Three splits that test a quarter: 1/3 + 1/3 instead of 1/3 of the variance."""
    values = [0.5, 0.6, 0.7]
    plain, corrected = (
        evaluation.summarise(values, test_share=share) for share in (None, 0.25)
    )
    widths = [spread.high - spread.low for spread in (plain, corrected)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(2))
    assert (plain.mean, plain.deviation) == (corrected.mean, corrected.deviation)
    difference = evaluation.compare_paired(values, [0.0] * 3, test_share=0.25)
    assert difference[:3] == (corrected.mean, corrected.low, corrected.high)
    table = evaluation.ScoreTable(3, {"a": values, "b": [0.0] * 3}, test_share=0.25)
    assert table.only("a", "b").compare("a", "b") == difference


@pytest.mark.parametrize("share", [0, 1])
def test_a_test_set_of_nothing_or_all_is_refused(share):
    with pytest.raises(ValueError, match="Got test_share=.*between 0 and 1; leave"):
        evaluation.summarise([0.5, 0.6], test_share=share)


def test_corrected_interval_covers_what_the_plain_one_misses():
    """Accuracy of a threshold on random halves of 60 rows that a population gave."""

    def by_halves(test_share):
        def draw(rng):
            right = rng.random(60) < 0.7  # of a classifier that needs no training
            halves = [rng.permutation(right)[:30].mean() for _ in range(5)]
            return evaluation.summarise(halves, test_share)[2:4]

        return draw

    assert coverage(by_halves(None), 0.7) < 0.9 < coverage(by_halves(0.5), 0.7)


def test_summarise_of_one_value_claims_nothing():
    spread = evaluation.summarise([0.5])
    assert spread == evaluation.Spread(0.5, 0.0, -np.inf, np.inf, 1)


def test_summarise_refuses_nothing():
    with pytest.raises(ValueError, match="Got values of .*expected numbers"):
        evaluation.summarise([])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_compare_paired_ignores_what_both_share(scores):
    shifted = evaluation.compare_paired(np.array(scores) + 0.25, scores)
    ends = shifted.mean, shifted.low, shifted.high
    assert ends == pytest.approx((0.25,) * 3, abs=1e-9)


@given(st.integers(2, 8), SEEDS)
def test_compare_paired_is_scipys_paired_t(num_seeds, seed):
    ours, theirs = np.random.default_rng(seed).normal(size=(2, num_seeds))
    difference = evaluation.compare_paired(ours, theirs)
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((low, high))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_compare_paired_refuses_what_is_no_number(broken):
    with pytest.raises(ValueError, match="Got scores that are not finite"):
        evaluation.compare_paired([0.5, broken], [0.25, 0.25])


@pytest.mark.parametrize(
    ("values", "points", "verdict", "sentence"),
    [
        (
            (0.031, 0.012, 0.05),
            "+3.1 points (+1.2 to +5.0)",
            "better",
            "better by 3.1 points, 95% interval 1.2 to 5.0",
        ),
        (
            (0.25, 0.2, 0.3),
            "+25.0 points (+20.0 to +30.0)",
            "better",
            "better by 25.0 points, 95% interval 20.0 to 30.0",
        ),
        (
            (-0.031, -0.05, -0.012),
            "-3.1 points (-5.0 to -1.2)",
            "worse",
            "worse by 3.1 points, 95% interval 1.2 to 5.0",
        ),
        (
            (0.037, -0.0001, 0.075),
            "+3.7 points (-0.0 to +7.5)",
            "undecided",
            "no difference to be seen: +3.7 points, 95% interval 0.0 to 7.5",
        ),
        (
            (1e-17, 1e-17, 1e-17),
            "+0.0 points (+0.0 to +0.0)",
            "undecided",
            "no difference to be seen: +0.0 points, 95% interval 0.0 to 0.0",
        ),
    ],
)
def test_difference_prints_points_and_says_its_sentence(
    values, points, verdict, sentence
):
    difference = evaluation.Difference(*values, num_seeds=3)
    assert (str(difference), difference.verdict) == (points, verdict)
    assert difference.sentence == sentence


def test_difference_of_one_seed_claims_nothing():
    difference = evaluation.compare_paired([0.75], [0.5])
    assert str(difference) == "+25.0 points (one seed)"
    assert difference.verdict == "undecided"
    assert difference.sentence.startswith("+25.0 points in a single run")


def test_score_table_prints_methods_and_settings():
    table = evaluation.ScoreTable((0, 1))
    table["a"] = {5: [0.5, 0.7], 20: [1, 1]}
    table["long"] = {5: (0, 0), 20: np.array([0.25, 0.25])}
    assert str(table).splitlines() == [
        "                 5            20",
        "a    60.0 ± 14.1 % 100.0 ± 0.0 %",
        "long   0.0 ± 0.0 %  25.0 ± 0.0 %",
    ]
    flat = evaluation.ScoreTable(1, {"one": [0.5], "b": [1]})
    assert str(flat).splitlines() == ["one 50.0 ± 0.0 %", "b   100.0 ± 0.0 %"]
    alone = str(evaluation.ScoreTable(1, {"a": {5: [0.5]}}))
    assert alone.splitlines() == ["              5", "a  50.0 ± 0.0 %"]
    assert str(evaluation.ScoreTable(2)) == ""


def test_score_table_takes_rows_that_are_yet_to_be_computed():
    table = evaluation.ScoreTable(range(2))
    table["halves"] = map(lambda seed: seed / 2, range(2))
    assert table == {"halves": [0, 0.5]}


def test_score_table_compares_rows_seed_by_seed():
    rows = {"a": [0.5, 0.7], "b": [0.25, 0.5], "c": [0, 0]}
    table = evaluation.ScoreTable(2, rows)
    wanted = evaluation.compare_paired([0.5, 0.7], [0.25, 0.5])
    assert table.compare("a", "b") == wanted
    assert list(table.gains(over="b")) == ["a", "c"]
    assert table.gains("b", ["a"]) == {"a": wanted}
    assert list(table.only("c", "a")) == ["c", "a"]


def test_score_table_compares_at_one_setting_or_all():
    table = evaluation.ScoreTable(2, {"a": {5: [1, 1]}, "b": {5: [0.5, 0.25]}})
    wanted = evaluation.compare_paired([1, 1], [0.5, 0.25])
    assert table.compare("a", "b", at=5) == wanted
    assert table.compare("a", "b") == {5: wanted}


@pytest.mark.parametrize("row", [[0.5], {"x": [0.5, 0.5], "y": [0.5, 0.5, 0.5]}])
def test_score_table_refuses_other_seeds(row):
    table = evaluation.ScoreTable(2)
    with pytest.raises(ValueError, match="of 'method', expected 2, one for each seed"):
        table["method"] = row
    assert not table


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


def test_confusion_keeps_a_place_for_classes_that_do_not_occur():
    counts = evaluation.confusion([0, 2], [2, 2], 4)
    assert counts.tolist() == [[0] * 4, [0] * 4, [1, 0, 1, 0], [0] * 4]


COUNTING = [
    evaluation.accuracy,
    evaluation.balanced_accuracy,
    lambda answers, labels: evaluation.confusion(answers, labels, 3),
]


@pytest.mark.parametrize("count", COUNTING)
@pytest.mark.parametrize(
    "wrong",
    [
        np.arange(30)[:, None] % 3,  # against (30,) it would count 900 answers
        np.eye(3)[np.arange(30) % 3],
        np.arange(29) % 3,
        np.arange(30) % 3 - 1,  # -1 would be the last class
        np.arange(30) / 2,
        np.where(np.arange(30) == 7, np.nan, 1.0),
        np.array(list("ab") * 15),
        np.arange(30) > 3,
        None,
        [],
    ],
)
def test_answers_and_labels_are_one_class_number_an_image(count, wrong):
    for pair in ((wrong, np.arange(30) % 3), (np.arange(30) % 3, wrong)):
        with pytest.raises(ValueError, match="^Got .*labels.*expected"):
            count(*pair)


def test_confusion_counts_every_image_once():
    answers = np.array([0.0, 1.0, 2.0] * 10)  # whole numbers, whatever their type
    counts = evaluation.confusion(answers, np.uint8([0, 1, 1] * 10), 3)
    assert counts.tolist() == [[10, 0, 0], [0, 10, 10], [0, 0, 0]]


@pytest.mark.parametrize("answers", [[0, 3], [3, 0]])
def test_confusion_refuses_classes_out_of_range(answers):
    for pair in ((answers, [0, 1]), ([0, 1], answers)):
        with pytest.raises(ValueError, match="to 3, expected 0 to 2 for 3 classes"):
            evaluation.confusion(*pair, 3)


def test_bootstrap_interval_takes_two_values_and_so_many_resamples():
    assert evaluation.bootstrap_interval([1.0, 2.0]) == (1, 2)
    values = np.arange(50.0)
    few = evaluation.bootstrap_interval(values, num_resamples=99)
    assert few != evaluation.bootstrap_interval(values)


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
    with pytest.raises(ValueError, match="values (of|that are not finite).* expected"):
        evaluation.bootstrap_interval(values)


def test_intervals_of_a_mean_cover_it():
    def student(rng):
        return evaluation.summarise(rng.normal(2, 3, 5))[2:4]

    def bootstrap(rng):
        return evaluation.bootstrap_interval(rng.normal(2, 3, 40), num_resamples=500)

    assert 0.93 <= coverage(student, 2) <= 0.97
    assert 0.90 <= coverage(bootstrap, 2) <= 0.97


@pytest.mark.parametrize(
    ("num_right", "num_images", "sentence"),
    [
        (0.8, 50, "num_right=0.8, expected a whole number"),
        (41, 40, "num_right=41 of num_images=40, expected no more"),
        (0, 0, "num_images=0, expected a whole number from 1"),
    ],
)
def test_binomial_interval_counts_images(num_right, num_images, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluation.binomial_interval(num_right, num_images)


@pytest.mark.parametrize(
    "scores", [[0.5, np.nan], ["a", "b"], [[0.5], [0.5]], [81.3, 80.2]]
)
def test_score_table_refuses_what_are_no_scores(scores):
    with pytest.raises(ValueError, match="Got scores of 'probe'.*expected"):
        evaluation.ScoreTable(2, {"probe": scores})


def test_binomial_interval_covers_the_accuracy():
    def wilson(rng):
        return evaluation.binomial_interval(rng.binomial(50, 0.8), 50)

    assert 0.92 <= coverage(wilson, 0.8) <= 0.98


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
    with pytest.raises(ValueError, match="one label for each row"):
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


def test_calibration_curve_has_fifteen_bins_empty_ones_too():
    unsure = np.full((2, 20), 0.05)  # in the first bin, up to 1 / 15
    share = evaluation.calibration_curve(unsure, [0, 1]).share
    assert share.tolist() == [1] + 14 * [0]
    above = np.array([[1.0005, 0], [0, 1]])  # rounding of a softmax
    assert evaluation.calibration_curve(above, [0, 1]).share.tolist() == 14 * [0] + [1]


@given(st.integers(11, 20), st.integers(1, 30))
def test_expected_calibration_error_of_calibrated_answers_is_0(num_right, num_bins):
    """Right in k of 20 images, and sure of k / 20 in all of them."""
    confidence = num_right / 20
    probabilities = np.tile([confidence, 1 - confidence], (20, 1))
    labels = np.arange(20) >= num_right
    error = evaluation.calibration_curve(
        probabilities, labels.astype(int), num_bins
    ).error
    assert error == pytest.approx(0, abs=1e-12)


@given(SEEDS, st.integers(1, 20))
def test_expected_calibration_error_stays_in_its_range(seed, num_bins):
    logits, labels = random_case(seed)
    probabilities = softmax(logits, axis=1)
    error = evaluation.calibration_curve(probabilities, labels, num_bins).error
    order = np.random.default_rng(seed).permutation(len(labels))
    again = evaluation.calibration_curve(
        probabilities[order], labels[order], num_bins
    ).error
    gap = np.mean(probabilities.max(1)) - np.mean(probabilities.argmax(1) == labels)
    assert abs(gap) - 1e-12 <= error <= 1  # bins can only add to the whole gap
    assert again == pytest.approx(error)


def test_expected_calibration_error_of_sure_and_wrong_is_1():
    wrong = np.eye(2)[[1, 0, 1]]
    assert evaluation.calibration_curve(wrong, [0, 1, 0]).error == 1


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
        ([0.9, 0.1], [0, 1], "Got probabilities of .*expected numbers"),
        ([[np.nan, 1.0]], [0], "Got probabilities that are not finite"),
        (np.zeros((0, 2)), [], "expected numbers .n, classes., at least 1"),
        ([[0.5, 0.5]], [0, 1], "one label for each row"),
        ([[0.5, 0.5]], [2], "from 2 to 2, expected 0 to 1 for 2 classes"),
        ([[0.5, 0.5]], [-1], "class numbers from 0 on"),
        ([[0.5, 0.5]], [0.5], "class numbers from 0 on"),
    ],
)
def test_calibration_refuses_what_is_no_probability(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluation.calibration_curve(probabilities, labels)
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
    with pytest.raises(ValueError, match="one label for each row"):
        evaluation.fit_temperature(np.zeros((3, 2)), [0, 1])
