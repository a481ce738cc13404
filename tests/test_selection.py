"""A sweep chooses without target labels, says what that costs, and can be resumed."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.special import softmax
from tiny import tiny_images

from tl_helpers import selection
from tl_helpers.features import Features
from tl_helpers.selection import sweep as sweep_module
from tl_helpers.selection.sweep import (
    DEFAULT_VALIDATORS,
    VALIDATORS,
    reverse_validation,
    select,
)
from tl_helpers.selection.validators import (
    dev,
    information_maximisation,
    soft_neighbourhood_density,
    target_entropy,
)

RNG = np.random.default_rng(0)


def clouds(labels):
    """Rows around one centre a class."""
    return np.eye(3)[labels] * 4 + RNG.normal(size=(len(labels), 3))


SOURCE = Features(clouds(np.arange(60) % 3), np.arange(60) % 3)
TARGET_LABELS = np.arange(45) % 3
TARGET = clouds(TARGET_LABELS) + [0, 0, 3]
TEST = Features(TARGET[:30], TARGET_LABELS[:30])


class Nearest:
    """Answers with the nearest class mean; `shift` is taken from every row first."""

    def __init__(self, means, shift=0.0, sign=1):
        self.means, self.shift, self.sign = means, shift, sign

    def predict_on_batch(self, values):
        squares = np.square(values[:, None] - self.shift - self.means).sum(axis=2)
        return -self.sign * squares

    def features(self, values):
        return values - self.shift


def train(setting, source, target):
    """Setting: share of the domains' distance that is taken out."""
    means = np.full((3, 3), 1e3)  # of a class without rows
    for label in np.unique(source.labels):
        means[label] = source.values[source.labels == label].mean(axis=0)
    shift = setting * (target.mean(axis=0) - source.values.mean(axis=0))
    return Nearest(means, shift)


def sweep(settings=(0.0, 1.0), **options):
    return select(train, settings, SOURCE, TARGET, TEST, **options)


@pytest.fixture(scope="module")
def swept():
    return sweep((0.0, 1.0, 5.0), validators=VALIDATORS)


def test_select_gives_every_score_and_the_best_setting(swept):
    assert list(swept.scores) == list(VALIDATORS)
    for name, scores in swept.scores.items():
        assert list(scores) == [0.0, 1.0, 5.0]
        assert scores[swept.chosen[name]] == max(scores.values())
    assert list(swept.models) == [0.0, 1.0, 5.0]


def parts(rows=SOURCE, **options):
    """What `select` trains on, and what it holds out."""
    seen = []
    select(
        lambda *data: seen.append(data) or train(*data), [1], rows, TARGET, **options
    )
    trained = seen[0][1]
    return trained, rows[~np.isin(rows.values[:, 0], trained.values[:, 0])]


def test_select_scores_are_the_validators_own(swept):
    model, (trained, held_out) = swept.models[1.0], parts()
    is_wrong = model.predict_on_batch(held_out.values).argmax(axis=1) != held_out.labels
    logits = model.predict_on_batch(TARGET)
    sets = (trained.values, held_out.values, TARGET)
    source, validation, target = map(model.features, sets)
    expected = {
        "source_validation": 1 - is_wrong.mean(),
        "target_entropy": target_entropy(logits),
        "information_maximisation": information_maximisation(logits),
        "soft_neighbourhood_density": soft_neighbourhood_density(softmax(logits, 1)),
        "dev": dev(source, validation, is_wrong, target),
        "reverse_validation": reverse_validation(
            partial(train, 1.0), model, trained, TARGET, held_out
        ),
    }
    assert list(expected) == list(VALIDATORS)
    for name, score in expected.items():
        assert swept.scores[name][1.0] == pytest.approx(score)


def test_select_accuracy_is_that_on_the_test_images(swept):
    answers = swept.models[1.0].predict_on_batch(TEST.values).argmax(axis=1)
    assert swept.accuracy[1.0] == (answers == TEST.labels).mean()


