"""Rates at an operating point, and accuracy by group: by hand, and against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_helpers import evaluation

SCORES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
LABELS = [1, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("tpr, wanted", [(0, 0), (0.3, 0), (0.6, 1 / 3), (1, 1 / 3)])
def test_fpr_at_tpr_by_hand(tpr, wanted):
    assert evaluation.fpr_at_tpr(SCORES, LABELS, tpr) == pytest.approx(wanted)


@pytest.mark.parametrize("fpr, wanted", [(0, 1 / 3), (0.3, 1 / 3), (0.34, 1), (1, 1)])
def test_tpr_at_fpr_by_hand(fpr, wanted):
    assert evaluation.tpr_at_fpr(SCORES, LABELS, fpr) == pytest.approx(wanted)


def test_scores_that_tell_nothing_find_what_chance_does():
    """All alike: take every one, or none."""
    assert evaluation.tpr_at_fpr(np.ones(6), LABELS, 0.5) == 0
    assert evaluation.fpr_at_tpr(np.ones(6), LABELS, 0.5) == 1
    rng = np.random.default_rng(0)
    scores, labels = rng.random(20_000), rng.integers(0, 2, 20_000)
    assert evaluation.tpr_at_fpr(scores, labels, 0.01) == pytest.approx(0.01, abs=0.005)
    assert evaluation.fpr_at_tpr(scores, labels, 0.95) == pytest.approx(0.95, abs=0.01)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_rates_are_the_best_of_all_thresholds(seed, share):
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 6, 20), rng.permutation(np.arange(20) % 2)
    rates = [(0.0, 0.0)]
    for threshold in np.unique(scores):
        taken = scores >= threshold
        rates.append((taken[labels == 0].mean(), taken[labels == 1].mean()))
    best = max(true for false, true in rates if false <= share)
    assert evaluation.tpr_at_fpr(scores, labels, share) == pytest.approx(best)
    least = min(false for false, true in rates if true >= share)
    assert evaluation.fpr_at_tpr(scores, labels, share) == pytest.approx(least)


def test_rates_need_both_classes():
    with pytest.raises(ValueError, match="Got labels that are all 1, expected both"):
        evaluation.tpr_at_fpr([0.5, 0.6], [1, 1])
    with pytest.raises(ValueError, match="expected a share in"):
        evaluation.fpr_at_tpr(SCORES, LABELS, 95)


def test_auc_interval_by_hand():
    """At both ends the measured AUC lies 1.96 of their own errors away."""
    for end in evaluation.auc_interval(0.8, 20, 30):
        pairs = (1 - end) / (2 - end) + end / (1 + end)
        variance = end * (1 - end) * (1 + 24 * pairs) / 600
        assert abs(0.8 - end) == pytest.approx(1.959964 * variance**0.5, rel=1e-5)


def test_auc_interval_holds_the_truth_19_times_in_20():
    rng, truth, held = np.random.default_rng(0), 0.921, []  # two normals, 2 apart
    labels = np.repeat([0, 1], [30, 40])
    for _ in range(400):
        auc = evaluation.roc_auc(rng.normal(2 * labels, 1), labels)
        low, high = evaluation.auc_interval(auc, 40, 30)
        held.append(low <= truth <= high)
    assert 0.92 < np.mean(held) < 0.99


def test_auc_interval_is_mirrored_and_has_a_width_at_the_ends():
    low, high = evaluation.auc_interval(0.3, 12, 12)
    assert evaluation.auc_interval(0.7, 12, 12) == pytest.approx((1 - high, 1 - low))
    low, high = evaluation.auc_interval(1, 12, 12)
    assert high == 1 and 0.6 < low < 0.95
    assert evaluation.auc_interval(1, 900, 900)[0] > low


def test_accuracy_by_group_by_hand():
    labels, predictions = [0, 1, 0, 1, 0, 1], [0, 1, 1, 1, 1, 0]
    found = evaluation.accuracy_by_group(predictions, labels, list("bababa"))
    assert list(found) == ["b", "a"]
    assert found["b"].accuracy == pytest.approx(1 / 3)
    assert found["b"].num_images == 3
    assert found["a"][1:3] == evaluation.binomial_interval(2, 3)
    assert str(found["a"]).startswith("66.7% (")


def test_accuracy_by_group_adds_up_to_the_accuracy():
    rng = np.random.default_rng(0)
    labels, predictions, groups = rng.integers(0, 3, (3, 200))
    found = evaluation.accuracy_by_group(predictions, labels, groups)
    total = sum(one.accuracy * one.num_images for one in found.values()) / 200
    assert total == pytest.approx(evaluation.accuracy(predictions, labels))


def test_accuracy_by_group_refuses_groups_that_do_not_fit():
    for groups in ([0, 1], [0.5, 1, 2], None, [[0, 1, 2]]):
        with pytest.raises(ValueError, match="expected the name or number of its gro"):
            evaluation.accuracy_by_group([0, 1, 1], [0, 1, 1], groups)
