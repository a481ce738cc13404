"""Attacks within their budget, scores by hand, and what a model gives away."""

from functools import cache

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy import ndimage
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from tiny import (
    learning_classifier,
    moved,
    pixels,
    tiny_backbone,
    tiny_images,
    values_of,
)

from tl_helpers import evaluation, explanation, robustness
from tl_helpers.robustness import budget as budgets
from tl_helpers.training import predict_logits

BUDGETS = st.one_of(st.floats(0, 255), st.integers(0, 255))
SEEDS = st.integers(0, 10_000)


@pytest.fixture(scope="module")
def network():
    return learning_classifier(6)


def linear(size_px=2):
    """Logits that are weighted sums of the pixels."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((size_px, size_px, 3)), layers.Flatten(), layers.Dense(2)]
    )


@cache
def hidden_layer(model):
    return keras.Model(model.inputs, model.layers[-2].output)


def attacks(model, budget, images, labels):
    """Every attack on the same images."""
    features = hidden_layer(model)
    return {
        "fgsm": robustness.fgsm(model, images, labels, budget),
        "pgd": robustness.pgd(model, images, labels, budget, 3, restarts=2),
        "features": robustness.feature_attack(features, images, budget, 3),
    }


# --- Budget -----------------------------------------------------------------------


@settings(max_examples=300)
@given(
    value=st.floats(0, 255, width=32),
    budget=BUDGETS,
)
def test_limits_are_the_outermost_float32_within_the_budget(value, budget):
    image = np.full((1, 1, 1, 3), value, "float32")
    low, high = (float(x[0, 0, 0, 0]) for x in budgets.limits(image, budget))
    assert 0 <= low <= value <= high <= 255
    assert value - low <= budget and high - value <= budget
    room = min(budget, 255 - value)  # what is left of it is less than float32 can tell
    assert high - value >= room - 1e-4


@settings(max_examples=25)
@given(seed=SEEDS, budget=BUDGETS, is_bytes=st.booleans())
def test_every_attack_keeps_its_budget_to_the_last_bit(network, seed, budget, is_bytes):
    images = pixels(4, 8, 8, seed=seed)
    images[0, 0], images[0, 1] = 0, 255
    images = images.astype("uint8") if is_bytes else images
    labels = np.arange(4) % 3
    for name, attacked in attacks(network, budget, images, labels).items():
        assert attacked.dtype == np.float32, name
        assert attacked.min() >= 0 and attacked.max() <= 255, name
        apart = np.abs(attacked.astype("float64") - images.astype("float64"))
        assert apart.max() <= budget, name


@pytest.mark.parametrize("budget", [-1, 255.5, np.nan, np.inf, "8", None, [8]])
def test_a_budget_that_is_none_is_refused(network, budget):
    images, labels = pixels(2, 8, 8), [0, 1]
    for attack in (robustness.fgsm, robustness.pgd, robustness.check_gradients):
        with pytest.raises(ValueError, match="expected grey levels from 0 to 255"):
            attack(network, images, labels, budget)
    with pytest.raises(ValueError, match="expected grey levels from 0 to 255"):
        robustness.feature_attack(network, images, budget)


def test_whole_images_and_budgets_give_whole_attacks(network):
    images = tiny_images(6)
    attacked = robustness.fgsm(network, images, images.labels, 8)
    np.testing.assert_array_equal(attacked, np.rint(attacked))
    found = robustness.pgd(network, images, images.labels, 8)
    apart = np.rint(found) - images.pixels().astype("float32")
    assert np.abs(apart).max() <= 8


# --- FGSM and PGD -----------------------------------------------------------------


def test_fgsm_by_hand_on_a_linear_network():
    """Two logits: the loss of class 0 rises with kernel 1 minus kernel 0."""
    model, images = linear(), pixels(5, 2, 2)
    kernel = model.get_weights()[0]
    signs = np.sign(kernel[:, 1] - kernel[:, 0]).reshape(2, 2, 3)
    found = robustness.fgsm(model, images, np.zeros(5, int), 8)
    np.testing.assert_allclose(found, np.clip(images + 8 * signs, 0, 255), atol=1e-4)


def test_on_a_linear_network_nothing_beats_fgsm():
    model, images, labels = linear(), pixels(5, 2, 2), np.zeros(5, int)
    fgsm = robustness.fgsm(model, images, labels, 8)
    pgd = robustness.pgd(model, images, labels, 8, steps=5, restarts=3)
    np.testing.assert_allclose(pgd, fgsm, atol=1e-4)


@settings(max_examples=15)
@given(seed=SEEDS, budget=st.floats(0, 64), steps=st.integers(1, 4))
def test_pgd_is_never_weaker_than_fgsm(network, seed, budget, steps):
    images, labels = pixels(6, 8, 8, seed=seed), np.arange(6) % 3
    fgsm, pgd = (
        predict_logits(network, x)
        for x in (
            robustness.fgsm(network, images, labels, budget),
            robustness.pgd(network, images, labels, budget, steps, seed=seed),
        )
    )
    margins = [ops.convert_to_numpy(robustness.margin(labels, x)) for x in (fgsm, pgd)]
    assert (margins[1] >= margins[0] - 1e-4).all()


def test_more_starts_never_find_less(network):
    images, labels = pixels(8, 8, 8), np.arange(8) % 3
    found = []
    for restarts in (1, 2, 5):
        attacked = robustness.pgd(network, images, labels, 9, 3, restarts=restarts)
        found.append(np.array(robustness.margin(labels, network(attacked))))
    assert (np.diff(found, axis=0) >= -1e-4).all()


def test_attacks_come_out_alike_twice_and_move_nothing(network):
    before, images = values_of(network), tiny_images(5)
    first, second = (attacks(network, 9, images, images.labels) for _ in range(2))
    for name, attacked in first.items():
        np.testing.assert_array_equal(attacked, second[name])
        assert (attacked != images.pixels()).any(), name
    assert not moved(before, network)


@pytest.mark.parametrize("training", [None, True])
def test_batch_norm_of_a_nested_base_stays_still(training):
    """Even where the base was told to train when the model was put together."""
    base = tiny_backbone().network
    base.trainable = True
    images = keras.Input((8, 8, 3))
    values = layers.GlobalAveragePooling2D()(base(images, training=training))
    model = keras.Model(images, layers.Dense(3)(values))
    before, shown = values_of(model), tiny_images(4)
    attacks(model, 9, shown, shown.labels)
    explanation.grad_cam(model, shown)
    explanation.integrated_gradients(model, shown, steps=2)
    assert not moved(before, model)


def test_another_seed_starts_elsewhere(network):
    found = [
        robustness.feature_attack(network, pixels(4, 8, 8), 9, seed=seed)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_attacks_see_new_weights():
    """Compiled once, an attack still follows a network that goes on learning."""
    model, images, labels = linear(), pixels(3, 2, 2), np.zeros(3, int)
    old = robustness.fgsm(model, images, labels, 8)
    model.set_weights([-x for x in model.get_weights()])
    new = robustness.fgsm(model, images, labels, 8)
    inside = (images > 8) & (images < 247)
    np.testing.assert_allclose(
        (old - images)[inside], (images - new)[inside], atol=1e-4
    )


def landscape(logits_of):
    """A model of the brightness of one grey pixel, in levels above 100."""
    inputs = keras.Input((1, 1, 3))
    x = ops.mean(inputs, axis=(1, 2, 3)) - 100
    return keras.Model(inputs, ops.stack([0 * x, *logits_of(x)], axis=1))


def answers_to(attack, model, **settings):
    attacked = attack(model, np.full((1, 1, 1, 3), 100.0), [0], 9, **settings)
    return predict_logits(model, attacked).argmax(1)[0]


def test_pgd_turns_answers_that_fgsm_cannot():
    """The loss goes up, then down again: one large step jumps over the hill."""
    model = landscape(lambda x: [2 - ops.square((x - 4) / 2)])
    assert answers_to(robustness.fgsm, model) == 0
    assert answers_to(robustness.pgd, model) == 1


def test_pgd_turns_answers_that_small_steps_alone_cannot():
    """Behind a low hill lies a high one: the first step is that of FGSM."""
    model = landscape(lambda x: [0.02 * x**2 + ops.sin(x) - 1.5])
    assert answers_to(robustness.fgsm, model) == 1
    assert answers_to(robustness.pgd, model) == 1


def test_pgd_keeps_a_wrong_answer_before_a_likelier_loss():
    """At 6.75 both wrong classes nearly win, at 9 one does: odds 0.59 against 0.50."""

    def logits_of(x):
        below, above = ops.minimum(x - 6.75, 0), ops.maximum(x - 6.75, 0)
        return below + 0.267 * above - 0.1, below - 4.4 * above - 0.1

    knobs = {"steps": 60, "step_size": 0.05, "restarts": 5}
    assert answers_to(robustness.pgd, landscape(logits_of), **knobs) == 1


def test_margin_and_log_odds_by_hand():
    logits = np.log([[0.6, 0.1, 0.3], [0.1, 0.2, 0.7]]).astype("float32")
    margins = np.array(robustness.margin([0, 1], logits))
    np.testing.assert_allclose(margins, np.log([0.3 / 0.6, 0.7 / 0.2]), rtol=1e-5)
    odds = np.array(robustness.log_odds([0, 1], logits))
    np.testing.assert_allclose(odds, np.log([0.4 / 0.6, 0.8 / 0.2]), rtol=1e-5)


def cross_entropy(labels, logits):
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )


def test_log_odds_point_where_cross_entropy_does(network):
    images, labels = pixels(6, 8, 8), np.arange(6) % 3
    plain = robustness.fgsm(network, images, labels, 8)
    by_hand = robustness.fgsm(network, images, labels, 8, cross_entropy)
    assert np.mean(plain == by_hand) > 0.99  # but for gradients of nearly 0


def test_a_sure_model_leaves_cross_entropy_without_a_gradient_but_not_fgsm():
    model, images, labels = linear(), pixels(4, 2, 2), np.zeros(4, int)
    kernel, bias = model.get_weights()
    model.set_weights([kernel, bias + [1e4, 0]])
    blind = robustness.fgsm(model, images, labels, 8, cross_entropy)
    np.testing.assert_array_equal(blind, images)
    signs = np.sign(kernel[:, 1] - kernel[:, 0]).reshape(2, 2, 3)
    found = robustness.fgsm(model, images, labels, 8)
    np.testing.assert_allclose(found, np.clip(images + 8 * signs, 0, 255), atol=1e-4)


def test_a_loss_of_ones_own_may_take_any_answer():
    """A detector's score lies beside the logits: the adaptive attack climbs both."""
    inner, inputs = linear(), keras.Input((2, 2, 3))
    answers = {"logits": inner(inputs), "score": ops.mean(inputs, axis=(1, 2, 3))}
    both = keras.Model(inputs, answers)
    images, labels = pixels(6, 2, 2), np.zeros(6, int)

    def loss(labels, answers):
        return robustness.margin(labels, answers["logits"]) - 100 * answers["score"]

    plain = robustness.pgd(inner, images, labels, 8)
    adaptive = robustness.pgd(both, images, labels, 8, loss=loss)
    assert adaptive.mean() < plain.mean() - 1
    assert np.abs(adaptive - images).max() <= 8


