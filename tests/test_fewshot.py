"""Episodes: which rows they draw, and what a classifier reaches over them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_helpers import fewshot

tasks = st.fixed_dictionaries(
    {
        "num_ways": st.integers(2, 4),
        "num_shots": st.integers(1, 3),
        "num_queries": st.integers(1, 3),
        "num_episodes": st.integers(1, 5),
        "seed": st.integers(0, 99),
    }
)
SIZES = {3: 6, 5: 7, 8: 12, 9: 6}  # label: rows
LABELS = np.random.default_rng(0).permutation(
    np.repeat(list(SIZES), list(SIZES.values()))
)


@given(tasks)
def test_episodes_have_the_asked_shapes_and_the_right_rows(task):
    drawn = fewshot.episodes(LABELS, **task)
    head = task["num_episodes"], task["num_ways"]
    assert drawn.classes.shape == head
    assert drawn.support.shape == (*head, task["num_shots"])
    assert drawn.query.shape == (*head, task["num_queries"])
    for rows in (drawn.support, drawn.query):
        assert (LABELS[rows] == drawn.classes[..., None]).all()


@given(tasks)
def test_episodes_draw_no_class_and_no_row_twice(task):
    drawn = fewshot.episodes(LABELS, **task)
    rows = np.concatenate([drawn.support, drawn.query], axis=2)
    for classes, taken in zip(drawn.classes, rows, strict=True):
        assert len(set(classes)) == task["num_ways"]
        assert len(set(taken.ravel())) == taken.size


@given(tasks)
def test_episodes_repeat_by_seed_alone(task):
    np.random.default_rng().random()
    one, same = (fewshot.episodes(LABELS, **task) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))


def test_episodes_differ_by_seed():
    one, other = (fewshot.episodes(LABELS, 2, 1, 1, 20, seed) for seed in (0, 1))
    assert not np.array_equal(one.support, other.support)


@pytest.mark.parametrize("part", ["support", "query"])
def test_episodes_draw_every_row_equally_often(part):
    drawn = fewshot.episodes(LABELS, 2, 2, 3, 20000)
    rows = getattr(drawn, part)
    counts = np.bincount(rows.ravel(), minlength=len(LABELS))
    wanted = rows.size / len(SIZES) / np.array([SIZES[label] for label in LABELS])
    assert np.abs(counts / wanted - 1).max() < 0.1  # 5 deviations or more


def test_episodes_draw_every_place_equally_often():
    """The first shot alone must be as random as all of them."""
    drawn = fewshot.episodes(np.repeat([0, 1], 6), 2, 3, 3, 20000)
    first = drawn.support[:, :, 0]
    assert np.abs(np.bincount(first.ravel()) / (40000 / 12) - 1).max() < 0.1
    assert 0.48 < (drawn.classes[:, 0] == 0).mean() < 0.52


def test_episodes_keep_to_the_given_classes():
    drawn = fewshot.episodes(LABELS, 2, 1, 1, 50, classes=[8, 3, 9])
    assert set(drawn.classes.ravel()) == {3, 8, 9}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 1, 1, 1), "num_ways=1, expected a whole number from 2"),
        ((2, 0, 1, 1), "num_shots=0"),
        ((2, 1, 0, 1), "num_queries=0"),
        ((2, 1, 1, 0), "num_episodes=0"),
        ((2.5, 1, 1, 1), "num_ways=2.5"),
        ((5, 1, 1, 1), "num_ways=5 with 4 classes"),
        ((2, 3, 4, 1), "class 3 with 6 rows, expected 7"),
    ],
)
def test_episodes_refuse_what_cannot_be_drawn(numbers, message):
    with pytest.raises(ValueError, match=message):
        fewshot.episodes(LABELS, *numbers)


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(3)[np.arange(60) % 3],  # as columns of rows they reached row 129 of 60
        np.arange(60)[:, None] % 3,
        np.arange(60) % 3 - 1,
        np.arange(60) % 3 + 0.5,
        np.array(list("abc") * 20),
    ],
)
def test_episodes_refuse_labels_that_are_none(labels):
    with pytest.raises(ValueError, match="^Got labels .*expected"):
        fewshot.episodes(labels, 2, 1, 1)
    with pytest.raises(ValueError, match="^Got labels .*expected"):
        fewshot.split_classes(labels, 1)


def test_episodes_refuse_wanted_classes_that_are_no_numbers():
    with pytest.raises(ValueError, match="Got wanted labels .*such as a, b"):
        fewshot.episodes(LABELS, 2, 1, 1, classes=["a", "b"])


def test_episodes_refuse_a_class_without_rows():
    with pytest.raises(ValueError, match="class 4 with 0 rows"):
        fewshot.episodes(LABELS, 2, 1, 1, classes=[3, 4])


def test_with_shots_keeps_queries_and_first_shots():
    drawn = fewshot.episodes(LABELS, 2, 3, 2, 5)
    fewer = drawn.with_shots(2)
    assert np.array_equal(fewer.support, drawn.support[..., :2])
    assert np.array_equal(fewer.query, drawn.query)
    with pytest.raises(ValueError, match="expected 1 to 3"):
        drawn.with_shots(4)


@given(st.integers(1, 3), st.integers(0, 99))
def test_split_classes_shares_out_every_class_once(num_held_out, seed):
    training, held_out = fewshot.split_classes(LABELS, num_held_out, seed)
    assert len(held_out) == num_held_out
    assert sorted([*training, *held_out]) == sorted(SIZES)


def test_split_classes_depends_on_the_seed():
    sides = {tuple(fewshot.split_classes(LABELS, 2, seed)[1]) for seed in range(20)}
    assert len(sides) > 3


@pytest.mark.parametrize("num_held_out", [0, 4])
def test_split_classes_refuses_an_empty_side(num_held_out):
    with pytest.raises(ValueError, match="expected 1 to 3 of 4 classes"):
        fewshot.split_classes(LABELS, num_held_out)


def test_centre_and_normalise_by_hand():
    values = np.array([[4.0, 5.0], [1.0, 1.0]])
    unit = fewshot.centre_and_normalise(values, np.array([1.0, 1.0]))
    assert np.allclose(unit, [[0.6, 0.8], [0, 0]])


def test_evaluate_episodes_by_hand():
    values = np.array([0.0, 1, 9, 10, 11, 2])[:, None]
    drawn = fewshot.Episodes(
        np.array([[0, 1], [0, 1]]),
        np.array([[[0], [3]], [[0], [3]]]),
        np.array([[[1, 5], [2, 4]], [[1, 2], [4, 3]]]),  # the row of 9 as class 0
    )
    result = fewshot.evaluate_episodes(values, drawn, fewshot.prototypes)
    assert result.accuracies.tolist() == [1, 0.75]
    # deviation 0.25 / sqrt(2), t of one degree of freedom 12.706, over sqrt(2)
    assert result.high - result.mean == pytest.approx(12.7062 * 0.125, rel=1e-4)
    assert result.mean - result.low == pytest.approx(12.7062 * 0.125, rel=1e-4)
    assert str(result) == "87.5 ± 158.8 %"


def test_evaluate_episodes_is_the_same_in_chunks(monkeypatch):
    values = np.random.default_rng(0).normal(size=(len(LABELS), 5))
    values += LABELS[:, None] / 4
    drawn = fewshot.episodes(LABELS, 3, 2, 2, 11)
    whole = fewshot.evaluate_episodes(values, drawn, fewshot.ridge)
    sizes = []

    def noted(support, query):
        sizes.append(len(support))
        return fewshot.ridge(support, query)

    monkeypatch.setattr(fewshot.scoring, "MAX_VALUES", 4 * 3 * 4 * 5)
    chunks = fewshot.evaluate_episodes(values, drawn, noted)
    assert sizes == [4, 4, 3]
    assert np.array_equal(chunks.accuracies, whole.accuracies)


@pytest.mark.parametrize("values", [np.full((31, 2), np.nan), np.ones((31, 4, 4, 3))])
def test_evaluate_episodes_refuses_what_are_no_features(values):
    drawn = fewshot.episodes(LABELS, 2, 1, 1, 1)
    with pytest.raises(ValueError, match="features (that are not finite|of shape)"):
        fewshot.evaluate_episodes(values, drawn, fewshot.prototypes)
