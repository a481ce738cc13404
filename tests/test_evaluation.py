"""Metrics against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_helpers import evaluation


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
