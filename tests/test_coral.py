import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_helpers.domains import coral
from tl_helpers.features import Features, standardise


def rows_of(rng, n, mixing):
    return (rng.normal(size=(n, len(mixing))) @ mixing + 3).astype(np.float32)


@pytest.fixture
def two_domains():
    rng = np.random.default_rng(0)
    source = Features(rows_of(rng, 4000, np.eye(2)), np.arange(4000) % 3)
    return source, rows_of(rng, 4000, np.array([[1.0, 0.9], [0.0, 0.5]]))


def test_coral_moves_the_covariance_to_the_targets(two_domains):
    """Standardised, C_s = I and C_t = [[1, r], [r, 1]]: C becomes (C_t + I) / 2."""
    source, target = two_domains
    wanted = (np.cov(standardise(target).T) + np.eye(2)) / 2
    assert abs(wanted[0, 1]) > 0.4
    assert np.allclose(np.cov(coral(source, target).values.T), wanted, atol=0.03)


def test_coral_leaves_a_source_that_varies_like_the_target(two_domains):
    source, _ = two_domains
    recoloured = coral(source, source.values)
    assert np.allclose(recoloured.values, standardise(source).values, atol=1e-4)


def test_coral_looks_at_no_target_label(two_domains):
    source, target = two_domains
    some = coral(source, Features(target, np.arange(4000) % 3))
    other = coral(source, Features(target, np.arange(4000)[::-1] % 3))
    assert np.array_equal(some.values, other.values)
    assert np.array_equal(some.labels, source.labels)


def test_coral_takes_the_statistics_of_others(two_domains):
    source, target = two_domains
    others = source[:1000]
    whole, part = coral(source, target, like=others), coral(others, target)
    assert np.allclose(whole.values[:1000], part.values, atol=1e-5)


@given(st.floats(0.1, 50), st.floats(-50, 50))
def test_coral_does_not_depend_on_the_unit(scale, shift):
    rng = np.random.default_rng(1)
    source = Features(rows_of(rng, 60, np.eye(3)), np.arange(60) % 2)
    target = rows_of(rng, 50, np.eye(3) + 0.5)
    moved = coral(source, scale * target + shift)
    assert np.allclose(moved.values, coral(source, target).values, atol=1e-2)


def test_coral_says_what_does_not_fit(two_domains):
    source, target = two_domains
    with pytest.raises(ValueError, match="as many; take both from the same layer"):
        coral(source, target[:, :1])
