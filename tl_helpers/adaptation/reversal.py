"""Gradient reversal, and the schedules of adversarial training."""

import keras
import numpy as np
from keras import ops

from tl_helpers.inputs import (
    check_not_negative,
    check_numbers,
    check_positive,
    check_share,
    check_tensor,
    check_whole,
)


def reverse_gradient(values, strength):
    """Return the values, whose gradient comes back times -strength.

    Args:
        values: float tensor of any shape.
        strength: float, or scalar keras.Variable.

    Returns:
        the same values, to the last bit.
    """
    check_tensor("values", values, "(...)")
    check_not_negative(strength=strength)
    values = ops.convert_to_tensor(values)
    fixed = ops.stop_gradient(values)
    # values - fixed is 0, but has a gradient
    return fixed - ops.cast(strength, values.dtype) * (values - fixed)


@keras.saving.register_keras_serializable("tl_helpers")
class GradientReversal(keras.layers.Layer):
    """The identity, whose gradient comes back times -strength.

    What lies behind it learns as always; what lies before it learns to spoil that.

    Attributes:
        strength: keras.Variable, scalar >= 0, not trainable; `assign` to it at any
            time, also between the batches of a running fit.

    Source: Ganin and Lempitsky 2015 (arXiv:1409.7495).
    """

    def __init__(self, strength=1.0, **kwargs):
        super().__init__(**kwargs)
        check_not_negative(strength=strength)  # the layer itself turns the sign
        initial = keras.initializers.Constant(strength)
        self.strength = self.add_weight((), initial, trainable=False, name="strength")
        self._initial = float(strength)
        self.built = True

    def call(self, inputs):
        """Return the inputs."""
        return reverse_gradient(inputs, self.strength)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the config; the current strength is saved as a weight."""
        return {**super().get_config(), "strength": self._initial}


class Ramp(keras.callbacks.Callback):
    """Raise a model's `strength` from 0 to its peak while training goes on.

    strength = peak x ramp(p), with p the share of all steps that lie behind. At the
    start the features mean nothing yet, and to make domains alike then is to make them
    all alike. The model computes it in each step, so that `steps_per_execution` of
    `compile` may be as large as you like.

    Args:
        peak: float >= 0.

    Source: Ganin et al. 2016 (arXiv:1505.07818), section 5.2.2.
    """

    def __init__(self, peak=1.0):
        super().__init__()
        check_not_negative(peak=peak)
        self.peak = peak

    def on_epoch_begin(self, epoch, logs=None):
        """Tell the model where in its training the epoch begins."""
        steps, epochs = self.params["steps"], self.params["epochs"]
        check_whole(1, steps=steps)  # a generator does not tell how many it has
        self.model.raise_strength(self.peak, epoch * steps, epochs * steps)

    def on_train_end(self, logs=None):
        """Leave the strength where it is."""
        self.model.raise_strength(self.peak, 0, 0)


def ramp(progress):
    """Return 2 / (1 + exp(-10 p)) - 1, from 0 to nearly 1, for p in [0, 1]."""
    if ops.is_tensor(progress):
        return ops.tanh(5.0 * progress)  # the same, without cancellation near 0
    shares = check_numbers("progress", np.ravel(progress), "(n,)")
    check_share(first=shares.min(), last=shares.max())
    return np.tanh(5.0 * np.asarray(progress))


@keras.saving.register_keras_serializable("tl_helpers")
class InverseDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate initial / (1 + 10 p)^0.75, with p = step / num_steps.

    Args:
        initial: float > 0, rate of the first step.
        num_steps: int >= 1, steps of the whole training.

    Source: Ganin et al. 2016 (arXiv:1505.07818), section 5.2.2.
    """

    def __init__(self, initial, num_steps):
        check_positive(initial=initial)
        check_whole(1, num_steps=num_steps)
        self.initial, self.num_steps = initial, num_steps

    def __call__(self, step):
        """Return the rate of a step."""
        progress = ops.cast(step, "float32") / self.num_steps
        return self.initial / (1 + 10 * progress) ** 0.75

    def get_config(self):
        """Return the config."""
        return {"initial": self.initial, "num_steps": self.num_steps}
