"""Same or different person: by hand, against loops, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_distances as expected_distances

from tl_helpers import evaluation
from tl_helpers.evaluation import Pairs
from tl_helpers.features import Features

PEOPLE = np.repeat(np.arange(12), 5)


def embedding(noise, people=PEOPLE, seed=0):
    """A direction a person, and noise about it."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(people.max() + 1, 8))
    return directions[people] + noise * rng.normal(size=(len(people), 8))


def one_fold(is_same):
    """Pairs of people 0 and 0, or 0 and 1."""
    other = 1 - np.array(is_same)
    zeros = np.zeros(len(other), int)
    return Pairs(zeros, zeros, np.stack([zeros, other], axis=1), zeros)


def test_pairs_of_by_hand():
    pairs = evaluation.pairs_of([3, 3, 5])
    assert pairs.first.tolist() == [0, 0, 1] and pairs.second.tolist() == [1, 2, 2]
    assert pairs.is_same.tolist() == [1, 0, 0] and pairs.fold.tolist() == [0, 0, 0]
    assert pairs.people.tolist() == [[3, 3], [3, 5], [3, 5]]


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_cosine_distances_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(7, 3))
    pairs = evaluation.pairs_of(rng.integers(0, 3, 7))
    expected = expected_distances(values)[pairs.first, pairs.second]
    found = evaluation.cosine_distances(values, pairs)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_cosine_distances_of_a_row_of_zeros_is_one():
    pairs = evaluation.pairs_of([0, 1])
    assert evaluation.cosine_distances(np.array([[0.0, 0], [1, 2]]), pairs) == [1]


def test_cosine_distances_refuses_pairs_of_another_set():
    pairs = evaluation.pairs_of(PEOPLE)
    with pytest.raises(ValueError, match="pairs up to row 59 for 20 rows.*two sets"):
        evaluation.cosine_distances(embedding(1.0)[:20], pairs)


def test_choose_threshold_by_hand():
    """Of 100 different pairs ten per cent may pass: those at 0.00 to 0.09."""
    distances = np.concatenate([np.arange(100) / 100, [0.0, 0.5]])
    is_same = np.repeat([0, 1], [100, 2])
    threshold = evaluation.choose_threshold(distances, is_same, 0.1)
    assert threshold == 0.1
    assert (distances[is_same == 0] < threshold).mean() == 0.1


@given(st.integers(0, 1000), st.floats(0.05, 0.9))
@settings(max_examples=30)
def test_choose_threshold_passes_no_more_than_wanted_ties_or_not(seed, wanted):
    rng = np.random.default_rng(seed)
    distances, is_same = rng.integers(0, 30, 300) / 10, np.arange(300) % 2
    threshold = evaluation.choose_threshold(distances, is_same, wanted)
    different = distances[is_same == 0]
    assert (different < threshold).mean() <= wanted
    above = different[different >= threshold]
    assert (different <= above.min()).mean() > wanted  # and no larger one would do


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, np.nan, "0.1", None, [0.1]])
def test_choose_threshold_refuses_a_rate_outside(rate):
    with pytest.raises(ValueError, match=r"expected a share in \(0, 1\)"):
        evaluation.choose_threshold(np.arange(100), np.arange(100) % 2, rate)


def test_choose_threshold_says_how_many_pairs_it_needs():
    distances, is_same = np.arange(200) / 200, np.arange(200) % 2
    with pytest.raises(
        ValueError, match="Got 100 pairs .* 0.01, expected at least 500"
    ):
        evaluation.choose_threshold(distances, is_same, 0.01)
    assert evaluation.choose_threshold(distances, is_same, 0.05) > 0


@pytest.mark.parametrize("kind, word", [(1, "one person"), (0, "different people")])
def test_one_kind_of_pair_alone_is_refused(kind, word):
    with pytest.raises(ValueError, match=f"all of {word}, expected both kinds"):
        evaluation.choose_threshold(np.arange(9), np.full(9, kind))
    with pytest.raises(ValueError, match=f"all of {word}, expected both kinds"):
        evaluation.accept_rates(np.ones(9), one_fold(np.full(9, kind)), 0.5)


def test_accept_rates_by_hand():
    pairs = one_fold([1, 1, 1, 0, 0])
    found = evaluation.accept_rates([0.1, 0.2, 0.6, 0.2, 0.9], pairs, 0.5)
    assert found.true_accept == pytest.approx(2 / 3)
    assert found.false_accept == 0.5 and found.threshold == 0.5
    # of six pairs of pairs four are in order, one is a tie
    assert found.auc == pytest.approx(4.5 / 6)
    assert "false accept 50.00%" in str(found) and "true accept 66.7%" in str(found)