def test_select_shows_validators_images_with_their_own_labels(monkeypatch):
    monkeypatch.setattr(sweep_module, "MAX_ROWS", 9)
    far = replace(SOURCE, values=50 * np.eye(3)[SOURCE.labels] + SOURCE.values)
    found = select(train, [0.0], far, TARGET)
    assert found.scores["source_validation"][0.0] == 1
    again = select(train, [0.0], far, TARGET)
    assert again.scores == found.scores


def test_select_averages_maps_of_features(monkeypatch):
    flat = sweep([1.0], validators=["dev"])
    stretch = np.array([0.5, 1.5])[None, :, None, None]
    features = Nearest.features
    monkeypatch.setattr(
        Nearest,
        "features",
        lambda self, x: features(self, x)[:, None, None] * stretch,
    )
    maps = sweep([1.0], validators=["dev"])
    assert maps.scores["dev"][1.0] == pytest.approx(flat.scores["dev"][1.0])


def test_select_report_sets_choices_beside_the_oracle(swept):
    report = swept.report()
    assert [row.validator for row in report] == [*VALIDATORS, "oracle"]
    best = max(swept.accuracy.values())
    for row in report:
        assert row.accuracy == swept.accuracy[row.setting]
        assert row.regret == best - row.accuracy
    assert report[-1].regret == 0


def test_select_report_in_words():
    row = selection.Choice("dev", 0.1, 0.813, 0.25)
    assert str(row) == "dev: 0.1, 81.3%, 25.0 points below the oracle"
    assert str(selection.Choice("dev", 0.1, None, None)) == "dev: 0.1"


def test_select_never_sees_target_test_labels():
    """Permuted, they change the accuracies, but no score and no choice."""
    rolled = replace(TEST, labels=np.roll(TEST.labels, 1))
    plain, permuted = (
        select(train, [0.0, 0.5, 1.0], SOURCE, TARGET, test, VALIDATORS)
        for test in (TEST, rolled)
    )
    assert permuted.scores == plain.scores
    assert permuted.chosen == plain.chosen
    assert permuted.accuracy != plain.accuracy


def test_select_takes_a_labelled_target_and_looks_at_its_values_only():
    labelled = Features(TARGET, TARGET_LABELS)
    assert select(train, [1.0], SOURCE, labelled).scores == sweep([1.0]).scores


def test_select_gives_the_pixels_of_image_sets():
    images, seen = tiny_images(24), []

    class ByColour(Nearest):
        def predict_on_batch(self, values):
            return values.mean(axis=(1, 2))

    def spy(setting, source, target):
        seen.append((source, target))
        return ByColour(None)

    found = select(spy, [1], images, images, images, ["source_validation"])
    source, target = seen[0]
    assert source.values.shape[1:] == (8, 8, 3) and source.values.dtype == "uint8"
    np.testing.assert_array_equal(target, images.pixels())
    assert 0 <= found.accuracy[1] <= 1


def test_select_without_test_labels_reports_no_accuracy():
    found = select(train, [1.0], SOURCE, TARGET, validators=["target_entropy"])
    assert found.accuracy == {}
    assert found.report() == [("target_entropy", 1.0, None, None)]


def test_select_holds_out_a_fifth_of_every_class():
    seen = []

    def spy(setting, source, target):
        seen.append((source, target))
        return train(1, source, target)

    select(spy, ["a", "b"], SOURCE, TARGET)
    source, target = seen[0]
    assert np.bincount(source.labels).tolist() == [16, 16, 16]
    assert np.array_equal(target, TARGET)
    rows = source.values.tolist()
    assert len([row for row in SOURCE.values.tolist() if row not in rows]) == 12
    assert np.array_equal(seen[1][0].values, source.values)


def test_select_holds_out_one_of_two_rows_and_others_for_another_seed():
    trained, held_out = parts(SOURCE[:6])
    assert np.bincount(trained.labels).tolist() == [1, 1, 1]
    assert np.bincount(held_out.labels).tolist() == [1, 1, 1]
    _, others = parts(seed=1)
    assert not np.array_equal(others.values, parts()[1].values)


