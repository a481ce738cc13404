"""Fresh starts, a number of steps, one schedule, and answers of rows in memory."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny import tiny_images

from tl_helpers import training
from tl_helpers.features import Features


@pytest.fixture(scope="module")
def model():
    """Two dense layers and dropout on 8 px images, compiled."""
    stack = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dropout(0.5)]
    network = keras.Sequential([*stack, keras.layers.Dense(4), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return network


def train(model, seed, num_steps=5):
    training.reinitialise(model, seed)
    log = training.fit_steps(model, tiny_images(), num_steps, batch_size=5, seed=seed)
    return model.get_weights(), log


def test_reinitialise_equals_a_fresh_start(model):
    (first, _), (other, _), (again, _) = (train(model, seed) for seed in (1, 2, 1))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


def test_reset_optimizer_forgets_steps_and_moments_alone(model):
    train(model, seed=0)
    assert model.optimizer.iterations.numpy() == 5
    training.reset_optimizer(model)
    assert model.optimizer.iterations.numpy() == 0
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    for variable in model.optimizer.variables:
        if not variable.path.endswith("learning_rate"):
            assert not variable.numpy().any(), variable.path


@pytest.mark.parametrize("num_steps", [1, 7, 12])  # 24 images make 5 batches of 5
def test_fit_steps_takes_that_many_steps(model, num_steps):
    _, log = train(model, 0, num_steps)
    assert model.optimizer.iterations.numpy() == num_steps
    assert len(log["loss"]) == len(log["accuracy"]) == 1


def test_fit_steps_sees_the_same_order_for_a_seed():
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(1))
    network.compile("adam", "mse")
    start, losses = network.get_weights(), []
    for seed in (0, 1, 0):
        network.set_weights(start)
        training.reset_optimizer(network)
        log = training.fit_steps(network, tiny_images(), 3, batch_size=5, seed=seed)
        losses.append(log["loss"])
    assert losses[0] == losses[2] != losses[1]


def test_fit_steps_teaches_a_class_for_every_pixel():
    images = tiny_images()
    pixels = np.repeat(np.repeat(images.labels[:, None, None], 8, 1), 8, 2) + 1
    images = dataclasses.replace(images, extras={"pixel_labels": pixels})
    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)]
    network = keras.Sequential([*layers, keras.layers.Conv2D(3, 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.1), loss)
    training.fit_steps(network, images, 60, 8, seed=0, targets="pixel_labels")
    answers = training.predict_logits(network, images).argmax(axis=-1)
    assert (answers == pixels).mean() > 0.9
    with pytest.raises(ValueError, match="images without boxes and box_labels"):
        training.fit_steps(network, images, 1, 8, seed=0, targets="boxes")


def test_fit_steps_traces_a_training_once():
    traced = []

    class Counting(keras.Sequential):
        def train_step(self, data):
            traced.append(data)
            return super().train_step(data)

    network = Counting([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(1))
    network.compile("adam", "mse")
    training.fit_steps(network, tiny_images(), num_steps=2, batch_size=8, seed=0)
    assert len(traced) == 1


@pytest.mark.parametrize("at_once", [1, 3])
def test_fit_rows_equals_fit_on_those_rows(at_once):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 4)).astype(np.float32)
    targets = rng.normal(size=(9, 1)).astype(np.float32)
    order = rng.integers(9, size=14)  # rows come several times, the last batch is small
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    network.compile("adam", "mse", steps_per_execution=at_once)
    start = network.get_weights()
    network.fit(values[order], targets[order], batch_size=4, shuffle=False, verbose=0)
    theirs = network.get_weights()
    network.set_weights(start)
    training.reset_optimizer(network)
    log = training.fit_rows(network, values, targets, order, batch_size=4)
    assert len(log["loss"]) == 1 and network.optimizer.iterations.numpy() == 4
    for one, other, first in zip(network.get_weights(), theirs, start, strict=True):
        np.testing.assert_array_equal(one, other)
        assert not np.array_equal(one, first)


def test_fit_rows_takes_targets_by_name_and_refuses_too_few():
    values = np.ones((6, 4), np.float32)
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in "ab"}
    network = keras.Model(inputs, outputs)
    network.compile("sgd", {"a": "mse", "b": "mse"})
    targets = {"a": np.ones((6, 1)), "b": np.zeros((6, 1))}
    assert training.fit_rows(network, values, targets, [0, 5, 5], 2)["loss"][0] > 0
    with pytest.raises(ValueError, match="Got 5 targets for 6 values, expected one"):
        training.fit_rows(network, values, {"a": np.ones((5, 1))}, [0], 2)


def test_warmup_cosine_rises_to_the_rate_and_falls_to_nothing():
    schedule = training.warmup_cosine(0.5, num_steps=100)
    rates = np.array([float(schedule(step)) for step in range(100)])
    assert rates[0] == pytest.approx(0.05)
    assert rates[:11] == pytest.approx(np.linspace(0.05, 0.5, 11), abs=1e-6)
    assert rates.max() == pytest.approx(0.5) and rates.argmax() in (9, 10)
    # half of the way down the cosine the rate is half of the highest
    assert rates[55] == pytest.approx(0.25, abs=1e-6)
    assert rates[-1] < 0.001


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_warmup_cosine_of_few_steps_is_finite(num_steps):
    schedule = training.warmup_cosine(0.5, num_steps)
    assert all(0 <= float(schedule(step)) <= 0.5 for step in range(num_steps + 1))


@pytest.mark.parametrize("at_once", [1, 7, 256])
def test_predict_logits_equals_predict(model, monkeypatch, at_once):
    monkeypatch.setattr(training, "ANSWERED_AT_ONCE", at_once)
    images = tiny_images()
    # logits near 1: sums of hundreds differ in the fifth decimal from batch to batch
    model.set_weights([weights / 16 for weights in model.get_weights()])
    logits = training.predict_logits(model, images)
    wanted = model.predict(images.pixels(), verbose=0)
    np.testing.assert_allclose(logits, wanted, rtol=1e-5, atol=1e-5)
    by_array = training.predict_logits(model, images.pixels())
    np.testing.assert_array_equal(logits, by_array)


def test_accuracy_takes_images_and_features(model):
    images = tiny_images()
    is_right = model.predict(images.pixels(), verbose=0).argmax(axis=1) == images.labels
    assert training.accuracy(model, images) == pytest.approx(is_right.mean())
    constant = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    rows = Features(np.array([[0.0, 1], [1, 0], [0, 1]]), np.array([1, 1, 1]))
    assert training.accuracy(constant, rows) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="from 1 to 2, expected 0 to 1 for 2 classes"):
        training.accuracy(constant, Features(rows.values, [1, 1, 2]))