def test_accept_rates_intervals_are_those_of_a_loop_over_people(monkeypatch):
    """Draw people with numpy, list their pairs, count: the slow way."""
    monkeypatch.setattr(evaluation.verification, "NUM_RESAMPLES", 60)
    people = np.repeat(np.arange(4), 3)
    pairs = evaluation.pairs_of(people)
    distances = evaluation.cosine_distances(embedding(0.8, people), pairs)
    found = evaluation.accept_rates(distances, pairs, 0.4, seed=3)
    draws = np.random.default_rng(3).multinomial(4, np.full(4, 0.25), 60)
    rates = {0: [], 1: []}
    for draw in draws:
        for kind in (0, 1):
            below = []
            for (a, b), distance in zip(pairs.people, distances, strict=True):
                if (a == b) == kind:
                    times = draw[a] if kind else draw[a] * draw[b]
                    below += [distance < 0.4] * times
            if below:
                rates[kind].append(np.mean(below))
    for kind, interval in (
        (0, found.false_accept_interval),
        (1, found.true_accept_interval),
    ):
        assert interval == pytest.approx(np.percentile(rates[kind], [2.5, 97.5]))


def test_interval_over_people_is_wider_than_one_over_pairs():
    """One of twelve people is never recognised: pairs alone would not tell."""
    values = embedding(0.1)
    values[PEOPLE == 0] = np.random.default_rng(1).normal(size=(5, 8))
    pairs = evaluation.pairs_of(PEOPLE)
    distances = evaluation.cosine_distances(values, pairs)
    found = evaluation.accept_rates(distances, pairs, 0.1)
    low, high = found.true_accept_interval
    same = int(pairs.is_same.sum())
    naive = evaluation.binomial_interval(round(found.true_accept * same), same)
    assert high - low > 1.3 * (naive[1] - naive[0])


def test_verify_sets_the_threshold_on_the_others_only():
    values = embedding(0.6)
    test, others = (Features(values[rows], PEOPLE[rows]) for rows in halves())
    found = evaluation.verify(test, others, 0.1)
    pairs = evaluation.pairs_of(others.labels)
    distances = evaluation.cosine_distances(others.values, pairs)
    assert found.threshold == evaluation.choose_threshold(distances, pairs.is_same, 0.1)
    changed = Features(10 * test.values[:, ::-1], test.labels)
    again = evaluation.verify(changed, others, 0.1)
    assert again.threshold == found.threshold
    assert found.false_accept < 0.4 < found.true_accept


def halves():
    return PEOPLE < 6, PEOPLE >= 6


@pytest.mark.parametrize("noise, low, high", [(1e-3, 0.999, 1), (1e3, 0.4, 0.6)])
def test_verify_of_perfect_and_of_blind_embeddings(noise, low, high):
    values = embedding(noise)
    test, others = (Features(values[rows], PEOPLE[rows]) for rows in halves())
    found = evaluation.verify(test, others, 0.1)
    assert low <= found.auc <= high


def test_verify_refuses_a_person_in_both_sets():
    one = Features(embedding(1.0), PEOPLE)
    with pytest.raises(ValueError, match="Got 0 among the test set and the others"):
        evaluation.verify(one, one)
    names = tuple(f"person {k}" for k in range(12))
    named = [Features(embedding(1.0), PEOPLE, names), one]
    with pytest.raises(ValueError, match="Got person 0 among"):
        evaluation.verify(named[0], named[0])
    # the same numbers, but other names: other people
    strangers = Features(embedding(1.0, seed=1), PEOPLE, tuple(n + "b" for n in names))
    assert 0 <= evaluation.verify(named[0], strangers, 0.1).auc <= 1


def test_fold_accuracies_by_hand():
    """Each fold is judged by what suits the other, which here is off by 0.3."""
    pairs = one_fold([1, 0, 1, 0])._replace(fold=np.array([0, 0, 1, 1]))
    distances = [0.1, 0.2, 0.4, 0.5]
    # threshold of fold 1 is 0.45: both of fold 0 pass; that of 0 is 0.15: none does
    assert evaluation.fold_accuracies(distances, pairs).tolist() == [0.5, 0.5]
    together = [0.1, 0.3, 0.1, 0.3]
    assert evaluation.fold_accuracies(together, pairs).tolist() == [1, 1]


@given(st.integers(0, 1000))
@settings(max_examples=30)
def test_fold_threshold_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    distances, is_same = rng.integers(0, 8, 20) / 4, rng.permutation(20) % 2
    best = evaluation.verification._best_threshold(distances, is_same)
    cuts = [-1, *np.unique(distances) + 0.1]
    accuracies = [((distances < cut) == is_same).mean() for cut in cuts]
    assert ((distances < best) == is_same).mean() == pytest.approx(max(accuracies))


def test_fold_accuracies_needs_two_folds():
    with pytest.raises(ValueError, match="pairs of 1 fold, expected at least two"):
        evaluation.fold_accuracies(np.arange(4), one_fold([1, 0, 1, 0]))


def test_roc_curve_by_hand():
    false, true = evaluation.roc_curve([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert false.tolist() == [0, 0, 0.5, 0.5, 1]
    assert true.tolist() == [0, 0.5, 0.5, 1, 1]