def test_select_by_default_trains_once():
    calls = []

    def spy(setting, *data):
        calls.append(setting)
        return train(setting, *data)

    select(spy, [0.0, 1.0], SOURCE, TARGET)
    assert calls == [0.0, 1.0]
    assert "reverse_validation" not in DEFAULT_VALIDATORS


def test_select_lets_broken_models_lose():
    def diverge(setting, *data):
        model = train(1, *data)
        model.sign = np.nan if setting == "broken" else 1
        return model

    data = (SOURCE, TARGET, TEST)
    found = select(diverge, ["broken", "whole"], *data, validators=VALIDATORS)
    assert found.accuracy["broken"] == 0
    assert set(found.chosen.values()) == {"whole"}
    assert found.scores["dev"]["broken"] == -np.inf
    with pytest.raises(ValueError, match="no setting with a finite score"):
        select(diverge, ["broken"], *data)


def test_select_scores_nothing_that_is_broken_on_the_target_alone():
    class BrokenThere(Nearest):
        def predict_on_batch(self, values):
            logits = super().predict_on_batch(values)
            return np.where(values[:, 2:] > 5, np.inf, logits)

    def build(setting, *data):
        kind = BrokenThere if setting == "broken" else Nearest
        return kind(train(1, *data).means)

    found = select(build, ["broken", "whole"], SOURCE, TARGET, TEST)
    assert set(found.chosen.values()) == {"whole"}
    assert 0 < found.accuracy["broken"] < found.accuracy["whole"]


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_select_lets_scores_lose_that_are_no_numbers(monkeypatch, score):
    monkeypatch.setattr(selection.sweep, "target_entropy", lambda logits: score)
    with pytest.raises(ValueError, match="no setting with a finite score"):
        select(train, [1], SOURCE, TARGET, TEST, validators=["target_entropy"])


def test_select_takes_logits_where_a_model_has_no_features(monkeypatch):
    whole = sweep([1.0])
    monkeypatch.setattr(Nearest, "features", lambda self, x: self.predict_on_batch(x))
    of_logits = sweep([1.0])
    monkeypatch.delattr(Nearest, "features")
    assert sweep([1.0]).scores == of_logits.scores
    assert of_logits.scores != whole.scores


def test_reverse_validation_by_hand():
    """Right answers on the target train a reverse model that is right on the source.

    With answers rolled by one class, it is always wrong.
    """
    means = 4 * np.eye(3)
    data = (SOURCE.values, SOURCE.values + 9, SOURCE)

    def train_back(source, target):
        return train(1, source, target)

    assert reverse_validation(train_back, Nearest(means, 9), *data) > 0.9
    rolled = Nearest(np.roll(means, 1, axis=0), 9)
    assert reverse_validation(train_back, rolled, *data) < 0.1


def test_reverse_validation_of_one_class_trains_nothing():
    model = Nearest(np.array([[1e3] * 3, [0.0] * 3]))
    validation = replace(SOURCE, labels=np.array([1] * 20 + [0] * 40))
    assert reverse_validation(pytest.fail, model, SOURCE, TARGET, validation) == 1 / 3


def test_select_resumes_where_it_was_killed(tmp_path, monkeypatch):
    score, scored = sweep_module._scores, []

    def score_or_die(*arguments):
        scored.append(1)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return score(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sweep_module, "_scores", score_or_die)
        sweep(folder=tmp_path)
    resumed = sweep(folder=tmp_path)
    assert list(resumed.models) == [1.0]
    whole = sweep()
    assert (resumed.scores, resumed.accuracy) == (whole.scores, whole.accuracy)
    assert sweep(folder=tmp_path).models == {}