def test_a_chosen_answer_is_a_loss_that_falls_with_it():
    model, images, wanted = linear(), pixels(6, 2, 2), np.arange(6) % 2

    def loss(labels, logits):
        return -robustness.margin(labels, logits)

    attacked = robustness.pgd(model, images, wanted, 255, loss=loss)
    np.testing.assert_array_equal(predict_logits(model, attacked).argmax(1), wanted)


def test_losses_and_labels_that_do_not_fit_are_refused(network):
    images, labels = pixels(3, 8, 8), np.zeros(3, int)
    mean = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for loss, message in ((mean, "expected one number for each"), ("ce", "a function")):
        with pytest.raises(ValueError, match=message):
            robustness.fgsm(network, images, labels, 8, loss)
    with pytest.raises(ValueError, match="expected 0 to 2 for 3 classes"):
        robustness.pgd(network, images, labels + 3, 8)
    with pytest.raises(ValueError, match="Got 2 labels for 3 images"):
        robustness.pgd(network, images, labels[:2], 8, loss=robustness.margin)
    maps = keras.Model(network.inputs, network.get_layer("block1").output)
    with pytest.raises(ValueError, match="give a loss that takes what it answers"):
        robustness.fgsm(maps, images, labels, 8)


def test_a_model_that_is_no_graph_of_layers_is_attacked_too():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = linear()

        def call(self, images):
            return self.inner(images)

    model, images, labels = Subclassed(), pixels(3, 2, 2), np.zeros(3, int)
    model(images)
    wanted = robustness.fgsm(linear(), images, labels, 8)
    np.testing.assert_array_equal(robustness.fgsm(model, images, labels, 8), wanted)


