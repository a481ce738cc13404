"""Soups, lines, ensembles and distillation: exact at their ends, the rest by hand."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy.special import log_softmax, softmax
from tiny import (
    learning_classifier,
    moved,
    pixels,
    tiny_backbone,
    tiny_images,
    values_of,
)

from tl_helpers import combining
from tl_helpers.combining import ensemble, greedy_soup, interpolate, soup, walk
from tl_helpers.combining.distilling import SoftDivergence
from tl_helpers.domains import adapt_batch_norm
from tl_helpers.finetuning import add_lora, classifier
from tl_helpers.saving import load_model, save_model
from tl_helpers.training import accuracy, predict_logits

IMAGES = pixels(6, 8, 8)
LABELS = np.arange(6) % 3


def other_values(seed):
    """The same architecture, every weight and statistic somewhere else."""
    model, rng = learning_classifier(5), np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    return model


@pytest.fixture(scope="module")
def three():
    return [other_values(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def ends():
    return line_of(0.0, 1.0)


def same_bits(model, other):
    pairs = zip(model.weights, other.weights, strict=True)
    return all(np.array(x).tobytes() == np.array(y).tobytes() for x, y in pairs)


def rows(*stack):
    return keras.Sequential([keras.Input((4,)), *stack])


def line_of(*kernels):
    """Models with one weight each, a kernel (1, 1)."""
    models = []
    for kernel in kernels:
        model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
        model.set_weights([np.array([[kernel]])])
        models.append(model)
    return models


def kernel_of(model):
    return float(model.get_weights()[0][0, 0])


# --- Soups and lines --------------------------------------------------------------


def test_a_soup_of_one_is_that_model_bit_for_bit(three):
    made = soup(three[:1])
    assert same_bits(made, three[0]) and type(made) is type(three[0])
    assert made is not three[0]
    np.testing.assert_array_equal(
        predict_logits(made, IMAGES), predict_logits(three[0], IMAGES)
    )


def test_a_line_ends_at_both_ends_bit_for_bit(three):
    assert same_bits(interpolate(*three[:2], 0), three[0])
    assert same_bits(interpolate(*three[:2], 1), three[1])


def test_negative_zero_keeps_its_sign_at_the_ends():
    """Its product with a share, added to 0, would lose one bit."""
    first, second = line_of(-0.0, 1.0)
    for model in (interpolate(first, second, 0.0), soup([first])):
        assert np.signbit(model.get_weights()[0]).all()


def test_a_soup_of_two_is_the_middle_of_their_line(three):
    assert same_bits(soup(three[:2]), interpolate(*three[:2], 0.5))


def test_soup_by_hand():
    assert kernel_of(soup(line_of(1.0, 2.0, 6.0))) == 3.0


@settings(max_examples=20)
@given(
    a=st.floats(-9, 9, width=32), b=st.floats(-9, 9, width=32), share=st.floats(0, 1)
)
def test_a_line_is_straight(ends, a, b, share):
    first, second = ends
    first.set_weights([np.array([[a]])])
    second.set_weights([np.array([[b]])])
    found = kernel_of(interpolate(first, second, share))
    assert found == pytest.approx((1 - share) * a + share * b, rel=1e-6, abs=1e-6)
    assert min(a, b) <= found <= max(a, b)


def test_nothing_changes_the_models_that_come_in(three):
    before = [values_of(model) for model in three]
    flags = [[x.trainable for x in model.layers] for model in three]
    soup(three)
    greedy_soup(three, lambda model: accuracy(model, tiny_images()))
    walk(*three[:2], [0, 0.3, 1], lambda model: 0)
    trained = ensemble(three)
    trained.compile("sgd", "mse", run_eagerly=True)
    trained.fit(IMAGES, np.zeros((6, 3)), verbose=0)
    taught = combining.distiller(other_values(9), three[0])
    compiled(taught, 0.1).fit(IMAGES, LABELS, verbose=0)
    for old, flag, model in zip(before, flags, three, strict=True):
        assert not moved(old, model)
        assert [x.trainable for x in model.layers] == flag


def test_statistics_are_averaged_until_they_are_refreshed(three):
    name = "block1_norm"
    means = [np.array(x.get_layer(name).moving_mean) for x in three]
    made = soup(three)
    found = np.array(made.get_layer(name).moving_mean)
    np.testing.assert_allclose(found, np.mean(means, axis=0), rtol=1e-6)
    fresh = adapt_batch_norm(made, IMAGES)
    assert np.abs(np.array(fresh.get_layer(name).moving_mean) - found).max() > 1


def test_random_generators_are_copied_and_not_averaged():
    models = [rows(layers.Dropout(0.5, seed=seed), layers.Dense(2)) for seed in (3, 8)]
    states = [
        [x for x in model.variables if "seed_generator" in x.path]
        for model in (*models, soup(models))
    ]
    first, second, made = (np.array(x[0]) for x in states)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(made, first)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_whole_numbers_are_kept_or_refused():
    quantised = [rows(layers.Dense(2)) for _ in range(2)]
    for model in quantised:
        model.quantize("int8")
    with pytest.raises(
        ValueError, match="kernel differs, whole numbers without a mean"
    ):
        soup(quantised)
    made = soup([quantised[0], quantised[0]])
    assert same_bits(made, quantised[0])


@pytest.mark.parametrize(
    "other",
    [
        rows(layers.Dense(3, "relu")),
        rows(layers.Dense(3, "tanh"), layers.Dense(3, "relu")),
        rows(layers.Dense(3), layers.ReLU()),
    ],
    ids=["width of weights", "depth", "activation"],
)
def test_another_architecture_is_refused(other):
    model = rows(layers.Dense(3, "tanh"))
    for combine in (soup, lambda models: interpolate(*models, 0.5)):
        with pytest.raises(ValueError, match="of different architectures, expected"):
            combine([model, other])


def test_names_that_keras_counts_and_seeds_make_no_other_architecture():
    made = [
        rows(layers.Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=x)))
        for x in (1, 2)
    ]
    assert made[0].layers[0].name != made[1].layers[0].name
    soup(made)


def test_lora_is_refused_as_the_mean_of_factors_is_not_that_of_products():
    models = []
    for _ in range(2):
        model = classifier(tiny_backbone(), 2)
        add_lora(model, 2)
        models.append(model)
    with pytest.raises(ValueError, match="merge them with merge_lora first"):
        soup(models)


def test_greedy_soup_by_hand():
    """Nearest to 2: first 2.5, then with 1 (1.75), then not with 9."""
    models = line_of(9.0, 1.0, 2.5)
    found = greedy_soup(models, lambda model: -abs(kernel_of(model) - 2))
    assert found.kept == (2, 1) and kernel_of(found.model) == 1.75
    assert found.score == -0.25


def test_greedy_soup_keeps_what_does_not_let_the_score_fall():
    found = greedy_soup(line_of(1.0, 2.0, 4.5), lambda model: 0.5)
    assert found.kept == (0, 1, 2) and kernel_of(found.model) == 2.5


def test_greedy_soup_is_the_best_alone_where_nothing_helps(three):
    scores = iter([0.1, 0.9, 0.5, 0.2, 0.3])
    found = greedy_soup(three, lambda model: next(scores))
    assert found.kept == (1,) and found.score == 0.9
    assert same_bits(found.model, three[1])


def test_walk_by_hand():
    """The loss (w - 1)^2 between w = 0 and w = 4 has its valley at a quarter."""
    shares = [0, 0.25, 0.5, 1]
    found = walk(*line_of(0.0, 4.0), shares, lambda model: (kernel_of(model) - 1) ** 2)
    np.testing.assert_allclose(found, [1, 0, 1, 9])


def test_walk_refreshes_every_point(three):
    images = tiny_images()

    def statistics(model):
        return np.array(model.get_layer("block1_norm").moving_mean).mean()

    def refresh(model):
        return adapt_batch_norm(model, images)

    plain = walk(*three[:2], [0, 0.5, 1], statistics)
    fresh = walk(*three[:2], [0, 0.5, 1], statistics, refresh)
    assert plain[0] == pytest.approx(statistics(three[0]))
    wanted = statistics(refresh(interpolate(*three[:2], 0.5)))
    assert fresh[1] == pytest.approx(wanted) and np.abs(fresh - plain).min() > 1


@pytest.mark.parametrize("score", [np.nan, None, [0.5, 0.5], "0.5"])
def test_what_is_no_score_is_refused(three, score):
    for call in (
        lambda: greedy_soup(three, lambda model: score),
        lambda: walk(*three[:2], [0.5], lambda model: score),
    ):
        with pytest.raises(
            ValueError, match="Got a score of type .* one finite number"
        ):
            call()


# --- Ensembles --------------------------------------------------------------------


def test_an_ensemble_of_one_has_that_models_probabilities(three):
    found = predict_logits(ensemble(three[:1]), IMAGES)
    wanted = softmax(predict_logits(three[0], IMAGES), axis=1)
    np.testing.assert_allclose(np.exp(found), wanted, atol=1e-6)


def test_an_ensemble_averages_probabilities(three):
    found = predict_logits(ensemble(three), IMAGES)
    parts = [softmax(predict_logits(model, IMAGES).astype(float), 1) for model in three]
    np.testing.assert_allclose(np.exp(found), np.mean(parts, 0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(softmax(found, axis=1), np.exp(found), atol=1e-6)


def test_an_ensemble_is_finite_where_a_model_is_sure():
    models = [rows(layers.Dense(2, use_bias=False)) for _ in range(2)]
    models[0].set_weights([np.full((4, 2), [500.0, -500])])
    models[1].set_weights([np.zeros((4, 2))])
    found = predict_logits(ensemble(models), np.ones((1, 4)))
    np.testing.assert_allclose(np.exp(found), [[0.75, 0.25]], rtol=1e-6)


def test_an_ensemble_takes_models_of_any_architecture_and_is_saved(tmp_path):
    models = [rows(layers.Dense(3)), rows(layers.Dense(5, "relu"), layers.Dense(3))]
    made = ensemble(models)
    given = np.random.default_rng(0).normal(size=(2, 4))
    path = save_model(made, tmp_path / "ensemble.keras")
    read = load_model(path)
    np.testing.assert_array_equal(
        predict_logits(read, given), predict_logits(made, given)
    )
    with pytest.raises(ValueError, match="expected the same; give models of the same"):
        ensemble([models[0], rows(layers.Dense(2))])


# --- Distillation -----------------------------------------------------------------


def kl_by_hand(teacher, student, temperature):
    p, q = (log_softmax(x.astype(float) / temperature, 1) for x in (teacher, student))
    return temperature**2 * (np.exp(p) * (p - q)).sum(1).mean()


TEACHER, STUDENT = np.random.default_rng(0).normal(size=(2, 32, 3)).astype("float32")


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_soft_divergence_by_hand(temperature):
    found = float(SoftDivergence(temperature).compute_loss(TEACHER, STUDENT))
    assert found == pytest.approx(kl_by_hand(TEACHER, STUDENT, temperature), rel=1e-5)
    assert float(SoftDivergence().compute_loss(TEACHER, TEACHER)) == pytest.approx(0)


def test_soft_divergence_has_a_gradient_where_the_student_is_wrong_and_sure():
    """q - p of softmax: Keras's clipped one gives exactly zero here."""
    import tensorflow as tf

    teacher, student = tf.constant([[30.0, 0]]), tf.Variable([[0.0, 30]])
    with tf.GradientTape() as tape:
        loss = SoftDivergence(1.0).compute_loss(teacher, student)
    np.testing.assert_allclose(tape.gradient(loss, student), [[-1, 1]], atol=1e-6)
    assert float(loss) == pytest.approx(30)