def test_select_trains_again_what_is_damaged_or_lacks_a_validator(tmp_path):
    sweep(folder=tmp_path, validators=["target_entropy"])
    assert list(sweep(folder=tmp_path, validators=["dev"]).models) == [0.0, 1.0]
    (path,) = tmp_path.glob("1_0-*.json")
    path.write_text(path.read_text()[:20])
    assert len(sweep(folder=tmp_path, validators=["dev"]).models) == 1


@pytest.mark.parametrize("changed", ["source", "target", "test", "seed"])
def test_select_refuses_the_folder_of_another_sweep(tmp_path, changed):
    sweep(folder=tmp_path)
    data = {"source": SOURCE, "target": TARGET, "test": TEST, "seed": 0}
    rolled = replace(SOURCE, labels=np.roll(SOURCE.labels, 1))
    other = {"source": rolled, "target": TARGET + 1, "test": None, "seed": 1}
    with pytest.raises(ValueError, match=f"holds work with another {changed}, expect"):
        select(train, [0.0], folder=tmp_path, **data | {changed: other[changed]})


def test_select_refuses_the_folder_of_another_training(tmp_path):
    knobs = {"a": {"rate": 0.1}}

    def by_name(setting, *data):
        return train(knobs[setting]["rate"], *data)

    def negated(setting, *data):
        return train(-knobs[setting]["rate"], *data)

    def run(train_one):
        return select(train_one, ["a"], SOURCE, TARGET, TEST, folder=tmp_path)

    assert list(run(by_name).models) == ["a"]
    assert not run(by_name).models  # read where it was kept
    for other in (negated, partial(by_name)):
        with pytest.raises(ValueError, match="another train, exp|type partial, expect"):
            run(other)
    knobs["a"]["rate"] = 0.2
    with pytest.raises(ValueError, match="another train, expected"):
        run(by_name)


GOOD = {"settings": ["a", "b"], "source": SOURCE, "target": TARGET, "test": TEST}


def named(rows, letters):
    return replace(rows, class_names=tuple(letters))


def with_labels(rows, labels):
    return replace(rows, labels=np.asarray(labels))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"settings": []}, r"settings=\[\], expected a list of different"),
        ({"settings": ["a", "a"]}, "list of different names"),
        ({"settings": "ab"}, "settings='ab', expected a list"),
        ({"settings": [{"strength": 1}]}, "keep sets of knobs in a dict"),
        ({"validators": ["magic"]}, r"validators=\['magic'\], expected .* some of"),
        ({"validators": "dev"}, "validators='dev', expected a list"),
        ({"source": SOURCE.values}, "source needs its labels"),
        ({"source": with_labels(SOURCE, [0] * 60)}, "Got 1 source classes"),
        ({"source": with_labels(SOURCE, np.arange(60))}, "1 rows in the smallest"),
        ({"target": TARGET[:0]}, "empty target"),
        ({"target": TARGET[:, :2]}, r"target rows of shape \(2,\)"),
        ({"target": 7}, r"a target of type int and shape \(\), expected numb"),
        ({"test": TEST.values}, "test set of type ndarray, expected an ImageSet"),
        ({"test": with_labels(TEST, [0] * 30)}, "target labels of one class"),
        (
            {"source": named(SOURCE, "abc"), "test": named(TEST, "bca")},
            "Got 'b' for class 0 in the target test set, expected 'a' as in the source",
        ),
        ({"test": with_labels(TEST, np.arange(30))}, "which the source lacks"),
        (
            {"test": replace(TEST, values=TEST.values[:, :2])},
            r"target test images of shape \(2,\)",
        ),
    ],
)
def test_select_refuses_bad_input_before_training(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        select(pytest.fail, **GOOD | change)


def test_select_refuses_models_without_logits():
    class Classes(Nearest):
        def predict_on_batch(self, values):
            return super().predict_on_batch(values).argmax(axis=1)

    with pytest.raises(ValueError, match=r"answers of shape \(12,\) for 12 images"):
        select(lambda *_: Classes(np.eye(3)), **GOOD)
