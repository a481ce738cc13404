"""Probes learn what is there, and choose their strength without the test set."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from tl_helpers import probes
from tl_helpers.datasets import load_folder
from tl_helpers.features import Features

KINDS = ["logistic", "svm", "knn", "prototypes"]


def blobs(num_rows, seed, distance=4.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 3
    values = rng.normal(size=(num_rows, 5)).astype(np.float32)
    values[np.arange(num_rows), labels] += distance
    return Features(values, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_probe_separates_blobs(kind):
    assert probes.probe_accuracy(blobs(60, 0), blobs(300, 1), kind) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_probe_is_at_chance_on_shuffled_labels(kind):
    train, test = blobs(300, 0), blobs(900, 1)
    shuffled = np.random.default_rng(2).permutation(train.labels)
    assert probes.probe_accuracy(Features(train.values, shuffled), test, kind) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_probe_learns_from_one_label_a_class(kind):
    """No fold can be made from three rows: the default setting must do."""
    test = blobs(300, 9, 20.0)
    draws = [blobs(3, seed, 20.0) for seed in range(5)]
    scores = [probes.probe_accuracy(train, test, kind) for train in draws]
    assert np.mean(scores) > 0.6


def test_probe_chooses_the_strength_by_cross_validation():
    noise = blobs(60, 0, distance=0.7)
    probe = probes.fit_probe(noise)
    scores = probe.cv_results_["mean_test_score"]
    assert probe.best_score_ == scores.max()
    assert len(scores) == 4


def test_prototypes_by_hand():
    values = np.array([[1.0, 0], [3, 1], [-1, 0], [-3, -1]], np.float32)
    probe = probes.fit_probe((values, np.array([0, 0, 1, 1])), "prototypes")
    assert probe.predict(np.array([[2.0, 0.2], [-0.1, -4]])).tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["logistic", "svm", "knn", "prototypes"])
def test_probe_gives_the_commonest_label_where_no_feature_varies(kind):
    probe = probes.fit_probe((np.full((6, 3), 0.1), np.array([0, 1, 1, 1, 2, 2])), kind)
    assert probe.predict(np.full((2, 3), 0.1)).tolist() == [1, 1]


def test_fit_probe_names_the_kinds():
    with pytest.raises(ValueError, match="kind='forest', expected one of logistic"):
        probes.fit_probe(blobs(9, 0), "forest")


def test_probe_accuracy_compares_the_names_of_the_classes():
    """Trained on ant, bee, cow; a test set of bee and cow numbers them 0 and 1."""
    train, rows = blobs(60, 0, 20.0), blobs(60, 1, 20.0)
    train = replace(train, class_names=("ant", "bee", "cow"))
    rest = rows[rows.labels > 0]
    moved = Features(rest.values, rest.labels - 1, ("bee", "cow"))
    with pytest.raises(ValueError, match="'bee' for class 0 in the test set, expected"):
        probes.probe_accuracy(train, moved)
    # without names the numbers count, which are as in training
    assert probes.probe_accuracy(train, rest, "prototypes") == 1


def grey(image_set):
    """The mean brightness of every image for its only feature."""
    values = image_set.pixels().mean(axis=(1, 2, 3))[:, None]
    return Features(values, image_set.labels, image_set.class_names)


def test_a_validation_folder_without_a_class_is_told_and_can_be_numbered(tmp_path):
    """Trained on ant, bee, cow; every answer on bee and cow is right."""
    for part, names in {"train": "ant bee cow", "val": "bee cow"}.items():
        for name in names.split():
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(4):
                level = {"ant": 0, "bee": 100, "cow": 200}[name] + i + (part == "val")
                Image.new("L", (4, 4), level).save(tmp_path / part / name / f"{i}.png")
    train, val = (load_folder(tmp_path / part, 4) for part in ("train", "val"))
    with pytest.raises(ValueError, match="'bee' for class 0 .*load_folder"):
        probes.probe_accuracy(grey(train), grey(val))
    val = load_folder(tmp_path / "val", 4, class_names=train.class_names)
    assert probes.probe_accuracy(grey(train), grey(val)) == 1


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        (np.ones((4, 5)), "Got a test set of type ndarray, expected Features"),
        ((np.ones((4, 5)), [0, 1]), r"test set labels of shape \(2,\) for 4 rows"),
        (blobs(0, 0), "Got 0 rows of test features"),
        (Features(np.ones((4, 3)), np.arange(4)), "3 test features a row, expected 5"),
    ],
)
def test_probe_accuracy_refuses_test_sets_that_do_not_fit(test, sentence):
    with pytest.raises(ValueError, match=sentence):
        probes.probe_accuracy(blobs(30, 0), test)


def test_fit_probe_refuses_labels_that_are_none():
    values, labels = blobs(9, 0)
    for wrong in (labels[:, None], np.eye(3)[labels], labels - 1, labels + 0.5):
        with pytest.raises(ValueError, match="^Got training set labels .*expected"):
            probes.fit_probe((values, wrong))


def test_fit_probe_takes_class_numbers_of_any_size():
    """Counted in a list from 0 on, these two would take 16 GB."""
    values, labels = blobs(30, 0, 20.0)
    numbers = np.array([3, 7, 2 * 10**9])
    probe = probes.fit_probe((values, numbers[labels]), "prototypes")
    assert probe.score(values, numbers[labels]) == 1


def test_fit_probe_refuses_one_class():
    one = Features(np.ones((4, 2), np.float32), np.zeros(4, int))
    with pytest.raises(ValueError, match="1 class in 4 rows, expected at least two"):
        probes.fit_probe(one)


def test_fit_probe_refuses_values_that_are_not_finite():
    broken = blobs(9, 0)
    broken.values[2, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        probes.fit_probe(broken)


def test_linear_head_agrees_with_logistic_regression():
    import keras

    train, test = blobs(300, 0, 2.0), blobs(300, 1, 2.0)
    keras.utils.set_random_seed(0)
    head = probes.linear_head(5, 3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    head.fit(train.values, train.labels, epochs=30, verbose=0)
    ours = head.evaluate(test.values, test.labels, verbose=0)[1]
    theirs = LogisticRegression().fit(*train).score(*test)
    assert abs(ours - theirs) < 0.03


@pytest.fixture(scope="module")
def rare():
    """300 rows with 1 of class 1 in 20, and 400 rows with 1 in 2; classes overlap."""
    rng = np.random.default_rng(0)

    def draw(labels):
        values = rng.normal(size=(len(labels), 4)).astype(np.float32)
        values[:, 0] += 2.4 * labels
        return Features(values, labels)

    return draw(np.repeat([0, 1], [285, 15])), draw(np.arange(400) % 2)


@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_probe_with_balanced_classes_finds_the_rare_one(rare, kind):
    train, test = rare
    plain = probes.fit_probe(train, kind).score(*test)
    balanced = probes.fit_probe(train, kind, class_weight="balanced")
    assert balanced.score(*test) > plain + 0.1
    weights = {0: 300 / (2 * 285), 1: 300 / (2 * 15)}  # what "balanced" stands for
    again = probes.fit_probe(train, kind, class_weight=weights)
    assert again.score(*test) > plain + 0.1
    answers = balanced.predict(test.values)
    assert balanced.score(*test) == np.mean(answers == test.labels)


def test_probe_with_class_weights_chooses_by_them(rare, monkeypatch):
    """By plain accuracy, the setting that never answers "rare" could win."""
    seen = []
    search = probes.GridSearchCV
    monkeypatch.setattr(
        probes,
        "GridSearchCV",
        lambda *args, **settings: seen.append(search(*args, **settings)) or seen[-1],
    )
    train, _ = rare
    chosen = probes.fit_probe(train, class_weight="balanced")
    recalls = [
        np.mean(chosen.predict(train.values[train.labels == c]) == c) for c in (0, 1)
    ]
    score = seen[0].scorer_(chosen, *train)
    assert score == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize(
    "weights",
    [
        "equal",
        {},
        {0: 1.0},
        {0: 1, 1: -1},
        3,
        np.ones(2),
        {0: "a", 1: "b"},
        {0: 1, 1: np.nan},
        {"0": 1, "1": 1},
    ],
)
def test_probe_refuses_class_weights_that_do_not_fit(rare, weights):
    with pytest.raises(ValueError, match=r"weight for each of the classes \[0, 1\]"):
        probes.fit_probe(rare[0], class_weight=weights)


@pytest.mark.parametrize("kind", ["knn", "prototypes"])
def test_probe_without_weights_says_so(rare, kind):
    with pytest.raises(ValueError, match="which cannot weigh classes"):
        probes.fit_probe(rare[0], kind, class_weight="balanced")
