import numpy as np
import pytest
from tiny import tiny_backbone, tiny_images

from tl_helpers.choosing import Rank
from tl_helpers.features import Features
from tl_helpers.fitting import choose_trust_threshold, forecast
from tl_helpers.fitting.candidates import Candidate, choose_candidate
from tl_helpers.fitting.costs import multiply_adds, training_minutes
from tl_helpers.fitting.curves import learning_curve
from tl_helpers.fitting.protocol import held_out_logits, make_folds
from tl_helpers.fitting.trust import balanced_with_interval, judge_trust
from tl_helpers.fitting.tuning import (
    compare_strategies,
    fine_tuned,
    plan_fine_tuning,
    probe_classifier,
)
from tl_helpers.training import predict_logits

SIZES, HELD = [20, 40, 80, 160, 320], [1000] * 5


def mistakes(height, slope, floor=0.0):
    shares = [height * n**-slope + floor for n in SIZES]
    return [[round(1000 * share)] * 5 for share in shares]


def test_forecast_carries_a_power_law_on():
    found = forecast(SIZES, mistakes(2, 0.5), HELD)
    assert found.reason == ""
    assert found.accuracy == pytest.approx(1 - 2 * 640**-0.5, abs=0.003)
    assert found.low < found.accuracy < found.high


@pytest.mark.parametrize(
    "wrong, why",
    [
        (mistakes(0.5, 0), "did not surely help"),
        (mistakes(20, 1.2, 0.15), "The curve bends"),
        ([[300] * 5, [100] * 5, [10] * 5, [2] * 5, [1] * 5], "Only 5 mistakes"),
    ],
)
def test_forecast_says_why_it_cannot_tell(wrong, why):
    found = forecast(SIZES, wrong, HELD)
    assert found.accuracy is None and why in found.reason


def test_forecast_of_few_images_is_none():
    few = [[3, 4, 5, 2, 4], [3, 3, 4, 2, 4], [2, 4, 3, 2, 2]]
    assert forecast([8, 16, 32], few, [8] * 5).accuracy is None
    assert "fewer than three" in forecast([8, 16], few[:2], [8] * 5).reason


def test_forecast_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="at most the rows held out"):
        forecast([8, 16], [[9], [9]], [8])


@pytest.mark.parametrize("num_right, wanted", [(35, 0.9), (34, None)])
def test_threshold_takes_35_right_answers(num_right, wanted):
    sure = np.repeat([0.9, 0.5], [num_right, 20])
    is_right = np.repeat([True, False], [num_right, 20])
    assert choose_trust_threshold(sure, is_right) == wanted


def test_threshold_is_the_lowest_that_holds():
    sure = np.linspace(1, 0.3, 200)
    is_right = sure > 0.6
    chosen = choose_trust_threshold(sure, is_right)
    assert 0.5 < chosen < 0.6
    assert is_right[sure >= chosen].mean() >= 0.95


def test_threshold_takes_equally_sure_answers_together():
    sure = np.full(100, 0.8)
    is_right = np.arange(100) < 60
    assert choose_trust_threshold(sure, is_right) is None


def test_trust_of_honest_logits_has_temperature_one():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.5, 1, 1000)
    labels = (rng.uniform(size=1000) < chance).astype(int)
    logits = np.log(np.stack([1 - chance, chance], axis=1))
    assert judge_trust(logits, labels)["temperature"] == pytest.approx(1, abs=0.2)
    again = judge_trust(3 * logits, labels)
    assert again["temperature"] == pytest.approx(3, abs=0.6)
    assert again["after"] < again["before"]


def test_balanced_interval_of_one_class_is_wilsons():
    assert balanced_with_interval([[8, 2], [0, 0]]) == pytest.approx(
        (0.8, 0.4902, 0.9433), abs=1e-4
    )


def test_folds_hold_every_row_out_once_and_learn_from_every_class():
    labels = np.repeat([0, 1, 2], [20, 7, 2])
    folds = make_folds(labels)
    held = np.concatenate([held for _, held in folds])
    assert sorted(held) == list(range(29))
    assert all(set(labels[learnt]) == {0, 1, 2} for learnt, _ in folds)
    with pytest.raises(ValueError, match="at least two rows"):
        make_folds([0, 0, 1])


