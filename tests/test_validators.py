"""Scores without target labels equal their formulas, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_helpers.selection.validators import (
    density_ratio,
    dev,
    information_maximisation,
    soft_neighbourhood_density,
    source_validation,
    target_entropy,
    weighted_mean,
)

H_QUARTER = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))  # of answers 1/4 and 3/4
SURE = 1e3 * np.eye(3)  # three images, each with certainty a class of its own


def test_source_validation_counts_right_answers():
    logits = [[2, 1], [0, 1], [3, 0], [0, 5]]
    assert source_validation(logits, [0, 1, 1, 1]) == 0.75
    assert source_validation(logits, [0, 1, 0, 0]) == 0.75


def test_target_entropy_by_hand():
    logits = np.log([[0.25, 0.75], [0.5, 0.5]])
    assert target_entropy(logits) == pytest.approx(-(H_QUARTER + np.log(2)) / 2)


def test_target_entropy_is_best_for_certainty_even_of_one_class():
    assert target_entropy(SURE[[0, 0, 0]]) == pytest.approx(0)


def test_information_maximisation_by_hand():
    """Mean answer (1/4, 3/4) of answers (0, 1) and (1/2, 1/2)."""
    score = information_maximisation([[0, 50], [0, 0]])
    assert score == pytest.approx(H_QUARTER - np.log(2) / 2)


def test_information_maximisation_sees_collapse():
    assert information_maximisation(SURE) == pytest.approx(np.log(3))
    assert information_maximisation(SURE[[0, 0, 0]]) == pytest.approx(0)


@given(st.integers(0, 10_000))
def test_entropies_ignore_a_constant_in_the_logits(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(5, 3))
    shifted = logits + rng.normal(size=(5, 1))
    assert target_entropy(shifted) == pytest.approx(target_entropy(logits))
    assert information_maximisation(shifted) == pytest.approx(
        information_maximisation(logits)
    )


def test_soft_neighbourhood_density_by_hand():
    """Cosines of row 0 are 0 and 0, of row 1 (0, 1), of row 2 (0, 1)."""
    values = [[2.0, 0], [0, 1], [0, 3]]
    odds = np.exp(1 / 0.5)
    share = odds / (1 + odds)
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    score = soft_neighbourhood_density(values, temperature=0.5)
    assert score == pytest.approx((np.log(2) + 2 * entropy) / 3)


def test_soft_neighbourhood_density_is_largest_where_all_are_the_same():
    assert soft_neighbourhood_density(np.ones((5, 2))) == pytest.approx(np.log(4))
    assert np.isfinite(soft_neighbourhood_density(np.zeros((5, 2))))


def test_soft_neighbourhood_density_prefers_dense_groups():
    """Two tight groups against the same groups strung out between them."""
    tight = np.repeat(np.eye(2), 10, axis=0)
    angles = np.linspace(0, np.pi / 2, 20)
    strung_out = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert soft_neighbourhood_density(tight) > soft_neighbourhood_density(strung_out)


def normal(num_rows, seed, mean=0.0):
    return np.random.default_rng(seed).normal(mean, size=(num_rows, 1))


def test_dev_without_shift_is_the_plain_loss():
    losses = np.array([0.0, 1, 1, 0, 0])
    values = normal(60, 0)
    assert dev(values, normal(5, 1), losses, values) == pytest.approx(-0.4)


@settings(max_examples=5, deadline=None)
@given(loss=st.floats(0, 3), seed=st.integers(0, 100))
def test_dev_of_a_constant_loss_is_that_loss(loss, seed):
    """With L = c w, eta is -c, and the weights drop out, whatever they are."""
    train, target = normal(40, seed), normal(40, seed + 1, 1)
    score = dev(train, normal(10, seed + 2), np.full(10, loss), target)
    assert score == pytest.approx(-loss, abs=1e-9)


def test_weighted_mean_has_its_control_variate_by_hand():
    """L = (0, 2, 2): means of L and w 4/3 and 7/3, cov 4/3, var 7/3, eta -4/7."""
    mean = weighted_mean([0.0, 1.0, 0.5], np.array([1.0, 2.0, 4.0]))
    assert mean == pytest.approx(4 / 3 - 4 / 7 * 7 / 3 + 4 / 7)
    assert (
        weighted_mean([1.0, 0.0], np.array([2.0, 2.0])) == 1.0
    )  # nothing to take away


def test_dev_is_the_mean_loss_weighted_by_the_density_ratio():
    train, target, validation = normal(50, 0), normal(40, 1, 1), normal(9, 2)
    losses = np.arange(9.0)
    weights = density_ratio(train, target, validation)
    score = dev(train, validation, losses, target)
    assert score == pytest.approx(-weighted_mean(losses, weights))


def test_density_ratio_of_two_normals():
    """N(1, 1) over N(0, 1) is exp(x - 1/2), also where one sample is larger."""
    asked = np.array([[-1.0], [0.5], [2.0]])
    ratio = density_ratio(normal(8000, 0), normal(4000, 1, 1), asked)
    assert np.log(ratio) == pytest.approx([-1.5, 0, 1.5], abs=0.15)


def test_dev_follows_the_shift():
    """Errors right of 0 matter to a target that lies right of 0."""
    train, validation = normal(500, 0), normal(500, 1)
    is_wrong = validation[:, 0] > 0.5
    right, left = normal(500, 2, 1), normal(500, 3, -1)
    to_right = dev(train, validation, is_wrong, right)
    assert to_right == pytest.approx(-0.69, abs=0.1)  # P(z > -0.5)
    assert dev(train, validation, is_wrong, left) == pytest.approx(-0.07, abs=0.1)


def test_validators_refuse_what_is_no_number():
    broken = np.full((4, 3), np.nan)
    for score in (target_entropy, information_maximisation, soft_neighbourhood_density):
        with pytest.raises(ValueError, match="not finite"):
            score(broken)
    with pytest.raises(ValueError, match="Got 1 rows of target features"):
        soft_neighbourhood_density(np.ones((1, 3)))


def test_source_validation_refuses_other_lengths():
    with pytest.raises(ValueError, match=r"labels of shape \(2,\) for 3 rows"):
        source_validation(SURE, [0, 1])


def test_dev_refuses_other_widths():
    with pytest.raises(ValueError, match="1 source features and 2 target features"):
        dev(normal(4, 0), normal(4, 1), np.ones(4), np.ones((4, 2)))