def test_feature_attack_moves_features_more_than_noise_does():
    backbone = tiny_backbone()
    network = backbone.extractor("block1", pool=False)
    images = pixels(8, 8, 8)
    attacked = robustness.feature_attack(network, images, 9)
    signs = np.sign(np.random.default_rng(0).normal(size=images.shape))
    noisy = np.clip(images + 9 * signs, 0, 255)
    old, new, random = (
        network.predict(x, verbose=0) for x in (images, attacked, noisy)
    )
    distances = [((x - old) ** 2).mean((1, 2, 3)) for x in (new, random)]
    assert (distances[0] > 1.5 * distances[1]).all()


# --- Masked gradients -------------------------------------------------------------


def test_an_honest_network_has_nothing_to_hide():
    model, images = linear(), pixels(40, 2, 2)
    labels = predict_logits(model, images).argmax(1)
    found = robustness.check_gradients(model, images, labels, 20)
    assert found.clean == 0 and found.unlimited == 1 and found.blind == 0
    assert found.drawn <= found.attacked
    assert found.faults == []


def test_a_network_that_rounds_its_images_is_found_out():
    """Rounding has no gradient: nothing moves, and the model is no safer for it."""
    inner, inputs = linear(), keras.Input((2, 2, 3))
    model = keras.Model(inputs, inner(16 * ops.round(inputs / 16)))
    images = pixels(60, 2, 2)
    labels = predict_logits(model, images).argmax(1)
    found = robustness.check_gradients(model, images, labels, 40)
    assert found.attacked == 0 and found.blind == 1 and found.drawn > 0.05
    said = " ".join(found.faults)
    for words in ("its gradients lead nowhere", "Without a limit", "no gradient"):
        assert words in said


