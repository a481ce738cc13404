"""Per-block learning rates: hand-computed steps, every optimizer, every companion."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_backbone, tiny_images, values_of

from tl_helpers.finetuning import BlockRates, classifier, layer_rates, thaw
from tl_helpers.saving import load_model, save_model

OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Lion", "Adafactor", "Muon")
GRADIENTS = np.array([[0.5, -2.0], [1.0, 0.1]], "float32")


def two_layers():
    """Two equal weights in layers `slow` and `fast`, far from zero."""
    start = keras.initializers.Constant([[1.0, -1.0], [2.0, 0.5]])
    images = keras.Input((2,))
    x = keras.layers.Dense(2, use_bias=False, kernel_initializer=start, name="slow")
    y = keras.layers.Dense(2, use_bias=False, kernel_initializer=start, name="fast")
    return keras.Model(images, y(x(images)))


def step(optimizer, num_steps=3):
    """Hand both weights the same gradients; return both."""
    model = two_layers()
    for i in range(num_steps):
        gradients = [keras.ops.convert_to_tensor(GRADIENTS * (i + 1))] * 2
        optimizer.apply(gradients, model.trainable_weights)
    return [weight.numpy() for weight in model.trainable_weights]


def make(name, rate, **settings):
    return getattr(keras.optimizers, name)(learning_rate=rate, **settings)


def test_sgd_step_by_hand():
    slow, fast = step(BlockRates(make("SGD", 0.1), {"slow": 0.5}), num_steps=1)
    start = np.array([[1.0, -1.0], [2.0, 0.5]])
    np.testing.assert_allclose(fast, start - 0.1 * GRADIENTS, rtol=1e-6)
    np.testing.assert_allclose(slow, start - 0.05 * GRADIENTS, rtol=1e-6)


def test_adamw_step_by_hand_scales_step_and_decay():
    optimizer = make("AdamW", 0.01, weight_decay=0.1, epsilon=1e-12)
    slow, fast = step(BlockRates(optimizer, {"slow": 0.25}), num_steps=1)
    start = np.array([[1.0, -1.0], [2.0, 0.5]])
    full = -0.01 * 0.1 * start - 0.01 * np.sign(GRADIENTS)  # Adam's first step
    np.testing.assert_allclose(fast, start + full, rtol=1e-5)
    np.testing.assert_allclose(slow, start + 0.25 * full, rtol=1e-5)


def test_scaled_gradients_would_do_nothing_under_adam():
    """Trap 4, the wrong way: Adam divides the scale out again."""
    optimizer, model = make("Adam", 0.01), two_layers()
    gradients = [keras.ops.convert_to_tensor(g) for g in (0.01 * GRADIENTS, GRADIENTS)]
    optimizer.apply(gradients, model.trainable_weights)
    slow, fast = (weight.numpy() for weight in model.trainable_weights)
    np.testing.assert_allclose(slow, fast, rtol=1e-4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_steps_as_with_its_own_rate(name):
    """A rate of 0.3 is the bare optimizer with 0.3 times the learning rate."""
    if not hasattr(keras.optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    slow, fast = step(BlockRates(make(name, 0.02), {"slow": 0.3}))
    np.testing.assert_allclose(slow, step(make(name, 0.006))[0], rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(fast, step(make(name, 0.02))[1])


@settings(max_examples=10, deadline=None)
@given(rate=st.floats(0, 2), momentum=st.floats(0, 0.9))
def test_momentum_follows_the_rate(rate, momentum):
    slow, _ = step(BlockRates(make("SGD", 0.1, momentum=momentum), {"slow": rate}))
    by_rate = step(make("SGD", 0.1 * rate, momentum=momentum))[0]
    np.testing.assert_allclose(slow, by_rate, rtol=1e-4, atol=1e-5)


def test_rate_zero_keeps_every_bit():
    slow, _ = step(BlockRates(make("AdamW", 0.1), {"slow": 0}))
    np.testing.assert_array_equal(slow, np.array([[1.0, -1.0], [2.0, 0.5]], "float32"))


def test_schedule_is_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0, 1], [0.1, 0.01, 1.0]
    )
    slow, fast = step(BlockRates(make("SGD", schedule), {"slow": 0.5}))
    total = (0.1 * 1 + 0.01 * 2 + 1 * 3) * GRADIENTS
    start = np.array([[1.0, -1.0], [2.0, 0.5]])
    np.testing.assert_allclose(fast, start - total, rtol=1e-4)
    np.testing.assert_allclose(slow, start - total / 2, rtol=1e-4)


def test_global_clipping_sees_all_layers_together():
    clipped = BlockRates(make("SGD", 0.1, global_clipnorm=1.0), {"slow": 0.5})
    slow, fast = step(clipped, num_steps=1)
    norm = np.sqrt(2 * np.sum(GRADIENTS**2))
    start = np.array([[1.0, -1.0], [2.0, 0.5]])
    np.testing.assert_allclose(fast, start - 0.1 * GRADIENTS / norm, rtol=1e-5)
    np.testing.assert_allclose(slow, start - 0.05 * GRADIENTS / norm, rtol=1e-5)


def test_gradient_accumulation_steps_every_second_time():
    optimizer = make("SGD", 0.1, gradient_accumulation_steps=2)
    slow, fast = step(BlockRates(optimizer, {"slow": 0.5}), num_steps=2)
    start = np.array([[1.0, -1.0], [2.0, 0.5]])
    np.testing.assert_allclose(fast, start - 0.1 * 1.5 * GRADIENTS, rtol=1e-5)
    np.testing.assert_allclose(slow, start - 0.05 * 1.5 * GRADIENTS, rtol=1e-5)


def test_learning_rate_and_iterations_are_the_wrapped_ones():
    optimizer = BlockRates(make("SGD", 0.1), {"slow": 0.5})
    optimizer.learning_rate = 0.2
    step(optimizer)
    assert float(optimizer.optimizer.learning_rate) == pytest.approx(0.2)
    assert int(optimizer.iterations) == 3


def fitted(optimizer, epochs=2):
    """A thawed tiny classifier after `fit`, with its weights before."""
    keras.utils.set_random_seed(0)
    model = classifier(tiny_backbone(), 2)
    thaw(model, "block1")
    rates = layer_rates(model, {"block1": 0, "block2": 0.1})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(BlockRates(optimizer, rates), loss)
    before = values_of(model)
    model.fit(tiny_images().batches(8), epochs=epochs, verbose=0)
    return model, before


def test_reloaded_training_goes_on_bit_for_bit(tmp_path):
    model, _ = fitted(make("Adam", 0.01))
    again = load_model(save_model(model, tmp_path / "model.keras"))
    assert isinstance(again.optimizer, BlockRates)
    for one in (model, again):
        one.fit(tiny_images().batches(8), verbose=0)
    for path, value in values_of(model).items():
        np.testing.assert_array_equal(value, values_of(again)[path])


def test_mixed_precision_keeps_the_rates():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model, before = fitted(make("SGD", 0.1), epochs=1)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    path = "block1_conv/kernel"
    np.testing.assert_array_equal(before[path], values_of(model)[path])
    assert not np.array_equal(
        before["block2_conv/kernel"], model.get_layer("block2_conv").kernel
    )


def test_refuses_rates_that_fit_no_layer():
    with pytest.raises(
        ValueError, match="rates for blokc, none of which .* fast, slow"
    ):
        step(BlockRates(make("SGD", 0.1), {"blokc": 0.5}))


def test_refuses_negative_rates_and_averages():
    with pytest.raises(
        ValueError, match="Got rate of .*=-.*, expected a finite number"
    ):
        BlockRates("sgd", {"slow": -1})
    with pytest.raises(ValueError, match="use_ema=False"):
        BlockRates(make("SGD", 0.1, use_ema=True), {"slow": 1})


DISTRIBUTED = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
sys.path[:0] = {path}
from test_block_rates import make
from tiny import tiny_backbone, tiny_images
from tl_helpers.finetuning import BlockRates, classifier, l2_sp
settings = dict(use_bias=False, kernel_initializer="ones")
x = np.full((4, 1), 0.1, "float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for policy in ("float32", "mixed_float16"):
    keras.mixed_precision.set_dtype_policy(policy)
    with strategy.scope():
        layers = [keras.layers.Dense(1, name=n, **settings) for n in ("slow", "fast")]
        model = keras.Sequential([keras.Input((1,)), *layers])
        adamw = make("AdamW", 0.1, weight_decay=0.5)
        model.compile(BlockRates(adamw, {{"slow": 0.25}}), "mse")
    model.fit(x, 0 * x, batch_size=4, verbose=0)
    print(*(float(w.numpy().squeeze()) for w in model.trainable_weights))
keras.mixed_precision.set_dtype_policy("float32")
with strategy.scope():
    model = classifier(tiny_backbone(), 2)
    kernel = model.get_layer("head_logits").kernel
    start = keras.ops.convert_to_numpy(kernel) - 1
    model.penalty = lambda images: l2_sp([kernel], [start], alpha=2.0)
    model.compile(keras.optimizers.SGD(0.25), loss=lambda y, answers: 0.0 * answers)
log = model.fit(tiny_images().batches(24), verbose=0).history
print(log["loss"][0], *(start + 1 - kernel.numpy()).ravel())
"""


@pytest.fixture(scope="module")
def printed():
    """Lines that two replicas print; in a process of its own, before it wakes up."""
    command = [sys.executable, "-c", DISTRIBUTED.format(path=repr(sys.path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()[-3:]
    return [list(map(float, line.split())) for line in lines]


def test_mirrored_strategy_steps_by_hand(printed):
    """Both weights are 1; AdamW's first step is -0.1 - 0.1 * 0.5 = -0.15."""
    for slow, fast in printed[:2]:  # float32, then mixed precision
        assert fast == pytest.approx(1 - 0.15, abs=1e-4)
        assert slow == pytest.approx(1 - 0.15 / 4, abs=1e-4)


def test_penalty_on_two_replicas_counts_once(printed):
    """All 12 weights are 1 off: loss 12, gradient 2 each, a step of 0.5."""
    loss, *steps = printed[2]
    assert loss == pytest.approx(12, rel=1e-5)
    np.testing.assert_allclose(steps, 0.5, rtol=1e-5)
