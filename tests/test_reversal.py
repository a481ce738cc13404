import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from tl_helpers.adaptation import DANN, GradientReversal, InverseDecay, Ramp, pairs
from tl_helpers.adaptation.networks import dense_network
from tl_helpers.adaptation.reversal import ramp
from tl_helpers.features import Features

normal = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
TINY = np.finfo("float32").tiny  # a product below this may count as 0


@given(st.floats(0, 10, width=32, allow_subnormal=False), st.lists(normal, min_size=1))
def test_reversal_keeps_values_and_turns_gradients(strength, values):
    layer = GradientReversal(strength)
    x = tf.Variable(np.array(values, "float32"))
    with tf.GradientTape() as tape:
        y = layer(x)
        loss = tf.reduce_sum(y**2)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_allclose(
        tape.gradient(loss, x),
        -np.float32(strength) * 2 * x.numpy(),
        rtol=1e-5,
        atol=2 * TINY,
    )


def test_reversal_follows_its_variable_in_a_compiled_step():
    layer = GradientReversal()  # 1: the gradient turned round and nothing else
    x = tf.Variable([3.0])

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            y = layer(x)
        return tape.gradient(y, x)

    assert gradient().numpy() == [-1.0]
    layer.strength.assign(0.25)
    assert gradient().numpy() == [-0.25]


def test_reversal_reloads_with_its_current_strength(tmp_path):
    model = keras.Sequential([keras.Input((2,)), GradientReversal(1.0)])
    model.layers[0].strength.assign(0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].strength.numpy() == np.float32(0.3)


def test_reversal_refuses_negative_strength():
    assert GradientReversal(0).strength.numpy() == 0
    with pytest.raises(ValueError, match="strength=-1"):
        GradientReversal(-1)


def test_reversal_keeps_half_precision():
    layer = GradientReversal(dtype="mixed_float16")
    assert layer(np.ones((2, 2), "float16")).dtype == "float16"


def test_ramp_is_the_papers():
    assert ramp(0) == 0
    assert ramp(1) == pytest.approx(0.9999092)
    assert ramp(0.1) == pytest.approx(0.4621172)  # tanh(1 / 2)


def ramped(steps_per_execution=1, peak=2.0, initial_epoch=0):
    """Train 12 steps, or the last of them; return model and strengths in order."""
    keras.utils.set_random_seed(0)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(self.model.strength.numpy()))

    model = DANN(dense_network(3, (), 4), dense_network(4, (), 2), strength=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, steps_per_execution=steps_per_execution)
    rng = np.random.default_rng(0)
    source = Features(rng.normal(size=(12, 3)), np.arange(12) % 2)
    batches = pairs(source, rng.normal(size=(12, 3)), 4)
    epochs = {"epochs": 4, "initial_epoch": initial_epoch}
    model.fit(batches, **epochs, verbose=0, callbacks=[Ramp(peak), Watch()])
    return model, seen


def test_ramp_raises_strength_over_all_epochs():
    _, seen = ramped()
    np.testing.assert_allclose(seen, 2 * ramp(np.arange(12) / 12), rtol=1e-6)


def test_ramp_goes_on_where_a_resumed_training_does():
    _, seen = ramped(initial_epoch=3)
    np.testing.assert_allclose(seen, 2 * ramp(np.arange(9, 12) / 12), rtol=1e-6)


def test_ramp_rises_within_an_execution_of_several_steps():
    alone, _ = ramped()
    together, seen = ramped(steps_per_execution=3)
    last = np.arange(2, 12, 3) / 12  # the third step of each execution
    np.testing.assert_allclose(seen, 2 * ramp(last), rtol=1e-6)
    for one, other in zip(alone.weights, together.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_strength_stays_where_a_ramp_left_it():
    model, seen = ramped()
    x = np.zeros((4, 3), "float32")
    model.fit({"source": x, "target": x}, np.zeros(4), verbose=0)
    assert float(model.strength) == seen[-1]


def test_inverse_decay_is_the_papers():
    schedule = InverseDecay(0.01, 100)
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(50)) == pytest.approx(0.01 / 6**0.75)
    assert float(schedule(100)) == pytest.approx(0.01 / 11**0.75)


def test_inverse_decay_reloads_with_its_optimizer(tmp_path):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(InverseDecay(0.5, 7)), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == 0.5