def noisy(signal, num_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 2
    values = rng.normal(size=(num_rows, 3)) + signal * labels[:, None]
    return Features(values, labels, ("a", "b"))


def ranks_of(features):
    return [Rank(one, -float(i), 0.0, 0.0, 0.0) for i, one in enumerate(features)]


def test_choice_takes_the_better_probe_and_knows_it_is_surely_better():
    features = {Candidate("a", "x"): noisy(0), Candidate("b", "y"): noisy(4)}
    folds = make_folds(noisy(0).labels)
    chosen, found = choose_candidate(ranks_of(features), features, folds)
    assert chosen == ("b", "y") and found["lead"][1] > 0


def test_choice_with_few_labels_follows_the_rule():
    features = {
        Candidate("a", "first"): noisy(4, 8),
        Candidate("a", "last"): noisy(0, 8),
    }
    folds = make_folds(noisy(0, 8).labels)
    chosen, found = choose_candidate(ranks_of(features), features, folds)
    assert chosen == ("a", "last") and found["is_rule"]


def test_learning_curve_grows_in_size_and_counts_fewer_mistakes():
    few, many = 0, 0
    for seed in range(3):
        features = noisy(1.5, 60, seed)
        found = learning_curve(features, make_folds(features.labels)[:2])
        assert found["sizes"] == sorted(found["sizes"]) and found["sizes"][-1] == 48
        few, many = (n + np.sum(found["wrong"][k]) for n, k in ((few, 0), (many, -1)))
    assert many < few


def logits_right_on(labels, is_right):
    answers = np.where(is_right, labels, 1 - labels)
    return np.eye(2)[answers]


@pytest.mark.parametrize(
    "num_probe, num_tuned, chosen",
    [(12, 19, "fine-tuning"), (19, 12, "probe"), (15, 15, "probe")],
)
def test_strategy_is_the_one_that_leads_beyond_its_error(num_probe, num_tuned, chosen):
    labels = np.tile([0, 1], 50)
    folds = [(np.arange(0), np.arange(i, 100, 5)) for i in range(5)]
    is_right = [np.arange(100) < 5 * number for number in (num_probe, num_tuned)]
    both = [logits_right_on(labels, one) for one in is_right]
    found = compare_strategies(*both, labels, folds)
    assert found["chosen"] == chosen
    assert found["gain"][0] == pytest.approx((num_tuned - num_probe) / 20)


def test_plan_says_what_is_missing():
    backbone = tiny_backbone()
    labels = np.arange(40) % 2
    folds = make_folds(labels)
    plan = plan_fine_tuning(backbone.network, 8, labels, folds, 10)
    assert plan.num_folds == 5
    assert plan_fine_tuning(backbone.network, 8, labels, folds, 0).reason == "time"
    enough_for_three = 0.7 * plan.minutes
    few = plan_fine_tuning(backbone.network, 8, labels, folds, enough_for_three)
    assert few.num_folds == 3
    few = np.append(labels, 2)
    assert plan_fine_tuning(backbone.network, 8, few, folds, 10).reason == "images"


def test_multiply_adds_of_two_convolutions_by_hand():
    # 3x3 of 3 channels to 4 on 3x3 places; 3x3 of 4 channels to 6 on one place
    assert multiply_adds(tiny_backbone().network, 8) == 27 * 4 * 9 + 36 * 6
    assert training_minutes(10e9, 20) == pytest.approx(1)


def test_probe_classifier_answers_as_the_probe_even_if_no_feature_varies():
    backbone, images = tiny_backbone(), tiny_images()
    flat = Features(np.ones((24, 6), np.float32), images.labels, images.class_names)
    model = probe_classifier(backbone, flat[np.arange(23)], "block2")
    logits = predict_logits(model, images)
    assert logits[0] == pytest.approx(np.log([12 / 23, 11 / 23]), abs=1e-5)


def test_fine_tuning_moves_the_block_and_leaves_the_one_before():
    backbone, images = tiny_backbone(), tiny_images(40)
    model = fine_tuned(backbone, "block2", images)
    same = {
        name: np.array_equal(
            model.get_layer(name).get_weights()[0],
            backbone.network.get_layer(name).get_weights()[0],
        )
        for name in ("block1_conv", "block2_conv")
    }
    assert same == {"block1_conv": True, "block2_conv": False}


def test_held_out_logits_leave_rows_of_other_folds_unknown():
    folds = make_folds(np.arange(10) % 2)[:1]
    logits = held_out_logits(lambda *_: np.ones((2, 2)), folds, 10, 2)
    assert np.isnan(logits).all(axis=1).sum() == 8