def test_keras_compares_logits_as_if_they_were_probabilities():
    """By its default or with a loss object, by version; this is why we have our own."""
    losses = ["kl_divergence", keras.losses.KLDivergence()]
    found = [
        float(keras.distillation.LogitsDistillation(3.0, x).compute_loss(*given))
        for x in losses
        for given in [(TEACHER, STUDENT)]
    ]
    is_right = np.isclose(found, kl_by_hand(TEACHER, STUDENT, 3.0), rtol=1e-4)
    assert sorted(is_right) == [False, True]


def compiled(made, rate=0.0):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.SGD(rate), loss, run_eagerly=True)
    return made


def student(regularizer=None):
    keras.utils.set_random_seed(3)
    return rows(layers.Dense(3, kernel_regularizer=regularizer))


def teacher():
    keras.utils.set_random_seed(4)
    return rows(layers.Dense(8, "relu"), layers.Dense(3))


ROWS = np.random.default_rng(1).normal(size=(32, 4)).astype("float32")
ROW_LABELS = np.arange(32) % 3


@pytest.mark.parametrize("label_share", [0, 0.3, 1])
def test_the_logged_loss_is_the_one_by_hand(label_share):
    made = combining.distiller(student(), teacher(), 2.0, label_share)
    answers = [predict_logits(model, ROWS) for model in (teacher(), student())]
    labels = -log_softmax(answers[1].astype(float), 1)[np.arange(32), ROW_LABELS].mean()
    wanted = label_share * labels + (1 - label_share) * kl_by_hand(*answers, 2.0)
    history = compiled(made).fit(ROWS, ROW_LABELS, batch_size=32, verbose=0).history
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-5)