# --- Images from elsewhere --------------------------------------------------------


def test_scores_of_logits_by_hand():
    logits = np.log([[0.7, 0.2, 0.1], [1, 1, 2]])
    np.testing.assert_allclose(robustness.unsureness(logits), [0.3, 0.5])
    np.testing.assert_allclose(robustness.energy(logits), [0, -np.log(4)], atol=1e-12)
    doubled = robustness.energy(2 * logits, temperature=2)
    np.testing.assert_allclose(doubled, [0, -2 * np.log(4)], atol=1e-12)


def test_energy_knows_what_the_largest_probability_does_not():
    """The same shares, but every logit lower: nothing that the model knows."""
    logits = np.array([[9.0, 5], [1, -3]])
    assert np.ptp(robustness.unsureness(logits)) < 1e-12
    assert np.diff(robustness.energy(logits)) == pytest.approx(8)


def features(num_rows=60, width=4, seed=0):
    """Three classes around (10, 10, ..), (20, 20, ..) and (30, 30, ..)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 3
    spread = rng.normal(size=(num_rows, width)) * np.arange(1, width + 1)
    return spread + 10 * (labels[:, None] + 1), labels


def test_gaussians_by_hand():
    values, labels = features()
    found = robustness.fit_gaussians((values, labels))
    means = np.stack([values[labels == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(found.means, means, rtol=1e-5)
    precision = LedoitWolf(assume_centered=True).fit(values - means[labels]).precision_
    others = features(seed=1)[0] - 3
    wanted = [
        min((x - mean) @ precision @ (x - mean) for mean in means) for x in others
    ]
    np.testing.assert_allclose(found.distances(others), wanted, rtol=1e-3)
    assert found.distances(found.means) == pytest.approx(0)


def test_distances_have_a_gradient():
    """Minus twice the precision times the way to the mean, in the adaptive attack."""
    import tensorflow as tf

    found = robustness.fit_gaussians(features())
    values = tf.constant(found.means[:1] + [[0.1, 0, 0, 0]], "float32")
    with tf.GradientTape() as tape:
        tape.watch(values)
        distances = found.distances(values)
    wanted = 2 * found.precision @ [0.1, 0, 0, 0]
    np.testing.assert_allclose(tape.gradient(distances, values)[0], wanted, rtol=1e-3)


def test_more_columns_than_rows_still_have_an_inverse():
    rng = np.random.default_rng(0)
    found = robustness.fit_gaussians((rng.normal(size=(20, 50)), np.arange(20) % 2))
    assert np.isfinite(found.distances(rng.normal(size=(5, 50)))).all()


def test_neighbour_distance_by_hand():
    """Lengths do not count; the second nearest of three directions."""
    train = np.array([[5.0, 0], [0, 0.1], [-3, 0]])
    found = robustness.neighbour_distance(train, np.array([[2.0, 0], [0, -1]]), 2)
    np.testing.assert_allclose(found, [np.sqrt(2), np.sqrt(2)])
    with pytest.raises(ValueError, match="Got num_neighbours=4 among 3 rows"):
        robustness.neighbour_distance(train, train, 4)


def test_all_scores_rise_away_from_the_training_set():
    values, labels = features(300)
    inside, far = features(300, seed=1)[0], features(300, seed=2)[0] + [9, -9, 9, -9]
    gaussians = robustness.fit_gaussians((values, labels))
    for score in (
        gaussians.distances,
        lambda x: robustness.neighbour_distance(values, x),
    ):
        assert robustness.separation(score(inside), score(far)).auroc > 0.9


def test_separation_by_hand():
    """One of four from outside passes where all from inside do."""
    found = robustness.separation([1, 2, 3, 4], [5, 3.5, 6, 7])
    assert found.auroc == pytest.approx(15 / 16)
    assert found.fpr_at_95_tpr == pytest.approx(1 / 4)
    assert found[1:3] == evaluation.auc_interval(15 / 16, 4, 4)
    assert str(found).startswith("AUROC 93.8% (") and "FPR 25.0% at 95%" in str(found)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_separation_counts_what_passes(seed):
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(size=40), rng.normal(1, 1, 30)
    threshold = np.sort(inside)[37]  # 38 of 40 pass
    found = robustness.separation(inside, outside)
    assert found.fpr_at_95_tpr == pytest.approx(np.mean(outside <= threshold))


# --- Squeezing --------------------------------------------------------------------


def test_reduce_bits_by_hand():
    images = np.array([0, 60, 127, 128, 254, 255.0]).reshape(1, 1, 2, 3)
    assert robustness.reduce_bits(images, 1).ravel().tolist() == [
        0,
        0,
        0,
        255,
        255,
        255,
    ]
    whole = pixels(2, 4, 4).astype("uint8")
    np.testing.assert_array_equal(robustness.reduce_bits(whole, 8), whole)
    assert len(np.unique(robustness.reduce_bits(pixels(2, 9, 9), 3))) == 8


def test_median_filter_takes_away_a_single_pixel_and_keeps_colours_apart():
    images = np.full((2, 5, 5, 3), 50.0)
    images[0, 2, 2, 0] = 255
    smooth = robustness.median_filter(images)
    assert (smooth == 50).all() and smooth.dtype == np.float32
    images = pixels(2, 6, 6)
    wanted = np.empty_like(images)
    for place in np.ndindex(2, 3):  # each image and each colour by itself
        own = place[0], slice(None), slice(None), place[1]
        wanted[own] = ndimage.median_filter(images[own], 3)
    np.testing.assert_array_equal(robustness.median_filter(images), wanted)


def test_squeezing_score_by_hand(network):
    images = pixels(4, 8, 8)
    probabilities = [
        np.array(ops.softmax(network(x)))
        for x in (
            images,
            robustness.reduce_bits(images, 2),
            robustness.median_filter(images, 5),
        )
    ]
    wanted = [np.abs(probabilities[0] - x).sum(1) for x in probabilities[1:]]
    found = robustness.squeezing_score(network, images, 2, 5)
    np.testing.assert_allclose(found, np.maximum(*wanted), rtol=1e-3, atol=1e-6)
    flat = np.full((2, 8, 8, 3), 255.0)
    assert robustness.squeezing_score(network, flat).tolist() == [0, 0]


def test_squeezing_refuses_what_are_no_bits():
    for bits in (0, 9, 2.5):
        with pytest.raises(ValueError, match="Got bits="):
            robustness.reduce_bits(pixels(1, 4, 4), bits)


# --- Membership -------------------------------------------------------------------


def test_membership_by_hand():
    """Members answered at 0.9 and 0.6, others at 0.8 and 0.5."""
    members = np.log([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1])
    others = np.log([[0.8, 0.2], [0.5, 0.5]]), np.array([0, 1])
    found = robustness.membership(members, others, fpr=0)
    assert found.auc == pytest.approx(3 / 4)
    assert found.found == pytest.approx(1 / 2)
    assert found.low < 0.75 < found.high
    assert "50.0% of the members found at 0.0% false alarms" in str(found)


def test_membership_tells_nothing_of_a_model_that_learnt_nothing():
    rng = np.random.default_rng(0)
    sides = [(rng.normal(size=(4000, 3)), rng.integers(0, 3, 4000)) for _ in range(2)]
    found = robustness.membership(*sides)
    assert found.auc == pytest.approx(0.5, abs=0.02)
    assert found.found == pytest.approx(0.01, abs=0.01)


def test_membership_finds_what_was_learnt_by_heart():
    """More columns than rows: any labels are learnt, and they say nothing of others."""
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(80, 60)), rng.integers(0, 2, 80)
    heart = LogisticRegression(C=1e4).fit(values[:40], labels[:40])
    score = heart.decision_function(values)
    logits = np.stack([0 * score, score], axis=1)
    found = robustness.membership(
        (logits[:40], labels[:40]), (logits[40:], labels[40:])
    )
    assert found.auc > 0.7 and found.found > 0.02
    assert evaluation.accuracy(logits[:40].argmax(1), labels[:40]) == 1