def test_a_student_learns_the_answers_of_an_ensemble():
    learner, whole = student(), ensemble([teacher(), teacher()])
    made = compiled(combining.distiller(learner, whole, 2.0, 0.0), 0.3)
    made.fit(ROWS, ROW_LABELS, epochs=30, verbose=0)
    before, after = (
        kl_by_hand(predict_logits(whole, ROWS), predict_logits(model, ROWS), 1.0)
        for model in (student(), learner)
    )
    assert after < before / 3


def test_penalties_of_the_student_count_and_weights_of_samples_are_refused():
    """Keras's class leaves out both without a word."""
    l2 = keras.regularizers.L2(0.1)
    bare, more = (
        compiled(combining.distiller(student(x), teacher()))
        .fit(ROWS, ROW_LABELS, batch_size=32, verbose=0)
        .history["loss"][0]
        for x in (None, l2)
    )
    kernel = student().get_weights()[0]
    assert more - bare == pytest.approx(0.1 * (kernel**2).sum(), rel=1e-4)
    made = compiled(combining.distiller(student(), teacher()))
    for weights in (
        {"sample_weight": np.zeros(32)},
        {"class_weight": {0: 9, 1: 1, 2: 1}},
    ):
        with pytest.raises(ValueError, match="Got weights of samples or classes"):
            made.fit(ROWS, ROW_LABELS, verbose=0, **weights)


def test_keras_ignores_weights_of_samples_and_penalties():
    """What the guard above is there for."""
    losses = [
        compiled(keras.distillation.Distiller(teacher(), student(x), SoftDivergence()))
        .fit(ROWS, ROW_LABELS, batch_size=32, verbose=0, sample_weight=weight)
        .history["loss"][0]
        for x, weight in [
            (None, None),
            (keras.regularizers.L2(9.0), None),
            (None, np.zeros(32)),
        ]
    ]
    assert losses[0] == losses[1] == losses[2] > 0


def test_keras_freezes_the_teacher_that_it_is_given():
    """So `distiller` gives it a copy."""
    given = teacher()
    keras.distillation.Distiller(given, student(), SoftDivergence())
    assert not given.trainable


def test_distiller_refuses_what_does_not_fit():
    one = student()
    with pytest.raises(ValueError, match="Got one model as student and teacher"):
        combining.distiller(one, one)
    with pytest.raises(ValueError, match="expected the same; build both"):
        combining.distiller(one, rows(layers.Dense(2)))
